//! Σ e^x at every level, and exact totals.
#![expect(clippy::disallowed_methods, reason = "the platform's libm is the oracle here")]

mod support;

use nll_kernels::Level;
use nll_kernels::data::exact_sum::ExactSum;
use nll_kernels::data::rows::{BLOCK, Block};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::fold::{Fold, LogSum};
use nll_kernels::math::row;
use nll_kernels::math::terms::NONE;
use nll_simd::{Isa, Kernel, Prefetch, Real};
use support::{Hash, Numbers, fused_levels};

/// Σ e^x over the blocks of a row, without the class `skip`.
#[inline(always)]
fn sum_of<S: Isa>(isa: S, row: &[f32], skip: usize) -> LogSum<f32> {
    let (mut sum, mut scratch) = (LogSum::without(skip), Scratch::default());
    for (i, x) in row.chunks(BLOCK).enumerate() {
        let (first, length) = (i * BLOCK, x.len());
        let block = Block { first, length, x: [x], prefetch: [Prefetch::NOTHING] };
        sum.push(isa, &block, &mut scratch);
    }
    sum
}

struct Sum<'a>(&'a [f32], usize);

impl Kernel for Sum<'_> {
    type Output = (f64, f64);
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> (f64, f64) {
        let scaled = sum_of(isa, self.0, self.1).finish(isa);
        let center = scaled.center + scaled.correction;
        let log = center + scaled.exponent * core::f64::consts::LN_2 + scaled.sum.ln();
        (log, scaled.max)
    }
}

struct Bits<'a>(&'a [f32]);

impl Kernel for Bits<'_> {
    type Output = [u64; 3];
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> [u64; 3] {
        let all = sum_of(isa, self.0, NONE).finish(isa);
        let lse = row::log_sum_exp::<S, f32>(isa, all);
        let loss = row::target_against_rest::<S, f32>(isa, all, f64::from(self.0[0]));
        [all.sum.to_bits(), lse.to_bits(), loss.to_bits()]
    }
}

/// A hash over the bits of sums, logarithms and losses of many rows. The number was computed on
/// AVX-512 and holds on every CPU with fused multiply-add; a change of it is a change of results
/// and belongs in the release notes.
#[test]
fn golden_bits_on_every_fused_level() {
    for level in fused_levels("golden bits of sums") {
        let mut hash = Hash::new();
        for length in 1..300 {
            for shift in [0.0, -700.0, 1e5] {
                let row: Vec<f32> = values(length * 17, 3).iter().map(|x| x + shift).collect();
                level.run(Bits(&row)).into_iter().for_each(|bits| hash.add(bits));
            }
        }
        assert_eq!(hash.0, GOLDEN, "{}: {:#x}", level.name(), hash.0);
    }
}

const GOLDEN: u64 = 0x3e95_aa0d_008e_50e3;

/// Numbers in about [−7, 7].
fn values(length: usize, seed: u32) -> Vec<f32> {
    let mut numbers = Numbers(seed);
    (0..length).map(|_| numbers.next() as f32 / 1_198_373.0 - 7.0).collect()
}

#[test]
fn every_length_and_skip_at_every_level() {
    for length in [1, 2, 31, 32, 33, 100, 2047, 2048, 2049, 5000] {
        for shift in [0.0, 500.0, -500.0, 30_000.0] {
            let x: Vec<f32> = values(length, length as u32).iter().map(|x| x + shift).collect();
            for skip in [NONE, 0, length / 2, length - 1] {
                let kept = x.iter().enumerate().filter(|(i, _)| *i != skip);
                let kept: Vec<f64> = kept.map(|(_, &x)| f64::from(x)).collect();
                let max = kept.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let want = max + kept.iter().map(|x| (x - max).exp()).sum::<f64>().ln();
                let mut fused = Vec::new();
                for level in Level::available() {
                    let (got, largest) = level.run(Sum(&x, skip));
                    let near = (got - want).abs() <= 1.5e-7 || (got == want);
                    assert!(near, "{} {length} {shift} {skip}: {got} {want}", level.name());
                    assert_eq!(largest, max);
                    if level.has_fma() {
                        fused.push(got.to_bits());
                    }
                }
                assert!(fused.windows(2).all(|pair| pair[0] == pair[1]));
            }
        }
    }
}

struct Short<'a>(&'a [f32], usize, usize);

impl Kernel for Short<'_> {
    type Output = [u64; 2];
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> [u64; 2] {
        let Short(x, length, skip) = self;
        let (mut sum, mut scratch) = (LogSum::without(skip), Scratch::default());
        let block = Block { first: 0, length, x: [x], prefetch: [Prefetch::NOTHING] };
        sum.push(isa, &block, &mut scratch);
        let sum = sum.finish(isa);
        [sum.sum.to_bits(), sum.max.to_bits()]
    }
}

