//! Room that starts at a multiple of 64 bytes: no load or store of a register in it takes two cache lines.
//!
//! (Two cores of Granite Rapids: cross entropy of 128256 classes 15.4 → 10.9 ms; in cache, BCE 0.62 → 0.56 ns, of
//! bfloat16 0.77 → 0.64, Gaussian 1.02 → 0.84.)

/// So many numbers of any type we have take a cache line or more.
const LINE: usize = 16;

/// A value that starts there.
#[repr(align(64))]
#[derive(Clone, Copy, Debug)]
pub struct Aligned<T>(pub T);

/// Room that grows.
#[derive(Clone, Debug)]
pub struct Buffer<F>(Vec<F>);

impl<F> Default for Buffer<F> {
    /// No room yet.
    fn default() -> Self {
        Buffer(Vec::new())
    }
}

impl<F: Copy> Buffer<F> {
    /// The first `length` numbers. Where there is no room for them, all become `fill`.
    #[inline(always)]
    pub fn first(&mut self, length: usize, fill: F) -> &mut [F] {
        if self.0.len() < length + LINE {
            self.0 = vec![fill; length + LINE];
        }
        let start = self.0.as_ptr().align_offset(64).min(LINE);
        &mut self.0[start..start + length]
    }
}
