//! One training loop for codecs and the transformer.

pub mod checkpoint;
pub mod error;
pub mod masking;
pub mod metrics;
pub mod optim;
pub mod random;
pub mod schedule;
pub mod step;
pub mod trainer;

pub use error::TrainError;
