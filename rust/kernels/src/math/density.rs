//! The traits of a loss of single observations: its value, usually −log p, and its derivatives.
//!
//! Each `value` reads like its line in the package `nll_fast.reference`, given the exponential or logarithm `inner`.
//! A distribution with two parametrisations has two types.

pub use nll_simd::CHUNK;
use nll_simd::math::{exp_nonpositive, log1p_unit};
use nll_simd::{Aligned, Isa, Real};

/// A function of N numbers, usually the negative log-likelihood of one observation.
///
/// The inner exponential or logarithm is computed in a loop of its own: if one loop held both, the
/// CPU would overlap too few iterations.
pub trait Density<const N: usize>: Copy + Sync {
    /// False if `value` needs no `inner` term; then `inner` is not called.
    const INNER: bool = true;

    /// True if a value takes so few instructions that a block is read in a burst, before its sum is
    /// taken: no hardware prefetcher continues between two bursts.
    const IS_SHORT: bool = false;

    /// The exponential or logarithm that the value and the derivatives need.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, _isa: S, _x: [F; N]) -> F {
        F::ZERO
    }

    /// The value, given `inner`.
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; N], inner: F) -> F;

    /// Writes the inner terms and the values of a chunk; the inner terms only if the derivatives
    /// will need them (`keeps_inner`) or the values do.
    #[inline(always)]
    fn values<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; N],
        (inner, _keeps_inner): (&mut [F; CHUNK], bool),
        values: &mut [F; CHUNK],
    ) {
        self.with_constants(
            #[inline(always)]
            |loss| {
                if Self::INNER {
                    for (i, inner) in inner.iter_mut().enumerate() {
                        *inner = loss.inner(isa, element(x, i));
                    }
                }
                for (i, value) in values.iter_mut().enumerate() {
                    *value = loss.value(isa, element(x, i), inner[i]);
                }
            },
        );
    }

    /// Calls `loops` with this loss. A loss of several formulas branches here, with the choice as a constant
    /// in each branch, so that the loops contain none.
    #[inline(always)]
    fn with_constants(self, loops: impl FnOnce(Self)) {
        loops(self);
    }

    /// True if `value` can be NaN at an input where the loss has a limit; `limit` then replaces it.
    /// Only for losses that are never negative: the search for NaN starts with a comparison that a
    /// negative value fails too.
    const HAS_LIMIT: bool = false;

    /// The limit of the loss where `value` is NaN; NaN if it has none.
    #[inline(always)]
    fn limit<F: Real>(self, _x: [F; N]) -> F {
        F::NAN
    }
}

/// Element `i` of each input of a chunk. (`array::map` would not be inlined, and a function that is
/// not inlined is compiled for the baseline instruction set.)
#[inline(always)]
pub fn element<F: Real, const N: usize>(x: [&[F; CHUNK]; N], i: usize) -> [F; N] {
    core::array::from_fn(
        #[inline(always)]
        |k| x[k][i],
    )
}

/// A loss that is known: the number itself.
#[derive(Clone, Copy)]
pub struct Known;

impl Density<1> for Known {
    const INNER: bool = false;
    const IS_SHORT: bool = true;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [loss]: [F; 1], _inner: F) -> F {
        loss
    }
}

/// The derivatives of a loss.
pub trait Derivatives<const N: usize>: Density<N> {
    /// The derivative of the value by each input.
    fn gradient<S: Isa, F: Real>(self, isa: S, x: [F; N], inner: F) -> [F; N];
}

/// The second derivatives of a loss by its first input, the prediction.
pub trait SecondDerivatives<const N: usize>: Derivatives<N> {
    /// The second derivative.
    fn second<S: Isa, F: Real>(self, isa: S, x: [F; N], inner: F) -> F;

    /// The largest second derivative over all values of the first input, +∞ if it has no bound.
    fn bound<F: Real>(self, x: [F; N], inner: F) -> F;
}

/// A loss that depends on log(1 + e^−|x|), x being the gap between yes and no.
pub trait Logistic<const N: usize>: Copy + Sync {
    /// Whether x is the first input, a logit. False for a loss that has a `gap` of its own.
    const IS_OF_LOGIT: bool = true;

