//! A memory-mapped safetensors file, and writing one.
//!
//! 32-bit weights become tensors without a copy: the tensor's memory is the mapping itself, so a
//! model that uses half of its checkpoint never reads the other half from disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo, View};
use sha2::{Digest, Sha256};

use crate::error::WeightsError;
use crate::narrow::Narrow;

/// The mapping as what tensors without a copy hold.
struct Mapping(Arc<memmap2::Mmap>);

impl AsRef<[u8]> for Mapping {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An open safetensors file.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    map: Arc<memmap2::Mmap>,
    bytes: bytes::Bytes,
    data_start: usize,
    tensors: HashMap<String, TensorInfo>,
    metadata: HashMap<String, String>,
}

impl TensorFile {
    /// Maps the file and checks its header.
    ///
    /// # Errors
    /// The file cannot be mapped or is not valid safetensors.
    pub fn open(path: &Path) -> Result<Self, WeightsError> {
        let file = File::open(path).map_err(|source| WeightsError::io(path, source))?;
        // SAFETY: the mapping is read-only; writers in this project replace files by renaming, so
        // a mapped file is never truncated under the map by this program.
        let map = unsafe { memmap2::Mmap::map(&file) }
            .map_err(|source| WeightsError::io(path, source))?;
        let map = Arc::new(map);
        let bytes = bytes::Bytes::from_owner(Mapping(map.clone()));
        let (header_len, header): (usize, Metadata) = SafeTensors::read_metadata(&bytes)
            .map_err(|error| WeightsError::format(path, error))?;
        let tensors = header
            .tensors()
            .into_iter()
            .map(|(name, info)| (name, info.clone()))
            .collect();
        let metadata = header.metadata().clone().unwrap_or_default();
        Ok(TensorFile {
            path: path.to_owned(),
            data_start: header_len + 8,
            map,
            bytes,
            tensors,
            metadata,
        })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The `__metadata__` entries.
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// All tensor names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Shape of a tensor, if the file has it.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.tensors.get(name).map(|info| info.shape.as_slice())
    }

    /// Element type of a tensor, if the file has it.
    pub fn dtype(&self, name: &str) -> Option<Dtype> {
        self.tensors.get(name).map(|info| info.dtype)
    }

    /// Raw bytes of a tensor, sharing the mapping.
    pub fn raw(&self, name: &str) -> Option<bytes::Bytes> {
        let (start, end) = self.tensors.get(name)?.data_offsets;
        Some(
            self.bytes
                .slice(self.data_start + start..self.data_start + end),
        )
    }

    /// A tensor as 32-bit floats: without a copy where it is stored so, else converted.
    /// `None` when the file lacks it or its type is not a number that 32-bit floats can hold.
    pub fn float(&self, name: &str) -> Option<TensorData> {
        let info = self.tensors.get(name)?;
        let raw = self.raw(name)?;
        let aligned = (raw.as_ptr() as usize).is_multiple_of(align_of::<f32>());
        if info.dtype == Dtype::F32 && aligned {
            let shared = Bytes::from_shared(raw, AllocationProperty::Other);
            return Some(TensorData::from_bytes(
                shared,
                info.shape.clone(),
                DType::F32,
            ));
        }
        let values = to_f32(info.dtype, &raw)?;
        Some(TensorData::new(values, info.shape.clone()))
    }

    /// The bytes of a tensor that is stored in this format.
    pub(crate) fn narrow(&self, name: &str, format: Narrow) -> Option<bytes::Bytes> {
        match (self.dtype(name)?, format) {
            (Dtype::F16, Narrow::F16) | (Dtype::BF16, Narrow::Bf16) => self.raw(name),
            _ => None,
        }
    }

    /// Lets a tensor's pages leave this process's memory: they are read again when they are needed.
    pub(crate) fn leave(&self, name: &str) {
        #[cfg(unix)]
        if let Some(info) = self.tensors.get(name) {
            let (start, end) = info.data_offsets;
            let (start, len) = (self.data_start + start, end - start);
            let advice = memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: the mapping is of a file and read-only, so that pages come back as they were.
            // A request: where the system declines it, the pages stay.
            let _ = unsafe { self.map.unchecked_advise_range(advice, start, len) };
        }
    }

    /// A tensor as a vector of 32-bit floats.
    pub fn values(&self, name: &str) -> Option<Vec<f32>> {
        let info = self.tensors.get(name)?;
        to_f32(info.dtype, &self.raw(name)?)
    }
}

/// Whether a stored type can be read as 32-bit floats.
pub(crate) fn is_readable(dtype: Dtype) -> bool {
    to_f32(dtype, &[]).is_some()
}

fn to_f32(dtype: Dtype, raw: &[u8]) -> Option<Vec<f32>> {
    fn each<const N: usize>(raw: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        raw.as_chunks::<N>().0.iter().map(|b| convert(*b)).collect()
    }
    Some(match dtype {
        Dtype::F32 => each(raw, f32::from_le_bytes),
        Dtype::F16 => each(raw, |b| half::f16::from_le_bytes(b).to_f32()),
        Dtype::BF16 => each(raw, |b| half::bf16::from_le_bytes(b).to_f32()),
        Dtype::F64 => each(raw, |b| f64::from_le_bytes(b) as f32),
        Dtype::I64 => each(raw, |b| i64::from_le_bytes(b) as f32),
        Dtype::I32 => each(raw, |b| i32::from_le_bytes(b) as f32),
        _ => return None,
    })
}

