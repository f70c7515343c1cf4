//! Small files as surveys publish them, and what to ask of their readers.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use aion_data::reader::{self, ReadOptions};
use aion_data::{DataError, Image, Measurement, ModalityId, Object, Spectrum};
use fits_well::FitsWriter;
use fits_well::header::{Header, Value};
use fits_well::image::{Image as FitsImage, Scaling};
use fits_well::table::{Builder, ColumnData, WriteColumn};
use tempfile::TempDir;

/// A folder that is removed after the test.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Every object of a file, which must open.
pub fn results(path: &Path, options: &ReadOptions) -> Vec<Result<Object, DataError>> {
    match reader::read(path, options) {
        Ok(objects) => objects.collect(),
        Err(error) => panic!("{error}"),
    }
}

/// Every object of a file, all of which must be good.
pub fn objects(path: &Path) -> Vec<Object> {
    objects_with(path, &ReadOptions::default())
}

pub fn objects_with(path: &Path, options: &ReadOptions) -> Vec<Object> {
    let results = results(path, options).into_iter();
    results
        .map(|object| object.unwrap_or_else(|error| panic!("{error}")))
        .collect()
}

/// The first error of a file, outer or inner.
pub fn error(path: &Path) -> DataError {
    error_with(path, &ReadOptions::default())
}

pub fn error_with(path: &Path, options: &ReadOptions) -> DataError {
    let error = match reader::read(path, options) {
        Err(error) => error,
        Ok(mut objects) => objects
            .find_map(Result::err)
            .unwrap_or_else(|| panic!("{} is read without error", path.display())),
    };
    assert_eq!(error.place.path.as_deref(), Some(path), "{error}");
    error
}

/// The message of the first error, which must hold all of `parts`.
pub fn expect_error(path: &Path, parts: &[&str]) {
    let message = error(path).to_string();
    for part in parts {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

pub fn modality(key: &str) -> ModalityId {
    ModalityId::from_key(key).unwrap()
}

pub fn scalar(object: &Object, key: &str) -> Option<f32> {
    object.scalar(modality(key))
}

pub fn image<'a>(object: &'a Object, key: &str) -> &'a Image {
    match object.get(modality(key)) {
        Some(Measurement::Image(image)) => image,
        other => panic!("no image but {other:?}"),
    }
}

pub fn spectrum<'a>(object: &'a Object, key: &str) -> &'a Spectrum {
    match object.get(modality(key)) {
        Some(Measurement::Spectrum(spectrum)) => spectrum,
        other => panic!("no spectrum but {other:?}"),
    }
}

pub fn coefficients<'a>(object: &'a Object, key: &str) -> &'a [f32] {
    match object.get(modality(key)) {
        Some(Measurement::Coefficients(values)) => values,
        other => panic!("no coefficients but {other:?}"),
    }
}

