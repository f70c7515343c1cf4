//! What is done with a tile before it leaves the registers.

use pulp::Simd;
use pulp::bytemuck::{cast_slice, cast_slice_mut};

use crate::activation::Activation;
use crate::simd::{Lanes, VECTORS};

/// Bias, activation, a second summand; all optional, in this order.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Finish<'a> {
    /// One value a column.
    pub bias: Option<&'a [f32]>,
    pub activation: Activation,
    /// Columns come in pairs, see [`super::Right::Pair`]: the activated first times the second.
    pub gated: bool,
    /// Added last, rows that are so far apart.
    pub rest: Option<(&'a [f32], usize)>,
    /// The product is added to what the output holds, before everything else.
    pub accumulate: bool,
}

/// Where a row of a tile lies.
pub(super) struct Place {
    pub row: usize,
    /// First column of the result, and number of columns.
    pub column: usize,
    pub count: usize,
}

impl Finish<'_> {
    /// Columns of the result of a product, or of a tile of it, with that many.
    pub(super) fn columns(&self, columns: usize) -> usize {
        if self.gated { columns / 2 } else { columns }
    }

    /// Panics unless bias and summand are as large as the result. A gated product has no bias.
    pub(super) fn check(&self, rows: usize, columns: usize) {
        assert!(
            self.bias
                .is_none_or(|bias| bias.len() == columns && !self.gated)
        );
        let fits = |(rest, stride): (&[f32], usize)| rest.len() >= (rows - 1) * stride + columns;
        assert!(self.rest.is_none_or(fits));
    }

    /// Applies everything but accumulation to a row of a tile.
    #[inline(always)]
    pub(super) fn apply<S: Simd>(&self, simd: S, sums: Lanes<S>, place: &Place) -> Lanes<S> {
        let mut sums = sums;
        if let Some(bias) = self.bias {
            let bias = load(simd, &bias[place.column..][..place.count]);
            sums = add(simd, sums, bias);
        }
        if self.gated {
            let [first, second] = sums;
            sums[0] = simd.mul_f32s(self.activation.lanes(simd, first), second);
        } else {
            // A loop, not `map`: closures are not always inlined, and then not compiled for vectors.
            for lanes in &mut sums {
                *lanes = self.activation.lanes(simd, *lanes);
            }
        }
        if let Some((rest, stride)) = self.rest {
            let rest = &rest[place.row * stride + place.column..][..place.count];
            sums = add(simd, sums, load(simd, rest));
        }
        sums
    }
}

#[inline(always)]
pub(crate) fn add<S: Simd>(simd: S, a: Lanes<S>, b: Lanes<S>) -> Lanes<S> {
    let ([a, c], [b, d]) = (a, b);
    [simd.add_f32s(a, b), simd.add_f32s(c, d)]
}

/// The values, and zeros where there are fewer than a tile's columns.
#[inline(always)]
pub(crate) fn load<S: Simd>(simd: S, values: &[f32]) -> Lanes<S> {
    let mut lanes = [simd.splat_f32s(0.0); VECTORS];
    match cast_slice::<f32, S::f32s>(&values[..values.len() / S::F32_LANES * S::F32_LANES]) {
        // Whole vectors, as nearly always: masked ones are slow on some machines.
        [first, second] => lanes = [*first, *second],
        [first] if values.len() == S::F32_LANES => lanes[0] = *first,
        _ => cast_slice_mut(&mut lanes)[..values.len()].copy_from_slice(values),
    }
    lanes
}

/// Stores as many lanes as there is room for.
#[inline(always)]
pub(crate) fn store<S: Simd>(to: &mut [f32], lanes: Lanes<S>) {
    let (count, whole) = (to.len(), to.len() / S::F32_LANES * S::F32_LANES);
    match cast_slice_mut::<f32, S::f32s>(&mut to[..whole]) {
        [first, second] => [*first, *second] = lanes,
        [first] if count == S::F32_LANES => *first = lanes[0],
        _ => {
            let lanes: &[f32] = cast_slice(&lanes);
            to.copy_from_slice(&lanes[..to.len()]);
        }
    }
}
