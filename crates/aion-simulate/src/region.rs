//! Where simulated objects lie: evenly spread over cells of the sky that are filled one after the
//! other, so that any part of a sky of any size can be made without the rest.
//!
//! An object's cell follows from its number alone. The cells are consecutive nested HEALPix cells
//! from the point (0, 0) on, so that even a small region crosses the seam at right ascension 0.

use std::f64::consts::PI;
use std::ops::Range;

use aion_data::hats::Cell;
use aion_data::sky::{CELL_ORDER, coarser, healpix29};
use cdshealpix::nested;

use super::draws::{Draws, Purpose};

/// Area of the sphere, square degrees.
const SPHERE: f64 = 129_600.0 / PI;
/// Finest cells, 52 arcsec wide: more than anything moves.
const FINEST: u8 = 12;
/// Objects of a cell at most, where cells are coarser than [`FINEST`].
const OBJECTS_A_CELL: f64 = 100.0;
/// Cells at least, so that the area is nearly the one asked for.
const FEWEST_CELLS: f64 = 8.0;
/// Objects a square degree where nothing else is asked for: somewhat fewer than the galaxies of the
/// Legacy Surveys brighter than 21 mag.
const DENSITY: f64 = 4000.0;
/// The smallest region, square degrees.
const SMALLEST: f64 = 0.05;
/// An object's survey positions differ by less than this, arcsec.
pub(super) const REACH: f64 = 30.0;

/// A part of the sky with a number of objects.
#[derive(Debug, Clone, PartialEq)]
pub struct Region {
    seed: u64,
    objects: u64,
    order: u8,
    /// The first cell; the others follow, from the last of the sphere on to cell 0.
    first: u64,
    cells: u64,
}

/// A partition of a region: the cells within one coarser cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Partition {
    pub(super) cell: Cell,
    /// Numbers of the objects in it.
    pub(super) objects: Range<u64>,
}

impl Region {
    /// Spreads `objects` over `area` square degrees, or as many as suit them; areas are kept between
    /// a twentieth of a square degree and the whole sphere.
    pub fn new(seed: u64, objects: u64, area: Option<f64>) -> Region {
        let area = area.unwrap_or(objects as f64 / DENSITY);
        let area = area.clamp(SMALLEST, SPHERE);
        let needed = |order: u8| area / SPHERE * total(order) as f64;
        let fine = |order: &u8| {
            let cells = needed(*order);
            cells >= FEWEST_CELLS && objects as f64 / cells <= OBJECTS_A_CELL
        };
        let order = (1..FINEST).find(fine).unwrap_or(FINEST);
        // The last quarter of base cell 4, whose southern corner is at (0, 0).
        let base = 1 << (2 * order);
        Region {
            seed,
            objects,
            order,
            first: 4 * base + 3 * base / 4,
            cells: (needed(order).round() as u64).clamp(1, total(order)),
        }
    }

    /// Number of objects.
    pub fn objects(&self) -> u64 {
        self.objects
    }

    /// Square degrees.
    pub fn area(&self) -> f64 {
        self.cells as f64 / total(self.order) as f64 * SPHERE
    }

    /// Number of the first object of cell `place`.
    fn start(&self, place: u64) -> u64 {
        let product = u128::from(place) * u128::from(self.objects);
        product.div_ceil(u128::from(self.cells)) as u64
    }

    /// Objects of cell `place`.
    fn filled(&self, place: u64) -> Range<u64> {
        self.start(place)..self.start(place + 1)
    }

    /// The place of a cell of the region's order in it.
    fn place(&self, cell: u64) -> Option<u64> {
        let all = total(self.order);
        let place = (cell + all - self.first) % all;
        (place < self.cells).then_some(place)
    }

    /// The cell of the region's order that holds a position, if that is in the region.
    fn cell_at(&self, (ra, dec): (f64, f64)) -> Option<u64> {
        let cell = coarser(healpix29(ra, dec)?, self.order) as u64;
        self.place(cell).map(|_| cell)
    }

    /// True position of an object, degrees.
    pub fn position(&self, index: u64) -> (f64, f64) {
        let place = u128::from(index) * u128::from(self.cells) / u128::from(self.objects.max(1));
        let cell = (self.first + place as u64) % total(self.order);
        let bits = 2 * u32::from(CELL_ORDER - self.order);
        let mut draws = Draws::new(self.seed, index, Purpose::Position);
        let inside = draws.below_power_of_two(1 << bits);
        let (ra, dec) = nested::center(CELL_ORDER, (cell << bits) | inside);
        (ra.to_degrees(), dec.to_degrees())
    }

    /// Whether objects at `from` may be seen at `to`: within the region, and where
    /// [`Region::partitions`] finds them.
    pub(super) fn allows(&self, from: (f64, f64), to: (f64, f64)) -> bool {
        let cell = self.cell_at(to);
        cell.is_some_and(|cell| self.cells_around(from).contains(&Some(cell)))
    }

    /// Cells of the region that a position is in or near.
    fn cells_around(&self, (ra, dec): (f64, f64)) -> [Option<u64>; 9] {
        let up = REACH / 3600.0;
        let right = up / dec.to_radians().cos().max(1e-3);
        std::array::from_fn(|i| {
            let (column, row) = ((i % 3) as f64 - 1.0, (i / 3) as f64 - 1.0);
            let ra = (ra + column * right).rem_euclid(360.0);
            self.cell_at((ra, (dec + row * up).clamp(-90.0, 90.0)))
        })
    }

