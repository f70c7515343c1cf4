//! Orders without memory: which example stands at a place of an endless shuffled order.

use rand::Rng;

use crate::random::{Purpose, stream};

/// The example at `place` of an endless order: every round of `len` places holds each example once.
///
/// A permutation without memory: a Feistel network on the next power of four, walked until it
/// falls within `len`.
pub(crate) fn shuffled(seed: u64, place: u64, len: u64) -> u64 {
    let (round, mut value) = (place / len, place % len);
    let keys: [u64; 4] = stream(seed, Purpose::Order, round).random();
    let half_bits = len.next_power_of_two().trailing_zeros().div_ceil(2);
    let mask = (1_u64 << half_bits) - 1;
    loop {
        let (mut left, mut right) = (value >> half_bits, value & mask);
        for key in keys {
            // Any well-mixed function of the half and the key; this is the finaliser of SplitMix64.
            let mut mixed = (right ^ key).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^= mixed >> 31;
            (left, right) = (right, (left ^ mixed) & mask);
        }
        value = left << half_bits | right;
        if value < len {
            return value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_round_holds_each_example_once() {
        for len in [1, 2, 3, 10, 64, 1000] {
            for round in 0..3 {
                let mut seen: Vec<u64> = (0..len)
                    .map(|place| shuffled(9, round * len + place, len))
                    .collect();
                let order = seen.clone();
                seen.sort_unstable();
                assert_eq!(seen, (0..len).collect::<Vec<_>>());
                assert!(len < 64 || order != seen);
            }
        }
        assert_ne!(shuffled(1, 5, 1000), shuffled(2, 5, 1000));
    }
}
