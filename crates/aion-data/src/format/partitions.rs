//! Folders of partitions by HEALPix cell: HATS catalogues and collections
//! (`dataset/Norder=k/Dir=d/Npix=n.parquet`), and the Multimodal Universe's version 1
//! (`healpix=N/001-of-001.hdf5`).

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{DataError, Place, Problem, Result};

/// What describes a collection, and the line of it that names the folder of its catalogue.
const COLLECTION: &str = "collection.properties";
const PRIMARY: &str = "hats_primary_table_url";
/// The folder of a catalogue's partitions; catalogues before HATS have them at their root.
const DATASET: &str = "dataset";
/// The order that cells of all orders are compared at.
const DEEPEST: u32 = 29;
/// How far below a folder the cells of version 1 are looked for: data set and configuration.
const LEVELS: usize = 2;

/// The partition files of a folder in the order of their cells on the sky; `None` when the folder
/// is not partitioned. Of a collection the catalogue's, without its margins. What else stands beside
/// partitions (metadata, lock files, maps) is left out.
///
/// Errors: a folder that cannot be read; a collection that does not name its catalogue; no
/// partition in it.
pub fn partitions(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    if folder.join(COLLECTION).is_file() {
        let catalogue = folder.join(primary(&folder.join(COLLECTION))?);
        return match hats(&catalogue)? {
            Some(files) => Ok(Some(files)),
            None => Err(DataError::new(Place::file(&catalogue), Problem::Empty)),
        };
    }
    if let Some(files) = hats(folder)? {
        return Ok(Some(files));
    }
    let mut files = Vec::new();
    add_cells(folder, LEVELS, &mut files)?;
    Ok(Some(files).filter(|files| !files.is_empty()))
}

/// The folder that a collection names as its catalogue.
fn primary(properties: &Path) -> Result<String> {
    let text = fs::read_to_string(properties).map_err(|error| io(properties, error))?;
    let value = text.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == PRIMARY).then(|| value.trim().to_owned())
    });
    value.filter(|value| !value.is_empty()).ok_or_else(|| {
        let problem = Problem::Missing("folder of the collection's catalogue".into());
        DataError::new(Place::file(properties).with_field(PRIMARY), problem)
    })
}

/// The partitions of a HATS catalogue; `None` when the folder is none.
fn hats(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    let dataset = folder.join(DATASET);
    let root = if dataset.is_dir() { &dataset } else { folder };
    let mut found: Vec<(u64, PathBuf)> = Vec::new();
    let mut is_hats = false;
    for (order, path) in numbered(root, "Norder=")? {
        is_hats = true;
        for (_, folder) in numbered(&path, "Dir=")? {
            for (pixel, partition) in numbered(&folder, "Npix=")? {
                let deeper = 2 * DEEPEST.saturating_sub(u32::try_from(order).unwrap_or(DEEPEST));
                let start = pixel.checked_shl(deeper).unwrap_or(u64::MAX);
                let files = match partition.is_dir() {
                    true => with_ending(&partition, &["parquet"])?,
                    false if has_ending(&partition, &["parquet"]) => vec![partition],
                    false => Vec::new(),
                };
                found.extend(files.into_iter().map(|file| (start, file)));
            }
        }
    }
    if is_hats && found.is_empty() {
        return Err(DataError::new(Place::file(folder), Problem::Empty));
    }
    found.sort();
    Ok(Some(found.into_iter().map(|(_, file)| file).collect()).filter(|_| is_hats))
}

/// Adds the files of a folder's `healpix=N` folders, in the order of N, or of those further down.
fn add_cells(folder: &Path, levels: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut cells = numbered(folder, "healpix=")?;
    cells.sort();
    for (_, cell) in &cells {
        files.extend(with_ending(cell, &["hdf5", "h5"])?);
    }
    if cells.is_empty() && levels > 0 {
        let mut folders: Vec<PathBuf> = entries(folder)?;
        folders.retain(|path| path.is_dir());
        for folder in folders {
            add_cells(&folder, levels - 1, files)?;
        }
    }
    Ok(())
}

/// The entries whose names are `prefix` and a number, ending or not, with the number.
fn numbered(folder: &Path, prefix: &str) -> Result<Vec<(u64, PathBuf)>> {
    let number = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.strip_prefix(prefix)?;
        let number = name.split('.').next()?.parse().ok()?;
        Some((number, path))
    };
    Ok(entries(folder)?.into_iter().filter_map(number).collect())
}

/// The files with one of these endings, sorted.
fn with_ending(folder: &Path, endings: &[&str]) -> Result<Vec<PathBuf>> {
    let mut files = entries(folder)?;
    files.retain(|path| path.is_file() && has_ending(path, endings));
    Ok(files)
}

fn has_ending(path: &Path, endings: &[&str]) -> bool {
    let ending = path.extension().and_then(|ending| ending.to_str());
    ending.is_some_and(|ending| endings.contains(&ending))
}

/// The entries of a folder that are not hidden, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| io(folder, error))? {
        let path = entry.map_err(|error| io(folder, error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy());
        if name.is_some_and(|name| !name.starts_with(['.', '_'])) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn io(path: &Path, error: std::io::Error) -> DataError {
    DataError::new(Place::file(path), error.into())
}