    /// The region in partitions of at most `rows` objects, as far as its cells are that fine, in the
    /// order of the objects' numbers.
    pub(super) fn partitions(&self, rows: u64) -> Vec<Partition> {
        let a_cell = self.objects.div_ceil(self.cells).max(1);
        let mut order = self.order;
        while order > 1 && a_cell << (2 * u32::from(self.order - order + 1)) <= rows {
            order -= 1;
        }
        let mut partitions: Vec<Partition> = Vec::new();
        let step = 1 << (2 * u32::from(self.order - order));
        let mut place = 0;
        while place < self.cells {
            let cell = (self.first + place) % total(self.order);
            // To the end of the coarser cell.
            let next = (place + step - cell % step).min(self.cells);
            partitions.push(Partition {
                cell: Cell {
                    order,
                    pixel: cell / step,
                },
                objects: self.start(place)..self.start(next),
            });
            place = next;
        }
        partitions
    }

    /// Objects of other partitions that a survey may see in this one.
    pub(super) fn visitors(&self, cell: Cell) -> Vec<u64> {
        let shift = 2 * u32::from(self.order - cell.order);
        let edge: Vec<u64> = if shift == 0 {
            let around = nested::neighbours(cell.order, cell.pixel, false);
            around.values_vec()
        } else {
            nested::external_edge(cell.order, cell.pixel, self.order - cell.order).into_vec()
        };
        let mut places: Vec<u64> = edge.iter().filter_map(|cell| self.place(*cell)).collect();
        places.sort_unstable();
        places.dedup();
        let visits = |index: &u64| {
            let near = self.cells_around(self.position(*index));
            near.iter()
                .flatten()
                .any(|near| near >> shift == cell.pixel)
        };
        let indices = places.into_iter().flat_map(|place| self.filled(place));
        indices.filter(visits).collect()
    }
}

/// Cells of the sphere.
fn total(order: u8) -> u64 {
    12 << (2 * order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_object_is_in_one_partition_and_lies_there() {
        for (objects, area, rows) in [(1000, None, 300), (5000, Some(0.3), 900), (7, None, 50)] {
            let region = Region::new(3, objects, area);
            let partitions = region.partitions(rows);
            let mut next = 0;
            for partition in &partitions {
                assert_eq!(partition.objects.start, next);
                next = partition.objects.end;
                for index in partition.objects.clone() {
                    let (ra, dec) = region.position(index);
                    let cell = coarser(healpix29(ra, dec).unwrap(), partition.cell.order);
                    assert_eq!(cell as u64, partition.cell.pixel);
                }
            }
            assert_eq!(next, objects);
        }
    }

    #[test]
    fn positions_do_not_depend_on_the_partitions() {
        let region = Region::new(3, 100_000, None);
        assert!((region.area() - 25.0).abs() < 2.0, "{}", region.area());
        let largest = |rows| {
            let partitions = region.partitions(rows);
            let sizes = partitions.iter().map(|p| p.objects.end - p.objects.start);
            sizes.max().unwrap()
        };
        assert!(largest(10_000) <= 10_000 && largest(10_000) > 2000);
        assert!(largest(500) <= 500);
    }

    #[test]
    fn a_region_crosses_the_seam_and_may_be_the_sphere() {
        let region = Region::new(1, 4000, None);
        let ra = (0..4000).map(|index| region.position(index).0);
        let (low, high): (Vec<f64>, Vec<f64>) = ra.partition(|ra| *ra < 180.0);
        assert!(low.len() > 1000 && high.len() > 1000 && high.iter().all(|ra| *ra > 355.0));
        let sphere = Region::new(1, 2000, Some(1e9));
        let south = (0..2000).filter(|i| sphere.position(*i).1 < -30.0).count();
        assert!((430..570).contains(&south), "{south}");
        assert!((sphere.area() - SPHERE).abs() < 1e-6);
        assert_eq!(sphere.partitions(1 << 40).len(), 48);
    }

    #[test]
    fn visitors_are_the_objects_just_outside() {
        let region = Region::new(9, 40_000, Some(1.0));
        let partitions = region.partitions(4000);
        let partition = &partitions[1];
        let visitors = region.visitors(partition.cell);
        let expected: Vec<u64> = (0..40_000)
            .filter(|index| !partition.objects.contains(index))
            .filter(|index| {
                let (ra, dec) = region.position(*index);
                [(-25.0, 0.0), (25.0, 0.0), (0.0, -25.0), (0.0, 25.0)]
                    .iter()
                    .any(|(x, y)| {
                        let to = ((ra + x / 3600.0).rem_euclid(360.0), dec + y / 3600.0);
                        let cell = healpix29(to.0, to.1).unwrap();
                        region.allows((ra, dec), to)
                            && coarser(cell, partition.cell.order) as u64 == partition.cell.pixel
                    })
            })
            .collect();
        assert!(expected.len() > 20, "{}", expected.len());
        assert!(expected.iter().all(|index| visitors.contains(index)));
        assert!(visitors.len() < 4000);
    }
}
