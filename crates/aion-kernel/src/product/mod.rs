//! Matrix products on the CPU: columns of the right factor packed beforehand, rows of the left
//! packed as they are needed, and what follows done while a tile is in registers (the blocking is
//! that of Goto and van de Geijn 2008).
//!
//! A tile is as many rows and columns as the machine's registers hold. Whatever the left factor is
//! (a matrix, its transpose, a normalised matrix, patches of images), only [`Left::pack`] knows.

mod finish;
mod left;
mod panels;
mod part;
mod right;
mod transpose;

use pulp::Arch;
use rayon::prelude::*;

use crate::memory::{Shared, filled};
use crate::simd::{InTiles, tile_shape};

pub(crate) use finish::{Finish, add, load, store};
pub(crate) use left::{Left, Matrix, Normalized, Scaled, Transposed};
pub(crate) use panels::{Panels, Rows};
use part::Part;
pub(crate) use part::multiply;
pub(crate) use right::{Right, Stored};
pub(crate) use transpose::transpose;

/// Rows that one task packs at a time, a few MB with the depth of a slab: for each such block the right factor is
/// packed anew, while a tile's rows come from the outermost cache in one piece.
const BLOCK_ROWS: usize = 576;
/// Multiplications below which a product is not worth a second task.
const SMALL: usize = 1 << 18;
/// Tasks a thread, so that a slow one is evened out.
const TASKS: usize = 2;

/// `finish(left · right)`.
pub(crate) struct Product<'a, L> {
    pub left: L,
    /// Rows of the left factor and of the result.
    pub rows: usize,
    pub right: Right<'a>,
    pub finish: Finish<'a>,
}

impl<L: Left> Product<'_, L> {
    /// The result as a matrix of its own, `(rows, columns)`.
    pub(crate) fn matrix(&self) -> Vec<f32> {
        let columns = self.columns();
        if self.finish.accumulate || self.right.depth() == 0 {
            return vec![0.0; self.rows * columns];
        }
        // SAFETY: without accumulation, every row and column is written before it is read.
        unsafe { filled(self.rows * columns, |output| self.write_to(output, columns)) }
    }

    /// Columns of the result.
    fn columns(&self) -> usize {
        self.finish.columns(self.right.columns())
    }

    /// Writes to rows that are `stride` apart.
    pub(crate) fn write(&self, output: &mut [f32], stride: usize) {
        let (rows, columns) = (self.rows, self.columns());
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(output.len() >= (rows - 1) * stride + columns);
        self.write_to(Shared(output.as_mut_ptr()), stride);
    }

    /// Writes to memory that has room for all rows.
    fn write_to(&self, output: Shared, stride: usize) {
        let (rows, columns) = (self.rows, self.columns());
        if rows == 0 || columns == 0 {
            return;
        }
        self.finish.check(rows, columns);
        let grid = Grid::of(rows, &self.right);
        let arch = Arch::new();
        let work = |task: usize| {
            let (rows, panels) = grid.part(task);
            arch.dispatch(InTiles(Part {
                left: &self.left,
                right: self.right,
                finish: &self.finish,
                rows,
                panels,
                output,
                stride,
            }));
        };
        match grid.tasks() {
            1 => work(0),
            tasks => (0..tasks).into_par_iter().for_each(work),
        }
    }
}

/// Adds a product to the matrix that is there.
pub(crate) fn add_product(left: impl Left, rows: usize, right: Right<'_>, to: &mut [f32]) {
    let finish = Finish {
        accumulate: true,
        ..Finish::default()
    };
    let product = Product {
        left,
        rows,
        right,
        finish,
    };
    product.write(to, right.columns());
}

/// How a product is cut into tasks: blocks of rows, and groups of panels where rows are few.
struct Grid {
    rows: usize,
    block: usize,
    panels: usize,
    group: usize,
}

impl Grid {
    fn of(rows: usize, right: &Right<'_>) -> Self {
        let (tile, threads) = (tile_shape(Arch::new()), rayon::current_num_threads());
        let panels = right.panels(tile);
        let blocks = rows.div_ceil(BLOCK_ROWS);
        let small = rows * right.columns() * right.depth() < SMALL;
        let groups = match threads {
            _ if small => 1,
            1 => 1,
            _ => (TASKS * threads).div_ceil(blocks).min(panels),
        };
        // Blocks of equal size, in whole tiles.
        let block = rows.div_ceil(blocks).next_multiple_of(tile.rows);
        Grid {
            rows,
            block,
            panels,
            group: panels.div_ceil(groups),
        }
    }

