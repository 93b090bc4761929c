//! Σ e^a, Σ e^b and Σ e^a·(a − b) at every level of this CPU.
#![expect(clippy::disallowed_methods, reason = "the platform's libm is the oracle here")]

mod support;

use nll_simd::{CHUNK_LANES, Eights, Isa, Kernel, LARGEST_TERM, Level, PairSums, SUM_LANES};
use std::io::Write;
use support::Reference;

/// Sums of `count` steps, `stride` apart; with terms, also the lines of these.
struct Sums<'s> {
    numbers: [&'s [f32]; 2],
    largest: [&'s [f64; SUM_LANES]; 2],
    shape: [usize; 2],
}

type Lines = Vec<[f32; CHUNK_LANES]>;

impl Kernel for Sums<'_> {
    type Output = ([PairSums; 2], [Lines; 2]);

    fn run<S: Isa>(self, isa: S) -> Self::Output {
        let Sums { numbers: [x, y], largest: [x_m, y_m], shape } = self;
        let pairs = [Eights::new(x, shape, x_m), Eights::new(y, shape, y_m)];
        let mut sums = [[[1.0; SUM_LANES]; 5]; 2];
        let mut lines = [(); 2].map(|()| vec![[0.0; CHUNK_LANES]; shape[1]]);
        let [plain, of_terms] = &mut sums;
        isa.add_pair_sums::<true>(pairs, plain);
        let mut first = [[1.0; SUM_LANES]; 5];
        isa.add_pair_sums::<false>(pairs, &mut first);
        assert!(plain.iter().zip(&first).take(3).all(|(a, b)| a == b || a[3].is_nan()));
        let [p, q] = &mut lines;
        isa.add_pair_terms(pairs, ([p, q], 8), of_terms);
        (sums, lines)
    }
}

/// Numbers between −690 and 0 below 5, most of them near 5; the second of each lane is the largest.
fn numbers(seed: u32, length: usize) -> Vec<f32> {
    let mut state = seed;
    let number = |i| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let unit = (state >> 8) as f32 / (1 << 24) as f32;
        if i / SUM_LANES == 1 { 5.0 } else { 5.0 - 690.0 * unit.powi(4) }
    };
    (0..length).map(number).collect()
}

#[test]
fn sums_are_the_same_everywhere_and_exact_to_48_bits() {
    let levels = Level::available();
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    writeln!(std::io::stderr(), "levels run: {}", names.join(", ")).expect("stderr is open");
    for count in [2, 3, 10, 64] {
        let (x, y) = (numbers(1, count * 32), numbers(2, count * 32));
        for stride in [8, 32] {
            let largest = [5.0; SUM_LANES];
            let sums = || Sums {
                numbers: [&x, &y],
                largest: [&largest, &largest],
                shape: [stride, count],
            };
            let want = sums().run(Reference);
            for &level in &levels {
                let found = level.run(sums());
                if level.name() != "baseline" {
                    assert_eq!(found, want, "{}", level.name());
                }
                check(level.name(), &found, ([&x, &y], stride, count));
            }
        }
    }
}

fn check(
    level: &str,
    ([plain, of_terms], lines): &([PairSums; 2], [Lines; 2]),
    ([x, y], stride, count): ([&[f32]; 2], usize, usize),
) {
    for lane in 0..SUM_LANES {
        let mut want = [1.0; 5];
        for step in 0..count {
            let [a, b] = [x, y].map(|x| f64::from(x[step * stride + lane]) - 5.0);
            let terms = [a.exp(), b.exp()];
            let rest = |a: f64| if a < 0.0 { a.exp() } else { 0.0 };
            let all = [terms[0], terms[1], terms[0] * (a - b), rest(a), rest(b)];
            want.iter_mut().zip(all).for_each(|(want, term)| *want += term);
            for (lines, term) in lines.iter().zip(terms) {
                let want = (term * LARGEST_TERM) as f32;
                let off = (lines[step][8 + lane] - want).abs();
                assert!(off <= want * f32::EPSILON, "{level}: {a} and {b}");
            }
        }
        for k in 0..5 {
            let size = want[k].abs().max(1.0);
            assert!((plain[k][lane] - want[k]).abs() <= size * 4e-15, "{level}: sum {k}");
            let scaled = (of_terms[k][lane] - 1.0) / LARGEST_TERM;
            assert!((scaled - (want[k] - 1.0)).abs() <= size * 4e-15, "{level}: large sum {k}");
        }
    }
}

#[test]
fn a_nan_stays_in_its_lane() {
    let mut x = numbers(3, 64);
    x[19] = f32::NAN;
    let (y, largest) = (numbers(4, 64), [5.0; SUM_LANES]);
    for level in Level::available() {
        let largest = [&largest, &largest];
        let (found, _) = level.run(Sums { numbers: [&x, &y], largest, shape: [8, 8] });
        for sums in found {
            for (k, sums) in sums.iter().enumerate() {
                for (lane, sum) in sums.iter().enumerate() {
                    assert_eq!(sum.is_nan(), lane == 3 && [0, 2].contains(&k), "{}", level.name());
                }
            }
        }
    }
}
