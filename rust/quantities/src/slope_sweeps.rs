//! The values and slopes of a group of rows, by the formulas of `slopes.rs`. The slopes replace the terms.

use crate::balance::balance_row;
use crate::slope_blocks::{self, EntropyRow, SoftTargetRow};
use crate::slopes::{Memory, RowSlopes};
use nll_kernels::call::HugePair;
use nll_kernels::call::row_sweeps::{PIECE, direct_divergences};
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::{BLOCK, GROUP, Rows};
use nll_kernels::fold::{
    Divergence, Entropy, Fold, Pair, Related, SoftTarget, TargetSum, TermRows, Terms, sweep,
};
use nll_kernels::math::terms::NONE;
use nll_simd::{Isa, Real};
use std::ops::Range;

impl<F: Real> RowSlopes<'_, F> {
    #[inline(always)]
    pub(crate) fn entropy<S: Isa>(
        &self,
        isa: S,
        rows: &Rows<'_>,
        group: Range<usize>,
        ([reading, _], [computing, _], [memory, _]): &mut Memory<F>,
        (values, out): (&mut [f64], &mut Out<'_>),
    ) {
        let (start, counts) = (group.start, |row| self.counts(row));
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
                values[i] = Entropy::<F>::value(isa, entropy.finish(isa));
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
                |_, (row, terms)| balance_row(isa, terms, row.map_or(NONE, |(_, likely)| likely)),
            ),
        );
        self.write(group, terms, out);
    }

    #[inline(always)]
    pub(crate) fn soft_target<S: Isa>(
        &self,
        isa: S,
        both: &Rows<'_, 2>,
        group: Range<usize>,
        (reading, [computing, _], [memory, _]): &mut Memory<F>,
        (values, out): (&mut [f64], &mut Out<'_>),
    ) {
        let (start, counts) = (group.start, |row| self.counts(row));
        let (weighting, mut tops) = (self.of().weighting(), [None; GROUP]);
        sweep(
            isa,
            both,
            (group.clone(), BLOCK / 2),
            counts,
            (&mut *reading, &mut *computing),
            #[inline(always)]
            |_| (SoftTarget::<F>::empty(weighting), TargetSum::empty(weighting)),
            #[inline(always)]
            |i, (loss, sum)| {
                let (row, max) = SoftTargetRow::new(isa, &loss, self.factor(start + i));
                values[i] = SoftTarget::<F>::value(isa, loss.finish(isa));
                tops[i] = Some((row.with_sum(Fold::<F, 2>::finish(&sum, isa)), max));
            },
        );
        let terms = memory.first(group.len() * both.classes(), F::ZERO);
        let mut term_rows = TermRows::new(terms, both.classes());
        both.visit(
            isa,
            (group.clone(), BLOCK),
            counts,
            reading,
            (
                #[inline(always)]
                |i| (tops[i], term_rows.row(i)),
                #[inline(always)]
                |(top, terms), block| {
                    let ([x, y], Some((row, max))) = (block.classes(), top) else { return };
                    let terms = &mut terms[block.first..][..x.len()];
                    max.write(isa, block.first, x, terms);
                    row.slopes((block.first, max.at), terms, y, weighting);
                },
                |_, _| (),
            ),
        );
        self.write(group, terms, out);
    }

    #[inline(always)]
    pub(crate) fn divergence<S: Isa>(
        &self,
        isa: S,
        (each, both): ([&Rows<'_>; 2], &Rows<'_, 2>),
        group: Range<usize>,
        (reading, [computing, _], memory): &mut Memory<F>,
        (values, outs): (&mut [f64], &mut [Out<'_>; 2]),
    ) {
        let (start, counts) = (group.start, |row| self.counts(row));
        let (classes, size) = (both.classes(), group.len() * both.classes());
        let [p_terms, q_terms] = memory.each_mut().map(|memory| memory.first(size, F::ZERO));
        let scratch = (&mut *reading, &mut *computing);
        let direct = direct_divergences(isa, both, (group.clone(), &counts), scratch);
        let is_unknown = |row: usize| counts(row) && direct[row - start].is_none();
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
                is_unknown,
                (core::array::from_mut(reading), &mut *computing),
                #[inline(always)]
                |i| Terms::new(term_rows.row(i)),
                #[inline(always)]
                |i, fold| folds[i] = Some(fold),
            );
        }
        let (mut related, mut sides) = ([const { None }; GROUP], [const { None }; GROUP]);
        for ((related, sides), direct) in related.iter_mut().zip(&mut sides).zip(&direct) {
            if let Some(direct) = direct {
                let of_row = direct.sides(isa);
                *related = Some(direct.related(isa, &of_row));
                *sides = Some(of_row);
            }
        }
        let [p, q] = &mut folds;
        let mut pairs = p.iter_mut().zip(q).enumerate();
        sweep(
            isa,
            both,
            (group.clone(), PIECE),
            is_unknown,
            (&mut *reading, &mut *computing),
            #[inline(always)]
            |i| {
                let (_, (p, q)) = pairs.find(|(at, _)| *at == i)?;
                Some(Divergence::new(Pair::new(isa, p.as_mut()?, q.as_mut()?)))
            },
            #[inline(always)]
            |i, fold| related[i] = fold.map(|fold| fold.related(isa)),
        );
        for (value, related) in values.iter_mut().zip(&related) {
            *value = related.map_or(0.0, |related: Related<F>| related.value);
        }
        // Of values that are huge, the slopes of p tell whether to compute them again.
        let wanted = [F::COMPENSATED || outs[0].is_wanted(), outs[1].is_wanted()];
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
                    let (first, [x, y], Some(related)) =
                        (block.first, block.classes(), related[*i])
                    else {
                        return;
                    };
                    let [p, q] = [p, q].map(|terms| &mut terms[first..][..x.len()]);
                    if let Some([p_side, q_side]) = &sides[*i] {
                        p_side.write(isa, first, x, p);
                        q_side.write(isa, first, y, q);
                    }
                    let factor = self.factor(start + *i);
                    slope_blocks::divergence(isa, [p, q], [x, y], (&related, factor), wanted);
                },
                #[inline(always)]
                |_, (i, p, _)| {
                    if wanted[0] {
                        balance_row(isa, p, related[i].map_or(NONE, |related| related.likely));
                    }
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
