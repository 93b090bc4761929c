//! exp, log, log1p and the half-precision loads at every level of this CPU.
#![expect(clippy::disallowed_methods, reason = "the platform's libm is the oracle here")]

mod support;

use nll_simd::{BF16, Buffer, CHUNK, Dtype, Extended, F16, Isa, Kernel, Level, Real, math};
use std::fmt::Debug;
use std::io::Write;
use support::Reference;

#[derive(Clone, Copy, Debug)]
enum Function {
    Exp,
    Log,
    Log1p,
    Log1pUnit,
}

struct Apply<F>(Function, F);

impl<F: Real> Kernel for Apply<F> {
    type Output = F;
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> F {
        match self.0 {
            Function::Exp => math::exp(isa, self.1),
            Function::Log => math::log(isa, self.1),
            Function::Log1p => math::log1p(isa, self.1),
            Function::Log1pUnit => math::log1p_unit(isa, self.1),
        }
    }
}

/// 100 001 evenly spaced points of [low, high].
fn grid(low: f64, high: f64) -> impl Iterator<Item = f64> {
    (0..=100_000).map(move |i| low + (high - low) * f64::from(i) / 100_000.0)
}

/// A function, its oracle, and the range of its arguments.
type Row = (Function, fn(f64) -> f64, f64, f64);

const TABLE: [Row; 8] = [
    (Function::Exp, f64::exp, -745.0, 709.0),
    (Function::Exp, f64::exp, -1.0, 1.0),
    (Function::Log, f64::ln, 1e-300, 1e3),
    (Function::Log, f64::ln, 0.5, 2.0),
    (Function::Log1p, f64::ln_1p, -0.999, 2.0),
    (Function::Log1p, f64::ln_1p, 0.0, 1e300),
    (Function::Log1pUnit, f64::ln_1p, 0.0, 1.0),
    (Function::Log1pUnit, f64::ln_1p, 0.0, 1e-9),
];

/// Every level of this CPU, printed past the capture of the test harness.
fn levels() -> Vec<Level> {
    let levels = Level::available();
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    writeln!(std::io::stderr(), "levels run: {}", names.join(", ")).expect("stderr is open");
    levels
}

/// The bits of each fused level are those of the reference, and every level is within `bound` ulps.
fn check<F: Real + Debug>(
    bound: f64,
    range: impl Fn(f64, f64) -> [f64; 2],
    ulp: impl Fn(f64) -> f64,
) {
    let levels = levels();
    let agreement = match levels.iter().filter(|level| level.has_fma()).count() {
        0 => "could NOT be checked: this CPU has no fused level",
        1 => "checked between one fused level and the reference",
        _ => "checked between the fused levels and the reference",
    };
    writeln!(std::io::stderr(), "agreement of bits {agreement}").expect("stderr is open");
    for (function, oracle, low, high) in TABLE {
        let [low, high] = range(low, high);
        let mut worst = 0.0f64;
        for x in grid(low, high).map(F::from_f64) {
            let (reference, want) = (Apply(function, x).run(Reference), oracle(x.to_f64()));
            for level in &levels {
                let got = level.run(Apply(function, x));
                assert!(!got.is_nan(), "{function:?} at {x:?}, {}", level.name());
                let off = (got.to_f64() - want).abs() / ulp(want.abs());
                worst = if got.to_f64() == want { worst } else { worst.max(off) };
                let same = got.to_f64().to_bits() == reference.to_f64().to_bits();
                assert!(same || !level.has_fma(), "{function:?} at {x:?}, {}", level.name());
            }
        }
        println!("{function:?} [{low:e}, {high:e}]: {worst:.2} ulp");
        assert!(worst <= bound, "{function:?} on [{low:e}, {high:e}]: {worst} ulp");
    }
}

