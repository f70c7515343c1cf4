//! One task's share of a product: some rows, some panels of columns.

use std::cell::Cell;
use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::cast_slice;

use super::finish::{Place, add, load, store};
use super::{Finish, Left, Right};
use crate::aligned::Aligned;
use crate::memory::Shared;
use crate::simd::{Lanes, OnTiles, VECTORS};

/// Depth that is summed before a tile is written back; longer products are cut into equal slabs.
const SLAB: usize = 1024;
/// Values of the panels that a tile's rows are multiplied with in one go: a quarter of an outer cache.
const GROUP: usize = 1 << 15;

pub(super) struct Part<'a, L> {
    pub left: &'a L,
    pub right: Right<'a>,
    pub finish: &'a Finish<'a>,
    pub rows: Range<usize>,
    pub panels: Range<usize>,
    /// The result's first row and column.
    pub output: Shared,
    pub stride: usize,
}

thread_local! {
    /// Packed rows and panels, kept for the next product of the thread.
    static PACKED: Cell<[Aligned; 2]> = Cell::default();
}

impl<L: Left> OnTiles for Part<'_, L> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, const ROWS: usize>(self, simd: S) {
        let depth = self.right.depth();
        // Both halves of a gated pair have to be whole before they are multiplied.
        let slabs = if self.finish.gated {
            1
        } else {
            depth.div_ceil(SLAB).max(1)
        };
        let slab = depth.div_ceil(slabs).max(1);
        let tiles = self.rows.len().div_ceil(ROWS);
        // Not in a closure: what the library calls is not compiled for the machine's vectors.
        let [mut left, mut right] = PACKED.take();
        let (packed, _) = left.at_least(tiles * slab * ROWS).as_chunks_mut::<ROWS>();
        let mut start = 0;
        loop {
            let depths = start..(start + slab).min(depth);
            let last = depths.end == depth;
            let packed = &mut packed[..tiles * depths.len()];
            self.pack(&depths, packed);
            // A tile's rows stay in the nearest cache while it goes along a group of panels, which
            // stays in the next; what it writes lies in one piece.
            let width = VECTORS * S::F32_LANES;
            let group = (GROUP / (depths.len() * width).max(1)).max(1);
            let mut first = self.panels.start;
            while first < self.panels.end {
                let end = (first + group).min(self.panels.end);
                let room = self.right.room(end - first, depths.len(), width);
                let room = right.at_least(room);
                self.right.pack::<S>(first..end, depths.clone(), room);
                for tile in 0..tiles {
                    let rows = &packed[tile * depths.len()..(tile + 1) * depths.len()];
                    for panel in first..end {
                        let columns = self.right.panel(panel, first, depths.clone(), room, width);
                        let sums = multiply::<S, ROWS>(simd, rows, cast_slice(columns));
                        self.put(simd, &sums, tile, panel, (start == 0, last));
                    }
                }
                first = end;
            }
            start = depths.end;
            if last {
                break;
            }
        }
        PACKED.set([left, right]);
    }
}

impl<L: Left> Part<'_, L> {
    #[inline(always)]
    fn pack<const ROWS: usize>(&self, depths: &Range<usize>, packed: &mut [[f32; ROWS]]) {
        if depths.is_empty() {
            return;
        }
        for (tile, packed) in packed.chunks_exact_mut(depths.len()).enumerate() {
            let row = self.rows.start + tile * ROWS;
            let rows = row..(row + ROWS).min(self.rows.end);
            self.left.pack(rows, depths.clone(), packed);
        }
    }

    /// Writes a tile's rows, of the first and of the last slab.
    #[inline(always)]
    fn put<S: Simd, const ROWS: usize>(
        &self,
        simd: S,
        sums: &[Lanes<S>; ROWS],
        tile: usize,
        panel: usize,
        (first, last): (bool, bool),
    ) {
        let width = self.finish.columns(VECTORS * S::F32_LANES);
        let columns = self.finish.columns(self.right.columns());
        let column = panel * width;
        let count = width.min(columns - column);
        let row = self.rows.start + tile * ROWS;
        for (sums, row) in sums.iter().zip(row..self.rows.end) {
            // SAFETY: `Product::write` checked that the output holds `columns` values in each of
            // its rows; these are `count` of them, in rows and panels that are this task's alone.
            let output = unsafe {
                let start = self.output.0.add(row * self.stride + column);
                std::slice::from_raw_parts_mut(start, count)
            };
            let mut sums = *sums;
            if !first || self.finish.accumulate {
                sums = add(simd, sums, load(simd, output));
            }
            if last {
                let place = Place { row, column, count };
                sums = self.finish.apply(simd, sums, &place);
            }
            store::<S>(output, sums);
        }
    }
}

/// The tile: `ROWS` rows times a panel of columns.
#[inline(always)]
pub(crate) fn multiply<S: Simd, const ROWS: usize>(
    simd: S,
    rows: &[[f32; ROWS]],
    columns: &[Lanes<S>],
) -> [Lanes<S>; ROWS] {
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    for (rows, columns) in rows.iter().zip(columns) {
        for (sums, value) in sums.iter_mut().zip(rows) {
            let value = simd.splat_f32s(*value);
            for (sum, column) in sums.iter_mut().zip(columns) {
                *sum = simd.mul_add_e_f32s(value, *column, *sum);
            }
        }
    }
    sums
}
