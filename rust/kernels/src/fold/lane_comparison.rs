//! How two rows of few classes differ: `comparison.rs` with a lane for each of 32 pairs. Here the classes that
//! are looked at together are the same class of all pairs. If it is not near in one of them, the next class of all
//! pairs uses the formulas of any class from the start; no bits depend on that.

use crate::data::lines::{LANES, Lines};
use crate::fold::Largest;
use crate::fold::comparison::{COLUMNS, Excess, LONG, LOST, PairRow, SUMS, write};
use crate::fold::lane_pair::LaneRelations;
use crate::fold::lane_terms::LaneTerms;
use crate::fold::lanes::LaneSums;
use crate::fold::pair::{Relation, Relations};
use crate::math::comparison::{Compared, Shares, Sizes};
use crate::math::side_by_side::Words;
use nll_simd::{Extended, Isa, Real};

/// How the rows of each pair differ, and the largest logit of each row.
pub struct LaneComparisons<F: Real> {
    /// None of a pair that is not wanted.
    pairs: [Option<PairRow<F>>; LANES],
    largest: [[Largest<F>; LANES]; 2],
}

impl<F: Real> LaneComparisons<F> {
    /// Those of pair i.
    #[inline(always)]
    pub fn of(&self, i: usize) -> Option<(PairRow<F>, [Largest<F>; 2])> {
        let [p, q] = &self.largest;
        Some((self.pairs[i]?, [p[i], q[i]]))
    }
}

