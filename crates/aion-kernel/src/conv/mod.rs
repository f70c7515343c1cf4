//! Convolutions on the CPU, channels last, where burn's are slower than the machine.
//!
//! 3×3 and 7×7 kernels with stride 1 take Winograd's way (a quarter of the multiplications); everything
//! else multiplies patches. `plain` is the obvious version that both are tested against.

mod patches;
mod winograd;

pub(crate) use patches::{
    PatchWeight, convolve_patches, patch_input_gradient, patch_weight_gradient,
};
pub(crate) use winograd::{
    WinogradWeight, convolve_winograd, is_winograd_shape, winograd_weight_gradient,
};

#[cfg(test)]
use crate::activation::Activation;

/// Sizes of a convolution of `(batch, height, width, inputs)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub stride: usize,
    pub padding: usize,
}

impl ConvShape {
    /// Height and width of the output.
    pub(crate) fn output_size(&self) -> [usize; 2] {
        [self.height, self.width]
            .map(|size| (size + 2 * self.padding - self.kernel) / self.stride + 1)
    }

    /// The shape of the gradient with respect to the input, as a convolution of that of the output;
    /// for stride 1.
    pub(crate) fn adjoint(&self) -> ConvShape {
        let [height, width] = self.output_size();
        ConvShape {
            height,
            width,
            inputs: self.outputs,
            outputs: self.inputs,
            padding: self.kernel - 1 - self.padding,
            ..*self
        }
    }

    /// Pixels of the output, those of all images.
    pub(crate) fn output_pixels(&self) -> usize {
        let [height, width] = self.output_size();
        self.batch * height * width
    }
}

/// The obvious version, weight `(outputs, inputs, k, k)`, for tests.
#[cfg(test)]
pub(crate) fn plain(
    input: &[f32],
    weight: &[f32],
    bias: &[f32],
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    let [height, width] = shape.output_size();
    let mut output = Vec::new();
    for image in 0..shape.batch {
        for y in 0..height {
            for x in 0..width {
                for (out, start) in bias.iter().enumerate() {
                    let mut sum = f64::from(*start);
                    for ky in 0..shape.kernel {
                        for kx in 0..shape.kernel {
                            let row = (y * shape.stride + ky).wrapping_sub(shape.padding);
                            let column = (x * shape.stride + kx).wrapping_sub(shape.padding);
                            if row >= shape.height || column >= shape.width {
                                continue;
                            }
                            for channel in 0..shape.inputs {
                                let at = (image * shape.height + row) * shape.width + column;
                                let w = (out * shape.inputs + channel) * shape.kernel + ky;
                                sum += f64::from(input[at * shape.inputs + channel])
                                    * f64::from(weight[w * shape.kernel + kx]);
                            }
                        }
                    }
                    output.push(activation.apply(sum as f32));
                }
            }
        }
    }
    output
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn check(shape: ConvShape, activation: Activation) {
        let mut rng = ChaCha8Rng::seed_from_u64(shape.inputs as u64);
        let mut draw = |len: usize| -> Vec<f32> { (0..len).map(|_| normal(&mut rng)).collect() };
        let input = draw(shape.batch * shape.height * shape.width * shape.inputs);
        let weight = draw(shape.outputs * shape.inputs * shape.kernel * shape.kernel);
        let bias = draw(shape.outputs);
        let expected = plain(&input, &weight, &bias, &shape, activation);
        let largest = expected.iter().fold(0f32, |max, x| max.max(x.abs()));
        let compare = |name: &str, found: &[f32]| {
            assert_eq!(found.len(), expected.len());
            for (a, b) in found.iter().zip(&expected) {
                assert!((a - b).abs() < 2e-5 * largest, "{name} {shape:?}: {a} {b}");
            }
        };
        let packed = PatchWeight::new(&weight, &shape);
        compare(
            "patches",
            &convolve_patches(&input, &packed, &bias, &shape, activation),
        );
        if is_winograd_shape(&shape) {
            let kernels = WinogradWeight::new(&weight, &shape);
            compare(
                "winograd",
                &convolve_winograd(&input, kernels, Some(&bias), &shape, activation),
            );
        }
    }

    #[test]
    fn all_ways_agree_with_the_plain_one() {
        for (batch, size, channels, kernel, stride) in [
            (1, [8, 12], [3, 5], 3, 1),
            (3, [4, 4], [17, 20], 3, 1),
            (2, [24, 24], [16, 33], 3, 1),
            (2, [9, 7], [4, 6], 3, 1),
            (2, [24, 24], [16, 33], 7, 1),
            (1, [10, 13], [20, 5], 7, 1),
            (3, [7, 5], [18, 40], 3, 1),
            (2, [12, 8], [6, 10], 3, 2),
            (1, [11, 9], [5, 4], 7, 1),
            (2, [6, 6], [8, 3], 1, 1),
            (1, [8, 8], [2, 3], 4, 2),
        ] {
            for activation in [Activation::Linear, Activation::Elu] {
                let shape = ConvShape {
                    batch,
                    height: size[0],
                    width: size[1],
                    inputs: channels[0],
                    outputs: channels[1],
                    kernel,
                    stride,
                    padding: if kernel == 4 { 1 } else { kernel / 2 },
                };
                check(shape, activation);
            }
        }
    }
}
