//! Writing the safetensors container: rows are drawn as they are written, so that nothing is held
//! twice, and the bytes depend on the content alone.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use half::{bf16, f16};
use serde_json::{Map, Value, json};

use crate::atomic::{io_error, write_atomically};
use crate::error::{DataError, Place, Problem, Result};

/// Readers refuse longer headers.
const LONGEST_HEADER: usize = 100_000_000;

/// Rows of numbers, in order; the type of the numbers is the tensor's.
pub(crate) enum Rows<'a> {
    F32(RowsOf<'a, f32>),
    /// Rounded to half precision.
    F16(RowsOf<'a, f32>),
    /// Rounded to the upper half of single precision.
    Bf16(RowsOf<'a, f32>),
    F64(RowsOf<'a, f64>),
    I64(RowsOf<'a, i64>),
    Bool(RowsOf<'a, bool>),
    U8(RowsOf<'a, u8>),
}

/// Rows of one type, borrowed where they exist already and owned where they are padding.
pub(crate) type RowsOf<'a, T> = Box<dyn Iterator<Item = Cow<'a, [T]>> + 'a>;

/// A tensor to write.
pub(crate) struct TensorOut<'a> {
    pub name: String,
    /// Rows first.
    pub shape: Vec<usize>,
    pub rows: Rows<'a>,
}

impl<'a> TensorOut<'a> {
    pub fn new(name: impl Into<String>, shape: Vec<usize>, rows: Rows<'a>) -> Self {
        TensorOut {
            name: name.into(),
            shape,
            rows,
        }
    }

    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.rows.layout().1
    }
}

impl Rows<'_> {
    /// Name in the header and bytes of one number.
    fn layout(&self) -> (&'static str, usize) {
        match self {
            Rows::F32(_) => ("F32", 4),
            Rows::F16(_) => ("F16", 2),
            Rows::Bf16(_) => ("BF16", 2),
            Rows::F64(_) => ("F64", 8),
            Rows::I64(_) => ("I64", 8),
            Rows::Bool(_) => ("BOOL", 1),
            Rows::U8(_) => ("U8", 1),
        }
    }
}

/// Writes tensors and metadata to `path`, whole or not at all.
pub(crate) fn write_tensors(
    path: &Path,
    mut tensors: Vec<TensorOut<'_>>,
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    // Wide numbers first keeps every tensor aligned; names make the order, hence the bytes, unique.
    tensors.sort_by(|a, b| {
        let width = |tensor: &TensorOut<'_>| tensor.rows.layout().1;
        width(b).cmp(&width(a)).then_with(|| a.name.cmp(&b.name))
    });
    let header = header(path, &tensors, metadata)?;
    write_atomically(path, |file| {
        let mut out = BufWriter::with_capacity(1 << 20, file);
        put(path, &mut out, &(header.len() as u64).to_le_bytes())?;
        put(path, &mut out, &header)?;
        for tensor in tensors {
            write_tensor(path, &mut out, tensor)?;
        }
        out.flush().map_err(|error| io_error(path, error))
    })
}

fn header(
    path: &Path,
    tensors: &[TensorOut<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<u8>> {
    let mut header = Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".to_owned(), json!(metadata));
    }
    let mut start = 0;
    for tensor in tensors {
        let end = start + tensor.bytes();
        let (dtype, _) = tensor.rows.layout();
        header.insert(
            tensor.name.clone(),
            json!({"dtype": dtype, "shape": tensor.shape, "data_offsets": [start, end]}),
        );
        start = end;
    }
    let mut text = Value::Object(header).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    if text.len() > LONGEST_HEADER {
        let problem = "identifiers and metadata exceed the 100 MB that a safetensors header holds; \
                       write fewer objects a file, or Parquet";
        return Err(DataError::new(
            Place::file(path),
            Problem::Values(problem.to_owned()),
        ));
    }
    Ok(text)
}

type Out<'a> = BufWriter<&'a mut File>;

fn write_tensor(path: &Path, out: &mut Out<'_>, tensor: TensorOut<'_>) -> Result<()> {
    let expected = tensor.bytes();
    let name = tensor.name;
    let written = match tensor.rows {
        Rows::F32(rows) => write_rows(path, out, rows, f32::to_le_bytes),
        Rows::F16(rows) => write_rows(path, out, rows, |v| f16::from_f32(v).to_le_bytes()),
        Rows::Bf16(rows) => write_rows(path, out, rows, |v| bf16::from_f32(v).to_le_bytes()),
        Rows::F64(rows) => write_rows(path, out, rows, f64::to_le_bytes),
        Rows::I64(rows) => write_rows(path, out, rows, i64::to_le_bytes),
        Rows::Bool(rows) => write_rows(path, out, rows, |bad| [u8::from(bad)]),
        Rows::U8(rows) => write_rows(path, out, rows, u8::to_le_bytes),
    }?;
    if written == expected {
        return Ok(());
    }
    let problem = Problem::Shape {
        found: format!("{written} bytes"),
        expected: format!("{expected} bytes for shape {:?}", tensor.shape),
    };
    Err(DataError::new(Place::file(path).with_field(name), problem))
}

/// Writes rows and returns the number of bytes.
fn write_rows<'a, T: Copy + 'a, const N: usize>(
    path: &Path,
    out: &mut Out<'_>,
    rows: impl Iterator<Item = Cow<'a, [T]>>,
    encode: impl Fn(T) -> [u8; N],
) -> Result<usize>
where
    [T]: ToOwned<Owned = Vec<T>>,
{
    let mut written = 0;
    let mut bytes = Vec::new();
    for row in rows {
        for values in row.chunks(1 << 14) {
            bytes.clear();
            for value in values {
                bytes.extend_from_slice(&encode(*value));
            }
            put(path, out, &bytes)?;
        }
        written += row.len() * N;
    }
    Ok(written)
}

fn put(path: &Path, out: &mut Out<'_>, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes).map_err(|error| io_error(path, error))
}
