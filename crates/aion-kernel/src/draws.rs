//! Random tensors for tests, the same in every run: tests run in threads of their own.

use std::cell::RefCell;

use burn::tensor::{Device, Tensor, TensorData};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::init::normal;

thread_local! {
    static RANDOM: RefCell<ChaCha8Rng> = RefCell::new(ChaCha8Rng::seed_from_u64(1));
}

/// Normally distributed values of mean 0 and deviation 1.
pub(crate) fn draw<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    draw_on(shape, &Device::flex())
}

/// The same on a device.
pub(crate) fn draw_on<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    let len = shape.iter().product();
    let values: Vec<f32> = RANDOM.with_borrow_mut(|rng| (0..len).map(|_| normal(rng)).collect());
    Tensor::from_data(TensorData::new(values, shape), device)
}
