//! What a training run would take: memory, time, hours and money, by arithmetic alone.
//!
//! Nothing is run: sizes come from the model's configuration, speeds from the [`gpu`] table, and the
//! one assumption, how much of the peak the arithmetic reaches, is an argument. `docs/plan.md` sets the
//! results against what the paper's runs took.

pub mod gpu;
pub mod memory;
pub mod time;
pub mod work;

use std::num::NonZeroU64;

use aion_model::ModelConfig;
use serde::Serialize;

use crate::masking::MaskConfig;
use gpu::Gpu;
use memory::{RESERVE, State, Zero};
use time::{Part, StepTime};
use work::Work;

/// Steps of the published runs (paper §5).
pub const PUBLISHED_STEPS: u64 = 205_000;
/// Objects in a step of the published runs.
pub const PUBLISHED_BATCH: u64 = 8192;
/// Share of the peak that the published runs reached: by this count of operations 0.050 (B), 0.067
/// (L) and 0.066 (XL), of which this is the geometric mean.
pub const PUBLISHED_MFU: f64 = 0.06;

/// The run to plan.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The accelerator.
    pub gpu: Gpu,
    /// How many.
    pub gpus: NonZeroU64,
    /// Objects in a step, over all devices.
    pub batch: NonZeroU64,
    /// Optimiser steps.
    pub steps: NonZeroU64,
    /// How the training state is shared.
    pub zero: Zero,
    /// Recompute blocks in the backward pass.
    pub checkpointing: bool,
    /// Share of the peak that the arithmetic reaches, above 0, at most 1.
    pub mfu: f64,
    /// Of one accelerator for an hour, in any currency.
    pub price: Option<f64>,
}

/// What the run would take.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Trained parameters.
    pub parameters: u64,
    /// Whether it fits into memory, at least one object at a time.
    pub fits: bool,
    /// Objects in a step on the busiest device.
    pub objects: u64,
    /// Forward and backward passes that make a step: the fewest whose activations fit.
    pub passes: u64,
    /// Bytes of training state on a device, for each stage of ZeRO.
    pub state: [State; 4],
    /// Bytes of activations of one object.
    pub activations: Activations,
    /// Bytes taken of a device: state, and activations of a pass.
    pub memory: f64,
    /// Bytes there are, without the reserve.
    pub available: f64,
    /// Floating-point operations of a step on the busiest device.
    pub operations: f64,
    /// Bytes through its memory in a step.
    pub traffic: f64,
    /// Bytes that it sends in a step.
    pub volume: f64,
    /// Seconds of each term.
    pub seconds: StepTime,
    /// Seconds of a step: the longest term.
    pub step: f64,
    /// Wall-clock hours of the run.
    pub hours: f64,
    /// Hours of all accelerators together.
    pub gpu_hours: f64,
    /// What they cost.
    pub cost: Option<f64>,
}

/// Bytes of activations of one object.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Activations {
    /// All kept.
    pub kept: f64,
    /// Blocks recomputed.
    pub checkpointed: f64,
}

