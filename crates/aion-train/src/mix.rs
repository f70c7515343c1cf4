//! How often each survey's measurements come while a codec is trained (paper §2.1: Legacy Survey to
//! HSC as 20 to 1).
//!
//! Places of the endless order are dealt out in rounds of as many places as all shares together;
//! within a round, each survey has its share of them in a seeded order. So shares are exact, and a
//! batch is a function of its position, without memory.

use std::collections::BTreeMap;

use aion_data::{Kind, Measurement, ModalityId};
use rayon::prelude::*;

use crate::data::Examples;
use crate::data::order::shuffled;
use crate::error::TrainError;

/// Shares by token key; empty where the data's own proportions hold.
pub type Shares = BTreeMap<String, u64>;

/// Measurements of one kind by several surveys.
#[derive(Debug)]
pub struct Mix {
    seed: u64,
    parts: Vec<(Examples<Measurement>, u64)>,
}

impl Mix {
    /// All measurements alike.
    pub fn even(examples: Examples<Measurement>) -> Self {
        Mix {
            seed: 0,
            parts: vec![(examples, 1)],
        }
    }

    /// Parts with their shares.
    pub fn new(seed: u64, parts: Vec<(Examples<Measurement>, u64)>) -> Self {
        Mix { seed, parts }
    }

    /// Number of different examples.
    pub fn len(&self) -> u64 {
        self.parts.iter().map(|(examples, _)| examples.len()).sum()
    }

    /// Whether there is none; never, as the parts refuse that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Batch `position` of `size` examples.
    pub fn batch(&self, position: u64, size: u64) -> Vec<Measurement> {
        (position * size..(position + 1) * size)
            .into_par_iter()
            .filter_map(|place| {
                let (part, within) = self.deal(place);
                self.parts.get(part)?.0.at(within)
            })
            .collect()
    }

    /// The part that a place belongs to, and its place in that part's own order.
    fn deal(&self, place: u64) -> (usize, u64) {
        let round: u64 = self.parts.iter().map(|(_, share)| share).sum();
        let mut card = shuffled(self.seed, place, round);
        for (part, (_, share)) in self.parts.iter().enumerate() {
            if card < *share {
                return (part, place / round * share + card);
            }
            card -= share;
        }
        (0, place)
    }
}

/// The modalities of a kind with the shares that a run file gives them: none without a mix.
///
/// # Errors
/// A key is unknown or of another kind, or no share is above 0.
pub(crate) fn shares(mix: &Shares, kind: Kind) -> Result<Vec<(ModalityId, u64)>, TrainError> {
    let find = |(key, share): (&String, &u64)| {
        let id = of_kind(kind).into_iter().find(|id| id.key() == key);
        id.map(|id| (id, *share)).ok_or_else(|| {
            let keys: Vec<&str> = of_kind(kind).into_iter().map(ModalityId::key).collect();
            let reason = format!("has `{key}`, expected one of {}", keys.join(", "));
            TrainError::config("codec.mix", reason)
        })
    };
    let mut found: Vec<(ModalityId, u64)> = mix.iter().map(find).collect::<Result<_, _>>()?;
    found.retain(|(_, share)| *share > 0);
    if found.is_empty() && !mix.is_empty() {
        let reason = "gives nothing a share, expected at least one number above 0";
        return Err(TrainError::config("codec.mix", reason));
    }
    Ok(found)
}

/// The published modalities of a kind, in registry order.
pub(crate) fn of_kind(kind: Kind) -> Vec<ModalityId> {
    let all = ModalityId::published();
    all.filter(|id| id.info().kind == kind).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataConfig, SimulatedSource, measurements};

    fn mix(shares: [(&str, u64); 2]) -> Mix {
        let config = DataConfig {
            simulated: Some(SimulatedSource {
                seed: 1,
                count: 12,
                numbers: 0,
            }),
            ..DataConfig::default()
        };
        let part = |(key, share): (&str, u64)| {
            let id = ModalityId::from_key(key).expect("a known key");
            let (examples, _) = measurements(&config, &[id], 3).expect("a sky");
            (examples, share)
        };
        Mix::new(3, shares.map(part).into())
    }

    #[test]
    fn shares_are_exact_and_places_repeat() {
        let mix = mix([("tok_spectrum_sdss", 5), ("tok_spectrum_desi", 2)]);
        let mut dealt = [Vec::new(), Vec::new()];
        for place in 0..21 {
            let (part, within) = mix.deal(place);
            dealt[part].push(within);
        }
        for (places, count) in dealt.iter_mut().zip([15, 6]) {
            places.sort_unstable();
            assert_eq!(*places, (0..count).collect::<Vec<_>>());
        }
        let batch = mix.batch(1, 7);
        assert_eq!(batch.len(), 7);
        assert_eq!(batch, mix.batch(1, 7));
    }

    #[test]
    fn unknown_surveys_and_empty_mixes_are_refused() {
        for (key, share, word) in [
            ("tok_imag", 1, "tok_image_hsc"),
            ("tok_image", 0, "above 0"),
        ] {
            let shares = shares(&Shares::from([(key.to_owned(), share)]), Kind::Image);
            let error = shares.expect_err("refused").to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
