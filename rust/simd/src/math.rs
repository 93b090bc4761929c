//! exp, log and log1p: branch-free scalar functions, which LLVM vectorises in the caller's loop.
//!
//! No function calls the platform's libm, so the bits are the same on every machine.
//!
//! A "number in two words" is an unevaluated sum [hi, lo] in which lo is a correction to hi.

use crate::float::{Float, two_sum_error};
use crate::isa::Isa;
use crate::logistic;
use crate::width::CHUNK;

/// e^y as `mantissa · 2^n` with a mantissa in [0.7, 1.5], returned as `(mantissa, shifter + n)`.
/// `shifter` is [`Float::SHIFTER`] plus an integer.
///
/// With n = round(y·log2 e) and r = y − n·ln 2, e^y = 2^n · e^r. The addition of `shifter` rounds
/// to n, because the ulp of the sum is 1. e^r is a polynomial by Horner's rule. The subtraction
/// uses the rounded ln 2, one fused multiply-add instead of two, so r is too large by n·δ, where δ
/// is [`Float::LN_2_REST`]. With `REST` this function corrects that error; without, the mantissa is
/// that of y + n·δ and the caller corrects it. The mantissa is within 0.6 ulp in f64, where
/// nothing is wider than the results, and within 1 ulp in f32.
#[inline(always)]
pub fn exp_parts<S: Isa, F: Float, const REST: bool>(isa: S, y: F, shifter: F) -> (F, F) {
    // x + (−0) is x for every x, so LLVM removes the addition.
    if REST && F::COMPENSATED {
        return exp_parts_of_two(isa, y, -F::ZERO, shifter);
    }
    let (r, shifted) = exp_reduced::<S, F, REST>(isa, y, shifter);
    if F::COMPENSATED {
        let [one, rest] = exp_of_remainder(isa, r, -F::ZERO);
        return (one + rest, shifted);
    }
    (horner(isa, F::EXP, r), shifted)
}

/// The r and the `shifter + n` of [`exp_parts`].
#[inline(always)]
fn exp_reduced<S: Isa, F: Float, const REST: bool>(isa: S, y: F, shifter: F) -> (F, F) {
    let shifted = isa.mul_add(y, F::LOG2_E, shifter);
    let n = shifted - shifter;
    let r = isa.minus_ln_2(n, y);
    (if REST { isa.mul_add(n, -F::from_f64(F::LN_2_REST), r) } else { r }, shifted)
}

/// [`exp_parts`] of y + y_lo, within 0.6 ulp.
#[inline(always)]
fn exp_parts_of_two<S: Isa, F: Float>(isa: S, y: F, y_lo: F, shifter: F) -> (F, F) {
    let ([one, rest], shifted) = exp_parts_in_words(isa, [y, y_lo], shifter);
    (one + rest, shifted)
}

/// The mantissa of [`exp_parts`] for a y in two words, as one + rest, within 0.1 ulp of f64, and `shifter + n`.
#[inline(always)]
pub fn exp_parts_in_words<S: Isa, F: Float>(isa: S, [y, y_lo]: [F; 2], shifter: F) -> ([F; 2], F) {
    let (r, shifted) = exp_reduced::<S, F, false>(isa, y, shifter);
    let n = shifted - shifter;
    (exp_of_words(isa, [r, n * -F::from_f64(F::LN_2_REST) + y_lo]), shifted)
}

/// e^x, within 1 ulp. −∞ → 0, +∞ → +∞, NaN → NaN; subnormal results are kept.
#[inline(always)]
pub fn exp<S: Isa, F: Float>(isa: S, x: F) -> F {
    let [low, high] = F::EXP_RANGE;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x };
    let (r, shifted) = exp_reduced::<S, F, true>(isa, x, F::SHIFTER);
    scale_by_power(horner(isa, F::EXP, r), shifted - F::SHIFTER)
}

