//! −log p of one observation under each distribution: one branch-free formula each, in f32 or f64.
//!
//! Each `value` reads like its line in `reference.py`, given the exponential or logarithm `inner`. The first
//! input is what is differentiated.

use crate::elementwise::Elementwise;
use crate::formula::finite;
use nll_simd::math::{
    exp, exp_nonpositive, exp_scaled, log, log_normal, log_of_outcome, log_of_quotient, log_of_sum,
    log1p_unit, mul_exp,
};
use nll_simd::{Isa, Real, two_sum_error};

/// e^−|x|: both softplus and both sigmoids of ±x are made of it.   ±∞ → 0, NaN → NaN.
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

/// log(1 + e^x).
#[derive(Clone, Copy)]
pub struct Softplus;

impl Elementwise<1> for Softplus {
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x]: [F; 1]) -> F {
        exp_neg_abs(isa, x)
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x]: [F; 1], exp_neg_abs: F) -> F {
        softplus(isa, x, exp_neg_abs)
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [x]: [F; 1], exp_neg_abs: F) -> [F; 2] {
        let (up, down) = sigmoids(x, exp_neg_abs);
        [up, up * down]
    }
}

/// log σ(x) = −log(1 + e^−x).   −∞ → −∞, +∞ → 0.
#[derive(Clone, Copy)]
pub struct LogSigmoid;

impl Elementwise<1> for LogSigmoid {
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x]: [F; 1]) -> F {
        exp_neg_abs(isa, x)
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x]: [F; 1], exp_neg_abs: F) -> F {
        F::ZERO - softplus(isa, -x, exp_neg_abs)
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [x]: [F; 1], exp_neg_abs: F) -> [F; 2] {
        let (up, down) = sigmoids(x, exp_neg_abs);
        [down, -(up * down)]
    }
}

/// Bernoulli, from the logit x, the label y and the weight w of the positive label:
/// w·y·softplus(−x) + (1 − y)·softplus(x).   A label that x is sure of (x = ±∞) costs 0.
///
/// softplus(±x) = max(±x, 0) + log(1 + e^−|x|), so |x| is paid by one of the two labels only.
#[derive(Clone, Copy)]
pub struct WeightedBernoulliLogit;

impl Elementwise<3> for WeightedBernoulliLogit {
    /// e^−|x|·2^lift: a subnormal e^−|x| has few digits, and a weight would show it.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _, _]: [F; 3]) -> F {
        exp_scaled(isa, -x.abs())
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y, w]: [F; 3], lifted: F) -> F {
        let (positive, negative) = (w * y, F::ONE - y);
        let wrong = if x < F::ZERO { positive } else { negative };
        let size = if wrong == F::ZERO { F::ZERO } else { x.abs() };
        // Their sum in two words: three roundings more would make it 2.2 ulp.
        let both = positive + negative;
        let lost = isa.two_prod_error(w, y, positive) - (y - (F::ONE - negative));
        let lost = finite(two_sum_error(positive, negative, both) + lost);
        let exp_neg_abs = lifted * F::EXP_UNSCALE;
        // log(1 + z) is z there.
        let tiny = exp_neg_abs < F::EXP_UNSCALE;
        let log = if tiny { lifted } else { log1p_unit(isa, exp_neg_abs) };
        let part = isa.mul_add(both, log, lost * log);
        isa.mul_add(wrong, size, if tiny { part * F::EXP_UNSCALE } else { part })
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [x, y, w]: [F; 3], lifted: F) -> [F; 2] {
        let (positive, negative) = (w * y, F::ONE - y);
        let (up, down) = sigmoids(x, lifted * F::EXP_UNSCALE);
        [negative * up - positive * down, (positive + negative) * (up * down)]
    }
    #[inline(always)]
    fn hessian_bound<F: Real>(self, [_, y, w]: [F; 3]) -> F {
        (w * y + (F::ONE - y)) * (F::HALF * F::HALF)
    }
}

/// Bernoulli without a weight of the positive label, w = 1: max(x, 0) − x·y + log(1 + e^−|x|).
#[derive(Clone, Copy)]
pub struct BernoulliLogit;

impl Elementwise<2> for BernoulliLogit {
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _]: [F; 2]) -> F {
        exp_neg_abs(isa, x)
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], exp_neg_abs: F) -> F {
        isa.minus_product(clamp_min(x, F::ZERO), x, y) + log1p_unit(isa, exp_neg_abs)
    }

    const HAS_LIMIT: bool = true;

    /// x = ±∞ costs its label nothing, the other ∞.
    #[inline(always)]
    fn limit<F: Real>(self, [x, y]: [F; 2]) -> F {
        let wrong = if x < F::ZERO { y } else { F::ONE - y };
        if x.is_nan() { x } else { mul_or_zero(wrong, x.abs()) }
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [x, y]: [F; 2], exp_neg_abs: F) -> [F; 2] {
        let (up, down) = sigmoids(x, exp_neg_abs);
        [(F::ONE - y) * up - y * down, up * down]
    }
    #[inline(always)]
    fn hessian_bound<F: Real>(self, _x: [F; 2]) -> F {
        F::HALF * F::HALF
    }
}

