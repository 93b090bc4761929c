//! log y! at every level of this CPU, against values that mpmath computed.

mod support;

use nll_simd::{Float, Isa, Kernel, Level, Real, log_factorial};
use support::Reference;

/// log y! of each y, in a loop that LLVM vectorises.
struct LogFactorials<'a, F>(&'a [F]);

impl<F: Real> Kernel for LogFactorials<'_, F> {
    type Output = Vec<F>;
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Vec<F> {
        let mut values = vec![F::ZERO; self.0.len()];
        for (value, &y) in values.iter_mut().zip(self.0) {
            *value = log_factorial(isa, y);
        }
        values
    }
}

/// y, log y! rounded to f64, and its rounding error: about 680 numbers, among them those near the
/// zeros 0 and 1, near 2, where the formulas meet, near √2·2^k − ½, where the logarithm takes the
/// next power of two, the whole numbers to 170, and the last before log y! overflows.
/// `benches/log_gamma_coefficients.py values` prints them.
fn values() -> Vec<[f64; 3]> {
    let lines = include_str!("log_factorial.txt").lines();
    let numbers = lines.map(|line| {
        let mut numbers = line.split(' ').map(|x| x.parse().expect("a number"));
        [(); 3].map(|()| numbers.next().expect("three numbers in each line"))
    });
    numbers.collect()
}

/// The error in units of the last place of F. `want` is the result rounded to f64, `rest` its
/// rounding error.
fn ulps<F: Float>(got: F, [want, rest]: [f64; 2], next_up: impl Fn(F) -> F) -> f64 {
    let (nearest, got) = (F::from_f64(want).abs(), got.to_f64());
    if got == nearest.to_f64() && nearest == F::INFINITY {
        return 0.0;
    }
    let ulp = next_up(nearest).to_f64() - nearest.to_f64();
    ((got - want) - rest).abs() / ulp
}

/// Checks that the error is at most 0.75 ulp, or 1.6 ulp without fused multiply-add.
fn check<F: Real>(y: &[F], want: &[[f64; 2]], next_up: impl Fn(F) -> F) {
    for level in Level::available() {
        let mut worst = 0.0f64;
        for ((&y, &want), got) in y.iter().zip(want).zip(level.run(LogFactorials(y))) {
            let error = ulps(got, want, &next_up);
            let bound = if level.has_fma() { 0.75 } else { 1.6 };
            let (at, got) = (y.to_f64(), got.to_f64());
            assert!(error <= bound, "{got:e} at {at:e}: {error} ulp, {}", level.name());
            worst = worst.max(error);
        }
        println!("log y!, {} bytes, {}: {worst:.3} ulp", size_of::<F>(), level.name());
    }
}

#[test]
fn float64_within_three_quarters_of_an_ulp() {
    let (y, want): (Vec<_>, Vec<_>) = values().into_iter().map(|[y, a, b]| (y, [a, b])).unzip();
    check(&y, &want, f64::next_up);
}

/// At those values whose y is a float32.
#[test]
fn float32_within_three_quarters_of_an_ulp() {
    let exact = values().into_iter().filter(|[y, ..]| f64::from(*y as f32) == *y);
    let (y, want): (Vec<_>, Vec<_>) = exact.map(|[y, a, b]| (y as f32, [a, b])).unzip();
    assert!(y.len() > 400, "only {} values are at float32 numbers", y.len());
    check(&y, &want, f32::next_up);
}

/// Every 2003rd float32 to +∞, against this function in f64.
#[test]
fn float32_within_three_quarters_of_an_ulp_of_float64() {
    let bits = (0..f32::INFINITY.to_bits()).step_by(2003);
    let y: Vec<_> = bits.map(f32::from_bits).collect();
    let wide: Vec<_> = y.iter().copied().map(f64::from).collect();
    let widest = Level::available().pop().unwrap();
    let want: Vec<_> = widest.run(LogFactorials(&wide)).into_iter().map(|x| [x, 0.0]).collect();
    check(&y, &want, f32::next_up);
}

/// At the values, and at 300 000 numbers spread over the exponents.
fn fused_levels_agree<F: Real>(dense: impl Iterator<Item = F>) {
    let mut y: Vec<_> = values().into_iter().map(|[y, ..]| F::from_f64(y)).collect();
    y.extend(dense);
    y.extend([F::INFINITY, F::NAN, -F::ONE]);
    let want = LogFactorials(&y).run(Reference);
    for level in Level::available().into_iter().filter(|level| level.has_fma()) {
        let got = level.run(LogFactorials(&y));
        for ((got, want), y) in got.iter().zip(&want).zip(&y) {
            let (got, want) = (got.to_f64(), want.to_f64());
            let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
            assert!(same, "{got:e}, not {want:e}, at {:e}, {}", y.to_f64(), level.name());
        }
    }
}

#[test]
fn fused_levels_agree_in_every_bit_of_float64() {
    let step = usize::try_from(f64::MAX.to_bits() / 300_000).unwrap();
    fused_levels_agree((0..f64::MAX.to_bits()).step_by(step).map(f64::from_bits));
}

#[test]
fn fused_levels_agree_in_every_bit_of_float32() {
    fused_levels_agree((0..f32::MAX.to_bits()).step_by(7001).map(f32::from_bits));
}

/// 0 (not −0) at the zeros, +∞ where log y! overflows, NaN below 0.
fn check_limits<F: Real>(largest: F) {
    let zeros = [F::ZERO, -F::ZERO, F::ONE].map(|y| (y, 0.0));
    let infinite = [F::INFINITY, largest].map(|y| (y, f64::INFINITY));
    let nan = [F::NAN, F::NEG_INFINITY, -F::ONE, -F::LEAST_NORMAL].map(|y| (y, f64::NAN));
    for level in Level::available() {
        for (y, want) in zeros.iter().chain(&infinite).chain(&nan) {
            let got = level.run(LogFactorials(&[*y]))[0].to_f64();
            let same = got.to_bits() == want.to_bits() || (got.is_nan() && want.is_nan());
            assert!(same, "{got}, not {want}, at {}, {}", y.to_f64(), level.name());
        }
    }
}

#[test]
fn limits() {
    check_limits(f32::MAX);
    check_limits(f64::MAX);
}
