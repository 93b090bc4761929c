//! How two rows of logits differ: both divergences, their mean, the distance, and p's entropy.
//!
//! The plain algorithm is a sum over the classes for each quantity. Here some classes are looked at
//! together, in two loops over columns of their numbers. The first writes the shares that all classes
//! have if p and q are nearly equal: no quotient, no logarithm. The second goes over the classes that are
//! not near, of which two similar models have few, and writes their shares in the place of the first. Where
//! most of the classes before were not near, the first loop leaves the shares to the second. Both give a near
//! class the same bits.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::divergence::{PairTerms, Relation};
use crate::math::comparison::{
    ClassShare, Compared, Shares, UNSURE, class_share, is_near, near_share,
};
use crate::math::terms::add_values;
use nll_simd::{CHUNK_LANES, Extended, Isa, LaneSum, Real, SUM_LANES};

/// How many classes are looked at together: their numbers stay in L1.
const CLASSES: usize = 128;

/// A number of each of these classes, 0 behind the last.
type Column = [f64; CLASSES];

/// How many sums there are: those of [`Shares`] in their order, and then Σ p·(x_m − x), where x_m is the
/// largest logit of p.
const SUMS: usize = 8;

/// The sums that need what rounding takes from each share, if float64 is not wider than the logits: those
/// of bend, excess, back and p·(x_m − x).
const LONG: [usize; 4] = [0, 1, 2, 7];

/// The columns: of each sum, of what rounding took, and then p, q and d = log q − log p, these two as two
/// words.
const COLUMNS: usize = SUMS + LONG.len() + 5;
const LOST: usize = SUMS;
const P: usize = LOST + LONG.len();
const Q: usize = P + 1;
const D: usize = Q + 2;

/// The sums over the classes of two rows. States that are merged are of the same pair.
pub struct Comparison<P, F: Real> {
    pair: P,
    relation: Relation<F>,
    sums: [LaneSum; SUMS],
    /// Whether most of the classes that were looked at last are not near.
    is_far: bool,
}

/// What the sweeps over a row have found of Σ q − 1. Each sweep finds about 16 more digits. Between rows
/// that are certain of one class, what the earlier ones find may be rounding error alone.
#[derive(Clone, Copy)]
pub struct Excess<F: Real> {
    sum: F::Extended,
    /// What the last sweep has added.
    last: f64,
}

impl<F: Real> Excess<F> {
    /// Before the first sweep.
    #[inline(always)]
    pub fn unknown() -> Self {
        Excess { sum: F::Extended::new(0.0), last: f64::INFINITY }
    }

    /// Adds what a sweep has found. None if another sweep would not help.
    #[inline(always)]
    pub fn and(self, found: &Compared) -> Option<Self> {
        let (off, is_less) = (found.off, found.off.abs() < self.last.abs() * 1e-6);
        let sum = self.sum.add(F::Extended::new(off)).renormalize();
        (off != 0.0 && is_less).then_some(Excess { sum, last: off })
    }
}

/// What a [`Comparison`] comes to.
#[derive(Clone, Copy)]
pub struct PairRow<F: Real> {
    /// The numbers that compare the two rows.
    pub compared: Compared,
    /// −Σ p·log p, less the loss of the largest class.
    pub below: F::Extended,
}

impl<F: Real, P: PairTerms<F>> Comparison<P, F> {
    /// Of no classes of a pair. q is divided by 1 + `excess`, what earlier sweeps have found.
    #[inline(always)]
    pub fn new<S: Isa>(isa: S, pair: P, excess: Excess<F>) -> Self {
        let (relation, sum) = (*pair.relation(), excess.sum);
        let is_known = sum.rounded() != 0.0;
        let relation = if is_known { relation.corrected(isa, sum) } else { relation };
        Comparison { pair, relation, sums: [LaneSum::ZERO; SUMS], is_far: false }
    }

    /// The pair of rows.
    #[inline(always)]
    pub fn pair(&self) -> &P {
        &self.pair
    }
}

/// Writes the share of class number `i`.
#[inline(always)]
fn set<F: Real>(columns: &mut [Column; COLUMNS], i: usize, share: ClassShare<F>) {
    let (q, d) = (columns[Q][i], columns[D][i]);
    let ClassShare { bend, apart, back, middle } = share;
    let [[bend, bend_lost], [excess, excess_lost], [back, back_lost]] =
        [bend, apart, back].map(Extended::words);
    let apart = apart.rounded();
    columns[0][i] = bend;
    columns[1][i] = excess;
    columns[2][i] = back;
    columns[3][i] = apart.abs();
    columns[4][i] = if apart < 0.0 { -q } else { q };
    columns[5][i] = if d.abs() >= UNSURE { 0.0 } else { q };
    columns[6][i] = middle;
    if F::COMPENSATED {
        columns[LOST][i] = bend_lost;
        columns[LOST + 1][i] = excess_lost;
        columns[LOST + 2][i] = back_lost;
    }
}

