//! FITS files (FITS standard 4.0): headers, images and columns, plain, tile-compressed or gzipped.
//!
//! The parser opens a file that was cut off and only fails at the missing data, or not at all when
//! the cut lies inside a later header; [`FitsFile::open`] compares the end of the last data unit
//! with the end of the file, so that truncation is always an error.

use std::ops::Range;
use std::path::{Path, PathBuf};

use fits_well::image::{PhysicalSample, Region};
use fits_well::io::{Hdu, HduKind, StreamReader};
use fits_well::{FitsError, FitsReader};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits_source::{Source, check_end, open_source, respelled};
use crate::format::table::Column;

/// More pixels than the largest cutout of a survey's service has (3000 x 3000 in 5 bands). What is
/// larger is refused before it is decoded; it can be read in parts.
const MOST_PIXELS: usize = 1 << 26;

pub(super) type Reader = StreamReader<Box<dyn Source>>;

/// An open FITS file. HDUs are named by their position, the primary being 0.
pub struct FitsFile {
    pub(super) path: PathBuf,
    pub(super) reader: Reader,
}

impl FitsFile {
    /// Opens the file and scans its headers. Gzipped files are inflated, large ones to a
    /// temporary file.
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
        let cards = check_end(path, &mut source, &data)?;
        let reader = FitsReader::open(respelled(source, cards));
        Ok(FitsFile {
            path: path.to_owned(),
            reader: reader.map_err(|error| in_file(path, error))?,
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
        let text = self.hdu(hdu)?.header.get_text(record(keyword)).ok()??;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// The number of a header keyword; `None` when it is absent or no number.
    pub fn number(&self, hdu: usize, keyword: &str) -> Option<f64> {
        self.hdu(hdu)?.header.get_real(record(keyword)).ok()?
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

    /// The truth value of a header keyword; `None` when it is absent or none.
    pub fn flag(&self, hdu: usize, keyword: &str) -> Option<bool> {
        self.hdu(hdu)?.header.get_logical(record(keyword)).ok()?
    }

    /// Extents of the tiles that the image in an HDU is compressed in, slowest axis first; `None`
    /// for an image that is not compressed.
    pub fn tiles(&mut self, hdu: usize) -> Option<Vec<usize>> {
        let image = self.reader.image(hdu).ok()?;
        Some(image.tiles()?.iter().rev().copied().collect())
    }

    /// The image of an HDU in physical values (scaled, blank pixels NaN), last axis fastest.
    ///
    /// Errors: no image there, an image too large, damaged data.
    pub fn pixels(&mut self, hdu: usize) -> Result<Vec<f32>> {
        self.read_image(hdu, None)
    }

    /// A part of the image of an HDU, like [`FitsFile::pixels`]: one range of indices an axis,
    /// slowest axis first. Of a compressed image only the tiles are read that the part touches.
    ///
    /// Errors: as for the whole, and a range that leaves the image.
    pub fn pixels_in(&mut self, hdu: usize, part: &[Range<usize>]) -> Result<Vec<f32>> {
        self.read_image(hdu, Some(part))
    }

    /// The whole numbers of a mask image, or of a part of it; blank pixels are 0.
    ///
    /// Errors: as for [`FitsFile::pixels_in`].
    pub fn bits(&mut self, hdu: usize, part: Option<&[Range<usize>]>) -> Result<Vec<i64>> {
        // Double precision is exact for masks of up to 53 bits, whatever type stores them.
        let values: Vec<f64> = self.read_image(hdu, part)?;
        Ok(values.into_iter().map(|value| value as i64).collect())
    }

    fn read_image<T: PhysicalSample>(
        &mut self,
        hdu: usize,
        part: Option<&[Range<usize>]>,
    ) -> Result<Vec<T>> {
        let whole = self.shape(hdu).unwrap_or_default();
        let read = match part {
            Some(part) => part.iter().map(Range::len).collect(),
            None => whole.clone(),
        };
        let count = read.iter().try_fold(1usize, |n, &axis| n.checked_mul(axis));
        if count.is_none_or(|count| count > MOST_PIXELS) {
            let problem = Problem::Shape {
                found: format!("{whole:?}"),
                expected: format!("a cutout of at most {MOST_PIXELS} pixels"),
            };
            return Err(DataError::new(self.place(hdu), problem));
        }
        let mut pixels = Vec::new();
        let fastest_first: Vec<Range<usize>> =
            part.unwrap_or_default().iter().rev().cloned().collect();
        let region = match part {
            Some(_) => Region::Section(&fastest_first),
            None => Region::All,
        };
        self.reader
            .image(hdu)
            .and_then(|mut image| image.physical_into(region, &mut pixels))
            .map_err(|error| DataError::new(self.place(hdu), problem(error)))?;
        Ok(pixels)
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

    /// This file, and a keyword or column of an HDU as the field.
    pub fn place_in(&self, hdu: usize, field: &str) -> Place {
        let mut place = self.place(hdu);
        place.field = place.field.map(|hdu| format!("{hdu} {field}"));
        place
    }

    pub(super) fn hdu(&self, hdu: usize) -> Option<&Hdu> {
        self.reader.hdus().get(hdu)
    }
}

/// The name of a header record; keywords of more than 8 characters are `HIERARCH` records.
fn record(keyword: &str) -> String {
    if keyword.len() > 8 {
        format!("HIERARCH {keyword}")
    } else {
        keyword.to_owned()
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

pub(super) fn container(path: &Path, reason: String) -> DataError {
    let format = "FITS";
    DataError::new(Place::file(path), Problem::Container { format, reason })
}
