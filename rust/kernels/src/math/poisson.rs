//! The Poisson distribution of a count.

use crate::math::density::{Density, Derivatives, SecondDerivatives, mul_or_zero};
use crate::math::row::finite;
use nll_simd::math::{exp, log, log_of_sum, mul_exp};
use nll_simd::{Isa, Real, log_factorial, two_sum_error};
use std::marker::PhantomData;

/// What stands for log y!, the term of the loss that does not depend on the rate.
pub trait Constant: Copy + Sync + 'static {
    /// The term.
    fn of<S: Isa, F: Real>(isa: S, y: F) -> F;

    /// Whether its derivative is known here.
    const HAS_SLOPE: bool = true;

    /// Its derivative, NaN if it is not known.
    #[inline(always)]
    fn slope<S: Isa, F: Real>(_isa: S, _y: F) -> F {
        F::NAN
    }
}

/// 0: the term is left out.
#[derive(Clone, Copy)]
pub struct LeftOut;

impl Constant for LeftOut {
    #[inline(always)]
    fn of<S: Isa, F: Real>(_isa: S, _y: F) -> F {
        F::ZERO
    }

    #[inline(always)]
    fn slope<S: Isa, F: Real>(_isa: S, _y: F) -> F {
        F::ZERO
    }
}

/// Stirling's formula, y·log y − y + ½·log 2πy, for y > 1; else 0.
#[derive(Clone, Copy)]
pub struct Stirling;

impl Constant for Stirling {
    #[inline(always)]
    fn of<S: Isa, F: Real>(isa: S, y: F) -> F {
        let two_pi = F::from_f64(core::f64::consts::TAU);
        let stirling = y * log(isa, y) - y + F::HALF * log(isa, two_pi * y);
        if y > F::ONE { stirling } else { F::ZERO }
    }

    #[inline(always)]
    fn slope<S: Isa, F: Real>(isa: S, y: F) -> F {
        if y > F::ONE { log(isa, y) + F::HALF / y } else { F::ZERO }
    }
}

/// log y! itself, for real y ≥ 0.
#[derive(Clone, Copy)]
pub struct Exact;

impl Constant for Exact {
    #[inline(always)]
    fn of<S: Isa, F: Real>(isa: S, y: F) -> F {
        log_factorial(isa, y)
    }

    /// The digamma function is not here.
    const HAS_SLOPE: bool = false;
}

/// Poisson, from the rate λ and the count y: λ − y·log(λ + ε) + `C`, with y·log λ = 0 where y = 0.
#[derive(Clone, Copy)]
pub struct Poisson<C> {
    /// ε
    pub eps: f64,
    /// Which term stands for log y!.
    pub constant: PhantomData<C>,
}

impl<C: Constant> Density<2> for Poisson<C> {
    /// log(λ + ε)
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [rate, _]: [F; 2]) -> F {
        log_of_sum(isa, rate, F::from_f64(self.eps))
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [rate, y]: [F; 2], log_rate: F) -> F {
        (rate - mul_or_zero(y, log_rate)) + C::of(isa, y)
    }
}

impl<C: Constant> Derivatives<2> for Poisson<C> {
    /// By λ: 1 − y/(λ + ε), as one quotient, whose numerator keeps its digits near λ = y. It is corrected
    /// for what its parts lost.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [rate, y]: [F; 2], log_rate: F) -> [F; 2] {
        let eps = F::from_f64(self.eps);
        let (gap, sum) = (rate - y, rate + eps);
        let top = gap + eps;
        let top_lost = two_sum_error(rate, -y, gap) + two_sum_error(gap, eps, top);
        let quotient = top / sum;
        let lost = isa.mul_add(-quotient, two_sum_error(rate, eps, sum), top_lost);
        let by_rate = quotient + finite(lost / sum);
        // 0/0 or ∞/∞, where y/(λ + ε) tends to 0.
        let is_limit = ((y == F::ZERO) & (rate >= F::ZERO)) | ((rate == F::INFINITY) & (y < rate));
        let by_rate = if is_limit { F::ONE } else { by_rate };
        [by_rate, C::slope(isa, y) - log_rate]
    }
}

impl<C: Constant> SecondDerivatives<2> for Poisson<C> {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, [rate, y]: [F; 2], _log_rate: F) -> F {
        let rate = rate + F::from_f64(self.eps);
        if (y == F::ZERO) & (rate >= F::ZERO) { F::ZERO } else { y / rate / rate }
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 2], _inner: F) -> F {
        F::INFINITY
    }
}

/// λ − y·x of a rate λ = e^x, ∞ where both terms are too large: the first grows faster.   x = ∞, y > 0
/// → NaN.
#[inline(always)]
fn expected_less_observed<F: Real>(rate: F, y: F, x: F) -> F {
    let loss = rate - mul_or_zero(y, x);
    if (rate == F::INFINITY) & (x < F::INFINITY) { rate } else { loss }
}

/// Poisson, from the logarithm x of the rate and the count y: e^x − y·x + `C`, and e^x where y = 0.
#[derive(Clone, Copy)]
pub struct PoissonLog<C> {
    /// Which term stands for log y!.
    pub constant: PhantomData<C>,
}

impl<C: Constant> Density<2> for PoissonLog<C> {
    /// λ
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _]: [F; 2]) -> F {
        exp(isa, x)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], rate: F) -> F {
        expected_less_observed(rate, y, x) + C::of(isa, y)
    }
}

impl<C: Constant> Derivatives<2> for PoissonLog<C> {
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], rate: F) -> [F; 2] {
        [rate - y, C::slope(isa, y) - x]
    }
}

impl<C: Constant> SecondDerivatives<2> for PoissonLog<C> {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, _x: [F; 2], rate: F) -> F {
        rate
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 2], _rate: F) -> F {
        F::INFINITY
    }
}

/// Poisson, from x and the count y, where the logarithm of the rate is x + o for the logarithm o of
/// an exposure: e^(x + o) − y·(x + o) + `C`, and e^(x + o) where y = 0.
#[derive(Clone, Copy)]
pub struct PoissonOffset<C> {
    /// Which term stands for log y!.
    pub constant: PhantomData<C>,
}

impl<C: Constant> Density<3> for PoissonOffset<C> {
    /// λ, of x + o in two words: the exponential would magnify what one word is rounded by.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _, offset]: [F; 3]) -> F {
        let sum = x + offset;
        let lost = finite(two_sum_error(x, offset, sum));
        mul_exp(isa, F::ONE, [sum, lost])
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y, offset]: [F; 3], rate: F) -> F {
        expected_less_observed(rate, y, x + offset) + C::of(isa, y)
    }
}

impl<C: Constant> Derivatives<3> for PoissonOffset<C> {
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [x, y, offset]: [F; 3], rate: F) -> [F; 3] {
        [rate - y, C::slope(isa, y) - (x + offset), rate - y]
    }
}

impl<C: Constant> SecondDerivatives<3> for PoissonOffset<C> {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, _x: [F; 3], rate: F) -> F {
        rate
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 3], _rate: F) -> F {
        F::INFINITY
    }
}
