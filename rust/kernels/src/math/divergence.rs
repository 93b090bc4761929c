//! The divergence Σ p·(log p − log q) of two rows: the terms of a class, the value and the slopes.

use nll_simd::math::{horner, log1p};
use nll_simd::{Extended, Isa, Real};

/// The terms of one class, `q − p − p·d` and `p·d`, with d = log q − log p.
/// p = 0 → q, p > 0 = q → +∞, both 0 → 0, NaN → NaN.
///
/// For −1 < d < 3 the first is p·(e^d − 1 − d) = p·d²·`curve`, because the difference would cancel. For other d
/// the difference is at most 1.5 times as wrong as p and q: |q| + |p + p·d| ≤ 1.5·(q − p − p·d).
#[inline(always)]
pub fn terms<S: Isa, F: Real>(
    isa: S,
    p: f64,
    q: F::Extended,
    d: F::Extended,
    curve: F::Extended,
) -> [F::Extended; 2] {
    let x = d.rounded();
    let slope = F::Extended::new(p).mul(isa, if p == 0.0 { F::Extended::new(0.0) } else { d });
    let near = slope.mul(isa, d).mul(isa, curve);
    let far = q.add(F::Extended::new(-p)).add(slope.neg());
    let far = if x == f64::NEG_INFINITY { F::Extended::new(f64::INFINITY) } else { far };
    [if x > -1.0 && x < 3.0 { near } else { far }, slope]
}

/// (e^x − 1 − x)/x² for −1 < x < 3 as 1/2! + x/3! + x²·c, of which this is the last coefficient,
/// c = 1/4! + x/5! + …
#[inline(always)]
pub fn curve_tail<S: Isa, F: Real>(isa: S, x: f64) -> f64 {
    horner(isa, &F::EXPM1_TAIL[2..], x)
}

/// (e^x − 1 − x)/x² for −1 < x < 3, of its [`curve_tail`].
#[inline(always)]
pub fn curve<S: Isa, F: Real>(isa: S, tail: f64, x: f64) -> F::Extended {
    F::Extended::new(tail).mul_add(isa, x, F::EXPM1_TAIL[1]).mul_add(isa, x, F::EXPM1_TAIL[0])
}

/// The derivatives of the divergence of p from q by the logits of one class, −p·(d + divergence) and
/// q − p, with d = log q − log p.
///
/// Near d = 0 the second is p·(e^d − 1), because the difference would cancel.
#[inline(always)]
pub fn slopes<S: Isa, F: Real>(
    isa: S,
    p: f64,
    q: F::Extended,
    d: F::Extended,
    divergence: f64,
) -> [f64; 2] {
    let x = d.rounded();
    // (e^x − 1)/x = 1 + x/2! + x²/3! + …
    let rise = F::Extended::new(horner(isa, &F::EXPM1_TAIL[2..], x))
        .mul_add(isa, x, F::EXPM1_TAIL[1])
        .mul_add(isa, x, F::EXPM1_TAIL[0])
        .mul(isa, d)
        .add(F::Extended::new(1.0));
    let near = F::Extended::new(p).mul(isa, d).mul(isa, rise).rounded();
    let far = q.add(F::Extended::new(-p)).rounded();
    let by_p = if p == 0.0 { 0.0 } else { -p * (x + divergence) };
    [by_p, if x > -1.0 && x < 3.0 && p > 0.0 { near } else { far }]
}

/// [divergence of p from q, log(R/S)] by the definition, T/S + log(R/S), from S = Σ e^a, R = Σ e^b and T = Σ e^a·(a − b)
/// with a = x − x_m and b = y − y_m, and from S and R of the classes below the largest, s and r. The first is NaN where it may
/// lack digits of float32, or is not finite.
///
/// Let each exponential that matters be off by at most ε = 2^−48 of its size, but that of the largest, e^0, be exact. With w
/// the larger of 1 − 1/S and 1 − 1/R, what the largest class leaves of p or q, the logarithm is then off by at most 2ε·w and
/// T/S by ε·(2·divergence + 3w), because Σ p·|d| is at most the divergence and Σ |q − p|. R − S is r − s if both rows have one
/// largest class; where s and r are added by themselves, sums of float64 are off by 2^−50·w or so (where they are not,
/// [`Direct`](crate::fold::Direct) has a bound of its own). So of a divergence above 2^−20·w, what is lost is below the last
/// bit of float32. Two rows with a smaller one are nearly equal: relative to each other, their logits differ by about a
/// thousandth.
#[inline(always)]
pub fn direct<S: Isa>(isa: S, [p_sum, q_sum, products, p_rest, q_rest]: [f64; 5]) -> [f64; 2] {
    const LEAST_PART: f64 = 1.0 / 1_048_576.0;
    // Where all other classes of two rows with the same largest one count for nothing, all that they add is less than this.
    const NOTHING: f64 = 1e-280;
    let is_certain = (p_sum < 1.5) & (q_sum < 1.5);
    let change = if is_certain { q_rest - p_rest } else { q_sum - p_sum };
    let inverse = 1.0 / p_sum;
    let log_ratio = log1p(isa, change * inverse);
    let value = isa.mul_add(products, inverse, log_ratio);
    let rest = if p_rest > q_rest { p_rest } else { q_rest };
    let most = if p_sum > q_sum { p_sum } else { q_sum };
    let is_known = (value * most > rest * LEAST_PART) & (value < f64::INFINITY);
    let value = if is_known { value } else { f64::NAN };
    let is_zero = is_certain & (rest < NOTHING) & (products.abs() < NOTHING);
    [if is_zero { 0.0 } else { value }, log_ratio]
}

/// The divergence of p from q, from the sums of both terms of its classes and that of p.
///
/// The losses that d was computed from are those of rounded terms, so d is off by a small number
/// u ≈ log(1 + u) that is the same for all classes, and the sum by u − log(1 + u) ≈ u²/2 − u³/3. With
/// Σ q = 1 + u as well, u = Σ (q − p), the sum of both terms.
#[inline(always)]
pub fn value<S: Isa, F: Real>(
    isa: S,
    bends: F::Extended,
    slopes: F::Extended,
    p_sum: F::Extended,
) -> f64 {
    let bend = bends.div(isa, p_sum).rounded();
    value_less_excess(bend, bend + slopes.div(isa, p_sum).rounded())
}

/// The divergence of p from q, from Σ (q − p − p·d) and u = Σ (q − p), as [`value`] explains.
#[inline(always)]
pub(crate) fn value_less_excess(bend: f64, u: f64) -> f64 {
    // Of sums so large that their difference is rounding, nothing is known of u, nor does it matter.
    let u = if u.abs() < 0.5 { u } else { 0.0 };
    let value = bend - u * u * (0.5 - u / 3.0);
    // If a class is impossible for q alone, u may be infinite as well.
    let value = if bend == f64::INFINITY { bend } else { value };
    if value < 0.0 { 0.0 } else { value }
}
