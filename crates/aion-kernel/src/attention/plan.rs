//! What attends to what, and where in memory it lies.

use std::ops::Range;

use super::Segments;

/// Rows of a matrix `(rows, heads · head_dim)` and the distance between rows.
pub(super) type Rows<'a> = (&'a [f32], usize);

/// Who attends to whom: queries of group `i` to keys of group `i`.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub queries: Segments,
    pub keys: Segments,
    pub heads: usize,
    pub head_dim: usize,
    /// Keys that come later than a query in their group are hidden from it.
    pub causal: bool,
}

/// The rows of a group of queries and of the keys that they attend to.
#[derive(Debug, Clone)]
pub(super) struct Pair {
    pub queries: Range<usize>,
    pub keys: Range<usize>,
}

impl Plan {
    /// Values of a row.
    pub(super) fn width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// What products of queries and keys are multiplied by.
    pub(super) fn scale(&self) -> f32 {
        1.0 / (self.head_dim as f32).sqrt()
    }

    pub(super) fn pairs(&self) -> impl Iterator<Item = Pair> + '_ {
        let pairs = self.queries.ranges().zip(self.keys.ranges());
        pairs.map(|(queries, keys)| Pair { queries, keys })
    }

    /// Columns of a head.
    pub(super) fn columns(&self, head: usize) -> Range<usize> {
        head * self.head_dim..(head + 1) * self.head_dim
    }

    /// How many of `keys` any of `queries` sees; both are places in their group.
    #[inline(always)]
    pub(super) fn seen(&self, queries: &Range<usize>, keys: &Range<usize>) -> usize {
        if self.causal {
            queries.end.saturating_sub(keys.start).min(keys.len())
        } else {
            keys.len()
        }
    }

    /// Whether some of `keys` are hidden from some of `queries`.
    #[inline(always)]
    pub(super) fn hides(&self, queries: &Range<usize>, keys: &Range<usize>) -> bool {
        self.causal && keys.end > queries.start + 1
    }
}

/// `range` in pieces of `size`, the last one perhaps shorter.
pub(super) fn pieces(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let end = range.end;
    let starts = range.step_by(size);
    starts.map(move |start| start..(start + size).min(end))
}

/// The size of as few equal pieces as are no larger than `most`, a multiple of `of`.
pub(super) fn even(len: usize, most: usize, of: usize) -> usize {
    let count = len.div_ceil(most).max(1);
    len.div_ceil(count).next_multiple_of(of).max(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_even_and_cover_the_range() {
        for (len, most, of) in [(0, 5, 2), (855, 256, 6), (1, 256, 6), (512, 512, 16)] {
            let size = even(len, most, of);
            assert_eq!(size % of, 0);
            let pieces: Vec<_> = pieces(3..3 + len, size).collect();
            assert!(pieces.len() <= len.div_ceil(most), "{pieces:?}");
            let ends = pieces.iter().fold(3, |end, piece| {
                assert_eq!(end, piece.start);
                piece.end
            });
            assert_eq!(ends, 3 + len);
        }
    }
}
