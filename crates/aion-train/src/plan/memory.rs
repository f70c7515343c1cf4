//! Where a device's memory goes.
//!
//! Mixed precision with AdamW as in the ZeRO paper (Rajbhandari et al. 2020, §3.1): bf16 parameters and
//! gradients, and a float32 copy and two float32 moments that the optimiser owns, 16 bytes a
//! parameter. ZeRO-1 shares the optimiser's states among the devices, ZeRO-2 gradients too, ZeRO-3
//! parameters too.

use serde::Serialize;

use super::work::{BF16, FLOAT32};

/// Share of a device's memory that is left for the runtime, workspaces and fragmentation.
pub const RESERVE: f64 = 0.1;
/// Bytes of the optimiser's states of a parameter: copy and two moments.
pub const OPTIMIZER: f64 = 3.0 * FLOAT32;

/// How much of the training state is shared among the devices instead of repeated on each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(into = "u8")]
pub enum Zero {
    /// Nothing.
    Zero0,
    /// Optimiser states.
    Zero1,
    /// Gradients too.
    Zero2,
    /// Parameters too.
    Zero3,
}

impl Zero {
    /// All stages.
    pub const ALL: [Zero; 4] = [Zero::Zero0, Zero::Zero1, Zero::Zero2, Zero::Zero3];

    /// The stage of this number.
    pub fn from_number(number: u8) -> Option<Zero> {
        Zero::ALL.get(usize::from(number)).copied()
    }
}

impl From<Zero> for u8 {
    fn from(stage: Zero) -> u8 {
        stage as u8
    }
}

/// Bytes of the training state on each device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct State {
    /// The stage.
    pub zero: Zero,
    /// Parameters; under ZeRO-3 also two blocks that are gathered, one in use and the next.
    pub parameters: f64,
    /// Gradients.
    pub gradients: f64,
    /// The optimiser's copy and moments.
    pub optimizer: f64,
}

impl State {
    /// The state of a model with `parameters`, `block` of them in its largest block, on `devices`.
    pub fn new(zero: Zero, parameters: f64, block: f64, devices: f64) -> Self {
        let share = |from: Zero| if zero >= from { devices } else { 1.0 };
        let gathered = if zero == Zero::Zero3 && devices > 1.0 {
            2.0 * block
        } else {
            0.0
        };
        State {
            zero,
            parameters: BF16 * (parameters / share(Zero::Zero3) + gathered),
            gradients: BF16 * parameters / share(Zero::Zero2),
            optimizer: OPTIMIZER * parameters / share(Zero::Zero1),
        }
    }

    /// Everything but activations.
    pub fn total(&self) -> f64 {
        self.parameters + self.gradients + self.optimizer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_by_hand() {
        // A thousand parameters on ten devices, blocks of 50.
        let state = |zero| State::new(zero, 1000.0, 50.0, 10.0);
        let parts = |zero| {
            let state = state(zero);
            [state.parameters, state.gradients, state.optimizer]
        };
        assert_eq!(parts(Zero::Zero0), [2000.0, 2000.0, 12_000.0]);
        assert_eq!(parts(Zero::Zero1), [2000.0, 2000.0, 1200.0]);
        assert_eq!(parts(Zero::Zero2), [2000.0, 200.0, 1200.0]);
        assert_eq!(parts(Zero::Zero3), [400.0, 200.0, 1200.0]);
        assert_eq!(state(Zero::Zero2).total(), 3400.0);
        let alone = State::new(Zero::Zero3, 1000.0, 50.0, 1.0);
        assert_eq!(alone.total(), 16_000.0);
    }
}