/// s·e^x for an x in two words, within 1 ulp. e^x is not rounded before the multiplication, and may
/// be out of range.
#[inline(always)]
pub fn mul_exp<S: Isa, F: Float>(isa: S, s: F, x: [F; 2]) -> F {
    // Beyond this range no s makes the product a number other than 0 and the infinities.
    let reach = F::EXP_RANGE.map(|bound| bound + bound + F::HALF * F::HALF * bound);
    let ([one, rest], n) = exp_words(isa, x, reach);
    // The first of three factors is below 1 where n is, because s·one may be too large.
    let third = (n - F::ONE) * F::from_f64(1.0 / 3.0) + F::SHIFTER;
    let scaled = s * F::exponent_of(third);
    let product = isa.mul_add(scaled, one, scaled * rest);
    // Of an infinite s, 0·∞ must not become part of the product.
    let product = if s.abs() < F::INFINITY { product } else { s };
    scale_by_power(product, n - (third - F::SHIFTER))
}

/// [a·2^h, b·2^h, c·e^x·2^−h] with 2^h near the root of e^x, the last within 1 ulp. Where a·c·e^x is in
/// range for an a of the size of c, so are both factors, though c·e^x may not be. x = +∞ → the last is ±∞,
/// but 0 of 0.
#[inline(always)]
pub fn share_exp<S: Isa, F: Float>(isa: S, [a, b]: [F; 2], c: F, x: F) -> [F; 3] {
    let [low, high] = F::EXP_RANGE;
    // Beyond this range no c makes c²·e^x a number other than those that round to 0, and ∞.
    let reach = [low + low + F::HALF * F::HALF * low, high + high + high + F::HALF * high];
    let ([one, rest], n) = exp_words(isa, [x, F::ZERO], reach);
    let half = (n * F::HALF + F::SHIFTER) - F::SHIFTER;
    let c = if x > reach[1] { c * F::from_f64(power_of_two(F::BIAS)) } else { c };
    let scaled = scale_by_power(c, n - half);
    let product = isa.mul_add(scaled, one, scaled * rest);
    // Of an infinite c, ∞ − ∞ must not become part of the product.
    let product = if c.abs() < F::INFINITY { product } else { c };
    [scale_by_power(a, half), scale_by_power(b, half), product]
}

/// s·e^x to 32 bits, which is what a result in f32 needs: a third of the operations of [`mul_exp`].
/// x = −∞ → 0, +∞ → ±∞, NaN → NaN; a subnormal e^x is 0.
#[inline(always)]
pub(crate) fn short_mul_exp<S: Isa>(isa: S, s: f64, x: f64) -> f64 {
    // Interpolation at Chebyshev nodes: relative error 2.2e-10.
    const EXP: &[f64] = &[
        1.0,
        1.0,
        0.5000000013457727,
        0.16666666681614256,
        0.04166646500604005,
        0.008333310934448869,
        0.0013933641031986701,
        0.00019890980869750327,
    ];
    // 2^−1023 and 2^1024 are written as the bits of 0 and +∞.
    const LOW: f64 = -1023.0 * core::f64::consts::LN_2;
    const HIGH: f64 = 1024.0 * core::f64::consts::LN_2;
    let x = if x < LOW { LOW } else { x };
    let x = if x > HIGH { HIGH } else { x };
    let (r, exponent) = exp_reduced::<S, f64, false>(isa, x, f64::SHIFTER);
    s * horner(isa, EXP, r) * f64::exponent_of(exponent)
}

/// e^x for an x in two words, as (one + rest)·2^n; an x outside `reach` counts as its end.
#[inline(always)]
pub(crate) fn exp_words<S: Isa, F: Float>(
    isa: S,
    [x, x_lo]: [F; 2],
    [low, high]: [F; 2],
) -> ([F; 2], F) {
    let clamped = if x < low { low } else { x };
    let clamped = if clamped > high { high } else { clamped };
    let (main, shifted) = exp_reduced::<S, F, false>(isa, clamped, F::SHIFTER);
    let n = shifted - F::SHIFTER;
    let lo = if x == clamped { x_lo } else { F::ZERO };
    let lo = isa.mul_add(n, -F::from_f64(F::LN_2_REST), lo);
    (exp_of_words(isa, [main, lo]), n)
}

/// e^(main + lo) for |main| ≤ ln 2 / 2, as one + rest, within 0.1 ulp.
#[inline(always)]
fn exp_of_words<S: Isa, F: Float>(isa: S, [main, lo]: [F; 2]) -> [F; 2] {
    let r = main + lo;
    exp_of_remainder(isa, r, (main - r) + lo)
}

