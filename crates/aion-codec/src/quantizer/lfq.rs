//! Lookup-free quantisation (arXiv 2310.05737): a code's bits are the signs of the latent.

use aion_kernel::Weights;
use aion_kernel::tensor_file::StoredTensor;
use burn::tensor::{Device, Tensor, TensorData, activation};

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
        let codes = self.all_codes(&latent.device());
        // Twice the inner product is the negative squared distance up to a constant.
        let logits = latent.clone().matmul(codes.transpose()) * (2.0 * INVERSE_TEMPERATURE);
        let probabilities = activation::softmax(logits, 1);
        let per_sample = entropy(probabilities.clone()).mean();
        let diversity = entropy(probabilities.mean_dim(0)).mean();
        let total =
            (per_sample - diversity) * ENTROPY_WEIGHT + commitment.clone() * COMMITMENT_WEIGHT;
        let quantized = latent.clone() + (sign - latent).detach();
        (quantized, AuxiliaryLoss { total, commitment })
    }

    fn all_codes(&self, device: &Device) -> Tensor<2> {
        let count = 1u16 << self.bits;
        let values = self.decode(&(0..count).collect::<Vec<_>>());
        Tensor::from_data(
            TensorData::new(values, [usize::from(count), self.bits]),
            device,
        )
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

    #[test]
    fn codes_survive_the_round_trip() {
        let quantizer = LookupFreeQuantizer { bits: 10 };
        let codes: Vec<u16> = (0..1024).collect();
        assert_eq!(quantizer.encode(&quantizer.decode(&codes)), codes);
        assert_eq!(quantizer.decode(&[512])[0], 1.0);
    }
}
