//! The constants, coefficients and bit operations of a number type; implemented for f32 and f64.

use crate::width::{CHUNK_LANES, SUM_LANES};
use core::ops::{Add, Div, Mul, Neg, Sub};

/// Makes [`Float`] a closed set of two types.
mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// f32 or f64, with the constants of exp and log in that precision. The trait is sealed, because
/// the safety of `NonTemporal::copy` requires that no other type implements it. So are
/// `LogFactorial` and `Real`: only a `Float` can implement them.
pub trait Float:
    sealed::Sealed
    + Copy
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
    /// 1.5 · 2^(mantissa bits) + exponent bias. Adding it to a small number rounds that number to
    /// an integer; the low bits of the sum are this integer plus the bias, and one shift moves
    /// them into the exponent field.
    const SHIFTER: Self;
    /// The number of stored mantissa bits, 23 or 52.
    const MANTISSA_BITS: i32;
    /// The exponent bias, 127 or 1023.
    const BIAS: i32;
    /// The smallest positive normal number.
    const LEAST_NORMAL: Self;
    /// A power of two whose product with any subnormal number is normal, and its base-2 logarithm.
    const SUBNORMAL_SCALE: [Self; 2];
    /// log2 e
    const LOG2_E: Self;
    /// ln 2, rounded.
    const LN_2: Self;
    /// The rounding error of [`Float::LN_2`]: ln 2 − `LN_2`.
    const LN_2_REST: f64;
    /// Coefficients of e^r on |r| ≤ ln 2 / 2, constant term first.
    const EXP: &'static [Self];
    /// Below the first number e^x rounds to 0, above the second to +∞.
    const EXP_RANGE: [Self; 2];
    /// About half of the largest exponent: `math::exp_nonpositive` multiplies by 2 to this power, so
    /// that it needs one multiplication by the opposite power where e^x is subnormal.
    const EXP_SCALE: Self;
    /// 2^−`EXP_SCALE`
    const EXP_UNSCALE: Self;
    /// [`Float::EXP`] times `EXP_UNSCALE`, which saves `math::exp_nonpositive` that multiplication.
    /// Empty for f64, where e^r is added up in two words instead.
    const EXP_UNSCALED: &'static [Self];
    /// Coefficients of (2·artanh s − 2s) / s³ on 0 ≤ s ≤ ⅓, by powers of s²: about ⅔, ⅖, 2/7, …
    const ARTANH: &'static [Self];
    /// [`Float::ARTANH`] to 32 bits at least, on |s| ≤ (√2 − 1)/(√2 + 1).
    const ARTANH_SHORT: &'static [Self];
    /// Coefficients of (e^d − 1 − d) / d² on −1 ≤ d ≤ 3, by powers of d: about 1/2!, 1/3!, … They are
    /// f64 for both types; the types differ in the number of coefficients.
    const EXPM1_TAIL: &'static [f64];
    /// ln 2 in two parts. The product of an exponent and the first part is exact.
    const LN_2_PARTS: [Self; 2];
    /// One chunk of −∞, one of +∞, one of −∞. The minimum of a chunk and a window of this table
    /// keeps the chunk's first or last lanes and makes the others −∞. (That is two loads and a
    /// minimum. LLVM compiled a comparison of lane numbers to one move per lane.)
    const KEEP: &'static [Self; 3 * CHUNK_LANES];
    /// −∞ in the lane between two chunks of +∞. The minimum of a chunk and a window of this table
    /// makes one lane −∞, or none.
    const HIDE: &'static [Self; 2 * CHUNK_LANES + 1];
    /// Whether sums of this type keep their rounding errors in a second word, to stay within half
    /// an ulp. True for f64, because no type is wider; sums of f32 are added in f64.
    const COMPENSATED: bool;

    /// `self * b + c` with one rounding; only `Isa::mul_add` calls it.
    fn fused_mul_add(self, b: Self, c: Self) -> Self;
    /// a·b − p, the rounding error of the product p, without a fused multiply-add; only
    /// `Isa::two_prod_error` calls it.
    fn two_prod_error_unfused(a: Self, b: Self, p: Self) -> Self;
    /// y − n·ln 2 without a fused multiply-add, for |n| < 2^20; only `Isa::minus_ln_2` calls it.
    fn minus_ln_2_unfused(n: Self, y: Self) -> Self;
    /// The power of two whose biased exponent is in the low bits of `shifted` (0 gives 0.0).
    fn exponent_of(shifted: Self) -> Self;
    /// The smallest magnitude that is not 0, and the largest; a NaN counts as larger than +∞. None
    /// if every element is 0.
    fn magnitudes(x: &[Self]) -> Option<[Self; 2]>;
    /// Whether the bits of every element, as an unsigned integer, are at most those of `high`; with
    /// `nan`, whether every sign bit is clear, NaN included.
    fn bits_at_most(x: &[Self], high: Self, nan: bool) -> bool;
    /// Whether the magnitude of every element is at most `high`; that of NaN is not.
    fn are_at_most(x: &[Self], high: Self) -> bool;
    /// Whether every element is a normal number: not 0, subnormal, infinite or NaN.
    fn are_normal(x: &[Self]) -> bool;
    /// |x|
    fn abs(self) -> Self;
    /// Whether the number is NaN.
    fn is_nan(self) -> bool;
    /// The largest number below.
    fn next_down(self) -> Self;
    /// (k, m) with x = 2^k · m and √½ ≤ m < √2, for finite x > 0.
    #[inline(always)]
    fn split(x: Self) -> (Self, Self) {
        let subnormal = x < Self::LEAST_NORMAL;
        let (k, m) = Self::split_normal(if subnormal { x * Self::SUBNORMAL_SCALE[0] } else { x });
        (if subnormal { k - Self::SUBNORMAL_SCALE[1] } else { k }, m)
    }
    /// [`Float::split`] of an x that is not subnormal.
    fn split_normal(x: Self) -> (Self, Self);
    /// `slice` as `[Self]` if `Self` is f32, else None.
    fn of_f32(slice: &[f32]) -> Option<&[Self]>;
    /// `slice` as `[Self]` if `Self` is f64, else None.
    fn of_f64(slice: &[f64]) -> Option<&[Self]>;
    /// `slice` as `[T]` if `T` is `Self`, else None.
    fn same<T: Float>(slice: &[Self]) -> Option<&[T]>;
    /// `slice` as `[f32]` if `Self` is f32, else None.
    fn as_f32_mut(slice: &mut [Self]) -> Option<&mut [f32]>;
    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// The same number as f64, exactly.
    fn to_f64(self) -> f64;
    /// Eight lanes as f64, exactly.
    fn widen(eight: [Self; SUM_LANES]) -> [f64; SUM_LANES];
}