    fn tasks(&self) -> usize {
        self.rows.div_ceil(self.block) * self.panels.div_ceil(self.group)
    }

    fn part(&self, task: usize) -> (std::ops::Range<usize>, std::ops::Range<usize>) {
        let groups = self.panels.div_ceil(self.group);
        let (row, panel) = (task / groups * self.block, task % groups * self.group);
        (
            row..(row + self.block).min(self.rows),
            panel..(panel + self.group).min(self.panels),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::init::normal;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    fn draw(rng: &mut ChaCha8Rng, len: usize) -> Vec<f32> {
        (0..len).map(|_| normal(rng)).collect()
    }

    /// The obvious product, in 64 bits.
    fn plain(a: &[f32], b: &[f32], [rows, depth, columns]: [usize; 3]) -> Vec<f64> {
        let mut sums = vec![0.0; rows * columns];
        for row in 0..rows {
            for d in 0..depth {
                let x = f64::from(a[row * depth + d]);
                for column in 0..columns {
                    sums[row * columns + column] += x * f64::from(b[d * columns + column]);
                }
            }
        }
        sums
    }

    fn assert_close(found: &[f32], expected: &[f64], what: &str) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1e-3f64, |max, x| max.max(x.abs()));
        for (found, expected) in found.iter().zip(expected) {
            let error = (f64::from(*found) - expected).abs();
            assert!(error < 1e-5 * largest, "{what}: {found} {expected}");
        }
    }

