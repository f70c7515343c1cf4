//! What is learned from: real objects, except those held out, and a simulated sky.
//!
//! Survey objects are few and stay in memory; simulated ones are drawn when they are needed, so
//! that their number costs nothing. Both come in one seeded order.

use std::path::PathBuf;

use aion_data::fnv::fnv1a;
use aion_data::reader::{ReadOptions, read, without_repeats};
use aion_data::{Measurement, ModalityId, Object, Survey};
use aion_simulate::{Coverage, Sky};
use rand::Rng;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::TrainError;
use crate::random::{Purpose, stream};

/// Section `data` of a run file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Survey files.
    pub survey: Vec<SurveySource>,
    /// Objects that the simulator draws.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simulated: Option<SimulatedSource>,
}

/// Objects of survey files; those that [`is_held_out`] names are left out.
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
}

fn once() -> u64 {
    1
}

impl DataConfig {
    pub(crate) fn check(&self) -> Result<(), TrainError> {
        if self.survey.is_empty() && self.simulated.is_none() {
            let reason = "names no source; expected `survey` or `simulated`";
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
        Ok(())
    }
}

/// Whether an object is kept from training, to be tested on: a fifth of all, chosen by the
/// identifier alone (64-bit FNV-1a of its bytes, modulo 10, is 0 or 1).
pub fn is_held_out(id: &str) -> bool {
    fnv1a(id) % 10 < 2
}

/// What became of the objects of survey files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SurveyCounts {
    /// Objects trained on.
    pub used: usize,
    /// Objects kept from training.
    pub held_out: usize,
    /// Objects that could not be read, with the reason.
    pub refused: Vec<String>,
}

/// Survey objects in memory, each with the number of times it comes.
fn survey_objects(config: &DataConfig) -> Result<(Vec<(Object, u64)>, SurveyCounts), TrainError> {
    let mut objects = Vec::new();
    let mut counts = SurveyCounts::default();
    for source in &config.survey {
        for path in without_repeats(files(&source.paths)?) {
            for object in read(&path, &ReadOptions::default())? {
                match object {
                    Ok(object) if is_held_out(&object.id) => counts.held_out += 1,
                    Ok(object) => objects.push((object, source.repeat)),
                    Err(error) => counts.refused.push(error.to_string()),
                }
            }
        }
    }
    counts.used = objects.len();
    Ok((objects, counts))
}

/// The files that patterns stand for, in order.
pub(crate) fn files(patterns: &[String]) -> Result<Vec<PathBuf>, TrainError> {
    let key = "data.survey.paths";
    let mut files = Vec::new();
    for pattern in patterns {
        let found = glob::glob(pattern).map_err(|error| TrainError::config(key, error))?;
        let before = files.len();
        files.extend(found.flatten().filter(|path| path.is_file()));
        if files.len() == before {
            return Err(TrainError::config(
                key,
                format!("`{pattern}`: no such file"),
            ));
        }
    }
    Ok(files)
}

type Draw<T> = Box<dyn Fn(u64) -> Option<T> + Send + Sync>;

/// Training examples in a seeded order that goes on for ever.
pub struct Examples<T> {
    seed: u64,
    survey: Vec<T>,
    /// Places in `survey`, as often as each comes.
    places: Vec<u32>,
    simulated: u64,
    draw: Draw<T>,
}

impl<T> std::fmt::Debug for Examples<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (survey, simulated) = (self.survey.len(), self.simulated);
        write!(f, "Examples({survey} of surveys, {simulated} simulated)")
    }
}

impl<T: Clone + Send + Sync> Examples<T> {
    fn new(
        seed: u64,
        survey: Vec<(T, u64)>,
        simulated: u64,
        draw: Draw<T>,
    ) -> Result<Self, TrainError> {
        let mut places = Vec::new();
        for (place, (_, repeat)) in survey.iter().enumerate() {
            places.extend((0..*repeat).map(|_| place as u32));
        }
        let survey: Vec<T> = survey.into_iter().map(|(example, _)| example).collect();
        if places.is_empty() && simulated == 0 {
            let reason = "no object has what this run learns from";
            return Err(TrainError::NoData(reason.to_owned()));
        }
        Ok(Examples {
            seed,
            survey,
            places,
            simulated,
            draw,
        })
    }

    /// Number of examples in one round.
    pub fn len(&self) -> u64 {
        self.places.len() as u64 + self.simulated
    }

    /// Whether there is none; never, as construction refuses that.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Example `index`, in the order of the sources.
    pub fn get(&self, index: u64) -> Option<T> {
        match self.places.get(index as usize) {
            Some(place) => self.survey.get(*place as usize).cloned(),
            None => (self.draw)(index - self.places.len() as u64),
        }
    }

    /// The example at `place` of the endless shuffled order.
    pub fn at(&self, place: u64) -> Option<T> {
        self.get(shuffled(self.seed, place, self.len()))
    }

    /// Batch `position` of `size` examples of the endless shuffled order.
    pub fn batch(&self, position: u64, size: u64) -> Vec<T> {
        (position * size..(position + 1) * size)
            .into_par_iter()
            .filter_map(|place| self.at(place))
            .collect()
    }
}

