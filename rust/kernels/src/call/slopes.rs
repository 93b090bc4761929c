//! Gradients of entropy, divergence and cross entropy with a distribution as target, by the logits.
//!
//! With p the softmax of x, and of the largest logit x_m,
//!
//! ```text
//! entropy by x_j              p_j · ((x_m − x_j) − Σ p·(x_m − x))
//! soft targets a by x_j       p_j · Σ a − a_j
//! divergence by x_j           p_j · (log p_j − log q_j − divergence)
//! divergence by y_j, of q     q_j − p_j  =  p_j·(e^d − 1),  d = log q_j − log p_j
//! ```
//!
//! A row is read three times, after the first from cache: for its terms, for what the formula needs
//! of the whole row, and for the results, which replace the terms.

use crate::Error;
use crate::call::quantity::Quantity;
use crate::call::row_sweeps::PIECE;
use crate::data::drive::{self, Exec, Work};
use crate::data::out::Out;
use crate::data::per_class::PerClass;
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Counted;
use crate::fold::{Divergence, Entropy, Fold, Pair, TermRows, Terms, Weighting, sweep};
use crate::math::row;
use crate::math::terms::{NONE, add_values};
use nll_simd::{Buffer, Extended, Isa, LaneSum, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// The gradient of a quantity of rows.
pub struct Slopes<'a> {
    /// The quantity.
    pub of: Quantity<'a>,
    /// Which rows count, and how much.
    pub rows: Counted<'a>,
    /// The factor of all results: 1 for the gradient of the sum.
    pub scale: f64,
}

impl Slopes<'_> {
    /// The gradients by the first logits and, of a divergence, by the second ones. Rows lie one behind
    /// the other.
    pub fn run(&self, exec: Exec<'_>, out: [PerClass<'_>; 2]) -> Result<(), Error> {
        self.of.check_rows(self.rows)?;
        if let Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } = self.of {
            return Err(Error::Choice("this quantity has no gradient".into()));
        }
        match self.of.is_double() {
            true => drive::run(exec, &RowSlopes { of: self, real: PhantomData::<f64> }, out),
            false => drive::run(exec, &RowSlopes { of: self, real: PhantomData::<f32> }, out),
        }
    }
}

/// Sets the slope of the likely class, if a row has one, to minus the sum of the others: the slopes of a
/// row add up to 0, and its own would be a difference of two numbers that are nearly equal.
#[inline(always)]
fn balance<S: Isa, F: Real>(isa: S, slopes: &mut [F], likely: usize) {
    if likely < slopes.len() {
        slopes[likely] = F::ZERO;
        let mut others = LaneSum::ZERO;
        add_values::<S, F, _>(isa, &mut others, slopes);
        slopes[likely] = F::from_f64(-others.extended::<F>().rounded());
    }
}

/// The gradients of all rows, computed in `F`.
struct RowSlopes<'s, F> {
    of: &'s Slopes<'s>,
    real: PhantomData<F>,
}

/// What a thread keeps: for reading two arrays, for computing, and the terms of a group of each.
type Memory<F> = ([Scratch<F>; 2], Scratch<F>, [Buffer<F>; 2]);

impl<F: Real> Work<[PerClass<'_>; 2]> for RowSlopes<'_, F> {
    type Total = ();
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        Rows::new([self.of.of.arrays()[0].1]).count()
    }

    fn per_task(&self) -> usize {
        let [(_, first), (_, second)] = self.of.of.arrays();
        Rows::new([first, second]).per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        out: [PerClass<'_>; 2],
        memory: &mut Memory<F>,
    ) {
        let [(_, first), (_, second)] = self.of.of.arrays();
        let (one, both) = (Rows::new([first]), Rows::new([first, second]));
        let mut outs = out.map(PerClass::rows);
        for group in both.groups(range) {
            match &self.of.of {
                Quantity::Entropy { .. } => self.entropy(isa, &one, group, memory, &mut outs[0]),
                Quantity::SoftTarget { weight, label_smoothing, .. } => {
                    let (smoothing, classes) = (*label_smoothing, both.classes());
                    let weighting = Weighting { weight: *weight, smoothing, classes };
                    self.soft_target(isa, (&one, &both), group, weighting, memory, &mut outs[0]);
                }
                Quantity::Divergence { .. } => {
                    let rows = ([&one, &Rows::new([second])], &both);
                    self.divergence(isa, rows, group, memory, &mut outs);
                }
                Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } => {}
            }
        }
    }
}

