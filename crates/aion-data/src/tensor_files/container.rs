//! The safetensors container: named tensors in a memory-mapped file, read row by row.
//!
//! Knows bytes, shapes and number types, nothing of astronomy. A file is checked when it is opened
//! (header, offsets, sizes), so that reading a tensor afterwards cannot fail.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use half::{bf16, f16};
use memmap2::Mmap;
use safetensors::tensor::SafeTensors;

pub use safetensors::Dtype;

use crate::atomic::io_error;
use crate::error::{DataError, Place, Problem, Result};

/// Bytes before the header: its length.
const PREFIX: usize = 8;

/// An open safetensors file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    bytes: Mmap,
    entries: BTreeMap<String, Entry>,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    /// Within the file.
    start: usize,
    end: usize,
}

impl TensorFile {
    /// Maps the file at `path` and checks its header.
    ///
    /// # Errors
    /// [`Problem::Io`] if it cannot be opened, [`Problem::Container`] if it is damaged, truncated or
    /// not a safetensors file.
    pub fn open(path: &Path) -> Result<Self> {
        let file = File::open(path).map_err(|error| io_error(path, error))?;
        // SAFETY: the mapping is read-only. Files of ours are replaced by renaming, never changed in
        // place; changing one from outside while it is read is undefined, as with any mapped file.
        let bytes = unsafe { Mmap::map(&file) }.map_err(|error| io_error(path, error))?;
        let (header, info) =
            SafeTensors::read_metadata(&bytes).map_err(|error| damaged(path, error.to_string()))?;
        let data = PREFIX + header;
        let mut entries = BTreeMap::new();
        for (name, tensor) in info.tensors() {
            let entry = entry(data, bytes.len(), tensor)
                .ok_or_else(|| damaged(path, format!("tensor `{name}` lies outside the file")))?;
            entries.insert(name, entry);
        }
        let metadata = info.metadata().clone().unwrap_or_default();
        Ok(TensorFile {
            path: path.to_owned(),
            bytes,
            entries,
            metadata: metadata.into_iter().collect(),
        })
    }

    /// Where it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names of the tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The tensor called `name`, if there is one.
    pub fn get(&self, name: &str) -> Option<Tensor<'_>> {
        let (name, entry) = self.entries.get_key_value(name)?;
        Some(Tensor {
            path: &self.path,
            name,
            dtype: entry.dtype,
            shape: &entry.shape,
            bytes: self.bytes.get(entry.start..entry.end)?,
        })
    }

    /// The tensor called `name`.
    ///
    /// # Errors
    /// [`Problem::Missing`].
    pub fn require(&self, name: &str) -> Result<Tensor<'_>> {
        self.get(name).ok_or_else(|| {
            let place = Place::file(&self.path).with_field(name);
            DataError::new(place, Problem::Missing("tensor".to_owned()))
        })
    }
}

/// Where a tensor lies, if it lies within the file.
fn entry(data: usize, len: usize, info: &safetensors::tensor::TensorInfo) -> Option<Entry> {
    let start = data.checked_add(info.data_offsets.0)?;
    let end = data.checked_add(info.data_offsets.1)?;
    (start <= end && end <= len).then(|| Entry {
        dtype: info.dtype,
        shape: info.shape.clone(),
        start,
        end,
    })
}

fn damaged(path: &Path, reason: String) -> DataError {
    let format = "safetensors";
    DataError::new(Place::file(path), Problem::Container { format, reason })
}

/// One tensor of a [`TensorFile`]; its rows run along the first axis.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    path: &'a Path,
    name: &'a str,
    dtype: Dtype,
    shape: &'a [usize],
    bytes: &'a [u8],
}

impl<'a> Tensor<'a> {
    /// All axes, rows first.
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// Type of the numbers.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Length of the first axis; 1 for a tensor without axes.
    pub fn rows(&self) -> usize {
        self.shape.first().copied().unwrap_or(1)
    }

    /// Numbers in a row.
    pub fn row_len(&self) -> usize {
        // A header may claim any lengths beside a length of 0.
        let axes = self.shape.iter().skip(1);
        axes.fold(1, |product, axis| product.saturating_mul(*axis))
    }

    /// The file and this tensor, for errors.
    pub fn place(&self) -> Place {
        Place::file(self.path).with_field(self.name)
    }