/// The worst error over the table, in ulps of f64. The oracle is the platform's libm, which is
/// itself within 1 ulp.
#[test]
fn float64_within_two_ulp_and_fused_levels_agree_in_every_bit() {
    check::<f64>(2.0, |low, high| [low, high], |want| want.next_up() - want);
}

/// The worst error over the table, in ulps of f32, against f64.
#[test]
fn float32_within_one_and_a_half_ulp_and_fused_levels_agree_in_every_bit() {
    let ulp = |want: f64| {
        let nearest = want as f32;
        f64::from(nearest.next_up()) - f64::from(nearest)
    };
    check::<f32>(1.5, |low, high| [low.max(-104.0), high.min(88.0)], ulp);
}

#[test]
fn limits() {
    use Function::{Exp, Log, Log1p};
    let inf = f64::INFINITY;
    let cases = [
        (Exp, -inf, 0.0),
        (Exp, inf, inf),
        (Exp, 0.0, 1.0),
        (Exp, 1000.0, inf),
        (Exp, -745.0, 5e-324),
        (Log, 0.0, -inf),
        (Log, 1.0, 0.0),
        (Log, inf, inf),
        (Log, 5e-324, -744.440_071_921_381_2),
        (Log1p, -1.0, -inf),
        (Log1p, 0.0, 0.0),
        (Log1p, 1e-300, 1e-300),
        (Log1p, inf, inf),
    ];
    for level in levels() {
        for (function, x, want) in cases {
            assert_eq!(level.run(Apply(function, x)), want, "{} at {x}", level.name());
        }
        for (function, x) in [(Exp, f64::NAN), (Log, f64::NAN), (Log, -1.0), (Log1p, -2.0)] {
            assert!(level.run(Apply(function, x)).is_nan());
        }
    }
}

/// e^x, log x and log(1 + x) of f64 as the wider type of f32.
struct Wide(f64);

impl Kernel for Wide {
    type Output = [f64; 3];
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> [f64; 3] {
        [self.0.mul_exp(isa, 1.0), Extended::log(isa, self.0), Extended::log1p(self.0, isa)]
    }
}

/// They are to 32 bits what the name says: a 250th of an ulp of f32.
#[test]
fn functions_of_the_wider_type_of_float32() {
    let oracles: [fn(f64) -> f64; 3] = [f64::exp, f64::ln, f64::ln_1p];
    let ranges = [[-700.0, 700.0], [1e-9, 2.0], [1e-300, 1e9], [-0.7, 1.0], [-1e-9, 1e-9]];
    for level in levels() {
        for x in ranges.into_iter().flat_map(|[low, high]| grid(low, high)) {
            for (got, oracle) in level.run(Wide(x)).into_iter().zip(oracles) {
                let want = oracle(x);
                let is_close = got == want || (got - want).abs() <= want.abs() * 2.0f64.powi(-32);
                assert!(is_close || want.is_nan(), "{x}: {got}, not {want}, {}", level.name());
                assert_eq!(got.is_nan(), want.is_nan(), "{x}, {}", level.name());
            }
        }
        let inf = f64::INFINITY;
        assert_eq!(level.run(Wide(inf)), [inf; 3]);
        assert_eq!(level.run(Wide(0.0)), [1.0, -inf, 0.0]);
        assert_eq!(level.run(Wide(-1.0))[2], -inf);
        assert_eq!(level.run(Wide(-inf))[0], 0.0);
        assert!(level.run(Wide(-inf))[1..].iter().all(|x| x.is_nan()));
        assert!(level.run(Wide(f64::NAN)).iter().all(|x| x.is_nan()));
    }
}

/// log(1 + e^−|x|) of a chunk.
struct Logistic<'a, F>(&'a [F; CHUNK]);

impl<F: Real> Kernel for Logistic<'_, F> {
    type Output = [F; CHUNK];
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> [F; CHUNK] {
        let mut g = [F::ZERO; CHUNK];
        F::log1p_exp_neg_abs(isa, self.0, &mut g);
        g
    }
}