/// A tensor to be written: type, shape, little-endian bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredTensor {
    /// Element type.
    pub dtype: Dtype,
    /// Shape.
    pub shape: Vec<usize>,
    /// Little-endian values, row-major.
    pub bytes: Vec<u8>,
}

impl StoredTensor {
    /// 32-bit floats, stored as they are or rounded to half precision.
    pub fn float(shape: &[usize], values: &[f32], half: bool) -> Self {
        let (dtype, bytes) = if half {
            let bytes = values
                .iter()
                .flat_map(|value| half::f16::from_f32(*value).to_le_bytes());
            (Dtype::F16, bytes.collect())
        } else {
            let bytes = values.iter().flat_map(|value| value.to_le_bytes());
            (Dtype::F32, bytes.collect())
        };
        StoredTensor {
            dtype,
            shape: shape.to_vec(),
            bytes,
        }
    }

    /// 64-bit integers.
    pub fn int64(shape: &[usize], values: &[i64]) -> Self {
        StoredTensor {
            dtype: Dtype::I64,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    /// 32-bit integers.
    pub fn int32(shape: &[usize], values: &[i32]) -> Self {
        StoredTensor {
            dtype: Dtype::I32,
            shape: shape.to_vec(),
            bytes: values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }
}

impl View for &StoredTensor {
    fn dtype(&self) -> Dtype {
        self.dtype
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes tensors to `path` under a temporary name, then renames, so that a reader (or a mapping
/// of the old file) never sees half a file. The same content is the same bytes.
///
/// # Errors
/// The folder cannot be written.
pub fn save(
    path: &Path,
    tensors: &BTreeMap<String, StoredTensor>,
    metadata: HashMap<String, String>,
) -> Result<(), WeightsError> {
    let wrong = |error: String| WeightsError::format(path, error);
    let bytes = safetensors::serialize(tensors.iter(), None).map_err(|e| wrong(e.to_string()))?;
    let bytes = with_metadata(bytes, metadata).map_err(|e| wrong(e.to_string()))?;
    replace_file(path, &bytes).map_err(|source| WeightsError::io(path, source))
}

/// Puts metadata into the header of a file that has none, sorted: the library would write them in an
/// order that changes from one process to the next.
fn with_metadata(
    mut file: Vec<u8>,
    metadata: HashMap<String, String>,
) -> Result<Vec<u8>, serde_json::Error> {
    /// The header's length, and what headers are padded to.
    const LENGTH: usize = size_of::<u64>();
    let Some(length) = file.first_chunk::<LENGTH>().map(|n| u64::from_le_bytes(*n)) else {
        return Ok(file);
    };
    let end = LENGTH + length as usize;
    let (true, Some(header)) = (!metadata.is_empty(), file.get(LENGTH..end)) else {
        return Ok(file);
    };
    let sorted: BTreeMap<String, String> = metadata.into_iter().collect();
    let entries = header.trim_ascii();
    let entries = entries.strip_prefix(b"{").unwrap_or(entries);
    let comma: &[u8] = if entries == b"}" { b"" } else { b"," };
    let mut new = b"{\"__metadata__\":".to_vec();
    serde_json::to_writer(&mut new, &sorted)?;
    new.extend([comma, entries].concat());
    new.resize(new.len().next_multiple_of(LENGTH), b' ');
    let length = (new.len() as u64).to_le_bytes();
    file.splice(..end, length.into_iter().chain(new));
    Ok(file)
}

/// Writes `bytes` beside `path` and renames.
///
/// # Errors
/// The folder cannot be written.
pub fn replace_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(name);
    let written = File::create(&part)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&part, path));
    if written.is_err() {
        // The error to report is the write's; the leftover may not even exist.
        let _ = std::fs::remove_file(&part);
    }
    written
}

/// SHA-256 of a file, as hexadecimal text.
///
/// # Errors
/// The file cannot be read.
pub fn sha256(path: &Path) -> Result<String, WeightsError> {
    let mut file = File::open(path).map_err(|source| WeightsError::io(path, source))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(|source| WeightsError::io(path, source))?;
    Ok(hasher
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_content_is_the_same_bytes() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.safetensors");
        let tensor = StoredTensor::float(&[3], &[1.0, 2.0, 3.0], false);
        let tensors = BTreeMap::from([("a".to_owned(), tensor)]);
        let mut files = Vec::new();
        for _ in 0..3 {
            // Each map has an order of its own.
            let metadata = (0..20).map(|i| (format!("name \"{i}\""), i.to_string()));
            let metadata: HashMap<String, String> = metadata.collect();
            save(&path, &tensors, metadata.clone()).expect("written");
            let file = TensorFile::open(&path).expect("valid");
            assert_eq!(file.metadata(), &metadata);
            assert_eq!(file.values("a"), Some(vec![1.0, 2.0, 3.0]));
            files.push(std::fs::read(&path).expect("readable"));
        }
        assert!(files[0] == files[1] && files[1] == files[2]);
        save(
            &path,
            &BTreeMap::new(),
            HashMap::from([("k".to_owned(), "v".to_owned())]),
        )
        .expect("written");
        assert!(TensorFile::open(&path).is_ok());
    }
}
