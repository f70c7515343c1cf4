//! FITS files (FITS standard 4.0): headers, images and columns, plain, tile-compressed or gzipped.
//!
//! The parser opens a file that was cut off and only fails at the missing data, or not at all when
//! the cut lies inside a later header; [`FitsFile::open`] compares the end of the last data unit
//! with the end of the file, so that truncation is always an error.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use fits_well::io::{BLOCK_SIZE, Hdu, HduKind, StreamReader};
use fits_well::wcs::Wcs;
use fits_well::{FitsError, FitsReader};
use flate2::read::MultiGzDecoder;

use crate::error::{DataError, Place, Problem, Result};
use crate::format::table::Column;

/// More pixels than any cutout has: a larger image is refused before it is decoded.
const MOST_PIXELS: usize = 1 << 27;

/// A seekable source of bytes.
pub trait Source: Read + Seek + Send {}
impl<T: Read + Seek + Send> Source for T {}

pub(super) type Reader = StreamReader<Box<dyn Source>>;

/// An open FITS file. HDUs are named by their position, the primary being 0.
pub struct FitsFile {
    pub(super) path: PathBuf,
    pub(super) reader: Reader,
}

/// Where an image looks on the sky.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SkyPatch {
    /// Right ascension of the central pixel, degrees.
    pub ra: f64,
    /// Declination of the central pixel, degrees.
    pub dec: f64,
    /// Arcseconds per pixel along y.
    pub pixel_scale: f64,
}

impl FitsFile {
    /// Opens the file and scans its headers. Gzipped files are inflated into memory.
    ///
    /// Errors: not FITS, truncated, a damaged header.
    pub fn open(path: &Path) -> Result<Self> {
        let source = open_source(path).map_err(|error| in_file(path, error.into()))?;
        Self::from_source(path, source)
    }