/// Every 509th float32 from 0 to 104: within 1.1 ulp, never rising, the same bits on all fused
/// levels and for the negative number.
#[test]
fn logistic_table_is_accurate_and_monotone_with_equal_bits() {
    let all = (0..=104f32.to_bits()).step_by(509).map(f32::from_bits).collect::<Vec<_>>();
    for level in levels() {
        let (mut before, mut worst) = (f32::INFINITY, 0.0f64);
        for x in all.as_chunks::<CHUNK>().0 {
            let (got, of_negative) = (level.run(Logistic(x)), level.run(Logistic(&x.map(|x| -x))));
            assert_eq!(got, of_negative, "{}", level.name());
            if level.has_fma() {
                assert_eq!(got, Logistic(x).run(Reference), "{}", level.name());
            }
            for (got, x) in got.into_iter().zip(x) {
                let want = (-f64::from(*x)).exp().ln_1p();
                let ulp = f64::from((want as f32).next_up()) - f64::from(want as f32);
                worst = worst.max((f64::from(got) - want).abs() / ulp);
                assert!(got <= before || !level.has_fma(), "rises at {x}, {}", level.name());
                before = got;
            }
        }
        println!("log(1 + e^-a), float32, {}: {worst:.2} ulp", level.name());
        assert!(worst <= if level.has_fma() { 1.1 } else { 1.3 }, "{worst}, {}", level.name());
        let limits = [0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 15.75, 15.749999, 104.0];
        let mut x = [1.0; CHUNK];
        x[..limits.len()].copy_from_slice(&limits);
        let [zero, inf, neg_inf, nan, at, below, least, ..] = level.run(Logistic(&x));
        assert_eq!([zero, inf, neg_inf], [core::f32::consts::LN_2, 0.0, 0.0]);
        assert!(nan.is_nan() && at <= below && least == f32::from_bits(0), "{}", level.name());
    }
}

struct Read<'a, T: Dtype>(&'a [T::Storage]);

impl<T: Dtype> Kernel for Read<'_, T> {
    type Output = Vec<T::Real>;
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Vec<T::Real> {
        T::read(isa, self.0, &mut Buffer::default()).to_vec()
    }
}

/// (−1)^s · 2^(e − bias) · (1 + m), from the definition of the format.
fn half(bits: u16, mantissa_bits: u32, bias: i32) -> f64 {
    let exponent_mask = (1u32 << (15 - mantissa_bits)) - 1;
    let exponent = (u32::from(bits) >> mantissa_bits) & exponent_mask;
    let mantissa = f64::from(bits & ((1 << mantissa_bits) - 1)) / f64::from(1 << mantissa_bits);
    let magnitude = match exponent {
        0 => mantissa * 2f64.powi(1 - bias),
        e if e == exponent_mask && mantissa > 0.0 => f64::NAN,
        e if e == exponent_mask => f64::INFINITY,
        e => (1.0 + mantissa) * 2f64.powi(e as i32 - bias),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

#[test]
fn all_65536_halves_are_read_exactly_at_every_level() {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for level in levels() {
        let (f16, bf16) = (level.run(Read::<F16>(&all)), level.run(Read::<BF16>(&all)));
        for (i, &bits) in all.iter().enumerate() {
            let (want, want_b) = (half(bits, 10, 15), half(bits, 7, 127));
            let same = |got: f32, want: f64| {
                (got.is_nan() && want.is_nan()) || f64::from(got).to_bits() == want.to_bits()
            };
            assert!(same(f16[i], want), "f16 {bits:#06x} at {}: {}", level.name(), f16[i]);
            assert!(same(bf16[i], want_b), "bf16 {bits:#06x} at {}: {}", level.name(), bf16[i]);
            assert!(F16::value(bits) == want || want.is_nan());
            assert!(BF16::value(bits) == want_b || want_b.is_nan());
        }
    }
}
