//! Bad objects: whether they end the command, and the list of those left out.

use aion_data::shards::Skipped;
use aion_data::{DataError, Result};

use crate::args::OnError;

/// What was bad so far.
#[derive(Debug)]
pub struct Problems {
    on_error: OnError,
    bad: Vec<Skipped>,
}

impl Problems {
    /// No problems yet.
    pub fn new(on_error: OnError) -> Self {
        let bad = Vec::new();
        Problems { on_error, bad }
    }

    /// Notes a bad object.
    ///
    /// # Errors
    /// The error itself, where a bad object ends the command.
    pub fn note(&mut self, error: DataError) -> Result<()> {
        if self.on_error == OnError::Fail {
            return Err(error);
        }
        self.bad.push(error.into());
        Ok(())
    }

    /// What is good of an outcome; a bad one is noted.
    ///
    /// # Errors
    /// See [`Problems::note`].
    pub fn keep<T>(&mut self, outcome: Result<T>) -> Result<Option<T>> {
        match outcome {
            Ok(good) => Ok(Some(good)),
            Err(error) => self.note(error).map(|()| None),
        }
    }

    /// The bad objects in order.
    pub fn list(&self) -> &[Skipped] {
        &self.bad
    }

    /// Takes over those that were noted elsewhere.
    pub fn extend(&mut self, bad: Vec<Skipped>) {
        self.bad.extend(bad);
    }

    /// The bad objects, for a record.
    pub fn into_list(self) -> Vec<Skipped> {
        self.bad
    }

    /// Lists them on stderr, one a line.
    pub fn print(&self) {
        for bad in &self.bad {
            let object = bad.object.as_ref().map(|object| format!("object {object}"));
            let field = bad.field.as_ref().map(|field| format!("field {field}"));
            let place: Vec<String> = [bad.file.clone(), object, field]
                .into_iter()
                .flatten()
                .collect();
            eprintln!("skipped: {}: {}", place.join(", "), bad.problem);
        }
    }
}
