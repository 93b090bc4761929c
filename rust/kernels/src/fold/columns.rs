//! What the classes of two rows of float64 add to the sums of a comparison.
//!
//! Their shares are first written as if p and q were nearly equal: no quotient, no logarithm, and no q. Where some classes are
//! not near, of which two similar models have few, their shares are then written in the place of these. Both ways give a near
//! class the same bits.

use crate::fold::pair::{Relation, Relations};
use crate::math::comparison::{ClassShare, Curves, SUMS, Sizes, class_share, near_share};
use crate::math::terms::add_values;
use nll_simd::{Buffer, CHUNK_LANES, Extended, Isa, LaneSum, Real, SUM_LANES};

/// How many classes are looked at together: their numbers stay in L1.
const CLASSES: usize = 128;

/// A number of each of these classes, 0 from the last to the end of its chunk.
type Column = [f64; CLASSES];

/// The sums that need what rounding takes from each share: those of bend, excess, back and p·(x_m − x).
pub(super) const LONG: [usize; 4] = [0, 1, 2, 6];

/// The columns: of each sum, and of what rounding took.
pub(super) const COLUMNS: usize = SUMS + LONG.len();
pub(super) const LOST: usize = SUMS;

/// Writes what class number `i` adds to each sum but the last.
#[inline(always)]
fn set<F: Real, const N: usize>(
    columns: &mut [[f64; N]; COLUMNS],
    i: usize,
    (share, p): (ClassShare<F>, f64),
) {
    let ClassShare { bend, apart, back, middle } = share;
    let [[bend, bend_lost], [excess, excess_lost], [back, back_lost]] =
        [bend, apart, back].map(Extended::words);
    columns[0][i] = bend;
    columns[1][i] = excess;
    columns[2][i] = back;
    columns[3][i] = excess.abs();
    columns[4][i] = p.copysign(excess);
    columns[5][i] = middle;
    columns[LOST][i] = bend_lost;
    columns[LOST + 1][i] = excess_lost;
    columns[LOST + 2][i] = back_lost;
}

/// p·(x_m − x). x may be −∞ where p is 0.
#[inline(always)]
fn further<S: Isa, F: Real>(isa: S, p: f64, below: F::Extended) -> F::Extended {
    let below = if p == 0.0 { F::Extended::new(0.0) } else { below };
    F::Extended::new(p).mul(isa, below)
}

/// Writes the shares of the classes x and y, whose terms are p and q; if `NEAR`, as if all were near. Returns how
/// large their d are.
///
/// Step after step: in one loop, a class would be one chain of operations about as long as what a CPU looks
/// ahead, and it would wait for each. Until the last step, d is in the columns of bend, the curves in those of
/// excess and middle.
///
/// A function of its own: only as arguments are the slices known to be apart, without which the loops are
/// not vectorised.
#[inline(always)]
pub(super) fn write<S: Isa, F: Real, const N: usize, const NEAR: bool>(
    isa: S,
    relations: &impl Relations<F>,
    [x, y, p, q]: [&[F]; 4],
    columns: &mut [[f64; N]; COLUMNS],
) -> Sizes {
    let (count, mut sizes) = (x.len().min(N), Sizes::default());
    for i in 0..count {
        let (d, below) = relations.of(i).log_ratio(x[i].to_f64(), y[i].to_f64());
        let further = further::<S, F>(isa, p[i].to_f64(), below).words();
        let d_words = d.parts();
        (columns[0][i], columns[6][i]) = (d_words[0], further[0]);
        (columns[LOST][i], columns[LOST + 3][i]) = (d_words[1], further[1]);
        sizes = sizes.and(d.rounded());
    }
    for i in 0..count {
        [columns[1][i], columns[5][i]] = Curves::<F>::tails(isa, d::<F, N>(columns, i).rounded());
    }
    for i in 0..count {
        let x = d::<F, N>(columns, i).rounded();
        let curves = Curves::<F>::of_tails(isa, [columns[1][i], columns[5][i]], x);
        [columns[1][i], columns[LOST + 1][i]] = curves.bend.parts();
    }
    for i in 0..count {
        let (p, d) = (p[i].to_f64(), d::<F, N>(columns, i));
        let bend = F::Extended::of_parts([columns[1][i], columns[LOST + 1][i]]);
        let curves = Curves { bend, middle: columns[5][i] };
        let share = if NEAR {
            near_share(isa, p, d, curves)
        } else {
            let q = F::Extended::new(q[i].to_f64()).mul(isa, relations.of(i).k);
            class_share(isa, p, q, d, curves)
        };
        set::<F, N>(columns, i, (share, p));
    }
    sizes
}

/// d of class number `i`, where the first step of [`write`] puts it.
#[inline(always)]
fn d<F: Real, const N: usize>(columns: &[[f64; N]; COLUMNS], i: usize) -> F::Extended {
    F::Extended::of_parts([columns[0][i], columns[LOST][i]])
}

