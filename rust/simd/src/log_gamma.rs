//! log y! = log Γ(y + 1) for real y ≥ 0, branch-free like the functions of `math`.
//!
//! Two pieces meet at y = 2. Both are computed, and one is chosen; they share a division:
//!
//! ```text
//! y < 2:  log y! = y·(y − 1)·(a + b·y + P(y)/Q(y))
//! y ≥ 2:  log y! = z·(log z − 1) + ½·log 2π + R(1/z²)/z     with z = y + ½
//! ```
//!
//! 1. **The zeros at 0 and 1 are factors**, so the result keeps its relative accuracy near them. What
//!    is left lies between 0.34 and 0.58. P/Q is only what the line leaves of that, less than 0.03, so
//!    its rounding errors hardly matter.
//! 2. **Stirling's formula in y + ½** is one product and one logarithm, and its rest 1/z times a
//!    function of 1/z². The series −1/24 + 7/2880·1/z² − … of that function diverges, so R is fitted.
//! 3. **Leading products and sums carry their rounding errors along** in a second word. So does the
//!    logarithm, because z multiplies its error.
//!
//! `benches/log_gamma_coefficients.py` prints the coefficients.

use crate::float::{Float, two_sum_error};
use crate::isa::Isa;
use crate::math::horner;

/// A [`Float`] with the coefficients of [`log_factorial`] in that precision.
pub trait LogFactorial: Float {
    /// Where the pieces meet.
    const MEETING: Self;
    /// a and b of the line a + b·y.
    const LINE: [Self; 2];
    /// P, constant term first.
    const NUMERATOR: &'static [Self];
    /// Q, constant term first.
    const DENOMINATOR: &'static [Self];
    /// R by powers of 1/z²: about −1/24, 7/2880, …
    const CORRECTION: &'static [Self];
    /// ½·log 2π, rounded, and its rounding error.
    const HALF_LOG_TWO_PI: [Self; 2];
}

#[rustfmt::skip]
impl LogFactorial for f32 {
    const MEETING: Self = 2.0;
    const LINE: [Self; 2] = [0.54773664, -0.107092954];
    // Relative error of the result: 1.7e-9.
    const NUMERATOR: &'static [Self] = &[
        0.02947902, -0.0888419, -0.05156007, 0.035032153, 0.011558234,
    ];
    const DENOMINATOR: &'static [Self] = &[1.0, 1.6729327, 0.81878036, 0.11057549, -0.000111229165];
    // Relative error of the result: 1.1e-9.
    const CORRECTION: &'static [Self] = &[-0.041666664, 0.002430062, -0.0007526557, 0.00040732377];
    const HALF_LOG_TWO_PI: [Self; 2] = [0.9189385, 1.5634177e-08];
}

#[rustfmt::skip]
impl LogFactorial for f64 {
    const MEETING: Self = 2.0;
    const LINE: [Self; 2] = [0.547736621408702, -0.10709295689980709];
    // Relative error of the result: 4.9e-18.
    const NUMERATOR: &'static [Self] = &[
        0.029479043492830807, -0.03631127817909853, -0.1816741392159711, -0.137035410367976,
        0.010420619133153744, 0.04509234256524046, 0.016425687593323902, 0.0021079538506775125,
        8.114926733648026e-05,
    ];
    const DENOMINATOR: &'static [Self] = &[
        1.0, 3.454899527810074, 4.756430649886408, 3.332613694268498, 1.2591200449498365,
        0.2502188027522701, 0.023419822109273226, 0.0007595211207782395, -2.14788567642461e-08,
    ];
    // Relative error of the result: 4.1e-18.
    const CORRECTION: &'static [Self] = &[
        -0.04166666666666665, 0.002430555555520348, -0.0007688491937725017, 0.0005905860011349027,
        -0.0008399706023848357, 0.0019102698393688262, -0.006213386461736815, 0.025211049218714938,
        -0.10689341054186224, 0.3972996975680018, -1.1113158467314144, 1.983949272216902,
        -1.6579090832082124,
    ];
    const HALF_LOG_TWO_PI: [Self; 2] = [0.9189385332046728, -3.8782941580672414e-17];
}

