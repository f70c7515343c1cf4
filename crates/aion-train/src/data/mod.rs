//! What is learned from, and in which order.
//!
//! Survey objects and a simulated sky are read and tokenised when a run begins ([`observed`]); files of
//! tokens stay on disk ([`token_shards`]) and pass through a bounded buffer. A [`mixture`] of such sets is
//! what pretraining draws from. [`split`] says which objects are kept from training. Everything is a
//! function of the run's seed and a sample's number, so a run resumes where it stopped.

pub mod encoded;
pub mod files;
pub mod fingerprint;
pub mod leakage;
pub mod mixture;
pub mod observed;
pub mod order;
pub mod split;
pub mod token_data;
pub mod token_index;
pub mod token_shards;

use aion_data::{ModalityId, Object};
use aion_simulate::Sky;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;

pub use observed::{Examples, SurveyCounts, is_held_out, measurements, objects};
pub use split::{Part, SplitConfig};

/// Section `data` of a run file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Objects of each set of tokens that are held in memory to be shuffled.
    pub buffer: u64,
    /// What is kept from training.
    pub split: SplitConfig,
    /// Objects that the simulator draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedSource>,
    /// Survey files.
    pub survey: Vec<SurveySource>,
    /// Files of tokens, as `aion tokenize` writes them.
    pub tokens: Vec<TokenSource>,
}

impl Default for DataConfig {
    fn default() -> Self {
        DataConfig {
            buffer: 8192,
            split: SplitConfig::default(),
            simulated: None,
            survey: Vec::new(),
            tokens: Vec::new(),
        }
    }
}

/// Objects of survey files; those that [`is_held_out`] names, or that lie in a held-out cell of the sky,
/// are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SurveySource {
    /// Files and glob patterns.
    pub paths: Vec<String>,
    /// How often each object comes while every simulated object comes once.
    #[serde(default = "once")]
    pub repeat: u64,
}

/// A part of the simulated sky.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SimulatedSource {
    /// Seed of the sky.
    pub seed: u64,
    /// Number of objects.
    pub count: u64,
    /// Objects after those of which only numbers are looked at. Many more of them can be borne, which a
    /// model of numbers needs: redshifts from photometry, say. Codecs of images and spectra do not see them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub numbers: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl SimulatedSource {
    /// Number of all objects, those with numbers alone included. Those beyond are held out.
    pub fn total(&self) -> u64 {
        self.count + self.numbers
    }

    /// Object `index` of all, with images by `described` surveys too; of those after `count` the numbers.
    pub(crate) fn object(&self, index: u64, described: &[ModalityId]) -> Object {
        if index < self.count {
            let sky = Sky::new(self.seed).with_described(described.to_vec());
            return sky.object(index).object;
        }
        let mut object = self.without_pixels(index);
        let measured = &mut object.measurements;
        measured.retain(|id, _| id.info().is_number());
        object
    }

    /// Any object of the same sky, without images and spectra.
    pub(crate) fn without_pixels(&self, index: u64) -> Object {
        let sky = Sky::new(self.seed).with_images(false).with_spectra(false);
        sky.object(index).object
    }
}

/// A set of objects as tokens: of one survey, or pairs of two.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSource {
    /// Files, folders of shards, HATS catalogues and glob patterns.
    pub paths: Vec<String>,
    /// How often an object of this set comes, relative to the other sets; the objects of `survey` and
    /// `simulated` together are a set of weight 1.
    #[serde(default = "even")]
    pub weight: f64,
}

fn once() -> u64 {
    1
}

fn even() -> f64 {
    1.0
}

impl DataConfig {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if !self.has_objects() && self.tokens.is_empty() {
            let reason = "names no source; expected `tokens`, `survey` or `simulated`";
            return Err(TrainError::config("data", reason));
        }
        if self.survey.iter().any(|source| source.repeat == 0) {
            let reason = "is 0, expected at least 1";
            return Err(TrainError::config("data.survey.repeat", reason));
        }
        if self.simulated.as_ref().is_some_and(|sky| sky.count == 0) {
            let reason = "is 0, expected at least 1";
            return Err(TrainError::config("data.simulated.count", reason));
        }
        if self.buffer == 0 {
            let reason = "is 0, expected at least 1";
            return Err(TrainError::config("data.buffer", reason));
        }
        self.split.check()?;
        mixture::check_weights(&self.weights())
    }

    /// Whether objects are to be tokenised when the run begins.
    pub fn has_objects(&self) -> bool {
        !self.survey.is_empty() || self.simulated.is_some()
    }

    /// Weights of the sets: the objects', if there are any, then those of the sets of tokens.
    pub fn weights(&self) -> Vec<f64> {
        let objects = self.has_objects().then_some(1.0);
        let tokens = self.tokens.iter().map(|source| source.weight);
        objects.into_iter().chain(tokens).collect()
    }
}
