//! One image of a file, decoded block by block as stamps need it.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::error::Result;
use crate::format::fits::FitsFile;

/// The least pixels that a block has a side: small tiles are decoded several at a time, rows of
/// images that are not compressed are read many at a time.
const LEAST_SIDE: usize = 100;

/// Reads a part of an image: rows, columns.
type Read<T> = fn(&mut FitsFile, usize, &[Range<usize>]) -> Result<Vec<T>>;

/// The decoded blocks of one image. Stamps are asked for from top to bottom.
pub struct Blocks<T> {
    read: Read<T>,
    hdu: usize,
    /// Rows and columns of the image.
    image: [usize; 2],
    /// Rows and columns of a block, whole tiles of a compressed image.
    block: [usize; 2],
    held: BTreeMap<[usize; 2], Vec<T>>,
}

impl<T: Copy + Default> Blocks<T> {
    /// The blocks of the image in an HDU, which has these rows and columns.
    pub fn new(file: &mut FitsFile, hdu: usize, image: [usize; 2], read: Read<T>) -> Self {
        let tiles = file.tiles(hdu).unwrap_or_default();
        let side = |axis: usize| {
            let tile = tiles.get(axis).copied().unwrap_or(1).max(1);
            LEAST_SIDE.div_ceil(tile) * tile
        };
        Blocks {
            read,
            hdu,
            image,
            block: [side(0), side(1)],
            held: BTreeMap::new(),
        }
    }

    /// The square of `size` pixels a side at row `top` and column `left`. Blocks above it are
    /// forgotten.
    ///
    /// Errors: damaged data.
    pub fn stamp(
        &mut self,
        file: &mut FitsFile,
        [top, left]: [usize; 2],
        size: usize,
    ) -> Result<Vec<T>> {
        let [rows, columns] = self.block;
        self.held.retain(|[row, _], _| (row + 1) * rows > top);
        let mut stamp = vec![T::default(); size * size];
        for row in top / rows..(top + size).div_ceil(rows) {
            for column in left / columns..(left + size).div_ceil(columns) {
                let (y, x) = (self.extent(0, row), self.extent(1, column));
                let block = match self.held.entry([row, column]) {
                    std::collections::btree_map::Entry::Occupied(held) => held.into_mut(),
                    std::collections::btree_map::Entry::Vacant(new) => {
                        new.insert((self.read)(file, self.hdu, &[y.clone(), x.clone()])?)
                    }
                };
                let from = x.start.max(left)..x.end.min(left + size);
                for (pixels, y) in block.chunks(x.len().max(1)).zip(y) {
                    let Some(to) = y.checked_sub(top).filter(|&to| to < size) else {
                        continue;
                    };
                    let start = to * size + from.start - left;
                    let target = stamp.get_mut(start..start + from.len());
                    let source = pixels.get(from.start - x.start..from.end - x.start);
                    if let (Some(target), Some(source)) = (target, source) {
                        target.copy_from_slice(source);
                    }
                }
            }
        }
        Ok(stamp)
    }

    /// Rows (axis 0) or columns (axis 1) of the block with this number.
    fn extent(&self, axis: usize, number: usize) -> Range<usize> {
        let start = number * self.block[axis];
        start..(start + self.block[axis]).min(self.image[axis])
    }
}