    #[test]
    fn products_of_all_shapes_and_factors_are_the_obvious_ones() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for shape in [
            [1, 1, 1],
            [5, 3, 2],
            [7, 33, 17],
            [13, 129, 40],
            [150, 70, 96],
            [301, 1500, 33],
            [64, 2500, 7],
            [1, 300, 500],
        ] {
            let [rows, depth, columns] = shape;
            let (a, b) = (
                draw(&mut rng, rows * depth),
                draw(&mut rng, depth * columns),
            );
            let expected = plain(&a, &b, shape);
            let right = Panels::new(&b, [depth, columns], [columns, 1]);
            let finish = Finish::default();
            let left = Matrix::new(&a, depth);
            let found = Product {
                left,
                rows,
                right: Right::Packed(&right),
                finish,
            }
            .matrix();
            assert_close(&found, &expected, &format!("{shape:?}"));
            let plain = Product {
                left,
                rows,
                right: Right::Plain(&b, [depth, columns]),
                finish,
            };
            assert_eq!(plain.matrix(), found, "{shape:?} packed while used");

            let turned: Vec<f32> = (0..depth * rows)
                .map(|at| a[at % rows * depth + at / rows])
                .collect();
            let left = Transposed::new(&turned, rows);
            let found = Product {
                left,
                rows,
                right: Right::Packed(&right),
                finish,
            }
            .matrix();
            assert_close(&found, &expected, &format!("{shape:?} transposed"));
        }
    }

    #[test]
    fn finishes_are_the_obvious_ones() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let shape @ [rows, depth, columns] = [29, 40, 50];
        let (a, b) = (
            draw(&mut rng, rows * depth),
            draw(&mut rng, depth * columns),
        );
        let (bias, rest) = (draw(&mut rng, columns), draw(&mut rng, rows * columns));
        let sums = plain(&a, &b, shape);
        let right = Panels::new(&b, [depth, columns], [columns, 1]);
        for activation in [
            Activation::Linear,
            Activation::Elu,
            Activation::Silu,
            Activation::Gelu,
        ] {
            let finish = Finish {
                bias: Some(&bias),
                activation,
                rest: Some((&rest, columns)),
                ..Finish::default()
            };
            let left = Matrix::new(&a, depth);
            let found = Product {
                left,
                rows,
                right: Right::Packed(&right),
                finish,
            }
            .matrix();
            let expected: Vec<f64> = sums
                .iter()
                .enumerate()
                .map(|(at, sum)| {
                    let x = (*sum + f64::from(bias[at % columns])) as f32;
                    f64::from(activation.apply(x)) + f64::from(rest[at])
                })
                .collect();
            assert_close(&found, &expected, &format!("{activation:?}"));
        }
        let mut found = rest.clone();
        let finish = Finish {
            accumulate: true,
            ..Finish::default()
        };
        let left = Matrix::new(&a, depth);
        Product {
            left,
            rows,
            right: Right::Packed(&right),
            finish,
        }
        .write(&mut found, columns);
        let expected: Vec<f64> = sums
            .iter()
            .zip(&rest)
            .map(|(s, r)| s + f64::from(*r))
            .collect();
        assert_close(&found, &expected, "accumulate");
    }

    #[test]
    fn gated_products_multiply_pairs() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        for [rows, depth, columns] in [[9, 30, 40], [3, 700, 5]] {
            let a = draw(&mut rng, rows * depth);
            let pair = [
                draw(&mut rng, depth * columns),
                draw(&mut rng, depth * columns),
            ];
            // Weights as layers store them, (outputs, inputs).
            let right = Panels::paired([&pair[0], &pair[1]], [depth, columns], [1, depth]);
            let finish = Finish {
                activation: Activation::Silu,
                gated: true,
                ..Finish::default()
            };
            let left = Matrix::new(&a, depth);
            let found = Product {
                left,
                rows,
                right: Right::Packed(&right),
                finish,
            }
            .matrix();
            let turned = |w: &[f32]| -> Vec<f32> {
                (0..w.len())
                    .map(|at| w[at % columns * depth + at / columns])
                    .collect()
            };
            let [x, y] = pair.map(|w| plain(&a, &turned(&w), [rows, depth, columns]));
            let expected: Vec<f64> = x
                .iter()
                .zip(&y)
                .map(|(x, y)| f64::from(Activation::Silu.apply(*x as f32)) * y)
                .collect();
            assert_close(&found, &expected, "gated");
        }
    }

    #[test]
    fn weights_are_packed_while_they_are_used() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for [rows, depth, columns] in [[5, 9, 3], [20, 70, 41], [300, 1100, 80]] {
            let a = draw(&mut rng, rows * depth);
            let pair = [0; 2].map(|_| draw(&mut rng, columns * depth));
            let shape = [columns, depth];
            let turned = [depth, columns];
            for gated in [false, true] {
                let (right, panels) = match gated {
                    false => {
                        let panels = Panels::new(&pair[0], turned, [1, depth]);
                        (Right::Weight(Stored::Full(&pair[0]), shape), panels)
                    }
                    true => {
                        let pair = [pair[0].as_slice(), pair[1].as_slice()];
                        let panels = Panels::paired(pair, turned, [1, depth]);
                        (Right::Pair(pair.map(Stored::Full), shape), panels)
                    }
                };
                let finish = Finish {
                    gated,
                    ..Finish::default()
                };
                let product = |right| {
                    let left = Matrix::new(&a, depth);
                    let product = Product {
                        left,
                        rows,
                        right,
                        finish,
                    };
                    product.matrix()
                };
                assert_eq!(product(right), product(Right::Packed(&panels)));
            }
        }
    }

    #[test]
    fn normalised_rows_are_normalised() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let [rows, depth, columns] = [31, 45, 20];
        let (a, b) = (
            draw(&mut rng, rows * depth),
            draw(&mut rng, depth * columns),
        );
        let (scale, shift) = (draw(&mut rng, depth), draw(&mut rng, depth));
        let right = Panels::new(&b, [depth, columns], [columns, 1]);
        let left = Normalized::new(&a, [&scale, &shift], 1e-6);
        let finish = Finish::default();
        let found = Product {
            left,
            rows,
            right: Right::Packed(&right),
            finish,
        }
        .matrix();
        let mut normal = a.clone();
        for row in normal.chunks_exact_mut(depth) {
            let mean = row.iter().sum::<f32>() / depth as f32;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / depth as f32;
            for ((x, scale), shift) in row.iter_mut().zip(&scale).zip(&shift) {
                *x = (*x - mean) / (variance + 1e-6).sqrt() * scale + shift;
            }
        }
        assert_close(
            &found,
            &plain(&normal, &b, [rows, depth, columns]),
            "normalised",
        );
    }
}
