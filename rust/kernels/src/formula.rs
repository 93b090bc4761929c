//! One branch-free scalar function per formula. Each reads like its line in `reference.py`.

use nll_simd::math::{LN_2_HI, LN_2_LO, exp, horner, log, log1p};
use nll_simd::{Isa, Real, two_sum_error};

/// Σ e^x over some classes, as `sum · 2^exponent · e^center`, so that it neither over- nor underflows.
#[derive(Clone, Copy, Debug)]
pub struct Scaled {
    /// An exponent of e: 0 but for the logits too large for `exponent`, and for what rounding ln 2 took.
    pub center: f64,
    /// A whole number.
    pub exponent: f64,
    /// 0 for no classes (or only −∞), else at least 0.7: log(sum) and sum − 1 keep their digits.
    pub sum: f64,
}

/// log Σ e^x = center + exponent · ln 2 + log sum.   No classes → −∞, NaN → NaN.
#[inline(always)]
pub fn log_sum_exp<S: Isa>(isa: S, all: Scaled) -> f64 {
    (all.exponent * LN_2_HI + all.center) + (log(isa, all.sum) + all.exponent * LN_2_LO)
}

/// −log softmax(x)_t = log(1 + Σ_{j≠t} e^{x_j} / e^{x_t}): the target against the rest.
///
/// The rest all −∞: 0 if x_t is finite, NaN if not.   x_t = −∞ → +∞.   x_t = +∞, +∞ in the rest, NaN → NaN.
#[inline(always)]
pub fn target_against_rest<S: Isa>(isa: S, rest: Scaled, x_t: f64) -> f64 {
    let [d, d_lost] = gap(rest, x_t);
    let loss = log_one_plus_scaled_exp(isa, rest.sum, d, d_lost);
    let alone = if x_t.is_finite() { 0.0 } else { f64::NAN };
    if rest.sum == 0.0 || x_t == f64::INFINITY { alone } else { loss }
}

/// center + exponent·ln 2 − x_t in two words: its exponential is to keep every digit where it is large.
#[inline(always)]
fn gap(all: Scaled, x_t: f64) -> [f64; 2] {
    let gap = all.center - x_t;
    let gap_lost = two_sum_error(all.center, -x_t, gap);
    let (scale, scale_rest) = (all.exponent * LN_2_HI, all.exponent * LN_2_LO);
    let high = scale + gap;
    let d = high + scale_rest;
    [d, two_sum_error(high, scale_rest, d) + (two_sum_error(scale, gap, high) + gap_lost)]
}

/// log(1 + s·e^d), d in two words; softplus(d) where s = 1.   d = −∞ → 0, d = +∞ → +∞, NaN → NaN.
///
/// For d ≤ 0 as log1p(s·e^d), which keeps its digits as it goes to 0; for d > 0 as
/// d + log1p(s − 1 + e^−d), which cannot overflow.
#[inline(always)]
pub fn log_one_plus_scaled_exp<S: Isa>(isa: S, s: f64, d: f64, d_lost: f64) -> f64 {
    let d_lost = if d_lost.is_nan() { 0.0 } else { d_lost };
    let above = d > 0.0;
    let e = exp(isa, if above { -d } else { d });
    let e = e + e * if above { -d_lost } else { d_lost };
    let z = if above { (s - 1.0) + e } else { s * e };
    let part = log1p(isa, z);
    if above { d + (part + d_lost) } else { part }
}

/// (1 − ε)·w_t·loss + ε/C · Σ_c w_c·(−log softmax(x)_c), torch's label smoothing.   Any −∞ logit with a
/// weight → +∞.
///
/// The sum is `weights·(lse − shift) − linear` with lse − shift = (x_t − shift) + loss and
/// `linear = Σ_c w_c·(x_c − shift)`.
#[inline(always)]
pub fn smoothed(loss: f64, target_weight: f64, target_gap: f64, smoothing: Smoothing) -> f64 {
    let Smoothing { epsilon, classes, weights, linear } = smoothing;
    let uniform = weights * (target_gap + loss) - linear;
    let uniform =
        if linear == f64::NEG_INFINITY && !loss.is_nan() { f64::INFINITY } else { uniform };
    let sharp = if epsilon == 1.0 { 0.0 } else { (1.0 - epsilon) * target_weight * loss };
    sharp + epsilon / classes * uniform
}

/// What [`smoothed`] needs beside the row's own loss.
#[derive(Clone, Copy, Debug)]
pub struct Smoothing {
    /// ε
    pub epsilon: f64,
    /// C
    pub classes: f64,
    /// Σ_c w_c
    pub weights: f64,
    /// Σ_c w_c·(x_c − shift)
    pub linear: f64,
}

/// −log p.   0 → +∞, 1 → 0, NaN → NaN.
#[inline(always)]
pub fn probability<S: Isa>(isa: S, p: f64) -> f64 {
    0.0 - log(isa, p)
}

/// −log p from log p.   0 → 0 (never −0), −∞ → +∞, NaN → NaN.
#[inline(always)]
pub fn log_probability(log_p: f64) -> f64 {
    0.0 - log_p
}

/// Σ e^x / e^{x_t}, for sums that are not larger than 2^1000 such terms.
#[inline(always)]
pub fn ratio<S: Isa>(isa: S, all: Scaled, x_t: f64) -> f64 {
    let [d, d_lost] = gap(all, x_t);
    let e = exp(isa, d);
    all.sum * (e + e * d_lost)
}

/// p·(log p − log q) + q − p = p·(e^d − 1 − d) with d = log q − log p. The added terms sum to 0 over a
/// distribution, and make every term positive: no divergence comes out below 0, and equal ones as 0.
/// p = 0 → q, p > 0 = q → +∞, both 0 → 0, NaN → NaN.
#[inline(always)]
pub fn divergence_term<S: Isa>(isa: S, log_p: f64, log_q: f64) -> f64 {
    let (p, q) = (exp(isa, log_p), exp(isa, log_q));
    let d = log_q - log_p;
    // Far apart, e^d may overflow where q does not.
    let value = if d > 1.0 { q - p - p * d } else { p * exp_bend(isa, d) };
    if log_p == f64::NEG_INFINITY { q } else { value }
}

/// e^d − 1 − d, ≥ 0.   −∞ → +∞, NaN → NaN.
#[inline(always)]
pub fn exp_bend<S: Isa, F: Real>(isa: S, d: F) -> F {
    // The series from d² on, where e^d − 1 − d would cancel; at 2 it loses less than a bit.
    let series = d * d * horner(isa, F::BEND, d);
    if d.abs() < F::ONE + F::ONE { series } else { exp(isa, d) - F::ONE - d }
}

/// e^x − 1, all digits kept where x is small.   −∞ → −1, +∞ → +∞, NaN → NaN.
#[inline(always)]
pub fn exp_minus_one<S: Isa>(isa: S, x: f64) -> f64 {
    if x.abs() < 0.5 { exp_bend(isa, x) + x } else { exp(isa, x) - 1.0 }
}
