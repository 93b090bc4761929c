//! f64 as a [`Float`]: its constants and its bits.

use crate::float::{Float, shared_items};
use crate::width::{CHUNK_LANES, SUM_LANES};

impl Float for f64 {
    shared_items!(f64, u64);

    const SHIFTER: f64 = 6_755_399_441_055_744.0 + 1023.0;
    const MANTISSA_BITS: i32 = 52;
    const BIAS: i32 = 1023;
    const SUBNORMAL_SCALE: [f64; 2] = [18_014_398_509_481_984.0, 54.0];
    const LN_2_REST: f64 = 2.319_046_813_846_299_6e-17;
    // Interpolation at Chebyshev nodes, rounded to f64: relative error 1.7e-17.
    #[rustfmt::skip]
    const EXP: &'static [f64] = &[
        1.0, 1.0, 0.5, 0.166_666_666_666_666_69, 0.041_666_666_666_623_99,
        0.008_333_333_333_330_051, 0.001_388_888_891_728_179_4, 0.000_198_412_698_631_059_68,
        2.480_152_119_021_773e-5, 2.755_726_837_868_419_2e-6, 2.762_013_871_973_399_4e-7,
        2.510_042_415_700_506_7e-8,
    ];
    const EXP_RANGE: [f64; 2] = [-750.0, 711.0];
    const EXP_SCALE: f64 = 512.0;
    const EXP_UNSCALE: f64 = f64::from_bits((1023 - 512) << 52);
    const EXP_UNSCALED: &'static [f64] = &[];
    // Interpolation at Chebyshev nodes: relative error of the logarithm 7e-18.
    #[rustfmt::skip]
    const ARTANH: &'static [f64] = &[
        0.6666666666666666, 0.40000000000014585, 0.2857142856710876, 0.22222222717427864,
        0.18181789436132859, 0.15385570064958623, 0.13314144209654935, 0.12001072809590713,
        0.08800738486144674, 0.1616404561194353,
    ];
    // Interpolation at Chebyshev nodes: relative error of the logarithm 1.4e-11.
    const ARTANH_SHORT: &'static [f64] =
        &[0.6666666655449709, 0.40000121839806124, 0.28550820815960665, 0.23330467216303835];
    // Interpolation at Chebyshev nodes: relative error 5e-18, and that of rounding them.
    #[rustfmt::skip]
    const EXPM1_TAIL: &'static [f64] = &[
        0.5, 0.16666666666666666, 0.041666666666666775, 0.008333333333333302, 0.0013888888888879327,
        0.0001984126984132912, 2.4801587304563372e-05, 2.75573191947946e-06, 2.755731887057886e-07,
        2.5052114002915396e-08, 2.0876759556446825e-09, 1.6058619445158416e-10,
        1.1473033926336757e-11, 7.652031206315946e-13, 4.677120870309748e-14,
        3.298074541293539e-15, 4.211906151587007e-17, 2.1156405948626114e-17,
    ];
    const LN_2_PARTS: [f64; 2] = [6.931_471_803_691_238e-1, 1.908_214_929_270_587_7e-10];
    const COMPENSATED: bool = true;

    #[inline(always)]
    fn two_prod_error_unfused(a: f64, b: f64, p: f64) -> f64 {
        // Halves of 26 and 27 bits: all their products but the last are exact, and so are the sums but
        // the last, in this order (Dekker).
        let halves = |x: f64| {
            let high = f64::from_bits(x.to_bits() & 0xffff_ffff_f800_0000);
            [high, x - high]
        };
        let ([a, a_low], [b, b_low]) = (halves(a), halves(b));
        (((a * b - p) + a * b_low) + a_low * b) + a_low * b_low
    }
    #[inline(always)]
    fn minus_ln_2_unfused(n: f64, y: f64) -> f64 {
        let [high, _] = Self::LN_2_PARTS;
        (y - n * high) - n * (Self::LN_2 - high)
    }
    #[inline(always)]
    fn magnitudes(x: &[f64]) -> Option<[f64; 2]> {
        // Integer comparisons, because LLVM may reorder and so vectorise them; signed ones, because AVX2 has no
        // others. Without the sign bit, numbers are in the order of their magnitudes, from MIN on. 2 is taken
        // off for the minimum: a zero, which is MIN, wraps around to nearly the largest integer, and is never least.
        let ordered = |x: &f64| (x.to_bits() << 1).wrapping_add(i64::MIN as u64) as i64;
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        for x in x {
            least = least.min(ordered(x).wrapping_sub(2));
            most = most.max(ordered(x));
        }
        let number =
            |ordered: i64| f64::from_bits((ordered as u64).wrapping_sub(i64::MIN as u64) >> 1);
        (most > i64::MIN).then(|| [number(least.wrapping_add(2)), number(most)])
    }
    #[inline(always)]
    fn split_normal(x: f64) -> (f64, f64) {
        const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
        const EXPONENT_OF_ONE: u64 = 0x3ff0_0000_0000_0000;
        let bits = x.to_bits().wrapping_add(EXPONENT_OF_ONE - SQRT_HALF);
        // The exponent as the last bits of 2^52 + k: AVX2 has no conversion of 64-bit integers.
        let k = f64::from_bits((bits >> 52) | 0x4330_0000_0000_0000) - 4_503_599_627_371_519.0;
        (k, f64::from_bits((bits & 0x000f_ffff_ffff_ffff).wrapping_add(SQRT_HALF)))
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
    fn same<T: Float>(slice: &[f64]) -> Option<&[T]> {
        T::of_f64(slice)
    }
    #[inline(always)]
    fn as_f32_mut(_slice: &mut [f64]) -> Option<&mut [f32]> {
        None
    }
    #[inline(always)]
    fn widen(eight: [f64; SUM_LANES]) -> [f64; SUM_LANES] {
        eight
    }
}
