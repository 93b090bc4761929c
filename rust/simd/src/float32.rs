//! f32 as a [`Float`]: its constants and its bits.

use crate::float::{Float, shared_items};
use crate::width::{CHUNK_LANES, SUM_LANES};

impl Float for f32 {
    shared_items!(f32, u32);

    const SHIFTER: f32 = 12_582_912.0 + 127.0;
    const MANTISSA_BITS: i32 = 23;
    const BIAS: i32 = 127;
    const SUBNORMAL_SCALE: [f32; 2] = [33_554_432.0, 25.0];
    const LN_2_REST: f64 = -1.904_654_299_957_768e-9;
    // Interpolation at Chebyshev nodes, rounded to f32: relative error 1.1e-8, a fifth of an ulp.
    const EXP: &'static [f32] =
        &[1.0, 1.0, 0.5, 0.166_665_76, 0.041_666_556, 0.008_363_203, 0.001_392_621_3];
    const EXP_RANGE: [f32; 2] = [-105.0, 90.0];
    const EXP_SCALE: f32 = 64.0;
    const EXP_UNSCALE: f32 = f32::from_bits((127 - 64) << 23);
    const EXP_UNSCALED: &'static [f32] = &{
        let mut coefficients = [0.0; Self::EXP.len()];
        let mut i = 0;
        while i < coefficients.len() {
            coefficients[i] = Self::EXP[i] * Self::EXP_UNSCALE;
            i += 1;
        }
        coefficients
    };
    // Interpolation at Chebyshev nodes: relative error of the logarithm 1.7e-8.
    const ARTANH: &'static [f32] = &[0.6666664, 0.4000756, 0.2823662, 0.268515];
    const ARTANH_SHORT: &'static [f32] = Self::ARTANH;
    // Interpolation at Chebyshev nodes: relative error 3e-9.
    #[rustfmt::skip]
    const EXPM1_TAIL: &'static [f64] = &[
        0.5, 0.16666667080382463, 0.041666658721389846, 0.008333308125026341, 0.0013889242001628322,
        0.00019844386845597822, 2.4746110759763716e-05, 2.760208863896241e-06,
        3.005612656526155e-07, 1.0287497648008285e-08, 5.197983194533211e-09,
    ];
    const LN_2_PARTS: [f32; 2] = [0.693_138_1, 9.058_001e-6];
    const COMPENSATED: bool = false;

    #[inline(always)]
    fn two_prod_error_unfused(a: f32, b: f32, p: f32) -> f32 {
        (f64::from(a) * f64::from(b) - f64::from(p)) as f32
    }
    #[inline(always)]
    fn minus_ln_2_unfused(n: f32, y: f32) -> f32 {
        (f64::from(y) - f64::from(n) * f64::from(Self::LN_2)) as f32
    }
    #[inline(always)]
    fn magnitudes(x: &[f32]) -> Option<[f32; 2]> {
        // Integer comparisons, because LLVM may reorder and so vectorise them.
        let (mut least, mut most) = (u32::MAX, 0);
        for x in x {
            let bits = x.to_bits() & 0x7fff_ffff;
            least = least.min(bits);
            most = most.max(bits);
        }
        if least == 0 {
            // 0 − 1 wraps around to the largest integer, so zeros are never the minimum.
            let bits = x.iter().map(|x| (x.to_bits() & 0x7fff_ffff).wrapping_sub(1));
            least = bits.fold(u32::MAX, u32::min).wrapping_add(1);
        }
        (most > 0).then(|| [f32::from_bits(least), f32::from_bits(most)])
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
    fn same<T: Float>(slice: &[f32]) -> Option<&[T]> {
        T::of_f32(slice)
    }
    #[inline(always)]
    fn as_f32_mut(slice: &mut [f32]) -> Option<&mut [f32]> {
        Some(slice)
    }
    #[inline(always)]
    fn widen(eight: [f32; SUM_LANES]) -> [f64; SUM_LANES] {
        core::array::from_fn(|i| f64::from(eight[i]))
    }
}
