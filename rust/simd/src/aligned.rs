//! Scratch memory that starts at a multiple of 64 bytes, the size of a cache line.
//!
//! A load or store of a full register at such an address touches one cache line; at an address that
//! malloc returns, a multiple of 16, it may touch two. The gain is in `docs/performance.md`.

/// The largest number of elements before the first aligned one: a cache line of f32.
const PADDING: usize = 16;

/// A value that starts at a multiple of 64 bytes.
#[repr(align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Aligned<T>(pub T);

/// Scratch memory that grows on demand.
#[derive(Debug)]
pub struct Buffer<F> {
    memory: Vec<F>,
    /// The index of the first aligned element.
    start: usize,
}

impl<F> Default for Buffer<F> {
    /// An empty buffer, without an allocation.
    fn default() -> Self {
        Buffer { memory: Vec::new(), start: 0 }
    }
}

impl<F: Copy> Buffer<F> {
    /// The first `length` elements. If the buffer has to grow, all elements become `fill`;
    /// otherwise they keep their values.
    #[inline(always)]
    pub fn first(&mut self, length: usize, fill: F) -> &mut [F] {
        if self.memory.len() < length + PADDING {
            self.grow(length, fill);
        }
        &mut self.memory[self.start..self.start + length]
    }

    #[cold]
    fn grow(&mut self, length: usize, fill: F) {
        self.memory = vec![fill; length + PADDING];
        self.start = self.memory.as_ptr().align_offset(64).min(PADDING);
    }
}