/// Header cards.
pub type Cards<'a> = &'a [(&'a str, Value)];

pub fn text(value: &str) -> Value {
    Value::from(value)
}

fn header(cards: Cards<'_>) -> Header {
    let mut header = Header::new();
    for (keyword, value) in cards {
        header.set(*keyword, value.clone()).unwrap();
    }
    header
}

/// A FITS file being written, HDU by HDU.
pub struct Fits(FitsWriter<Vec<u8>>);

impl Fits {
    pub fn new() -> Self {
        Fits(FitsWriter::new(Vec::new()))
    }

    pub fn empty(mut self, cards: Cards<'_>) -> Self {
        self.0.write_empty_primary(Some(&header(cards))).unwrap();
        self
    }

    /// An image whose shape is given slowest axis first.
    pub fn image(mut self, cards: Cards<'_>, shape: &[usize], values: Vec<f32>) -> Self {
        let shape: Vec<usize> = shape.iter().rev().copied().collect();
        let image = FitsImage::new(shape, values, Scaling::IDENTITY).unwrap();
        self.0
            .write_image(image.view(), Some(&header(cards)))
            .unwrap();
        self
    }

    pub fn table(self, columns: Vec<WriteColumn>) -> Self {
        self.titled(columns, &[])
    }

    pub fn named_table(self, name: &str, columns: Vec<WriteColumn>) -> Self {
        self.titled(columns, &[("EXTNAME", text(name))])
    }

    fn titled(mut self, columns: Vec<WriteColumn>, cards: Cards<'_>) -> Self {
        let mut table = Builder::new();
        for column in columns {
            table.push(column).unwrap();
        }
        self.0.write_table(&table, Some(&header(cards))).unwrap();
        self
    }

    pub fn bytes(self) -> Vec<u8> {
        self.0.into_inner()
    }
}

pub fn column<T>(name: &str, values: Vec<T>) -> WriteColumn
where
    ColumnData: From<Vec<T>>,
{
    WriteColumn::scalar(name, ColumnData::from(values))
}

pub fn words(name: &str, values: &[&str]) -> WriteColumn {
    WriteColumn::characters(name, values.iter().copied(), 12).unwrap()
}

/// An SDSS spectrum file, to be changed before it is written.
pub struct Spec {
    pub flux: Vec<f32>,
    pub ivar: Vec<f32>,
    pub loglam: Vec<f32>,
    pub and_mask: Vec<i32>,
    pub class: &'static str,
    pub object_type: &'static str,
    pub zwarning: i32,
    pub upper_case: bool,
}

impl Spec {
    pub fn good() -> Self {
        const PIXELS: usize = 40;
        Spec {
            flux: (0..PIXELS).map(|i| 1.0 + i as f32).collect(),
            ivar: vec![4.0; PIXELS],
            loglam: (0..PIXELS).map(|i| 3.6 + 1e-4 * i as f32).collect(),
            and_mask: vec![0; PIXELS],
            class: "GALAXY",
            object_type: "GALAXY",
            zwarning: 0,
            upper_case: false,
        }
    }

    pub fn bytes(self) -> Vec<u8> {
        let name = |name: &str| {
            if self.upper_case {
                name.to_uppercase()
            } else {
                name.to_owned()
            }
        };
        let pixels = vec![
            column(&name("flux"), self.flux),
            column(&name("loglam"), self.loglam),
            column(&name("ivar"), self.ivar),
            column(&name("and_mask"), self.and_mask),
        ];
        let about = vec![
            column("PLATE", vec![266i32]),
            column("MJD", vec![51630i32]),
            column("FIBERID", vec![23i32]),
            column("PLUG_RA", vec![145.5f64]),
            column("PLUG_DEC", vec![-0.25f64]),
            column("Z", vec![0.125f32]),
            column("ZWARNING", vec![self.zwarning]),
            words("CLASS", &[self.class]),
            words("SUBCLASS", &[""]),
            words("OBJTYPE", &[self.object_type]),
        ];
        Fits::new().empty(&[]).table(pixels).table(about).bytes()
    }
}

/// The pixels of an image in which plane p is constantly p + 1.
pub fn planes(bands: usize, side: usize) -> Vec<f32> {
    let plane = |band: usize| vec![band as f32 + 1.0; side * side];
    (0..bands).flat_map(plane).collect()
}

/// A gzipped copy.
pub fn gzipped(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// One array of a NumPy archive.
pub struct Npy {
    pub name: &'static str,
    pub descr: &'static str,
    pub fortran: bool,
    pub shape: &'static str,
    pub bytes: Vec<u8>,
}

/// Writes a NumPy archive.
pub fn write_npz(path: &Path, arrays: &[Npy]) {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(File::create(path).unwrap());
    for array in arrays {
        let options = zip::write::SimpleFileOptions::default();
        archive
            .start_file(format!("{}.npy", array.name), options)
            .unwrap();
        let order = if array.fortran { "True" } else { "False" };
        let header = format!(
            "{{'descr': {}, 'fortran_order': {order}, 'shape': {}, }}\n",
            array.descr, array.shape
        );
        archive.write_all(b"\x93NUMPY\x01\x00").unwrap();
        let length = u16::try_from(header.len()).unwrap();
        archive.write_all(&length.to_le_bytes()).unwrap();
        archive.write_all(header.as_bytes()).unwrap();
        archive.write_all(&array.bytes).unwrap();
    }
    archive.finish().unwrap();
}

pub fn le_bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// A test file of `fixtures/surveys/spectra`, written by `make_spectra.py`.
pub fn made(name: &str) -> PathBuf {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../fixtures/surveys/spectra"
    );
    Path::new(folder).join(name)
}

/// The bytes of a test file, inflated.
pub fn inflated(name: &str) -> Vec<u8> {
    use std::io::Read;
    let bytes = fs::read(made(name)).unwrap();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut plain = Vec::new();
    let mut decoder = flate2::read::GzDecoder::new(&bytes[..]);
    decoder.read_to_end(&mut plain).unwrap();
    plain
}

/// The bytes with the header card that begins with `card` (keyword, `=` and some of the value)
/// changed to begin with `new`, padded with blanks; every such card.
pub fn with_card(mut bytes: Vec<u8>, card: &str, new: &str) -> Vec<u8> {
    let mut found = 0;
    let mut at = 0;
    while at + 80 <= bytes.len() {
        if bytes[at..].starts_with(card.as_bytes()) {
            bytes[at..at + 80].fill(b' ');
            bytes[at..at + new.len()].copy_from_slice(new.as_bytes());
            found += 1;
        }
        at += 80;
    }
    assert!(found > 0, "no card {card}");
    bytes
}