/// Bernoulli, from the probability p: −y·log p − (1 − y)·log(1 − p), each logarithm at least `floor`, p
/// first clipped to [`margin`, 1 − `margin`] if `CLIP`.
#[derive(Clone, Copy)]
pub struct Bernoulli<const CLIP: bool> {
    /// torch: −100; −∞ for none.
    pub floor: f64,
    /// scikit-learn: the machine epsilon; 0 for none.
    pub margin: f64,
}

impl<const CLIP: bool> Bernoulli<CLIP> {
    /// p within the margins.
    #[inline(always)]
    fn clipped<F: Real>(self, p: F) -> F {
        if !CLIP {
            return p;
        }
        let margin = F::from_f64(self.margin);
        -clamp_min(-clamp_min(p, margin), margin - F::ONE)
    }
}

impl<const CLIP: bool> Elementwise<2> for Bernoulli<CLIP> {
    /// log p
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [p, _]: [F; 2]) -> F {
        log_of_outcome(isa, self.clipped(p), true)
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [p, y]: [F; 2], log_p: F) -> F {
        let floor = F::from_f64(self.floor);
        let positive = clamp_min(log_p, floor);
        let negative = clamp_min(log_of_outcome(isa, self.clipped(p), false), floor);
        let no = F::ONE - y;
        let mut negative_part = mul_or_zero(no, negative);
        if F::COMPENSATED {
            // What rounding takes from 1 − y is put back: it would make it 2.05 ulp (in f32 it is 1.5).
            let lost = finite(((F::ONE - no) - y) * negative);
            negative_part = if no == F::ZERO { F::ZERO } else { isa.mul_add(no, negative, lost) };
        }
        F::ZERO - (mul_or_zero(y, positive) + negative_part)
    }

    const SHORT: bool = true;

    /// A label of 0 or 1 needs one of the logarithms.
    #[inline(always)]
    fn allows_short<F: Real>([_, y]: [F; 2]) -> bool {
        (y == F::ZERO) | (y == F::ONE)
    }
    #[inline(always)]
    fn short<S: Isa, F: Real>(self, isa: S, [p, y]: [F; 2]) -> F {
        let log = log_of_outcome(isa, self.clipped(p), y == F::ONE);
        F::ZERO - clamp_min(log, F::from_f64(self.floor))
    }
}

/// Gaussian, from mean μ, observation y and variance v: ½·(log v + (y − μ)²/v) + constant.
/// v is at least `eps`.   v = +∞ → +∞, v = NaN → NaN.   The third input is v or, if `LOG`, log v. `NORMAL` says
/// that `eps` is a normal float32 number, as it nearly always is.
#[derive(Clone, Copy)]
pub struct Gaussian<const LOG: bool, const NORMAL: bool> {
    /// What v is at least.
    pub eps: f64,
    /// ½·log 2π, or 0.
    pub constant: f64,
}

impl<const LOG: bool, const NORMAL: bool> Gaussian<LOG, NORMAL> {
    /// v, or log v as it is.
    #[inline(always)]
    fn spread<F: Real>(self, third: F) -> F {
        if LOG { third } else { clamp_min(third, F::from_f64(self.eps)) }
    }
}

impl<const LOG: bool, const NORMAL: bool> Elementwise<3> for Gaussian<LOG, NORMAL> {
    /// log v, or 1/v if `LOG`.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, _, third]: [F; 3]) -> F {
        match (LOG, NORMAL) {
            (true, _) => exp(isa, -third),
            (false, true) => log_normal(isa, self.spread(third)),
            (false, false) => log(isa, self.spread(third)),
        }
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [mean, y, third]: [F; 3], inner: F) -> F {
        let (d, spread) = (y - mean, self.spread(third));
        // d·(d/v), not d²/v: d² may be out of range where the quotient is not.
        let half = F::HALF * d;
        let scaled = if LOG { mul_exp(isa, half, [-third, F::ZERO]) } else { d / spread };
        let log_variance = if LOG { F::HALF * third } else { inner };
        // (d + lost)² to first order: both factors are d, whose rounding would count twice.
        let lost = two_sum_error(y, -mean, d);
        let rest = isa.mul_add(lost + lost, scaled, log_variance);
        let rest = if rest.abs() < F::INFINITY { rest } else { log_variance };
        let sum = isa.mul_add(d, scaled, rest);
        (if LOG { sum } else { F::HALF * sum }) + F::from_f64(self.constant)
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [mean, y, third]: [F; 3], inner: F) -> [F; 2] {
        let precision = if LOG { inner } else { F::ONE / self.spread(third) };
        [(mean - y) * precision, precision]
    }
}

