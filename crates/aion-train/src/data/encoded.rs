//! Objects that are tokenised when a run begins, and stay in memory.

use aion_codec::CodecSet;
use aion_data::{ModalityId, Object, ObjectTokens};
use rayon::prelude::*;

use super::DataConfig;
use super::observed::{Examples, part_of};
use super::split::Part;
use crate::error::TrainError;

/// Objects tokenised at once.
const CHUNK: u64 = 32;

/// Tokens of objects by part; those of the test part are left out.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// To learn from.
    pub train: Vec<ObjectTokens>,
    /// To watch.
    pub validation: Vec<ObjectTokens>,
}

impl Encoded {
    /// Tokenises objects; modalities that `keep` refuses are left out. `report` is told how many objects
    /// are done, and stops the work by returning false; there is no set then.
    ///
    /// # Errors
    /// A codec cannot be opened.
    pub fn new(
        config: &DataConfig,
        examples: &Examples<Object>,
        codecs: &CodecSet,
        keep: &dyn Fn(ModalityId) -> bool,
        report: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Self>, TrainError> {
        let mut encoded = Encoded::default();
        for start in (0..examples.len()).step_by(CHUNK as usize) {
            let end = (start + CHUNK).min(examples.len());
            let chunk = (start..end).into_par_iter();
            let mut chunk: Vec<Object> = chunk.filter_map(|i| examples.get(i)).collect();
            for object in &mut chunk {
                object.measurements.retain(|id, _| keep(*id));
            }
            for (object, found) in chunk.iter().zip(codecs.encode(&chunk)?) {
                let Ok(found) = found else { continue };
                match part_of(config, object) {
                    Part::Train => encoded.train.push(found.tokens),
                    Part::Validation => encoded.validation.push(found.tokens),
                    Part::Test => {}
                }
            }
            if !report(end) {
                return Ok(None);
            }
        }
        Ok(Some(encoded))
    }
}
