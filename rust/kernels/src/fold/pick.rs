//! One class of a row.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use nll_simd::{Isa, Real};

/// The logit of one class, read while its block is in L1; loading it by itself would be a cache
/// miss.
#[derive(Clone, Copy, Debug)]
pub struct Pick {
    class: usize,
    x: f64,
}

impl Pick {
    /// Of class `class`, which has not been seen yet: NaN.
    #[inline(always)]
    pub fn new(class: usize) -> Self {
        Pick { class, x: f64::NAN }
    }
}

impl<F: Real> Fold<F> for Pick {
    type Row = f64;

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let [x] = block.classes();
        if let Some(x) = x.get(self.class.wrapping_sub(block.first)) {
            self.x = x.to_f64();
        }
    }

    /// One of the two has seen the class; the other is NaN.
    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.x = if self.x.is_nan() { later.x } else { self.x };
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> f64 {
        self.x
    }
}
