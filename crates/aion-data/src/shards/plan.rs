//! The plan: which rows of which files make each shard.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;

/// What an object takes in files that do not say how many they hold, at a guess: between a line of a
/// text table and a spectrum.
const BYTES_AN_OBJECT: u64 = 1 << 14;

/// What is done to the inputs. Two runs with the same task and inputs give the same bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Task {
    /// Options by name, code version and seed among them.
    pub options: BTreeMap<String, String>,
    /// SHA-256 of the checkpoint's files.
    pub model: BTreeMap<String, String>,
}

/// A file that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Its path as it was given.
    pub path: String,
    /// What it holds.
    #[serde(flatten)]
    pub fingerprint: Fingerprint,
    /// Number of its objects, where it says so without being read.
    pub objects: Option<u64>,
}

impl Input {
    /// How many objects the file holds; a guess where it does not say so.
    fn count(&self) -> u64 {
        let guess = || 1 + self.fingerprint.bytes / BYTES_AN_OBJECT;
        self.objects.unwrap_or_else(guess)
    }
}

/// A file of a shard, or some of its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// The file's place in the list of inputs.
    pub input: usize,
    /// First row and the row after the last; the whole file without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<(u64, u64)>,
}

impl Part {
    /// The rows of the part, where it is not the whole file.
    pub fn range(&self) -> Option<Range<u64>> {
        self.rows.map(|(first, end)| first..end)
    }
}

/// Inputs, what is done to them, and the shards that it is done in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What is done.
    #[serde(flatten)]
    pub task: Task,
    /// The files, in the order in which they are read.
    pub inputs: Vec<Input>,
    /// The parts of each shard.
    pub shards: Vec<Vec<Part>>,
}

impl Plan {
    /// Cuts inputs into shards of `rows` objects: long files are split, short ones grouped, the
    /// order stays. A file that does not say how many objects it holds is taken whole, and grouped by
    /// its length.
    pub fn new(task: Task, inputs: Vec<Input>, rows: u64) -> Self {
        let rows = rows.max(1);
        let mut shards = Vec::new();
        let mut shard: Vec<Part> = Vec::new();
        let mut filled = 0;
        for (input, file) in inputs.iter().enumerate() {
            let objects = file.count();
            let mut first = 0;
            loop {
                let end = match file.objects {
                    Some(objects) => objects.min(first + (rows - filled)),
                    None => objects,
                };
                let whole = first == 0 && end == objects;
                let rows_of_part = (!whole).then_some((first, end));
                shard.push(Part {
                    input,
                    rows: rows_of_part,
                });
                // A file without objects still has to say so to whoever reads it.
                filled += (end - first).max(1);
                first = end;
                if filled >= rows {
                    shards.push(std::mem::take(&mut shard));
                    filled = 0;
                }
                if first >= objects {
                    break;
                }
            }
        }
        shards.extend((!shard.is_empty()).then_some(shard));
        Plan {
            task,
            inputs,
            shards,
        }
    }

    /// Objects of a shard: exact where files say so, estimated elsewhere.
    pub fn objects_of(&self, shard: usize) -> u64 {
        let parts = self.shards.get(shard).into_iter().flatten();
        let objects = parts.map(|part| match part.rows {
            Some((first, end)) => end - first,
            None => self.inputs.get(part.input).map_or(0, Input::count),
        });
        objects.sum()
    }

    /// Objects of all inputs before the first of a part, as far as files say how many they hold.
    pub fn objects_before(&self, part: &Part) -> u64 {
        let files = self.inputs.iter().take(part.input);
        let before: u64 = files.map(|input| input.objects.unwrap_or(1)).sum();
        before + part.rows.map_or(0, |(first, _)| first)
    }

    /// In what this plan differs from `old`, the one that an output was begun with: for people, and
    /// `None` where nothing does.
    pub fn difference(&self, old: &Plan) -> Option<String> {
        let maps = [
            ("option", &old.task.options, &self.task.options),
            ("the model's", &old.task.model, &self.task.model),
        ];
        for (what, old, new) in maps {
            let names = old.keys().chain(new.keys());
            if let Some(name) = names
                .into_iter()
                .find(|name| old.get(*name) != new.get(*name))
            {
                let [old, new] = [old, new].map(|map| map.get(name).map_or("absent", |v| v));
                return Some(format!("{what} {name} was {old}, and is {new}"));
            }
        }
        for (old, new) in old.inputs.iter().zip(&self.inputs) {
            if old.path != new.path {
                return Some(format!("an input was {}, and is {}", old.path, new.path));
            }
            if old != new {
                return Some(format!("the input {} has changed since", old.path));
            }
        }
        let [before, now] = [old, self].map(|plan| plan.inputs.len());
        if before != now {
            return Some(format!("it had {before} input files, and has {now}"));
        }
        (old.shards != self.shards).then(|| {
            let [before, now] = [old, self].map(|plan| plan.shards.len());
            format!("it was cut into {before} shards, and is cut into {now}")
        })
    }
}
