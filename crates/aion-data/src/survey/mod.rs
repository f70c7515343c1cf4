//! What surveys publish: the only place that names their columns, headers and file layouts.

pub mod astrometry;
pub mod band_set;
pub mod brick;
pub mod catalogue;
pub mod column_map;
pub mod columns;
pub mod cutout;
pub mod desi;
pub mod desi_arms;
pub mod flux_unit;
mod gaia;
pub mod hsc;
pub mod legacy_survey;
pub mod multimodal_universe;
pub mod pairs;
pub mod redshifts;
pub mod sdss;
pub mod sdss_image;
pub mod sdss_plate;
mod sentinel;
pub mod spectra;
pub mod units;
pub mod universe_columns;
pub mod vacuum;
pub mod zeropoint;

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};
use crate::format::fits::FitsFile;
use crate::format::fits_table::FitsTable;
use crate::format::npz::NpzFile;
use crate::format::table::{Table, within};
use crate::format::votable::VoTable;
use crate::modality::Survey;
use crate::observation::Object;
use crate::read_options::{Objects, ReadOptions};

/// The objects of a FITS file: its spectra, an image, or the rows of its first table with a
/// recognised column.
///
/// Errors: a damaged file, or content that no reader recognises.
pub fn read_fits(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let file = FitsFile::open(path)?;
    sdss::refuse_rest_frame(&file)?;
    if desi::recognises(&file) {
        return desi::read(file, options);
    }
    if sdss_plate::recognises(&file) {
        return sdss_plate::read(file, options);
    }
    if is_table(&file) {
        return read_tables(file, options);
    }
    Ok(Box::new(within(
        read_observed(file, options)?,
        options.range(),
    )))
}

/// The number of objects of a FITS file that holds a table of them, or spectra as rows of images;
/// `None` for other content, for several tables, among which survey and column map decide, and for
/// compressed files, which would have to be read.
///
/// Errors: a damaged file.
pub fn rows_of_fits(path: &Path) -> Result<Option<u64>> {
    if path.extension().is_some_and(|extension| extension == "gz") {
        return Ok(None);
    }
    let file = FitsFile::open(path)?;
    if desi::recognises(&file) {
        return desi::num_objects(file).map(Some);
    }
    if sdss_plate::recognises(&file) {
        return Ok(sdss_plate::num_objects(&file));
    }
    let tables = (0..file.len()).filter(|&hdu| file.is_table(hdu));
    if !is_table(&file) || tables.count() != 1 {
        return Ok(None);
    }
    let (_, table) = table_of_objects(file, &ReadOptions::default())?;
    Ok(table.row_count())
}

/// The table of a FITS file, if possible one with positions; `None` when the file holds spectra or
/// images.
///
/// Errors: a damaged file, no table.
pub fn fits_table(path: &Path) -> Result<Option<Box<dyn Table>>> {
    let file = FitsFile::open(path)?;
    if desi::recognises(&file) || sdss_plate::recognises(&file) || !is_table(&file) {
        return Ok(None);
    }
    let has_position = |&hdu: &usize| {
        let layout = columns::layout(&file.columns(hdu), None);
        file.is_table(hdu) && layout.position.is_some()
    };
    Ok(Some(match (0..file.len()).find(has_position) {
        Some(hdu) => Box::new(FitsTable::open(file, hdu)?),
        None => Box::new(table_of_objects(file, &ReadOptions::default())?.1),
    }))
}

/// The table of a NumPy archive; `None` when it holds an image.
///
/// Errors: a damaged file.
pub fn npz_table(path: &Path) -> Result<Option<Box<dyn Table>>> {
    let file = NpzFile::open(path)?;
    Ok(
        match hsc::recognises_arrays(&file) || desi::recognises_arrays(&file) {
            true => None,
            false => Some(Box::new(file.into_table())),
        },
    )
}

/// Whether the file is neither a spectrum nor an image.
fn is_table(file: &FitsFile) -> bool {
    let is_image = |hdu| cutout::is_image(file, hdu);
    let uncovered = legacy_survey::is_uncovered(file);
    !sdss::recognises(file) && !uncovered && !(0..file.len()).any(is_image)
}

/// The object of a file that is not a table.
fn read_observed(mut file: FitsFile, options: &ReadOptions) -> Result<Objects> {
    if sdss::recognises(&file) {
        return one(sdss::read(&mut file, options)?);
    }
    if sdss_image::recognises(&file) {
        return one(sdss_image::read(&mut file, options)?);
    }
    one(read_image(file, options)?)
}

