//! A token budget: an explicit, seeded subset of an object's tokens.
//!
//! Nothing is dropped unless the caller asks. The reference keeps 256 tokens by itself, chosen by
//! random scores; here the choice is uniform without replacement and a function of the seed.

use rand::SeedableRng;
use rand::seq::index;
use rand_chacha::ChaCha8Rng;

use crate::visible::{Visible, VisibleTokens};

/// At most `max` of an object's tokens, over all modalities, each equally likely to be kept.
/// Modalities of which nothing is kept are left out.
pub fn budget(tokens: &VisibleTokens, max: usize, seed: u64) -> VisibleTokens {
    let total: usize = tokens.values().map(Visible::len).sum();
    if total <= max {
        return tokens.clone();
    }
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut places = index::sample(&mut rng, total, max).into_vec();
    places.sort_unstable();
    let mut places = places.into_iter().peekable();
    let mut start = 0;
    let mut kept = VisibleTokens::new();
    for (&modality, shown) in tokens {
        let end = start + shown.len();
        let mut part = Visible::default();
        while let Some(place) = places.next_if(|&place| place < end) {
            part.positions.push(shown.positions[place - start]);
            part.tokens.push(shown.tokens[place - start]);
        }
        if !part.is_empty() {
            kept.insert(modality, part);
        }
        start = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use aion_data::ModalityId;

    use super::*;

    fn object() -> VisibleTokens {
        let key = |key| ModalityId::from_key(key).expect("a known key");
        let xp: Vec<u16> = (100..155).collect();
        VisibleTokens::from([
            (key("tok_xp_bp"), Visible::all(&xp)),
            (key("tok_z"), Visible::all(&[7])),
        ])
    }

    #[test]
    fn keeps_the_asked_number_at_their_positions() {
        let shown = budget(&object(), 20, 3);
        assert_eq!(shown.values().map(Visible::len).sum::<usize>(), 20);
        let bp = ModalityId::from_key("tok_xp_bp").expect("a known key");
        for (position, token) in shown[&bp].positions.iter().zip(&shown[&bp].tokens) {
            assert_eq!(*token, position + 100);
        }
        assert_eq!(shown, budget(&object(), 20, 3));
        assert_ne!(shown, budget(&object(), 20, 4));
    }

    #[test]
    fn drops_nothing_that_fits() {
        assert_eq!(budget(&object(), 56, 0), object());
    }
}