/// e^(r + low) for a rounding error `low`, as one + rest.
#[inline(always)]
fn exp_of_remainder<S: Isa, F: Float>(isa: S, r: F, low: F) -> [F; 2] {
    // e^r = 1 + r + r²·(…). `one` is 1 + r rounded; its rounding error goes into `rest`.
    let one = F::ONE + r;
    let rest = isa.mul_add(r * r, horner(isa, &F::EXP[2..], r), (r - (one - F::ONE)) + low);
    [one, rest]
}

/// x · 2^n by two factors, because 2^n may be out of range where the product is not.
#[inline(always)]
pub(crate) fn scale_by_power<F: Float>(x: F, n: F) -> F {
    let half = n * F::HALF + F::SHIFTER;
    let rest = n - (half - F::SHIFTER) + F::SHIFTER;
    x * F::exponent_of(half) * F::exponent_of(rest)
}

/// e^x for x ≤ 0, within 1 ulp, cheaper than [`exp`]. −∞ → 0, NaN → NaN; subnormals are kept.
#[inline(always)]
pub fn exp_nonpositive<S: Isa, F: Float>(isa: S, x: F) -> F {
    if F::COMPENSATED {
        return exp_scaled(isa, x) * F::LEAST_NORMAL;
    }
    let [low, _] = F::EXP_RANGE;
    let x = if x < low { low } else { x };
    let (r, exponent) = exp_reduced::<S, F, true>(isa, x, F::SHIFTER + F::EXP_SCALE);
    horner(isa, F::EXP_UNSCALED, r) * F::exponent_of(exponent)
}

/// [`exp_nonpositive`] of an x in two words.
#[inline(always)]
pub fn exp_nonpositive_of_words<S: Isa, F: Float>(isa: S, [x, x_lo]: [F; 2]) -> F {
    let [low, _] = F::EXP_RANGE;
    let x_lo = if x < low { F::ZERO } else { x_lo };
    let x = if x < low { low } else { x };
    let (mantissa, exponent) = exp_parts_of_two(isa, x, x_lo, F::SHIFTER + F::EXP_SCALE);
    mantissa * F::exponent_of(exponent) * F::EXP_UNSCALE
}

/// e^x / [`Float::LEAST_NORMAL`] for x ≤ 0. Far below where e^x rounds to 0, the quotient is a normal
/// number, whose product with a large number is one too; below the square of that number it is 0.
#[inline(always)]
pub fn exp_scaled<S: Isa, F: Float>(isa: S, x: F) -> F {
    let scale = f64::from(F::BIAS - 1);
    let low = F::from_f64((1.0 - 2.0 * f64::from(F::BIAS)) * core::f64::consts::LN_2);
    let x = if x < low { low } else { x };
    let (mantissa, exponent) = exp_parts::<S, F, true>(isa, x, F::SHIFTER + F::from_f64(scale));
    mantissa * F::exponent_of(exponent)
}

/// The nearest whole number, for |x| < 2^51.
#[inline(always)]
pub fn round(x: f64) -> f64 {
    const SHIFTER: f64 = 6_755_399_441_055_744.0;
    (x + SHIFTER) - SHIFTER
}

/// 2^n for −1022 ≤ n ≤ 1023.
#[inline(always)]
pub fn power_of_two(n: i32) -> f64 {
    f64::from_bits(((n + f64::BIAS) as u64) << 52)
}

/// The leading part of ln 2, with 20 trailing zero bits: n · `LN_2_HI` is exact for |n| < 2^20.
pub const LN_2_HI: f64 = f64::LN_2_PARTS[0];
/// The trailing part: ln 2 − `LN_2_HI`.
pub const LN_2_LO: f64 = f64::LN_2_PARTS[1];

/// log x, within 1 ulp. 0 → −∞, +∞ → +∞, NaN and x < 0 → NaN.
#[inline(always)]
pub fn log<S: Isa, F: Float>(isa: S, x: F) -> F {
    log_corrected(isa, x, F::ZERO)
}

