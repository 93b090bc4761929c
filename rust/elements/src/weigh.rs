//! Results times their weights.
//!
//! A result in float32 is rounded before it is multiplied. Where that took its digits, because it is
//! subnormal or 0, or made it infinite, a weight may bring the product back into the range: it is
//! then computed in f64, and rounded once.

use crate::evaluation::{BLOCK, Chunks, Evaluate};
use nll_simd::{Level, Prefetch, Real};

/// Multiplies the results of a loss by weights.
pub(crate) struct Weigh<'s, const N: usize> {
    /// The loss in f64.
    pub(crate) exact: &'s dyn Evaluate<f64, N>,
    pub(crate) level: Level,
}

impl<const N: usize> Weigh<'_, N> {
    /// Multiplies the results in `chunks` of a block, of the inputs `x`, by its weights.
    #[inline(always)]
    pub(crate) fn apply<F: Real>(&self, x: &[&[F]; N], weight: &[F], chunks: &mut Chunks<F, N>) {
        let are_normal = |result: &[F; BLOCK]| F::are_normal(&result[..weight.len()]);
        if !F::COMPENSATED && !chunks.results().all(are_normal) && is_any_lost(chunks, weight) {
            return self.apply_to_exact(x, weight, chunks);
        }
        for result in chunks.results_mut() {
            for (value, &w) in result.iter_mut().zip(weight) {
                *value = times(*value, w);
            }
        }
    }

    /// [`apply`](Self::apply) where a result is lost.
    #[cold]
    #[inline(never)]
    fn apply_to_exact<F: Real>(&self, x: &[&[F]; N], weight: &[F], chunks: &mut Chunks<F, N>) {
        let x = x.map(|x| x.iter().map(|x| x.to_f64()).collect::<Vec<_>>());
        let mut exact = Chunks::new([Prefetch::NOTHING; N], chunks.derivatives.len(), chunks.scale);
        let x = core::array::from_fn(|k| &x[k][..]);
        self.exact.evaluate(self.level, &x, &mut exact);
        for (result, exact) in chunks.results_mut().zip(exact.results()) {
            for ((value, exact), &w) in result.iter_mut().zip(exact).zip(weight) {
                let product = F::from_f64(exact * w.to_f64());
                *value = if is_lost(*value, w) { product } else { times(*value, w) };
            }
        }
    }
}

/// A result times its weight; a weight of 0 gives 0, whatever the result.
#[inline(always)]
fn times<F: Real>(value: F, weight: F) -> F {
    if weight == F::ZERO { F::ZERO } else { value * weight }
}

/// Whether a result lacks digits that its product with the weight may have.
#[inline(always)]
fn is_lost<F: Real>(value: F, weight: F) -> bool {
    let (size, weight) = (value.abs(), weight.abs());
    let grows = (size < F::LEAST_NORMAL) & (weight > F::ONE);
    let shrinks = (size == F::INFINITY) & (weight < F::ONE) & (weight > F::ZERO);
    grows | shrinks
}

/// Whether any result [`is_lost`].
#[cold]
#[inline(never)]
fn is_any_lost<F: Real, const N: usize>(chunks: &Chunks<F, N>, weight: &[F]) -> bool {
    // Without an end at the first, so that LLVM vectorises it.
    let lost = |any, (&value, &weight)| any | u32::from(is_lost(value, weight));
    chunks.results().any(|result| result.iter().zip(weight).fold(0, lost) > 0)
}
