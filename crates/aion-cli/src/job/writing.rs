//! The writing stage: rows of units to files.

use std::path::PathBuf;
use std::sync::mpsc::Receiver;

use aion_data::shards::Claim;
use aion_data::table_out::Floats;

use crate::output::{Format, Metadata, RowWriter};
use crate::problems::Problems;
use crate::provenance::Record;
use crate::ranges::Ranges;

/// What the writing stage is told.
pub enum Write<R> {
    /// A unit begins, by its number.
    Begin(usize),
    /// Rows of the unit at hand.
    Rows(Vec<R>),
    /// The unit ends.
    End(Box<Ended>),
}

/// The end of a unit.
pub struct Ended {
    /// The claim on it.
    pub claim: Option<Claim>,
    /// The file's metadata.
    pub metadata: Metadata,
    /// Objects left out.
    pub problems: Problems,
    /// Values out of range.
    pub ranges: Ranges,
    /// What was used.
    pub record: Record,
}

/// A unit that was written.
pub struct Written {
    /// Its number.
    pub number: usize,
    /// Its file; none where there were no rows.
    pub path: Option<PathBuf>,
    /// Its rows.
    pub rows: u64,
    /// What else is known of it.
    pub ended: Ended,
}

/// A file with the number of its rows.
type Open<R> = (PathBuf, Box<dyn RowWriter<R>>, u64);

/// Writes unit after unit until the other stages are through. `path` names a unit's file; `end` is told
/// of each when it is there. What is unfinished then is removed.
///
/// # Errors
/// A file cannot be written; what `end` returns.
pub fn run<R>(
    (format, floats): (&Format<R>, Floats),
    from: &Receiver<Write<R>>,
    path: impl Fn(usize) -> PathBuf,
    mut end: impl FnMut(Written) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut number = 0;
    let mut open: Option<Open<R>> = None;
    for message in from {
        match message {
            Write::Begin(unit) => number = unit,
            Write::Rows(rows) if rows.is_empty() => {}
            Write::Rows(rows) => {
                let (_, writer, count) = match &mut open {
                    Some(open) => open,
                    None => {
                        let path = path(number);
                        let writer = (format.create)(&path, floats)?;
                        open.insert((path, writer, 0))
                    }
                };
                *count += rows.len() as u64;
                writer.push(rows)?;
            }
            Write::End(ended) => {
                let mut written = Written {
                    number,
                    path: None,
                    rows: 0,
                    ended: *ended,
                };
                if let Some((path, writer, rows)) = open.take() {
                    writer.finish(&written.ended.metadata)?;
                    written.path = Some(path);
                    written.rows = rows;
                }
                end(written)?;
            }
        }
    }
    Ok(())
}
