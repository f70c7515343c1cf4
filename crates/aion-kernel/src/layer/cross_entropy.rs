//! Cross-entropy of logits.

use burn::tensor::{Tensor, TensorData, activation};
use rayon::prelude::*;

use crate::gradient::{Gradient, Input, Inputs};
use crate::memory::{HostTensor, in_blocks};
use crate::simd::{exp_nonpositive, sum, vectorized};

/// Minus the log-probability of each row's token, summed over rows; tokens are below the vocabulary's size.
///
/// # Shapes
/// `(rows, vocabulary)`, `(rows)` → `(1)`
pub fn cross_entropy(logits: Tensor<2>, tokens: &[i64]) -> Tensor<1> {
    let [rows, vocabulary] = logits.dims();
    let Some(inputs) = Inputs::of([Input::of(&logits)]) else {
        let tokens = TensorData::new(tokens.to_vec(), [rows, 1]);
        let tokens = Tensor::from_data(tokens, &logits.device());
        return -activation::log_softmax(logits, 1).gather(1, tokens).sum();
    };
    let tokens: Vec<usize> = tokens.iter().map(|token| *token as usize).collect();
    let values = inputs.hosts()[0].values();
    let totals = values.par_chunks_exact(vocabulary).map(log_total);
    let totals: Vec<f32> = totals.collect();
    let of_rows = values.chunks_exact(vocabulary).zip(&tokens).zip(&totals);
    let terms = of_rows.map(|((row, token), total)| f64::from(total - row[*token]));
    let loss = terms.sum::<f64>() as f32;
    inputs.result(vec![loss], [1], |[logits], _| CrossEntropyGradient {
        logits,
        tokens,
        totals,
    })
}

/// The logarithm of the sum of exponentials; what is no number stays none.
fn log_total(row: &[f32]) -> f32 {
    vectorized(|| {
        if row.iter().fold(false, |none, x| none | x.is_nan()) {
            return f32::NAN;
        }
        let most = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total = sum(row, |x| f64::from(exp_nonpositive(x - most)));
        most + total.ln() as f32
    })
}

#[derive(Debug)]
struct CrossEntropyGradient {
    /// `(rows, vocabulary)`
    logits: HostTensor,
    tokens: Vec<usize>,
    /// Logarithms of sums of exponentials, one a row.
    totals: Vec<f32>,
}

impl Gradient<1> for CrossEntropyGradient {
    fn backward(&self, output: &[f32], _: [bool; 1]) -> [Option<Vec<f32>>; 1] {
        let [_, vocabulary] = self.logits.dims();
        let (values, scale) = (self.logits.values(), output[0]);
        let ([gradient], _) = in_blocks(values.len(), vocabulary, |start, [gradient]| {
            let row = start / vocabulary;
            let (values, total) = (&values[start..][..vocabulary], self.totals[row]);
            // Exponentials take what is no number for a small one.
            let scale = if total.is_nan() { total } else { scale };
            vectorized(|| {
                for (to, x) in gradient.iter_mut().zip(values) {
                    *to = scale * exp_nonpositive(x - total);
                }
            });
            gradient[self.tokens[row]] -= scale;
        });
        [Some(gradient)]
    }
}
