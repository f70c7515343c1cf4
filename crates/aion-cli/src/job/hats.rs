//! A HATS catalogue made of shards: partitions of the sky in place of those of the input.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use aion_data::hats::{Cell, complete};
use aion_data::hats_rows::Counts;
use aion_data::parquet_writer::describe;
use aion_data::shards::{ShardFile, ShardReport, WorkFolder};

use super::directory::{file_report, shard_path};
use crate::failure::usage;
use crate::output::Metadata;

/// Sorts the rows of all shards into partitions, those of the input where its files are such, and
/// completes the folder to a catalogue. Done again, it gives the same bytes.
///
/// # Errors
/// There are no rows; a file cannot be read or written.
pub fn make(
    folder: &WorkFolder,
    at: &Path,
    reports: &[ShardReport],
    (name, most): (&str, u64),
    metadata: &Metadata,
) -> anyhow::Result<Vec<ShardFile>> {
    let output = folder.output();
    let shards = reports.iter().filter_map(|report| shard_path(at, report));
    let shards: Vec<PathBuf> = shards.collect();
    let Some(first) = shards.first() else {
        return Err(usage(format!("no objects for {}", output.display())));
    };
    let (schema, _) = describe(first)?;
    let counts = Counts::of(&shards)?;
    let partitions = counts.partitions(&given(folder), most);
    counts.write(&partitions, (&schema, metadata), output)?;
    let fields = schema.fields().iter().map(|field| field.as_ref().clone());
    complete(
        output,
        name,
        fields.collect(),
        &partitions,
        &BTreeMap::new(),
    )?;
    let file = |(cell, rows): (&Cell, &u64)| {
        let path = cell.path();
        let report = file_report(&output.join(&path), *rows)?;
        Ok(ShardFile {
            file: Some(path.display().to_string()),
            ..ShardFile::from(&report)
        })
    };
    partitions.iter().map(file).collect()
}

/// The partitions of the input; none unless all of its files are.
fn given(folder: &WorkFolder) -> Vec<Cell> {
    let inputs = folder.plan().inputs.iter();
    let cells = inputs.map(|input| Cell::of_path(Path::new(&input.path)));
    let cells: Option<Vec<Cell>> = cells.collect();
    let mut cells = cells.unwrap_or_default();
    // A partition may be several files.
    cells.sort();
    cells.dedup();
    cells
}

/// Checks that a finished catalogue still has its partitions.
///
/// # Errors
/// One is missing or was changed.
pub fn check(folder: &WorkFolder) -> anyhow::Result<()> {
    let files = folder.manifest()?.map(|manifest| manifest.files);
    for file in files.into_iter().flatten() {
        let Some(name) = file.file else { continue };
        let path = folder.output().join(&name);
        let found = std::fs::metadata(&path).map(|found| found.len()).ok();
        if found != Some(file.bytes) {
            return Err(usage(format!(
                "{}: a partition of a finished catalogue is missing or was changed; begin anew",
                path.display()
            )));
        }
    }
    Ok(())
}
