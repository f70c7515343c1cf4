//! What was not cut, counted by reason; the first are listed, and all go into a table on request.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use aion_data::atomic::NewFile;
use aion_data::{DataError, Problem};
use csv::Writer;
use serde_json::{Value, json};

use crate::args::OnError;
use crate::summary::counted;

/// Objects listed in the report; a sky survey's catalogue has millions of rows outside a brick.
const LISTED: usize = 1000;
/// Objects listed on stderr.
const SHOWN: usize = 20;

/// The objects and bricks that were left out.
pub struct Left {
    on_error: OnError,
    reasons: BTreeMap<String, usize>,
    listed: Vec<[String; 3]>,
    bricks: Vec<String>,
    table: Option<Table>,
}

/// The table being written, which bears its name when it is finished.
struct Table {
    file: NewFile,
    rows: Writer<File>,
}

impl Left {
    /// Begins, with a table at `path` where it is wanted.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn begin(path: Option<&Path>, on_error: OnError) -> anyhow::Result<Self> {
        let table = match path {
            Some(path) => {
                let file = NewFile::create(path)?;
                let mut rows = Writer::from_writer(file.handle()?);
                rows.write_record(["object_id", "reason", "problem"])?;
                Some(Table { file, rows })
            }
            None => None,
        };
        Ok(Left {
            on_error,
            reasons: BTreeMap::new(),
            listed: Vec::new(),
            bricks: Vec::new(),
            table,
        })
    }

    /// Notes a brick that cannot be used.
    ///
    /// # Errors
    /// The error itself, where it ends the command.
    pub fn brick(&mut self, error: DataError) -> anyhow::Result<()> {
        if self.on_error == OnError::Fail {
            return Err(error.into());
        }
        self.bricks.push(error.to_string());
        Ok(())
    }

    /// Notes an object that was not cut.
    ///
    /// # Errors
    /// The error itself, where it ends the command; the table cannot be written.
    pub fn object(&mut self, error: DataError) -> anyhow::Result<()> {
        if self.on_error == OnError::Fail {
            return Err(error.into());
        }
        let reason = match &error.problem {
            Problem::NotCovered { kind, .. } => kind.to_string(),
            _ => "bad row or pixels".to_owned(),
        };
        *self.reasons.entry(reason.clone()).or_default() += 1;
        let object = error.place.object.clone().unwrap_or_default();
        let row = [object, reason, error.to_string()];
        if let Some(table) = &mut self.table {
            table.rows.write_record(&row)?;
        }
        if self.listed.len() < LISTED {
            self.listed.push(row);
        }
        Ok(())
    }

    /// Gives the table its name.
    ///
    /// # Errors
    /// The table cannot be written.
    pub fn finish(&mut self) -> anyhow::Result<()> {
        let Some(mut table) = self.table.take() else {
            return Ok(());
        };
        table.rows.flush()?;
        Ok(table.file.finish()?)
    }

    /// Number of objects left out.
    pub fn total(&self) -> usize {
        self.reasons.values().sum()
    }

    /// The counts in words.
    pub fn reasons(&self) -> String {
        if self.reasons.is_empty() {
            return "no rows in the table".to_owned();
        }
        let counts = self.reasons.iter();
        let counts: Vec<String> = counts
            .map(|(reason, &count)| format!("{} {reason}", counted(count, "object")))
            .collect();
        counts.join(", ")
    }

    /// Lists bricks and the first objects on stderr.
    pub fn print(&self) {
        for brick in &self.bricks {
            eprintln!("skipped: {brick}");
        }
        for [_, _, problem] in self.listed.iter().take(SHOWN) {
            eprintln!("skipped: {problem}");
        }
        let more = self.total().saturating_sub(SHOWN);
        if more > 0 {
            eprintln!("skipped: and {}", counted(more, "more object"));
        }
    }

    /// The counts and the lists, for machines.
    pub fn json(&self) -> Value {
        let listed = self.listed.iter().map(|[object, reason, problem]| {
            json!({"object": object, "reason": reason, "problem": problem})
        });
        json!({
            "skipped_objects": self.total(),
            "reasons": self.reasons,
            "skipped": listed.collect::<Vec<_>>(),
            "skipped_bricks": self.bricks,
        })
    }
}
