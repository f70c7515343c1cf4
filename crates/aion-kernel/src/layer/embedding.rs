//! A table of rows, one a token.

use burn::module::Module;
use burn::tensor::Tensor;

use super::weight::WeightMatrix;
use crate::init::Init;
use crate::weights::Weights;

/// A row for each token.
#[derive(Module, Debug)]
pub struct Embedding {
    weight: WeightMatrix,
}

impl Embedding {
    /// Reads `weight`, `(tokens, dim)`.
    pub fn new(weights: &Weights, tokens: usize, dim: usize, init: Init) -> Self {
        Embedding {
            weight: WeightMatrix::new(weights, [tokens, dim], init),
        }
    }

    /// The rows of these tokens, each below the number that the table has.
    ///
    /// # Shapes
    /// `(n)` → `(n, dim)`
    pub fn forward(&self, tokens: &[i64]) -> Tensor<2> {
        self.weight.select(tokens)
    }
}
