//! exp, log and log1p: plain branch-free scalar text, vectorised by whoever loops over it.
//!
//! None of it calls the platform's libm, so the bits are ours on every machine.

use crate::dtype::Real;
use crate::isa::Isa;

/// e^(y + n·δ) as `mantissa · 2^n`, returned as `(mantissa, shifter + n)` for a `shifter` of the
/// [`Real::SHIFTER`] kind; δ is [`Real::LN_2_REST`]. The mantissa lies in [0.7, 1.5].
///
/// With n = round(y·log2 e) and r = y − n·ln 2, e^y = 2^n · e^r. Adding `shifter` does the rounding: its
/// ulp is one, so the low bits of the sum are an integer. e^r is a polynomial by Horner. The ln 2 that is
/// taken off is rounded, one fused multiply-add instead of two, and the caller makes up for n·δ.
#[inline(always)]
pub fn exp_parts<S: Isa, F: Real>(isa: S, y: F, shifter: F) -> (F, F) {
    let shifted = isa.mul_add(y, F::LOG2_E, shifter);
    let n = shifted - shifter;
    let r = isa.minus_ln_2(n, y);
    (horner(isa, F::EXP, r), shifted)
}

/// e^x, within 1 ulp. −∞ → 0, +∞ → +∞, NaN → NaN; subnormal results are kept.
#[inline(always)]
pub fn exp<S: Isa, F: Real>(isa: S, x: F) -> F {
    let [low, high] = F::EXP_RANGE;
    let x = if x < low { low } else { x };
    let x = if x > high { high } else { x };
    let n = isa.mul_add(x, F::LOG2_E, F::SHIFTER) - F::SHIFTER;
    let r = isa.mul_add(n, -F::from_f64(F::LN_2_REST), isa.minus_ln_2(n, x));
    let mantissa = horner(isa, F::EXP, r);
    // 2^n in two halves: 2^n itself may be out of range where e^x, or its subnormal, is not.
    let half = n * F::HALF + F::SHIFTER;
    let rest = n - (half - F::SHIFTER) + F::SHIFTER;
    mantissa * F::exponent_of(half) * F::exponent_of(rest)
}

/// e^x for x ≤ 0, within 1 ulp; cheaper than [`exp`]. −∞ → 0, NaN → NaN; subnormal results are kept.
///
/// e^x · 2^[`Real::LIFT`] is a normal number for every x ≤ 0 whose e^x is not 0, so that one exponent
/// holds it; the last multiplication takes the lift off.
#[inline(always)]
pub fn exp_nonpositive<S: Isa, F: Real>(isa: S, x: F) -> F {
    let [low, _] = F::EXP_RANGE;
    let x = if x < low { low } else { x };
    let lifted = F::SHIFTER + F::LIFT;
    let shifted = isa.mul_add(x, F::LOG2_E, lifted);
    let n = shifted - lifted;
    let r = isa.mul_add(n, -F::from_f64(F::LN_2_REST), isa.minus_ln_2(n, x));
    polynomial(isa, F::EXP, r) * F::exponent_of(shifted) * F::exponent_of(F::SHIFTER - F::LIFT)
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

/// ln 2 in two parts; the first has 20 trailing zero bits, so n times it is exact for |n| < 2^20.
pub const LN_2_HI: f64 = 6.931_471_803_691_238e-1;
/// The rest of ln 2.
pub const LN_2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// log x, within 1 ulp. 0 → −∞, +∞ → +∞, NaN and x < 0 → NaN.
#[inline(always)]
pub fn log<S: Isa, F: Real>(isa: S, x: F) -> F {
    log_corrected(isa, x, F::ZERO)
}

/// log(1 + x), within 1 ulp, for small x above all. −1 → −∞, +∞ → +∞, NaN and x < −1 → NaN.
///
/// u = 1 + x rounds; what rounding took, relative to u, is added to log u (fdlibm's `log1p`).
#[inline(always)]
pub fn log1p<S: Isa, F: Real>(isa: S, x: F) -> F {
    let u = F::ONE + x;
    let lost = if x < F::ONE { x - (u - F::ONE) } else { F::ONE - (u - x) };
    log_corrected(isa, u, lost / u)
}

/// log(1 + z) for 0 ≤ z ≤ 1, within 1 ulp: z − z²·q(z), without the divisions of [`log1p`]. NaN → NaN.
///
/// q is a polynomial in z − ½, whose terms fall off fast; by powers of z they alternate and cancel.
#[inline(always)]
pub fn log1p_unit<S: Isa, F: Real>(isa: S, z: F) -> F {
    let q = polynomial(isa, F::LOG1P, z - F::HALF);
    isa.mul_add(z * z, -q, z)
}

/// c0 + c1·x + c2·x² + …
#[inline(always)]
pub fn horner<S: Isa, F: Real>(isa: S, coefficients: &[F], x: F) -> F {
    let mut value = coefficients[coefficients.len() - 1];
    for &coefficient in coefficients[..coefficients.len() - 1].iter().rev() {
        value = isa.mul_add(value, x, coefficient);
    }
    value
}

/// c0 + x·(c1 + c2·x + …), the bracket as even and odd powers side by side: half of Horner's depth, for
/// loops whose iterations are so long that the CPU overlaps few of them (BCE: 1.08 → 0.9 ns on AVX2).
#[inline(always)]
pub fn polynomial<S: Isa, F: Real>(isa: S, coefficients: &[F], x: F) -> F {
    let (first, c) = (coefficients[0], &coefficients[1..]);
    let square = x * x;
    let (mut a, mut b) = (c[c.len() - 1], c[c.len() - 2]);
    for pair in c[..c.len() - 2].rchunks_exact(2) {
        a = isa.mul_add(a, square, pair[1]);
        b = isa.mul_add(b, square, pair[0]);
    }
    let bracket = if c.len() % 2 == 0 {
        isa.mul_add(a, x, b)
    } else {
        isa.mul_add(b, x, isa.mul_add(a, square, c[0]))
    };
    isa.mul_add(bracket, x, first)
}

/// log u + c for |c| ≪ 1.
///
/// u = 2^k·(1 + f) with √½ ≤ 1 + f < √2; log(1 + f) = f − f²·q(f), without a division. Subnormal u are
/// scaled up first.
#[inline(always)]
fn log_corrected<S: Isa, F: Real>(isa: S, u: F, c: F) -> F {
    let (k, one_plus_f) = F::split(u);
    let f = one_plus_f - F::ONE;
    let [ln_2_hi, ln_2_lo] = F::LN_2_PARTS;
    let bend = isa.mul_add(f * f, -polynomial(isa, F::LOG, f), isa.mul_add(k, ln_2_lo, c));
    let value = k * ln_2_hi + (f + bend);
    let value = if u == F::INFINITY { u } else { value };
    let value = if u == F::ZERO { F::NEG_INFINITY } else { value };
    if u >= F::ZERO { value } else { F::NAN }
}
