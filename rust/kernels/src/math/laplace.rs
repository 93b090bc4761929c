//! The Laplace distribution of a real number.

use crate::math::density::{Density, Derivatives, SecondDerivatives, clamp_min};
use nll_simd::math::{exp, log, mul_exp};
use nll_simd::{Isa, Real};

/// Laplace, from mean μ, observation y and scale b: log 2b + |y − μ|/b. b is at least `eps`.
/// b = +∞ → +∞ unless |y − μ| is infinite too, any NaN → NaN.
#[derive(Clone, Copy)]
pub struct Laplace {
    /// The least scale.
    pub eps: f64,
}

impl Density<3> for Laplace {
    /// log 2b. A large b is not doubled: that might overflow.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, b]: [F; 3]) -> F {
        let b = clamp_min(b, F::from_f64(self.eps));
        let (b, rest) = if b > F::ONE { (b, F::LN_2) } else { (b + b, F::ZERO) };
        log(isa, b) + rest
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [mean, y, b]: [F; 3], log_2b: F) -> F {
        log_2b + (y - mean).abs() / clamp_min(b, F::from_f64(self.eps))
    }
}

impl Derivatives<3> for Laplace {
    /// By b: (1 − |y − μ|/b)/b, also where b counts as `eps`.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, _isa: S, [mean, y, b]: [F; 3], _log_2b: F) -> [F; 3] {
        let b = clamp_min(b, F::from_f64(self.eps));
        let (inverse, d) = (F::ONE / b, mean - y);
        let by_mean = slope(d, inverse);
        [by_mean, -by_mean, (F::ONE - d.abs() / b) / b]
    }
}

impl SecondDerivatives<3> for Laplace {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, [mean, y, b]: [F; 3], _log_2b: F) -> F {
        flat(slope(mean - y, b))
    }

    /// 1/(b·|y − μ|), of the parabola that touches the loss here and lies above it everywhere.
    #[inline(always)]
    fn bound<F: Real>(self, [mean, y, b]: [F; 3], _log_2b: F) -> F {
        F::ONE / clamp_min(b, F::from_f64(self.eps)) / (y - mean).abs()
    }
}

/// Laplace, from mean μ, observation y and the logarithm l of the scale: log 2 + l + |y − μ|·e^−l.
/// l = +∞ → +∞, l = −∞ → −∞ at y = μ and else NaN, |y − μ| = ∞ → +∞, any NaN → NaN.
#[derive(Clone, Copy)]
pub struct LaplaceLogScale;

impl Density<3> for LaplaceLogScale {
    /// 1/b
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, log_b]: [F; 3]) -> F {
        exp(isa, -log_b)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [mean, y, log_b]: [F; 3], inverse: F) -> F {
        let (log_2b, d) = ((F::LN_2 + log_b) + F::from_f64(F::LN_2_REST), (y - mean).abs());
        let scaled = mul_exp(isa, d, [-log_b, F::ZERO]);
        log_2b + if d < F::INFINITY { scaled } else { d * inverse }
    }
}

impl Derivatives<3> for LaplaceLogScale {
    /// By l: 1 − |y − μ|·e^−l.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [mean, y, log_b]: [F; 3], inverse: F) -> [F; 3] {
        let d = mean - y;
        let by_mean = slope(d, inverse);
        [by_mean, -by_mean, F::ONE - mul_exp(isa, d.abs(), [-log_b, F::ZERO])]
    }
}

impl SecondDerivatives<3> for LaplaceLogScale {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, [mean, y, _]: [F; 3], inverse: F) -> F {
        flat(slope(mean - y, inverse))
    }

    #[inline(always)]
    fn bound<F: Real>(self, [mean, y, _]: [F; 3], inverse: F) -> F {
        inverse / (y - mean).abs()
    }
}

/// The derivative of |d|/b by d, from d and 1/b. d = 0 → 0 whatever b, any NaN → NaN.
#[inline(always)]
fn slope<F: Real>(d: F, inverse: F) -> F {
    let at_zero = if inverse.is_nan() { inverse } else { d };
    let below = if d < F::ZERO { -inverse } else { at_zero };
    if d > F::ZERO { inverse } else { below }
}

/// The slope of a line: 0, NaN where the line's own is.
#[inline(always)]
fn flat<F: Real>(slope: F) -> F {
    if slope.is_nan() { slope } else { F::ZERO }
}
