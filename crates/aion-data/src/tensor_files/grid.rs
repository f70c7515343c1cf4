//! The grids that a file of observations is sampled on, for decoding tokens onto the same grids.

use std::collections::BTreeMap;
use std::path::Path;

use super::container::TensorFile;
use super::layout;
use super::read::{split_bands, split_name};
use crate::error::{DataError, Place, Problem, Result};
use crate::modality::{Kind, ModalityId};

/// What decoded measurements of a modality are to be sampled on.
#[derive(Debug, Clone, PartialEq)]
pub enum Grid {
    /// Bands of an image, upper case.
    Bands(Vec<String>),
    /// Wavelengths of a spectrum, Angstrom, one list a row of the file.
    Wavelengths(Vec<Vec<f32>>),
}

/// Bands of images (metadata `<key>/bands`) and wavelengths of spectra (`<key>/wavelength`) in a
/// safetensors file; a file with nothing but these will do.
///
/// # Errors
/// [`Problem::Io`] and [`Problem::Container`] for unreadable files; [`Problem::UnknownModality`],
/// [`Problem::Shape`] and [`Problem::Values`] for wavelengths that are not (B, N) numbers;
/// [`Problem::Missing`] where the file gives no grid at all.
pub fn read_grids(path: &Path) -> Result<BTreeMap<ModalityId, Grid>> {
    let file = TensorFile::open(path)?;
    let mut grids = BTreeMap::new();
    for name in file.names().filter(|name| name.ends_with("/wavelength")) {
        let (modality, _) = split_name(&file, name)?;
        grids.insert(modality, Grid::Wavelengths(wavelengths(&file, name)?));
    }
    for (name, bands) in file.metadata() {
        let modality = name.strip_suffix("/bands").and_then(ModalityId::from_key);
        if let Some(modality) = modality.filter(|id| id.info().kind == Kind::Image) {
            grids.insert(modality, Grid::Bands(split_bands(bands)));
        }
    }
    if grids.is_empty() {
        let problem = Problem::Missing("bands or wavelengths to decode onto".to_owned());
        return Err(DataError::new(Place::file(path), problem));
    }
    Ok(grids)
}

fn wavelengths(file: &TensorFile, name: &str) -> Result<Vec<Vec<f32>>> {
    let tensor = file.require(name)?;
    if layout::fits(Kind::Spectrum, 0, tensor.shape()) {
        return (0..tensor.rows()).map(|row| tensor.f32_row(row)).collect();
    }
    let problem = Problem::Shape {
        found: format!("{:?}", tensor.shape()),
        expected: layout::expected(Kind::Spectrum, 0),
    };
    Err(DataError::new(tensor.place(), problem))
}
