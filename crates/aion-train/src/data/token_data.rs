//! All that pretraining draws from: the sets of a run file, to learn from and to watch.

use std::collections::BTreeSet;

use aion_data::ModalityId;

use super::DataConfig;
use super::encoded::Encoded;
use super::files::token_files;
use super::fingerprint::{Codecs, Fingerprints};
use super::mixture::{Mixture, Set};
use super::split::Part;
use super::token_index::TokenIndex;
use super::token_shards::{BLOCKS_A_WINDOW, TokenShards};
use crate::error::TrainError;
use crate::masking::MaskConfig;

/// The objects of a run.
#[derive(Debug)]
pub struct TokenData {
    /// What is learned from.
    pub training: Mixture,
    /// What is watched; none where no object lies in the validation part.
    pub validation: Option<Mixture>,
    /// The modalities that occur.
    pub modalities: BTreeSet<ModalityId>,
}

/// Looks through the sets of tokens of a run file.
///
/// # Errors
/// See [`token_files`] and [`TokenIndex::read`]; no object of a set is in the training part.
pub fn index(config: &DataConfig, codecs: Codecs) -> Result<Vec<TokenIndex>, TrainError> {
    let rows = (config.buffer / BLOCKS_A_WINDOW as u64).max(1);
    let mut fingerprints = Fingerprints::new(codecs);
    let mut read = |paths: &[String]| {
        let files = token_files("data.tokens.paths", paths)?;
        let index = TokenIndex::read(files, &config.split, rows, &mut fingerprints)?;
        if index.count(Part::Train) == 0 {
            let reason = format!(
                "all objects of {} lie in held-out cells of `data.split`",
                paths.join(", ")
            );
            return Err(TrainError::NoData(reason));
        }
        Ok(index)
    };
    let sources = config.tokens.iter();
    sources.map(|source| read(&source.paths)).collect()
}

impl TokenData {
    /// Mixes the objects that were tokenised for this run and sets of tokens, which have been looked
    /// through, in an order that the seed decides.
    ///
    /// # Errors
    /// Nothing can be learned from any object; weights cannot be kept.
    pub fn new(
        config: &DataConfig,
        (encoded, indexes): (Option<Encoded>, &[TokenIndex]),
        mask: &MaskConfig,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let mut modalities = BTreeSet::new();
        modalities.extend(indexes.iter().flat_map(|index| index.modalities()).copied());
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        if let Some(mut encoded) = encoded {
            encoded.train.retain(|tokens| mask.can_use(tokens));
            encoded.validation.retain(|tokens| mask.can_use(tokens));
            let objects = encoded.train.iter().chain(&encoded.validation);
            modalities.extend(objects.flat_map(|tokens| tokens.keys()).copied());
            train.push((Set::Memory(encoded.train), 1.0));
            validation.push((Set::Memory(encoded.validation), 1.0));
        }
        for (number, (source, index)) in (1_u64..).zip(config.tokens.iter().zip(indexes)) {
            let shards = |part| {
                let seed = seed.wrapping_add(number);
                Set::Shards(TokenShards::new(index, part, mask, seed))
            };
            train.push((shards(Part::Train), source.weight));
            validation.push((shards(Part::Validation), source.weight));
        }
        let is_empty = validation.iter().all(|(set, _)| set.is_empty());
        Ok(TokenData {
            training: Mixture::new(seed, train)?,
            validation: match is_empty {
                true => None,
                false => Some(Mixture::new(seed, validation)?),
            },
            modalities,
        })
    }
}
