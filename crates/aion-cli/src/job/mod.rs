//! A command's way over its input: rows are read, computed on and written at the same time, into one
//! file or into a directory of shards.
//!
//! Three stages run side by side: a thread reads ahead, the caller computes, a thread writes. What lies
//! between them is bounded, so a slow stage holds up those before it, and memory stays flat. The unit of
//! work is a list of extracts of files with one output file: everything for a single file, and a shard
//! otherwise. Batches never reach from one unit into the next, so that a unit's result depends on it alone.

mod args;
mod chunk;
mod directory;
mod end;
mod hats;
mod pipeline;
mod reading;
mod single;
mod tokens;
mod writing;

use std::collections::BTreeMap;
use std::path::Path;

use aion_codec::CodecSet;
use aion_data::table_out::Floats;

pub use args::{HatsArgs, ShardArgs};
pub use chunk::object_bytes;
pub use tokens::{Stage, TokenBatch};

use crate::args::{ComputeArgs, InputArgs, modalities};
use crate::failure::usage;
use crate::input::{Accept, InputFile, find_files};
use crate::interrupt::Interrupt;
use crate::output::{self, Format, is_directory};
use crate::provenance::{Provenance, Record};

/// A command's work: what is read, how, and where it goes.
pub struct Job<'a, R: 'static> {
    /// What is being done, for the progress bar.
    pub verb: &'static str,
    /// What is read.
    pub input: &'a InputArgs,
    /// Its files.
    pub files: &'a [InputFile],
    /// What is expected in them.
    pub accept: Accept,
    /// How much at a time.
    pub compute: &'a ComputeArgs,
    /// Where it goes.
    pub output: &'a Path,
    /// In what form.
    pub format: &'static Format<R>,
    /// How its numbers are stored.
    pub floats: Floats,
    /// How shards are shared and continued.
    pub shards: &'a ShardArgs,
    /// The name of the HATS catalogue to make, and objects of a partition at most.
    pub hats: Option<(&'static str, u64)>,
    /// Options of the command that its results depend on.
    pub options: BTreeMap<String, String>,
    /// Whether observations are encoded, so that there is a report of ranges.
    pub encodes: bool,
    /// Whether the transformer is used.
    pub transformer: bool,
    /// Whether the report is JSON.
    pub json: bool,
}

/// Finds the files of an input and checks an output, before any work.
///
/// # Errors
/// A file is not there; the output cannot be written, or is no directory and the arguments ask for one.
pub fn check<R>(
    input: &InputArgs,
    (path, format): (&Path, &Format<R>),
    shards: &ShardArgs,
) -> anyhow::Result<Vec<InputFile>> {
    output::check(path, format)?;
    if let Some(option) = shards.first_given().filter(|_| !is_directory(path)) {
        return Err(usage(format!(
            "{option} is for an output without extension, a directory of shards; {} is one file",
            path.display()
        )));
    }
    Ok(find_files(&input.input)?)
}

impl<R: Send> Job<'_, R> {
    /// Runs `work` on all batches of tokens, writes the rows that it gives, and prints the report.
    ///
    /// # Errors
    /// A bad object, where it ends the command; anything that no object is to blame for; a signal.
    pub fn run(
        &self,
        codecs: &CodecSet,
        mut provenance: Provenance,
        record: &Record,
        work: impl FnMut(&mut Stage<'_>, TokenBatch) -> anyhow::Result<Vec<R>>,
    ) -> anyhow::Result<()> {
        let interrupt = Interrupt::listen()?;
        if self.hats.is_some() && !is_directory(self.output) {
            return Err(usage(
                "--hats makes a directory: an output without extension",
            ));
        }
        provenance.start(record);
        let without = modalities(&self.input.without)?;
        let run = pipeline::Run {
            job: self,
            codecs,
            without: &without,
            record,
            interrupt: &interrupt,
        };
        match is_directory(self.output) {
            true => directory::run(&run, provenance, work),
            false => single::run(&run, provenance, work),
        }
    }
}