/// (y − μ)²: Gaussian with v = ½, but for a constant.
#[derive(Clone, Copy)]
pub struct SquaredError;

impl Elementwise<2> for SquaredError {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [mean, y]: [F; 2], _inner: F) -> F {
        (y - mean) * (y - mean)
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [mean, y]: [F; 2], _inner: F) -> [F; 2] {
        [(mean - y) + (mean - y), F::ONE + F::ONE]
    }
}

/// Poisson, from x = log λ or x = λ, and the count y: λ − y·log λ, with y·log λ = 0 where y = 0; with
/// Stirling's log y! ≈ y·log y − y + ½·log 2πy for y > 1 if `FULL`. The first input is log λ if `LOG`.
#[derive(Clone, Copy)]
pub struct Poisson<const LOG: bool, const FULL: bool> {
    /// Added to λ in the logarithm, if x is λ.
    pub eps: f64,
}

impl<const LOG: bool, const FULL: bool> Elementwise<2> for Poisson<LOG, FULL> {
    /// λ, or log(λ + ε) if the first input is λ.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _]: [F; 2]) -> F {
        if LOG { exp(isa, x) } else { log_of_sum(isa, x, F::from_f64(self.eps)) }
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], inner: F) -> F {
        let (rate, log_rate) = if LOG { (inner, x) } else { (x, inner) };
        let loss = rate - mul_or_zero(y, log_rate);
        if !FULL {
            return loss;
        }
        let two_pi = F::from_f64(core::f64::consts::TAU);
        let stirling = y * log(isa, y) - y + F::HALF * log(isa, two_pi * y);
        if y > F::ONE { loss + stirling } else { loss }
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, [x, y]: [F; 2], inner: F) -> [F; 2] {
        if LOG {
            return [inner - y, inner];
        }
        let rate = x + F::from_f64(self.eps);
        [F::ONE - y / rate, y / rate / rate]
    }
}

/// −p·log p.   0 → 0, p < 0 → −∞, NaN → NaN.
#[derive(Clone, Copy)]
pub struct Entropy;

impl Elementwise<1> for Entropy {
    /// log p
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [p]: [F; 1]) -> F {
        log(isa, p)
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [p]: [F; 1], log_p: F) -> F {
        let value = F::ZERO - mul_or_zero(p, log_p);
        if p < F::ZERO { F::NEG_INFINITY } else { value }
    }
}

/// p·log(p/q).   p = 0 ≤ q → 0, p > 0 = q → +∞, p < 0 or q < 0 → +∞, NaN → NaN.
#[derive(Clone, Copy)]
pub struct RelativeEntropy;

impl Elementwise<2> for RelativeEntropy {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [p, q]: [F; 2], _inner: F) -> F {
        let ratio = p / q;
        let apart = log(isa, p) - log(isa, q);
        let in_range = ratio >= F::LEAST_NORMAL && ratio < F::INFINITY;
        let value =
            mul_or_zero(p, if in_range { log_of_quotient(isa, ratio, p, q) } else { apart });
        let value = if p < F::ZERO || q < F::ZERO { F::INFINITY } else { value };
        if p.is_nan() || q.is_nan() { F::NAN } else { value }
    }
}

/// p·(log p − x) from x = log q and p, or from log p: torch's `kl_div`, element by element.   p = 0 → 0.
/// The second input is p or, if `LOG`, log p.
#[derive(Clone, Copy)]
pub struct KlDiv<const LOG: bool>;

impl<const LOG: bool> Elementwise<2> for KlDiv<LOG> {
    /// log p.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, target]: [F; 2]) -> F {
        if LOG { target } else { log(isa, target) }
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, target]: [F; 2], inner: F) -> F {
        let d = inner - x;
        if LOG {
            // p may be out of range where the product is not.
            let value = mul_exp(isa, d, [target, F::ZERO]);
            return if target == F::NEG_INFINITY { F::ZERO } else { value };
        }
        if !F::COMPENSATED {
            return mul_or_zero(target, d);
        }
        let lost = finite(target * two_sum_error(inner, -x, d));
        if target == F::ZERO { F::ZERO } else { isa.mul_add(target, d, lost) }
    }
}
