//! The Gaussian distribution of a real number.

use crate::math::density::{Density, Derivatives, SecondDerivatives, clamp_min};
use crate::math::row::finite;
use nll_simd::math::{exp, log, log_normal, mul_exp, power_of_two, share_exp};
use nll_simd::{Isa, Real, two_sum_error};

/// Gaussian, from mean μ, observation y and variance v: ½·(log v + (y − μ)²/v) + constant. v is at
/// least `eps`.   v = +∞ → +∞, v = NaN → NaN. `NORMAL` says that `eps` is a normal float32 number,
/// as it nearly always is: the logarithm is cheaper then.
#[derive(Clone, Copy)]
pub struct Gaussian<const NORMAL: bool> {
    /// The least variance.
    pub eps: f64,
    /// ½·log 2π, or 0.
    pub constant: f64,
}

impl<const NORMAL: bool> Gaussian<NORMAL> {
    #[inline(always)]
    fn variance<F: Real>(self, v: F) -> F {
        clamp_min(v, F::from_f64(self.eps))
    }
}

impl<const NORMAL: bool> Density<3> for Gaussian<NORMAL> {
    /// log v
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, v]: [F; 3]) -> F {
        let v = self.variance(v);
        if NORMAL { log_normal(isa, v) } else { log(isa, v) }
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [mean, y, v]: [F; 3], log_v: F) -> F {
        let (d, v) = (difference(y, mean), self.variance(v));
        // Nor does d/v overflow where d²/v does not, if v is a normal number.
        let (d, v) = if NORMAL { (d, v) } else { in_range(d, v) };
        // d·(d/v), not d²/v: d² may overflow or underflow where the quotient does not.
        let half_scaled = F::HALF * (d[0] / v);
        square_plus(isa, d, half_scaled, F::HALF * log_v) + F::from_f64(self.constant)
    }
}

impl<const NORMAL: bool> Derivatives<3> for Gaussian<NORMAL> {
    /// By v: ½·(1 − (y − μ)²/v)/v, also where v counts as `eps`: 0 there would keep v from growing.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [mean, y, v]: [F; 3], _log_v: F) -> [F; 3] {
        let (v, d) = (self.variance(v), difference(mean, y));
        let by_mean = d[0] / v;
        let rest = isa.minus_product(d[0], by_mean, v) / v;
        [by_mean, -by_mean, F::HALF * one_minus(isa, d, [by_mean, rest]) / v]
    }
}

impl<const NORMAL: bool> SecondDerivatives<3> for Gaussian<NORMAL> {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, [_, _, v]: [F; 3], _log_v: F) -> F {
        F::ONE / self.variance(v)
    }

    #[inline(always)]
    fn bound<F: Real>(self, [_, _, v]: [F; 3], _log_v: F) -> F {
        F::ONE / self.variance(v)
    }
}

/// Gaussian, from mean μ, observation y and standard deviation σ: log σ + ½·((y − μ)/σ)² +
/// constant.   σ = +∞ → +∞, σ = 0 → −∞ at y = μ and else +∞, σ = NaN → NaN.
#[derive(Clone, Copy)]
pub struct GaussianSigma {
    /// ½·log 2π, or 0.
    pub constant: f64,
}

impl Density<3> for GaussianSigma {
    /// log σ
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, sigma]: [F; 3]) -> F {
        log(isa, sigma)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [mean, y, sigma]: [F; 3], log_sigma: F) -> F {
        let d = y - mean;
        let lost = finite(two_sum_error(y, -mean, d));
        // z is in both factors of z², so its error would count twice.
        let z = over(d, sigma);
        let rest = finite(isa.minus_product(d, z, sigma) + lost) / sigma;
        let sum = isa.mul_add(F::HALF * z, z, finite(z * finite(rest)));
        let value = if sum < F::INFINITY { log_sigma + sum } else { sum };
        value + F::from_f64(self.constant)
    }
}

impl Derivatives<3> for GaussianSigma {
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [mean, y, sigma]: [F; 3], _: F) -> [F; 3] {
        let d = mean - y;
        let z = over(d, sigma);
        let by_mean = over(z, sigma);
        let lost = finite(two_sum_error(mean, -y, d));
        let rest = finite(finite(isa.minus_product(d, z, sigma) + lost) / sigma);
        let square = isa.mul_add(-z, z, F::ONE) - finite((z + z) * rest);
        [by_mean, -by_mean, square / sigma]
    }
}

