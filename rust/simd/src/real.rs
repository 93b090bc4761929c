//! The two number types we compute in, with the constants that exp and log need in each.

use crate::lanes::{EIGHT, LANES};
use crate::words::{Wide, Words};
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
    const RAISE: [Self; 2];
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
    /// Half the exponents there are: see `exp_lifted`.
    const LIFT: Self;
    /// 2^−`LIFT`
    const UNLIFT: Self;
    /// [`Real::EXP`] times `UNLIFT`: the product with a lifted power of two needs no other then. f64, which adds up
    /// e^r in two words, does without.
    const EXP_UNLIFTED: &'static [Self];
    /// Coefficients, by powers of s² on 0 ≤ s ≤ ⅓, of (2·artanh s − 2s) / s³: ⅔, ⅖, 2/7, … nearly.
    const ARTANH: &'static [Self];
    /// Coefficients, by powers of d on |d| ≤ 2, of (e^d − 1 − d) / d²: 1/2!, 1/3!, … nearly. In f64 for both:
    /// only their number differs.
    const BEND: &'static [f64];
    /// ln 2 in two parts: an exponent times the first is exact.
    const LN_2_PARTS: [Self; 2];
    /// −∞ in a chunk's lanes, +∞ in the next, −∞ in the last: the lesser of a chunk and a window of it
    /// keeps the chunk's first or last lanes. (Two loads; comparing lane numbers, LLVM took lanes one by one.)
    const KEEP: &'static [Self; 3 * LANES];
    /// +∞ in all lanes but the one between two chunks: a window of it hides a lane, or none.
    const HIDE: &'static [Self; 2 * LANES + 1];
    /// Whether sums of this type need a second word to stay within half an ulp (f64: nothing is wider).
    const COMPENSATED: bool;
    /// Numbers with about twice the digits.
    type Wide: Wide;

    /// `self * b + c` with one rounding; only [`Isa::mul_add`] calls it.
    fn fused_mul_add(self, b: Self, c: Self) -> Self;
    /// a·b − p, what rounding took from p, without a fused multiply-add; only [`Isa::product_error`] calls it.
    fn product_error_unfused(a: Self, b: Self, p: Self) -> Self;
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
        let (k, m) = Self::split_normal(if subnormal { x * Self::RAISE[0] } else { x });
        (if subnormal { k - Self::RAISE[1] } else { k }, m)
    }
    /// [`Real::split`] of an x that is not subnormal.
    fn split_normal(x: Self) -> (Self, Self);
    /// A slice of this type itself, if it is one.
    fn of_f32(slice: &[f32]) -> Option<&[Self]>;
    /// A slice of this type itself, if it is one.
    fn of_f64(slice: &[f64]) -> Option<&[Self]>;
    /// The nearest value of this type.
    fn from_f64(x: f64) -> Self;
    /// Exact.
    fn to_f64(self) -> f64;
    /// Eight lanes as f64, exactly.
    fn widen(eight: [Self; EIGHT]) -> [f64; EIGHT];
}

const fn keep<F: Real>() -> [F; 3 * LANES] {
    let mut limits = [F::NEG_INFINITY; 3 * LANES];
    let mut lane = LANES;
    while lane < 2 * LANES {
        limits[lane] = F::INFINITY;
        lane += 1;
    }
    limits
}

const fn hide<F: Real>() -> [F; 2 * LANES + 1] {
    let mut limits = [F::INFINITY; 2 * LANES + 1];
    limits[LANES] = F::NEG_INFINITY;
    limits
}

