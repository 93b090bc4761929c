//! What several tests need: what every level with fused multiply-add must agree with.

use nll_simd::{Baseline, Isa, Level};

/// Fused multiply-add compiled for the baseline: on x86-64 a call of the platform's `fma`. It is
/// correctly rounded, so every fused level must give the same bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference;

impl Isa for Reference {
    fn level(self) -> Level {
        Level::Baseline(Baseline)
    }

    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}
