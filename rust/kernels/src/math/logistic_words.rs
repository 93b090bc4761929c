//! σ(x), −log σ(x) and their derivatives for a double-double x. In one word x, a difference, would have a rounding
//! error, which the exponential magnifies.

use crate::math::density::{exp_neg_abs, sigmoids};
use nll_simd::math::{exp_nonpositive_of_words, log1p_unit, mul_exp};
use nll_simd::{DoubleWord, Extended, Isa, Real};

/// e^−|x|; in f32 that of the leading word alone, because [`softplus_of_words`] corrects the value
/// for the trailing word, and derivatives need no more.
#[inline(always)]
pub(super) fn exp_neg_abs_of_words<S: Isa, F: Real>(isa: S, x: DoubleWord<F>) -> F {
    if !F::COMPENSATED {
        return exp_neg_abs(isa, x.hi);
    }
    let x = if x.hi > F::ZERO { x.neg() } else { x };
    exp_nonpositive_of_words(isa, [x.hi, x.lo])
}

/// log(1 + e^x) of a double-double x, given log(1 + e^−|x|); in f32 that of the leading word alone.
#[inline(always)]
pub(super) fn softplus_of_words<S: Isa, F: Real>(isa: S, x: DoubleWord<F>, log1p_exp: F) -> F {
    let above = x.hi > F::ZERO;
    let mut part = log1p_exp;
    if !F::COMPENSATED {
        // The slope is σ(−|x|) = 1 − e^−g for g = log(1 + e^−|x|). Four terms of its series are
        // within 0.2 %, and what they are multiplied by is less than an ulp of x.
        let slope = isa.mul_add(part, F::from_f64(-1.0 / 24.0), F::from_f64(1.0 / 6.0));
        let slope = isa.mul_add(part, slope, -F::HALF);
        let slope = part * isa.mul_add(part, slope, F::ONE);
        part = isa.mul_add(slope, if above { -x.lo } else { x.lo }, part);
    }
    if above { x.hi + (part + x.lo) } else { part }
}

/// −log σ(x)
#[inline(always)]
pub(super) fn nll<S: Isa, F: Real>(isa: S, x: DoubleWord<F>) -> F {
    nll_of_exp(isa, x, exp_neg_abs_of_words(isa, x))
}

/// −log σ(x), given e^−|x|.
#[inline(always)]
pub(super) fn nll_of_exp<S: Isa, F: Real>(isa: S, x: DoubleWord<F>, exp_neg_abs: F) -> F {
    softplus_of_words(isa, x.neg(), log1p_unit(isa, exp_neg_abs))
}

/// σ(x)
#[inline(always)]
pub(super) fn sigmoid<S: Isa, F: Real>(isa: S, x: DoubleWord<F>) -> F {
    let (up, down) = sigmoids(isa, x.hi, exp_neg_abs(isa, x.hi));
    up + up * down * x.lo
}

/// (σ(x), σ(−x)), for derivatives.
#[inline(always)]
pub(super) fn both_sigmoids<S: Isa, F: Real>(isa: S, x: DoubleWord<F>) -> (F, F) {
    both_sigmoids_of_exp(isa, x, exp_neg_abs_of_words(isa, x))
}

/// (σ(x), σ(−x)), given e^−|x|.
#[inline(always)]
pub(super) fn both_sigmoids_of_exp<S: Isa, F: Real>(
    isa: S,
    x: DoubleWord<F>,
    exp_neg_abs: F,
) -> (F, F) {
    let above = x.hi > F::ZERO;
    let (up, down) = sigmoids(isa, x.hi, exp_neg_abs);
    let low = if above { x.neg() } else { x };
    // e^−|x| is not rounded before it is multiplied by the larger one.
    let small = mul_exp(isa, if above { up } else { down }, [low.hi, low.lo]);
    if above { (up, small) } else { (small, down) }
}

/// σ'(x)
#[inline(always)]
pub(super) fn bell<S: Isa, F: Real>(isa: S, x: DoubleWord<F>) -> F {
    let (up, down) = both_sigmoids(isa, x);
    up * down
}