    /// Fails unless the numbers are whole numbers or booleans.
    ///
    /// # Errors
    /// [`Problem::Values`] naming the type that was found.
    pub fn require_integers(&self) -> Result<()> {
        if whole(self.dtype) {
            return Ok(());
        }
        Err(self.wrong_type("an integer or boolean type"))
    }

    /// Fails unless the numbers are real or whole numbers.
    ///
    /// # Errors
    /// [`Problem::Values`] naming the type that was found.
    pub fn require_numbers(&self) -> Result<()> {
        let real = matches!(
            self.dtype,
            Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64
        );
        if real || (whole(self.dtype) && self.dtype != Dtype::BOOL) {
            return Ok(());
        }
        Err(self.wrong_type("a floating-point or integer type"))
    }

    fn wrong_type(&self, expected: &str) -> DataError {
        let problem = format!("numbers are of type {:?}, expected {expected}", self.dtype);
        DataError::new(self.place(), Problem::Values(problem))
    }

    /// Numbers of one row, rounded to single precision. Empty past the last row.
    ///
    /// # Errors
    /// As [`Tensor::require_numbers`].
    pub fn f32_row(&self, row: usize) -> Result<Vec<f32>> {
        let bytes = self.row_bytes(row);
        Ok(match self.dtype {
            Dtype::F32 => decode(bytes, f32::from_le_bytes),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => self.f64_row(row)?.into_iter().map(|v| v as f32).collect(),
        })
    }

    /// Numbers of one row in double precision. Empty past the last row.
    ///
    /// # Errors
    /// As [`Tensor::require_numbers`].
    pub fn f64_row(&self, row: usize) -> Result<Vec<f64>> {
        self.require_numbers()?;
        let bytes = self.row_bytes(row);
        Ok(match self.dtype {
            Dtype::F64 => decode(bytes, f64::from_le_bytes),
            Dtype::F32 => decode(bytes, |b| f32::from_le_bytes(b).into()),
            Dtype::F16 => decode(bytes, |b| f16::from_le_bytes(b).to_f64()),
            Dtype::BF16 => decode(bytes, |b| bf16::from_le_bytes(b).to_f64()),
            _ => whole_numbers(self.dtype, bytes, |value| value as f64),
        })
    }

    /// Whole numbers of one row. Empty past the last row.
    ///
    /// # Errors
    /// As [`Tensor::require_integers`].
    pub fn integer_row(&self, row: usize) -> Result<Vec<i128>> {
        self.require_integers()?;
        Ok(whole_numbers(self.dtype, self.row_bytes(row), |value| {
            value
        }))
    }

    fn row_bytes(&self, row: usize) -> &'a [u8] {
        let size = self.row_len().saturating_mul(self.dtype.bitsize() / 8);
        let start = row.saturating_mul(size);
        self.bytes
            .get(start..start.saturating_add(size))
            .unwrap_or_default()
    }
}

/// Whether numbers of this type are whole numbers or booleans.
fn whole(dtype: Dtype) -> bool {
    use Dtype::{BOOL, I8, I16, I32, I64, U8, U16, U32, U64};
    matches!(dtype, BOOL | I8 | I16 | I32 | I64 | U8 | U16 | U32 | U64)
}

/// Whole numbers of any width; wide enough for both I64 and U64.
fn whole_numbers<T>(dtype: Dtype, bytes: &[u8], convert: impl Fn(i128) -> T) -> Vec<T> {
    match dtype {
        Dtype::BOOL | Dtype::U8 => decode(bytes, |b| convert(u8::from_le_bytes(b).into())),
        Dtype::I8 => decode(bytes, |b| convert(i8::from_le_bytes(b).into())),
        Dtype::I16 => decode(bytes, |b| convert(i16::from_le_bytes(b).into())),
        Dtype::U16 => decode(bytes, |b| convert(u16::from_le_bytes(b).into())),
        Dtype::I32 => decode(bytes, |b| convert(i32::from_le_bytes(b).into())),
        Dtype::U32 => decode(bytes, |b| convert(u32::from_le_bytes(b).into())),
        Dtype::I64 => decode(bytes, |b| convert(i64::from_le_bytes(b).into())),
        Dtype::U64 => decode(bytes, |b| convert(u64::from_le_bytes(b).into())),
        _ => Vec::new(),
    }
}

fn decode<const N: usize, T>(bytes: &[u8], convert: impl Fn([u8; N]) -> T) -> Vec<T> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().map(|word| convert(*word)).collect()
}
