//! What a set of token files holds, without holding it: which rows lie where, and in which part.
//!
//! One pass reads identifiers and positions, no tokens. It leaves a few numbers for every block of rows, so
//! that memory grows by bytes with thousands of objects, and problems of any file show before training.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aion_data::token_files::{TokenMetadata, TokenReader};
use aion_data::{DataError, ModalityId, Place, Problem, TokenRow};
use rayon::prelude::*;
use serde::Serialize;

use super::fingerprint::Fingerprints;
use super::split::{Part, SplitConfig};
use crate::error::TrainError;

/// Successive rows of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// Which of the index's files.
    pub(super) file: usize,
    /// The first row.
    pub(super) first: u64,
    /// Number of rows.
    pub(super) rows: u64,
    /// How many of them are in each part, in the order of [`Part::ALL`].
    pub(super) counts: [u64; 3],
}

/// Files of tokens and what is in them.
#[derive(Debug, Clone)]
pub struct TokenIndex {
    pub(super) files: Arc<[PathBuf]>,
    pub(super) blocks: Vec<Block>,
    pub(super) split: SplitConfig,
    modalities: BTreeSet<ModalityId>,
    counts: TokenCounts,
}

/// What became of the objects of a set of tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TokenCounts {
    /// The set's patterns.
    pub paths: Vec<String>,
    /// Files.
    pub files: usize,
    /// Files that do not say which codecs made them.
    pub unsigned: usize,
    /// Objects of the training part.
    pub train: u64,
    /// Objects of the validation part.
    pub validation: u64,
    /// Objects of the test part.
    pub test: u64,
    /// Objects without a position, which were placed by their identifier.
    pub without_position: u64,
}

/// What one file tells.
struct FileIndex {
    blocks: Vec<Block>,
    modalities: Vec<ModalityId>,
    metadata: TokenMetadata,
    without_position: u64,
}

impl TokenIndex {
    /// Looks through files, in blocks of `rows_a_block` rows.
    ///
    /// # Errors
    /// A file cannot be read, has no objects, states a token outside its vocabulary, or was made by
    /// other codecs than the rest.
    pub fn read(
        files: Vec<PathBuf>,
        split: &SplitConfig,
        rows_a_block: u64,
        fingerprints: &mut Fingerprints,
    ) -> Result<Self, TrainError> {
        let read = |(file, path): (usize, &PathBuf)| read_file(file, path, split, rows_a_block);
        let found: Result<Vec<FileIndex>, DataError> =
            files.par_iter().enumerate().map(read).collect();
        let mut index = TokenIndex {
            blocks: Vec::new(),
            split: split.clone(),
            modalities: BTreeSet::new(),
            counts: TokenCounts {
                files: files.len(),
                ..TokenCounts::default()
            },
            files: files.into(),
        };
        for (number, file) in found?.into_iter().enumerate() {
            let signed = fingerprints.check(&index.files[number], &file.metadata)?;
            index.counts.unsigned += usize::from(!signed);
            index.counts.without_position += file.without_position;
            index.modalities.extend(file.modalities);
            index.blocks.extend(file.blocks);
        }
        let [train, validation, test] = Part::ALL.map(|part| index.count(part));
        (
            index.counts.train,
            index.counts.validation,
            index.counts.test,
        ) = (train, validation, test);
        Ok(index)
    }

    /// Number of objects of a part.
    pub fn count(&self, part: Part) -> u64 {
        let of = |block: &Block| block.counts[part as usize];
        self.blocks.iter().map(of).sum()
    }

    /// The modalities that any file has a column of.
    pub fn modalities(&self) -> &BTreeSet<ModalityId> {
        &self.modalities
    }

    /// What became of the objects of the set that `paths` name.
    pub fn counts(&self, paths: &[String]) -> TokenCounts {
        TokenCounts {
            paths: paths.to_vec(),
            ..self.counts.clone()
        }
    }
}

fn read_file(
    file: usize,
    path: &Path,
    split: &SplitConfig,
    rows_a_block: u64,
) -> Result<FileIndex, DataError> {
    let reader = TokenReader::open_identities(path)?;
    check_vocabularies(path, &reader)?;
    let mut index = FileIndex {
        blocks: Vec::new(),
        modalities: reader.modalities().to_vec(),
        metadata: reader.metadata().clone(),
        without_position: 0,
    };
    for (row, found) in (0..).zip(reader) {
        if row % rows_a_block == 0 {
            index.blocks.push(Block {
                file,
                first: row,
                rows: 0,
                counts: [0; 3],
            });
        }
        let (part, positioned) = placed(split, &found?);
        index.without_position += u64::from(!positioned);
        if let Some(block) = index.blocks.last_mut() {
            block.rows += 1;
            block.counts[part as usize] += 1;
        }
    }
    Ok(index)
}

/// The part of a row, and whether its position decides.
fn placed(split: &SplitConfig, row: &TokenRow) -> (Part, bool) {
    let cell = split.cell(row.ra, row.dec);
    (split.part(cell, &row.id), cell.is_some())
}

/// The part of a row.
pub(super) fn part_of(split: &SplitConfig, row: &TokenRow) -> Part {
    placed(split, row).0
}

/// Fails where the file states a token that the modality's vocabulary does not hold.
fn check_vocabularies(path: &Path, reader: &TokenReader) -> Result<(), DataError> {
    for (modality, &token) in reader.largest() {
        let vocabulary = modality.info().vocabulary;
        if usize::try_from(token).is_ok_and(|token| token >= vocabulary) {
            let place = Place::file(path).with_field(modality.key());
            return Err(DataError::new(
                place,
                Problem::Vocabulary { token, vocabulary },
            ));
        }
    }
    Ok(())
}
