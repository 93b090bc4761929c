//! What a loss of single observations is: −log p of one of them, and its derivatives.
//!
//! Each `value` reads like its line in `reference.py`, given the exponential or logarithm `inner`. The
//! derivatives are by the first input. A distribution that has two parametrisations has two types.

use nll_simd::math::{exp_nonpositive, log1p_unit};
use nll_simd::{Isa, Real};

/// How many elements go through the loops of a loss together. Few, so that reading from memory goes on
/// beside computing: over whole blocks, memory would rest while the second loop runs.
pub const CHUNK: usize = 128;

/// A function of N numbers, usually the negative log-likelihood of one observation.
///
/// Its inner exponential or logarithm has a loop of its own: the CPU overlaps too few iterations of a loop
/// that holds both.
pub trait Density<const N: usize>: Copy + Sync {
    /// False if `value` needs no `inner` term; then `inner` is not called.
    const INNER: bool = true;

    /// The exponential or logarithm that the value and the derivatives need.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, _isa: S, _x: [F; N]) -> F {
        F::ZERO
    }

    /// Its value, given `inner`.
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; N], inner: F) -> F;

    /// The inner terms and the values of a chunk.
    #[inline(always)]
    fn values<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; N],
        inner: &mut [F; CHUNK],
        values: &mut [F; CHUNK],
    ) {
        if Self::INNER {
            for (i, inner) in inner.iter_mut().enumerate() {
                *inner = self.inner(isa, element(x, i));
            }
        }
        for (i, value) in values.iter_mut().enumerate() {
            *value = self.value(isa, element(x, i), inner[i]);
        }
    }

    /// True if `value` may be NaN at an input where the loss has a limit; `limit` then takes its place.
    /// Only for losses that are never negative: a value below 0 is taken for a NaN and looked at again.
    const HAS_LIMIT: bool = false;

    /// The limit of the value where `value` is NaN; NaN where there is none.
    #[inline(always)]
    fn limit<F: Real>(self, _x: [F; N]) -> F {
        F::NAN
    }
}

/// Element `i` of each input of a chunk. Not by `array::map`, which is not inlined, and what is not
/// inlined is compiled for the baseline.
#[inline(always)]
pub fn element<F: Real, const N: usize>(x: [&[F; CHUNK]; N], i: usize) -> [F; N] {
    core::array::from_fn(
        #[inline(always)]
        |k| x[k][i],
    )
}

/// The derivatives of a loss by its first input.
pub trait Derivatives<const N: usize>: Density<N> {
    /// The first and the second derivative.
    fn derivatives<F: Real>(self, x: [F; N], inner: F) -> [F; 2];

    /// The largest second derivative over all first inputs, +∞ where there is none.
    fn hessian_bound<F: Real>(self, x: [F; N], inner: F) -> F;
}

/// e^−|x|, from which both softplus and both sigmoids of ±x follow.   ±∞ → 0, NaN → NaN.
#[inline(always)]
pub(crate) fn exp_neg_abs<S: Isa, F: Real>(isa: S, x: F) -> F {
    exp_nonpositive(isa, -x.abs())
}

/// log(1 + e^x) = max(x, 0) + log(1 + e^−|x|).   −∞ → 0, +∞ → +∞, NaN → NaN.
#[inline(always)]
pub(crate) fn softplus<S: Isa, F: Real>(isa: S, x: F, exp_neg_abs: F) -> F {
    log1p_unit(isa, exp_neg_abs) + if x > F::ZERO { x } else { F::ZERO }
}

/// (σ(x), σ(−x)), each with all its digits.   −∞ → (0, 1), +∞ → (1, 0).
#[inline(always)]
pub(crate) fn sigmoids<F: Real>(x: F, exp_neg_abs: F) -> (F, F) {
    let (large, small) = (F::ONE / (F::ONE + exp_neg_abs), exp_neg_abs / (F::ONE + exp_neg_abs));
    if x < F::ZERO { (small, large) } else { (large, small) }
}

/// a·b, but 0 where a is 0: the limit where b is infinite.
#[inline(always)]
pub(crate) fn mul_or_zero<F: Real>(a: F, b: F) -> F {
    if a == F::ZERO { F::ZERO } else { a * b }
}

/// The larger one; NaN if `x` is.
#[inline(always)]
pub(crate) fn clamp_min<F: Real>(x: F, low: F) -> F {
    if x < low { low } else { x }
}
