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
    let mut mantissa = F::EXP[F::EXP.len() - 1];
    for &coefficient in F::EXP[..F::EXP.len() - 1].iter().rev() {
        mantissa = isa.mul_add(mantissa, r, coefficient);
    }
    (mantissa, shifted)
}

/// e^x in f64, within 1 ulp. −∞ → 0, +∞ → +∞, NaN → NaN; subnormal results are kept.
#[inline(always)]
pub fn exp<S: Isa>(isa: S, x: f64) -> f64 {
    let x = if x < -750.0 { -750.0 } else { x };
    let x = if x > 750.0 { 750.0 } else { x };
    let (mantissa, shifted) = exp_parts(isa, x, f64::SHIFTER);
    // 2^n in two halves: 2^n itself may be out of range where e^x, or its subnormal, is not.
    let n = shifted - f64::SHIFTER;
    let mantissa = isa.mul_add(mantissa, -(n * f64::LN_2_REST), mantissa);
    let n = n as i32;
    mantissa * power_of_two(n / 2) * power_of_two(n - n / 2)
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
pub fn log<S: Isa>(isa: S, x: f64) -> f64 {
    log_corrected(isa, x, 0.0)
}

/// log(1 + x), within 1 ulp, for small x above all. −1 → −∞, +∞ → +∞, NaN and x < −1 → NaN.
///
/// u = 1 + x rounds; what rounding took, relative to u, is added to log u (fdlibm's `log1p`).
#[inline(always)]
pub fn log1p<S: Isa>(isa: S, x: f64) -> f64 {
    let u = 1.0 + x;
    let lost = if x < 1.0 { x - (u - 1.0) } else { 1.0 - (u - x) };
    log_corrected(isa, u, lost / u)
}

/// log u + c for |c| ≪ 1.
///
/// u = 2^k·(1 + f) with √½ ≤ 1 + f < √2, s = f/(2 + f):
/// log(1 + f) = f − (f²/2 − s·(f²/2 + R(s²))), R the polynomial of fdlibm's `e_log.c` (freely
/// distributable, Sun Microsystems 1993). Subnormal u are scaled up first.
#[inline(always)]
fn log_corrected<S: Isa>(isa: S, u: f64, c: f64) -> f64 {
    const R: [f64; 7] = [
        6.666_666_666_666_735e-1,
        3.999_999_999_940_942e-1,
        2.857_142_874_366_239e-1,
        2.222_219_843_214_978_4e-1,
        1.818_357_216_161_805e-1,
        1.531_383_769_920_937_3e-1,
        1.479_819_860_511_658_6e-1,
    ];
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const EXPONENT_OF_ONE: u64 = 0x3ff0_0000_0000_0000;
    let tiny = u < f64::MIN_POSITIVE;
    let scaled = if tiny { u * 18_014_398_509_481_984.0 } else { u };
    let bits = scaled.to_bits().wrapping_add(EXPONENT_OF_ONE - SQRT_HALF);
    let k = (bits >> 52) as i32 - f64::BIAS - if tiny { 54 } else { 0 };
    let one_plus_f = f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF));
    let f = one_plus_f - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let mut r = R[6];
    for &coefficient in R[..6].iter().rev() {
        r = isa.mul_add(r, z, coefficient);
    }
    let half_square = 0.5 * f * f;
    let k = f64::from(k);
    let tail = s * (half_square + r * z) + (k * LN_2_LO + c);
    let value = k * LN_2_HI - ((half_square - tail) - f);
    let value = if u == f64::INFINITY { u } else { value };
    let value = if u == 0.0 { f64::NEG_INFINITY } else { value };
    if u < 0.0 || u.is_nan() { f64::NAN } else { value }
}