/// The rounding error of `s = a + b`, exactly (Knuth's two-sum).
#[inline(always)]
pub fn two_sum_error<F: Float>(a: F, b: F, s: F) -> F {
    let b_in_s = s - a;
    (a - (s - b_in_s)) + (b - b_in_s)
}

/// The items of `impl Float` whose text is the same for f32 and f64.
macro_rules! shared_items {
    ($float:ident, $bits:ident) => {
        const ZERO: Self = 0.0;
        const ONE: Self = 1.0;
        const HALF: Self = 0.5;
        const NEG_INFINITY: Self = $float::NEG_INFINITY;
        const INFINITY: Self = $float::INFINITY;
        const NAN: Self = $float::NAN;
        const LEAST_NORMAL: Self = $float::MIN_POSITIVE;
        const LOG2_E: Self = core::$float::consts::LOG2_E;
        const LN_2: Self = core::$float::consts::LN_2;
        const KEEP: &'static [Self; 3 * CHUNK_LANES] = &{
            let mut limits = [Self::NEG_INFINITY; 3 * CHUNK_LANES];
            let mut lane = CHUNK_LANES;
            while lane < 2 * CHUNK_LANES {
                limits[lane] = Self::INFINITY;
                lane += 1;
            }
            limits
        };
        const HIDE: &'static [Self; 2 * CHUNK_LANES + 1] = &{
            let mut limits = [Self::INFINITY; 2 * CHUNK_LANES + 1];
            limits[CHUNK_LANES] = Self::NEG_INFINITY;
            limits
        };

        #[inline(always)]
        #[expect(clippy::disallowed_methods, reason = "called only by Isa::mul_add")]
        fn fused_mul_add(self, b: Self, c: Self) -> Self {
            self.mul_add(b, c)
        }
        #[inline(always)]
        fn exponent_of(shifted: Self) -> Self {
            $float::from_bits(shifted.to_bits() << Self::MANTISSA_BITS)
        }
        #[inline(always)]
        fn bits_at_most(x: &[Self], high: Self, nan: bool) -> bool {
            let most = x.iter().fold(0, |most, x| x.to_bits().max(most));
            most <= if nan { $bits::MAX >> 1 } else { high.to_bits() }
        }
        #[inline(always)]
        fn are_at_most(x: &[Self], high: Self) -> bool {
            x.iter().fold(0, |most, x| x.abs().to_bits().max(most)) <= high.to_bits()
        }
        #[inline(always)]
        fn are_normal(x: &[Self]) -> bool {
            // Without its sign, and counted from the least normal number: what is below comes last.
            let least = Self::LEAST_NORMAL.to_bits() << 1;
            let above = |x: &Self| (x.to_bits() << 1).wrapping_sub(least);
            x.iter().fold(0, |most, x| above(x).max(most)) < above(&Self::INFINITY)
        }
        #[inline(always)]
        fn abs(self) -> Self {
            $float::abs(self)
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            $float::is_nan(self)
        }
        #[inline(always)]
        fn next_down(self) -> Self {
            $float::next_down(self)
        }
        #[inline(always)]
        fn from_f64(x: f64) -> Self {
            x as $float
        }
        #[inline(always)]
        fn to_f64(self) -> f64 {
            f64::from(self)
        }
    };
}
pub(crate) use shared_items;
