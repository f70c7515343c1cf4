//! Tensor files of tests: read into plain vectors, written from them.

use std::collections::HashMap;
use std::path::Path;

use aion_data::tensor_files::TensorFile;
use safetensors::tensor::{Dtype, TensorView};

/// A tensor with its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Array {
    pub shape: Vec<usize>,
    pub values: Vec<f64>,
}

impl Array {
    /// Numbers in each entry of the first `axes` axes.
    pub fn width(&self, axes: usize) -> usize {
        self.shape[axes..].iter().product()
    }

    /// Row `row` along the first axis.
    pub fn row(&self, row: usize) -> &[f64] {
        let width = self.width(1);
        &self.values[row * width..(row + 1) * width]
    }
}

/// The tensor called `name`, if the file has it.
pub fn read(path: &Path, name: &str) -> Option<Array> {
    let file = TensorFile::open(path).expect("a readable tensor file");
    let tensor = file.get(name)?;
    let row = |row| match tensor.f64_row(row) {
        Ok(values) => values,
        Err(_) => {
            let values = tensor.integer_row(row).expect("numbers");
            values.into_iter().map(|value| value as f64).collect()
        }
    };
    Some(Array {
        shape: tensor.shape().to_vec(),
        values: (0..tensor.rows()).flat_map(row).collect(),
    })
}

/// Names of the tensors of a file.
pub fn names(path: &Path) -> Vec<String> {
    let file = TensorFile::open(path).expect("a readable tensor file");
    file.names().map(str::to_owned).collect()
}

/// An entry of a file's metadata.
pub fn metadata(path: &Path, key: &str) -> Option<String> {
    let file = TensorFile::open(path).expect("a readable tensor file");
    file.metadata().get(key).cloned()
}

/// A tensor file in the making.
#[derive(Default)]
pub struct Tensors {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl Tensors {
    pub fn new() -> Self {
        Tensors::default()
    }

    pub fn f32(mut self, name: &str, shape: &[usize], values: Vec<f32>) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensors
            .push((name.to_owned(), Dtype::F32, shape.to_vec(), bytes));
        self
    }

    pub fn i64(mut self, name: &str, shape: &[usize], values: Vec<i64>) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.tensors
            .push((name.to_owned(), Dtype::I64, shape.to_vec(), bytes));
        self
    }

    pub fn note(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    pub fn write(self, path: &Path) {
        let views = self.tensors.iter().map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor");
            (name.clone(), view)
        });
        let metadata = (!self.metadata.is_empty()).then_some(self.metadata.clone());
        let bytes = safetensors::serialize(views, metadata).expect("a tensor file");
        std::fs::write(path, bytes).expect("written");
    }
}

/// A gentle pattern without repeats, for pixels that do not matter.
pub fn pattern(count: usize, seed: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 7919 + seed * 104_729) % 1000) as f32 / 1000.0;
    (0..count).map(value).collect()
}

/// Legacy Survey images of `side` pixels in g, r, z, called `first`, `first + 1`, ...
pub fn images(first: usize, count: usize, side: usize) -> Tensors {
    let ids: Vec<i64> = (first..first + count).map(|id| id as i64).collect();
    Tensors::new()
        .f32(
            "tok_image/flux",
            &[count, 3, side, side],
            pattern(count * 3 * side * side, first),
        )
        .i64("object_id", &[count], ids)
        .note("tok_image/bands", "DES-G,DES-R,DES-Z")
}

/// Fields of SDSS spectra of `pixels` pixels, to be changed and written by tests.
pub struct Spectra {
    pub count: usize,
    pub pixels: usize,
    pub flux: Vec<f32>,
    pub ivar: Vec<f32>,
    pub wavelength: Vec<f32>,
}

impl Spectra {
    pub fn new(count: usize, pixels: usize) -> Self {
        let grid = (0..pixels).map(|pixel| 3800.0 + 1.4 * pixel as f32);
        let grid: Vec<f32> = grid.collect();
        Spectra {
            count,
            pixels,
            flux: pattern(count * pixels, 3),
            ivar: vec![1.0; count * pixels],
            wavelength: grid.repeat(count),
        }
    }

    pub fn write(self, path: &Path) {
        let shape = [self.count, self.pixels];
        let ids: Vec<String> = (0..self.count).map(|id| format!("\"spec-{id}\"")).collect();
        Tensors::new()
            .f32("tok_spectrum_sdss/flux", &shape, self.flux)
            .f32("tok_spectrum_sdss/ivar", &shape, self.ivar)
            .f32("tok_spectrum_sdss/wavelength", &shape, self.wavelength)
            .note("object_id", &format!("[{}]", ids.join(",")))
            .write(path);
    }
}
