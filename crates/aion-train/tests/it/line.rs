//! A task small enough to know its answer: a straight line with a bias.

use aion_kernel::layer::Linear;
use aion_kernel::{Init, WeightNames, Weights};
use aion_train::error::TrainError;
use aion_train::random::{Purpose, stream};
use aion_train::step::{Step, StepLoss};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};
use rand::Rng;

/// Two layers, so that there are matrices, biases and a product of parameters.
#[derive(Module, Debug)]
pub struct Line {
    hidden: Linear,
    output: Linear,
}

impl Line {
    pub fn new(weights: &Weights) -> (Self, WeightNames) {
        let layer = |name: &str, inputs, outputs| {
            Linear::new(
                &weights.at(name),
                inputs,
                outputs,
                true,
                Init::fan_in(inputs),
            )
        };
        let line = Line {
            hidden: layer("hidden", 3, 8),
            output: layer("output", 8, 1),
        };
        let (names, _) = weights.finish().expect("complete weights");
        (line, names)
    }

    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        self.output.forward(self.hidden.forward(input).tanh())
    }
}

/// Points of a plane; from `broken` on, every target is NaN.
pub struct Plane {
    pub broken: u64,
}

impl Step for Plane {
    type Model = Line;
    type Batch = (Tensor<2>, Tensor<2>);

    fn batch(&self, position: u64) -> Result<Self::Batch, TrainError> {
        let mut rng = stream(3, Purpose::Order, position);
        let input: Vec<f32> = (0..16 * 3).map(|_| rng.random_range(-1.0..1.0)).collect();
        let offset = if position < self.broken {
            0.1
        } else {
            f32::NAN
        };
        let plane = |x: &[f32]| 0.5 * x[0] - 0.2 * x[1] + offset;
        let target: Vec<f32> = input.chunks_exact(3).map(plane).collect();
        let device = Device::flex();
        Ok((
            Tensor::from_data(TensorData::new(input, [16, 3]), &device),
            Tensor::from_data(TensorData::new(target, [16, 1]), &device),
        ))
    }

    fn loss(&self, model: &Line, (input, target): Self::Batch) -> Result<StepLoss, TrainError> {
        let input_rows = input.dims()[0];
        let total = (model.forward(input) - target).powf_scalar(2.0).mean();
        Ok(StepLoss {
            total,
            terms: vec![("constant".to_owned(), 1.0)],
            weight: input_rows as f64,
            tokens: 3,
            operations: 0.0,
        })
    }
}
