//! AION's sampler (paper §4.2), which fills its budgets where 4M's leaves them half empty.
//!
//! Input: one modality, chosen at random, gives a uniform number of its tokens; the others fill the rest of
//! the budget. The paper says "by uniform sampling over tokens of the other modalities": uniform over
//! the pool of their tokens, where large modalities fill it and small ones still appear; or, in the other
//! reading, modality after modality in random order, each giving a uniform number of what fits.
//! A modality of hundreds of tokens is so hardly ever asked for with none of it shown, as it is when a spectrum is
//! predicted from an image; [`MaskConfig::withheld`] keeps whole modalities out of the input.
//! Targets: one modality with tokens left and then the others, in random order, each give a
//! Beta-distributed fraction of what is left, skewed towards few.

use aion_data::ModalityId;
use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom, index};
use rand_chacha::ChaCha8Rng;

use super::draws::beta;
use super::{ByModality, Drawn, MaskConfig, Sampler};

/// Numbers of tokens by modality.
type Pool = Vec<(ModalityId, usize)>;

pub(super) fn draw(
    config: &MaskConfig,
    counts: &ByModality<usize>,
    rng: &mut ChaCha8Rng,
) -> Option<Drawn> {
    let parts = counts.iter().filter(|(id, _)| !config.is_whole(**id));
    // At least one token has to stay, to be predicted.
    let spare = parts
        .map(|(_, count)| count)
        .sum::<usize>()
        .checked_sub(1)?;
    let mut offered = counts.clone();
    offered.retain(|_, _| config.withheld == 0.0 || !rng.random_bool(config.withheld));
    // All may be withheld, and what is offered may not fit, as a long sequence.
    let input =
        inputs(config, &offered, spare, rng).or_else(|| inputs(config, counts, spare, rng))?;
    let left = |id: &ModalityId, count: usize| {
        let shown = input.get(id).copied().unwrap_or(0);
        config.predictable(*id, count, shown)
    };
    let remaining: Pool = counts
        .iter()
        .map(|(id, count)| (*id, left(id, *count)))
        .filter(|(_, left)| *left > 0)
        .collect();
    let target = targets(config, remaining, rng);
    Some(Drawn { input, target })
}

/// Numbers of tokens shown, at most `spare` of modalities that are not shown as a whole.
fn inputs(
    config: &MaskConfig,
    counts: &ByModality<usize>,
    mut spare: usize,
    rng: &mut ChaCha8Rng,
) -> Option<ByModality<usize>> {
    let (sequences, grids): (Pool, Pool) = counts
        .iter()
        .map(|(id, count)| (*id, *count))
        .filter(|(_, count)| *count > 0)
        .partition(|(id, _)| config.is_whole(*id));
    let mut left = config.input_budget;
    let mut input = ByModality::new();
    let present: Pool = grids.iter().chain(&sequences).copied().collect();
    let (first, available) = *present.choose(rng)?;
    let most = available.min(left).min(spare);
    if !config.is_whole(first) && most > 0 {
        let count = rng.random_range(1..=most);
        input.insert(first, count);
        left -= count;
        spare -= count;
    }
    let others = present.iter().filter(|(id, _)| *id != first);
    let mut pool_size: usize = others.map(|(_, count)| count).sum();
    for (id, count) in &sequences {
        let chance = match config.sampler {
            // What a number of its tokens drawn like that of a grid would be on average.
            Sampler::AionOrdered => 0.5,
            // The chance that each of its tokens would have alone.
            _ => (left as f64 / pool_size.max(1) as f64).min(1.0),
        };
        let wanted = *id == first || spare == 0 || rng.random_bool(chance);
        if wanted && *count <= left {
            input.insert(*id, *count);
            left -= count;
        }
        if *id != first {
            pool_size -= count;
        }
    }
    let grids: Pool = grids.into_iter().filter(|(id, _)| *id != first).collect();
    match config.sampler {
        Sampler::AionOrdered => in_order(&mut input, &grids, left.min(spare), rng),
        _ => fill(&mut input, &grids, left.min(spare), rng),
    }
    if input.is_empty() {
        fill(&mut input, &grids, left.min(spare).min(1), rng);
    }
    (!input.is_empty()).then_some(input)
}

fn targets(config: &MaskConfig, mut remaining: Pool, rng: &mut ChaCha8Rng) -> ByModality<usize> {
    remaining.shuffle(rng);
    let mut left = config.target_budget;
    let mut target = ByModality::new();
    for (id, available) in remaining {
        let fraction = beta(config.target_beta, rng);
        let count = if target.is_empty() {
            let most = available.min(left);
            ((fraction * most as f64).round() as usize).max(1).min(most)
        } else {
            // Rounded at random: a single token is a target with probability `fraction`.
            let count = fraction * available as f64 + rng.random::<f64>();
            (count as usize).min(available).min(left)
        };
        target.insert(id, count);
        left -= count;
    }
    target
}

/// Adds at most `most` tokens: modality after modality in random order gives a uniform number.
fn in_order(
    input: &mut ByModality<usize>,
    pool: &[(ModalityId, usize)],
    most: usize,
    rng: &mut ChaCha8Rng,
) {
    let mut pool = pool.to_vec();
    pool.shuffle(rng);
    let mut left = most;
    for (id, count) in pool {
        let taken = rng.random_range(0..=count.min(left));
        if taken > 0 {
            input.insert(id, taken);
        }
        left -= taken;
    }
}

/// Adds `wanted` tokens, each token of `pool` equally likely.
fn fill(
    input: &mut ByModality<usize>,
    pool: &[(ModalityId, usize)],
    wanted: usize,
    rng: &mut ChaCha8Rng,
) {
    let size: usize = pool.iter().map(|(_, count)| count).sum();
    let mut chosen = index::sample(rng, size, wanted.min(size)).into_vec();
    chosen.sort_unstable();
    let mut chosen = chosen.into_iter().peekable();
    let mut end = 0;
    for (id, count) in pool {
        end += count;
        let mut taken = 0;
        while chosen.next_if(|index| *index < end).is_some() {
            taken += 1;
        }
        if taken > 0 {
            input.insert(*id, taken);
        }
    }
}
