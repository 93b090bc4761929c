//! States of parts of a row merge to the state of the whole row, and totals to the same bits in any
//! order.
#![expect(clippy::disallowed_methods, reason = "the platform's libm is the oracle here")]

mod support;

use nll_kernels::Level;
use nll_kernels::data::exact_sum::ExactSum;
use nll_kernels::data::rows::{BLOCK, Block};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::data::totals::Totals;
use nll_kernels::fold::{Entropy, Fold, Linear, LogSum, Others, Pick};
use nll_kernels::math::row::ScaledSum;
use nll_kernels::math::terms::NONE;
use nll_simd::math::{LN_2_HI, LN_2_LO};
use nll_simd::{Extended, Isa, Kernel, Prefetch, Real};
use support::Numbers;

/// A row that is cut in front of class `at`, and what the folds need.
#[derive(Clone, Copy)]
struct Cut<'a, F> {
    row: &'a [F],
    at: usize,
    /// The class that is left out or picked.
    class: usize,
    weight: Option<&'a [f64]>,
}

impl<F: Real> Cut<'_, F> {
    /// The fold of the whole row, and the merged folds of the parts before and from `at` on.
    fn both<S: Isa, A: Fold<F> + Copy>(self, isa: S, empty: A) -> [A::Row; 2] {
        let push = |start: usize, end: usize| {
            let (mut fold, mut scratch) = (empty, Scratch::default());
            for (i, x) in self.row[start..end].chunks(BLOCK).enumerate() {
                let (first, length) = (start + i * BLOCK, x.len());
                let block = Block { first, length, x: [x], prefetch: [Prefetch::NOTHING] };
                fold.push(isa, &block, &mut scratch);
            }
            fold
        };
        let mut merged = push(0, self.at);
        merged.merge(isa, push(self.at, self.row.len()));
        [push(0, self.row.len()).finish(isa), merged.finish(isa)]
    }

    /// By how much the merged part of label smoothing may differ: rounding errors of its terms.
    fn linear_tolerance(self, shift: f64) -> f64 {
        let theirs = self.row.get(self.at).map_or(0.0, |x| x.to_f64());
        let sizes = self.row.iter().map(|x| (x.to_f64() - shift).abs() + (theirs - shift).abs());
        let weight = |class: usize| self.weight.map_or(1.0, |weight| weight[class]);
        let sizes = sizes.enumerate().filter(|(_, size)| size.is_finite());
        1e-15 * sizes.map(|(class, size)| weight(class) * size).sum::<f64>()
    }
}

/// The relative difference of two sums; NaN if one of them is NaN.
fn difference(a: ScaledSum, b: ScaledSum) -> f64 {
    if a.sum == b.sum && a.sum == 0.0 {
        return 0.0;
    }
    let exponent = a.exponent - b.exponent;
    let center = (a.center - b.center) + (a.correction - b.correction);
    let log = (center + exponent * LN_2_HI) + exponent * LN_2_LO;
    (a.sum / b.sum * log.exp() - 1.0).abs()
}

impl<F: Real> Kernel for Cut<'_, F> {
    type Output = Result<(), String>;

    fn run<S: Isa>(self, isa: S) -> Self::Output {
        let check = |is_right: bool, what: &str, found: &dyn Fn() -> String| {
            if is_right { Ok(()) } else { Err(format!("{what}: {}", found())) }
        };
        let same = |[a, b]: [f64; 2]| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
        let sum = LogSum::<F>::without(self.class);
        let [whole, merged] = self.both(isa, sum);
        let tolerance = if F::COMPENSATED { 1e-15 } else { 2e-7 };
        let near = whole.max == merged.max && difference(whole, merged) <= tolerance;
        let both_nan = whole.sum.is_nan() && merged.sum.is_nan();
        check(near || both_nan, "LogSum", &|| format!("{whole:?} {merged:?}"))?;

        let [a, b] = self.both(isa, Others::<F>::empty());
        check(a.x == b.x && a.at == b.at, "Others", &|| {
            format!("{} {}, {} {}", a.x.to_f64(), b.x.to_f64(), a.at, b.at)
        })?;

        let entropies = self.both(isa, Entropy::<F>::empty());
        let [a, b] = entropies.map(|row| Entropy::<F>::value(isa, row));
        let near = same([a, b]) || (a - b).abs() <= tolerance * a.abs() + F::LEAST_NORMAL.to_f64();
        check(near, "Entropy", &|| format!("{a} {b}"))?;

        let pick = Pick::new(self.class);
        let picked: [f64; 2] = self.both(isa, pick);
        check(same(picked), "Pick", &|| format!("{picked:?}"))?;

        let linear = Linear::empty(self.weight);
        let [(a, shift), (b, shift_b)]: [(F::Extended, f64); 2] = self.both(isa, linear);
        let [a, b] = [a, b].map(Extended::rounded);
        let near = same([a, b]) || (a - b).abs() <= self.linear_tolerance(shift);
        check(near && shift == shift_b, "Linear", &|| format!("{a} {b}, {shift} {shift_b}"))?;

        // Folds side by side are the same folds.
        let [_, ((pair_sum, pair_pick), (pair_linear, pair_shift))] =
            self.both(isa, ((sum, pick), linear));
        let together = same([pair_sum.sum, merged.sum])
            && same([pair_pick, picked[1]])
            && same([pair_linear.rounded(), b])
            && pair_shift == shift_b;
        check(together, "pairs", &|| {
            format!("{pair_sum:?} {pair_pick} {} {pair_shift}", pair_linear.rounded())
        })
    }
}

