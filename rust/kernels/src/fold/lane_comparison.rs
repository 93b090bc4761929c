//! How two rows of few classes differ: `comparison.rs` with a lane for each of 32 pairs. In float64, the classes that are looked
//! at together are the same class of all pairs. If it is not near in one of them, the next class of all pairs uses the formulas
//! of any class from the start; no bits depend on that.

use crate::data::lines::{LANES, Lines};
use crate::fold::Largest;
use crate::fold::columns::{COLUMNS, LONG, LOST, write};
use crate::fold::comparison::{Excess, PairRow};
use crate::fold::lane_pair::LaneRelations;
use crate::fold::lane_terms::LaneTerms;
use crate::fold::lanes::LaneSums;
use crate::fold::pair::{Relation, Relations};
use crate::fold::shares::{self, GROUP, HugeClasses, NUMBERS, Odd, Related};
use crate::math::comparison::{Compared, SUMS, Shares, Sizes, UNSURE};
use crate::math::share::Steps;
use crate::math::side_by_side::Words;
use nll_simd::{Extended, Isa, Real, SUM_LANES};
use std::ops::Range;

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
            || {
                let (lines, terms) = numbers;
                let singles = terms.map(|terms| F::same(terms.as_flattened()));
                match singles.map(|terms| terms.map(|terms| terms.as_chunks().0)) {
                    [Some(p), Some(q)] => {
                        let lines = lines.map(|lines| lines.typed(F::same));
                        Self::of_singles::<S, F>(isa, relations, lines, [p, q])
                    }
                    _ => Self::new_here(isa, relations, numbers),
                }
            },
        )
    }

    /// Of float32, eight pairs at a time.
    #[inline(always)]
    fn of_singles<S: Isa, F: Real>(
        isa: S,
        relations: &LaneRelations,
        lines: [Lines<'_, f32>; 2],
        terms: [&[[f32; LANES]]; 2],
    ) -> Self {
        let mut all = PairSums { sums: [LaneSums::ZERO; SUMS], unsure: [0.0; LANES] };
        let (mut steps, classes) = (Steps::ZERO, lines[0].classes());
        let (mut numbers, mut related) = ([[0.0; NUMBERS]; 4], EightRelated::ZERO);
        for first in (0..LANES).step_by(SUM_LANES) {
            let (mut sums, mut huge) = ([[0.0; SUM_LANES]; SUMS], HugeClasses::default());
            related.set::<F>(relations, first, (classes * SUM_LANES).min(NUMBERS));
            for start in (0..classes).step_by(NUMBERS / SUM_LANES) {
                let some = start..classes.min(start + NUMBERS / SUM_LANES);
                write_eights(lines, terms, first, some.clone(), &mut numbers);
                let count = some.len() * SUM_LANES;
                let odd = add_eights(isa, &related, &numbers, count, &mut steps, &mut sums);
                if odd.are_unsure || odd.are_huge {
                    let some = (first, some);
                    all.look_at_odd::<F>(relations, (lines, terms), some, &mut huge);
                }
            }
            let sums = shares::finish(sums, huge);
            for (to, sums) in all.sums.iter_mut().zip(sums) {
                to.set_eight(first, sums);
            }
        }
        all
    }

    /// Adds the terms of unsure classes, and looks at those with a huge d.
    #[cold]
    #[inline(never)]
    fn look_at_odd<F: Real>(
        &mut self,
        relations: &LaneRelations,
        ([x, y], [p, q]): ([Lines<'_, f32>; 2], [&[[f32; LANES]]; 2]),
        (first, classes): (usize, Range<usize>),
        huge: &mut HugeClasses,
    ) {
        for class in classes {
            for lane in 0..SUM_LANES {
                let i = first + lane;
                let relation: Relation<F> = relations.of(i);
                let numbers = [x.line(class)[i], y.line(class)[i], p[class][i], q[class][i]];
                let (d, _) = relation.log_ratio(numbers[0].into(), numbers[1].into());
                if d.rounded().abs() < UNSURE {
                    self.unsure[i] += f64::from(numbers[2]);
                }
                huge.look_at(lane, &relation, numbers);
            }
        }
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
            for (&sum, column) in LONG.iter().zip(&columns[LOST..]) {
                sums[sum].add_line_of::<F, f64>(column);
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

/// Copies some classes of eight pairs, from lane `first` on, class behind class; behind the last, terms of 0 up to the number
/// that is added.
#[inline(always)]
fn write_eights(
    lines: [Lines<'_, f32>; 2],
    terms: [&[[f32; LANES]]; 2],
    first: usize,
    classes: Range<usize>,
    numbers: &mut [[f32; NUMBERS]; 4],
) {
    let [x, y, p, q] = numbers.each_mut().map(|numbers| numbers.as_chunks_mut::<SUM_LANES>().0);
    let count = classes.len();
    for ((((class, x), y), p), q) in classes.zip(x).zip(y).zip(&mut *p).zip(&mut *q) {
        let lines =
            [lines[0].line(class), lines[1].line(class), &terms[0][class], &terms[1][class]];
        for (to, line) in [x, y, p, q].into_iter().zip(lines) {
            to.copy_from_slice(&line[first..first + SUM_LANES]);
        }
    }
    let end = (count * SUM_LANES).next_multiple_of(LEAST) / SUM_LANES;
    p[count..end].fill([0.0; SUM_LANES]);
    q[count..end].fill([0.0; SUM_LANES]);
}

/// Adds the first `count` numbers, or some more whose terms are 0: all, or by halves.
#[inline(always)]
fn add_eights<S: Isa>(
    isa: S,
    related: &EightRelated,
    numbers: &[[f32; NUMBERS]; 4],
    count: usize,
    steps: &mut Steps,
    sums: &mut shares::Sums,
) -> Odd {
    let (count, mut first, mut odd) = (count.next_multiple_of(LEAST), 0, Odd::NOTHING);
    if count == NUMBERS {
        let all = numbers.each_ref();
        return shares::add::<S, NUMBERS, GROUP>(isa, |i| related.of(i), all, steps, sums);
    }
    if count >= 64 {
        odd = odd.or(add_some::<S, 64, GROUP>(isa, related, numbers, &mut first, steps, sums));
    }
    if count - first >= 32 {
        odd = odd.or(add_some::<S, 32, GROUP>(isa, related, numbers, &mut first, steps, sums));
    }
    if count > first {
        odd = odd.or(add_some::<S, LEAST, LEAST>(isa, related, numbers, &mut first, steps, sums));
    }
    odd
}

/// How many numbers are added at least.
const LEAST: usize = GROUP / 2;

/// Adds N numbers from number `first` on, and N to that.
#[inline(always)]
fn add_some<S: Isa, const N: usize, const G: usize>(
    isa: S,
    related: &EightRelated,
    numbers: &[[f32; NUMBERS]; 4],
    first: &mut usize,
    steps: &mut Steps,
    sums: &mut shares::Sums,
) -> Odd {
    let some: [&[f32; N]; 4] = numbers
        .each_ref()
        .map(|numbers| numbers[*first..].first_chunk().expect("as many numbers as there are"));
    *first += N;
    shares::add::<S, N, G>(isa, |i| related.of(i), some, steps, sums)
}

/// What relates the numbers of eight pairs, some classes of each.
struct EightRelated {
    x_m: [f64; NUMBERS],
    y_m: [f64; NUMBERS],
    losses: [f64; NUMBERS],
    k: [f64; NUMBERS],
    near_k: [f32; NUMBERS],
}

impl EightRelated {
    const ZERO: EightRelated = EightRelated {
        x_m: [0.0; NUMBERS],
        y_m: [0.0; NUMBERS],
        losses: [0.0; NUMBERS],
        k: [0.0; NUMBERS],
        near_k: [0.0; NUMBERS],
    };

    /// Of the pairs from lane `first` on, at least `count` numbers.
    #[inline(always)]
    fn set<F: Real>(&mut self, relations: &LaneRelations, first: usize, count: usize) {
        let [mut x_m, mut y_m, mut losses, mut k] = [[0.0; SUM_LANES]; 4];
        let mut near_k = [0.0; SUM_LANES];
        for i in 0..SUM_LANES {
            let relation: Relation<F> = relations.of(first + i);
            let related = Related::new(&relation);
            (x_m[i], y_m[i], losses[i]) = (related.x_m, related.y_m, related.losses);
            (k[i], near_k[i]) = (related.k, related.near_k);
        }
        let steps = count.next_multiple_of(LEAST) / SUM_LANES;
        let arrays = [&mut self.x_m, &mut self.y_m, &mut self.losses, &mut self.k];
        for (to, eight) in arrays.into_iter().zip([x_m, y_m, losses, k]) {
            to.as_chunks_mut().0[..steps].fill(eight);
        }
        self.near_k.as_chunks_mut().0[..steps].fill(near_k);
    }

    #[inline(always)]
    fn of(&self, i: usize) -> Related {
        let EightRelated { x_m, y_m, losses, k, near_k } = self;
        let (x_m, y_m, losses) = (x_m[i], y_m[i], losses[i]);
        Related { x_m, y_m, losses, k: k[i], near_k: near_k[i] }
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
