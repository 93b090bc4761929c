//! f32 as a [`Real`]: its constants, and its bits.

use crate::lanes::{CHUNK_LANES, SUM_LANES};
use crate::real::{Real, hide, keep};

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
    const SUBNORMAL_SCALE: [f32; 2] = [33_554_432.0, 25.0];
    const LOG2_E: f32 = core::f32::consts::LOG2_E;
    const LN_2: f32 = core::f32::consts::LN_2;
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
    // Interpolation likewise: relative error of the logarithm 1.7e-8.
    const ARTANH: &'static [f32] = &[0.6666664, 0.4000756, 0.2823662, 0.268515];
    // Interpolation likewise: relative error 1e-9.
    const EXPM1_TAIL: &'static [f64] = &[
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
    const KEEP: &'static [f32; 3 * CHUNK_LANES] = &keep();
    const HIDE: &'static [f32; 2 * CHUNK_LANES + 1] = &hide();
    const COMPENSATED: bool = false;
    type Extended = f64;

    #[inline(always)]
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place: reached only through Isa::mul_add"
    )]
    fn fused_mul_add(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn two_prod_error_unfused(a: f32, b: f32, p: f32) -> f32 {
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
        // As integers, which LLVM may compare in any order.
        let (mut least, mut most) = (u32::MAX, 0);
        for x in x {
            let bits = x.to_bits() & 0x7fff_ffff;
            least = least.min(bits);
            most = most.max(bits);
        }
        if least == 0 {
            // 0 − 1 wraps round and is never the smallest.
            let bits = x.iter().map(|x| (x.to_bits() & 0x7fff_ffff).wrapping_sub(1));
            least = bits.fold(u32::MAX, u32::min).wrapping_add(1);
        }
        (most > 0).then(|| [f32::from_bits(least), f32::from_bits(most)])
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
    fn same<T: Real>(slice: &[f32]) -> Option<&[T]> {
        T::of_f32(slice)
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
    fn widen(eight: [f32; SUM_LANES]) -> [f64; SUM_LANES] {
        core::array::from_fn(|i| f64::from(eight[i]))
    }
}