/// Compares those pairs of rows that are `wanted`. The terms of all pairs are written to `terms`.
#[inline(never)]
pub fn comparisons<S: Isa, F: Real>(
    isa: S,
    lines: [Lines<'_, F>; 2],
    terms: [&mut [[F; LANES]]; 2],
    wanted: [bool; LANES],
) -> LaneComparisons<F> {
    isa.vectorize(
        #[inline(always)]
        || {
            let [p_terms, q_terms] = terms;
            let p = LaneTerms::new::<S, true>(isa, lines[0], p_terms);
            let q = LaneTerms::new::<S, true>(isa, lines[1], q_terms);
            let relations = LaneRelations::new(isa, [&p, &q]);
            let pairs = rows(isa, &relations, (lines, [p_terms, q_terms]), wanted);
            LaneComparisons { pairs, largest: [p.largest(isa), q.largest(isa)] }
        },
    )
}

/// Sweeps over the classes as long as one more helps a row, as [`Excess`] says.
#[inline(always)]
fn rows<S: Isa, F: Real>(
    isa: S,
    first: &LaneRelations,
    numbers: ([Lines<'_, F>; 2], [&[[F; LANES]]; 2]),
    wanted: [bool; LANES],
) -> [Option<PairRow<F>>; LANES] {
    let mut found = [None; LANES];
    let mut excess = wanted.map(|is_wanted| is_wanted.then(Excess::unknown));
    let mut relations = first.clone();
    while excess.iter().any(Option::is_some) {
        let rows = PairSums::new::<S, F>(isa, &relations, numbers).rows::<S, F>(isa, first);
        for i in 0..LANES {
            if excess[i].is_some() {
                found[i] = Some(rows.of(i));
            }
        }
        Excess::add_all(&mut excess, &found);
        for i in 0..LANES {
            if let Some(excess) = &excess[i] {
                let relation: Relation<F> = first.of(i);
                relations.set(i, excess.correct(isa, relation));
            }
        }
    }
    found
}

/// The sums of [`Comparison`](crate::fold::Comparison) over all classes of each pair, added class by class.
struct PairSums {
    sums: [LaneSums; SUMS],
    /// Σ p of the unsure classes.
    unsure: [f64; LANES],
}

impl PairSums {
    #[inline(never)]
    fn new<S: Isa, F: Real>(
        isa: S,
        relations: &LaneRelations,
        numbers: ([Lines<'_, F>; 2], [&[[F; LANES]]; 2]),
    ) -> Self {
        isa.vectorize(
            #[inline(always)]
            || Self::new_here(isa, relations, numbers),
        )
    }

    #[inline(always)]
    fn new_here<S: Isa, F: Real>(
        isa: S,
        relations: &LaneRelations,
        ([p_lines, q_lines], [p_terms, q_terms]): ([Lines<'_, F>; 2], [&[[F; LANES]]; 2]),
    ) -> Self {
        let (mut sums, mut unsure) = ([LaneSums::ZERO; SUMS], [0.0; LANES]);
        let (mut columns, mut is_far) = ([[0.0; LANES]; COLUMNS], false);
        for class in 0..p_lines.classes() {
            let numbers: [&[F]; 4] =
                [p_lines.line(class), q_lines.line(class), &p_terms[class], &q_terms[class]];
            let mut sizes = Sizes::default();
            if !is_far {
                sizes = write::<S, F, LANES, true>(isa, relations, numbers, &mut columns);
                is_far = sizes.are_far();
            }
            if is_far {
                sizes = write::<S, F, LANES, false>(isa, relations, numbers, &mut columns);
                is_far = sizes.are_far();
            }
            if sizes.are_unsure() {
                add_unsure(relations, [numbers[0], numbers[1], numbers[2]], &mut unsure);
            }
            for (sum, column) in sums.iter_mut().zip(&columns) {
                sum.add_line_of::<F, f64>(column);
            }
            if F::COMPENSATED {
                for (&sum, column) in LONG.iter().zip(&columns[LOST..]) {
                    sums[sum].add_line_of::<F, f64>(column);
                }
            }
        }
        PairSums { sums, unsure }
    }

    /// What the sums come to.
    #[inline(always)]
    fn rows<S: Isa, F: Real>(&self, isa: S, relations: &LaneRelations) -> PairRows {
        let [mut kl_pq, mut kl_qp, mut js, mut total_variation, mut off] = [[0.0; LANES]; 5];
        let mut below = Words::ZERO;
        for i in 0..LANES {
            let relation: Relation<F> = relations.of(i);
            let sum = |sum: usize| self.sums[sum].value::<F>(i);
            let [bend, excess, back, further] = LONG.map(sum);
            let [distance, lean, middle] = [3, 4, 5].map(|of| sum(of).rounded());
            let unsure = self.unsure[i];
            let shares = Shares::<F> { bend, excess, back, distance, lean, unsure, middle };
            let compared = Compared::new(isa, shares, relation.p_sum);
            (kl_pq[i], kl_qp[i], js[i]) = (compared.kl_pq, compared.kl_qp, compared.js);
            (total_variation[i], off[i]) = (compared.total_variation, compared.off);
            below.set(i, further.div(isa, relation.p_sum));
        }
        PairRows { kl_pq, kl_qp, js, total_variation, off, below }
    }
}

/// A [`PairRow`] each; an array for each number, as a loop over arrays of structures is not vectorised.
struct PairRows {
    kl_pq: [f64; LANES],
    kl_qp: [f64; LANES],
    js: [f64; LANES],
    total_variation: [f64; LANES],
    off: [f64; LANES],
    below: Words<LANES>,
}

impl PairRows {
    #[inline(always)]
    fn of<F: Real>(&self, i: usize) -> PairRow<F> {
        let PairRows { kl_pq, kl_qp, js, total_variation, off, below } = self;
        let (kl_pq, kl_qp, js, off) = (kl_pq[i], kl_qp[i], js[i], off[i]);
        let compared = Compared { kl_pq, kl_qp, js, total_variation: total_variation[i], off };
        PairRow { compared, below: below.of(i) }
    }
}

/// Adds p where a class is unsure.
#[cold]
#[inline(never)]
fn add_unsure<F: Real>(relations: &LaneRelations, [x, y, p]: [&[F]; 3], unsure: &mut [f64; LANES]) {
    for i in 0..LANES {
        let relation: Relation<F> = relations.of(i);
        let (d, _) = relation.log_ratio(x[i].to_f64(), y[i].to_f64());
        if Sizes::default().and(d.rounded()).are_unsure() {
            unsure[i] += p[i].to_f64();
        }
    }
}
