//! The vocabulary of sequences: codes and special tokens.
//!
//! Spans of a sequence are hidden as 4M hides them (and T5 before it): the encoder sees the sequence with a
//! sentinel in the place of each span; the decoder says sentinel, span, sentinel, span, ..., sentinel, each
//! token after those before it. The last sentinel, which stands nowhere in the input, ends it.
//!
//! Beside the codes of its codec, the vocabulary has 204 special tokens: padding, unknown, start, end, and
//! 200 sentinels. In 4M they stand in front of the codes, and so they do in the decoder. The published
//! package embeds codes in the encoder as they are, without that offset, and so do we, therefore the encoder has
//! its special tokens behind the codes: a sequence that is shown whole is the same input to a model that
//! learned from spans as to any other. Encoder and decoder have tables of their own, so nothing meets.

use aion_data::ModalityId;

/// Special tokens in the vocabulary of a sequence.
const SPECIAL: u16 = 204;
/// Special tokens before the sentinels.
const OTHERS: u16 = 4;
/// Sentinels of a sequence. As in 4M the first one, number 0, is not used.
pub const SENTINELS: u16 = SPECIAL - OTHERS;

/// A token of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SequenceToken {
    /// A code of the codec.
    Code(u16),
    /// What stands for the span of this number, counted from 1, less than [`SENTINELS`].
    Sentinel(u16),
}

impl SequenceToken {
    /// Its entry in the encoder's vocabulary.
    pub fn shown(self, modality: ModalityId) -> u16 {
        let vocabulary = u16::try_from(modality.info().vocabulary).unwrap_or(u16::MAX);
        let codes = vocabulary.saturating_sub(SPECIAL);
        match self {
            SequenceToken::Code(code) => code,
            SequenceToken::Sentinel(number) => (codes + OTHERS).saturating_add(number),
        }
    }

    /// Its entry in the decoder's vocabulary, of its input and of its logits.
    pub fn said(self) -> u16 {
        match self {
            SequenceToken::Code(code) => code.saturating_add(SPECIAL),
            SequenceToken::Sentinel(number) => OTHERS.saturating_add(number),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_vocabularies_are_full_and_no_two_tokens_share_an_entry() {
        let catalog = ModalityId::from_key("catalog").expect("a known key");
        let vocabulary = catalog.info().vocabulary;
        let codes = (0..vocabulary as u16 - SPECIAL).map(SequenceToken::Code);
        let tokens: Vec<SequenceToken> = codes
            .chain((0..SENTINELS).map(SequenceToken::Sentinel))
            .collect();
        let shown = tokens.iter().map(|token| token.shown(catalog));
        let said = tokens.iter().map(|token| token.said());
        for entries in [shown.collect::<Vec<u16>>(), said.collect()] {
            let distinct: std::collections::BTreeSet<u16> = entries.into_iter().collect();
            assert_eq!(distinct.len(), vocabulary - usize::from(OTHERS));
            assert!(
                distinct
                    .iter()
                    .all(|entry| usize::from(*entry) < vocabulary)
            );
        }
        // As the published package numbers them: its first sentinel has the number 1.
        assert_eq!(SequenceToken::Sentinel(1).said(), 5);
    }
}
