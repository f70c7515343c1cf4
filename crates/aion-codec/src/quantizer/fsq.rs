//! Finite scalar quantisation (arXiv 2309.15505): each latent channel is rounded to a few levels.

use aion_kernel::Weights;
use aion_kernel::tensor_file::StoredTensor;
use burn::tensor::Tensor;

/// Keeps the outermost levels reachable. Not stored in checkpoints.
const EPSILON: f32 = 1e-3;

/// A quantiser with a number of levels for each channel.
#[derive(Debug, Clone, PartialEq)]
pub struct FiniteScalarQuantizer {
    levels: Vec<usize>,
}

impl FiniteScalarQuantizer {
    /// Levels as configured; `_quantizer.levels` is stored beside the weights.
    pub fn new(weights: &Weights, levels: &[usize]) -> Self {
        let stored: Vec<i32> = levels.iter().map(|level| *level as i32).collect();
        weights.constant("levels", StoredTensor::int32(&[levels.len()], &stored));
        FiniteScalarQuantizer {
            levels: levels.to_vec(),
        }
    }

    /// Number of channels.
    pub fn num_channels(&self) -> usize {
        self.levels.len()
    }

    /// Number of codes.
    pub fn codebook_size(&self) -> usize {
        self.levels.iter().product()
    }

    /// (half range, offset, shift) of a channel before rounding.
    fn bounds(level: usize) -> (f32, f32, f32) {
        let half = (level as f32 - 1.0) * (1.0 + EPSILON) / 2.0;
        let offset = if level % 2 == 1 { 0.0 } else { 0.5 };
        (half, offset, (offset / half).atanh())
    }

    /// Codes of latents laid out `(channels, positions)`.
    pub fn encode(&self, latent: &[f32], positions: usize) -> Vec<u16> {
        let mut codes = vec![0u32; positions];
        let mut basis = 1u32;
        for (channel, &level) in latent.chunks_exact(positions).zip(&self.levels) {
            let (half, offset, shift) = Self::bounds(level);
            let centre = (level / 2) as i32;
            for (code, z) in codes.iter_mut().zip(channel) {
                let rounded = ((z + shift).tanh() * half - offset).round_ties_even() as i32;
                let digit = (rounded + centre).clamp(0, level as i32 - 1) as u32;
                *code += digit * basis;
            }
            basis *= level as u32;
        }
        codes.into_iter().map(|code| code as u16).collect()
    }

    /// Latents `(channels, positions)` of codes; each channel in [-1, 1].
    pub fn decode(&self, codes: &[u16]) -> Vec<f32> {
        let mut latent = Vec::with_capacity(codes.len() * self.levels.len());
        let mut basis = 1;
        for &level in &self.levels {
            let centre = (level / 2) as f32;
            latent.extend(codes.iter().map(|code| {
                let digit = (usize::from(*code) / basis) % level;
                (digit as f32 - centre) / centre
            }));
            basis *= level;
        }
        latent
    }

    /// Rounds latents while letting the gradient through unchanged, for training.
    ///
    /// # Shapes
    /// `(batch, channels, height, width)` → the same
    pub fn straight_through(&self, latent: Tensor<4>) -> Tensor<4> {
        let channels = self.levels.iter().enumerate().map(|(index, &level)| {
            let (half, offset, shift) = Self::bounds(level);
            let centre = (level / 2) as f32;
            let z = latent.clone().narrow(1, index, 1);
            let bounded = (z + shift).tanh() * half - offset;
            let step = (bounded.clone().round() - bounded.clone()).detach();
            (bounded + step) / centre
        });
        Tensor::cat(channels.collect(), 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_survive_the_round_trip() {
        let quantizer = FiniteScalarQuantizer {
            levels: vec![7, 5, 5, 5, 5],
        };
        let codes: Vec<u16> = (0..4375).collect();
        let latent = quantizer.decode(&codes);
        assert!(latent.iter().all(|value| (-1.0..=1.0).contains(value)));
        // Latents that round to the decoded levels: invert the bound.
        let raw: Vec<f32> = latent
            .chunks_exact(codes.len())
            .zip(&quantizer.levels)
            .flat_map(|(channel, &level)| {
                let (half, offset, shift) = FiniteScalarQuantizer::bounds(level);
                channel.iter().map(move |value| {
                    ((value * (level / 2) as f32 + offset) / half).atanh() - shift
                })
            })
            .collect();
        assert_eq!(quantizer.encode(&raw, codes.len()), codes);
    }
}
