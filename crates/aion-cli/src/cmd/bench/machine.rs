//! What the machine can do at best, to hold the rest against.

use aion_kernel::layer::Linear;
use aion_kernel::{Init, Weights, roofline};
use burn::tensor::{Distribution, Tensor};

use super::setting::Setting;
use super::{Operation, Work};

/// Rows, inputs and outputs of the product.
const SIDE: usize = 2048;

/// A large product.
pub(super) fn matrix_product(setting: &Setting) -> anyhow::Result<Operation> {
    let weights = Weights::seeded(setting.seed, &setting.device);
    let layer = Linear::new(&weights, SIDE, SIDE, false, Init::Normal(0.1));
    let input: Tensor<2> = Tensor::random([SIDE, SIDE], Distribution::Default, &setting.device);
    let mut operation = Operation::new(0, move || {
        layer.forward(input.clone()).into_data();
        Ok(())
    });
    operation.work = Work::Other(2.0 * (SIDE * SIDE * SIDE) as f64 / 1e9, "GFLOP/s");
    Ok(operation)
}

/// A copy of far more memory than the caches hold, read and written.
pub(super) fn stream(_: &Setting) -> anyhow::Result<Operation> {
    let mut stream = roofline::Stream::default();
    let bytes = stream.bytes();
    let mut operation = Operation::new(0, move || {
        stream.copy();
        Ok(())
    });
    operation.work = Work::Other(bytes / 1e9, "GB/s");
    Ok(operation)
}
