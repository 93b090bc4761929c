//! −log p(the chosen answer is preferred), from two scores.

use crate::math::density::{Derivatives, Logistic, SecondDerivatives, exp_neg_abs, sigmoids};
use crate::math::row::finite;
use nll_simd::math::exp_nonpositive_of_words;
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

/// Bradley-Terry: −log σ(chosen − rejected − margin), the two-class cross entropy of two scores.
/// Without `MARGIN` the margin counts as 0, for the same bits from fewer instructions.
#[derive(Clone, Copy)]
pub struct BradleyTerry<const MARGIN: bool>;

impl<const MARGIN: bool> BradleyTerry<MARGIN> {
    /// rejected − chosen + margin as a double-double: the exponential magnifies its rounding error.
    #[inline(always)]
    fn words<F: Real>([chosen, rejected, margin]: [F; 3]) -> DoubleWord<F> {
        let gap = DoubleWord::sum(rejected, -chosen);
        if MARGIN {
            gap.add(DoubleWord::new(margin)).renormalize()
        } else {
            DoubleWord { lo: finite(gap.lo), ..gap }
        }
    }
}

impl<const MARGIN: bool> Logistic<3> for BradleyTerry<MARGIN> {
    const IS_OF_LOGIT: bool = false;

    #[inline(always)]
    fn gap<F: Real>(self, x: [F; 3]) -> F {
        Self::words(x).hi
    }
    #[inline(always)]
    fn exp_neg_abs<S: Isa, F: Real>(self, isa: S, x: [F; 3]) -> F {
        exp_neg_abs_of_words(isa, Self::words(x))
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 3], log1p_exp: F) -> F {
        softplus_of_words(isa, Self::words(x), log1p_exp)
    }
}

impl<const MARGIN: bool> Derivatives<3> for BradleyTerry<MARGIN> {
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, x: [F; 3], exp_neg_abs: F) -> [F; 3] {
        let words = Self::words(x);
        let (up, down) = sigmoids(isa, words.hi, exp_neg_abs);
        // In f32, e^−|x| is that of the leading word alone.
        let lost = if F::COMPENSATED { F::ZERO } else { finite(words.lo) };
        let up = isa.mul_add(up * down, lost, up);
        [-up, up, up]
    }
}

impl<const MARGIN: bool> SecondDerivatives<3> for BradleyTerry<MARGIN> {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, isa: S, x: [F; 3], exp_neg_abs: F) -> F {
        let words = Self::words(x);
        let (up, down) = sigmoids(isa, words.hi, exp_neg_abs);
        let lost = if F::COMPENSATED { F::ZERO } else { finite(words.lo) };
        isa.mul_add((up * down) * (down - up), lost, up * down)
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 3], _inner: F) -> F {
        F::HALF * F::HALF
    }
}
