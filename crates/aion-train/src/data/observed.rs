//! Objects as they were observed: real ones, except those held out, and a simulated sky.
//!
//! Survey objects are few and stay in memory; simulated ones are drawn when they are needed, so
//! that their number costs nothing. Both come in one seeded order.

use aion_data::fnv::fnv1a;
use aion_data::reader::{ReadOptions, read};
use aion_data::reasons::Reasons;
use aion_data::{DataError, Measurement, ModalityId, Object, Survey, described};
use aion_simulate::{Coverage, Sky};
use rayon::prelude::*;
use serde::Serialize;

use super::files::survey_files;
use super::order::shuffled;
use super::split::Part;
use super::{DataConfig, SimulatedSource};
use crate::error::TrainError;

/// Whether an object of a survey file is kept from training, whatever its position: a fifth of all, chosen
/// by the identifier alone (64-bit FNV-1a of its bytes, modulo 10, is 0 or 1).
pub fn is_held_out(id: &str) -> bool {
    fnv1a(id) % 10 < 2
}

/// What became of the objects of survey files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SurveyCounts {
    /// Objects trained on or validated with.
    pub used: usize,
    /// Objects kept from training.
    pub held_out: usize,
    /// Objects without a position, whose identifier alone decides.
    pub without_position: usize,
    /// Objects that could not be read, by reason.
    pub refused: Reasons,
}

/// Shows `visit` what the survey files hold, each object with the number of times that it comes, until
/// it returns false. Gives whether the pass came to its end.
fn read_surveys(
    config: &DataConfig,
    visit: &mut dyn FnMut(Result<Object, DataError>, u64) -> bool,
) -> Result<bool, TrainError> {
    for source in &config.survey {
        for path in survey_files("data.survey.paths", &source.paths)? {
            for object in read(&path, &ReadOptions::default())? {
                if !visit(object, source.repeat) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}

/// Shows `visit` every survey object of some parts with the number of times that it comes, until it
/// returns false. Gives what became of all, and whether the pass came to its end.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn every_survey_object(
    config: &DataConfig,
    parts: &[Part],
    visit: &mut dyn FnMut(Object, u64) -> bool,
) -> Result<(SurveyCounts, bool), TrainError> {
    let mut counts = SurveyCounts::default();
    let whole = read_surveys(config, &mut |object, times| {
        let object = match object {
            Ok(object) => object,
            Err(error) => {
                counts.refused.add(&error);
                return true;
            }
        };
        let cell = config.split.cell(object.ra, object.dec);
        counts.without_position += usize::from(cell.is_none());
        if is_kept_from(parts, config, &object) {
            counts.held_out += 1;
            return true;
        }
        counts.used += 1;
        visit(object, times)
    })?;
    Ok((counts, whole))
}

/// Shows `visit` every survey object that is kept from a run that learns from `parts`.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn every_held_out_object(
    config: &DataConfig,
    parts: &[Part],
    visit: &mut dyn FnMut(Object),
) -> Result<(), TrainError> {
    read_surveys(config, &mut |object, _| {
        if let Ok(object) = object
            && is_kept_from(parts, config, &object)
        {
            visit(object);
        }
        true
    })?;
    Ok(())
}

/// Survey objects of some parts in memory, each with the number of times it comes.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn survey_objects(
    config: &DataConfig,
    parts: &[Part],
) -> Result<(Vec<(Object, u64)>, SurveyCounts), TrainError> {
    let mut objects = Vec::new();
    let (counts, _) = every_survey_object(config, parts, &mut |object, times| {
        objects.push((object, times));
        true
    })?;
    Ok((objects, counts))
}

/// Whether an object of a survey file is kept from a run that learns from `parts`.
fn is_kept_from(parts: &[Part], config: &DataConfig, object: &Object) -> bool {
    is_held_out(&object.id) || !parts.contains(&part_of(config, object))
}

/// The part of an object as the run splits the sky; of one without a position, training.
pub(crate) fn part_of(config: &DataConfig, object: &Object) -> Part {
    let cell = config.split.cell(object.ra, object.dec);
    cell.map_or(Part::Train, |cell| {
        config.split.part(Some(cell), &object.id)
    })
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

/// Measurements of some modalities (the images of all surveys, say), to train a codec; of survey objects
/// those of the training part.
///
/// # Errors
/// A file cannot be read, or nothing of them is found.
pub fn measurements(
    config: &DataConfig,
    modalities: &[ModalityId],
    seed: u64,
) -> Result<(Examples<Measurement>, SurveyCounts), TrainError> {
    let (objects, mut counts) = survey_objects(config, &[Part::Train])?;
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
    let simulated = config.simulated.iter();
    let skies: Vec<(ModalityId, Sky)> = simulated
        .flat_map(|sky| modalities.iter().map(move |id| (*id, sky.seed)))
        .filter_map(|(id, seed)| Some((id, seen_by(id, seed)?)))
        .collect();
    let sky = config.simulated.as_ref().filter(|_| !skies.is_empty());
    let count = sky.map_or(0, |sky| sky.count);
    let draw = move |index: u64| {
        // Surveys take turns, and each object is measured by one.
        let (id, sky) = skies.get(index as usize % skies.len().max(1))?;
        sky.object(index).object.measurements.remove(id)
    };
    Ok((Examples::new(seed, survey, count, Box::new(draw))?, counts))
}

/// Whole objects of some parts, to fit codebooks and to tokenise; simulated ones with images by described
/// surveys too.
///
/// # Errors
/// A file cannot be read, or there is no object.
pub fn objects(
    config: &DataConfig,
    parts: &'static [Part],
    described: Vec<ModalityId>,
    seed: u64,
) -> Result<(Examples<Object>, SurveyCounts), TrainError> {
    let (survey, counts) = survey_objects(config, parts)?;
    let count = config.simulated.as_ref().map_or(0, SimulatedSource::total);
    let config = config.clone();
    let draw = move |index: u64| {
        let object = config.simulated.as_ref()?.object(index, &described);
        parts.contains(&part_of(&config, &object)).then_some(object)
    };
    Ok((Examples::new(seed, survey, count, Box::new(draw))?, counts))
}

/// The simulated sky as the survey of a modality alone sees it; none where the simulator does not know it.
pub(crate) fn seen_by(id: ModalityId, seed: u64) -> Option<Sky> {
    let survey = id.info().survey;
    let sky = Sky::new(seed).with_coverage(Coverage::of(survey));
    match survey {
        Survey::Any => None,
        Survey::Described(_) => {
            let bands = &described::description(id)?.bands;
            let seen = bands.iter().all(|band| band.optics.is_some());
            seen.then(|| sky.with_described(vec![id]))
        }
        _ => Some(sky),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aion_data::Kind;

    use crate::data::SurveySource;

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
            simulated: Some(SimulatedSource {
                seed: 1,
                count: 40,
                numbers: 0,
            }),
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
        let error = objects(&config, &Part::ALL, Vec::new(), 0)
            .expect_err("no files")
            .to_string();
        assert!(
            error.contains("data.survey.paths") && error.contains("nowhere"),
            "{error}"
        );
    }
}
