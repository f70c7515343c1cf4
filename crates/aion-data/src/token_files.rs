//! Token files: objects as tokens, one row an object, in Parquet or safetensors by extension.
//!
//! *Parquet* (`.parquet`): `object_id` (text), `ra`, `dec` (degrees, null where unknown),
//! `_healpix_29` (nested HEALPix cell of order 29 at that position), one column of whole numbers a
//! modality, named by its token key and null where the object lacks it, and one text column
//! `flag_<NAME>` a survey flag. Metadata are the file's key-value pairs.
//!
//! *Safetensors* (`.safetensors`): one tensor (B,n) a modality, all −1 in a row that lacks it.
//! A catalogue holds as many tokens as its object has values; the rest of its row is 9999, as in the
//! reference. Rows are as long as the longest, or as the metadata entry `catalog/length` asks.
//! Identifiers, positions and flags are as in tensor files of observations.
//!
//! *FITS* (`.fits`, only written): the columns of Parquet in a binary table called `TOKENS`. Tokens are
//! vectors of 16-bit numbers, null (-1) where the object lacks the modality.

mod fits;
mod parquet;
mod tensors;

pub use parquet::{TokenWriter, rank};

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use crate::error::{DataError, Place, Problem, Result};
use crate::modality::ModalityId;
use crate::output_format::OutputFormat;
use crate::tokens::TokenRow;

/// What a token file says of itself: codec fingerprints, survey, instrument, provenance.
pub type TokenMetadata = BTreeMap<String, String>;

/// Padding of catalogue tokens in files.
const PADDING: i64 = 9999;
/// Metadata entry `<key>/length`: the least length of a sequence's rows.
const LENGTH: &str = "length";
/// The token that stands where a modality is absent.
const ABSENT: i64 = -1;

/// An open token file: an iterator over its rows in order.
///
/// A bad row is an inner error and does not end the iteration; damage to the file does.
pub struct TokenReader {
    metadata: TokenMetadata,
    len: usize,
    modalities: Vec<ModalityId>,
    largest: BTreeMap<ModalityId, i64>,
    rows: Box<dyn Iterator<Item = Result<TokenRow>> + Send>,
}

impl TokenReader {
    /// Opens the file at `path`, whose format its extension tells.
    ///
    /// # Errors
    /// Names file and field: [`Problem::Io`], [`Problem::Container`] for damaged files,
    /// [`Problem::Unrecognised`] for another extension, [`Problem::UnknownModality`],
    /// [`Problem::Shape`] for a wrong number of tokens, [`Problem::Values`] for tokens that are not
    /// whole numbers, [`Problem::Mismatch`] for tensors with different numbers of objects,
    /// [`Problem::Empty`] without objects.
    pub fn open(path: &Path) -> Result<Self> {
        Self::open_rows(path, 0..u64::MAX)
    }

    /// Opens the file at `path` to read some of its rows, without reading those before.
    ///
    /// # Errors
    /// As [`TokenReader::open`].
    pub fn open_rows(path: &Path, rows: Range<u64>) -> Result<Self> {
        let place = |row: u64| usize::try_from(row).unwrap_or(usize::MAX);
        Self::open_part(path, place(rows.start)..place(rows.end), Part::Whole)
    }

    /// Opens the file at `path` to read identifiers and positions alone: its rows have no tokens, and
    /// columns of tokens are not read.
    ///
    /// # Errors
    /// As [`TokenReader::open`].
    pub fn open_identities(path: &Path) -> Result<Self> {
        Self::open_part(path, 0..usize::MAX, Part::Identity)
    }

    fn open_part(path: &Path, rows: Range<usize>, part: Part) -> Result<Self> {
        match OutputFormat::of(path)? {
            OutputFormat::Safetensors => tensors::open(path, rows, part),
            OutputFormat::Parquet => parquet::open(path, rows, part),
            OutputFormat::Csv | OutputFormat::Fits => Err(no_tokens(path)),
        }
    }

    /// The file's metadata.
    pub fn metadata(&self) -> &TokenMetadata {
        &self.metadata
    }

    /// The modalities that the file has columns of, in registry order.
    pub fn modalities(&self) -> &[ModalityId] {
        &self.modalities
    }

    /// The largest token of each modality, where the file states it without being read: Parquet's
    /// statistics do, and a sequence's padding hides it.
    pub fn largest(&self) -> &BTreeMap<ModalityId, i64> {
        &self.largest
    }

