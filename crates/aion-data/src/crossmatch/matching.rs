//! Mutual nearest neighbours on the sphere.
//!
//! Each side is one k-d tree of unit vectors over the whole sky. Nothing is cut into cells, so
//! there are no borders that need a margin: neither at 0/360 degrees, nor at the poles, nor between
//! the partitions that the files may come in. The chord of two unit vectors grows with their angle,
//! so the nearest vector is the nearest direction.

use std::cmp::Ordering;
use std::num::NonZero;

use kiddo::{ImmutableKdTree, SquaredEuclidean};
use rayon::prelude::*;

use crate::error::{DataError, Place, Problem, Result};
use crate::sky::{UnitVector, chord_squared, separation};

/// Two rows that are each other's nearest neighbour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Row on the left.
    pub left: u32,
    /// Row on the right.
    pub right: u32,
    /// Angle between them, radians.
    pub separation: f64,
    /// Whether either row has another candidate within the radius.
    pub ambiguous: bool,
}

/// What matching finds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Matches {
    /// The pairs, by rising left row; no row is in two of them.
    pub pairs: Vec<Pair>,
    /// Left rows whose nearest neighbour within the radius is nearer to another left row.
    pub not_mutual: usize,
}

/// The mutual nearest neighbours among two sets of directions, at most `radius` radians apart.
///
/// Directions with a coordinate that is no number are never matched. Of several rows at the same
/// place, and of several neighbours at the same distance, the first row counts, so that the result
/// depends on nothing but the input; exchanging the sides exchanges the pairs.
///
/// # Errors
/// A radius that is not within 0 to pi; 2^32 or more rows on a side.
pub fn mutual_neighbours(
    left: &[UnitVector],
    right: &[UnitVector],
    radius: f64,
) -> Result<Matches> {
    if !(radius > 0.0 && radius <= std::f64::consts::PI) {
        let what = format!("the radius is {radius} radians, expected above 0 and at most pi");
        return Err(DataError::new(Place::default(), Problem::Values(what)));
    }
    let (left, right) = rayon::join(|| Side::new(left), || Side::new(right));
    let (left, right) = (left?, right?);
    let forth: Vec<Option<Neighbour>> = left
        .points
        .par_iter()
        .map(|point| right.nearest(point, radius))
        .collect();
    let mut targets: Vec<u32> = forth.iter().flatten().map(|found| found.index).collect();
    targets.par_sort_unstable();
    targets.dedup();
    let back: Vec<Option<Neighbour>> = targets
        .par_iter()
        .map(|&target| left.nearest(right.points.get(target as usize)?, radius))
        .collect();
    let returned = |target: u32| back[targets.binary_search(&target).ok()?];

    let mut matches = Matches::default();
    for (index, forth) in (0..).zip(&forth) {
        let Some(forth) = forth else { continue };
        match returned(forth.index).filter(|back| back.index == index) {
            Some(back) => matches.pairs.push(Pair {
                left: left.rows[index as usize],
                right: right.rows[forth.index as usize],
                separation: forth.separation,
                ambiguous: forth.several || back.several,
            }),
            None => matches.not_mutual += 1,
        }
    }
    Ok(matches)
}

/// Directions that can be asked what lies near.
pub struct Places(Side);

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Places({})", self.0.points.len())
    }
}

impl Places {
    /// Sorts directions; those with a coordinate that is no number are never found.
    ///
    /// # Errors
    /// 2^32 or more of them.
    pub fn new(directions: &[UnitVector]) -> Result<Places> {
        Side::new(directions).map(Places)
    }

    /// The nearest direction within `radius` radians, by its place in the list (of several at one place
    /// the first), and the angle to it.
    pub fn nearest(&self, from: &UnitVector, radius: f64) -> Option<(usize, f64)> {
        let found = self.0.nearest(from, radius)?;
        Some((self.0.rows[found.index as usize] as usize, found.separation))
    }
}

/// A neighbour within the radius.
#[derive(Debug, Clone, Copy)]
struct Neighbour {
    /// Which of [`Side::points`].
    index: u32,
    separation: f64,
    /// Whether there are more within the radius.
    several: bool,
}