/// Plans the training of a model whose inputs and targets fill the usual budgets.
pub fn plan(config: &ModelConfig, request: &Request) -> Plan {
    let (gpu, zero) = (&request.gpu, request.zero);
    let work = Work::new(config, &MaskConfig::default());
    let parameters = config.num_parameters() as f64;
    let devices = request.gpus.get() as f64;
    let block = config.decoder_block_parameters() as f64;
    let state = Zero::ALL.map(|zero| State::new(zero, parameters, block, devices));
    let activations = Activations {
        kept: work.activations(false),
        checkpointed: work.activations(true),
    };
    let of_object = work.activations(request.checkpointing);
    let of_state = State::new(zero, parameters, block, devices).total();
    let available = gpu.memory * (1.0 - RESERVE);
    let objects = request.batch.get().div_ceil(request.gpus.get());
    // Negative space becomes 0.
    let most = ((available - of_state) / of_object) as u64;
    let passes = objects.div_ceil(most.max(1));
    let part = Part {
        activations: objects as f64 * of_object,
        passes: passes as f64,
        checkpointing: request.checkpointing,
    };
    let operations = objects as f64 * work.training(request.checkpointing);
    let traffic = time::traffic(zero, parameters, devices, &part);
    let volume = time::volume(zero, parameters, devices, part.passes);
    let seconds = StepTime {
        arithmetic: operations / (gpu.peak * request.mfu),
        memory: traffic / gpu.bandwidth,
        communication: time::sending(gpu, request.gpus.get(), volume),
    };
    let hours = seconds.step() * request.steps.get() as f64 / 3600.0;
    Plan {
        parameters: config.num_parameters() as u64,
        fits: most > 0,
        objects,
        passes,
        state,
        activations,
        memory: of_state + objects.div_ceil(passes) as f64 * of_object,
        available,
        operations,
        traffic,
        volume,
        seconds,
        step: seconds.step(),
        hours,
        gpu_hours: hours * devices,
        cost: request.price.map(|price| price * hours * devices),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aion_model::Preset;

    fn request(gpus: u64) -> Request {
        let number = |value| NonZeroU64::new(value).expect("not 0");
        Request {
            gpu: Gpu::from_name("h100").expect("known"),
            gpus: number(gpus),
            batch: number(PUBLISHED_BATCH),
            steps: number(PUBLISHED_STEPS),
            zero: Zero::Zero2,
            checkpointing: false,
            mfu: PUBLISHED_MFU,
            price: Some(2.0),
        }
    }

    #[test]
    fn published_runs_come_out_within_a_fifth() {
        for (preset, gpus, hours) in [
            (Preset::Base, 64, 2304.0),
            (Preset::Large, 100, 6000.0),
            (Preset::XLarge, 288, 24_192.0),
        ] {
            let plan = plan(&preset.config(), &request(gpus));
            assert!(plan.fits);
            let ratio = plan.gpu_hours / hours;
            assert!((0.8..1.2).contains(&ratio), "{preset:?}: {ratio}");
            assert_eq!(plan.cost, Some(2.0 * plan.gpu_hours));
        }
    }

    #[test]
    fn terms_of_the_xl_run_by_hand() {
        let plan = plan(&Preset::XLarge.config(), &request(288));
        assert_eq!((plan.objects, plan.passes), (29, 1));
        let near = |value: f64, hand: f64| assert!((value / hand - 1.0).abs() < 1e-3, "{value}");
        // 2·P + 14·P / 288 with P = 3.1245e9.
        near(plan.state[2].total(), 6.4009e9);
        // 2 rounds × 2 bytes × P × 287/288, over 50 GB/s.
        near(plan.seconds.communication, 0.249_09);
        near(plan.step, plan.operations / (0.06 * 989.4e12));
        near(plan.gpu_hours, plan.step * 205_000.0 * 288.0 / 3600.0);
    }

    #[test]
    fn little_memory_takes_more_passes_or_does_not_fit() {
        let plan_of = |memory: f64, zero| {
            let mut request = request(512);
            request.gpu.memory = memory;
            request.zero = zero;
            plan(&Preset::XxLarge.config(), &request)
        };
        let whole = plan_of(80e9, Zero::Zero2);
        assert!(whole.fits && whole.passes == 1, "{whole:?}");
        let narrow = plan_of(32e9, Zero::Zero2);
        assert!(narrow.fits && narrow.passes > 1, "{narrow:?}");
        assert!(narrow.memory <= narrow.available);
        assert!(!plan_of(80e9, Zero::Zero0).fits);
        assert!(plan_of(16e9, Zero::Zero3).fits);
    }

    #[test]
    fn checkpointing_trades_time_for_memory() {
        let mut request = request(64);
        let kept = plan(&Preset::Base.config(), &request);
        request.checkpointing = true;
        let recomputed = plan(&Preset::Base.config(), &request);
        assert!(recomputed.memory < 0.5 * kept.memory);
        let ratio = recomputed.operations / kept.operations;
        assert!((1.32..4.0 / 3.0).contains(&ratio), "{ratio}");
    }
}
