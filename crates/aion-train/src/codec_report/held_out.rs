//! Measurements that no training has seen: survey objects held out, and simulated ones beyond
//! those trained on.

use aion_data::{ModalityId, Object};

use crate::data::observed::{every_held_out_object, seen_by};
use crate::data::{DataConfig, Part};
use crate::error::TrainError;

/// At most `most` survey objects and `most` simulated objects of each modality.
///
/// # Errors
/// A file cannot be read.
pub(crate) fn held_out(
    config: &DataConfig,
    modalities: &[ModalityId],
    most: usize,
) -> Result<Vec<Object>, TrainError> {
    let mut counts = vec![0usize; modalities.len()];
    let mut objects = Vec::new();
    every_held_out_object(config, &[Part::Train], &mut |object| {
        let wanted: Vec<usize> = (0..modalities.len())
            .filter(|place| counts[*place] < most)
            .filter(|place| object.get(modalities[*place]).is_some())
            .collect();
        wanted.iter().for_each(|place| counts[*place] += 1);
        if !wanted.is_empty() {
            objects.push(object);
        }
    })?;
    let Some(source) = &config.simulated else {
        return Ok(objects);
    };
    for modality in modalities {
        let Some(sky) = seen_by(*modality, source.seed) else {
            continue;
        };
        let beyond = source.total()..source.total() + most as u64;
        objects.extend(beyond.map(|index| {
            let mut object = sky.object(index).object;
            object.measurements.retain(|id, _| id == modality);
            object
        }));
    }
    Ok(objects)
}
