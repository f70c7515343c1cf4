//! The program's memory.
//!
//! Freed memory is kept for what comes next, instead of being given back to the system: layer after layer asks for
//! the same sizes again, and the system clears every page before it hands it out, which took up to a fifth
//! of a training step. A process then stays as large as it once was.

mod large;

use std::alloc::{GlobalAlloc, Layout};
use std::ptr::{null_mut, with_exposed_provenance_mut};
use std::sync::{Mutex, MutexGuard};

use libmimalloc_sys::{mi_option_set, mi_option_t};
use mimalloc::MiMalloc;

use large::{GRAIN, Range};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    large: Mutex::new(None),
};

/// Blocks from this size on are large.
const LARGE: usize = 1 << 20;

/// Small blocks are mimalloc's: objects are read on one thread, worked on by others and freed on a third,
/// which the usual allocators are slow at.
struct Allocator {
    /// `None` before the first large block.
    large: Mutex<Option<Range>>,
}

impl Allocator {
    /// Its own memory is small, so that the lock is never waited for by who holds it.
    fn lock(&self) -> MutexGuard<'_, Option<Range>> {
        self.large
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A large block, and how much of it may hold other than zeros; `None` for small ones, and where
    /// there are no addresses left.
    fn take(&self, layout: Layout) -> Option<(*mut u8, usize)> {
        if layout.size() < LARGE || layout.align() > GRAIN {
            return None;
        }
        let block = self
            .lock()
            .get_or_insert_with(Range::reserved)
            .take(layout.size())?;
        Some((with_exposed_provenance_mut(block.start), block.written))
    }
}

// SAFETY: a block is a part of the range that is nobody else's, at a multiple of `GRAIN`, or mimalloc's;
// which one follows from its address when it is given back.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some((start, _)) => start,
            // SAFETY: the caller's promises are handed on.
            None => unsafe { MiMalloc.alloc(layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        match self.take(layout) {
            Some((start, written)) => {
                // SAFETY: the block is at least so long, and nobody else's.
                unsafe { start.write_bytes(0, written.min(layout.size())) };
                start
            }
            // SAFETY: the caller's promises are handed on.
            None => unsafe { MiMalloc.alloc_zeroed(layout) },
        }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if layout.size() >= LARGE
            && let Some(range) = &mut *self.lock()
            && range.contains(start.addr())
        {
            return range.give(start.addr(), layout.size());
        }
        // SAFETY: the block is none of the range, and so mimalloc's.
        unsafe { MiMalloc.dealloc(start, layout) };
    }

    unsafe fn realloc(&self, start: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if layout.size() < LARGE && size < LARGE {
            // SAFETY: the block is small, and so mimalloc's.
            return unsafe { MiMalloc.realloc(start, layout, size) };
        }
        // SAFETY: the caller promises that the new size is right for this alignment.
        let new = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: both blocks are as long as is copied, and the old one is the caller's to give back.
        unsafe {
            let to = self.alloc(new);
            if to.is_null() {
                return null_mut();
            }
            to.copy_from_nonoverlapping(start, layout.size().min(size));
            self.dealloc(start, layout);
            to
        }
    }
}

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps small blocks, too.
pub fn keep_freed_memory() {
    // SAFETY: an option is a number in a table of the allocator, which may be set at any time.
    unsafe { mi_option_set(PURGE_DELAY, -1) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_is_the_one_that_is_meant() {
        // SAFETY: reads a number from the allocator's table.
        let delay = unsafe { libmimalloc_sys::mi_option_get(PURGE_DELAY) };
        // Milliseconds, as the header gives them; no neighbour in the table has this value.
        assert_eq!(delay, 1000);
    }

    #[test]
    fn vectors_grow_shrink_and_start_with_zeros() {
        let len = LARGE / 4;
        let mut values: Vec<u32> = (0..len as u32 - 1).collect();
        for round in 0..4 {
            // Across the limit, and within large blocks.
            values.extend(len as u32 - 1..(len * (round + 2)) as u32);
            assert!(
                values
                    .iter()
                    .enumerate()
                    .all(|(at, value)| at == *value as usize)
            );
            values.truncate(len - 1);
            values.shrink_to_fit();
            drop(vec![u32::MAX; len * (round + 1)]);
            assert!(
                vec![0u32; len * (round + 1)]
                    .iter()
                    .all(|value| *value == 0)
            );
        }
    }
}
