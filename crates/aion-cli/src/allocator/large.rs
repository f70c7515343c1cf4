//! Large blocks of memory from one range of addresses, each at the lowest place where it fits.
//!
//! Activations come and go like a stack: a forward pass lays them one after the other, the backward pass
//! frees them from the end while gradients take their places. The lowest place keeps them dense, where an
//! allocator that sorts blocks by size keeps the most of every size. The range asks for huge pages, of
//! which the system clears one where it would clear hundreds of small ones.

use std::collections::BTreeMap;

use memmap2::{MmapMut, MmapOptions};

/// Blocks begin and end at multiples of it.
pub(super) const GRAIN: usize = 1 << 16;
/// Addresses that are asked for first, then half as many, and so on; none is memory before it is written.
const MOST_ADDRESSES: usize = 1 << 40;
/// Fewer are not worth asking for.
const LEAST_ADDRESSES: usize = 1 << 32;

/// A range of addresses and what of it is free.
#[derive(Debug)]
pub(super) struct Range {
    start: usize,
    end: usize,
    /// All blocks in use and all holes lie below.
    top: usize,
    /// Nothing was ever written from here on, so that it is zero.
    fresh: usize,
    /// Sizes of free places by their addresses. No two touch, none touches the top.
    holes: BTreeMap<usize, usize>,
}

/// A block, and how much of its beginning may hold other than zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) start: usize,
    pub(super) written: usize,
}

impl Range {
    /// As many addresses as the system gives, perhaps none.
    pub(super) fn reserved() -> Self {
        let Some(map) = addresses() else {
            return Range::new(0, 0);
        };
        let (start, len) = (map.as_ptr().expose_provenance(), map.len());
        // It lives as long as the process.
        std::mem::forget(map);
        Range::new(start, start + len)
    }

    fn new(start: usize, end: usize) -> Self {
        let start = start.next_multiple_of(GRAIN).min(end);
        Range {
            start,
            end,
            top: start,
            fresh: start,
            holes: BTreeMap::new(),
        }
    }

    /// Whether an address is one of these.
    pub(super) fn contains(&self, address: usize) -> bool {
        (self.start..self.end).contains(&address)
    }

    /// A block of `size` bytes; `None` where no addresses are left.
    pub(super) fn take(&mut self, size: usize) -> Option<Block> {
        let size = size.checked_next_multiple_of(GRAIN)?;
        let hole = self.holes.iter().find(|(_, hole)| **hole >= size);
        if let Some((&start, &hole)) = hole {
            self.holes.remove(&start);
            if hole > size {
                self.holes.insert(start + size, hole - size);
            }
            return Some(Block {
                start,
                written: size,
            });
        }
        let start = self.top;
        let end = start.checked_add(size).filter(|end| *end <= self.end)?;
        let written = self.fresh.saturating_sub(start).min(size);
        self.top = end;
        self.fresh = self.fresh.max(end);
        Some(Block { start, written })
    }

    /// Takes a block back that was taken with this size.
    pub(super) fn give(&mut self, start: usize, size: usize) {
        let (mut start, mut end) = (start, start + size.next_multiple_of(GRAIN));
        if let Some((&before, &hole)) = self.holes.range(..start).next_back()
            && before + hole == start
        {
            self.holes.remove(&before);
            start = before;
        }
        if let Some(hole) = self.holes.remove(&end) {
            end += hole;
        }
        match end == self.top {
            true => self.top = start,
            false => drop(self.holes.insert(start, end - start)),
        }
    }
}

/// Addresses that become memory page by page when they are written.
fn addresses() -> Option<MmapMut> {
    let mut len = MOST_ADDRESSES;
    while len >= LEAST_ADDRESSES {
        let map = MmapOptions::new().len(len).no_reserve_swap().map_anon();
        if let Ok(map) = map {
            #[cfg(target_os = "linux")]
            // Without huge pages everything works, only slower.
            let _ = map.advise(memmap2::Advice::HugePage);
            return Some(map);
        }
        len /= 2;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    const START: usize = 7 * GRAIN;

    #[test]
    fn the_lowest_place_that_fits_is_taken() {
        let mut range = Range::new(START - 5, START + 100 * GRAIN);
        let [a, b, c] = [2, 3, 1].map(|grains| range.take(grains * GRAIN - 9).expect("room"));
        assert_eq!([a.start, b.start, c.start], [7, 9, 12].map(|at| at * GRAIN));
        assert_eq!(a.written, 0);
        range.give(a.start, 2 * GRAIN - 9);
        let again = range.take(GRAIN).expect("room");
        assert_eq!(
            again,
            Block {
                start: START,
                written: GRAIN
            }
        );
        // Neighbours become one place.
        range.give(b.start, 3 * GRAIN);
        assert_eq!(
            range.take(4 * GRAIN).map(|block| block.start),
            Some(8 * GRAIN)
        );
        // The last one free, the range ends below it; what was written there is known.
        range.give(c.start, GRAIN);
        let last = range.take(2 * GRAIN).expect("room");
        assert_eq!(
            last,
            Block {
                start: 12 * GRAIN,
                written: GRAIN
            }
        );
        assert_eq!(range.take(100 * GRAIN), None);
        assert_eq!(range.take(usize::MAX), None);
    }

    #[test]
    fn blocks_in_use_never_share_an_address() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut range = Range::new(START, START + 4000 * GRAIN);
        let mut used: Vec<(usize, usize)> = Vec::new();
        for _ in 0..5000 {
            if rng.random_bool(0.45) && !used.is_empty() {
                let (start, size) = used.swap_remove(rng.random_range(0..used.len()));
                range.give(start, size);
                continue;
            }
            let size = rng.random_range(1..40 * GRAIN);
            let Some(block) = range.take(size) else {
                continue;
            };
            let end = block.start + size;
            assert!(block.start >= START && end <= START + 4000 * GRAIN);
            let apart =
                |(start, size): &(usize, usize)| end <= *start || start + size <= block.start;
            assert!(used.iter().all(apart));
            used.push((block.start, size));
        }
        for (start, size) in used {
            range.give(start, size);
        }
        assert_eq!((range.top, range.holes.len()), (START, 0));
    }

    #[test]
    fn addresses_are_memory_when_written() {
        let mut range = Range::reserved();
        let block = range.take(3 << 20).expect("addresses");
        assert!(range.contains(block.start) && !range.contains(0));
        let last: *mut u8 = std::ptr::with_exposed_provenance_mut(block.start + (3 << 20) - 1);
        // SAFETY: the last byte of a block that nobody else has.
        unsafe {
            assert_eq!(last.read(), 0);
            last.write(1);
        }
    }
}
