//! Memory that begins at a cache line, so that no vector straddles two.

/// Values of a cache line.
pub(crate) const LINE: usize = 16;

/// A cache line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy)]
struct Line([f32; LINE]);

/// Single-precision values whose first lies at a cache line.
#[derive(Debug, Default)]
pub(crate) struct Aligned {
    lines: Vec<Line>,
    len: usize,
}

impl Aligned {
    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let lines = vec![Line([0.0; LINE]); len.div_ceil(LINE)];
        Aligned { lines, len }
    }

    /// The first `len` values, of any content; the memory grows where it is too small.
    pub(crate) fn at_least(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            *self = Aligned::zeros(len);
        }
        &mut self.as_mut_slice()[..len]
    }

    pub(crate) fn as_slice(&self) -> &[f32] {
        // SAFETY: lines are arrays of values without gaps, and hold at least `len` of them.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [f32] {
        // SAFETY: as above, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