/// Writes the shares of those classes that are not near. Returns whether most are not. [`SUM_LANES`] classes
/// are looked at together, some of them behind the last.
///
/// Called, not inlined: the usual way has the registers for itself.
#[inline(never)]
fn write_far<S: Isa, F: Real>(
    isa: S,
    relation: &Relation<F>,
    numbers: [&[F]; 4],
    columns: &mut [Column; COLUMNS],
) -> bool {
    isa.vectorize(
        #[inline(always)]
        || {
            let (count, mut far) = (numbers[0].len().min(CLASSES), 0);
            for start in (0..count).step_by(SUM_LANES) {
                let whole = numbers.map(|numbers| numbers[start..count].first_chunk());
                let group = match whole {
                    [Some(x), Some(y), Some(p), Some(q)] => [*x, *y, *p, *q],
                    _ => numbers.map(|numbers| {
                        let mut group = [F::ZERO; SUM_LANES];
                        group[..count - start].copy_from_slice(&numbers[start..count]);
                        group
                    }),
                };
                far += usize::from(write_group(isa, relation, group, (columns, start)));
            }
            2 * far * SUM_LANES > count
        },
    )
}

/// Writes the shares of some classes, from number `start` on, unless all are near. Returns whether any is
/// not.
#[inline(always)]
fn write_group<S: Isa, F: Real>(
    isa: S,
    relation: &Relation<F>,
    numbers: [[F; SUM_LANES]; 4],
    (columns, start): (&mut [Column; COLUMNS], usize),
) -> bool {
    let [x, y, ..] = &numbers;
    let d = |i: usize| relation.log_ratio(x[i].to_f64(), y[i].to_f64()).0.rounded();
    let is_far = (0..SUM_LANES).fold(Sizes::default(), |sizes, i| sizes.and(d(i))).are_far();
    if is_far {
        let mut shares = [[0.0; SUM_LANES]; COLUMNS];
        write::<S, F, SUM_LANES, false>(
            isa,
            relation,
            numbers.each_ref().map(|x| &x[..]),
            &mut shares,
        );
        for (column, shares) in columns.iter_mut().zip(shares) {
            column[start..start + SUM_LANES].copy_from_slice(&shares);
        }
    }
    is_far
}

/// Σ p of the unsure classes.
#[cold]
#[inline(never)]
fn unsure<F: Real>(relation: &Relation<F>, [x, y, p]: [&[F]; 3]) -> f64 {
    let classes = x.iter().zip(y).zip(p);
    let d = |x: F, y: F| relation.log_ratio(x.to_f64(), y.to_f64()).0.rounded();
    let is_unsure = |x, y| Sizes::default().and(d(x, y)).are_unsure();
    classes.filter(|((x, y), _)| is_unsure(**x, **y)).map(|(_, p)| p.to_f64()).sum()
}

/// Adds the shares of the first `count` classes to the sums.
///
/// Called, not inlined: beside its caller's steps, LLVM does not vectorise it.
#[inline(never)]
fn add<S: Isa, F: Real>(
    isa: S,
    columns: &[Column; COLUMNS],
    count: usize,
    sums: &mut [LaneSum; SUMS],
) {
    for (sum, column) in sums.iter_mut().zip(columns) {
        add_values::<S, F, f64>(isa, sum, &column[..count]);
    }
    for (&sum, column) in LONG.iter().zip(&columns[LOST..]) {
        add_values::<S, F, f64>(isa, &mut sums[sum], &column[..count]);
    }
}

/// Adds classes of a row to the sums, and the terms of those that are unsure.
///
/// Once most groups of classes had one that is not near, which `is_far` tells, the formulas of any class are used at once,
/// until all classes were near again.
#[inline(always)]
pub(super) fn add_row<S: Isa, F: Real>(
    isa: S,
    relation: &Relation<F>,
    numbers: [&[F]; 4],
    (memory, is_far): (&mut Buffer<f64>, &mut bool),
    sums: &mut [LaneSum; SUMS],
    unsure_sum: &mut f64,
) {
    let columns = memory.first(COLUMNS * CLASSES, 0.0).as_chunks_mut().0;
    let columns = columns.first_chunk_mut().expect("as many columns as were asked for");
    for start in (0..numbers[0].len()).step_by(CLASSES) {
        let end = (start + CLASSES).min(numbers[0].len());
        let numbers = numbers.map(|numbers| &numbers[start..end]);
        let [x, y, p, _] = numbers;
        let sizes = if *is_far {
            let sizes = write::<S, F, CLASSES, false>(isa, relation, numbers, columns);
            *is_far = sizes.are_far();
            sizes
        } else {
            let sizes = write::<S, F, CLASSES, true>(isa, relation, numbers, columns);
            *is_far = sizes.are_far() && write_far(isa, relation, numbers, columns);
            sizes
        };
        if sizes.are_unsure() {
            *unsure_sum += unsure(relation, [x, y, p]);
        }
        let count = x.len().next_multiple_of(CHUNK_LANES);
        if count > x.len() {
            columns.iter_mut().for_each(|column| column[x.len()..count].fill(0.0));
        }
        add::<S, F>(isa, columns, count, sums);
    }
}
