//! The end of a directory of shards: all files get the same columns, and the manifest is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use aion_data::parquet_writer::{Rank, add_columns, columns_of};
use aion_data::shards::{Claimed, ShardReport, WorkFolder};
use serde_json::json;

use super::directory::{Sum, file_report, shard_path};
use super::{Job, hats};
use crate::provenance::{Provenance, Record};

/// Pause while another worker finishes the output.
const PAUSE: Duration = Duration::from_millis(200);

/// Finishes the output where all shards, which lie in the folder `at`, are complete; false where some
/// are not yet.
///
/// # Errors
/// A shard or the manifest cannot be read or written.
pub fn finish<R>(
    folder: &WorkFolder,
    at: &Path,
    job: &Job<'_, R>,
    provenance: &mut Provenance,
    record: &Record,
) -> anyhow::Result<bool> {
    loop {
        if folder.manifest()?.is_some() {
            // Whoever wrote it may have been killed before its claim was gone.
            folder.sweep()?;
            return Ok(true);
        }
        let Some(reports) = folder.reports(at)? else {
            return Ok(folder.manifest()?.is_some());
        };
        let Claimed::Mine { claim, .. } = folder.claim_finish()? else {
            thread::sleep(PAUSE);
            continue;
        };
        if folder.manifest()?.is_none() {
            let reports = match job.format.rank {
                Some(rank) => same_columns(folder, at, reports, rank)?,
                None => reports,
            };
            let sum = Sum::of(reports.clone(), record)?;
            let made_with = provenance.metadata(&sum.record)?;
            let files = match job.hats {
                Some(catalogue) => Some(hats::make(folder, at, &reports, catalogue, &made_with)?),
                None => None,
            };
            folder.sweep()?;
            let details = BTreeMap::from([
                (
                    "ranges".to_owned(),
                    serde_json::to_value(sum.ranges.saved())?,
                ),
                ("made_with".to_owned(), json!(made_with)),
            ]);
            folder.finish(&reports, files, details)?;
            if job.hats.is_some() {
                std::fs::remove_dir_all(at)?;
            }
        }
        claim.settle()?;
        return Ok(true);
    }
}

/// Gives every shard the columns that any has, so that they read as one table.
fn same_columns(
    folder: &WorkFolder,
    at: &Path,
    mut reports: Vec<ShardReport>,
    rank: Rank,
) -> anyhow::Result<Vec<ShardReport>> {
    let paths = reports.iter().filter_map(|report| shard_path(at, report));
    let paths: Vec<PathBuf> = paths.collect();
    let columns = columns_of(paths.iter().map(PathBuf::as_path), rank)?;
    for (shard, report) in reports.iter_mut().enumerate() {
        let Some(path) = shard_path(at, report) else {
            continue;
        };
        if add_columns(&path, &columns)? {
            let file = file_report(&path, report.objects)?;
            report.bytes = file.bytes;
            report.sha256 = file.sha256;
            folder.replace_report(shard, report)?;
        }
    }
    Ok(reports)
}
