//! Randomness of a run: a function of the seed, the purpose and a position.
//!
//! No generator is carried from step to step, so the state of a run is its step number alone.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// What random numbers are for; two purposes never share a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The order of the training set.
    Order,
    /// The choice of input and target tokens.
    Mask,
    /// First values of low-rank adapters.
    Adapter,
    /// The sets that samples come from.
    Mixture,
    /// The masks of the validation pass.
    Validation,
    /// Residuals drawn to see how sure a fit is.
    Bootstrap,
}

/// The generator for `position` (a sample of the run, an epoch).
pub fn stream(seed: u64, purpose: Purpose, position: u64) -> ChaCha8Rng {
    let salt = match purpose {
        Purpose::Order => 0x6f72_6465_7200_0000,
        Purpose::Mask => 0x6d61_736b_0000_0000,
        Purpose::Adapter => 0x6c6f_7261_0000_0000,
        Purpose::Mixture => 0x6d69_7874_7572_6500,
        Purpose::Validation => 0x7661_6c69_6461_7465,
        Purpose::Bootstrap => 0x626f_6f74_0000_0000,
    };
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ salt);
    rng.set_stream(position);
    rng
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::Rng;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |purpose, position| stream(7, purpose, position).random::<u64>();
        assert_eq!(draw(Purpose::Mask, 3), draw(Purpose::Mask, 3));
        assert_ne!(draw(Purpose::Mask, 3), draw(Purpose::Mask, 4));
        assert_ne!(draw(Purpose::Mask, 3), draw(Purpose::Order, 3));
    }
}
