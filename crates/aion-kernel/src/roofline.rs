//! What the machine could do at best: the measure that kernels are held against.

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::Device;
use pulp::bytemuck::cast_slice_mut;
use pulp::{Arch, Simd};
use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::product::multiply;
use crate::simd::{InTiles, Lanes, OnTiles, VECTORS};

/// Times a measurement is repeated; the best counts.
const REPEATS: usize = 5;
/// Depth of the tile whose factors lie in the nearest cache.
const DEPTH: usize = 256;
/// Tiles timed together.
const TILES: usize = 4096;
/// Values of each array of the stream: far more than the caches hold.
const STREAM: usize = 1 << 25;

/// Floating-point operations a second of all threads together, of products whose factors lie in the
/// nearest cache.
pub fn product_peak() -> f64 {
    let threads = rayon::current_num_threads();
    let run = || {
        let start = Instant::now();
        let done = (0..threads)
            .into_par_iter()
            .map(|_| Arch::new().dispatch(InTiles(InCache)));
        done.sum::<f64>() / start.elapsed().as_secs_f64()
    };
    (0..REPEATS).map(|_| run()).fold(0.0, f64::max)
}

/// The same of a device, measured in a tenth of a second; `None` but for the CPU.
pub fn device_peak(device: &Device) -> Option<f64> {
    (*device == Device::flex()).then(product_peak)
}

/// A copy of arrays far larger than the caches, by all threads.
#[derive(Debug)]
pub struct Stream {
    from: Vec<f32>,
    to: Vec<f32>,
}

impl Default for Stream {
    fn default() -> Self {
        Stream {
            from: vec![1.0; STREAM],
            to: vec![0.0; STREAM],
        }
    }
}

impl Stream {
    /// Bytes that one copy reads and writes.
    pub fn bytes(&self) -> f64 {
        (2 * size_of::<f32>() * STREAM) as f64
    }

    /// Copies.
    pub fn copy(&mut self) {
        let chunks = self.to.par_chunks_mut(1 << 20);
        let chunks = chunks.zip(self.from.par_chunks(1 << 20));
        chunks.for_each(|(to, from)| to.copy_from_slice(from));
    }
}

/// Bytes a second that all threads together read and write when they copy.
pub fn stream_peak() -> f64 {
    let mut stream = Stream::default();
    let mut run = || {
        let start = Instant::now();
        stream.copy();
        stream.bytes() / start.elapsed().as_secs_f64()
    };
    (0..REPEATS).map(|_| run()).fold(0.0, f64::max)
}

/// A tile's product again and again; gives the operations done.
struct InCache;

impl OnTiles for InCache {
    type Output = f64;

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) -> f64 {
        let rows = vec![[0.5f32; ROWS]; DEPTH];
        let width = VECTORS * S::F32_LANES;
        let mut columns = Aligned::zeros(DEPTH * width);
        let columns: &mut [Lanes<S>] = cast_slice_mut(columns.as_mut_slice());
        for _ in 0..TILES {
            black_box(multiply::<S, ROWS>(
                simd,
                black_box(&rows),
                black_box(columns),
            ));
        }
        (2 * ROWS * width * DEPTH * TILES) as f64
    }
}