    fn from_source(path: &Path, mut source: Box<dyn Source>) -> Result<Self> {
        let reader = FitsReader::open(&mut source).map_err(|error| in_file(path, error))?;
        if let Some(defect) = reader.scan_defect() {
            return Err(container(path, format!("a header is damaged: {defect}")));
        }
        let data: Vec<u64> = reader.hdus().iter().map(Hdu::padded_data_bytes).collect();
        drop(reader);
        check_end(path, &mut source, &data)?;
        Ok(FitsFile {
            path: path.to_owned(),
            reader: FitsReader::open(source).map_err(|error| in_file(path, error))?,
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Number of HDUs.
    pub fn len(&self) -> usize {
        self.reader.hdus().len()
    }

    /// Whether the file holds no HDU; never true for an open file.
    pub fn is_empty(&self) -> bool {
        self.reader.hdus().is_empty()
    }

    /// The extension's name in upper case; empty when it has none.
    pub fn name(&self, hdu: usize) -> String {
        self.text(hdu, "EXTNAME")
            .unwrap_or_default()
            .to_ascii_uppercase()
    }

    /// The text of a header keyword, without the blanks around it; `None` when it is absent,
    /// blank or no text.
    pub fn text(&self, hdu: usize, keyword: &str) -> Option<String> {
        let text = self.hdu(hdu)?.header.get_text(keyword).ok()??;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The number of a header keyword; `None` when it is absent or no number.
    pub fn number(&self, hdu: usize, keyword: &str) -> Option<f64> {
        self.hdu(hdu)?.header.get_real(keyword).ok()?
    }

    /// Axis lengths of the image in an HDU, slowest first; `None` when it holds no image.
    pub fn shape(&self, hdu: usize) -> Option<Vec<usize>> {
        let hdu = self.hdu(hdu).filter(|hdu| hdu.is_image())?;
        let shape = hdu.image_metadata().ok()?.shape;
        Some(shape.iter().rev().copied().collect())
    }

    /// Whether an HDU holds a binary table.
    pub fn is_table(&self, hdu: usize) -> bool {
        let kinds = [HduKind::BinTable, HduKind::CompressedTable];
        self.hdu(hdu).is_some_and(|hdu| kinds.contains(&hdu.kind))
    }

    /// The image of an HDU in physical values (scaled, blank pixels NaN), last axis fastest.
    ///
    /// Errors: no image there, an image too large, damaged data.
    pub fn pixels(&mut self, hdu: usize) -> Result<Vec<f32>> {
        let count = self.shape(hdu).map(|shape| {
            let product = shape
                .iter()
                .try_fold(1usize, |n, &axis| n.checked_mul(axis));
            product.unwrap_or(usize::MAX)
        });
        if count.is_some_and(|count| count > MOST_PIXELS) {
            let problem = Problem::Shape {
                found: format!("{:?}", self.shape(hdu).unwrap_or_default()),
                expected: "a cutout".into(),
            };
            return Err(DataError::new(self.place(hdu), problem));
        }
        let mut pixels = Vec::new();
        self.reader
            .image(hdu)
            .and_then(|mut image| image.physical_into(.., &mut pixels))
            .map_err(|error| DataError::new(self.place(hdu), problem(error)))?;
        Ok(pixels)
    }

    /// The centre of a two- or three-dimensional image on the sky; `None` without a usable WCS.
    pub fn sky(&self, hdu: usize) -> Option<SkyPatch> {
        let shape = self.shape(hdu)?;
        let [.., height, width] = *shape.as_slice() else {
            return None;
        };
        // Cubes of bands describe the sky along two axes only, often without saying so.
        let mut header = self.hdu(hdu)?.header.clone();
        if shape.len() > 2 && !header.contains("WCSAXES").ok()? {
            header.set("WCSAXES", 2i64).ok()?;
        }
        let wcs = Wcs::from_header(&header, None).ok()?;
        let axes = wcs.description().axes.len();
        let celestial = wcs.description().celestial_projection?;
        let look = |y_offset: f64| -> Option<(f64, f64)> {
            let mut pixel = vec![1.0; axes];
            *pixel.get_mut(0)? = (width as f64 + 1.0) / 2.0;
            *pixel.get_mut(1)? = (height as f64 + 1.0) / 2.0 + y_offset;
            let mut world = vec![0.0; axes];
            wcs.pixel_to_world(&pixel, &mut world).ok()?;
            let ra = *world.get(celestial.longitude_axis)?;
            let dec = *world.get(celestial.latitude_axis)?;
            Some((ra.rem_euclid(360.0), dec))
        };
        let ((ra, dec), (next_ra, next_dec)) = (look(0.0)?, look(1.0)?);
        let along = (next_ra - ra + 180.0).rem_euclid(360.0) - 180.0;
        let step = (along * dec.to_radians().cos()).hypot(next_dec - dec);
        Some(SkyPatch {
            ra,
            dec,
            pixel_scale: step * 3600.0,
        })
    }

    /// The values of a numeric table column, rows one after the other; `None` when the table has
    /// no column of this name in any case.
    ///
    /// Errors: no table there, a column that is not numeric, damaged data.
    pub fn column(&mut self, hdu: usize, name: &str) -> Result<Option<Vec<f64>>> {
        let mut values = Vec::new();
        let read = self.reader.read_table(hdu).and_then(|table| {
            let Some(index) = table.schema().column_index(name)? else {
                return Ok(false);
            };
            table.column(index)?.physical_into(&mut values)?;
            Ok(true)
        });
        match read {
            Ok(found) => Ok(found.then_some(values)),
            Err(error) => {
                let place = self.place(hdu).with_field(name);
                Err(DataError::new(place, problem(error)))
            }
        }
    }

    /// The columns of the table in an HDU; none when it holds no table.
    pub fn columns(&self, hdu: usize) -> Vec<Column> {
        let text = |text: fits_well::Result<Option<&str>>| -> Option<String> {
            Some(text.ok()??.trim().to_owned()).filter(|text| !text.is_empty())
        };
        let schema = self.hdu(hdu).and_then(|hdu| hdu.table_schema().ok());
        let columns = schema.into_iter().flat_map(|schema| &schema.columns);
        columns
            .map(|column| Column {
                name: text(column.name()).unwrap_or_default(),
                unit: text(column.unit()),
            })
            .collect()
    }

    /// This file, and the HDU as the field.
    pub fn place(&self, hdu: usize) -> Place {
        let name = self.name(hdu);
        let place = Place::file(&self.path);
        if name.is_empty() {
            place.with_field(format!("HDU {hdu}"))
        } else {
            place.with_field(format!("HDU {hdu} ({name})"))
        }
    }

    pub(super) fn hdu(&self, hdu: usize) -> Option<&Hdu> {
        self.reader.hdus().get(hdu)
    }
}

pub(super) fn problem(error: FitsError) -> Problem {
    match error {
        FitsError::Io(error) if error.kind() != std::io::ErrorKind::UnexpectedEof => {
            Problem::Io(error)
        }
        error => Problem::Container {
            format: "FITS",
            reason: error.to_string(),
        },
    }
}

fn in_file(path: &Path, error: FitsError) -> DataError {
    DataError::new(Place::file(path), problem(error))
}

fn container(path: &Path, reason: String) -> DataError {
    let format = "FITS";
    DataError::new(Place::file(path), Problem::Container { format, reason })
}

fn open_source(path: &Path) -> std::io::Result<Box<dyn Source>> {
    let mut file = File::open(path)?;
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    file.rewind()?;
    if magic != [0x1f, 0x8b] {
        return Ok(Box::new(file));
    }
    let mut bytes = Vec::new();
    MultiGzDecoder::new(file).read_to_end(&mut bytes)?;
    Ok(Box::new(Cursor::new(bytes)))
}

/// Walks the file by its headers and the data lengths they declare; every data unit must end
/// inside the file, padding included, and no further header may begin after the last.
fn check_end(path: &Path, source: &mut Box<dyn Source>, data: &[u64]) -> Result<()> {
    let io = |error: std::io::Error| DataError::new(Place::file(path), error.into());
    let length = source.seek(SeekFrom::End(0)).map_err(io)?;
    let mut offset = 0u64;
    for &padded in data {
        offset = end_of_header(source, offset).map_err(io)?;
        offset = offset.saturating_add(padded);
        if offset > length {
            let reason = format!("truncated: {length} bytes, expected at least {offset}");
            return Err(container(path, reason));
        }
    }
    if offset >= length {
        return Ok(());
    }
    source.seek(SeekFrom::Start(offset)).map_err(io)?;
    let mut next = Vec::new();
    source.take(8).read_to_end(&mut next).map_err(io)?;
    if b"XTENSION".starts_with(&next) {
        return Err(container(path, "truncated inside a header".into()));
    }
    Ok(())
}

/// Where the data after the header at `offset` begins.
fn end_of_header(source: &mut Box<dyn Source>, mut offset: u64) -> std::io::Result<u64> {
    const CARD: usize = 80;
    let mut block = vec![0u8; BLOCK_SIZE];
    source.seek(SeekFrom::Start(offset))?;
    loop {
        source.read_exact(&mut block)?;
        offset += BLOCK_SIZE as u64;
        let is_end = |card: &[u8]| card.starts_with(b"END ") && card.trim_ascii() == b"END";
        if block.chunks_exact(CARD).any(is_end) {
            return Ok(offset);
        }
    }
}