/// Rows of every kind that has its own way through the folds.
fn rows(length: usize) -> Vec<(&'static str, Vec<f64>)> {
    const INFINITY: f64 = f64::INFINITY;
    let row = |change: &dyn Fn(usize, f64) -> f64| {
        let mut numbers = Numbers(length as u32);
        (0..length).map(|class| change(class, numbers.between(-1.0, 1.0))).collect::<Vec<_>>()
    };
    let middle = length / 2;
    let only = |other: f64| move |class, x| if class == middle { other } else { x };
    vec![
        ("narrow", row(&|_, x| 7.0 * x)),
        ("wide", row(&|_, x| 90.0 * x)),
        ("very wide", row(&|_, x| 3000.0 * x)),
        ("about the largest scale without a center", row(&|_, x| 16384.0 + 40.0 * x)),
        ("high", row(&|_, x| 30_000.0 + 7.0 * x)),
        ("low", row(&|_, x| -30_000.0 + 7.0 * x)),
        ("where e^x is 2^-1024", row(&|_, x| -709.8 + 0.2 * x)),
        ("far and wide", row(&|_, x| 1e6 * x)),
        ("rising", row(&|class, x| class as f64 * 9.0 - 300.0 + x)),
        ("falling", row(&|class, x| 30_000.0 - class as f64 * 700.0 + x)),
        ("ties", row(&|_, x| (3.0 * x).round())),
        ("some -inf", row(&|class, x| if class % 3 == 0 { -INFINITY } else { x - 750.0 })),
        ("-inf first", row(&|class, x| if class < middle { -INFINITY } else { 1e5 * x })),
        ("all -inf", row(&|_, _| -INFINITY)),
        ("one NaN", row(&only(f64::NAN))),
        ("all NaN", row(&|_, _| f64::NAN)),
        ("one +inf", row(&only(INFINITY))),
    ]
}

fn check_merges<F: Real>(name: &str, row: &[f64], cuts: impl Iterator<Item = usize>) {
    let row: Vec<F> = row.iter().map(|&x| F::from_f64(x)).collect();
    let weight: Vec<f64> = (0..row.len()).map(|class| (class % 4) as f64 / 2.0).collect();
    for at in cuts {
        for (class, weight) in [(NONE, None), (row.len() / 3, Some(&weight[..])), (at, None)] {
            for level in Level::available() {
                let cut = Cut { row: &row, at, class, weight };
                let (level, length, bits) = (level, row.len(), 8 * size_of::<F>());
                let result = level.run(cut);
                let level = level.name();
                assert!(
                    result.is_ok(),
                    "{level}, f{bits}, a row of {length} classes ({name}) cut at {at}, without or \
                     with class {class}: {result:?}"
                );
            }
        }
    }
}

#[test]
fn parts_of_short_rows_merge_wherever_they_are_cut() {
    for length in [1, 2, 3, 7, 8, 9, 20, 31, 32, 33, 40] {
        for (name, row) in rows(length) {
            check_merges::<f32>(name, &row, 0..=length);
            check_merges::<f64>(name, &row, 0..=length);
        }
    }
}

#[test]
fn parts_of_long_rows_merge() {
    for (name, row) in rows(5000) {
        let cuts = [0, 1, 32, 1000, 2047, 2048, 2049, 4097, 4999, 5000];
        check_merges::<f32>(name, &row, cuts.into_iter());
        check_merges::<f64>(name, &row, cuts.into_iter());
    }
}

