//! Why objects are refused: one entry a reason, with the number of objects and the first of them.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::DataError;

/// Reasons that are told apart; texts that hold values could be as many as the objects.
const MOST: usize = 200;
/// Stands for all reasons after that.
const OTHER: &str = "other reasons";

/// One reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// Field and problem.
    reason: String,
    /// Objects, or files that cannot be used at all.
    count: usize,
    /// The first of them, with its file.
    pub first: String,
}

/// All reasons of an input.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reasons {
    by_text: BTreeMap<String, Reason>,
}

impl Reasons {
    /// Notes an object or a file that is refused.
    pub fn add(&mut self, error: &DataError) {
        let field = error.place.field.as_ref();
        let mut text = match field {
            Some(field) => format!("{field}: {}", error.problem),
            None => error.problem.to_string(),
        };
        if self.by_text.len() >= MOST && !self.by_text.contains_key(&text) {
            text = OTHER.to_owned();
        }
        let first = || error.to_string();
        self.count(text, 1, first);
    }

    /// Adds another input's.
    pub fn merge(&mut self, other: &Reasons) {
        for (text, reason) in &other.by_text {
            self.count(text.clone(), reason.count, || reason.first.clone());
        }
    }

    /// The reasons, those of most objects first.
    pub fn list(&self) -> Vec<Reason> {
        let mut list: Vec<Reason> = self.by_text.values().cloned().collect();
        list.sort_by_key(|reason| std::cmp::Reverse(reason.count));
        list
    }

    /// Objects and files refused.
    pub fn total(&self) -> usize {
        self.by_text.values().map(|reason| reason.count).sum()
    }

    fn count(&mut self, text: String, count: usize, first: impl FnOnce() -> String) {
        let entry = self.by_text.entry(text.clone());
        let reason = entry.or_insert_with(|| Reason {
            reason: text,
            count: 0,
            first: first(),
        });
        reason.count += count;
    }
}

/// As the list.
impl Serialize for Reasons {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.list())
    }
}

impl Reason {
    /// One line for humans.
    pub fn line(&self) -> String {
        match self.count {
            1 => format!("problem: {}", self.first),
            count => format!(
                "problem: {count} times {}; first {}",
                self.reason, self.first
            ),
        }
    }
}
