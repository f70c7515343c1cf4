//! Bad objects: whether they end the command, and the list of those left out.

use aion_data::{DataError, Result};
use serde::Serialize;

use crate::args::OnError;

/// An object that was left out.
#[derive(Debug, Clone, Serialize)]
pub struct BadObject {
    /// The file.
    pub file: Option<String>,
    /// The object's identifier; none when the whole file is bad.
    pub object: Option<String>,
    /// The field.
    pub field: Option<String>,
    /// What is wrong.
    pub problem: String,
}

/// What was bad so far.
#[derive(Debug)]
pub struct Problems {
    on_error: OnError,
    bad: Vec<BadObject>,
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
        self.bad.push(BadObject {
            file: error.place.path.map(|path| path.display().to_string()),
            object: error.place.object,
            field: error.place.field,
            problem: error.problem.to_string(),
        });
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
    pub fn list(&self) -> &[BadObject] {
        &self.bad
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
