//! Winograd's F(4×4, 3×3): 3×3 convolutions with 36 products for 16 outputs instead of 144
//! (arXiv 1509.09308). Error against 64-bit sums is a few 1e-6 of the largest value.

use rayon::prelude::*;

use super::{Activation, ConvShape, Product};
use crate::simd::vectorized;

/// Values along the side of an input tile, and of its output.
const TILE: usize = 6;
const OUT: usize = 4;
/// Products of a tile.
const POINTS: usize = TILE * TILE;
/// Channels transformed together: one or two registers.
const LANES: usize = 16;
/// Tiles whose transforms are held at a time.
const MAX_TILES: usize = 576;

type Lanes = [f32; LANES];

/// A weight transformed to `(36, inputs, outputs)`.
#[derive(Debug)]
pub(crate) struct WinogradWeight(Vec<f32>);

/// Whether the convolution can take this way.
pub(crate) fn is_winograd_shape(shape: &ConvShape) -> bool {
    (shape.kernel, shape.stride, shape.padding) == (3, 1, 1)
        && shape.height.is_multiple_of(OUT)
        && shape.width.is_multiple_of(OUT)
}

impl WinogradWeight {
    /// From the published layout `(outputs, inputs, 3, 3)`.
    pub(crate) fn new(weight: &[f32], shape: &ConvShape) -> Self {
        let (inputs, outputs) = (shape.inputs, shape.outputs);
        let mut transformed = vec![0.0; POINTS * inputs * outputs];
        // One input channel's rows in all 36 planes at a time, so that writes run along outputs.
        for channel in 0..inputs {
            for output in 0..outputs {
                let at = (output * inputs + channel) * 9;
                let points = transform_kernel(&weight[at..at + 9]);
                for (point, value) in points.iter().enumerate() {
                    transformed[(point * inputs + channel) * outputs + output] = *value;
                }
            }
        }
        WinogradWeight(transformed)
    }
}

/// `G g Gᵀ`, in 64 bits as it is done once.
fn transform_kernel(kernel: &[f32]) -> [f32; POINTS] {
    let column = |g: [f64; 3]| {
        let [a, b, c] = g;
        let (even, odd) = (a + c, b);
        let (wide, slope) = (a + 4.0 * c, 2.0 * b);
        [
            a / 4.0,
            -(even + odd) / 6.0,
            -(even - odd) / 6.0,
            (wide + slope) / 24.0,
            (wide - slope) / 24.0,
            c,
        ]
    };
    let value = |row: usize, col: usize| f64::from(kernel[row * 3 + col]);
    let half: [[f64; TILE]; 3] =
        std::array::from_fn(|col| column(std::array::from_fn(|row| value(row, col))));
    let mut points = [0.0; POINTS];
    for row in 0..TILE {
        let across = column(std::array::from_fn(|col| half[col][row]));
        for (col, value) in across.iter().enumerate() {
            points[row * TILE + col] = *value as f32;
        }
    }
    points
}

/// # Shapes
/// `(batch, height, width, inputs)` → `(batch, height, width, outputs)`
pub(crate) fn convolve_winograd(
    input: &[f32],
    weight: &WinogradWeight,
    bias: &[f32],
    shape: &ConvShape,
    activation: Activation,
) -> Vec<f32> {
    let tiles = (shape.height / OUT) * (shape.width / OUT);
    let images = (MAX_TILES / tiles).clamp(1, shape.batch);
    let in_len = shape.height * shape.width * shape.inputs;
    let out_len = shape.height * shape.width * shape.outputs;
    let mut output = vec![0.0; shape.batch * out_len];
    let mut forward = vec![0.0; images * tiles * POINTS * shape.inputs];
    let mut products = vec![0.0; images * tiles * POINTS * shape.outputs];
    for (input, output) in input
        .chunks(images * in_len)
        .zip(output.chunks_mut(images * out_len))
    {
        let tiles = tiles * input.len() / in_len;
        let forward = &mut forward[..tiles * POINTS * shape.inputs];
        let products = &mut products[..tiles * POINTS * shape.outputs];
        transform_input(input, forward, shape);
        multiply(forward, weight, products, shape);
        transform_output(products, output, bias, shape, activation);
    }
    output
}

/// `Bᵀ d B` of every tile: `(tiles, 36, inputs)`.
fn transform_input(input: &[f32], forward: &mut [f32], shape: &ConvShape) {
    let channels = shape.inputs;
    let tiles = forward.par_chunks_exact_mut(POINTS * channels);
    tiles.enumerate().for_each(|(tile, points)| {
        let patch = Patch::new(tile, shape);
        vectorized(|| {
            for start in (0..channels).step_by(LANES) {
                let width = LANES.min(channels - start);
                let mut values = [[[0.0; LANES]; TILE]; TILE];
                for (row, values) in values.iter_mut().enumerate() {
                    for (column, lanes) in values.iter_mut().enumerate() {
                        if let Some(at) = patch.input_at(row, column, shape) {
                            load(lanes, &input[at * channels + start..], width);
                        }
                    }
                }
                let values = both_ways(&values, input_line);
                for (point, lanes) in values.iter().flatten().enumerate() {
                    let at = point * channels + start;
                    points[at..at + width].copy_from_slice(&lanes[..width]);
                }
            }
        });
    });
}

/// Reads `width` values; the common full width is a fixed-size copy.
#[inline(always)]
fn load(lanes: &mut Lanes, source: &[f32], width: usize) {
    if width == LANES {
        lanes.copy_from_slice(&source[..LANES]);
    } else {
        lanes[..width].copy_from_slice(&source[..width]);
    }
}

