//! Tokens of objects: the currency between files, codecs, model and training.

use std::collections::BTreeMap;

use crate::modality::ModalityId;

/// The tokens of one object, by modality in registry order. A modality that the object lacks is
/// absent; a catalogue holds as many tokens as it has values.
pub type ObjectTokens = BTreeMap<ModalityId, Vec<u16>>;

/// A row of a token file: tokens with the identity that travels with them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TokenRow {
    /// The object's identifier.
    pub id: String,
    /// Right ascension (ICRS), degrees.
    pub ra: Option<f64>,
    /// Declination (ICRS), degrees.
    pub dec: Option<f64>,
    /// Tokens by modality.
    pub tokens: ObjectTokens,
    /// Survey flags, carried unchanged.
    pub flags: BTreeMap<String, String>,
}

/// Number of tokens of an object over all modalities.
pub fn num_tokens(tokens: &ObjectTokens) -> usize {
    tokens.values().map(Vec::len).sum()
}
