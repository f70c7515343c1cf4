//! The scaling study: a ladder of model and data sizes, trained alike, and the law that their losses
//! follow.
//!
//! [`ladder`] is the study as one file, [`pool`] its objects as tokens, [`study`] trains rung by rung and
//! goes on where it was stopped, [`law`] fits L(N, D), and [`analysis`] says how sure that is and
//! whether the smaller models predict the largest.

pub mod analysis;
mod held_out;
pub mod ladder;
pub mod law;
mod pool;
pub mod study;

pub use analysis::{Analysis, Check, Estimate};
pub use held_out::HeldOut;
pub use ladder::Ladder;
pub use study::{Outcome, Study, StudyEvent, run_study};
