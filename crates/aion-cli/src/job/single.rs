//! A single output file: one unit of work, whole or absent.

use std::sync::atomic::AtomicBool;

use super::pipeline::{Run, Units};
use super::reading::Unit;
use super::tokens::{Stage, TokenBatch};
use super::writing::Written;
use crate::failure::usage;
use crate::input::{Extract, InputFile, estimate};
use crate::provenance::Provenance;
use crate::summary::Summary;

/// Runs a job into one file.
///
/// # Errors
/// As [`super::Job::run`]; there are no objects to write.
pub fn run<R: Send>(
    run: &Run<'_, R>,
    mut provenance: Provenance,
    work: impl FnMut(&mut Stage<'_>, TokenBatch) -> anyhow::Result<Vec<R>>,
) -> anyhow::Result<()> {
    let job = run.job;
    let whole = |file: &InputFile| Extract {
        file: file.clone(),
        rows: None,
        first: None,
    };
    let mut unit = Some(Unit {
        number: 0,
        extracts: job.files.iter().map(whole).collect(),
        claim: None,
    });
    let mut written: Option<Written> = None;
    let units = Units {
        objects: estimate(job.files),
        next: |_: &AtomicBool| Ok(unit.take()),
        path: |_| job.output.to_owned(),
        end: |end| {
            written = Some(end);
            Ok(())
        },
    };
    run.pipeline(&mut provenance, units, work)?;
    let Some(written) = written.filter(|written| written.path.is_some()) else {
        return Err(usage(format!("no objects for {}", job.output.display())));
    };
    Summary {
        output: job.output,
        objects: usize::try_from(written.rows)?,
        problems: &written.ended.problems,
        ranges: job.encodes.then_some(&written.ended.ranges),
        more: provenance.summary(&written.ended.record)?,
    }
    .print(job.json)
}
