//! Times the kernels and holds them against what the machine could do at best:
//! `cargo bench -p aion-kernel -p aion-cli --bench kernels [-- NAME…]`.
//!
//! For each kernel: the fastest of many calls, the operations a second as the sum is written (so a
//! Winograd convolution can pass 100 %), and their share of the rate that products reach when all
//! they need lies in the nearest cache.

use std::cell::RefCell;
use std::time::{Duration, Instant};

use aion_kernel::adamw::{AdamWFactors, adamw};
use aion_kernel::layer::{Conv2d, ConvNextBlock, LayerNorm, Linear};
use aion_kernel::{Activation, Init, Narrow, Segments, Weights, attend, roofline};
use burn::module::Module;
use burn::tensor::{Device, Distribution, Tensor};

/// Time spent on a kernel.
const LONGEST: Duration = Duration::from_millis(800);
const FEWEST: usize = 5;

struct Kernel {
    name: String,
    /// Multiplications and additions of one call.
    operations: f64,
    call: Box<dyn Fn()>,
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with("--"))
        .collect();
    let peak = roofline::product_peak();
    let threads = rayon::current_num_threads();
    println!(
        "product at best, {threads} threads: {:.1} GFLOP/s",
        peak / 1e9
    );
    println!("stream at best: {:.1} GB/s", roofline::stream_peak() / 1e9);
    println!(
        "{:<44} {:>9} {:>9} {:>8}",
        "kernel", "ms", "GFLOP/s", "of best"
    );
    for kernel in kernels() {
        if !wanted.is_empty() && !wanted.iter().any(|name| kernel.name.contains(name)) {
            continue;
        }
        let seconds = fastest(&kernel.call);
        let rate = kernel.operations / seconds;
        let (ms, rate, share) = (seconds * 1e3, rate / 1e9, 100.0 * rate / peak);
        println!("{:<44} {ms:>9.3} {rate:>9.1} {share:>7.0}%", kernel.name);
    }
}

/// The fastest call: what else the machine does only ever adds to it.
fn fastest(call: &dyn Fn()) -> f64 {
    call();
    let begin = Instant::now();
    let mut seconds = Vec::new();
    while seconds.len() < FEWEST || begin.elapsed() < LONGEST {
        let start = Instant::now();
        call();
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.into_iter().fold(f64::INFINITY, f64::min)
}

fn draw<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    Tensor::random(shape, Distribution::Default, &Device::flex())
}

fn kernels() -> Vec<Kernel> {
    let mut kernels = Vec::new();
    for [rows, inputs, outputs] in [
        [855, 768, 2304],
        [855, 768, 768],
        [855, 2048, 768],
        [3420, 768, 2304],
        [150, 768, 2304],
        [6, 768, 4375],
    ] {
        kernels.push(linear(rows, inputs, outputs, None));
    }
    for format in [Narrow::F16, Narrow::Bf16, Narrow::Int8] {
        for rows in [855, 6] {
            kernels.push(linear(rows, 768, 2304, Some(format)));
        }
    }
    for [inputs, outputs] in [[768, 2304], [2048, 768]] {
        kernels.push(linear_trained(1024, inputs, outputs));
    }
    for (side, channels, kernel) in [(24, 512, 3), (48, 256, 3), (96, 128, 3), (24, 512, 7)] {
        kernels.push(convolution_trained(4, side, channels, kernel));
    }
    for (batch, side, channels, kernel, stride) in [
        (1, 24, [512, 512], 3, 1),
        (8, 24, [512, 512], 3, 1),
        (1, 48, [256, 256], 3, 1),
        (1, 96, [128, 128], 3, 1),
        (1, 24, [512, 512], 7, 1),
        (8, 24, [512, 512], 7, 1),
        (1, 96, [5, 128], 7, 1),
        (1, 96, [128, 9], 3, 1),
        (1, 96, [128, 256], 3, 2),
        (1, 24, [512, 512], 1, 1),
        (1, 96, [128, 128], 1, 1),
    ] {
        kernels.push(convolution(batch, side, channels, kernel, stride));
    }
    for lengths in [vec![855], vec![150; 8], vec![4096]] {
        kernels.push(attention(lengths.clone()));
        kernels.push(attention_trained(lengths));
    }
    for (length, dim) in [(2176, 64), (1088, 128), (544, 256), (272, 512)] {
        kernels.push(convnext(length, dim));
        kernels.push(convnext_training(length, dim));
    }
    kernels.push(norm(855, 768));
    kernels.push(optimizer(1 << 24));
    kernels
}

/// Bound by memory: seven streams of 4 bytes a value.
fn optimizer(len: usize) -> Kernel {
    let factors = AdamWFactors {
        scale: 1.0,
        beta_mean: 0.9,
        beta_square: 0.95,
        keep: 1.0,
        rate: 1e-3,
        root_correction: 1.0,
        epsilon: 1e-8,
    };
    let gradient = vec![1.0; len];
    let state = RefCell::new([0.0; 3].map(|value| vec![value; len]));
    Kernel {
        name: format!("adamw {len}"),
        operations: 14.0 * len as f64,
        call: Box::new(move || {
            let [values, mean, square] = &mut *state.borrow_mut();
            adamw(factors, values, &gradient, mean, square);
        }),
    }
}