impl<F: Real> RowSlopes<'_, F> {
    /// The factor of the results of a row; 0 if it does not count.
    #[inline(always)]
    fn factor(&self, row: usize) -> f64 {
        let weight = self.of.rows.weight(row);
        if weight == 0.0 { 0.0 } else { self.of.scale * weight }
    }

    #[inline(always)]
    fn entropy<S: Isa>(
        &self,
        isa: S,
        rows: &Rows<'_>,
        group: Range<usize>,
        ([reading, _], computing, [memory, _]): &mut Memory<F>,
        out: &mut Out<'_>,
    ) {
        let (start, counts) = (group.start, |row| self.factor(row) != 0.0);
        let reading = core::array::from_mut(reading);
        let terms = memory.first(group.len() * rows.classes(), F::ZERO);
        let mut term_rows = TermRows::new(terms, rows.classes());
        // x_m, Σ p·(x_m − x), the factor of a term, and the largest class if it has more than half.
        let mut tops = [([0.0; 3], NONE); GROUP];
        sweep(
            isa,
            rows,
            (group.clone(), BLOCK),
            counts,
            (&mut *reading, &mut *computing),
            #[inline(always)]
            |i| (Entropy::<F>::empty(), Terms::new(term_rows.row(i))),
            #[inline(always)]
            |i, (entropy, mut terms)| {
                let [term, rest, below] = entropy.finish(isa);
                let sum = term.add(rest);
                let max = terms.parts(isa).0;
                let factor = self.factor(start + i) / sum.rounded();
                let numbers = [max.x.to_f64(), below.div(isa, sum).rounded(), factor];
                tops[i] = (numbers, max.at_if_likely(isa));
            },
        );
        let mut term_rows = TermRows::new(terms, rows.classes());
        rows.visit(
            isa,
            (group.clone(), BLOCK),
            counts,
            reading,
            (
                #[inline(always)]
                |i| (tops[i], term_rows.row(i)),
                #[inline(always)]
                |(([x_m, below, factor], _), terms), block| {
                    let [x] = block.classes();
                    // The slope of an impossible class: 0, or NaN in a row that is NaN.
                    let impossible = 0.0 * (*factor * *below);
                    for (term, &x) in terms[block.first..].iter_mut().zip(x) {
                        let slope = *factor * ((*x_m - x.to_f64()) - *below);
                        let is_possible = *term != F::ZERO;
                        let slope = if is_possible { term.to_f64() * slope } else { impossible };
                        *term = F::from_f64(slope);
                    }
                },
                #[inline(always)]
                |_, ((_, likely), terms)| balance(isa, terms, likely),
            ),
        );
        self.write(group, terms, out);
    }

    #[inline(always)]
    fn soft_target<S: Isa>(
        &self,
        isa: S,
        (rows, both): (&Rows<'_>, &Rows<'_, 2>),
        group: Range<usize>,
        weighting: Weighting<'_>,
        (reading, computing, [memory, _]): &mut Memory<F>,
        out: &mut Out<'_>,
    ) {
        let (start, counts) = (group.start, |row| self.factor(row) != 0.0);
        let terms = memory.first(group.len() * rows.classes(), F::ZERO);
        // 1/(sum of all terms), the share of all but the largest, and the place of that.
        let mut tops = [([0.0; 2], 0); GROUP];
        let mut term_rows = TermRows::new(terms, rows.classes());
        sweep(
            isa,
            rows,
            (group.clone(), BLOCK),
            counts,
            (core::array::from_mut(&mut reading[0]), &mut *computing),
            #[inline(always)]
            |i| Terms::new(term_rows.row(i)),
            #[inline(always)]
            |i, mut terms| {
                let (max, _) = terms.parts(isa);
                let [term, rest] = max.sums(isa);
                let unit = 1.0 / term.add(rest).rounded();
                tops[i] = ([unit, rest.rounded() * unit], max.at);
            },
        );
        // Σ a of each row, in two words: it is subtracted from a where one class has all of it.
        let mut sums = [F::Extended::new(0.0); GROUP];
        both.visit(
            isa,
            (group.clone(), BLOCK),
            counts,
            &mut *reading,
            (
                #[inline(always)]
                |_| F::Extended::new(0.0),
                #[inline(always)]
                |sum, block| {
                    for (class, &y) in (block.first..).zip(block.classes()[1]) {
                        let target = F::Extended::new(weighting.of(class, y).to_f64());
                        *sum = sum.add(target).renormalize();
                    }
                },
                #[inline(always)]
                |i, sum| sums[i] = sum,
            ),
        );
        let mut term_rows = TermRows::new(terms, rows.classes());
        both.visit(
            isa,
            (group.clone(), BLOCK),
            counts,
            reading,
            (
                #[inline(always)]
                |i| (i, term_rows.row(i)),
                #[inline(always)]
                |(i, terms), block| {
                    let (([unit, others], largest), sum) = (tops[*i], sums[*i]);
                    let (factor, total) = (self.factor(start + *i), sum.rounded());
                    let terms = terms[block.first..].iter_mut().zip(block.classes()[1]);
                    for (class, (term, &y)) in (block.first..).zip(terms) {
                        let a = weighting.of(class, y).to_f64();
                        let rest = sum.add(F::Extended::new(-a)).rounded();
                        // Σ a·p − a cancels where p is nearly 1.
                        let slope = if class == largest && others < 0.5 {
                            rest - total * others
                        } else {
                            total * (term.to_f64() * unit) - a
                        };
                        *term = F::from_f64(factor * slope);
                    }
                },
                |_, _| (),
            ),
        );
        self.write(group, terms, out);
    }

    #[inline(always)]
    fn divergence<S: Isa>(
        &self,
        isa: S,
        (each, both): ([&Rows<'_>; 2], &Rows<'_, 2>),
        group: Range<usize>,
        (reading, computing, memory): &mut Memory<F>,
        outs: &mut [Out<'_>; 2],
    ) {
        let (start, counts) = (group.start, |row| self.factor(row) != 0.0);
        let (classes, size) = (both.classes(), group.len() * both.classes());
        let [p_terms, q_terms] = memory.each_mut().map(|memory| memory.first(size, F::ZERO));
        let mut folds = [const { [const { None }; GROUP] }; 2];
        for ((folds, rows), terms) in folds.iter_mut().zip(each).zip([&mut *p_terms, &mut *q_terms])
        {
            let mut term_rows = TermRows::new(terms, classes);
            sweep(
                isa,
                rows,
                (group.clone(), BLOCK),
                counts,
                (core::array::from_mut(&mut reading[0]), &mut *computing),
                #[inline(always)]
                |i| Terms::new(term_rows.row(i)),
                #[inline(always)]
                |i, fold| folds[i] = Some(fold),
            );
        }
        let mut related = [const { None }; GROUP];
        let [p, q] = &mut folds;
        let mut pairs = p.iter_mut().flatten().zip(q.iter_mut().flatten());
        sweep(
            isa,
            both,
            (group.clone(), PIECE),
            counts,
            (&mut *reading, &mut *computing),
            #[inline(always)]
            |_| pairs.next().map(|(p, q)| Divergence::new(Pair::new(isa, p, q))),
            #[inline(always)]
            |i, fold| related[i] = fold.map(|fold| fold.related(isa)),
        );
        let mut p_rows = TermRows::new(p_terms, classes);
        let mut q_rows = TermRows::new(q_terms, classes);
        both.visit(
            isa,
            (group.clone(), BLOCK),
            counts,
            reading,
            (
                #[inline(always)]
                |i| (i, p_rows.row(i), q_rows.row(i)),
                #[inline(always)]
                |(i, p, q), block| {
                    let Some(related) = related[*i] else { return };
                    let unit = self.factor(start + *i) / related.p_sum;
                    let [x, y] = block.classes();
                    let terms = p[block.first..].iter_mut().zip(&mut q[block.first..]);
                    for ((p, q), (x, y)) in terms.zip(x.iter().zip(y)) {
                        let d = related.log_ratio(x.to_f64(), y.to_f64());
                        let q_term = F::Extended::new(q.to_f64()).mul(isa, related.k);
                        let (p_term, value) = (p.to_f64(), related.value);
                        let slopes = row::divergence_slopes::<S, F>(isa, p_term, q_term, d, value);
                        [*p, *q] = slopes.map(|slope| F::from_f64(unit * slope));
                    }
                },
                #[inline(always)]
                |_, (i, p, _)| {
                    balance(isa, p, related[i].map_or(NONE, |related| related.likely));
                },
            ),
        );
        self.write(group.clone(), p_terms, &mut outs[0]);
        self.write(group, q_terms, &mut outs[1]);
    }

    /// Writes the results of a group, 0 in rows that do not count.
    #[inline(always)]
    fn write(&self, group: Range<usize>, results: &mut [F], out: &mut Out<'_>) {
        let classes = results.len() / group.len().max(1);
        for (row, results) in group.zip(results.chunks_mut(classes.max(1))) {
            if self.factor(row) == 0.0 {
                results.fill(F::ZERO);
            }
            out.write(results, None);
        }
    }
}
