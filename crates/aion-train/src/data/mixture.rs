//! Several sets as one stream of samples, each set with its weight.
//!
//! Samples come in cycles of [`CYCLE`]. In a cycle every set has its share of places, in an order shuffled
//! anew each time; within a set they follow its own order. So the shares hold at every moment, and which
//! object a sample is follows from the seed and the sample's number.

use std::sync::{Arc, Mutex, PoisonError};

use aion_data::ObjectTokens;
use rand::seq::SliceRandom;

use super::order::shuffled;
use super::token_shards::TokenShards;
use crate::error::TrainError;
use crate::random::{Purpose, stream};

/// Samples in which the shares of the sets hold exactly.
pub const CYCLE: u64 = 4096;

/// A set of objects.
#[derive(Debug)]
pub enum Set {
    /// Objects in memory, shuffled as a whole.
    Memory(Vec<ObjectTokens>),
    /// Objects in files.
    Shards(TokenShards),
}

impl Set {
    /// Number of objects.
    pub fn len(&self) -> u64 {
        match self {
            Set::Memory(objects) => objects.len() as u64,
            Set::Shards(shards) => shards.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn get(&self, seed: u64, place: u64) -> Result<ObjectTokens, TrainError> {
        match self {
            Set::Shards(shards) => shards.get(place),
            Set::Memory(objects) => {
                let chosen = shuffled(seed, place, objects.len() as u64);
                let missing = || TrainError::NoData("a set has no objects".to_owned());
                objects.get(chosen as usize).cloned().ok_or_else(missing)
            }
        }
    }
}

/// The stream.
#[derive(Debug)]
pub struct Mixture {
    seed: u64,
    sets: Vec<Set>,
    /// Places of each set in a cycle.
    shares: Vec<u64>,
    cycle: Mutex<Option<Arc<Cycle>>>,
}

/// The sets of one cycle's samples, each with the number of samples of that set before it.
#[derive(Debug)]
struct Cycle {
    number: u64,
    samples: Vec<(usize, u64)>,
}

impl Mixture {
    /// Mixes sets by weight; those without objects are left out.
    ///
    /// # Errors
    /// No set has objects; a weight is too small beside the others.
    pub fn new(seed: u64, sets: Vec<(Set, f64)>) -> Result<Self, TrainError> {
        let sets = sets.into_iter().filter(|(set, _)| !set.is_empty());
        let (sets, weights): (Vec<Set>, Vec<f64>) = sets.unzip();
        if sets.is_empty() {
            let reason = "no object has what this run learns from";
            return Err(TrainError::NoData(reason.to_owned()));
        }
        Ok(Mixture {
            seed,
            sets,
            shares: shares(&weights)?,
            cycle: Mutex::default(),
        })
    }

    /// Number of objects in all sets.
    pub fn len(&self) -> u64 {
        self.sets.iter().map(Set::len).sum()
    }

    /// Whether there are none; never, as construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The object of a sample. Samples that rise are cheap.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn get(&self, sample: u64) -> Result<ObjectTokens, TrainError> {
        let (set, place) = self.place(sample);
        self.sets[set].get(self.seed.wrapping_add(set as u64), place)
    }

    /// The set of a sample, and its place in the set's order.
    fn place(&self, sample: u64) -> (usize, u64) {
        let (number, within) = (sample / CYCLE, sample % CYCLE);
        let mut cycle = self.cycle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = cycle.take().filter(|cycle| cycle.number == number);
        let known = known.unwrap_or_else(|| Arc::new(self.cycle(number)));
        let (set, before) = known.samples[within as usize];
        *cycle = Some(known);
        (set, number * self.shares[set] + before)
    }

    fn cycle(&self, number: u64) -> Cycle {
        let sets = self.shares.iter().enumerate();
        let mut order: Vec<usize> = sets
            .flat_map(|(set, share)| (0..*share).map(move |_| set))
            .collect();
        order.shuffle(&mut stream(self.seed, Purpose::Mixture, number));
        let mut counts = vec![0; self.sets.len()];
        let numbered = order.into_iter().map(|set| {
            counts[set] += 1;
            (set, counts[set] - 1)
        });
        Cycle {
            number,
            samples: numbered.collect(),
        }
    }
}

/// Places of each set in a cycle: the weights' shares of [`CYCLE`], rounded so that they add up.
fn shares(weights: &[f64]) -> Result<Vec<u64>, TrainError> {
    let total: f64 = weights.iter().sum();
    let (mut sum, mut before) = (0.0, 0);
    let mut shares = Vec::with_capacity(weights.len());
    for weight in weights {
        sum += weight;
        let end = (sum / total * CYCLE as f64).round() as u64;
        if end == before {
            let reason = format!("{weight} is less than a {CYCLE}th of all weights, {total}");
            return Err(TrainError::config("data.tokens.weight", reason));
        }
        shares.push(end - before);
        before = end;
    }
    Ok(shares)
}

/// Fails unless sets can be mixed by these weights.
pub(crate) fn check_weights(weights: &[f64]) -> Result<(), TrainError> {
    let fine = |weight: &f64| *weight > 0.0 && weight.is_finite();
    if let Some(wrong) = weights.iter().find(|weight| !fine(weight)) {
        let reason = format!("is {wrong}, expected a number above 0");
        return Err(TrainError::config("data.tokens.weight", reason));
    }
    shares(weights).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use aion_data::ModalityId;

    fn set(first: u16, len: u16) -> Set {
        let id = ModalityId::from_key("tok_z").expect("a known key");
        let object = |token| ObjectTokens::from([(id, vec![token])]);
        Set::Memory((first..first + len).map(object).collect())
    }

    fn token(mixture: &Mixture, sample: u64) -> u16 {
        let object = mixture.get(sample).expect("an object");
        object.values().next().expect("a modality")[0]
    }

    #[test]
    fn shares_follow_the_weights() {
        let sets = vec![(set(0, 10), 1.0), (set(10, 500), 3.0), (set(600, 0), 5.0)];
        let mixture = Mixture::new(4, sets).expect("sets");
        let tokens: Vec<u16> = (0..3 * CYCLE).map(|s| token(&mixture, s)).collect();
        let small = tokens.iter().filter(|token| **token < 10).count() as u64;
        assert_eq!(small, 3 * CYCLE / 4);
        // Any stretch holds both, and each object of the small set comes as often.
        let stretch = tokens[5000..5100].iter().filter(|token| **token < 10);
        assert!((10..45).contains(&stretch.count()));
        let first = tokens.iter().filter(|token| **token == 0).count() as u64;
        assert!(first.abs_diff(3 * CYCLE / 40) <= 1, "{first}");
        // Samples can be asked for in any order.
        assert_eq!(token(&mixture, 4999), tokens[4999]);
        assert_eq!(token(&mixture, 3), tokens[3]);
    }

    #[test]
    fn one_set_is_its_own_order() {
        let mixture = Mixture::new(7, vec![(set(0, 100), 0.1)]).expect("a set");
        for sample in [0, 1, 99, 100, CYCLE, CYCLE + 1] {
            assert_eq!(u64::from(token(&mixture, sample)), shuffled(7, sample, 100));
        }
    }

    #[test]
    fn weights_that_cannot_be_kept_are_refused() {
        for weights in [&[1.0, 0.0][..], &[f64::NAN], &[-1.0], &[1.0, 1e-6]] {
            let error = check_weights(weights).expect_err("refused").to_string();
            assert!(error.contains("data.tokens.weight"), "{error}");
        }
        check_weights(&[1.0, 0.001]).expect("enough");
        Mixture::new(0, vec![(set(0, 0), 1.0)]).expect_err("nothing");
    }
}
