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
#[derive(Clone, Debug)]
pub struct Buffer<F>(Vec<F>);

impl<F> Default for Buffer<F> {
    /// An empty buffer, without an allocation.
    fn default() -> Self {
        Buffer(Vec::new())
    }
}

impl<F: Copy> Buffer<F> {
    /// The first `length` elements. If the buffer has to grow, all elements become `fill`;
    /// otherwise they keep their values.
    #[inline(always)]
    pub fn first(&mut self, length: usize, fill: F) -> &mut [F] {
        if self.0.len() < length + PADDING {
            self.0 = vec![fill; length + PADDING];
        }
        let start = self.0.as_ptr().align_offset(64).min(PADDING);
        &mut self.0[start..start + length]
    }
}
