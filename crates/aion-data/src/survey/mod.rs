//! What surveys publish: the only place that names their columns, headers and file layouts.

pub mod band_set;
pub mod catalogue;
pub mod columns;
pub mod cutout;
pub mod hsc;
pub mod legacy_survey;
pub mod sdss;
pub mod units;

use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::FitsTable;
use crate::format::npz::NpzFile;
use crate::format::table::Table;
use crate::modality::Survey;
use crate::observation::Object;
use crate::reader::{Objects, ReadOptions};

/// The objects of a FITS file: a spectrum, an image, or the rows of its first table with a
/// recognised column.
///
/// Errors: a damaged file, or content that no reader recognises.
pub fn read_fits(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let mut file = FitsFile::open(path)?;
    if sdss::recognises(&file) {
        return one(sdss::read(&mut file, options.survey)?);
    }
    if (0..file.len()).any(|hdu| file.name(hdu) == "B_FLUX") {
        let what = "DESI spectra by arm (B_FLUX, R_FLUX, Z_FLUX); expected one merged spectrum, \
                    as observations in safetensors";
        return Err(unrecognised(path, what));
    }
    if (0..file.len()).any(|hdu| cutout::is_image(&file, hdu)) {
        return one(read_image(file, options)?);
    }
    read_tables(file, options)
}

/// The objects of a NumPy archive: an image, or the rows of arrays that share their first axis.
///
/// Errors: a damaged file, or content that no reader recognises.
pub fn read_npz(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let file = NpzFile::open(path)?;
    if hsc::recognises_arrays(&file) {
        return one(hsc::read_arrays(path, file, options.survey)?);
    }
    catalogue::read(path, Box::new(file.into_table()), options)
}

/// The files whose pixels are read together with those of `path`, itself included; none when it is
/// not one of a set of one-band images.
pub fn files_read_with(path: &Path) -> Vec<PathBuf> {
    let named_alike = [legacy_survey::BANDS, hsc::BANDS]
        .iter()
        .any(|bands| band_set::siblings(path, bands).is_some_and(|(_, members)| members.len() > 1));
    let Some(file) = named_alike.then(|| FitsFile::open(path).ok()).flatten() else {
        return Vec::new();
    };
    let set = if hsc::recognises(&file) {
        hsc::one_band_set(&file)
    } else {
        let bands = legacy_survey::band_list(&file).map(|(_, bands)| bands);
        legacy_survey::one_band_set(&file, &bands.unwrap_or_default())
    };
    let members = set.into_iter().flat_map(|(_, members)| members);
    members.map(|member| member.path).collect()
}

fn one(object: Object) -> Result<Objects> {
    Ok(Box::new(std::iter::once(Ok(object))))
}

fn read_image(mut file: FitsFile, options: &ReadOptions) -> Result<Object> {
    match options.survey {
        Some(Survey::LegacySurvey) => legacy_survey::read(&mut file),
        Some(Survey::Hsc) => hsc::read(&mut file, true),
        None if hsc::recognises(&file) => hsc::read(&mut file, false),
        None => legacy_survey::read(&mut file),
        Some(other) => {
            let what = format!("an image, but {other} has no images; expected legacy or hsc");
            Err(unrecognised(file.path(), &what))
        }
    }
}

fn read_tables(file: FitsFile, options: &ReadOptions) -> Result<Objects> {
    let path = file.path().to_owned();
    let tables: Vec<usize> = (0..file.len()).filter(|&hdu| file.is_table(hdu)).collect();
    let Some(&first) = tables.first() else {
        let what = "no image and no binary table; expected a spectrum, a cutout or a table";
        return Err(unrecognised(&path, what));
    };
    let holds_modality = |&hdu: &usize| {
        !columns::layout(&file.columns(hdu), options.survey)
            .fields
            .is_empty()
    };
    let chosen = tables.iter().copied().find(holds_modality).unwrap_or(first);
    let table: Box<dyn Table> = Box::new(FitsTable::open(file, chosen)?);
    catalogue::read(&path, table, options)
}

fn unrecognised(path: &Path, what: &str) -> DataError {
    DataError::new(Place::file(path), Problem::Unrecognised(what.into()))
}