    /// x
    #[inline(always)]
    fn gap<F: Real>(self, x: [F; N]) -> F {
        x[0]
    }

    /// e^−|x|
    #[inline(always)]
    fn exp_neg_abs<S: Isa, F: Real>(self, isa: S, x: [F; N]) -> F {
        exp_neg_abs(isa, self.gap(x))
    }

    /// The value, given log(1 + e^−|x|).
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; N], log1p_exp: F) -> F;

    /// [`Density::HAS_LIMIT`]
    const HAS_LIMIT: bool = false;

    /// [`Density::limit`]
    #[inline(always)]
    fn limit<F: Real>(self, _x: [F; N]) -> F {
        F::NAN
    }
}

impl<L: Logistic<N>, const N: usize> Density<N> for L {
    /// e^−|x|
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, x: [F; N]) -> F {
        self.exp_neg_abs(isa, x)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; N], exp_neg_abs: F) -> F {
        Logistic::value(self, isa, x, log1p_unit(isa, exp_neg_abs))
    }

    /// In float32 log(1 + e^−|x|) comes from a table, so that only the derivatives need e^−|x|.
    #[inline(always)]
    fn values<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; N],
        (inner, keeps_inner): (&mut [F; CHUNK], bool),
        values: &mut [F; CHUNK],
    ) {
        if keeps_inner || F::COMPENSATED {
            for (i, inner) in inner.iter_mut().enumerate() {
                *inner = self.exp_neg_abs(isa, element(x, i));
            }
        }
        if F::COMPENSATED {
            for (i, value) in values.iter_mut().enumerate() {
                *value = Density::value(self, isa, element(x, i), inner[i]);
            }
            return;
        }
        let mut gaps = Aligned([F::ZERO; CHUNK]);
        if !Self::IS_OF_LOGIT {
            for (i, gap) in gaps.0.iter_mut().enumerate() {
                *gap = self.gap(element(x, i));
            }
        }
        let gaps = if Self::IS_OF_LOGIT { x[0] } else { &gaps.0 };
        F::log1p_exp_neg_abs(isa, gaps, values);
        for (i, value) in values.iter_mut().enumerate() {
            *value = Logistic::value(self, isa, element(x, i), *value);
        }
    }

    const HAS_LIMIT: bool = L::HAS_LIMIT;

    #[inline(always)]
    fn limit<F: Real>(self, x: [F; N]) -> F {
        Logistic::limit(self, x)
    }
}

/// e^−|x|, from which both sigmoids of ±x follow.   ±∞ → 0, NaN → NaN.
#[inline(always)]
pub(crate) fn exp_neg_abs<S: Isa, F: Real>(isa: S, x: F) -> F {
    exp_nonpositive(isa, -x.abs())
}

/// (σ(x), σ(−x)), both to full relative precision.   −∞ → (0, 1), +∞ → (1, 0).
#[inline(always)]
pub(crate) fn sigmoids<S: Isa, F: Real>(isa: S, x: F, exp_neg_abs: F) -> (F, F) {
    let sum = F::ONE + exp_neg_abs;
    // What the sum lost; both quotients are corrected for it to first order.
    let lost = exp_neg_abs - (sum - F::ONE);
    let (one, part) = (F::ONE / sum, exp_neg_abs / sum);
    let correction = -(lost * one);
    let (large, small) = (isa.mul_add(one, correction, one), isa.mul_add(part, correction, part));
    if x < F::ZERO { (small, large) } else { (large, small) }
}

/// a·b, but 0 where a is 0: the limit where b is infinite.
#[inline(always)]
pub(crate) fn mul_or_zero<F: Real>(a: F, b: F) -> F {
    if a == F::ZERO { F::ZERO } else { a * b }
}

/// The larger of the two; NaN if `x` is NaN.
#[inline(always)]
pub(crate) fn clamp_min<F: Real>(x: F, low: F) -> F {
    if x < low { low } else { x }
}