    /// Number of objects in the whole file; never 0.
    #[expect(
        clippy::len_without_is_empty,
        reason = "files without objects do not open"
    )]
    pub fn len(&self) -> usize {
        self.len
    }
}

/// What is read of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Everything.
    Whole,
    /// Identifier and position.
    Identity,
}

impl Iterator for TokenReader {
    type Item = Result<TokenRow>;

    /// # Errors
    /// Names file, object and field: [`Problem::Vocabulary`] for a token outside the vocabulary,
    /// [`Problem::Shape`] for a wrong number of tokens, [`Problem::Container`] for damage.
    fn next(&mut self) -> Option<Self::Item> {
        self.rows.next()
    }
}

/// All rows of a token file.
///
/// # Errors
/// The first that [`TokenReader`] meets.
pub fn read_tokens(path: &Path) -> Result<Vec<TokenRow>> {
    TokenReader::open(path)?.collect()
}

/// Writes rows of tokens to `path`, in the format that its extension tells.
///
/// # Errors
/// Names file, object and field: [`Problem::Empty`] without rows, [`Problem::Vocabulary`],
/// [`Problem::Shape`], [`Problem::Unrecognised`] for another extension, [`Problem::Io`]. Nothing is
/// written then.
pub fn write_tokens(path: &Path, rows: &[TokenRow], metadata: &TokenMetadata) -> Result<()> {
    if rows.is_empty() {
        return Err(DataError::new(Place::file(path), Problem::Empty));
    }
    check_rows(path, rows)?;
    match OutputFormat::of(path)? {
        OutputFormat::Safetensors => tensors::write(path, rows, metadata),
        OutputFormat::Parquet => parquet::write(path, rows, metadata),
        OutputFormat::Fits => fits::write(path, rows, metadata),
        OutputFormat::Csv => Err(no_tokens(path)),
    }
}

/// Fails unless every modality of every row has so many tokens as it should, all in its vocabulary.
fn check_rows(path: &Path, rows: &[TokenRow]) -> Result<()> {
    for row in rows {
        for (modality, tokens) in &row.tokens {
            check(*modality, tokens.iter().map(|token| i64::from(*token)))
                .map_err(|problem| at(path, *modality, problem).in_object(&row.id))?;
        }
    }
    Ok(())
}

fn no_tokens(path: &Path) -> DataError {
    let problem = "tokens are .safetensors or .parquet files".to_owned();
    DataError::new(Place::file(path), Problem::Unrecognised(problem))
}

/// The tokens that a row of a file spells, or none where the modality is absent from it.
fn parse(modality: ModalityId, row: &[i64]) -> std::result::Result<Option<Vec<u16>>, Problem> {
    if !row.is_empty() && row.iter().all(|token| *token == ABSENT) {
        return Ok(None);
    }
    let padding =
        |token: &i64| modality.info().is_sequence() && (*token == PADDING || *token == ABSENT);
    let tokens = row.iter().copied().filter(|token| !padding(token));
    check(modality, tokens.clone())?;
    // None is lost: they lie in the vocabulary.
    Ok(Some(tokens.map(|token| token as u16).collect()))
}

/// Fails unless the modality has so many tokens and its vocabulary holds each.
fn check(
    modality: ModalityId,
    tokens: impl Iterator<Item = i64> + Clone,
) -> std::result::Result<(), Problem> {
    let info = modality.info();
    if !info.is_sequence() {
        let found = tokens.clone().count();
        if found != info.num_tokens() {
            return Err(wrong_count(modality, found));
        }
    }
    let inside = |token: i64| u16::try_from(token).is_ok_and(|t| usize::from(t) < info.vocabulary);
    match tokens.into_iter().find(|token| !inside(*token)) {
        Some(token) => Err(Problem::Vocabulary {
            token,
            vocabulary: info.vocabulary,
        }),
        None => Ok(()),
    }
}

fn wrong_count(modality: ModalityId, found: usize) -> Problem {
    Problem::Shape {
        found: format!("{found} tokens"),
        expected: format!("{} tokens", modality.info().num_tokens()),
    }
}

fn at(path: &Path, modality: ModalityId, problem: Problem) -> DataError {
    DataError::new(Place::file(path).with_field(modality.key()), problem)
}
