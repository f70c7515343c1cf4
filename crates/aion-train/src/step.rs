//! What is learned: the one thing in which training runs differ.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::error::TrainError;

/// A task that the [`crate::Trainer`] works on: where batches come from, and their loss.
pub trait Step {
    /// What is trained.
    type Model: Module;
    /// Examples on the host, ready for one forward pass.
    type Batch;

    /// The batch at `position` (0, 1, 2, … over the whole run): the same whenever it is asked for
    /// again, which makes a run resumable.
    ///
    /// # Errors
    /// The data cannot be read.
    fn batch(&self, position: u64) -> Result<Self::Batch, TrainError>;

    /// The loss of a batch.
    ///
    /// # Errors
    /// The examples do not fit the model.
    fn loss(&self, model: &Self::Model, batch: Self::Batch) -> Result<StepLoss, TrainError>;

    /// The loss among those of [`Step::validate`] by which checkpoints are compared.
    const HELD_OUT: &'static str = "validation/loss";

    /// Losses and other figures on objects that are not learned from, by name; none where the task has no
    /// such objects.
    ///
    /// # Errors
    /// The examples do not fit the model.
    fn validate(&self, _model: &Self::Model) -> Result<Vec<(String, f64)>, TrainError> {
        Ok(Vec::new())
    }
}

/// What one forward pass gives.
#[derive(Debug)]
pub struct StepLoss {
    /// What is minimised, a mean over the batch, shape `(1)`.
    pub total: Tensor<1>,
    /// Its terms and other figures for the log.
    pub terms: Vec<(String, f64)>,
    /// What the batch counts beside others of the same step: what `total` is a mean over (target
    /// tokens, examples), so that the step is that of one large batch.
    pub weight: f64,
    /// Tokens that were seen and predicted; 0 where there are none.
    pub tokens: u64,
    /// Floating-point operations of the model forwards and backwards; 0 where they are not counted.
    pub operations: f64,
}