impl SecondDerivatives<3> for GaussianSigma {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, [_, _, sigma]: [F; 3], _log_sigma: F) -> F {
        F::ONE / sigma / sigma
    }

    #[inline(always)]
    fn bound<F: Real>(self, [_, _, sigma]: [F; 3], _log_sigma: F) -> F {
        F::ONE / sigma / sigma
    }
}

/// d/σ, but 0 at d = σ = 0: nothing is far from itself.
#[inline(always)]
fn over<F: Real>(d: F, sigma: F) -> F {
    if (d == F::ZERO) & (sigma == F::ZERO) { F::ZERO } else { d / sigma }
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
        let d = difference(y, mean);
        // d·e^−l may overflow where its product with d does not: each takes a root of e^−l.
        let [root, lost, scaled] = share_exp(isa, d, d[0], -log_v);
        let half_square = square_plus(isa, [root, lost], F::HALF * scaled, F::HALF * log_v);
        half_square + F::from_f64(self.constant)
    }
}

impl Derivatives<3> for GaussianLogVar {
    /// By μ: (μ − y)·e^−l, in one product: e^−l alone may overflow, or lose its digits.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, [mean, y, log_v]: [F; 3], precision: F) -> [F; 3] {
        let d = mean - y;
        let by_mean = mul_exp(isa, d, [-log_v, F::ZERO]);
        let by_mean = if d.abs() < F::INFINITY { by_mean } else { d * precision };
        let [root, lost, scaled] = share_exp(isa, difference(mean, y), d, -log_v);
        let scaled = if d.abs() < F::INFINITY { scaled } else { by_mean };
        [by_mean, -by_mean, F::HALF * one_minus(isa, [root, lost], [scaled, F::ZERO])]
    }
}

impl SecondDerivatives<3> for GaussianLogVar {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, _x: [F; 3], precision: F) -> F {
        precision
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 3], precision: F) -> F {
        precision
    }
}

/// a − b, and what rounding took from it.
#[inline(always)]
fn difference<F: Real>(a: F, b: F) -> [F; 2] {
    [a - b, two_sum_error(a, -b, a - b)]
}

/// d and v, or a power of two times d and its square times v, which have the same d²/v: d/v is then in
/// range where d²/v is.
#[inline(always)]
fn in_range<F: Real>([d, lost]: [F; 2], v: F) -> ([F; 2], F) {
    let power = F::BIAS / 2 - 1;
    let is_small = v < F::from_f64(power_of_two(-power));
    let scale = if is_small { F::from_f64(power_of_two(power)) } else { F::ONE };
    ([d * scale, lost * scale], v * scale * scale)
}

/// (d + `lost`)·`scaled` + `rest`, where `scaled` is a multiple of d.
#[inline(always)]
fn square_plus<S: Isa, F: Real>(isa: S, [d, lost]: [F; 2], scaled: F, rest: F) -> F {
    // (d + lost)² to first order in `lost`: d is in both factors, so its error would count twice.
    let sum = isa.mul_add(lost + lost, scaled, rest);
    isa.mul_add(d, scaled, if sum.abs() < F::INFINITY { sum } else { rest })
}

/// 1 − (d + `lost`)·(q + rest), where q + rest is a multiple of d.
#[inline(always)]
fn one_minus<S: Isa, F: Real>(isa: S, [d, lost]: [F; 2], [q, rest]: [F; 2]) -> F {
    // As in `square_plus`: the error of d counts twice.
    isa.mul_add(-d, q, F::ONE) - finite(isa.mul_add(lost + lost, q, d * rest))
}

/// (y − μ)²: the Gaussian with v = ½, without the terms that do not depend on μ.
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
    fn gradient<S: Isa, F: Real>(self, _isa: S, [mean, y]: [F; 2], _inner: F) -> [F; 2] {
        let by_mean = (mean - y) + (mean - y);
        [by_mean, -by_mean]
    }
}

impl SecondDerivatives<2> for SquaredError {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, _isa: S, _x: [F; 2], _inner: F) -> F {
        F::ONE + F::ONE
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 2], _inner: F) -> F {
        F::ONE + F::ONE
    }
}
