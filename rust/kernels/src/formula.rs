//! One branch-free scalar function per formula. Each reads like its line in `reference.py`.

use nll_simd::math::{LN_2_HI, LN_2_LO, exp, horner, log, log1p, times_exp};
use nll_simd::{Isa, Level, Real, two_sum_error};

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
    let loss = log_one_plus_scaled_exp(isa, rest.sum, gap(rest, x_t));
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
pub fn log_one_plus_scaled_exp<S: Isa>(isa: S, s: f64, [d, d_lost]: [f64; 2]) -> f64 {
    let d_lost = if d_lost.is_nan() { 0.0 } else { d_lost };
    let above = d > 0.0;
    let scale = if above { 1.0 } else { s };
    let e = times_exp(isa, scale, if above { [-d, -d_lost] } else { [d, d_lost] });
    let part = log1p(isa, if above { (s - 1.0) + e } else { e });
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

/// x, but 0 if it is infinite or NaN: what rounding takes from an infinite sum.
#[inline(always)]
pub fn finite<F: Real>(x: F) -> F {
    if x.abs() < F::INFINITY { x } else { F::ZERO }
}

/// e^x in units of `unit`, whose sum is 1.
#[inline(always)]
pub fn term<S: Isa>(isa: S, unit: Scaled, x: f64) -> f64 {
    let [d, d_lost] = gap(unit, x);
    times_exp(isa, 1.0, [-d, -d_lost])
}

/// A class's part in a divergence, `[q − p + p·log(p/q), q − p]` with d = log q − log p.
/// p = 0 → q, p > 0 = q → +∞, both 0 → 0, NaN → NaN.
///
/// Near each other, p·(e^d − 1 − d) and p·(e^d − 1): the differences would cancel. At 2 they lose a bit.
#[inline(always)]
pub fn divergence_parts<S: Isa, F: Real>(isa: S, p: f64, q: f64, d: f64) -> [f64; 2] {
    let bend = (p * d * d) * horner(isa, F::BEND, d);
    let slope = if p == 0.0 { 0.0 } else { p * d };
    let near = d.abs() < 2.0;
    let rise = if near { slope + bend } else { q - p };
    let apart = if d == f64::NEG_INFINITY { f64::INFINITY } else { rise - slope };
    [if near { bend } else { apart }, rise]
}

/// e^x − 1, all digits kept where x is small.   −∞ → −1, +∞ → +∞, NaN → NaN.
#[inline(always)]
pub fn exp_minus_one<S: Isa>(isa: S, x: f64) -> f64 {
    if x.abs() < 0.5 { x * x * horner(isa, f64::BEND, x) + x } else { exp(isa, x) - 1.0 }
}

/// e^x of one x: perplexity from a mean, by the same text as everything else.
pub fn perplexity(level: Level, x: f64) -> f64 {
    struct Exp(f64);
    impl nll_simd::Kernel for Exp {
        type Output = f64;
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> f64 {
            exp(isa, self.0)
        }
    }
    level.run(Exp(x))
}
