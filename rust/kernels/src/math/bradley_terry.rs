//! −log p(the chosen answer is preferred), from two scores.

use crate::math::density::{Derivatives, Logistic, SecondDerivatives, sigmoids};
use crate::math::logistic_words::{exp_neg_abs_of_words, softplus_of_words};
use crate::math::row::finite;
use nll_simd::{DoubleWord, Extended, Isa, Real};

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
