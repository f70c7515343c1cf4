//! Rows of a weight to columns of a panel.

use std::ops::Range;

use pulp::Simd;

/// Rows and columns of a block that is transposed in registers.
const BLOCK: usize = 8;

/// Columns `depths` of all rows of `from`, which are `stride` apart: column by column to places `width`
/// apart.
#[inline(always)]
pub(crate) fn transpose<S: Simd>(
    from: &[f32],
    stride: usize,
    depths: Range<usize>,
    to: &mut [f32],
    width: usize,
) {
    let rows = from.len() / stride.max(1);
    let whole = match fast::<S>() {
        true => [rows / BLOCK * BLOCK, depths.len() / BLOCK * BLOCK],
        false => [0, 0],
    };
    for row in (0..whole[0]).step_by(BLOCK) {
        for depth in (0..whole[1]).step_by(BLOCK) {
            let from = &from[row * stride + depths.start + depth..];
            block(from, stride, &mut to[depth * width + row..], width);
        }
    }
    for row in 0..rows {
        let first = if row < whole[0] { whole[1] } else { 0 };
        let values = &from[row * stride..][depths.clone()];
        for (depth, value) in values.iter().enumerate().skip(first) {
            to[depth * width + row] = *value;
        }
    }
}

/// Whether the machine's vectors are AVX's.
#[inline(always)]
fn fast<S: Simd>() -> bool {
    cfg!(target_arch = "x86_64") && S::F32_LANES >= BLOCK
}

/// Transposes 8 × 8 values.
#[inline(always)]
fn block(from: &[f32], stride: usize, to: &mut [f32], width: usize) {
    assert!(from.len() >= (BLOCK - 1) * stride + BLOCK && to.len() >= (BLOCK - 1) * width + BLOCK);
    #[cfg(target_arch = "x86_64")]
    // SAFETY: both slices hold eight rows of eight values, as just checked, and `fast` saw vectors of
    // eight values, which only machines with AVX have.
    unsafe {
        block_avx(from.as_ptr(), stride, to.as_mut_ptr(), width);
    }
    #[cfg(not(target_arch = "x86_64"))]
    for row in 0..BLOCK {
        for column in 0..BLOCK {
            to[column * width + row] = from[row * stride + column];
        }
    }
}

/// # Safety
/// The machine has AVX; `from` and `to` point at eight rows of eight values each.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx")]
#[inline]
unsafe fn block_avx(from: *const f32, stride: usize, to: *mut f32, width: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller promises that the rows are there.
    unsafe {
        // Rows r and r + 4 side by side, half a row each: pairs, then fours, are then transposed
        // within halves.
        let half = |row: usize, start: usize| {
            let low = _mm_loadu_ps(from.add(row * stride + start));
            let high = _mm_loadu_ps(from.add((row + 4) * stride + start));
            _mm256_set_m128(high, low)
        };
        for start in [0, 4] {
            let (a, b) = (half(0, start), half(1, start));
            let (c, d) = (half(2, start), half(3, start));
            let (ab_low, ab_high) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
            let (cd_low, cd_high) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
            for (place, column) in [
                _mm256_shuffle_ps::<0x44>(ab_low, cd_low),
                _mm256_shuffle_ps::<0xee>(ab_low, cd_low),
                _mm256_shuffle_ps::<0x44>(ab_high, cd_high),
                _mm256_shuffle_ps::<0xee>(ab_high, cd_high),
            ]
            .into_iter()
            .enumerate()
            {
                _mm256_storeu_ps(to.add((start + place) * width), column);
            }
        }
    }
}
