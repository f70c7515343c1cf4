//! The reading stage: units of work one after another, each as chunks of rows.

use std::sync::mpsc::SyncSender;

use aion_data::reader::ReadOptions;
use aion_data::shards::Claim;
use aion_data::{DataError, Result};

use super::chunk;
use crate::input::{Accept, Extract, Located, Row, Rows};
use crate::interrupt::Interrupt;

/// A unit of work, as the next stages see it.
#[derive(Debug)]
pub struct Unit {
    /// Its number.
    pub number: usize,
    /// What it reads.
    pub extracts: Vec<Extract>,
    /// The claim on it, where it is a shard.
    pub claim: Option<Claim>,
}

/// What the reading stage says.
pub enum Read {
    /// A unit begins.
    Begin(Unit),
    /// Some rows, or what is wrong with them.
    Rows(Vec<Result<Located<Row>>>),
    /// The unit ends; files that hold no data, with the reason.
    End(Vec<DataError>),
    /// No unit can be had.
    Failed(anyhow::Error),
}

/// How files are read.
pub struct Reading<'a> {
    pub options: ReadOptions,
    pub accept: Accept,
    pub batch: usize,
    pub interrupt: &'a Interrupt,
}

impl Reading<'_> {
    /// Reads unit after unit until there are none, nobody listens, or a signal comes.
    pub fn run(
        &self,
        mut next: impl FnMut() -> anyhow::Result<Option<Unit>>,
        to: &SyncSender<Read>,
    ) {
        loop {
            let unit = match next() {
                Ok(Some(unit)) => unit,
                Ok(None) => return,
                Err(error) => {
                    // Nobody listens where another stage has failed before.
                    let _ = to.send(Read::Failed(error));
                    return;
                }
            };
            if self.unit(unit, to).is_none() {
                return;
            }
        }
    }

    /// Reads one unit; `None` when reading is to end.
    fn unit(&self, mut unit: Unit, to: &SyncSender<Read>) -> Option<()> {
        let extracts = std::mem::take(&mut unit.extracts);
        to.send(Read::Begin(unit)).ok()?;
        let mut rows = Rows::new(extracts, self.options.clone(), self.accept);
        let mut chunk = Vec::new();
        let mut bytes = 0;
        for row in rows.by_ref() {
            bytes += row.as_ref().map_or(0, |row| chunk::bytes(&row.row));
            chunk.push(row);
            if chunk::is_full(chunk.len(), bytes, self.batch) {
                self.interrupt.check().ok()?;
                bytes = 0;
                to.send(Read::Rows(std::mem::take(&mut chunk))).ok()?;
            }
        }
        self.interrupt.check().ok()?;
        if !chunk.is_empty() {
            to.send(Read::Rows(chunk)).ok()?;
        }
        to.send(Read::End(rows.into_ignored())).ok()
    }
}