impl Real for f32 {
    const ZERO: f32 = 0.0;
    const ONE: f32 = 1.0;
    const HALF: f32 = 0.5;
    const NEG_INFINITY: f32 = f32::NEG_INFINITY;
    const INFINITY: f32 = f32::INFINITY;
    const NAN: f32 = f32::NAN;
    const SHIFTER: f32 = 12_582_912.0 + 127.0;
    const MANTISSA_BITS: i32 = 23;
    const BIAS: i32 = 127;
    const LEAST_NORMAL: f32 = f32::MIN_POSITIVE;
    const RAISE: [f32; 2] = [33_554_432.0, 25.0];
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN_2: f32 = core::f32::consts::LN_2;
    const LN_2_REST: f64 = -1.904_654_299_957_768e-9;
    // Interpolation at Chebyshev nodes, rounded to f32: relative error 1.1e-8, a fifth of an ulp.
    const EXP: &'static [f32] =
        &[1.0, 1.0, 0.5, 0.166_665_76, 0.041_666_556, 0.008_363_203, 0.001_392_621_3];
    const EXP_RANGE: [f32; 2] = [-105.0, 90.0];
    const LIFT: f32 = 64.0;
    const UNLIFT: f32 = f32::from_bits((127 - 64) << 23);
    const EXP_UNLIFTED: &'static [f32] = &{
        let mut coefficients = [0.0; Self::EXP.len()];
        let mut i = 0;
        while i < coefficients.len() {
            coefficients[i] = Self::EXP[i] * Self::UNLIFT;
            i += 1;
        }
        coefficients
    };
    // Interpolation likewise: relative error of the logarithm 1.7e-8.
    const ARTANH: &'static [f32] = &[0.6666664, 0.4000756, 0.2823662, 0.268515];
    // Interpolation likewise: relative error 1e-9.
    const BEND: &'static [f64] = &[
        0.5,
        0.16666666852811374,
        0.04166666679876234,
        0.008333324034857042,
        0.0013888882289555063,
        0.00019842568477859246,
        2.4802509248112352e-05,
        2.748347288346662e-06,
        2.7504861565960284e-07,
        2.6878742067033727e-08,
        2.217603754335142e-09,
    ];
    const LN_2_PARTS: [f32; 2] = [0.693_138_1, 9.058_001e-6];
    const KEEP: &'static [f32; 3 * LANES] = &keep();
    const HIDE: &'static [f32; 2 * LANES + 1] = &hide();
    const COMPENSATED: bool = false;
    type Wide = f64;

    #[inline(always)]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place: reached only through Isa::mul_add"
    )]
    fn fused_mul_add(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn product_error_unfused(a: f32, b: f32, p: f32) -> f32 {
        (f64::from(a) * f64::from(b) - f64::from(p)) as f32
    }
    #[inline(always)]
    fn minus_ln_2_unfused(n: f32, y: f32) -> f32 {
        (f64::from(y) - f64::from(n) * f64::from(Self::LN_2)) as f32
    }
    #[inline(always)]
    fn exponent_of(shifted: f32) -> f32 {
        f32::from_bits(shifted.to_bits() << 23)
    }
    #[inline(always)]
    fn magnitudes(x: &[f32]) -> Option<[f32; 2]> {
        // As integers, which LLVM may compare in any order; 0 − 1 wraps round and is never the smallest.
        let (mut least, mut most) = (u32::MAX, 0);
        for x in x {
            let bits = x.to_bits() & 0x7fff_ffff;
            least = least.min(bits.wrapping_sub(1));
            most = most.max(bits);
        }
        (most > 0).then(|| [f32::from_bits(least + 1), f32::from_bits(most)])
    }
    #[inline(always)]
    fn bits_at_most(x: &[f32], high: f32, nan: bool) -> bool {
        let most = x.iter().fold(0, |most, x| x.to_bits().max(most));
        most <= if nan { u32::MAX >> 1 } else { high.to_bits() }
    }
    #[inline(always)]
    fn abs(self) -> f32 {
        f32::abs(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f32::is_nan(self)
    }
    #[inline(always)]
    fn split_normal(x: f32) -> (f32, f32) {
        const SQRT_HALF: u32 = 0x3f35_04f3;
        const EXPONENT_OF_ONE: u32 = 0x3f80_0000;
        let bits = x.to_bits().wrapping_add(EXPONENT_OF_ONE - SQRT_HALF);
        let k = (bits >> 23) as i32 - 127;
        (k as f32, f32::from_bits((bits & 0x007f_ffff).wrapping_add(SQRT_HALF)))
    }
    #[inline(always)]
    fn of_f32(slice: &[f32]) -> Option<&[f32]> {
        Some(slice)
    }
    #[inline(always)]
    fn of_f64(_slice: &[f64]) -> Option<&[f32]> {
        None
    }
    #[inline(always)]
    fn from_f64(x: f64) -> f32 {
        x as f32
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
    #[inline(always)]
    fn widen(eight: [f32; EIGHT]) -> [f64; EIGHT] {
        core::array::from_fn(|i| f64::from(eight[i]))
    }
}

impl Real for f64 {
    const ZERO: f64 = 0.0;
    const ONE: f64 = 1.0;
    const HALF: f64 = 0.5;
    const NEG_INFINITY: f64 = f64::NEG_INFINITY;
    const INFINITY: f64 = f64::INFINITY;
    const NAN: f64 = f64::NAN;
    const SHIFTER: f64 = 6_755_399_441_055_744.0 + 1023.0;
    const MANTISSA_BITS: i32 = 52;
    const BIAS: i32 = 1023;
    const LEAST_NORMAL: f64 = f64::MIN_POSITIVE;
    const RAISE: [f64; 2] = [18_014_398_509_481_984.0, 54.0];
    const LOG2_E: f64 = core::f64::consts::LOG2_E;
    const LN_2: f64 = core::f64::consts::LN_2;
    const LN_2_REST: f64 = 2.319_046_813_846_299_6e-17;
    // Interpolation at Chebyshev nodes, rounded to f64: relative error 1.7e-17.
    const EXP: &'static [f64] = &[
        1.0,
        1.0,
        0.5,
        0.166_666_666_666_666_69,
        0.041_666_666_666_623_99,
        0.008_333_333_333_330_051,
        0.001_388_888_891_728_179_4,
        0.000_198_412_698_631_059_68,
        2.480_152_119_021_773e-5,
        2.755_726_837_868_419_2e-6,
        2.762_013_871_973_399_4e-7,
        2.510_042_415_700_506_7e-8,
    ];
    const EXP_RANGE: [f64; 2] = [-750.0, 711.0];
    const LIFT: f64 = 512.0;
    const UNLIFT: f64 = f64::from_bits((1023 - 512) << 52);
    const EXP_UNLIFTED: &'static [f64] = &[];
    // Interpolation likewise: relative error of the logarithm 7e-18.
    const ARTANH: &'static [f64] = &[
        0.6666666666666666,
        0.40000000000014585,
        0.2857142856710876,
        0.22222222717427864,
        0.18181789436132859,
        0.15385570064958623,
        0.13314144209654935,
        0.12001072809590713,
        0.08800738486144674,
        0.1616404561194353,
    ];
    // Interpolation likewise: relative error 2.8e-18.
    const BEND: &'static [f64] = &[
        0.5,
        0.16666666666666666,
        0.04166666666666663,
        0.008333333333333331,
        0.0013888888888891197,
        0.00019841269841270936,
        2.4801587300995483e-05,
        2.7557319223705004e-06,
        2.755731930001314e-07,
        2.505210842152821e-08,
        2.087675150417348e-09,
        1.6059041233681633e-10,
        1.147097775321909e-11,
        7.647273957195198e-13,
        4.7737580214960735e-14,
        2.8087409252747675e-15,
        1.6376126325516946e-16,
        8.580357849794261e-18,
    ];
    const LN_2_PARTS: [f64; 2] = [crate::math::LN_2_HI, crate::math::LN_2_LO];
    const KEEP: &'static [f64; 3 * LANES] = &keep();
    const HIDE: &'static [f64; 2 * LANES + 1] = &hide();
    const COMPENSATED: bool = true;
    type Wide = Words;

    #[inline(always)]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place: reached only through Isa::mul_add"
    )]
    fn fused_mul_add(self, b: f64, c: f64) -> f64 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn product_error_unfused(a: f64, b: f64, p: f64) -> f64 {
        // Halves of 26 bits, whose products are exact (Dekker).
        let halves = |x: f64| {
            let high = f64::from_bits(x.to_bits() & 0xffff_ffff_f800_0000);
            [high, x - high]
        };
        let ([a, a_low], [b, b_low]) = (halves(a), halves(b));
        ((a * b - p) + (a * b_low + a_low * b)) + a_low * b_low
    }
    #[inline(always)]
    fn minus_ln_2_unfused(n: f64, y: f64) -> f64 {
        use crate::math::LN_2_HI;
        (y - n * LN_2_HI) - n * (Self::LN_2 - LN_2_HI)
    }
    #[inline(always)]
    fn exponent_of(shifted: f64) -> f64 {
        f64::from_bits(shifted.to_bits() << 52)
    }
    #[inline(always)]
    fn magnitudes(x: &[f64]) -> Option<[f64; 2]> {
        // As integers, which LLVM may compare in any order; 0 − 1 wraps round and is never the smallest.
        let (mut least, mut most) = (u64::MAX, 0);
        for x in x {
            let bits = x.to_bits() & 0x7fff_ffff_ffff_ffff;
            least = least.min(bits.wrapping_sub(1));
            most = most.max(bits);
        }
        (most > 0).then(|| [f64::from_bits(least + 1), f64::from_bits(most)])
    }
    #[inline(always)]
    fn bits_at_most(x: &[f64], high: f64, nan: bool) -> bool {
        let most = x.iter().fold(0, |most, x| x.to_bits().max(most));
        most <= if nan { u64::MAX >> 1 } else { high.to_bits() }
    }
    #[inline(always)]
    fn abs(self) -> f64 {
        f64::abs(self)
    }
    #[inline(always)]
    fn is_nan(self) -> bool {
        f64::is_nan(self)
    }
    #[inline(always)]
    fn split_normal(x: f64) -> (f64, f64) {
        const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
        const EXPONENT_OF_ONE: u64 = 0x3ff0_0000_0000_0000;
        let bits = x.to_bits().wrapping_add(EXPONENT_OF_ONE - SQRT_HALF);
        let k = (bits >> 52) as i32 - 1023;
        (k as f64, f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF)))
    }
    #[inline(always)]
    fn of_f64(slice: &[f64]) -> Option<&[f64]> {
        Some(slice)
    }
    #[inline(always)]
    fn of_f32(_slice: &[f32]) -> Option<&[f64]> {
        None
    }
    #[inline(always)]
    fn from_f64(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn to_f64(self) -> f64 {
        self
    }
    #[inline(always)]
    fn widen(eight: [f64; EIGHT]) -> [f64; EIGHT] {
        eight
    }
}
