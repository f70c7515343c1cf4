//! The computing stage's first half: rows of any kind become rows of tokens, batch by batch.
//!
//! Measurements go through the codecs; tokens are taken as they are.

use aion_codec::CodecSet;
use aion_data::sky::healpix29;
use aion_data::{DataError, Kind, ModalityId, Object, ObjectTokens, Place, Problem, TokenRow};
use aion_model::ModelError;

use crate::input::{Located, Row};
use crate::problems::Problems;
use crate::provenance::Record;
use crate::ranges::Ranges;

/// Rows of tokens with their files.
pub type TokenBatch = Vec<Located<TokenRow>>;

/// What is known of a unit of work while it is computed.
pub struct Stage<'a> {
    /// The codecs.
    pub codecs: &'a CodecSet,
    /// Modalities to leave out.
    pub without: &'a [ModalityId],
    /// Whether an object without position is a bad one.
    pub placed: bool,
    /// Objects left out so far.
    pub problems: Problems,
    /// Values out of range so far.
    pub ranges: Ranges,
    /// What was used so far.
    pub record: Record,
}

impl Stage<'_> {
    /// The good ones of some rows, without the modalities that are to be left out.
    ///
    /// # Errors
    /// A bad object, where it ends the command.
    pub fn keep(
        &mut self,
        rows: Vec<aion_data::Result<Located<Row>>>,
    ) -> aion_data::Result<Vec<Located<Row>>> {
        let mut kept = Vec::with_capacity(rows.len());
        for row in rows {
            let row = row.map(|row| hide(row, self.without));
            kept.extend(self.problems.keep(row)?);
        }
        Ok(kept)
    }

    /// The same rows with tokens in place of measurements.
    ///
    /// # Errors
    /// A bad object, where it ends the command; a codec is absent or cannot be opened.
    pub fn tokenize(&mut self, batch: Vec<Located<Row>>) -> anyhow::Result<TokenBatch> {
        let mut objects = Vec::new();
        let mut rows = Vec::with_capacity(batch.len());
        for Located { file, number, row } in batch {
            let tokenized = match row {
                Row::Tokenized(tokens) => Some(tokens),
                Row::Observed(object) => {
                    objects.push(object);
                    None
                }
            };
            rows.push((file, number, tokenized));
        }
        let encoded = self.codecs.encode(&objects)?;
        let measured = objects.iter().flat_map(|object| object.measurements.keys());
        self.record.uses_codecs(measured.copied());
        let mut encoded = objects.into_iter().zip(encoded);
        let mut tokens = Vec::with_capacity(rows.len());
        for (file, number, tokenized) in rows {
            let outcome = match tokenized {
                Some(row) => Ok(row),
                None => match encoded.next() {
                    Some((object, Ok(encoded))) => {
                        self.ranges.add(&file, &object.id, &encoded.ranges);
                        Ok(with_tokens(object, encoded.tokens))
                    }
                    Some((_, Err(error))) => Err(error),
                    None => continue,
                },
            };
            let mut outcome = outcome.and_then(require_tokens);
            if self.placed {
                outcome = outcome.and_then(require_position);
            }
            let outcome = outcome.map_err(|error| error.in_file(&file));
            let kept = self.problems.keep(outcome)?;
            tokens.extend(kept.map(|row| Located { file, number, row }));
        }
        Ok(tokens)
    }

    /// Runs the model on a batch's tokens. An object that it cannot take is noted and removed, and the rest is
    /// run again; `None` when nothing is left.
    ///
    /// # Errors
    /// A bad object, where it ends the command; a problem that is no object's.
    pub fn run<T>(
        &mut self,
        batch: &mut TokenBatch,
        model: impl Fn(&[ObjectTokens], &TokenBatch) -> Result<T, ModelError>,
    ) -> anyhow::Result<Option<T>> {
        while !batch.is_empty() {
            let tokens: Vec<ObjectTokens> =
                batch.iter().map(|row| row.row.tokens.clone()).collect();
            let error = match model(&tokens, batch) {
                Ok(result) => return Ok(Some(result)),
                Err(error) => error,
            };
            let Some((object, modality)) = offender(&error).filter(|(o, _)| *o < batch.len())
            else {
                return Err(error.into());
            };
            let bad = batch.remove(object);
            let mut place = Place::file(&bad.file).with_object(&bad.row.id);
            place.field = modality.map(|modality| modality.key().to_owned());
            let problem = Problem::Values(without_place(&error));
            self.problems.note(DataError::new(place, problem))?;
        }
        Ok(None)
    }
}

/// Whether any row goes through a network, which takes a batch at a time.
pub fn needs_network(rows: &[Located<Row>]) -> bool {
    rows.iter().any(|row| match &row.row {
        Row::Tokenized(_) => false,
        Row::Observed(object) => object.measurements.keys().any(|id| {
            let info = id.info();
            !info.is_number() && info.kind != Kind::Catalog
        }),
    })
}

/// Removes modalities that the user wants left out.
fn hide(mut row: Located<Row>, without: &[ModalityId]) -> Located<Row> {
    if without.is_empty() {
        return row;
    }
    match &mut row.row {
        Row::Observed(object) => object.measurements.retain(|id, _| !without.contains(id)),
        Row::Tokenized(tokens) => tokens.tokens.retain(|id, _| !without.contains(id)),
    }
    row
}

fn with_tokens(object: Object, tokens: ObjectTokens) -> TokenRow {
    TokenRow {
        id: object.id,
        ra: object.ra,
        dec: object.dec,
        tokens,
        flags: object.flags,
    }
}

fn require_tokens(row: TokenRow) -> Result<TokenRow, DataError> {
    if !row.tokens.is_empty() {
        return Ok(row);
    }
    let problem = Problem::Missing("measurement: no modality is left".to_owned());
    Err(DataError::new(
        Place::default().with_object(row.id),
        problem,
    ))
}

/// Partitions of the sky hold what lies somewhere.
fn require_position(row: TokenRow) -> Result<TokenRow, DataError> {
    let cell = row.ra.zip(row.dec).and_then(|(ra, dec)| healpix29(ra, dec));
    if cell.is_some() {
        return Ok(row);
    }
    let problem = Problem::Missing("position, which --hats needs".to_owned());
    let place = Place::default().with_object(row.id).with_field("ra");
    Err(DataError::new(place, problem))
}

/// The object that an error is about, by its place in the batch, and its modality.
fn offender(error: &ModelError) -> Option<(usize, Option<ModalityId>)> {
    match error {
        ModelError::NoTokens { object } | ModelError::NoTargets { object } => Some((*object, None)),
        ModelError::UnknownInput {
            object, modality, ..
        }
        | ModelError::TokenOutside {
            object, modality, ..
        }
        | ModelError::TokenCount {
            object, modality, ..
        }
        | ModelError::Position {
            object, modality, ..
        } => Some((*object, Some(*modality))),
        _ => None,
    }
}

/// The error's words without the place in the batch, which means nothing to the user.
fn without_place(error: &ModelError) -> String {
    let text = error.to_string();
    match text.split_once(": ") {
        Some((place, rest)) if place.starts_with("object ") => rest.to_owned(),
        _ => text,
    }
}
