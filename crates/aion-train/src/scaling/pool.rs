//! The study's objects as tokens, made once and kept beside the results.

use std::collections::BTreeSet;
use std::path::PathBuf;

use aion_codec::CodecSet;
use aion_data::token_files::{TokenMetadata, read_tokens, write_tokens};
use aion_data::{ModalityId, ObjectTokens, TokenRow, described};
use burn::tensor::Device;

use super::ladder::Ladder;
use crate::data::encoded::Encoded;
use crate::data::mixture::{Mixture, Set};
use crate::data::order::shuffled;
use crate::data::token_data::TokenData;
use crate::data::{Part, objects};
use crate::error::TrainError;
use crate::pretrain::Validation;

/// All objects in one seeded order: training sets are the first of them, the held-out set the last.
pub(super) struct Pool<'a> {
    ladder: &'a Ladder,
    objects: Vec<ObjectTokens>,
}

impl<'a> Pool<'a> {
    /// Reads the tokens of the study's folder, or makes them. `report` is told objects done and all;
    /// there is no pool when it returns false.
    pub(super) fn open(
        ladder: &'a Ladder,
        device: &Device,
        report: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Option<Self>, TrainError> {
        let path = file(ladder);
        let objects = if path.is_file() {
            let rows = read_tokens(&path)?;
            Some(rows.into_iter().map(|row| row.tokens).collect())
        } else {
            encode(ladder, device, report)?
        };
        let Some(objects) = objects else {
            return Ok(None);
        };
        let rungs = &ladder.ladder;
        let needed = rungs.objects.iter().max().unwrap_or(&0) + rungs.held_out;
        if (objects.len() as u64) < needed {
            let reason = format!(
                "{} objects have tokens, expected at least {needed} for the largest training set and \
                 those held out",
                objects.len()
            );
            return Err(TrainError::NoData(reason));
        }
        Ok(Some(Pool { ladder, objects }))
    }

    /// A training set.
    pub(super) fn training(&self, objects: u64) -> Vec<ObjectTokens> {
        self.part(0, objects)
    }

    /// What a run on a training set draws from. The modalities are those of the whole pool, whether they
    /// occur in the set or not, so that models of all sets are alike.
    pub(super) fn data(&self, set: Vec<ObjectTokens>) -> Result<TokenData, TrainError> {
        let ids = self.objects.iter().flat_map(|tokens| tokens.keys());
        let modalities: BTreeSet<ModalityId> = ids.copied().collect();
        Ok(TokenData {
            training: self.mixture(set)?,
            validation: None,
            modalities,
        })
    }

    /// The held-out set, with masks that are the same for all models.
    pub(super) fn held_out(&self) -> Result<Validation, TrainError> {
        let Ladder {
            ladder, run, model, ..
        } = self.ladder;
        let objects = ladder.held_out;
        let set = self.part(self.objects.len() as u64 - objects, objects);
        let sizes = (objects, run.batch, run.seed);
        Validation::new(&self.mixture(set)?, &model.mask, sizes)
    }

    fn mixture(&self, set: Vec<ObjectTokens>) -> Result<Mixture, TrainError> {
        Mixture::new(self.ladder.run.seed, vec![(Set::Memory(set), 1.0)])
    }

    fn part(&self, from: u64, objects: u64) -> Vec<ObjectTokens> {
        let (seed, len) = (self.ladder.run.seed, self.objects.len() as u64);
        let places = from..from + objects;
        places
            .filter_map(|place| self.objects.get(shuffled(seed, place, len) as usize))
            .cloned()
            .collect()
    }
}

fn file(ladder: &Ladder) -> PathBuf {
    ladder.run.output.join("tokens.parquet")
}

/// Removes tokens that another ladder left.
pub(super) fn forget(ladder: &Ladder) -> Result<(), TrainError> {
    let path = file(ladder);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(TrainError::io(&path, error))
        }
        _ => Ok(()),
    }
}

/// Makes and stores the tokens of all objects that something can be learned from.
fn encode(
    ladder: &Ladder,
    device: &Device,
    report: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Option<Vec<ObjectTokens>>, TrainError> {
    let Some(codecs) = &ladder.model.codecs else {
        let reason = "is missing: objects have to become tokens";
        return Err(TrainError::config("model.codecs", reason));
    };
    let described = described::read(codecs)?;
    let codecs = CodecSet::new(codecs, device);
    let (examples, _) = objects(&ladder.data, &[Part::Train], described, ladder.run.seed)?;
    let total = examples.len();
    let without = ladder.without();
    let keep = |id| codecs.has(id) && !without.contains(&id);
    let mut done = |done| report(done, total);
    let encoded = Encoded::new(&ladder.data, &examples, &codecs, &keep, &mut done)?;
    let Some(Encoded { mut train, .. }) = encoded else {
        return Ok(None);
    };
    train.retain(|tokens| ladder.model.mask.can_use(tokens));
    let rows = train.iter().enumerate();
    let rows: Vec<TokenRow> = rows
        .map(|(index, tokens)| TokenRow {
            id: index.to_string(),
            tokens: tokens.clone(),
            ..TokenRow::default()
        })
        .collect();
    write_tokens(&file(ladder), &rows, &TokenMetadata::new())?;
    Ok(Some(train))
}
