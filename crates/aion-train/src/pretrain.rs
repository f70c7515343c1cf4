//! Masked pretraining of the transformer: predict some tokens from others (paper §4).

use std::collections::BTreeSet;

use aion_codec::CodecSet;
use aion_data::{ModalityId, Object, ObjectTokens};
use aion_model::{Transformer, Visible, VisibleTokens};
use rayon::prelude::*;

use crate::config::Balance;
use crate::data::{Examples, shuffled};
use crate::error::TrainError;
use crate::masking::{ByModality, MaskConfig};
use crate::random::{Purpose, stream};
use crate::step::{Step, StepLoss};

/// Objects tokenised at once.
const CHUNK: u64 = 32;

/// The tokens of every object of a training set that something can be learned from.
#[derive(Debug, Clone)]
pub struct TokenSet {
    objects: Vec<ObjectTokens>,
    modalities: BTreeSet<ModalityId>,
}

impl TokenSet {
    /// Tokenises a training set; modalities that `keep` refuses are left out. `report` is told how
    /// many objects are done, and stops the work by returning false; there is no set then.
    ///
    /// # Errors
    /// A codec cannot be opened, or no object has enough tokens.
    pub fn encode(
        examples: &Examples<Object>,
        codecs: &CodecSet,
        keep: &dyn Fn(ModalityId) -> bool,
        mask: &MaskConfig,
        report: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Self>, TrainError> {
        let mut objects = Vec::new();
        for start in (0..examples.len()).step_by(CHUNK as usize) {
            let end = (start + CHUNK).min(examples.len());
            let chunk = (start..end).into_par_iter();
            let mut chunk: Vec<Object> = chunk.filter_map(|i| examples.get(i)).collect();
            for object in &mut chunk {
                object.measurements.retain(|id, _| keep(*id));
            }
            let encoded = codecs.encode(&chunk)?;
            objects.extend(encoded.into_iter().flatten().map(|encoded| encoded.tokens));
            if !report(end) {
                return Ok(None);
            }
        }
        Self::new(objects, mask).map(Some)
    }

    /// Keeps the objects that a mask can be drawn for.
    ///
    /// # Errors
    /// There is none.
    pub fn new(mut objects: Vec<ObjectTokens>, mask: &MaskConfig) -> Result<Self, TrainError> {
        objects.retain(|tokens| {
            let mut rng = stream(0, Purpose::Mask, 0);
            mask.draw(&counts(tokens), &mut rng).is_some()
        });
        if objects.is_empty() {
            let reason = "no object has tokens to predict from others";
            return Err(TrainError::NoData(reason.to_owned()));
        }
        let ids = objects.iter().flat_map(|tokens| tokens.keys());
        let modalities = ids.copied().collect();
        Ok(TokenSet {
            objects,
            modalities,
        })
    }

    /// The objects at some places. It has the modalities of the whole, whether they occur or not, so
    /// that models of all parts are alike.
    pub fn select(&self, places: impl Iterator<Item = usize>) -> Self {
        let chosen = places.filter_map(|place| self.objects.get(place).cloned());
        TokenSet {
            objects: chosen.collect(),
            modalities: self.modalities.clone(),
        }
    }

    /// The objects in order.
    pub fn objects(&self) -> &[ObjectTokens] {
        &self.objects
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether there is none; never, as construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// The modalities that occur.
    pub fn modalities(&self) -> &BTreeSet<ModalityId> {
        &self.modalities
    }
}

/// The task.
#[derive(Debug)]
pub struct Pretraining {
    /// What is learned from.
    pub tokens: TokenSet,
    /// How masks are drawn.
    pub mask: MaskConfig,
    /// What counts alike in the loss.
    pub balance: Balance,
    /// Objects in a batch.
    pub batch: u64,
    /// Seed of order and masks.
    pub seed: u64,
}

impl Step for Pretraining {
    type Model = Transformer;
    type Batch = (Vec<VisibleTokens>, Vec<VisibleTokens>);

    fn batch(&self, position: u64) -> Result<Self::Batch, TrainError> {
        let objects = &self.tokens.objects;
        let samples = position * self.batch..(position + 1) * self.batch;
        let pairs = samples.filter_map(|sample| {
            let index = shuffled(self.seed, sample, objects.len() as u64);
            self.mask
                .pair(objects.get(index as usize)?, self.seed, sample)
        });
        Ok(pairs.unzip())
    }

    fn loss(
        &self,
        model: &Transformer,
        (shown, hidden): Self::Batch,
    ) -> Result<StepLoss, TrainError> {
        let loss = model.loss(&shown, &hidden)?;
        let mean = |(sum, count): (f64, usize)| sum / count as f64;
        let terms = loss.by_modality.into_iter();
        Ok(StepLoss {
            total: match self.balance {
                Balance::Token => loss.mean,
                Balance::Modality => loss.balanced,
            },
            terms: terms
                .map(|(id, sums)| (id.to_string(), mean(sums)))
                .collect(),
        })
    }
}

impl MaskConfig {
    /// What sample `sample` of a run shows of an object, and what it asks for; `None` where there is
    /// nothing to predict something from.
    pub(crate) fn pair(
        &self,
        tokens: &ObjectTokens,
        seed: u64,
        sample: u64,
    ) -> Option<(VisibleTokens, VisibleTokens)> {
        let mut rng = stream(seed, Purpose::Mask, sample);
        let mask = self.draw(&counts(tokens), &mut rng)?;
        Some((pick(tokens, &mask.input), pick(tokens, &mask.target)))
    }
}

fn counts(tokens: &ObjectTokens) -> ByModality<usize> {
    let present = tokens.iter().filter(|(_, tokens)| !tokens.is_empty());
    present.map(|(id, tokens)| (*id, tokens.len())).collect()
}

/// The tokens at some positions.
fn pick(tokens: &ObjectTokens, positions: &ByModality<Vec<u16>>) -> VisibleTokens {
    let visible = |id: &ModalityId, positions: &Vec<u16>| {
        let tokens = tokens.get(id)?;
        let at = |position: &u16| tokens.get(usize::from(*position)).copied();
        Some(Visible {
            tokens: positions.iter().filter_map(at).collect(),
            positions: positions.clone(),
        })
    };
    let picked = positions.iter();
    picked
        .filter_map(|(id, positions)| Some((*id, visible(id, positions)?)))
        .collect()
}
