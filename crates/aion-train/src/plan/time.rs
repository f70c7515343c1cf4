//! How long a step takes: arithmetic, memory traffic, communication.
//!
//! Each term is a lower bound by itself, and the longest sets the step: kernels overlap arithmetic with
//! traffic, and sharded training overlaps both with communication.

use serde::Serialize;

use super::gpu::Gpu;
use super::memory::{OPTIMIZER, Zero};
use super::work::BF16;

/// One device's part of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Part {
    /// Bytes of activations of all objects.
    pub activations: f64,
    /// Forward and backward passes.
    pub passes: f64,
    /// Whether blocks are recomputed.
    pub checkpointing: bool,
}

/// Seconds of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StepTime {
    /// Operations at the assumed share of the peak.
    pub arithmetic: f64,
    /// Bytes through the device's memory.
    pub memory: f64,
    /// Bytes between devices.
    pub communication: f64,
}

impl StepTime {
    /// The step: its longest term.
    pub fn step(&self) -> f64 {
        self.arithmetic.max(self.memory).max(self.communication)
    }
}

/// Bytes that pass through a device's memory in a step: weights once forward, twice backward and
/// once to recompute; activations written and read; the optimiser's states and its gradients read,
/// states and parameters written.
pub fn traffic(zero: Zero, parameters: f64, devices: f64, part: &Part) -> f64 {
    let reads = if part.checkpointing { 4.0 } else { 3.0 };
    let weights = part.passes * reads * BF16 * parameters;
    let owned = if zero >= Zero::Zero1 {
        parameters / devices
    } else {
        parameters
    };
    weights + 2.0 * part.activations + (2.0 * OPTIMIZER + 2.0 * BF16) * owned
}

/// Bytes that a device sends in a step, by rings. Summing gradients and spreading what became of
/// them (gradients, or parameters from ZeRO-1 on) is a parameter's two bytes each way. ZeRO-2
/// sums after each pass; ZeRO-3 also gathers parameters before each forward and each backward pass.
pub fn volume(zero: Zero, parameters: f64, devices: f64, passes: f64) -> f64 {
    let rounds = match zero {
        Zero::Zero0 | Zero::Zero1 => 2.0,
        Zero::Zero2 => passes + 1.0,
        Zero::Zero3 => 3.0 * passes,
    };
    rounds * BF16 * parameters * (devices - 1.0) / devices
}

/// Seconds for a device to send `bytes`, within a node if all devices fit into one.
pub fn sending(gpu: &Gpu, devices: u64, bytes: f64) -> f64 {
    bytes
        / if devices <= gpu.in_node {
            gpu.link
        } else {
            gpu.network
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Part = Part {
        activations: 500.0,
        passes: 2.0,
        checkpointing: false,
    };

    #[test]
    fn bytes_by_hand() {
        // A thousand parameters on ten devices, two passes: 2·3·2·1000 + 2·500 + 28·1000.
        assert_eq!(traffic(Zero::Zero0, 1000.0, 10.0, &PART), 41_000.0);
        assert_eq!(traffic(Zero::Zero2, 1000.0, 10.0, &PART), 15_800.0);
        assert_eq!(volume(Zero::Zero0, 1000.0, 10.0, 2.0), 3600.0);
        assert_eq!(volume(Zero::Zero2, 1000.0, 10.0, 2.0), 5400.0);
        assert_eq!(volume(Zero::Zero3, 1000.0, 10.0, 2.0), 10_800.0);
        assert_eq!(volume(Zero::Zero2, 1000.0, 1.0, 2.0), 0.0);
    }

    #[test]
    fn terms_by_hand() {
        let gpu = Gpu {
            name: "test",
            peak: 1e14,
            memory: 1e9,
            bandwidth: 1e12,
            link: 1e11,
            network: 1e10,
            in_node: 8,
        };
        assert_eq!(sending(&gpu, 8, 1e10), 0.1);
        assert_eq!(sending(&gpu, 9, 1e10), 1.0);
        let time = StepTime {
            arithmetic: 0.12,
            memory: 0.1,
            communication: 0.11,
        };
        assert_eq!(time.step(), 0.12);
    }
}