/// Writes the numbers of the classes x and y, whose terms are p and q, and, if `NEAR`, their shares as if all
/// were near.
///
/// A function of its own: only as arguments are the slices known to be apart, without which the loop is
/// not vectorised.
#[inline(always)]
fn write<S: Isa, F: Real, const NEAR: bool>(
    isa: S,
    relation: &Relation<F>,
    ([x, y], [p, q]): ([&[F]; 2], [&[F]; 2]),
    columns: &mut [Column; COLUMNS],
) {
    for i in 0..x.len().min(CLASSES) {
        let (d, below) = relation.log_ratio(x[i].to_f64(), y[i].to_f64());
        let (p, q) = (p[i].to_f64(), F::Extended::new(q[i].to_f64()).mul(isa, relation.k));
        columns[P][i] = p;
        [columns[Q][i], columns[D][i]] = [q.rounded(), d.rounded()];
        if NEAR {
            set::<F>(columns, i, near_share(isa, p, d));
        }
        // x may be −∞ where p is 0.
        let below = if p == 0.0 { F::Extended::new(0.0) } else { below };
        let [further, lost] = F::Extended::new(p).mul(isa, below).words();
        columns[7][i] = further;
        if F::COMPENSATED {
            columns[LOST + 3][i] = lost;
            [columns[Q + 1][i], columns[D + 1][i]] = [q.words()[1], d.words()[1]];
        }
    }
}

/// Writes the shares of those of the first `count` classes that are not near or, if `ALL`, of all. Returns
/// whether most are not near. [`SUM_LANES`] classes are looked at together.
///
/// Called, not inlined: the usual way has the registers for itself.
#[inline(never)]
fn write_far<S: Isa, F: Real>(
    isa: S,
    columns: &mut [Column; COLUMNS],
    count: usize,
    all: bool,
) -> bool {
    isa.vectorize(
        #[inline(always)]
        || {
            let mut far = 0;
            for start in (0..count.min(CLASSES)).step_by(SUM_LANES) {
                let is_far = has_far(&columns[D][start..start + SUM_LANES]);
                far += usize::from(is_far);
                if all || is_far {
                    for i in start..start + SUM_LANES {
                        let number = |k: usize| F::Extended::sum(columns[k][i], columns[k + 1][i]);
                        let share = class_share(isa, columns[P][i], number(Q), number(D));
                        set::<F>(columns, i, share);
                    }
                }
            }
            2 * far * SUM_LANES > count
        },
    )
}

/// Whether any of these d is not near.
#[inline(always)]
fn has_far(d: &[f64]) -> bool {
    d.iter().fold(false, |any, &d| any | !is_near(d))
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
    if F::COMPENSATED {
        for (sum, column) in sums.iter_mut().zip(columns) {
            add_values::<S, F, f64>(isa, sum, &column[..count]);
        }
        for (&sum, column) in LONG.iter().zip(&columns[LOST..]) {
            add_values::<S, F, f64>(isa, &mut sums[sum], &column[..count]);
        }
        return;
    }
    isa.vectorize(
        #[inline(always)]
        || {
            for (sum, column) in sums.iter_mut().zip(columns) {
                let mut total = *sum;
                for chunk in column[..count].as_chunks::<CHUNK_LANES>().0 {
                    total = total.add_chunk::<F, f64>(chunk);
                }
                *sum = total;
            }
        },
    );
}

impl<F: Real, P: PairTerms<F>> Fold<F, 2> for Comparison<P, F> {
    type Row = PairRow<F>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let [x, y] = block.classes();
        let y = &y[..x.len()];
        let Scratch { terms, changed, shares, .. } = scratch;
        let [p, q] = self.pair.terms(isa, block, [terms, changed]);
        let (p, q) = (&p[..x.len()], &q[..x.len()]);
        let columns = shares.first(COLUMNS * CLASSES, 0.0).as_chunks_mut().0;
        let columns = columns.first_chunk_mut().expect("as many columns as were asked for");
        for start in (0..x.len()).step_by(CLASSES) {
            let end = (start + CLASSES).min(x.len());
            let [x, y, p, q] = [x, y, p, q].map(|numbers| &numbers[start..end]);
            let numbers = ([x, y], [p, q]);
            if self.is_far {
                write::<S, F, false>(isa, &self.relation, numbers, columns);
            } else {
                write::<S, F, true>(isa, &self.relation, numbers, columns);
            }
            let count = x.len().next_multiple_of(CHUNK_LANES);
            if count > x.len() {
                columns.iter_mut().for_each(|column| column[x.len()..count].fill(0.0));
            }
            if self.is_far || has_far(&columns[D][..count]) {
                self.is_far = write_far::<S, F>(isa, columns, count, self.is_far);
            }
            add::<S, F>(isa, columns, count, &mut self.sums);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        for (sum, later) in self.sums.iter_mut().zip(later.sums) {
            *sum = sum.merge::<F>(later);
        }
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> PairRow<F> {
        let p_sum = self.relation.p_sum;
        let [bend, excess, back] = [0, 1, 2].map(|i| self.sums[i].extended::<F>());
        let [distance, lean, unsure, middle] = [3, 4, 5, 6].map(|i| self.sums[i].value::<F>());
        let below = self.sums[7].extended::<F>().div(isa, p_sum);
        let shares = Shares::<F> { bend, excess, back, distance, lean, unsure, middle };
        PairRow { compared: Compared::new(isa, shares, p_sum), below }
    }
}
