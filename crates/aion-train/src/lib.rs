//! One training loop for codecs and the transformer.
//!
//! [`run`](run::run) takes a run file ([`RunConfig`]) from start to end; [`trainer`] is the loop,
//! [`step`] what a task gives to it; [`data`] and [`masking`] say what is learned from. All
//! randomness is a function of the seed and the step, so a run resumes exactly.

pub mod checkpoint;
pub mod codec_report;
pub mod codec_step;
pub mod config;
pub mod data;
pub mod error;
mod event_file;
pub mod fit;
pub mod gradients;
pub mod log;
pub mod lora;
pub mod mask_report;
pub mod masking;
pub mod memory;
pub mod metrics;
pub mod mix;
pub mod model_report;
mod one_pass;
pub mod optim;
pub mod plan;
pub mod pretrain;
pub mod random;
pub mod roles;
pub mod run;
pub mod run_folder;
pub mod scaling;
pub mod schedule;
pub mod step;
pub mod trainer;

pub use config::RunConfig;
pub use data::is_held_out;
pub use data::leakage;
pub use error::TrainError;
pub use mask_report::mask_report;
pub use metrics::Progress;
pub use run::{Event, Summary, run, run_on};
pub use step::{Step, StepLoss};
pub use trainer::{Trained, Trainer};