fn sum(terms: &[f64]) -> ExactSum {
    let mut sum = ExactSum::default();
    terms.iter().for_each(|&term| sum.add(term));
    sum
}

/// All that can be read from totals; sums as their bits.
fn read(totals: &Totals) -> (u64, u64, u64, Option<u64>, Option<u64>) {
    let [sum, weight] = [totals.sum.value(), totals.weight()].map(f64::to_bits);
    (sum, weight, totals.count, totals.ignored, totals.top1)
}

#[test]
fn totals_are_the_same_in_any_order_and_grouping() {
    let totals = |terms: &[f64], weights: Option<&[f64]>, [ignored, top1]: [Option<u64>; 2]| {
        let (count, weight) = (terms.len() as u64, weights.map(|w| Box::new(sum(w))));
        Totals { sum: sum(terms), weight, count, ignored, top1, moments: None }
    };
    let all = [
        Totals::default(),
        totals(&[0.1, 1e300, 3.0], None, [Some(2), Some(1)]),
        totals(&[1e-300, -1e300], Some(&[0.3, 1e-20]), [Some(0), Some(2)]),
        // All rows ignored.
        totals(&[], None, [Some(5), Some(0)]),
        totals(&[], Some(&[]), [Some(4), Some(0)]),
        // Losses of elements: nothing can be ignored.
        totals(&[0.7; 9], None, [None, None]),
        // Gathered entries: what is largest is not known.
        totals(&[2.5, 1e16], Some(&[1.0, 0.1]), [Some(1), None]),
        totals(&[f64::INFINITY], None, [Some(0), Some(0)]),
    ];
    let mut numbers = Numbers(1);
    let mut pick = || all[numbers.next() as usize % all.len()].clone();
    for _ in 0..2000 {
        let [a, b, c, d] = [(); 4].map(|()| pick());
        let add = |parts: [&Totals; 2]| parts[0].clone().add(parts[1].clone());
        let want = read(&add([&add([&add([&a, &b]), &c]), &d]));
        for [a, b, c, d] in [[&a, &b, &c, &d], [&d, &c, &b, &a], [&b, &d, &a, &c], [&c, &a, &d, &b]]
        {
            for sum in [
                add([&add([a, b]), &add([c, d])]),
                add([a, &add([b, &add([c, d])])]),
                add([&add([a, &add([b, c])]), d]),
            ] {
                assert_eq!(read(&sum), want, "{a:?} {b:?} {c:?} {d:?}");
            }
        }
    }
}

#[test]
fn exact_sums_come_back_from_their_bytes() {
    let tiny = f64::from_bits(1);
    let mut sums: Vec<ExactSum> = [
        &[][..],
        &[-1.0],
        &[-tiny],
        &[1.0, -1e308, tiny],
        &[1e308, 1e308, -tiny],
        &[-1e308, -1e308],
        &[f64::MAX, -f64::MAX],
        &[0.1; 1000],
        &[f64::INFINITY, -2.0],
        &[f64::NEG_INFINITY, 3.0],
        &[f64::NAN],
    ]
    .into_iter()
    .map(sum)
    .collect();
    // Doubled until carries must have been taken, and with some still to be taken.
    for terms in [[0.1, -0.3], [-f64::MAX, tiny], [1e308, 1e-308], [-1e16, 1.0 + f64::EPSILON]] {
        let mut doubled = sum(&terms);
        for _ in 0..40 {
            doubled.merge(&doubled.clone());
            sums.push(doubled.clone());
        }
        let digits: Vec<f64> = terms.iter().map(|term| term * 2f64.powi(40)).collect();
        if digits.iter().all(|term| term.is_finite()) {
            assert_eq!(doubled.to_bytes(), sum(&digits).to_bytes());
        }
    }
    for sum in &sums {
        let mut back = ExactSum::from_bytes(&sum.to_bytes(), sum.special());
        let read =
            |sum: &ExactSum| (sum.value().to_bits(), sum.special().to_bits(), sum.to_bytes());
        assert_eq!(read(&back), read(sum));
        // And it goes on as the original does.
        let mut sum = sum.clone();
        for term in [-0.7, 1e300, -tiny] {
            sum.add(term);
            back.add(term);
        }
        sum.merge(&back.clone());
        let twice = sum.clone();
        back.merge(&back.clone());
        assert_eq!(read(&back), read(&twice));
    }
}
