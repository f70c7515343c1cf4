//! Spans of a sequence, hidden as 4M hides them: which pieces the encoder sees and which the decoder says.

use std::ops::Range;

use aion_model::sequence::{SENTINELS, SequenceToken};
use rand::Rng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

/// A piece of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece {
    /// The token at this position.
    Token(u16),
    /// What stands for the span of this number, counted from 1.
    Sentinel(u16),
}

impl Piece {
    /// The token of a sequence with these codes; none where it has no such position.
    pub(crate) fn token(self, codes: &[u16]) -> Option<SequenceToken> {
        Some(match self {
            Piece::Token(position) => SequenceToken::Code(*codes.get(usize::from(position))?),
            Piece::Sentinel(number) => SequenceToken::Sentinel(number),
        })
    }
}

/// A sequence with spans hidden.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Spans {
    /// What the encoder sees: tokens, and a sentinel for each span.
    pub shown: Vec<Piece>,
    /// What the decoder says: a sentinel, which it is given, and the tokens of its span, one span after the
    /// other, and the next sentinel at the end. A part of that where it is longer than was asked for.
    pub said: Vec<Piece>,
}

impl Spans {
    /// Hides spans of `count` tokens so that the encoder sees at most `input` pieces, none at all if that
    /// is 0, and at most `target` are to be predicted.
    pub(super) fn draw(count: usize, input: usize, target: usize, rng: &mut ChaCha8Rng) -> Self {
        let mut kept = input.min(count);
        // Each span takes a sentinel, so that fewer tokens than pieces can be kept: 4M's search.
        let mut spans = loop {
            let chosen = index::sample(rng, count, kept).into_vec();
            let spans = Spans::around(count, &chosen);
            let few = spans.last_sentinel() < SENTINELS && spans.shown.len() <= input;
            if few || kept == 0 {
                break spans;
            }
            kept = kept * 9 / 10;
        };
        if input == 0 {
            spans.shown.clear();
        }
        let part = spans.part(target, rng);
        spans.said = spans.said[part].to_vec();
        spans
    }

    /// Hides everything but the tokens at the positions `kept`.
    fn around(count: usize, kept: &[usize]) -> Self {
        let mut is_kept = vec![false; count];
        for &position in kept {
            is_kept[position] = true;
        }
        let (mut spans, mut number, mut before) = (Spans::default(), 0, true);
        for (position, is_kept) in (0..=u16::MAX).zip(is_kept) {
            if is_kept {
                spans.shown.push(Piece::Token(position));
            } else {
                if before {
                    number += 1;
                    spans.shown.push(Piece::Sentinel(number));
                    spans.said.push(Piece::Sentinel(number));
                }
                spans.said.push(Piece::Token(position));
            }
            before = is_kept;
        }
        spans.said.push(Piece::Sentinel(number + 1));
        spans
    }

    fn last_sentinel(&self) -> u16 {
        match self.said.last() {
            Some(Piece::Sentinel(number)) => *number,
            _ => 0,
        }
    }

    /// The part of what is said of which `target` pieces are predicted. Where the whole is longer it begins at
    /// a sentinel drawn at random, or at an earlier one if that leaves less than `target` to the end.
    fn part(&self, target: usize, rng: &mut ChaCha8Rng) -> Range<usize> {
        let (len, most) = (self.said.len(), target + 1);
        // Nothing is hidden, or nothing is asked for: a first piece is given, not predicted.
        if len == 1 || most == 1 {
            return 0..0;
        }
        if len <= most {
            return 0..len;
        }
        let is_sentinel = |at: &usize| matches!(self.said[*at], Piece::Sentinel(_));
        let starts: Vec<usize> = (0..len - 1).filter(is_sentinel).collect();
        let start = starts[rng.random_range(0..starts.len())];
        if len - start >= most {
            return start..start + most;
        }
        let first = starts.iter().find(|start| len - **start <= most);
        first.map_or(start..len, |first| *first..len)
    }

    /// Number of pieces to be predicted.
    pub fn predicted(&self) -> usize {
        self.said.len().saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};
    use proptest::prelude::*;

    /// The sequence with each sentinel that is shown replaced by what is said after it.
    fn filled(spans: &Spans) -> Vec<u16> {
        let mut said = spans
            .said
            .split(|piece| matches!(piece, Piece::Sentinel(_)));
        assert!(said.next().is_some_and(<[Piece]>::is_empty), "begins so");
        let mut sequence = Vec::new();
        for piece in &spans.shown {
            match piece {
                Piece::Token(position) => sequence.push(*position),
                Piece::Sentinel(_) => {
                    let span = said.next().expect("a span");
                    assert!(!span.is_empty());
                    sequence.extend(span.iter().map(|piece| match piece {
                        Piece::Token(position) => *position,
                        Piece::Sentinel(_) => unreachable!(),
                    }));
                }
            }
        }
        assert!(said.next().is_some_and(<[Piece]>::is_empty), "ends so");
        assert_eq!(said.next(), None);
        sequence
    }

    #[test]
    fn a_span_between_two_tokens() {
        let spans = Spans::around(5, &[0, 3]);
        let (token, sentinel) = (Piece::Token, Piece::Sentinel);
        assert_eq!(spans.shown, [token(0), sentinel(1), token(3), sentinel(2)]);
        let (first, second) = ([sentinel(1), token(1), token(2)], [sentinel(2), token(4)]);
        assert_eq!(spans.said, [&first[..], &second, &[sentinel(3)]].concat());
    }

    proptest! {
        #[test]
        fn what_is_shown_and_said_makes_the_sequence(
            count in 1usize..200,
            kept in 0.0f64..1.0,
            seed: u64,
        ) {
            let mut rng = stream(seed, Purpose::Mask, 0);
            let input = 1 + (kept * count as f64) as usize;
            let spans = Spans::draw(count, input, 2 * count, &mut rng);
            prop_assert!((1..=input).contains(&spans.shown.len()));
            let whole: Vec<u16> = (0..=u16::MAX).take(count).collect();
            if spans.said.is_empty() {
                let all: Vec<Piece> = whole.into_iter().map(Piece::Token).collect();
                prop_assert_eq!(spans.shown, all);
            } else {
                prop_assert_eq!(filled(&spans), whole);
            }
        }

        #[test]
        fn budgets_are_kept(count in 1usize..600, input in 0usize..600, target in 0usize..60, seed: u64) {
            let mut rng = stream(seed, Purpose::Mask, 0);
            let spans = Spans::draw(count, input, target, &mut rng);
            prop_assert!(spans.shown.len() <= input);
            prop_assert!(spans.predicted() <= target);
            prop_assert!(spans.last_sentinel() <= SENTINELS);
            let starts = matches!(spans.said.first(), None | Some(Piece::Sentinel(_)));
            prop_assert!(starts, "{:?}", spans.said);
            // Whatever is hidden is asked for as far as the budget goes.
            let hidden = count > spans.shown.iter().filter(|p| matches!(p, Piece::Token(_))).count();
            prop_assert_eq!(spans.predicted() > 0, hidden && target > 0);
        }
    }

    #[test]
    fn the_end_is_learned_also_where_all_is_too_much() {
        let mut rng = stream(4, Purpose::Mask, 0);
        let ends = (0..200).filter(|_| {
            let spans = Spans::draw(50, 25, 12, &mut rng);
            assert!((1..=12).contains(&spans.predicted()));
            let whole = Spans::draw(50, 25, 200, &mut rng);
            assert!(whole.predicted() > 25);
            matches!(spans.said.last(), Some(Piece::Sentinel(_)))
        });
        assert!(ends.count() > 20);
    }
}
