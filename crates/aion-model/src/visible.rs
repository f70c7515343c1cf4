//! Tokens with the positions they lie at: what the network is shown of an object.
//!
//! Training and token budgets show some of a modality's tokens, so each token travels with its
//! position on the modality's grid (or in its sequence).

use std::collections::BTreeMap;

use aion_data::{ModalityId, ObjectTokens};

use crate::error::ModelError;

/// Some tokens of one modality. Both lists have the same length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Visible {
    /// Positions on the modality's grid, row by row, or in its sequence.
    pub positions: Vec<u16>,
    /// The tokens there.
    pub tokens: Vec<u16>,
}

impl Visible {
    /// Tokens at the first positions.
    pub fn all(tokens: &[u16]) -> Self {
        Visible {
            positions: (0..=u16::MAX).take(tokens.len()).collect(),
            tokens: tokens.to_vec(),
        }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }
}

/// What is shown of one object, by modality in registry order.
pub type VisibleTokens = BTreeMap<ModalityId, Visible>;

/// What is asked about one modality of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Of a grid: the tokens at these positions.
    At(Vec<u16>),
    /// Of a sequence, whose first tokens are these: the token after each of them.
    After(Vec<u16>),
}

impl Target {
    /// Number of tokens asked for.
    pub fn len(&self) -> usize {
        let (Target::At(list) | Target::After(list)) = self;
        list.len()
    }

    /// Whether none is asked for.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where each question stands: in a sequence, at the token that it follows.
    pub(crate) fn positions(&self) -> Vec<u16> {
        match self {
            Target::At(positions) => positions.clone(),
            Target::After(tokens) => (0..=u16::MAX).take(tokens.len()).collect(),
        }
    }
}

/// What is asked about one object, by modality in registry order.
pub type Targets = BTreeMap<ModalityId, Target>;

/// Everything that `tokens` holds, once its counts are checked. Empty sequences are left out.
///
/// # Errors
/// A grid modality has another number of tokens than its grid has places, or a sequence has more
/// than the model has positions for.
pub fn show_all(object: usize, tokens: &ObjectTokens) -> Result<VisibleTokens, ModelError> {
    let mut shown = VisibleTokens::new();
    for (&modality, tokens) in tokens {
        let info = modality.info();
        let expected = num_positions(modality);
        let fits = if info.is_sequence() {
            tokens.len() <= expected
        } else {
            tokens.len() == expected
        };
        if !fits {
            return Err(ModelError::TokenCount {
                object,
                modality,
                found: tokens.len(),
                expected,
            });
        }
        if !tokens.is_empty() {
            shown.insert(modality, Visible::all(tokens));
        }
    }
    Ok(shown)
}

/// Rows of the position table of sequences, which the published models have for any length.
const SEQUENCE_POSITIONS: usize = 512;

/// Number of positions that the model knows for a modality.
pub(crate) fn num_positions(modality: ModalityId) -> usize {
    let info = modality.info();
    if info.is_sequence() {
        SEQUENCE_POSITIONS
    } else {
        info.num_tokens()
    }
}

/// Checks that positions are on the grid.
pub(crate) fn check_positions(
    object: usize,
    modality: ModalityId,
    positions: &[u16],
) -> Result<(), ModelError> {
    let expected = num_positions(modality);
    match positions.iter().find(|&&p| usize::from(p) >= expected) {
        None => Ok(()),
        Some(&position) => Err(ModelError::Position {
            object,
            modality,
            position,
            expected,
        }),
    }
}

/// Checks that tokens lie in the vocabulary and have one position each.
pub(crate) fn check_tokens(
    object: usize,
    modality: ModalityId,
    shown: &Visible,
) -> Result<(), ModelError> {
    if shown.positions.len() != shown.tokens.len() {
        return Err(ModelError::TokenCount {
            object,
            modality,
            found: shown.tokens.len(),
            expected: shown.positions.len(),
        });
    }
    check_positions(object, modality, &shown.positions)?;
    let vocabulary = modality.info().vocabulary;
    let outside = |token: &u16| usize::from(*token) >= vocabulary;
    match shown.tokens.iter().position(outside) {
        None => Ok(()),
        Some(place) => Err(ModelError::TokenOutside {
            object,
            modality,
            position: usize::from(shown.positions[place]),
            token: shown.tokens[place],
            vocabulary,
        }),
    }
}
