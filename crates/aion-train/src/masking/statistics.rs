//! What a sampler feeds: how full the budgets are, and how often each modality is seen and predicted.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{ByModality, Mask, MaskConfig};

/// Steps of the histograms of fill.
pub const STEPS: usize = 10;

/// Counts over many masks of one sampler.
#[derive(Debug, Clone, Serialize)]
pub struct MaskStatistics {
    /// The sampler's name in run files.
    pub sampler: &'static str,
    /// Objects looked at.
    pub objects: u64,
    /// What the encoder sees.
    pub input: Side,
    /// What is predicted.
    pub target: Side,
    /// By token key.
    pub by_modality: BTreeMap<&'static str, ModalityUse>,
}

/// One side of the masks: means over objects.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Side {
    /// The budget, tokens.
    pub budget: usize,
    /// Tokens.
    pub tokens: f64,
    /// Tokens over budget.
    pub fill: f64,
    /// Share of objects that fill the budget.
    pub full: f64,
    /// Modalities.
    pub modalities: f64,
    /// Shares of objects by fill, in tenths of the budget; the last one holds full budgets.
    pub fills: [f64; STEPS],
}

/// How a modality is used by the objects that have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct ModalityUse {
    /// Objects that have it.
    pub objects: u64,
    /// Share of them whose input holds some of it.
    pub seen: f64,
    /// Share of them whose targets hold some of it.
    pub predicted: f64,
    /// Share of them whose targets hold some of it and whose input holds none.
    pub unseen: f64,
    /// Mean number of its tokens among an object's inputs.
    pub input_tokens: f64,
    /// Mean number of its tokens among an object's targets.
    pub target_tokens: f64,
}

impl MaskStatistics {
    /// Nothing counted yet.
    pub fn new(config: &MaskConfig) -> Self {
        let side = |budget| Side {
            budget,
            ..Side::default()
        };
        MaskStatistics {
            sampler: config.sampler.name(),
            objects: 0,
            input: side(config.input_budget),
            target: side(config.target_budget),
            by_modality: BTreeMap::new(),
        }
    }

    /// Counts the mask of an object with these numbers of tokens.
    pub fn add(&mut self, counts: &ByModality<usize>, mask: &Mask) {
        self.objects += 1;
        let shown = counts.keys().map(|id| mask.num_shown(*id));
        let predicted = counts.keys().map(|id| mask.num_predicted(*id));
        self.input.add(self.objects, shown);
        self.target.add(self.objects, predicted);
        for id in counts.keys() {
            let found = self.by_modality.entry(id.key()).or_default();
            found.add(mask.num_shown(*id), mask.num_predicted(*id));
        }
    }
}

impl Side {
    /// Adds an object's numbers of tokens, one a modality.
    fn add(&mut self, objects: u64, counts: impl Iterator<Item = usize>) {
        let used: Vec<usize> = counts.filter(|count| *count > 0).collect();
        let tokens = used.iter().sum::<usize>();
        let fill = tokens as f64 / self.budget as f64;
        let step = tokens * STEPS / self.budget;
        for (mean, value) in [
            (&mut self.tokens, tokens as f64),
            (&mut self.fill, fill),
            (&mut self.full, f64::from(u8::from(tokens >= self.budget))),
            (&mut self.modalities, used.len() as f64),
        ] {
            advance(mean, value, objects);
        }
        for (place, share) in self.fills.iter_mut().enumerate() {
            let here = place == step.min(STEPS - 1);
            advance(share, f64::from(u8::from(here)), objects);
        }
    }
}

impl ModalityUse {
    fn add(&mut self, input: usize, target: usize) {
        self.objects += 1;
        for (mean, value) in [
            (&mut self.seen, f64::from(u8::from(input > 0))),
            (&mut self.predicted, f64::from(u8::from(target > 0))),
            (
                &mut self.unseen,
                f64::from(u8::from(input == 0 && target > 0)),
            ),
            (&mut self.input_tokens, input as f64),
            (&mut self.target_tokens, target as f64),
        ] {
            advance(mean, value, self.objects);
        }
    }
}

/// The mean with one more value, `count` in all.
fn advance(mean: &mut f64, value: f64, count: u64) {
    *mean += (value - *mean) / count as f64;
}

#[cfg(test)]
mod tests {
    use super::*;
    use aion_data::ModalityId;

    #[test]
    fn masks_are_counted() {
        let id = |key| ModalityId::from_key(key).expect("a known key");
        let (image, z) = (id("tok_image"), id("tok_z"));
        let config = MaskConfig {
            input_budget: 4,
            target_budget: 10,
            ..MaskConfig::default()
        };
        let mut statistics = MaskStatistics::new(&config);
        let counts = ByModality::from([(image, 576), (z, 1)]);
        let mut mask = Mask::default();
        mask.input.insert(image, vec![0, 1, 2, 3]);
        mask.target.insert(z, vec![0]);
        statistics.add(&counts, &mask);
        mask.input.insert(image, vec![5]);
        mask.input.insert(z, vec![0]);
        mask.target = ByModality::from([(image, vec![7, 8])]);
        statistics.add(&counts, &mask);

        let close = |found: f64, expected: f64| (found - expected).abs() < 1e-12;
        let input = &statistics.input;
        assert!(
            close(input.tokens, 3.0) && close(input.fill, 0.75),
            "{input:?}"
        );
        assert!(
            close(input.full, 0.5) && close(input.modalities, 1.5),
            "{input:?}"
        );
        assert!(
            close(input.fills[9], 0.5) && close(input.fills[5], 0.5),
            "{input:?}"
        );
        let fills = statistics.target.fills;
        assert!(close(fills[1], 0.5) && close(fills[2], 0.5), "{fills:?}");
        let image = statistics.by_modality["tok_image"];
        assert!(
            close(image.seen, 1.0) && close(image.predicted, 0.5),
            "{image:?}"
        );
        assert!(close(image.input_tokens, 2.5) && close(image.target_tokens, 1.0));
        let z = statistics.by_modality["tok_z"];
        assert!(close(z.seen, 0.5) && close(z.unseen, 0.5), "{z:?}");
        assert!(close(image.unseen, 0.0), "{image:?}");
    }
}