/// log y! = log Γ(y + 1) for real y ≥ 0, within 0.75 ulp, or 1.6 ulp without fused multiply-add.
/// 0 → 0, 1 → 0, +∞ → +∞, NaN and y < 0 → NaN.
#[inline(always)]
pub fn log_factorial<S: Isa, F: LogFactorial>(isa: S, y: F) -> F {
    let low = y < F::MEETING;
    let z = y + F::HALF;
    let numerator = if low { horner(isa, F::NUMERATOR, y) } else { F::ONE };
    let denominator = if low { horner(isa, F::DENOMINATOR, y) } else { z };
    let quotient = numerator / denominator;
    let (factored, asymptotic) = (factored(isa, y, quotient), asymptotic(isa, y, z, quotient));
    let value = if low { factored } else { asymptotic };
    if y >= F::ZERO { value } else { F::NAN }
}

/// y·(y − 1)·(a + b·y + ratio), the piece for y < 2.
#[inline(always)]
fn factored<S: Isa, F: LogFactorial>(isa: S, y: F, ratio: F) -> F {
    let [a, b] = F::LINE;
    let less_one = y - F::ONE;
    let less_one_lo = y - (less_one + F::ONE);
    let zeros = y * less_one;
    let zeros_lo = isa.mul_add(y, less_one_lo, isa.two_prod_error(y, less_one, zeros));
    let line = isa.mul_add(b, y, a);
    let rest = isa.mul_add(b, y, a - line) + ratio;
    let left = line + rest;
    let left_lo = rest - (left - line);
    isa.mul_add(zeros, left, isa.mul_add(zeros, left_lo, zeros_lo * left))
}

/// z·(log z − 1) + ½·log 2π + R(1/z²)/z for y ≥ 2, where z is y + ½ rounded.
#[inline(always)]
fn asymptotic<S: Isa, F: LogFactorial>(isa: S, y: F, z: F, inverse: F) -> F {
    // What z lacks of y + ½, which in f64 is the whole ½ from 2^53 on, counts log z times: that is
    // the derivative of z·(log z − 1).
    let z_lo = F::HALF - (z - y);
    let [log, log_lo] = log_words(isa, z);
    // Exact, because log z > ½.
    let less_one = log - F::ONE;
    let product = z * less_one;
    let product_lo = isa.two_prod_error(z, less_one, product);
    let [constant, constant_lo] = F::HALF_LOG_TWO_PI;
    let sum = product + constant;
    let rest = product_lo + (two_sum_error(product, constant, sum) + constant_lo);
    let correction = horner(isa, F::CORRECTION, inverse * inverse);
    let rest = isa.mul_add(inverse, correction, rest);
    let rest = isa.mul_add(z, log_lo, isa.mul_add(z_lo, log, rest));
    // If the sum is infinite, `rest` is NaN.
    if sum < F::INFINITY { sum + rest } else { sum }
}

/// log z in two words for a normal z ≥ √2, to about ten bits more than one word has.
///
/// With z = 2^k·(1 + f) and s = f/(2 + f), log(1 + f) = f − f²/2 + s·(f²/2 + s²·q(s²)) (fdlibm). The
/// last term is at most 0.015, so its rounding errors are small.
#[inline(always)]
fn log_words<S: Isa, F: Float>(isa: S, z: F) -> [F; 2] {
    let (k, one_plus_f) = F::split_normal(z);
    let f = one_plus_f - F::ONE;
    let [ln_2_hi, ln_2_lo] = F::LN_2_PARTS;
    let half_f = F::HALF * f;
    let half_square = half_f * f;
    let half_square_lo = isa.two_prod_error(half_f, f, half_square);
    let s = f / (F::ONE + one_plus_f);
    let square = s * s;
    let tail = isa.mul_add(square, horner(isa, F::ARTANH, square), half_square);
    let tail = isa.mul_add(s, tail, isa.mul_add(k, ln_2_lo, -half_square_lo));
    let power = k * ln_2_hi;
    let linear = power + f;
    let quadratic = linear - half_square;
    let lost = (f - (linear - power)) + ((linear - quadratic) - half_square);
    let rest = lost + tail;
    let log = quadratic + rest;
    [log, rest - (log - quadratic)]
}
