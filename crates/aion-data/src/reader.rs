//! Reading objects from a file of any known format: container and survey are recognised from the
//! content, every object is checked, and a bad one does not end the file.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufReader, Cursor, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use crate::check::{MIN_PIXELS, check, pad_to};
use crate::error::{DataError, Place, Problem, Result};
use crate::format::csv_table::CsvTable;
use crate::format::hdf5_table::{self, Hdf5Table};
use crate::format::parquet_table::ParquetTable;
use crate::format::table::{Rows, Table, within};
use crate::modality::ModalityId;
use crate::observation::{Measurement, Object};
use crate::survey;
use crate::tensor_files::ObservationFile;

pub use crate::read_options::{Objects, ReadOptions};

/// The objects of the file at `path`: safetensors observations, FITS (also gzipped) spectra,
/// images and tables, HDF5, Parquet, VOTable, CSV and NumPy tables. Tables are streamed.
///
/// Errors: the outer one means that the file cannot be used (unreadable, truncated, unrecognised,
/// no objects, or none in `options.rows`); an inner one that the object cannot. Both name file,
/// object and field as far as they are known.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let opened = guarded(path, || {
        let mut objects = open(path, options)?.peekable();
        match objects.peek() {
            Some(_) => Ok(objects),
            None => Err(DataError::new(Place::file(path), Problem::Empty)),
        }
    });
    let objects = opened.map_err(|error| error.in_file(path))?;
    Ok(Box::new(guarded_items(path.to_owned(), objects)))
}

/// Whether the file at `path` is Parquet.
///
/// Errors: the file cannot be read.
pub fn is_parquet(path: &Path) -> Result<bool> {
    Ok(guarded(path, || recognise(path))? == Format::Parquet)
}

/// The table in the file at `path`, with all its columns; `None` when the file holds spectra,
/// images or observations, whose objects [`read`] gives.
///
/// Errors: the file cannot be used.
pub fn open_table(path: &Path) -> Result<Option<Box<dyn Table>>> {
    let table = guarded(path, || {
        let format = recognise(path)?;
        Ok(match format {
            Format::Safetensors => None,
            Format::Fits => survey::fits_table(path)?,
            Format::Npz => survey::npz_table(path)?,
            Format::VoTable | Format::GzippedVoTable => {
                Some(survey::votable_table(path, source(path, format)?)?)
            }
            _ => Some(plain_table(path, format)?),
        })
    });
    table.map_err(|error| error.in_file(path))
}

/// The rows of a table of [`open_table`], with the cells of the columns `wanted`.
///
/// Errors: see [`Table::rows`].
pub fn table_rows(path: &Path, table: Box<dyn Table>, wanted: &[usize]) -> Result<Rows> {
    let rows = guarded(path, || table.rows(wanted, 0..u64::MAX));
    let rows = rows.map_err(|error| error.in_file(path))?;
    Ok(Box::new(guarded_items(path.to_owned(), rows)))
}

/// What a reader gives, the file named in its errors; ends after a panic, since the reader's state
/// is unknown then.
fn guarded_items<T>(
    path: PathBuf,
    mut items: impl Iterator<Item = Result<T>>,
) -> impl Iterator<Item = Result<T>> {
    let mut ended = false;
    std::iter::from_fn(move || {
        if ended {
            return None;
        }
        let item = guarded(&path, || items.next().transpose());
        ended = matches!(&item, Err(error) if is_panic(&error.problem));
        item.map_err(|error| error.in_file(&path)).transpose()
    })
}

/// The number of objects of the file at `path`, bad ones included, where its container says it
/// without being read: tables in Parquet, HDF5 and plain FITS, and safetensors.
pub fn num_objects(path: &Path) -> Option<u64> {
    let count = guarded(path, || match recognise(path)? {
        Format::Safetensors => Ok(Some(ObservationFile::open(path)?.len() as u64)),
        Format::Parquet => Ok(ParquetTable::open(path)?.row_count()),
        Format::Hdf5 => Ok(Hdf5Table::open(path)?.row_count()),
        Format::Fits => survey::rows_of_fits(path),
        _ => Ok(None),
    });
    count.ok().flatten()
}

/// The paths without those that repeat an object: of each set of one-band image files the first,
/// because reading any of them reads the set; no tables of redshifts that are read with spectra,
/// and no single exposures whose coadd is there.
pub fn without_repeats(paths: Vec<PathBuf>) -> Vec<PathBuf> {
    let replaced = |path: &PathBuf| {
        let files = guarded(path, || Ok(survey::files_replaced_by(path)));
        files.unwrap_or_default()
    };
    let replaced: BTreeSet<PathBuf> = paths.iter().flat_map(replaced).collect();
    let mut covered = BTreeSet::new();
    let mut kept = Vec::new();
    for path in paths {
        if covered.contains(&path) || replaced.contains(&path) {
            continue;
        }
        covered.extend(guarded(&path, || Ok(survey::files_read_with(&path))).unwrap_or_default());
        kept.push(path);
    }
    kept
}

/// The reason given when a file makes a reader panic, which is a bug of the reader's.
const PANIC: &str = "the reader failed on this content";

/// Runs a reader; a panic of a third-party parser becomes an error.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        let problem = Problem::Container {
            format: "data",
            reason: PANIC.into(),
        };
        Err(DataError::new(Place::file(path), problem))
    })
}