/// One product a point: `(tiles, inputs) × (inputs, outputs)`.
fn multiply(forward: &[f32], weight: &WinogradWeight, products: &mut [f32], shape: &ConvShape) {
    /// Lets threads write to different columns of one matrix.
    struct Shared(*mut f32);
    // SAFETY: each thread writes only the columns of its own point.
    unsafe impl Sync for Shared {}

    let (inputs, outputs) = (shape.inputs, shape.outputs);
    let tiles = forward.len() / (POINTS * inputs);
    assert_eq!(products.len(), tiles * POINTS * outputs);
    let target = Shared(products.as_mut_ptr());
    (0..POINTS).into_par_iter().for_each(|point| {
        let target = &target;
        let product = Product {
            rows: tiles,
            columns: outputs,
            depth: inputs,
            a: (&forward[point * inputs..], POINTS * inputs),
            b: (&weight.0[point * inputs * outputs..], outputs, 1),
        };
        // SAFETY: rows are `36 · outputs` apart and the matrix has `tiles` of them, so this
        // point's columns lie inside it; no other point's do.
        unsafe {
            product.write_to(target.0.add(point * outputs), POINTS * outputs, false);
        }
    });
}

/// `Aᵀ m A` of every tile, bias and activation, to `(images, height, width, outputs)`.
fn transform_output(
    products: &[f32],
    output: &mut [f32],
    bias: &[f32],
    shape: &ConvShape,
    activation: Activation,
) {
    let (outputs, across) = (shape.outputs, shape.width / OUT);
    let strips = output.par_chunks_exact_mut(OUT * shape.width * outputs);
    strips.enumerate().for_each(|(strip, rows)| {
        for column in 0..across {
            let tile = strip * across + column;
            let points = &products[tile * POINTS * outputs..(tile + 1) * POINTS * outputs];
            vectorized(|| {
                for start in (0..outputs).step_by(LANES) {
                    let width = LANES.min(outputs - start);
                    let mut values = [[[0.0; LANES]; TILE]; TILE];
                    for (point, lanes) in values.iter_mut().flatten().enumerate() {
                        load(lanes, &points[point * outputs + start..], width);
                    }
                    let mut shift = [0.0; LANES];
                    load(&mut shift, &bias[start..], width);
                    let values = both_ways(&values, output_line);
                    for (y, line) in values.iter().enumerate() {
                        for (x, lanes) in line.iter().enumerate() {
                            let at = (y * shape.width + column * OUT + x) * outputs + start;
                            let mut lanes = *lanes;
                            for (value, shift) in lanes.iter_mut().zip(&shift) {
                                *value = activation.apply(*value + shift);
                            }
                            rows[at..at + width].copy_from_slice(&lanes[..width]);
                        }
                    }
                }
            });
        }
    });
}

/// Where a tile's input lies.
struct Patch {
    image: usize,
    top: usize,
    left: usize,
}

impl Patch {
    fn new(tile: usize, shape: &ConvShape) -> Self {
        let (down, across) = (shape.height / OUT, shape.width / OUT);
        let (image, rest) = (tile / (down * across), tile % (down * across));
        Patch {
            image,
            top: rest / across * OUT,
            left: rest % across * OUT,
        }
    }

    /// Pixel of the batch under a place of the tile; `None` in the border of zeros.
    #[inline(always)]
    fn input_at(&self, row: usize, column: usize, shape: &ConvShape) -> Option<usize> {
        let y = (self.top + row).checked_sub(1)?;
        let x = (self.left + column).checked_sub(1)?;
        (y < shape.height && x < shape.width)
            .then(|| (self.image * shape.height + y) * shape.width + x)
    }
}

/// Applies a transform to the columns, then to the rows.
#[inline(always)]
fn both_ways<const N: usize>(
    values: &[[Lanes; TILE]; TILE],
    line: impl Fn(&[Lanes; TILE]) -> [Lanes; N],
) -> [[Lanes; N]; N] {
    let mut half = [[[0.0; LANES]; TILE]; N];
    for column in 0..TILE {
        let down = line(&std::array::from_fn(|row| values[row][column]));
        for (row, lanes) in down.iter().enumerate() {
            half[row][column] = *lanes;
        }
    }
    std::array::from_fn(|row| line(&half[row]))
}

/// `Bᵀ` on one line.
#[inline(always)]
fn input_line(d: &[Lanes; TILE]) -> [Lanes; TILE] {
    let mut out = [[0.0; LANES]; TILE];
    for lane in 0..LANES {
        let v: [f32; TILE] = std::array::from_fn(|i| d[i][lane]);
        let (even, odd) = (v[4] - 4.0 * v[2], v[3] - 4.0 * v[1]);
        let (gap, slope) = (v[4] - v[2], 2.0 * (v[3] - v[1]));
        out[0][lane] = 4.0 * v[0] - 5.0 * v[2] + v[4];
        out[1][lane] = even + odd;
        out[2][lane] = even - odd;
        out[3][lane] = gap + slope;
        out[4][lane] = gap - slope;
        out[5][lane] = 4.0 * v[1] - 5.0 * v[3] + v[5];
    }
    out
}

/// `Aᵀ` on one line.
#[inline(always)]
fn output_line(m: &[Lanes; TILE]) -> [Lanes; OUT] {
    let mut out = [[0.0; LANES]; OUT];
    for lane in 0..LANES {
        let v: [f32; TILE] = std::array::from_fn(|i| m[i][lane]);
        let (near, far) = (v[1] + v[2], v[3] + v[4]);
        let (near_slope, far_slope) = (v[1] - v[2], v[3] - v[4]);
        out[0][lane] = v[0] + near + far;
        out[1][lane] = near_slope + 2.0 * far_slope;
        out[2][lane] = near + 4.0 * far;
        out[3][lane] = near_slope + 8.0 * far_slope + v[5];
    }
    out
}