fn linear(rows: usize, inputs: usize, outputs: usize, narrow: Option<Narrow>) -> Kernel {
    let weights = Weights::seeded(1, &Device::flex()).narrowed(narrow);
    let weights = weights.expect("the CPU");
    let layer = Linear::new(&weights, inputs, outputs, false, Init::Normal(0.1));
    let input: Tensor<2> = draw([rows, inputs]);
    let format = narrow.map_or_else(String::new, |format| format!(", {format}"));
    Kernel {
        name: format!("linear {rows} x {inputs} -> {outputs}{format}"),
        operations: 2.0 * (rows * inputs * outputs) as f64,
        call: Box::new(move || drop(layer.forward(input.clone()))),
    }
}

/// Forward and backward: three products.
fn linear_trained(rows: usize, inputs: usize, outputs: usize) -> Kernel {
    let device = Device::flex().autodiff();
    let weights = Weights::seeded(1, &device);
    let layer = Linear::new(&weights, inputs, outputs, false, Init::Normal(0.1));
    let input: Tensor<2> = draw([rows, inputs]).autodiff().require_grad();
    Kernel {
        name: format!("linear trained {rows} x {inputs} -> {outputs}"),
        operations: 6.0 * (rows * inputs * outputs) as f64,
        call: Box::new(move || drop(layer.forward(input.clone()).sum().backward())),
    }
}

/// Forward and backward: three convolutions.
fn convolution_trained(batch: usize, side: usize, channels: usize, kernel: usize) -> Kernel {
    let weights = Weights::seeded(1, &Device::flex().autodiff());
    let layer = Conv2d::new(&weights, [channels; 2], kernel);
    let input: Tensor<4> = draw([batch, side, side, channels]);
    let input = input.autodiff().require_grad();
    let pixels = batch * side * side * kernel * kernel;
    Kernel {
        name: format!("conv trained {kernel}x{kernel} {channels}, {batch} x {side}²"),
        operations: 6.0 * (pixels * channels * channels) as f64,
        call: Box::new(move || {
            let output = layer.activated(input.clone(), Activation::Elu);
            drop(output.sum().backward());
        }),
    }
}

fn convolution(
    batch: usize,
    side: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
) -> Kernel {
    let weights = Weights::seeded(1, &Device::flex());
    let layer = Conv2d::strided(&weights, channels, kernel, stride, kernel / 2);
    let input: Tensor<4> = draw([batch, side, side, channels[0]]);
    let pixels = batch * side * side / (stride * stride);
    let [inputs, outputs] = channels;
    Kernel {
        name: format!("conv {kernel}x{kernel}/{stride} {inputs} -> {outputs}, {batch} x {side}²"),
        operations: 2.0 * (pixels * inputs * outputs * kernel * kernel) as f64,
        call: Box::new(move || drop(layer.activated(input.clone(), Activation::Elu))),
    }
}

fn attention(lengths: Vec<usize>) -> Kernel {
    let (heads, width) = (12, 768);
    let name = format!("attention {} x {}", lengths.len(), lengths[0]);
    let operations = lengths.iter().map(|n| 4.0 * (n * n * width) as f64).sum();
    let segments = Segments::new(lengths);
    let [q, k, v] = [0; 3].map(|_| draw::<2>([segments.total(), width]));
    Kernel {
        name,
        operations,
        call: Box::new(move || {
            let segments = (&segments, &segments);
            let parts = [&q, &k, &v].map(Tensor::clone);
            drop(attend(parts, segments, heads, false));
        }),
    }
}

/// Forward and backward: two products, and five.
fn attention_trained(lengths: Vec<usize>) -> Kernel {
    let (heads, width) = (12, 768);
    let name = format!("attention trained {} x {}", lengths.len(), lengths[0]);
    let operations = lengths.iter().map(|n| 14.0 * (n * n * width) as f64).sum();
    let segments = Segments::new(lengths);
    let device = Device::flex().autodiff();
    let [q, k, v, weights] = [0; 4].map(|_| {
        let shape = [segments.total(), width];
        Tensor::<2>::random(shape, Distribution::Default, &device)
    });
    let [q, k, v] = [q, k, v].map(Tensor::require_grad);
    Kernel {
        name,
        operations,
        call: Box::new(move || {
            let parts = [&q, &k, &v].map(Tensor::clone);
            let output = attend(parts, (&segments, &segments), heads, false);
            drop((output * weights.clone()).sum().backward());
        }),
    }
}

fn convnext(length: usize, dim: usize) -> Kernel {
    let block = ConvNextBlock::new(&Weights::seeded(1, &Device::flex()), dim);
    let input: Tensor<3> = draw([1, length, dim]);
    Kernel {
        name: format!("convnext {length} x {dim}"),
        operations: 2.0 * (length * dim * (8 * dim + 7)) as f64,
        call: Box::new(move || drop(block.forward(input.clone()))),
    }
}

/// Forward and backward, with gradients of the input and of all parameters.
fn convnext_training(length: usize, dim: usize) -> Kernel {
    let block = ConvNextBlock::new(&Weights::seeded(1, &Device::flex()), dim).train();
    let input: Tensor<3> = draw([1, length, dim]).autodiff().require_grad();
    Kernel {
        name: format!("convnext forward, backward {length} x {dim}"),
        operations: 6.0 * (length * dim * (8 * dim + 7)) as f64,
        call: Box::new(move || drop(block.forward(input.clone()).sum().backward())),
    }
}

fn norm(rows: usize, dim: usize) -> Kernel {
    let layer = LayerNorm::new(&Weights::seeded(1, &Device::flex()), dim, 1e-6, false);
    let input: Tensor<2> = draw([rows, dim]);
    Kernel {
        name: format!("layer norm {rows} x {dim}"),
        operations: 8.0 * (rows * dim) as f64,
        call: Box::new(move || drop(layer.forward(input.clone()))),
    }
}