/// Measurements of some modalities (the images of all surveys, say), to train a codec.
///
/// # Errors
/// A file cannot be read, or nothing of them is found.
pub fn measurements(
    config: &DataConfig,
    modalities: &[ModalityId],
    seed: u64,
) -> Result<(Examples<Measurement>, SurveyCounts), TrainError> {
    let (objects, mut counts) = survey_objects(config)?;
    let survey: Vec<(Measurement, u64)> = objects
        .into_iter()
        .flat_map(|(object, repeat)| {
            let found = object.measurements.into_iter();
            found
                .filter(|(id, _)| modalities.contains(id))
                .map(move |(_, measurement)| (measurement, repeat))
        })
        .collect();
    counts.used = survey.len();
    let simulated = |id: &&ModalityId| footprint(id.info().survey).is_some();
    let ids: Vec<ModalityId> = modalities.iter().filter(simulated).copied().collect();
    let sky = config.simulated.clone();
    let count = sky.as_ref().map_or(0, |sky| sky.count);
    let draw = move |index: u64| {
        // Surveys take turns, and each object is measured by one.
        let id = *ids.get(index as usize % ids.len().max(1))?;
        let sky = Sky::new(sky.as_ref()?.seed).with_coverage(footprint(id.info().survey)?);
        sky.object(index).object.measurements.remove(&id)
    };
    Ok((Examples::new(seed, survey, count, Box::new(draw))?, counts))
}

/// Whole objects, to fit codebooks and to tokenise.
///
/// # Errors
/// A file cannot be read, or there is no object.
pub fn objects(
    config: &DataConfig,
    seed: u64,
) -> Result<(Examples<Object>, SurveyCounts), TrainError> {
    let (survey, counts) = survey_objects(config)?;
    let sky = config.simulated.clone();
    let count = sky.as_ref().map_or(0, |sky| sky.count);
    let draw = move |index: u64| Some(Sky::new(sky.as_ref()?.seed).object(index).object);
    Ok((Examples::new(seed, survey, count, Box::new(draw))?, counts))
}

/// The simulator's name of a survey.
pub(crate) fn footprint(survey: Survey) -> Option<Coverage> {
    match survey {
        Survey::LegacySurvey => Some(Coverage::LEGACY),
        Survey::Hsc => Some(Coverage::HSC),
        Survey::Sdss => Some(Coverage::SDSS),
        Survey::Desi => Some(Coverage::DESI),
        Survey::Gaia => Some(Coverage::GAIA),
        Survey::Any => None,
    }
}

/// The example at `place` of an endless order: every round of `len` places holds each example once.
///
/// A permutation without memory: a Feistel network on the next power of four, walked until it
/// falls within `len`.
pub(crate) fn shuffled(seed: u64, place: u64, len: u64) -> u64 {
    let (round, mut value) = (place / len, place % len);
    let keys: [u64; 4] = stream(seed, Purpose::Order, round).random();
    let half_bits = len.next_power_of_two().trailing_zeros().div_ceil(2);
    let mask = (1_u64 << half_bits) - 1;
    loop {
        let (mut left, mut right) = (value >> half_bits, value & mask);
        for key in keys {
            // Any well-mixed function of the half and the key; this is the finaliser of SplitMix64.
            let mut mixed = (right ^ key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            (left, right) = (right, (left ^ mixed) & mask);
        }
        value = left << half_bits | right;
        if value < len {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aion_data::Kind;

    #[test]
    fn every_round_holds_each_example_once() {
        for len in [1, 2, 3, 10, 64, 1000] {
            for round in 0..3 {
                let mut seen: Vec<u64> = (0..len)
                    .map(|place| shuffled(9, round * len + place, len))
                    .collect();
                let order = seen.clone();
                seen.sort_unstable();
                assert_eq!(seen, (0..len).collect::<Vec<_>>());
                assert!(len < 64 || order != seen);
            }
        }
        assert_ne!(shuffled(1, 5, 1000), shuffled(2, 5, 1000));
    }

    #[test]
    fn a_fifth_is_held_out() {
        let held = (0..10_000)
            .filter(|i| is_held_out(&format!("object-{i}")))
            .count();
        assert!((1900..2100).contains(&held), "{held}");
    }

    #[test]
    fn simulated_measurements_are_of_the_kind_and_repeat() {
        let config = DataConfig {
            simulated: Some(SimulatedSource { seed: 1, count: 40 }),
            ..DataConfig::default()
        };
        let spectra: Vec<ModalityId> = ModalityId::all()
            .filter(|id| id.info().kind == Kind::Spectrum)
            .collect();
        let (examples, _) = measurements(&config, &spectra, 3).expect("a sky");
        let batch = examples.batch(2, 8);
        assert_eq!(batch.len(), 8);
        assert!(batch.iter().all(|m| matches!(m, Measurement::Spectrum(_))));
        assert_eq!(batch, examples.batch(2, 8));
        assert_ne!(batch, examples.batch(3, 8));
    }

    #[test]
    fn missing_files_are_named() {
        let config = DataConfig {
            survey: vec![SurveySource {
                paths: vec!["/nowhere/spec-*.fits".to_owned()],
                repeat: 1,
            }],
            ..DataConfig::default()
        };
        let error = objects(&config, 0).expect_err("no files").to_string();
        assert!(
            error.contains("data.survey.paths") && error.contains("nowhere"),
            "{error}"
        );
    }
}
