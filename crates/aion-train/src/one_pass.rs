//! All objects of a run's training part, once and in the order of the sources, for codebooks: no more than a
//! few objects are in memory at a time, however many there are.

use aion_data::Object;
use rayon::prelude::*;

use crate::data::observed::{every_survey_object, part_of};
use crate::data::{DataConfig, Part, SurveyCounts};
use crate::error::TrainError;

/// Simulated objects drawn at once.
const CHUNK: u64 = 64;

/// Shows `visit` every object with the number of times that it counts, until it returns false.
/// Gives what became of the survey objects, and whether the pass came to its end.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn every_object(
    config: &DataConfig,
    visit: &mut dyn FnMut(&Object, u64) -> bool,
) -> Result<(SurveyCounts, bool), TrainError> {
    let of_surveys = &mut |object: Object, times| visit(&object, times);
    let (counts, whole) = every_survey_object(config, &[Part::Train], of_surveys)?;
    if !whole {
        return Ok((counts, false));
    }
    let whole = config.simulated.as_ref().is_none_or(|source| {
        let total = source.total();
        let starts = (0..total).step_by(CHUNK as usize);
        starts.into_iter().all(|start| {
            let chunk = start..(start + CHUNK).min(total);
            let objects: Vec<Object> = chunk
                .into_par_iter()
                .map(|index| source.object(index, &[]))
                .collect();
            let mut learned = objects
                .iter()
                .filter(|object| part_of(config, object) == Part::Train);
            learned.all(|object| visit(object, 1))
        })
    });
    Ok((counts, whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{SimulatedSource, SplitConfig};

    #[test]
    fn each_object_comes_once_until_told_to_stop() {
        // The whole sky is trained on.
        let split = SplitConfig {
            validation: 0.0,
            test: 0.0,
            ..SplitConfig::default()
        };
        let config = DataConfig {
            simulated: Some(SimulatedSource {
                seed: 1,
                count: 40,
                numbers: 30,
            }),
            split,
            ..DataConfig::default()
        };
        let (mut ids, mut numbers) = (Vec::new(), 0);
        let mut visit = |object: &Object, times: u64| {
            ids.push(object.id.clone());
            let mut measured = object.measurements.keys();
            numbers += usize::from(measured.all(|id| id.info().is_number()));
            times == 1
        };
        let (counts, whole) = every_object(&config, &mut visit).expect("a sky");
        assert!(whole && counts == SurveyCounts::default());
        let given = ids.len();
        ids.sort();
        ids.dedup();
        assert_eq!((given, ids.len()), (70, 70));
        // Stars that Gaia alone sees have no more than numbers.
        assert!((30..60).contains(&numbers), "{numbers}");
        let mut left = 3;
        let (_, whole) = every_object(&config, &mut |_, _| {
            left -= 1;
            left > 0
        })
        .expect("a sky");
        assert!(!whole && left == 0);
    }
}
