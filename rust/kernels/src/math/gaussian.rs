//! The Gaussian distribution of a real number.

use crate::math::density::{Density, Derivatives, clamp_min};
use nll_simd::math::{exp, log, log_normal, mul_exp};
use nll_simd::{Isa, Real, two_sum_error};

/// Gaussian, from mean μ, observation y and variance v: ½·(log v + (y − μ)²/v) + constant. v is at
/// least `eps`.   v = +∞ → +∞, v = NaN → NaN. `NORMAL` says that `eps` is a normal float32 number,
/// as it nearly always is: the logarithm is cheaper then. The third input is v or, with `SIGMA`,
/// its root.
#[derive(Clone, Copy)]
pub struct Gaussian<const NORMAL: bool, const SIGMA: bool> {
    /// The least variance.
    pub eps: f64,
    /// ½·log 2π, or 0.
    pub constant: f64,
}

impl<const NORMAL: bool, const SIGMA: bool> Gaussian<NORMAL, SIGMA> {
    /// v, from the third input.
    #[inline(always)]
    fn variance<F: Real>(self, third: F) -> F {
        clamp_min(if SIGMA { third * third } else { third }, F::from_f64(self.eps))
    }
}

impl<const NORMAL: bool, const SIGMA: bool> Density<3> for Gaussian<NORMAL, SIGMA> {
    /// log v
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, v]: [F; 3]) -> F {
        let v = self.variance(v);
        if NORMAL { log_normal(isa, v) } else { log(isa, v) }
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [mean, y, v]: [F; 3], log_v: F) -> F {
        let d = y - mean;
        // d·(d/v), not d²/v: d² may overflow or underflow where the quotient does not.
        let sum = square_plus(isa, [mean, y], d, d / self.variance(v), log_v);
        F::HALF * sum + F::from_f64(self.constant)
    }
}

impl<const NORMAL: bool, const SIGMA: bool> Derivatives<3> for Gaussian<NORMAL, SIGMA> {
    #[inline(always)]
    fn derivatives<F: Real>(self, [mean, y, v]: [F; 3], _log_v: F) -> [F; 2] {
        let precision = F::ONE / self.variance(v);
        [(mean - y) * precision, precision]
    }

    #[inline(always)]
    fn hessian_bound<F: Real>(self, x: [F; 3], inner: F) -> F {
        self.derivatives(x, inner)[1]
    }
}

/// Gaussian, from mean μ, observation y and the logarithm l of the variance:
/// ½·(l + (y − μ)²·e^−l) + constant.
#[derive(Clone, Copy)]
pub struct GaussianLogVar {
    /// ½·log 2π, or 0.
    pub constant: f64,
}

impl Density<3> for GaussianLogVar {
    /// 1/v
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, log_v]: [F; 3]) -> F {
        exp(isa, -log_v)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [mean, y, log_v]: [F; 3], _precision: F) -> F {
        let d = y - mean;
        let half_scaled = mul_exp(isa, F::HALF * d, [-log_v, F::ZERO]);
        square_plus(isa, [mean, y], d, half_scaled, F::HALF * log_v) + F::from_f64(self.constant)
    }
}

impl Derivatives<3> for GaussianLogVar {
    #[inline(always)]
    fn derivatives<F: Real>(self, [mean, y, _]: [F; 3], precision: F) -> [F; 2] {
        [(mean - y) * precision, precision]
    }

    #[inline(always)]
    fn hessian_bound<F: Real>(self, x: [F; 3], inner: F) -> F {
        self.derivatives(x, inner)[1]
    }
}

/// (y − μ)·`scaled` + `rest`, where d is y − μ rounded and `scaled` is a multiple of d.
#[inline(always)]
fn square_plus<S: Isa, F: Real>(isa: S, [mean, y]: [F; 2], d: F, scaled: F, rest: F) -> F {
    // (d + lost)² to first order in `lost`: d is in both factors, so its error would count twice.
    let lost = two_sum_error(y, -mean, d);
    let sum = isa.mul_add(lost + lost, scaled, rest);
    isa.mul_add(d, scaled, if sum.abs() < F::INFINITY { sum } else { rest })
}

/// (y − μ)²: the Gaussian with v = ½, without its constant.
#[derive(Clone, Copy)]
pub struct SquaredError;

impl Density<2> for SquaredError {
    const INNER: bool = false;
    const IS_SHORT: bool = true;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [mean, y]: [F; 2], _inner: F) -> F {
        (y - mean) * (y - mean)
    }
}

impl Derivatives<2> for SquaredError {
    #[inline(always)]
    fn derivatives<F: Real>(self, [mean, y]: [F; 2], _inner: F) -> [F; 2] {
        [(mean - y) + (mean - y), F::ONE + F::ONE]
    }

    #[inline(always)]
    fn hessian_bound<F: Real>(self, x: [F; 2], inner: F) -> F {
        self.derivatives(x, inner)[1]
    }
}