/// [`log`] of a positive normal x, the same bits at less cost. +∞ → +∞, NaN → NaN.
#[inline(always)]
pub fn log_normal<S: Isa, F: Float>(isa: S, x: F) -> F {
    let value = log_of_parts(isa, F::split_normal(x), F::ZERO);
    if x < F::INFINITY { value } else { x }
}

/// log(1 + x), within 1 ulp, for tiny x too. −1 → −∞, +∞ → +∞, NaN and x < −1 → NaN.
///
/// With u = 1 + x rounded, the result is log u plus the rounding error over u (fdlibm's `log1p`).
#[inline(always)]
pub fn log1p<S: Isa, F: Float>(isa: S, x: F) -> F {
    let u = F::ONE + x;
    let lost = if x < F::ONE { x - (u - F::ONE) } else { F::ONE - (u - x) };
    log_corrected(isa, u, lost / u)
}

/// log p if `yes`, else log(1 − p), within 1 ulp, for 0 ≤ p ≤ 1. Every lane takes one logarithm.
///
/// The method is that of [`log1p`] with a multiplication instead of its division. For p ≥ ½ the
/// difference 1 − p is exact. For p < ½ its rounding error is divided by 1 − p, and there
/// 1/(1 − p) ≈ 1 + p is accurate enough: its relative error of p² shrinks with p.
#[inline(always)]
pub fn log_of_outcome<S: Isa, F: Float>(isa: S, p: F, yes: bool) -> F {
    let not = F::ONE - p;
    let lost = (F::ONE - not) - p;
    let correction = isa.mul_add(lost, p, lost);
    let (u, c) = if yes { (p, F::ZERO) } else { (not, correction) };
    log_corrected(isa, u, c)
}

/// log(a + b), within 1 ulp even where the rounding error of a + b is as large as the logarithm.
/// The limits are those of [`log`].
#[inline(always)]
pub fn log_of_sum<S: Isa, F: Float>(isa: S, a: F, b: F) -> F {
    let u = a + b;
    log_corrected(isa, u, two_sum_error(a, b, u) / u)
}

/// log(a/b), within 1 ulp even where the rounding error of a/b is as large as the logarithm.
/// `quotient` is a/b rounded, a normal number.
#[inline(always)]
pub fn log_of_quotient<S: Isa, F: Float>(isa: S, quotient: F, a: F, b: F) -> F {
    let product = quotient * b;
    let lost = (a - product) - isa.two_prod_error(quotient, b, product);
    log_corrected(isa, quotient, lost / a)
}

/// log x to 32 bits, which is what a result in f32 and Newton's method need. The limits are those
/// of [`log`]; a subnormal x is 0.
#[inline(always)]
pub(crate) fn short_log<S: Isa, F: Float>(isa: S, x: F) -> F {
    let (k, one_plus_f) = F::split_normal(x);
    short_limits(x, short_log_of_parts(isa, k, one_plus_f - F::ONE))
}

/// log(1 + x) to 32 bits, for tiny x too. The limits are those of [`log1p`].
#[inline(always)]
pub(crate) fn short_log1p<S: Isa, F: Float>(isa: S, x: F) -> F {
    short_limits(F::ONE + x, short_log1p_nonnegative(isa, x))
}

/// The same for x ≥ 0, of fewer operations. +∞ → +∞, NaN → NaN.
#[inline(always)]
pub(crate) fn short_log1p_nonnegative<S: Isa, F: Float>(isa: S, x: F) -> F {
    let u = F::ONE + x;
    let (k, one_plus_f) = F::split_normal(u);
    // The rounding error of u matters only where u is near 1, and there f is x itself.
    let f = if k == F::ZERO { x } else { one_plus_f - F::ONE };
    let value = short_log_of_parts(isa, k, f);
    if u < F::INFINITY { value } else { u }
}

/// log(1 + a/b) to 32 bits, for 0 ≤ a ≤ 0.4·b, with one division: a/b is f in `log1p_tail`, where
/// s = f/(2 + f) = a/(2b + a) and log(1 + f) = 2s + s³·q(s²).   b = 0 → 0.
#[inline(always)]
pub(crate) fn short_log1p_of_ratio<S: Isa, F: Float>(isa: S, a: F, b: F) -> F {
    let s = a / (b + b + a);
    let s = if b == F::ZERO { F::ZERO } else { s };
    let square = s * s;
    isa.mul_add(square * s, horner(isa, F::ARTANH_SHORT, square), s + s)
}