#[test]
fn what_lies_behind_a_row_and_what_is_left_out_is_never_seen() {
    for level in Level::available() {
        for length in 1..300 {
            let row = values(length, 5);
            let mut behind = row.clone();
            behind.extend([f32::NAN; 40]);
            for skip in (0..length).chain([NONE, length + 1]) {
                let want = level.run(Short(&row, length, skip));
                assert_eq!(level.run(Short(&behind, length, skip)), want);
                if skip < length {
                    for hidden in [f32::NAN, f32::INFINITY, 3e38] {
                        let mut changed = row.clone();
                        changed[skip] = hidden;
                        assert_eq!(level.run(Short(&changed, length, skip)), want);
                    }
                    // Anywhere else a NaN is seen.
                    let mut changed = row.clone();
                    changed[skip] = f32::NAN;
                    let [sum, _] = level.run(Short(&changed, length, (skip + 1) % length));
                    assert!(length == 1 || f64::from_bits(sum).is_nan());
                }
            }
        }
    }
}

#[test]
fn a_rising_row_moves_its_reference_and_loses_nothing() {
    let x: Vec<f32> = (0..3 * BLOCK).map(|i| (i / 32) as f32 * 3.0 - 300.0).collect();
    let max = f64::from(x[x.len() - 1]);
    let want = max + x.iter().map(|&x| (f64::from(x) - max).exp()).sum::<f64>().ln();
    for level in Level::available() {
        assert!((level.run(Sum(&x, NONE)).0 - want).abs() < 1.5e-7);
    }
}

fn total(terms: impl IntoIterator<Item = f64>) -> ExactSum {
    let mut sum = ExactSum::default();
    terms.into_iter().for_each(|term| sum.add(term));
    sum
}

#[test]
fn totals_are_exact_and_merge_to_the_same_bits() {
    assert_eq!(total([1e308, 1.0, -1e308]).value(), 1.0);
    assert_eq!(total([5e-324; 3]).value(), 1.5e-323);
    assert_eq!(total([1e308, 1e308, -1e308]).value(), 1e308);
    assert_eq!(total([0.1; 10]).value(), 1.0);
    // Ties go to even; anything below a tie breaks it.
    assert_eq!(total([1.0, f64::EPSILON / 2.0]).value(), 1.0);
    assert_eq!(total([1.0, f64::EPSILON / 2.0, 1e-300]).value(), 1.0f64.next_up());
    assert_eq!(total([-1.0, -f64::EPSILON / 2.0, -1e-300]).value(), -1.0f64.next_up());
    assert_eq!(total([]).value(), 0.0);
    assert_eq!(total([f64::INFINITY, 1.0]).value(), f64::INFINITY);
    assert!(total([f64::INFINITY, f64::NEG_INFINITY]).value().is_nan());
    let terms: Vec<f64> = values(5000, 7).iter().map(|&x| f64::from(x).powi(9)).collect();
    let whole = total(terms.iter().copied()).value();
    for cut in [1, 17, 2500, 4999] {
        let mut merged = total(terms[cut..].iter().rev().copied());
        merged.merge(&total(terms[..cut].iter().copied()));
        assert_eq!(merged.value().to_bits(), whole.to_bits());
    }
}

struct Blocks<'a, F>(&'a [F]);

impl<F: Real> Kernel for Blocks<'_, F> {
    type Output = ExactSum;
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> ExactSum {
        let mut sum = ExactSum::default();
        sum.add_block(isa, self.0);
        sum
    }
}

/// A block is added in lanes, in one to three units, or term by term, as its exponents allow.
fn blocks_are_exact<F: Real>(exponent: i32, crowded: bool) {
    let sizes = values(2048, 11);
    for spread in (0..130).step_by(3).chain(40..56) {
        for length in [1, 31, 32, 33, 1000, 2048] {
            // All mantissas are full. One term is as large as can be, one as small as can be; the
            // others lie between, or all at the top if `crowded`.
            let terms = sizes[..length].iter().enumerate().map(|(i, &x)| {
                let others = if crowded { 0.0 } else { (f64::from(x).abs() / 8.0).fract() };
                let size = if i < 2 { i as f64 } else { others };
                let power = exponent - (size * f64::from(spread)) as i32;
                let term = F::from_f64((2.0 - 2.0f64.powi(-F::MANTISSA_BITS)) * 2f64.powi(power));
                match (spread + i as i32) % 5 {
                    0 if !crowded && length > 32 => F::ZERO,
                    1 if !crowded && spread % 2 == 0 => -term,
                    _ => term,
                }
            });
            let terms: Vec<F> = terms.collect();
            let want = total(terms.iter().map(|term| term.to_f64())).to_bytes();
            for level in Level::available() {
                let got = level.run(Blocks(&terms)).to_bytes();
                assert_eq!(got, want, "{} {exponent} {spread} {length}", level.name());
            }
        }
    }
}

#[test]
fn blocks_of_every_spread_are_added_exactly() {
    for crowded in [false, true] {
        for exponent in [0, 100, -20] {
            blocks_are_exact::<f32>(exponent, crowded);
        }
        for exponent in [0, 1000, -900, -850] {
            blocks_are_exact::<f64>(exponent, crowded);
        }
    }
}
