//! Lookup-free quantisation (arXiv 2310.05737): a code's bits are the signs of the latent.

use aion_kernel::Weights;
use aion_kernel::tensor_file::StoredTensor;
use burn::tensor::{Tensor, activation};

/// Weights of the auxiliary training terms. Not stored in checkpoints (paper §2.2, β_q = 0.25).
const ENTROPY_WEIGHT: f32 = 0.1;
const COMMITMENT_WEIGHT: f32 = 0.25;
const INVERSE_TEMPERATURE: f32 = 100.0;

/// A quantiser of `bits` channels into 2^bits codes, the first channel being the highest bit.
#[derive(Debug, Clone, PartialEq)]
pub struct LookupFreeQuantizer {
    bits: usize,
}

/// The terms that training adds to the reconstruction loss.
#[derive(Debug, Clone)]
pub struct AuxiliaryLoss {
    /// Weighted sum of both terms, `(1)`.
    pub total: Tensor<1>,
    /// Mean squared distance between latents and their signs, `(1)`.
    pub commitment: Tensor<1>,
}

impl LookupFreeQuantizer {
    /// The published file stores the bit values under `mask`.
    pub fn new(weights: &Weights, bits: usize) -> Self {
        let mask: Vec<i64> = (0..bits).rev().map(|bit| 1 << bit).collect();
        weights.constant("mask", StoredTensor::int64(&[bits], &mask));
        LookupFreeQuantizer { bits }
    }

    /// Number of channels.
    pub fn num_channels(&self) -> usize {
        self.bits
    }

    /// Codes of latents laid out `(positions, channels)`.
    pub fn encode(&self, latent: &[f32]) -> Vec<u16> {
        let code = |bits: &[f32]| {
            bits.iter()
                .fold(0u16, |code, z| code << 1 | u16::from(*z > 0.0))
        };
        latent.chunks_exact(self.bits).map(code).collect()
    }

    /// Latents `(positions, channels)`, each -1 or 1.
    pub fn decode(&self, codes: &[u16]) -> Vec<f32> {
        let bits = (0..self.bits).rev();
        codes
            .iter()
            .flat_map(|code| {
                bits.clone()
                    .map(move |bit| if code >> bit & 1 == 1 { 1.0 } else { -1.0 })
            })
            .collect()
    }

    /// Signs with the gradient passed through, and the auxiliary loss, for training.
    ///
    /// # Shapes
    /// latent `(rows, channels)` → `(rows, channels)`
    pub fn straight_through(&self, latent: Tensor<2>) -> (Tensor<2>, AuxiliaryLoss) {
        let sign = latent.clone().greater_elem(0.0).float() * 2.0 - 1.0;
        let commitment = (latent.clone() - sign.clone().detach())
            .powf_scalar(2.0)
            .mean();
        let probabilities = self.probabilities(latent.clone());
        let per_sample = entropy(probabilities.clone()).mean();
        let diversity = entropy(probabilities.mean_dim(0)).mean();
        let total =
            (per_sample - diversity) * ENTROPY_WEIGHT + commitment.clone() * COMMITMENT_WEIGHT;
        let quantized = latent.clone() + (sign - latent).detach();
        (quantized, AuxiliaryLoss { total, commitment })
    }

    /// Probabilities of all codes, softmax of minus the squared distance over the temperature:
    /// `(rows, channels)` → `(rows, codes)`.
    ///
    /// Bits are independent under it, so it is a product of one logistic function a bit. Logits of
    /// whole codes are in the thousands, where 32-bit floats would lose four digits.
    fn probabilities(&self, latent: Tensor<2>) -> Tensor<2> {
        let [rows, bits] = latent.dims();
        // The distances to 1 and to -1 differ by 4 z.
        let logits = latent * (4.0 * INVERSE_TEMPERATURE);
        let one = activation::sigmoid(logits.clone());
        let zero = activation::sigmoid(logits.neg());
        let pairs: Tensor<3> = Tensor::stack(vec![zero, one], 2);
        let first = pairs.clone().narrow(1, 0, 1).reshape([rows, 2]);
        (1..bits).fold(first, |codes: Tensor<2>, bit| {
            let pair = pairs.clone().narrow(1, bit, 1);
            let codes: Tensor<3> = codes.unsqueeze_dim(2);
            (codes * pair).reshape([rows, 2 << bit])
        })
    }
}

/// -Σ p log p over the last axis, `(rows, codes)` → `(rows, 1)`.
fn entropy(probabilities: Tensor<2>) -> Tensor<2> {
    let log = probabilities.clone().clamp_min(1e-5).log();
    (probabilities * log).sum_dim(1).neg()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    #[test]
    fn codes_survive_the_round_trip() {
        let quantizer = LookupFreeQuantizer { bits: 10 };
        let codes: Vec<u16> = (0..1024).collect();
        assert_eq!(quantizer.encode(&quantizer.decode(&codes)), codes);
        assert_eq!(quantizer.decode(&[512])[0], 1.0);
    }

    #[test]
    fn probabilities_are_those_of_the_distances() {
        let quantizer = LookupFreeQuantizer { bits: 3 };
        let latent = [[0.004f64, -0.002, 0.001], [-0.9, 0.003, 0.7]];
        let values: Vec<f32> = latent.iter().flatten().map(|z| *z as f32).collect();
        let latent_rows = Tensor::from_data(TensorData::new(values, [2, 3]), &Device::flex());
        let found = quantizer.probabilities(latent_rows).into_data();
        let codes = quantizer.decode(&(0..8).collect::<Vec<_>>());
        let expected = latent.iter().flat_map(|row| {
            let distance = |code: &[f32]| -> f64 {
                let squares = row
                    .iter()
                    .zip(code)
                    .map(|(z, c)| (z - f64::from(*c)).powi(2));
                squares.sum()
            };
            let weights = codes.chunks(3).map(|code| {
                (-f64::from(INVERSE_TEMPERATURE) * (distance(code) - distance(&[1.0; 3]))).exp()
            });
            let weights: Vec<f64> = weights.collect();
            let total: f64 = weights.iter().sum();
            weights.into_iter().map(move |weight| weight / total)
        });
        for (found, expected) in found.iter::<f64>().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} {expected}");
        }
    }
}
