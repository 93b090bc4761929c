//! exp, log, log1p and the half-precision loads at every level this CPU has.
#![expect(clippy::disallowed_methods, reason = "the platform's libm is the oracle here")]

use nll_simd::{BF16, Buffer, Dtype, F16, Isa, Kernel, Level, Real, math};

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

/// 100 000 points of [low, high], evenly spread.
fn grid(low: f64, high: f64) -> impl Iterator<Item = f64> {
    (0..=100_000).map(move |i| low + (high - low) * f64::from(i) / 100_000.0)
}

/// A function, its oracle, and the range it is tried on.
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

/// The worst error over the table, in ulps of f64 (the platform's libm is the oracle, itself within 1).
#[test]
fn float64_within_two_ulp_and_fused_levels_agree_in_every_bit() {
    let levels = Level::available();
    println!("levels run: {:?}", levels.iter().map(|level| level.name()).collect::<Vec<_>>());
    for (function, oracle, low, high) in TABLE {
        let mut worst = 0.0f64;
        for x in grid(low, high) {
            let mut fused = Vec::new();
            for level in &levels {
                let (got, want) = (level.run(Apply(function, x)), oracle(x));
                let off = (got - want).abs() / (want.abs().next_up() - want.abs());
                worst = if got == want { worst } else { worst.max(off) };
                if level.has_fma() {
                    fused.push(got.to_bits());
                }
            }
            assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "{function:?} at {x}");
        }
        println!("f64 {function:?} [{low:e}, {high:e}]: {worst:.2} ulp");
        assert!(worst <= 2.0, "{function:?} on [{low:e}, {high:e}]: {worst} ulp");
    }
}

/// The worst error over the table, in ulps of f32, against f64.
#[test]
fn float32_within_one_and_a_half_ulp_and_fused_levels_agree_in_every_bit() {
    let levels = Level::available();
    for (function, oracle, low, high) in TABLE {
        let (low, high) = (low.max(-104.0), high.min(88.0));
        let mut worst = 0.0f64;
        for x in grid(low, high).map(|x| x as f32) {
            let mut fused = Vec::new();
            for level in &levels {
                let (got, want) = (level.run(Apply(function, x)), oracle(f64::from(x)));
                let nearest = (want as f32).abs();
                let ulp = f64::from(nearest.next_up()) - f64::from(nearest);
                let off = (f64::from(got) - want).abs() / ulp;
                worst = if f64::from(got) == want { worst } else { worst.max(off) };
                if level.has_fma() {
                    fused.push(got.to_bits());
                }
            }
            assert!(fused.windows(2).all(|pair| pair[0] == pair[1]), "{function:?} at {x}");
        }
        println!("f32 {function:?} [{low:e}, {high:e}]: {worst:.2} ulp");
        assert!(worst <= 1.5, "{function:?} on [{low:e}, {high:e}]: {worst} ulp");
    }
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
    for level in Level::available() {
        for (function, x, want) in cases {
            assert_eq!(level.run(Apply(function, x)), want, "{} at {x}", level.name());
        }
        for (function, x) in [(Exp, f64::NAN), (Log, f64::NAN), (Log, -1.0), (Log1p, -2.0)] {
            assert!(level.run(Apply(function, x)).is_nan());
        }
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
    for level in Level::available() {
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
