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
//! of the whole row, and for the results, which replace the terms. Rows of few classes are read together,
//! in `lane_slopes.rs`.

use crate::long_slopes::run_long;
use crate::quantity::Quantity;
use crate::slope_blocks::{self, EntropyRow, SoftTargetRow};
use nll_kernels::Error;
use nll_kernels::call::HugePair;
use nll_kernels::call::row_sweeps::PIECE;
use nll_kernels::data::drive::{self, Exec, Work};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::rows::{BLOCK, GROUP, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::data::targets::Counted;
use nll_kernels::fold::{Divergence, Entropy, Pair, TargetSum, TermRows, Terms, Weighting, sweep};
use nll_kernels::math::terms::{NONE, add_values};
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
    /// The gradients by the first logits and, of a divergence, by the second ones. Rows of few classes lie
    /// as `out` says, others one behind the other.
    pub fn run(&self, exec: Exec<'_>, out: [PerClass<'_>; 2]) -> Result<(), Error> {
        self.of.check_rows(self.rows)?;
        if let Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } = self.of {
            return Err(Error::Choice("this quantity has no gradient".into()));
        }
        match self.of.is_double() {
            true => self.run_in::<f64>(exec, out),
            false => self.run_in::<f32>(exec, out),
        }
    }

    fn run_in<F: Real>(&self, exec: Exec<'_>, out: [PerClass<'_>; 2]) -> Result<(), Error> {
        if Rows::new([self.of.logits()]).are_long() {
            let outs = out.map(PerClass::rows);
            return run_long::<F>(exec, &self.of, &|row| self.factor(row), outs);
        }
        drive::run(exec, &RowSlopes::<F> { of: self, real: PhantomData }, out)
    }

    /// The factor of the results of a row; 0 if it does not count.
    #[inline(always)]
    pub(crate) fn factor(&self, row: usize) -> f64 {
        let weight = self.rows.weight(row);
        if weight == 0.0 { 0.0 } else { self.scale * weight }
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
pub(crate) struct RowSlopes<'s, F> {
    pub(crate) of: &'s Slopes<'s>,
    real: PhantomData<F>,
}

/// What a thread keeps: for reading two arrays, for computing, and the terms of a group of each.
pub(crate) type Memory<F> = ([Scratch<F>; 2], [Scratch<F>; 2], [Buffer<F>; 2]);

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
        if both.are_few() {
            return self.few_classes(isa, range, out, memory);
        }
        let mut outs = out.map(PerClass::rows);
        for group in both.groups(range) {
            match &self.of.of {
                Quantity::Entropy { .. } => self.entropy(isa, &one, group, memory, &mut outs[0]),
                Quantity::SoftTarget { .. } => {
                    let weighting = self.of.of.weighting();
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
    #[inline(always)]
    fn factor(&self, row: usize) -> f64 {
        self.of.factor(row)
    }

    #[inline(always)]
    fn entropy<S: Isa>(
        &self,
        isa: S,
        rows: &Rows<'_>,
        group: Range<usize>,
        ([reading, _], [computing, _], [memory, _]): &mut Memory<F>,
        out: &mut Out<'_>,
    ) {
        let (start, counts) = (group.start, |row| self.factor(row) != 0.0);
        let reading = core::array::from_mut(reading);
        let terms = memory.first(group.len() * rows.classes(), F::ZERO);
        let mut term_rows = TermRows::new(terms, rows.classes());
        let mut tops = [None; GROUP];
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
                // Writes the largest term.
                terms.parts(isa);
                let row = EntropyRow::new(isa, &entropy, self.factor(start + i));
                tops[i] = Some((row, entropy.others().at_if_likely(isa)));
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
                |(row, terms), block| {
                    let ([x], Some((row, _))) = (block.classes(), row) else { return };
                    row.slopes(&mut terms[block.first..], x);
                },
                #[inline(always)]
                |_, (row, terms)| balance(isa, terms, row.map_or(NONE, |(_, likely)| likely)),
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
        (reading, [computing, _], [memory, _]): &mut Memory<F>,
        out: &mut Out<'_>,
    ) {
        let (start, counts) = (group.start, |row| self.factor(row) != 0.0);
        let terms = memory.first(group.len() * rows.classes(), F::ZERO);
        let mut tops = [None; GROUP];
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
                let row = SoftTargetRow::of_sums(max.sums(isa), self.factor(start + i));
                tops[i] = Some((row, max.at));
            },
        );
        both.visit(
            isa,
            (group.clone(), BLOCK),
            counts,
            &mut *reading,
            (
                #[inline(always)]
                |_| TargetSum::<F>::empty(weighting),
                #[inline(always)]
                |sum, block| sum.add(block.first, block.classes()[1]),
                #[inline(always)]
                |i, sum| {
                    tops[i] = tops[i]
                        .map(|(row, at): (SoftTargetRow<F>, _)| (row.with_sum(sum.sum()), at));
                },
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
                |i| (tops[i], term_rows.row(i)),
                #[inline(always)]
                |(row, terms), block| {
                    let ([_, y], Some((row, at))) = (block.classes(), row) else { return };
                    let terms = &mut terms[block.first..];
                    row.slopes((block.first, *at), terms, y, weighting);
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
        (reading, [computing, _], memory): &mut Memory<F>,
        outs: &mut [Out<'_>; 2],
    ) {
        let (start, counts) = (group.start, |row| self.factor(row) != 0.0);
        let (classes, size) = (both.classes(), group.len() * both.classes());
        let [p_terms, q_terms] = memory.each_mut().map(|memory| memory.first(size, F::ZERO));
        let mut folds = [const { [const { None }; GROUP] }; 2];
        let terms = [&mut *p_terms, &mut *q_terms];
        for (((folds, rows), terms), reading) in
            folds.iter_mut().zip(each).zip(terms).zip(&mut *reading)
        {
            let mut term_rows = TermRows::new(terms, classes);
            sweep(
                isa,
                rows,
                (group.clone(), BLOCK),
                counts,
                (core::array::from_mut(reading), &mut *computing),
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
                    let terms = [&mut p[block.first..], &mut q[block.first..]];
                    let factor = self.factor(start + *i);
                    slope_blocks::divergence(isa, terms, block.classes(), &related, factor);
                },
                #[inline(always)]
                |_, (i, p, _)| {
                    balance(isa, p, related[i].map_or(NONE, |related| related.likely));
                },
            ),
        );
        let rows = group.clone().zip(p_terms.chunks_mut(classes).zip(q_terms.chunks_mut(classes)));
        for (row, (by_p, by_q)) in rows.filter(|(row, _)| F::COMPENSATED && counts(*row)) {
            let are_finite = by_p.iter().fold(true, |all, x| all & (x.abs() < F::INFINITY));
            let pair = if are_finite { None } else { HugePair::new(each, row) };
            if let Some(pair) = pair.filter(HugePair::has_slopes) {
                for (class, (by_p, by_q)) in by_p.iter_mut().zip(by_q).enumerate() {
                    [*by_p, *by_q] = pair.slopes(class, self.factor(row)).map(F::from_f64);
                }
            }
        }
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
