//! Objects that no training has seen, as tokens.

use std::collections::BTreeMap;

use aion_data::{Kind, ModalityId, Object, ObjectTokens};
use aion_model::Aion;
use aion_simulate::Sky;
use rayon::prelude::*;

use crate::data::observed::every_held_out_object;
use crate::data::{DataConfig, Part, SimulatedSource};
use crate::error::TrainError;

/// Simulated objects drawn at once.
const CHUNK: u64 = 32;
/// Simulated objects drawn for each one that is wanted of a modality: the rarest, HSC's, need as many.
const DRAWS: u64 = 6;

/// A held-out object.
#[derive(Debug)]
pub(super) struct HeldOut {
    /// What was measured. Images, spectra and maps are kept of the first objects that have them.
    pub object: Object,
    /// Its tokens.
    pub tokens: ObjectTokens,
    /// The modalities that the model is asked for.
    pub asked: Vec<ModalityId>,
}

/// How many of each modality there are to be.
struct Quota {
    most: usize,
    counts: BTreeMap<ModalityId, usize>,
}

impl Quota {
    fn new(most: usize) -> Self {
        let counts = BTreeMap::new();
        Quota { most, counts }
    }

    /// The modalities of an object, among those that `is_wanted`, of which there are not enough yet.
    fn take(&mut self, object: &Object, is_wanted: impl Fn(ModalityId) -> bool) -> Vec<ModalityId> {
        let mut taken = Vec::new();
        for id in object.measurements.keys().filter(|id| is_wanted(**id)) {
            let count = self.counts.entry(*id).or_default();
            if *count < self.most {
                *count += 1;
                taken.push(*id);
            }
        }
        taken
    }
}

/// Whether measurements are large.
fn is_pixels(id: ModalityId) -> bool {
    matches!(
        id.info().kind,
        Kind::Image | Kind::Spectrum | Kind::ScalarField
    )
}

/// Whether the checkpoint can take a modality.
pub(super) fn takes(aion: &Aion, id: ModalityId) -> bool {
    !id.info().is_position()
        && aion.codecs.has(id)
        && aion.transformer.inputs().any(|input| input == id)
}

/// Whether the model can be asked for a modality.
fn answers(aion: &Aion, id: ModalityId) -> bool {
    !id.info().is_sequence() && aion.transformer.targets().any(|target| target == id)
}

/// An object's tokens, of the modalities that the checkpoint can take; none where a codec refuses it.
///
/// # Errors
/// A codec cannot be opened.
pub(super) fn tokenise(aion: &Aion, object: &Object) -> Result<Option<ObjectTokens>, TrainError> {
    let mut object = object.clone();
    object.measurements.retain(|id, _| takes(aion, *id));
    let encoded = aion.codecs.encode(&[object])?.pop();
    Ok(encoded.and_then(|encoded| Some(encoded.ok()?.tokens)))
}

/// Of `objects` those that are needed to ask for `most` of each modality; pixels of `pictures` of each
/// are kept.
///
/// # Errors
/// A codec cannot be opened.
pub(super) fn held_out(
    aion: &Aion,
    objects: impl Iterator<Item = Object>,
    [most, pictures]: [usize; 2],
) -> Result<Vec<HeldOut>, TrainError> {
    let (mut quota, mut pictures) = (Quota::new(most), Quota::new(pictures));
    let wanted = |id| takes(aion, id) && answers(aion, id);
    let mut found = Vec::new();
    for mut object in objects {
        let mut asked = quota.take(&object, wanted);
        if asked.is_empty() {
            continue;
        }
        let Some(tokens) = tokenise(aion, &object)? else {
            continue;
        };
        asked.retain(|id| tokens.contains_key(id));
        let kept = pictures.take(&object, is_pixels);
        let measured = &mut object.measurements;
        measured.retain(|id, _| !is_pixels(*id) || kept.contains(id));
        found.push(HeldOut {
            object,
            tokens,
            asked,
        });
    }
    Ok(found)
}

/// Simulated objects beyond those trained on, enough for `most` of each modality.
pub(super) fn simulated(source: &SimulatedSource, most: usize) -> impl Iterator<Item = Object> {
    let sky = Sky::new(source.seed);
    let first = source.total();
    let end = first + DRAWS * most as u64;
    let starts = (first..end).step_by(CHUNK as usize);
    starts.flat_map(move |start| {
        let chunk = start..(start + CHUNK).min(end);
        let draw = |index| sky.object(index).object;
        chunk.into_par_iter().map(draw).collect::<Vec<Object>>()
    })
}

/// Survey objects that the run neither learned from nor was watched on.
///
/// # Errors
/// A file cannot be read.
pub(super) fn of_surveys(data: &DataConfig) -> Result<Vec<Object>, TrainError> {
    let mut objects = Vec::new();
    let parts = [Part::Train, Part::Validation];
    every_held_out_object(data, &parts, &mut |object| objects.push(object))?;
    Ok(objects)
}
