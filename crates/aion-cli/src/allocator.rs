//! The program's memory.

use libmimalloc_sys::{mi_option_set, mi_option_t};

/// Objects are read on one thread, worked on by others and freed on a third, which the usual
/// allocators are slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc.h, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Keeps freed memory for what comes next, instead of giving it back to the system: layer after layer
/// asks for the same sizes again, and the system clears every page before it hands it out, which took
/// up to a fifth of a training step. A process then stays as large as it once was.
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
}
