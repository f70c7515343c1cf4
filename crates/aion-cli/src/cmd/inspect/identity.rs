//! Identifiers that occur more than once in an input.

use aion_data::fnv::fnv1a;
use std::collections::HashSet;

use serde_json::{Value, json};

/// Identifiers that are named; more are counted.
const NAMED: usize = 5;

/// The identifiers seen so far, 8 bytes each.
#[derive(Debug, Default)]
pub struct Identities {
    seen: HashSet<u64>,
    repeats: usize,
    first: Vec<String>,
}

impl Identities {
    /// Notes an object's identifier.
    pub fn add(&mut self, id: &str) {
        if self.seen.insert(fnv1a(id)) {
            return;
        }
        self.repeats += 1;
        if self.first.len() < NAMED && !self.first.iter().any(|named| named == id) {
            self.first.push(id.to_owned());
        }
    }

    /// One line for humans; none where every identifier is unique.
    pub fn line(&self) -> Option<String> {
        (self.repeats > 0).then(|| {
            let more = if self.repeats > self.first.len() {
                ", ..."
            } else {
                ""
            };
            format!(
                "duplicates: {} objects bear the identifier of an earlier one: {}{more}",
                self.repeats,
                self.first.join(", ")
            )
        })
    }

    /// The same for machines.
    pub fn json(&self) -> Value {
        json!({"objects": self.repeats, "first": self.first})
    }
}
