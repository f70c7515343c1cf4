//! The three stages side by side.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use aion_codec::CodecSet;
use aion_data::ModalityId;

use super::Job;
use super::reading::{Read, Reading, Unit};
use super::tokens::{Stage, TokenBatch, needs_network};
use super::writing::{self, Ended, Write, Written};
use crate::failure::panicked;
use crate::input::{Located, Row};
use crate::interrupt::Interrupt;
use crate::problems::Problems;
use crate::progress::Progress;
use crate::provenance::{Provenance, Record};
use crate::ranges::Ranges;

/// Chunks that wait between two stages.
const WAITING: usize = 2;

/// A job with what it runs on.
pub struct Run<'a, R: 'static> {
    /// The job.
    pub job: &'a Job<'a, R>,
    /// The codecs.
    pub codecs: &'a CodecSet,
    /// Modalities to leave out.
    pub without: &'a [ModalityId],
    /// What every unit uses.
    pub record: &'a Record,
    /// Whether to stop.
    pub interrupt: &'a Interrupt,
}

/// Where units come from and go to.
pub struct Units<N, P, E> {
    /// Objects that there are, at an estimate.
    pub objects: u64,
    /// Gives the next unit; asked with whether the other stages have stopped.
    pub next: N,
    /// Names a unit's file.
    pub path: P,
    /// Is told of each unit when its file is there.
    pub end: E,
}

impl<R: Send> Run<'_, R> {
    /// Runs all units through the stages.
    ///
    /// # Errors
    /// The first stage's that failed; a signal.
    pub fn pipeline<N, P, E>(
        &self,
        provenance: &mut Provenance,
        units: Units<N, P, E>,
        work: impl FnMut(&mut Stage<'_>, TokenBatch) -> anyhow::Result<Vec<R>>,
    ) -> anyhow::Result<()>
    where
        N: FnMut(&AtomicBool) -> anyhow::Result<Option<Unit>> + Send,
        P: Fn(usize) -> PathBuf + Send,
        E: FnMut(Written) -> anyhow::Result<()> + Send,
    {
        let job = self.job;
        let reading = Reading {
            options: job.input.reading.options(),
            accept: job.accept,
            batch: job.compute.batch,
            interrupt: self.interrupt,
        };
        let Units {
            objects,
            mut next,
            path,
            end,
        } = units;
        let stopped = AtomicBool::new(false);
        thread::scope(|scope| {
            let (to_compute, from_reader) = sync_channel(WAITING);
            let (to_writer, from_compute) = sync_channel(WAITING);
            let stopped = &stopped;
            let reader = scope.spawn(move || reading.run(|| next(stopped), &to_compute));
            let writer = scope
                .spawn(move || writing::run((job.format, job.floats), &from_compute, path, end));
            let progress = Progress::start(job.verb, objects);
            let computed = self.compute(provenance, &from_reader, to_writer, &progress, work);
            stopped.store(true, Ordering::Relaxed);
            drop(from_reader);
            let written = writer.join().map_err(|_| panicked());
            let read = reader.join().map_err(|_| panicked());
            // A writer that failed is why nobody took what was computed.
            written??;
            computed?;
            read?;
            Ok(self.interrupt.check()?)
        })
    }

    /// The computing stage.
    fn compute(
        &self,
        provenance: &mut Provenance,
        from: &Receiver<Read>,
        to: SyncSender<Write<R>>,
        progress: &Progress,
        mut work: impl FnMut(&mut Stage<'_>, TokenBatch) -> anyhow::Result<Vec<R>>,
    ) -> anyhow::Result<()> {
        let mut stage = self.stage();
        let mut claim = None;
        for message in from {
            let sent = match message {
                Read::Failed(error) => return Err(error),
                Read::Begin(unit) => {
                    stage = self.stage();
                    claim = unit.claim;
                    to.send(Write::Begin(unit.number)).is_ok()
                }
                Read::Rows(rows) => {
                    let count = rows.len();
                    let rows = stage.keep(rows)?;
                    let mut sent = true;
                    for batch in self.batches(rows) {
                        self.interrupt.check()?;
                        let tokens = stage.tokenize(batch)?;
                        let rows = work(&mut stage, tokens)?;
                        sent = sent && to.send(Write::Rows(rows)).is_ok();
                    }
                    progress.advance(count);
                    sent
                }
                Read::End(ignored) => {
                    for error in ignored {
                        eprintln!("ignored: {error}");
                    }
                    let ended = std::mem::replace(&mut stage, self.stage());
                    let ended = Ended {
                        claim: claim.take(),
                        metadata: provenance.metadata(&ended.record)?,
                        problems: ended.problems,
                        ranges: ended.ranges,
                        record: ended.record,
                    };
                    to.send(Write::End(Box::new(ended))).is_ok()
                }
            };
            if !sent {
                return Ok(());
            }
        }
        Ok(self.interrupt.check()?)
    }

    /// A chunk's batches: as the user asks where a network works on them, else all at once.
    fn batches(&self, mut rows: Vec<Located<Row>>) -> Vec<Vec<Located<Row>>> {
        let network = self.job.transformer || !self.job.encodes || needs_network(&rows);
        let size = if network {
            self.job.compute.batch
        } else {
            rows.len().max(1)
        };
        let mut batches = Vec::with_capacity(rows.len() / size + 1);
        while rows.len() > size {
            let rest = rows.split_off(size);
            batches.push(std::mem::replace(&mut rows, rest));
        }
        batches.extend((!rows.is_empty()).then_some(rows));
        batches
    }

    fn stage(&self) -> Stage<'_> {
        let job = self.job;
        Stage {
            codecs: self.codecs,
            without: self.without,
            placed: job.hats.is_some(),
            problems: Problems::new(job.input.on_error),
            // What lies out of range of every object is for a single file: it grows with the input.
            ranges: Ranges::new(job.json && !crate::output::is_directory(job.output)),
            record: self.record.clone(),
        }
    }
}