/// log(2^k·(1 + f)).
#[inline(always)]
fn short_log_of_parts<S: Isa, F: Float>(isa: S, k: F, f: F) -> F {
    let (s, rest) = log1p_tail(isa, f, F::ARTANH_SHORT);
    isa.mul_add(k, F::LN_2, isa.mul_add(-s, rest, f))
}

/// `log`, or the limit of log u if u is no positive normal number.
#[inline(always)]
fn short_limits<F: Float>(u: F, log: F) -> F {
    let value = if u < F::INFINITY { log } else { u };
    let value = if u < F::LEAST_NORMAL { F::NEG_INFINITY } else { value };
    if u < F::ZERO { F::NAN } else { value }
}

/// log(1 + z) for 0 ≤ z ≤ 1, within 1 ulp, without the second division of [`log1p`]. NaN → NaN.
#[inline(always)]
pub fn log1p_unit<S: Isa, F: Float>(isa: S, z: F) -> F {
    let (s, rest) = log1p_tail(isa, z, F::ARTANH);
    isa.mul_add(-s, rest, z)
}

/// log(1 + e^−|x|) of each x.   0 → log 2, ±∞ → 0, NaN → NaN.
#[inline(always)]
pub(crate) fn log1p_exp_neg_abs<S: Isa>(isa: S, x: &[f32; CHUNK], g: &mut [f32; CHUNK]) {
    if isa.logistic_table(x, g) {
        for (g, x) in g.iter_mut().zip(x) {
            let far = far(isa, x.abs());
            *g = if x.abs() < logistic::LIMIT { *g } else { far };
        }
    }
}

/// log(1 + e^−a) for an a beyond the table.
#[inline(always)]
fn far<S: Isa>(isa: S, a: f32) -> f32 {
    let z = exp_nonpositive(isa, -a);
    isa.mul_add(-0.5 * z, z, z)
}

/// f − log(1 + f) as two factors, for √½ ≤ 1 + f ≤ 2.
///
/// With s = f / (2 + f), log(1 + f) = 2·artanh s = f − s·(f − s²·q(s²)) (fdlibm). The series in s²
/// has half as many terms as one in f, and the CPU divides while it multiplies.
#[inline(always)]
fn log1p_tail<S: Isa, F: Float>(isa: S, f: F, artanh: &[F]) -> (F, F) {
    let s = f / (F::ONE + F::ONE + f);
    let square = s * s;
    (s, isa.mul_add(-square, horner(isa, artanh, square), f))
}

/// c0 + c1·x + c2·x² + …
#[inline(always)]
pub fn horner<S: Isa, F: Float>(isa: S, coefficients: &[F], x: F) -> F {
    let mut value = coefficients[coefficients.len() - 1];
    for &coefficient in coefficients[..coefficients.len() - 1].iter().rev() {
        value = isa.mul_add(value, x, coefficient);
    }
    value
}

/// log u + c for |c| ≪ 1, where u = 2^k·(1 + f) with √½ ≤ 1 + f < √2.
#[inline(always)]
fn log_corrected<S: Isa, F: Float>(isa: S, u: F, c: F) -> F {
    let value = log_of_parts(isa, F::split(u), c);
    let value = if u == F::INFINITY { u } else { value };
    let value = if u == F::ZERO { F::NEG_INFINITY } else { value };
    if u >= F::ZERO { value } else { F::NAN }
}

/// k·ln 2 + log(1 + f) + c
#[inline(always)]
fn log_of_parts<S: Isa, F: Float>(isa: S, (k, one_plus_f): (F, F), c: F) -> F {
    let f = one_plus_f - F::ONE;
    let [ln_2_hi, ln_2_lo] = F::LN_2_PARTS;
    let (s, rest) = log1p_tail(isa, f, F::ARTANH);
    k * ln_2_hi + (f + isa.mul_add(-s, rest, isa.mul_add(k, ln_2_lo, c)))
}