/// The objects of a NumPy archive: an image, a spectrum, or the rows of arrays that share their first axis.
///
/// Errors: a damaged file, or content that no reader recognises.
pub fn read_npz(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let file = NpzFile::open(path)?;
    if hsc::recognises_arrays(&file) {
        let object = one(hsc::read_arrays(path, file, options.survey)?)?;
        return Ok(Box::new(within(object, options.range())));
    }
    if desi::recognises_arrays(&file) {
        let object = one(desi::read_arrays(path, file, options)?)?;
        return Ok(Box::new(within(object, options.range())));
    }
    catalogue::read(path, Box::new(file.into_table()), options)
}

/// The objects of a VOTable: the rows of its first table with a recognised column.
///
/// Errors: a damaged document, an error message instead of a table, no recognised column.
pub fn read_votable(
    path: &Path,
    source: Box<dyn Read + Send>,
    options: &ReadOptions,
) -> Result<Objects> {
    let mut tables = VoTable::open(path, source);
    let mut first = None;
    while tables.next_table()? {
        if catalogue::holds_objects(tables.columns(), options) {
            return catalogue::read(path, Box::new(tables), options);
        }
        first.get_or_insert_with(|| tables.columns().to_vec());
    }
    match first {
        Some(columns) => Err(catalogue::not_objects(path, &columns, options)),
        None => Err(unrecognised(path, "a VOTable without a table of data")),
    }
}

/// The files beside `path` about the same objects, which reading `path` makes unnecessary: tables
/// of redshifts that are joined with spectra, and single exposures of coadded ones.
pub fn files_replaced_by(path: &Path) -> Vec<PathBuf> {
    let mut files = desi::files_replaced_by(path);
    files.extend(sdss_plate::files_replaced_by(path));
    files
}

/// The first table of a VOTable with positions.
///
/// Errors: a damaged file, no such table.
pub fn votable_table(path: &Path, source: Box<dyn Read + Send>) -> Result<Box<dyn Table>> {
    let mut tables = VoTable::open(path, source);
    while tables.next_table()? {
        if columns::layout(tables.columns(), None).position.is_some() {
            return Ok(Box::new(tables));
        }
    }
    let what = Problem::Missing("a table with columns of position (ra and dec)".into());
    Err(DataError::new(Place::file(path), what))
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
        Some(Survey::LegacySurvey) => legacy_survey::read(&mut file, options),
        Some(Survey::Hsc) => hsc::read(&mut file, options),
        None if hsc::recognises(&file) => hsc::read(&mut file, options),
        None => legacy_survey::read(&mut file, options),
        Some(other) => {
            let what = format!("an image, but {other} has no images; expected legacy or hsc");
            Err(unrecognised(file.path(), &what))
        }
    }
}

fn read_tables(file: FitsFile, options: &ReadOptions) -> Result<Objects> {
    let (path, table) = table_of_objects(file, options)?;
    if !pairs::recognises(table.columns()) {
        return read_rows(&path, Box::new(table), options);
    }
    let open = || -> Result<Box<dyn Table>> {
        Ok(Box::new(
            table_of_objects(FitsFile::open(&path)?, options)?.1,
        ))
    };
    read_table(&path, &open, options)
}

/// The objects of a table: one a row, be it a pair or not.
///
/// Errors: no recognised column, a column that is wrong.
pub fn read_table(path: &Path, open: pairs::Open, options: &ReadOptions) -> Result<Objects> {
    let table = open()?;
    if pairs::recognises(table.columns()) {
        return pairs::read(open, &|open| read_table(path, open, options), options);
    }
    read_rows(path, table, options)
}

fn read_rows(path: &Path, table: Box<dyn Table>, options: &ReadOptions) -> Result<Objects> {
    if multimodal_universe::recognises(table.columns()) {
        return multimodal_universe::read(path, table, options);
    }
    catalogue::read(path, table, options)
}

/// The first table with a recognised column, or the first of all.
fn table_of_objects(file: FitsFile, options: &ReadOptions) -> Result<(PathBuf, FitsTable)> {
    let path = file.path().to_owned();
    let tables: Vec<usize> = (0..file.len()).filter(|&hdu| file.is_table(hdu)).collect();
    let Some(&first) = tables.first() else {
        let what = "no image and no binary table; expected a spectrum, a cutout or a table";
        return Err(unrecognised(&path, what));
    };
    let holds_objects = |&hdu: &usize| {
        let columns = file.columns(hdu);
        catalogue::holds_objects(&columns, options) || multimodal_universe::recognises(&columns)
    };
    let chosen = tables.iter().copied().find(holds_objects).unwrap_or(first);
    Ok((path, FitsTable::open(file, chosen)?))
}

fn unrecognised(path: &Path, what: &str) -> DataError {
    DataError::new(Place::file(path), Problem::Unrecognised(what.into()))
}
