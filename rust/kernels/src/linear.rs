//! The part of label smoothing that is linear in the logits.

use crate::softmax::Scratch;
use nll_simd::{Dtype, Float, Isa, LaneSum, SUM_LANES, zip};

/// Σ_c w_c·(x_c − shift), for label smoothing. A class of weight 0 adds 0, whatever its logit.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linear {
    /// Some logit of the row, so that a common offset cancels before anything is rounded.
    pub(crate) shift: f64,
    total: LaneSum,
}

impl Linear {
    /// The sum over no classes, with `shift` taken from the first of them.
    #[inline(always)]
    pub(crate) fn starting_at(first: f64) -> Self {
        Linear { shift: if first.is_finite() { first } else { 0.0 }, total: LaneSum::ZERO }
    }

    /// Adds the classes of `block`, `weight` beside it.
    #[inline(always)]
    #[must_use]
    pub(crate) fn push<S: Isa, T: Dtype>(
        mut self,
        isa: S,
        block: &[T::Storage],
        weight: Option<&[f64]>,
        scratch: &mut Scratch<T::Real>,
    ) -> Self {
        let (x, x_tail) = T::read(isa, block, &mut scratch.values).as_chunks::<SUM_LANES>();
        let (w, w_tail) = weight.unwrap_or(&[]).as_chunks::<SUM_LANES>();
        for (i, &x) in x.iter().enumerate() {
            let w = w.get(i).copied().unwrap_or([1.0; SUM_LANES]);
            self.total = self.total.add_f64::<T::Real>(zip(T::Real::widen(x), w, self.term()));
        }
        let mut terms = [0.0; SUM_LANES];
        for (i, (term, &x)) in terms.iter_mut().zip(x_tail).enumerate() {
            *term = self.term()(x.to_f64(), w_tail.get(i).copied().unwrap_or(1.0));
        }
        self.total = self.total.add_f64::<T::Real>(terms);
        self
    }

    /// w·(x − shift)
    #[inline(always)]
    fn term(&self) -> impl Fn(f64, f64) -> f64 + use<> {
        let shift = self.shift;
        move |x, w| if w == 0.0 { 0.0 } else { w * (x - shift) }
    }

    /// The sum.
    #[inline(always)]
    pub(crate) fn value(self) -> f64 {
        self.total.value::<f64>()
    }
}
