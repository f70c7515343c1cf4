//! Objects of token files in a shuffled order, through a buffer of bounded size.
//!
//! The blocks of all files are shuffled anew in every round, some of them are read together as a *window*,
//! and the objects of a window are shuffled. So every object comes once a round, whatever the files are
//! sorted by, and a place in the order names its window: no state has to be kept to go on from it. While
//! one window is used, a thread of its own reads the next.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use aion_data::token_files::TokenReader;
use aion_data::{DataError, ObjectTokens, Place, Problem};

use super::order::shuffled;
use super::split::{Part, SplitConfig};
use super::token_index::{Block, TokenIndex, part_of};
use crate::error::TrainError;
use crate::masking::MaskConfig;

/// Blocks in a window: from so many places of the set its objects come.
pub const BLOCKS_A_WINDOW: usize = 16;
/// Sets the order of objects in a window apart from the order of blocks.
const WITHIN: u64 = 0x7769_7468_696e_0000;

/// The objects of one part of a [`TokenIndex`], in an endless order.
#[derive(Debug)]
pub struct TokenShards {
    loader: Arc<Loader>,
    seed: u64,
    len: u64,
    state: Mutex<State>,
}

/// What windows are read by.
#[derive(Debug)]
struct Loader {
    files: Arc<[PathBuf]>,
    split: SplitConfig,
    /// The blocks that hold objects of the part.
    blocks: Vec<Block>,
    part: Part,
    mask: MaskConfig,
    seed: u64,
}

/// The windows of one round.
#[derive(Debug, Default)]
struct Round {
    number: u64,
    /// How many objects of the round come before the end of each window.
    ends: Vec<u64>,
}

/// A window's place in the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct WindowId {
    round: u64,
    number: usize,
}

/// The objects of a window that something can be learned from.
type Window = Vec<ObjectTokens>;

/// What is at hand.
#[derive(Debug, Default)]
struct State {
    round: Option<Arc<Round>>,
    current: Option<(WindowId, Arc<Window>)>,
    next: Option<(WindowId, JoinHandle<Result<Window, TrainError>>)>,
}

impl TokenShards {
    /// The objects of a part, in an order of its own for every seed. `mask` tells which objects
    /// something can be learned from; others of the window come in place of the rest.
    pub fn new(index: &TokenIndex, part: Part, mask: &MaskConfig, seed: u64) -> Self {
        let holds = |block: &&Block| block.counts[part as usize] > 0;
        let loader = Loader {
            blocks: index.blocks.iter().filter(holds).cloned().collect(),
            files: index.files.clone(),
            split: index.split.clone(),
            part,
            mask: mask.clone(),
            seed,
        };
        TokenShards {
            loader: Arc::new(loader),
            seed,
            len: index.count(part),
            state: Mutex::default(),
        }
    }

    /// Number of objects in a round.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The object at a place of the order. Places that rise are cheap; others read a window.
    ///
    /// # Errors
    /// A file cannot be read, has changed since it was indexed, or nothing can be learned from all of a
    /// window; there are no objects.
    pub fn get(&self, place: u64) -> Result<ObjectTokens, TrainError> {
        if self.is_empty() {
            return Err(TrainError::NoData("the set has no objects".to_owned()));
        }
        let (number, within) = (place / self.len, place % self.len);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let round = state.round(number, &self.loader);
        let window = round.ends.partition_point(|end| *end <= within);
        let first = match window {
            0 => 0,
            after => round.ends[after - 1],
        };
        let id = WindowId {
            round: number,
            number: window,
        };
        let objects = state.window(id, &round, &self.loader)?;
        let seed = self.seed ^ WITHIN ^ number.rotate_left(32) ^ window as u64;
        let chosen = shuffled(seed, within - first, objects.len() as u64);
        let missing = || TrainError::NoData("a window has no objects".to_owned());
        objects.get(chosen as usize).cloned().ok_or_else(missing)
    }
}

impl State {
    fn round(&mut self, number: u64, loader: &Loader) -> Arc<Round> {
        let known = self.round.take().filter(|round| round.number == number);
        let round = known.unwrap_or_else(|| Arc::new(loader.round(number)));
        self.round = Some(round.clone());
        round
    }

    /// The objects of a window; begins to read the one after it.
    fn window(
        &mut self,
        id: WindowId,
        round: &Round,
        loader: &Arc<Loader>,
    ) -> Result<Arc<Window>, TrainError> {
        if let Some((_, window)) = self.current.as_ref().filter(|(known, _)| *known == id) {
            return Ok(window.clone());
        }
        self.current = None;
        let window = match self.next.take() {
            Some((known, thread)) if known == id => {
                let stopped = |_| TrainError::NoData("a reading thread has stopped".to_owned());
                thread.join().map_err(stopped)??
            }
            _ => loader.load(id)?,
        };
        let window = Arc::new(window);
        self.current = Some((id, window.clone()));
        let next = id.after(round);
        let loader = loader.clone();
        self.next = Some((next, thread::spawn(move || loader.load(next))));
        Ok(window)
    }
}

impl WindowId {
    fn after(self, round: &Round) -> WindowId {
        match self.number + 1 < round.ends.len() {
            true => WindowId {
                number: self.number + 1,
                ..self
            },
            false => WindowId {
                round: self.round + 1,
                number: 0,
            },
        }
    }
}

impl Loader {
    /// The blocks of a round in their order.
    fn order(&self, round: u64) -> impl Iterator<Item = &Block> {
        let len = self.blocks.len() as u64;
        let places = round * len..(round + 1) * len;
        places.filter_map(move |place| self.blocks.get(shuffled(self.seed, place, len) as usize))
    }

    fn round(&self, number: u64) -> Round {
        let mut ends = Vec::with_capacity(self.blocks.len().div_ceil(BLOCKS_A_WINDOW));
        let mut end = 0;
        for (place, block) in self.order(number).enumerate() {
            end += block.counts[self.part as usize];
            match ends.last_mut() {
                Some(last) if place % BLOCKS_A_WINDOW > 0 => *last = end,
                _ => ends.push(end),
            }
        }
        Round { number, ends }
    }

    /// Reads a window.
    fn load(&self, id: WindowId) -> Result<Window, TrainError> {
        let blocks = self.order(id.round).skip(id.number * BLOCKS_A_WINDOW);
        let mut window = Vec::new();
        let mut files = Vec::new();
        for block in blocks.take(BLOCKS_A_WINDOW) {
            let path = &self.files[block.file];
            files.push(path.display().to_string());
            let mut found = 0;
            let rows = block.first..block.first + block.rows;
            for row in TokenReader::open_rows(path, rows)? {
                let row = row.map_err(|error| error.in_file(path))?;
                if part_of(&self.split, &row) == self.part {
                    found += 1;
                    window.extend(self.mask.can_use(&row.tokens).then_some(row.tokens));
                }
            }
            let expected = block.counts[self.part as usize];
            if found != expected {
                let problem = format!(
                    "{found} objects of a part where {expected} were: the file has changed"
                );
                return Err(DataError::new(Place::file(path), Problem::Mismatch(problem)).into());
            }
        }
        if window.is_empty() {
            files.dedup();
            let reason = format!(
                "no object has tokens to predict from others: {}",
                files.join(", ")
            );
            return Err(TrainError::NoData(reason));
        }
        Ok(window)
    }
}
