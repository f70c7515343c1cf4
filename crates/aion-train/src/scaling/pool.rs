//! The study's objects as tokens, made once and kept beside the results.

use std::path::PathBuf;

use aion_codec::CodecSet;
use aion_data::TokenRow;
use aion_data::token_files::{TokenMetadata, read_tokens, write_tokens};
use burn::tensor::Device;

use super::ladder::Ladder;
use crate::data::{objects, shuffled};
use crate::error::TrainError;
use crate::pretrain::TokenSet;

/// All objects in one seeded order: training sets are the first of them, the held-out set the last.
pub(super) struct Pool {
    tokens: TokenSet,
    seed: u64,
}

impl Pool {
    /// Reads the tokens of the study's folder, or makes them. `report` is told objects done and all;
    /// there is no pool when it returns false.
    pub(super) fn open(
        ladder: &Ladder,
        device: &Device,
        report: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Option<Pool>, TrainError> {
        let path = file(ladder);
        let tokens = if path.is_file() {
            let rows = read_tokens(&path)?;
            let objects = rows.into_iter().map(|row| row.tokens).collect();
            Some(TokenSet::new(objects, &ladder.model.mask)?)
        } else {
            encode(ladder, device, report)?
        };
        let Some(tokens) = tokens else {
            return Ok(None);
        };
        let rungs = &ladder.ladder;
        let needed = rungs.objects.iter().max().unwrap_or(&0) + rungs.held_out;
        if (tokens.len() as u64) < needed {
            let reason = format!(
                "{} objects have tokens, expected at least {needed} for the largest training set and \
                 those held out",
                tokens.len()
            );
            return Err(TrainError::NoData(reason));
        }
        let seed = ladder.run.seed;
        Ok(Some(Pool { tokens, seed }))
    }

    /// A training set.
    pub(super) fn training(&self, objects: u64) -> TokenSet {
        self.part(0, objects)
    }

    /// The held-out set.
    pub(super) fn held_out(&self, objects: u64) -> TokenSet {
        self.part(self.tokens.len() as u64 - objects, objects)
    }

    fn part(&self, from: u64, objects: u64) -> TokenSet {
        let len = self.tokens.len() as u64;
        let places = from..from + objects;
        let chosen = places.map(|place| shuffled(self.seed, place, len) as usize);
        self.tokens.select(chosen)
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

fn encode(
    ladder: &Ladder,
    device: &Device,
    report: &mut dyn FnMut(u64, u64) -> bool,
) -> Result<Option<TokenSet>, TrainError> {
    let Some(codecs) = &ladder.model.codecs else {
        let reason = "is missing: objects have to become tokens";
        return Err(TrainError::config("model.codecs", reason));
    };
    let codecs = CodecSet::new(codecs, device);
    let (examples, _) = objects(&ladder.data, ladder.run.seed)?;
    let total = examples.len();
    let without = ladder.without();
    let keep = |id| codecs.has(id) && !without.contains(&id);
    let mut done = |done| report(done, total);
    let tokens = TokenSet::encode(&examples, &codecs, &keep, &ladder.model.mask, &mut done)?;
    let Some(tokens) = tokens else {
        return Ok(None);
    };
    let rows = tokens.objects().iter().enumerate();
    let rows: Vec<TokenRow> = rows
        .map(|(index, tokens)| TokenRow {
            id: index.to_string(),
            tokens: tokens.clone(),
            ..TokenRow::default()
        })
        .collect();
    write_tokens(&file(ladder), &rows, &TokenMetadata::new())?;
    Ok(Some(tokens))
}