fn is_panic(problem: &Problem) -> bool {
    matches!(problem, Problem::Container { reason, .. } if reason == PANIC)
}

/// A container, from the first bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Fits,
    Npz,
    Hdf5,
    Parquet,
    Safetensors,
    Text,
    GzippedText,
    VoTable,
    GzippedVoTable,
}

fn open(path: &Path, options: &ReadOptions) -> Result<Objects> {
    let format = recognise(path)?;
    if format == Format::Safetensors {
        let checked = {
            let options = options.clone();
            move |object: Result<Object>| finish(object?, &options)
        };
        let objects = ObservationFile::open(path)?.into_objects();
        return Ok(Box::new(within(objects, options.range()).map(checked)));
    }
    let objects = match format {
        Format::Fits => survey::read_fits(path, options)?,
        Format::Npz => survey::read_npz(path, options)?,
        Format::VoTable | Format::GzippedVoTable => {
            survey::read_votable(path, source(path, format)?, options)?
        }
        _ => survey::read_table(path, &|| plain_table(path, format), options)?,
    };
    let options = options.clone();
    Ok(Box::new(objects.map(move |object| {
        let mut object = object?;
        if options.with_position {
            add_position(&mut object);
        }
        finish(object, &options)
    })))
}

/// The table of a file that can hold nothing else.
fn plain_table(path: &Path, format: Format) -> Result<Box<dyn Table>> {
    Ok(match format {
        Format::Parquet => Box::new(ParquetTable::open(path)?),
        Format::Hdf5 => Box::new(Hdf5Table::open(path)?),
        _ => Box::new(CsvTable::open(path, source(path, format)?)?),
    })
}

/// The text of a file, inflated.
fn source(path: &Path, format: Format) -> Result<Box<dyn Read + Send>> {
    let file = open_file(path)?;
    Ok(match format {
        Format::GzippedText | Format::GzippedVoTable => {
            Box::new(MultiGzDecoder::new(BufReader::new(file)))
        }
        _ => Box::new(file),
    })
}

/// Pads where asked, and checks.
fn finish(mut object: Object, options: &ReadOptions) -> Result<Object> {
    if options.pad {
        for measurement in object.measurements.values_mut() {
            if let Measurement::Image(image) = measurement {
                *image = pad_to(image.clone(), MIN_PIXELS);
            }
        }
    }
    check(&object, options)?;
    Ok(object)
}

/// The position as measurements.
fn add_position(object: &mut Object) {
    for (key, value) in [("tok_ra", object.ra), ("tok_dec", object.dec)] {
        if let Some((id, value)) = ModalityId::from_key(key).zip(value) {
            let measurement = Measurement::Scalar(value as f32);
            object.measurements.insert(id, measurement);
        }
    }
}

fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| DataError::new(Place::file(path), error.into()))
}

/// Bytes looked at to recognise a format.
const PEEK: u64 = 4096;

fn recognise(path: &Path) -> Result<Format> {
    let io = |error: std::io::Error| DataError::new(Place::file(path), error.into());
    let mut start = Vec::new();
    open_file(path)?
        .take(PEEK)
        .read_to_end(&mut start)
        .map_err(io)?;
    if start.is_empty() {
        return Err(DataError::new(Place::file(path), Problem::Empty));
    }
    if start.starts_with(&[0x1f, 0x8b]) {
        let mut inner = Vec::new();
        // A truncated stream still shows its beginning; the reader reports the rest.
        let _ = MultiGzDecoder::new(Cursor::new(&start))
            .take(64)
            .read_to_end(&mut inner);
        return Ok(match inner.as_slice() {
            start if start.starts_with(b"SIMPLE  =") => Format::Fits,
            start if is_xml(start) => Format::GzippedVoTable,
            _ => Format::GzippedText,
        });
    }
    // A character cut off at the end of what was looked at does not count.
    let text = || match std::str::from_utf8(&start) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let text = || !start.contains(&0) && text();
    Ok(match start.as_slice() {
        [b'S', b'I', b'M', b'P', b'L', b'E', b' ', b' ', b'=', ..] => Format::Fits,
        start if start.starts_with(&hdf5_table::SIGNATURE) => Format::Hdf5,
        [b'P', b'A', b'R', b'1', ..] => Format::Parquet,
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Format::Npz,
        [_, _, _, _, _, _, _, 0, b'{', ..] => Format::Safetensors,
        start if is_xml(start) => Format::VoTable,
        _ if text() => Format::Text,
        other => {
            let what = known_but_unread(other).unwrap_or(
                "expected FITS, HDF5, safetensors, Parquet, a NumPy archive (.npz), a VOTable or a \
                 text table",
            );
            return Err(DataError::new(
                Place::file(path),
                Problem::Unrecognised(what.into()),
            ));
        }
    })
}

/// Whether the first thing in a text is a tag.
fn is_xml(start: &[u8]) -> bool {
    let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    start.trim_ascii_start().starts_with(b"<")
}

/// Formats that users may try, with what to bring instead.
fn known_but_unread(start: &[u8]) -> Option<&'static str> {
    Some(match start {
        [0xff, 0xd8, 0xff, ..] | [0x89, b'P', b'N', b'G', ..] => {
            "a picture for viewing, whose stretch cannot be undone; expected the FITS cutout"
        }
        [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => {
            "a single NumPy array; expected an .npz archive"
        }
        _ => return None,
    })
}
