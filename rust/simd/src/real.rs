//! What a number type needs to be computed in; `float32.rs` and `float64.rs` have it, with the constants.

use crate::double_word::Extended;
use crate::lanes::{CHUNK_LANES, SUM_LANES};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// f32 or f64: what the kernels compute in, with the constants of `exp` in that precision.
pub trait Real:
    Copy
    + Send
    + Sync
    + PartialOrd
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// 0
    const ZERO: Self;
    /// 1
    const ONE: Self;
    /// ½
    const HALF: Self;
    /// −∞
    const NEG_INFINITY: Self;
    /// +∞
    const INFINITY: Self;
    /// NaN
    const NAN: Self;
    /// 1.5 · 2^(mantissa bits) + exponent bias: adding it to a small number rounds that number to an
    /// integer and leaves the integer plus the bias in the low bits, ready to be shifted into the exponent.
    const SHIFTER: Self;
    /// Bits of the mantissa that are stored, 23 or 52.
    const MANTISSA_BITS: i32;
    /// The exponent bias, 127 or 1023.
    const BIAS: i32;
    /// The least number with a full mantissa.
    const LEAST_NORMAL: Self;
    /// A power of two that makes the least subnormal a normal number, and its logarithm to base 2.
    const SUBNORMAL_SCALE: [Self; 2];
    /// log2 e
    const LOG2_E: Self;
    /// ln 2 rounded.
    const LN_2: Self;
    /// What that rounding lost: ln 2 − `LN_2`.
    const LN_2_REST: f64;
    /// Coefficients of e^r on |r| ≤ ln 2 / 2, constant term first.
    const EXP: &'static [Self];
    /// Below the first e^x rounds to 0, above the second to +∞.
    const EXP_RANGE: [Self; 2];
    /// Half the exponents there are: see `exp_scaled`.
    const EXP_SCALE: Self;
    /// 2^−`EXP_SCALE`
    const EXP_UNSCALE: Self;
    /// [`Real::EXP`] times `EXP_UNSCALE`: the product with a lifted power of two needs no other then. f64, which adds up
    /// e^r in two words, does without.
    const EXP_UNSCALED: &'static [Self];
    /// Coefficients, by powers of s² on 0 ≤ s ≤ ⅓, of (2·artanh s − 2s) / s³: ⅔, ⅖, 2/7, … nearly.
    const ARTANH: &'static [Self];
    /// Coefficients, by powers of d on |d| ≤ 2, of (e^d − 1 − d) / d²: 1/2!, 1/3!, … nearly. In f64 for both:
    /// only their number differs.
    const EXPM1_TAIL: &'static [f64];
    /// ln 2 in two parts: an exponent times the first is exact.
    const LN_2_PARTS: [Self; 2];
    /// −∞ in a chunk's lanes, +∞ in the next, −∞ in the last: the lesser of a chunk and a window of it
    /// keeps the chunk's first or last lanes. (Two loads; comparing lane numbers, LLVM took lanes one by one.)
    const KEEP: &'static [Self; 3 * CHUNK_LANES];
    /// +∞ in all lanes but the one between two chunks: a window of it hides a lane, or none.
    const HIDE: &'static [Self; 2 * CHUNK_LANES + 1];
    /// Whether sums of this type need a second word to stay within half an ulp (f64: nothing is wider).
    const COMPENSATED: bool;
    /// Numbers with about twice the digits.
    type Extended: Extended;

    /// `self * b + c` with one rounding; only [`Isa::mul_add`] calls it.
    fn fused_mul_add(self, b: Self, c: Self) -> Self;
    /// a·b − p, what rounding took from p, without a fused multiply-add; only [`Isa::two_prod_error`] calls it.
    fn two_prod_error_unfused(a: Self, b: Self, p: Self) -> Self;
    /// `y - n * LN_2` without a fused multiply-add, for |n| < 2^20; only [`Isa::minus_ln_2`] calls it.
    fn minus_ln_2_unfused(n: Self, y: Self) -> Self;
    /// The power of two whose biased exponent stands in the low bits of `shifted` (0 gives 0.0).
    fn exponent_of(shifted: Self) -> Self;
    /// The smallest magnitude but 0, and the largest; a NaN counts as larger than +∞. None if all are 0.
    fn magnitudes(x: &[Self]) -> Option<[Self; 2]>;
    /// Whether no bits, as a whole number, are more than those of `high`, or of any NaN without a sign if `nan`.
    fn bits_at_most(x: &[Self], high: Self, nan: bool) -> bool;
    /// |x|
    fn abs(self) -> Self;
    /// Whether it is NaN.
    fn is_nan(self) -> bool;
    /// (k, m) with x = 2^k · m and √½ ≤ m < √2, for finite x > 0.
    #[inline(always)]
    fn split(x: Self) -> (Self, Self) {
        let subnormal = x < Self::LEAST_NORMAL;
        let (k, m) = Self::split_normal(if subnormal { x * Self::SUBNORMAL_SCALE[0] } else { x });
        (if subnormal { k - Self::SUBNORMAL_SCALE[1] } else { k }, m)
    }
    /// [`Real::split`] of an x that is not subnormal.
    fn split_normal(x: Self) -> (Self, Self);
    /// A slice of this type itself, if it is one.
    fn of_f32(slice: &[f32]) -> Option<&[Self]>;
    /// A slice of this type itself, if it is one.
    fn of_f64(slice: &[f64]) -> Option<&[Self]>;
    /// A slice of this type as one of another, if they are the same.
    fn same<T: Real>(slice: &[Self]) -> Option<&[T]>;
    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Eight lanes as f64, exactly.
    fn widen(eight: [Self; SUM_LANES]) -> [f64; SUM_LANES];
}

pub(crate) const fn keep<F: Real>() -> [F; 3 * CHUNK_LANES] {
    let mut limits = [F::NEG_INFINITY; 3 * CHUNK_LANES];
    let mut lane = CHUNK_LANES;
    while lane < 2 * CHUNK_LANES {
        limits[lane] = F::INFINITY;
        lane += 1;
    }
    limits
}

pub(crate) const fn hide<F: Real>() -> [F; 2 * CHUNK_LANES + 1] {
    let mut limits = [F::INFINITY; 2 * CHUNK_LANES + 1];
    limits[CHUNK_LANES] = F::NEG_INFINITY;
    limits
}