/// The distinct places of a side.
struct Side {
    points: Vec<UnitVector>,
    /// The first row at each place, rising.
    rows: Vec<u32>,
    /// Whether more rows lie at the place.
    repeated: Vec<bool>,
    /// None without points: the library's empty tree claims to find the first one.
    tree: Option<ImmutableKdTree<f64, 3>>,
}

/// The share by which squared chords may differ by rounding, and its floor.
const ROUNDING: (f64, f64) = (1e-12, 1e-31);

/// The nearest, and the one that shows whether there are more.
const TWO: NonZero<usize> = NonZero::<usize>::MIN.saturating_add(1);

impl Side {
    fn new(directions: &[UnitVector]) -> Result<Side> {
        let count = u32::try_from(directions.len()).map_err(|_| {
            let what = format!("{} rows, expected fewer than 2^32", directions.len());
            DataError::new(Place::default(), Problem::Values(what))
        })?;
        // Adding 0 makes -0 and 0 alike.
        let point = |row: u32| directions[row as usize].map(|part| part + 0.0);
        let finite = |row: &u32| point(*row).iter().all(|part| part.is_finite());
        let mut order: Vec<u32> = (0..count).filter(finite).collect();
        order.par_sort_unstable_by(|&a, &b| by_place(&point(a), &point(b)).then(a.cmp(&b)));
        let mut places: Vec<(u32, bool)> = order
            .chunk_by(|&a, &b| by_place(&point(a), &point(b)) == Ordering::Equal)
            .filter_map(|rows| Some((*rows.first()?, rows.len() > 1)))
            .collect();
        places.par_sort_unstable();
        let points: Vec<UnitVector> = places.iter().map(|&(row, _)| point(row)).collect();
        let tree = match points.is_empty() {
            true => None,
            false => Some(ImmutableKdTree::new_from_slice(&points).map_err(|error| {
                let what = format!("no tree of these positions: {error:?}");
                DataError::new(Place::default(), Problem::Values(what))
            })?),
        };
        Ok(Side {
            points,
            rows: places.iter().map(|&(row, _)| row).collect(),
            repeated: places.iter().map(|&(_, repeated)| repeated).collect(),
            tree,
        })
    }

    /// The nearest place within `radius` radians; the first of those equally near.
    fn nearest(&self, from: &UnitVector, radius: f64) -> Option<Neighbour> {
        let tree = self.tree.as_ref()?;
        let widened = |chord: f64| chord * (1.0 + ROUNDING.0) + ROUNDING.1;
        let found = tree
            .query(from)
            .nearest_n::<SquaredEuclidean<f64>>(TWO)
            .within(widened(chord_squared(radius)))
            .execute();
        let first = found.first()?;
        let mut index = first.item;
        let second = found.get(1);
        if second.is_some_and(|second| second.distance <= widened(first.distance)) {
            let tied = tree
                .query(from)
                .within::<SquaredEuclidean<f64>>(widened(first.distance))
                .execute();
            let distance = |index: u32| chord(from, &self.points[index as usize]);
            let nearer = |a: &u32, b: &u32| distance(*a).total_cmp(&distance(*b)).then(a.cmp(b));
            index = tied.iter().map(|tied| tied.item).min_by(nearer)?;
        }
        let apart = |index: u32| separation(*from, self.points[index as usize]);
        let separation = apart(index);
        let near = |index: u32| apart(index) <= radius;
        let others = found.iter().filter(|found| near(found.item)).count();
        (separation <= radius).then(|| Neighbour {
            index,
            separation,
            several: others > 1 || self.repeated[index as usize],
        })
    }
}

fn by_place(a: &UnitVector, b: &UnitVector) -> Ordering {
    let parts = a.iter().zip(b).map(|(a, b)| a.total_cmp(b));
    parts.fold(Ordering::Equal, Ordering::then)
}

/// The squared chord between two unit vectors.
fn chord(a: &UnitVector, b: &UnitVector) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
