//! How far below the largest logit of a row its classes lie, from the terms that [`LogSum`] sums.
//!
//! The plain algorithm:
//!
//! ```text
//! x_m = max(x);  Σ e^x·(x_m − x) / Σ e^x
//! ```
//!
//! What we do instead, and why: x_m is the largest logit so far, and where a larger one comes, the sum
//! grows by the difference times Σ e^x. The target, which the sums leave out, is the first x_m. So all
//! terms are positive and nothing cancels. The products are those of a precision above the logits' own,
//! because of a row that is nearly certain one product may be all that the sum has.

use crate::fold::beside::{Beside, Chunks};
use crate::fold::products::add_products_below;
use crate::math::terms::{NONE, max_lane, position};
use nll_simd::{ChunkSum, Extended, Isa, LaneSum, Real};

/// Σ e^x·(x_m − x) over the classes pushed so far.
#[derive(Clone, Copy)]
pub(crate) struct Below<F> {
    /// The largest logit so far, the target's included.
    x_m: F,
    /// The first class that has it; [`NONE`] as long as no logit is larger than the target's.
    at: usize,
    sum: ChunkSum,
    /// Whether a class was at −∞.
    is_masked: bool,
}

impl<F: Real> Below<F> {
    /// Of no classes; the target, which is left out, has the logit `x_t`.
    #[inline(always)]
    pub(crate) fn target(x_t: F) -> Self {
        Below { x_m: x_t, at: NONE, sum: ChunkSum::ZERO, is_masked: false }
    }

    /// The largest logit, and the first class that has it if that is larger than the target's.
    #[inline(always)]
    pub(crate) fn largest(&self) -> (F, usize) {
        (self.x_m, self.at)
    }

    /// Σ e^x·(x_m − x) / Σ e^x, the second being `total`; 0 if that is.
    #[inline(always)]
    pub(crate) fn mean<S: Isa>(&self, isa: S, total: &LaneSum) -> F::Extended {
        let total = total.extended::<F>();
        let mean = self.sum.lanes().extended::<F>().div(isa, total);
        if total.rounded() == 0.0 { total } else { mean }
    }

    /// Makes `x`, which is larger than all before, the largest. The terms of those add up to `total`.
    #[inline(always)]
    fn raise<S: Isa>(&mut self, isa: S, (x, at): (F, usize), total: &LaneSum) {
        let further = F::Extended::sum(x.to_f64(), -self.x_m.to_f64());
        let total = total.extended::<F>();
        // By an infinite difference, 0 counts as nothing.
        if total.rounded() != 0.0 {
            self.sum.plus::<F>(further.mul(isa, total));
        }
        (self.x_m, self.at) = (x, at);
    }

    /// [`raise`](Self::raise) to the largest of some chunks.
    ///
    /// Called, not inlined: the usual way has the registers for itself.
    #[cold]
    #[inline(never)]
    fn raise_to<S: Isa>(&mut self, isa: S, chunks: &Chunks<'_, F>, total: &LaneSum) {
        isa.vectorize(
            #[inline(always)]
            || {
                let x = max_lane(chunks.lanes);
                let at = position(chunks.x.as_flattened(), x);
                let at = at.map_or(NONE, |at| chunks.first.wrapping_add(at));
                self.raise(isa, (x, at), total);
            },
        );
    }
}

impl<F: Real> Beside<F> for Below<F> {
    const KEEPS_PEAKS: bool = true;

    #[inline(always)]
    fn add<S: Isa>(&mut self, isa: S, chunks: &Chunks<'_, F>, total: &LaneSum) {
        if chunks.lanes.iter().fold(false, |any, &x| any | (x > self.x_m)) {
            self.raise_to(isa, chunks, total);
        }
        // Any finite number is as far above −∞.
        let x_m = if self.x_m == F::NEG_INFINITY { F::ZERO } else { self.x_m };
        if !F::COMPENSATED {
            let classes = (chunks.terms.as_chunks().0, chunks.x);
            let (sum, is_masked) = (self.sum.plain_mut(), &mut self.is_masked);
            add_products_below(isa, x_m.to_f64(), classes, sum, is_masked);
            return;
        }
        for (x, terms) in chunks.x.iter().zip(chunks.terms.as_chunks().0) {
            self.sum.add_products(
                isa,
                terms,
                #[inline(always)]
                |i| {
                    // Where x is −∞ the term is 0. The distance from a finite one may overflow.
                    let x = if terms[i] == F::ZERO { x_m } else { x[i] };
                    F::Extended::sum(x_m.to_f64(), -x.to_f64())
                },
            );
        }
    }

    #[inline(always)]
    fn scale(&mut self, factor: f64) {
        self.sum.scale(factor);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self, [total, later_total]: [&LaneSum; 2]) {
        if later.x_m > self.x_m {
            self.raise(isa, later.largest(), total);
        } else if self.x_m > later.x_m {
            later.raise(isa, self.largest(), later_total);
        }
        self.sum.merge(&later.sum);
    }
}
