//! 4M's sampler, to compare with: each budget is shared among the object's modalities by a draw from a
//! symmetric Dirichlet distribution.
//!
//! What a modality is given beyond its tokens is lost, which is why objects with many single numbers leave
//! the budgets half empty. In 4M an image's targets are capped by what is left of it, and a
//! concentration is drawn for each sample; so here. A sequence takes part in the input alone, and only if it
//! is given enough for all of it, unless spans of it are hidden.

use aion_data::ModalityId;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;

use super::draws::log_gammas;
use super::{ByModality, Drawn, MaskConfig};

/// Draws after which an object whose input or target stays empty gets one token on either side.
const TRIES: usize = 100;

/// A modality and its number of tokens.
type Count = (ModalityId, usize);

pub(super) fn draw(
    config: &MaskConfig,
    counts: &ByModality<usize>,
    rng: &mut ChaCha8Rng,
) -> Option<Drawn> {
    let alpha = *config.dirichlet_alphas.choose(rng)?;
    let present: Vec<Count> = counts.iter().map(|(id, count)| (*id, *count)).collect();
    for _ in 0..TRIES {
        let mut input = shared(&present, alpha, config.input_budget, rng);
        input.retain(|id, given| !config.is_whole(*id) || *given == counts[id]);
        let left = |(id, count): &Count| {
            let shown = input.get(id).copied().unwrap_or(0);
            (!config.is_whole(*id)).then(|| (*id, config.predictable(*id, *count, shown)))
        };
        let left: Vec<Count> = present.iter().filter_map(left).collect();
        let target = shared(&left, alpha, config.target_budget, rng);
        if !input.is_empty() && !target.is_empty() {
            return Some(Drawn { input, target });
        }
    }
    one_each(config, &present, rng)
}

/// Shares `budget` tokens; no modality gets more than it has.
fn shared(counts: &[Count], alpha: f64, budget: usize, rng: &mut ChaCha8Rng) -> ByModality<usize> {
    let logs = log_gammas(alpha, counts.len(), rng);
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let parts: Vec<f64> = logs.iter().map(|log| (log - largest).exp()).collect();
    let sum: f64 = parts.iter().sum();
    let of_budget = |part: &f64| (part / sum * budget as f64) as usize;
    let mut given: Vec<usize> = parts.iter().map(of_budget).collect();
    // Rounding leaves fewer tokens than there are modalities.
    for _ in given.iter().sum::<usize>()..budget {
        let logs = log_gammas(alpha, counts.len(), rng);
        let best = (0..counts.len()).max_by(|a, b| logs[*a].total_cmp(&logs[*b]));
        best.into_iter().for_each(|best| given[best] += 1);
    }
    let given = counts.iter().zip(given);
    given
        .map(|((id, count), given)| (*id, given.min(*count)))
        .filter(|(_, given)| *given > 0)
        .collect()
}

/// One token to predict, from another one or from a sequence that fits.
fn one_each(config: &MaskConfig, present: &[Count], rng: &mut ChaCha8Rng) -> Option<Drawn> {
    let (sequences, grids): (Vec<Count>, Vec<Count>) = present
        .iter()
        .filter(|(_, count)| *count > 0)
        .partition(|(id, _)| config.is_whole(*id));
    let target = *grids.choose(rng)?;
    let has_more = |(id, count): &Count| *id != target.0 || *count > 1;
    let from_grids = grids
        .iter()
        .filter(|count| has_more(count))
        .map(|(id, _)| (*id, 1));
    let fits = |(_, count): &&Count| *count <= config.input_budget;
    let sources: Vec<Count> = from_grids
        .chain(sequences.iter().filter(fits).copied())
        .collect();
    Some(Drawn {
        input: ByModality::from([*sources.choose(rng)?]),
        target: ByModality::from([(target.0, 1)]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    fn counts(keys: &[&str]) -> ByModality<usize> {
        let ids = keys.iter().filter_map(|key| ModalityId::from_key(key));
        ids.map(|id| (id, id.info().num_tokens())).collect()
    }

    fn with(alpha: f64) -> MaskConfig {
        MaskConfig {
            dirichlet_alphas: vec![alpha],
            ..MaskConfig::default()
        }
    }

    /// Mean number of modalities and of tokens in the input.
    fn means(alpha: f64, counts: &ByModality<usize>) -> (f64, f64) {
        let (mut modalities, mut tokens) = (0, 0);
        for position in 0..300 {
            let mut rng = stream(2, Purpose::Mask, position);
            let drawn = draw(&with(alpha), counts, &mut rng).expect("a mask");
            modalities += drawn.input.len();
            tokens += drawn.input.values().sum::<usize>();
        }
        (
            f64::from(modalities as u32) / 300.0,
            f64::from(tokens as u32) / 300.0,
        )
    }

    #[test]
    fn the_concentration_decides_how_many_modalities_mix() {
        let counts = counts(&["tok_image", "tok_spectrum_sdss", "tok_xp_bp", "tok_xp_rp"]);
        let (few, _) = means(0.01, &counts);
        let (many, _) = means(10.0, &counts);
        // A small concentration chooses one, and often another for the token that rounding leaves.
        assert!(few < 2.0 && many > 3.9, "{few} {many}");
    }

    #[test]
    fn what_single_numbers_are_given_is_lost() {
        let keys = [
            "tok_flux_g",
            "tok_flux_r",
            "tok_flux_i",
            "tok_flux_z",
            "tok_image",
        ];
        let (_, tokens) = means(10.0, &counts(&keys));
        // A fifth of 256 for the image, one token each for the numbers.
        assert!((tokens - 55.2).abs() < 2.0, "{tokens}");
    }

    #[test]
    fn a_long_sequence_beside_one_number_is_used() {
        let catalog = ModalityId::from_key("catalog").expect("a known key");
        let mut counts = counts(&["tok_z"]);
        counts.insert(catalog, 255);
        let drawn = draw(&with(10.0), &counts, &mut stream(0, Purpose::Mask, 0));
        let drawn = drawn.expect("a mask");
        assert_eq!(drawn.input, ByModality::from([(catalog, 255)]));
        assert_eq!(drawn.target.len(), 1);
    }
}
