//! How two arrays of logits differ, group by group: the sweeps behind [`Compare`].

use crate::compare::{Compare, CompareColumns};
use crate::compare_row::{ComparedRow, Tops};
use crate::score_columns::RowsNumbers;
use nll_kernels::Error;
use nll_kernels::call::long_rows::{Folded, LongRow, fold_rows};
use nll_kernels::call::row_sweeps::{Memory, PIECE};
use nll_kernels::data::drive::{self, Exec, Work, ranges};
use nll_kernels::data::lines::{LANES, scratch_lines};
use nll_kernels::data::rows::{BLOCK, GROUP, Rows};
use nll_kernels::fold::lane_comparison::comparisons;
use nll_kernels::fold::lane_top::{CommonTops, costs_less};
use nll_kernels::fold::{
    Candidate, Comparison, Excess, Fold, Largest, LongPair, Others, Pair, PairRow, TermRows, Terms,
    TopK, sweep,
};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

impl Compare<'_> {
    /// Writes all columns: NaN and −1 of rows that do not count, and of those that hold a NaN or +∞.
    pub fn run(&self, exec: Exec<'_>, columns: CompareColumns<'_>) -> Result<(), Error> {
        self.check()?;
        self.targets.check(exec, Rows::new([self.p_logits]).classes())?;
        match [self.p_logits, self.q_logits].iter().any(|array| array.is_double() == Some(true)) {
            true => self.run_in::<f64>(exec, columns),
            false => self.run_in::<f32>(exec, columns),
        }
    }

    fn run_in<F: Real>(
        &self,
        exec: Exec<'_>,
        mut columns: CompareColumns<'_>,
    ) -> Result<(), Error> {
        let [p, q] = [self.p_logits, self.q_logits];
        let (each, both) = ([Rows::new([p]), Rows::new([q])], Rows::new([p, q]));
        let compared = Comparisons::<F> { of: self, each, both, real: PhantomData };
        if !compared.both.are_long() {
            return drive::run(exec, &compared, columns);
        }
        for group in compared.both.long_groups() {
            let found = compared.long_rows(exec, group.clone())?;
            let mut found = found.into_iter();
            compared.write(group, |_| found.next()?, &mut columns);
        }
        Ok(())
    }
}

/// The comparisons of every row, computed in `F`.
struct Comparisons<'c, F> {
    of: &'c Compare<'c>,
    each: [Rows<'c>; 2],
    both: Rows<'c, 2>,
    real: PhantomData<F>,
}

impl<F: Real> Work<CompareColumns<'_>> for Comparisons<'_, F> {
    type Total = ();
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        self.both.count()
    }

    fn per_task(&self) -> usize {
        self.both.per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut columns: CompareColumns<'_>,
        memory: &mut Memory<F>,
    ) {
        if self.both.are_few() {
            for group in ranges(range, LANES) {
                isa.apart(
                    #[inline(always)]
                    || self.lanes(isa, group, memory, &mut columns),
                );
            }
        } else {
            for group in self.both.groups(range) {
                self.group(isa, group, memory, &mut columns);
            }
        }
    }
}

impl<F: Real> Comparisons<'_, F> {
    #[inline(always)]
    fn known(&self, row: usize) -> Option<usize> {
        self.of.targets.known(row, self.both.classes())
    }

    fn top(&self) -> Option<TopK<F>> {
        (self.of.top_k > 0).then(|| TopK::of(self.of.top_k))
    }

    /// The logit of a class in each row.
    #[inline(always)]
    fn logits(&self, row: usize, class: usize) -> [F; 2] {
        self.each.each_ref().map(|rows| rows.entry_in(row, class))
    }

    /// At most [`LANES`] pairs of rows of few classes.
    #[inline(always)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        Memory { reading, computing, terms: [more, _] }: &mut Memory<F>,
        columns: &mut CompareColumns<'_>,
    ) {
        let classes = self.both.classes();
        let lines = self.both.lines(isa, &group, reading);
        let p_terms = scratch_lines(computing, classes);
        let q_terms = more.first(classes * LANES, F::ZERO).as_chunks_mut().0;
        let (mut targets, mut wanted) = ([0; LANES], [false; LANES]);
        for (i, row) in group.clone().enumerate() {
            if let Some(target) = self.known(row) {
                (targets[i], wanted[i]) = (target, true);
            }
        }
        let count = wanted.iter().filter(|is_wanted| **is_wanted).count();
        if count == 0 {
            return self.write(group, |_| None, columns);
        }
        let k = self.of.top_k;
        let common = costs_less::<F>(k, count).then(|| CommonTops::new(lines, k));
        let found = comparisons(isa, lines, [p_terms, q_terms], wanted);
        self.write(
            group,
            #[inline(always)]
            |i| {
                let (pair, largest) = found.of(i)?;
                let x_t = lines.map(|lines| lines.line(targets[i])[i]);
                let tops = match &common {
                    Some(all) => Tops { count: all.count[i] as usize, are_equal: all.are_equal[i] },
                    None => Tops::of_lines(lines, i, k),
                };
                Some(ComparedRow { x_t, pair, largest, tops })
            },
            columns,
        );
    }

    /// A few rows: one sweep over each array, which keeps its terms, and one or more over both, from cache.
    #[inline(always)]
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        Memory { reading, computing, terms }: &mut Memory<F>,
        columns: &mut CompareColumns<'_>,
    ) {
        let mut known = [None; GROUP];
        for (known, row) in known.iter_mut().zip(group.clone()) {
            *known = self.known(row);
        }
        let counts = |row: usize| known[row - group.start].is_some();
        let (classes, size) = (self.both.classes(), group.len() * self.both.classes());
        let mut folds = [const { [const { None }; GROUP] }; 2];
        let read = reading.iter_mut();
        for (((folds, rows), terms), reading) in
            folds.iter_mut().zip(&self.each).zip(&mut *terms).zip(read)
        {
            let mut terms = TermRows::new(terms.first(size, F::ZERO), classes);
            sweep(
                isa,
                rows,
                (group.clone(), BLOCK),
                counts,
                (core::array::from_mut(reading), computing),
                #[inline(always)]
                |i| (Terms::new(terms.row(i)), self.top()),
                #[inline(always)]
                |i, fold| folds[i] = Some(fold),
            );
        }
        let (mut largest, mut tops) = ([const { None }; GROUP], [const { None }; GROUP]);
        let [p_folds, q_folds] = &mut folds;
        for (i, folds) in p_folds.iter_mut().zip(q_folds.iter_mut()).enumerate() {
            if let (Some((p, p_top)), Some((q, q_top))) = folds {
                let [p, q] = [p.parts(isa).0, q.parts(isa).0];
                largest[i] = Some([Largest::new(isa, &p), Largest::new(isa, &q)]);
                tops[i] = Some([p_top, q_top].map(|top| top.finish(isa).unwrap_or_default()));
            }
        }
        let mut found = [const { None }; GROUP];
        // Sweeps after the first are of those rows alone whose sum of q is off by enough to change a result.
        let mut excess = known.map(|class| class.map(|_| Excess::unknown()));
        while excess.iter().any(Option::is_some) {
            let mut pairs = p_folds.iter_mut().zip(q_folds.iter_mut()).enumerate();
            sweep(
                isa,
                &self.both,
                (group.clone(), PIECE),
                |row| excess[row - group.start].is_some(),
                (reading, computing),
                #[inline(always)]
                |i| {
                    let (_, (p, q)) = pairs.find(|(row, _)| *row == i)?;
                    let pair = Pair::new(isa, &mut p.as_mut()?.0, &mut q.as_mut()?.0);
                    Some(Comparison::new(isa, pair, excess[i]?))
                },
                #[inline(always)]
                |i, fold| found[i] = fold.finish(isa),
            );
            Excess::add_all(&mut excess, &found);
        }
        let first = group.start;
        self.write(
            group,
            |i| {
                let (class, pair, largest) = (known[i]?, found[i]?, largest[i]?);
                let [p_top, q_top] = tops[i].as_ref()?;
                let (x_t, tops) = (self.logits(first + i, class), Tops::new([p_top, q_top]));
                Some(ComparedRow { x_t, pair, largest, tops })
            },
            columns,
        );
    }

    /// Rows of very many classes, in pieces by all threads: each array is read once, and both together as
    /// often as [`Excess`] wants.
    fn long_rows(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
    ) -> Result<Vec<Option<ComparedRow<F>>>, Error> {
        let known: Vec<_> = group.clone().map(|row| self.known(row)).collect();
        let counts = |row: usize| known[row - group.start].is_some();
        let tops = Folded(|row| counts(row).then(|| (Others::<F>::empty(), self.top())));
        let [p_rows, q_rows] = &self.each;
        let p = fold_rows(exec, p_rows, group.clone(), &tops)?;
        let q = fold_rows(exec, q_rows, group.clone(), &tops)?;
        let mut excess: Vec<_> =
            known.iter().map(|class| class.map(|_| Excess::unknown())).collect();
        let mut found = vec![None; group.len()];
        while excess.iter().any(Option::is_some) {
            let pairs = LongPairs { first: group.start, sides: [&p, &q], excess };
            let again = fold_rows(exec, &self.both, group.clone(), &pairs)?;
            for (found, again) in found.iter_mut().zip(again) {
                *found = again.or(*found);
            }
            excess = pairs.excess;
            let compared: Vec<_> = found.iter().map(|row| row.map(|(pair, _)| pair)).collect();
            Excess::add_all(&mut excess, &compared);
        }
        let mut rows = Vec::new();
        for ((row, (class, p)), (q, found)) in
            group.zip(known.iter().zip(p)).zip(q.into_iter().zip(found))
        {
            rows.push(match (class, p, q, found) {
                (Some(class), Some((_, p)), Some((_, q)), Some((pair, largest))) => {
                    let tops = [p, q].map(Option::unwrap_or_default);
                    let (x_t, tops) =
                        (self.logits(row, *class), Tops::new(tops.each_ref().map(|top| &top[..])));
                    Some(ComparedRow { x_t, pair, largest, tops })
                }
                _ => None,
            });
        }
        Ok(rows)
    }

    /// Writes what is known of each of at most [`LANES`] rows; None of one that does not count.
    #[inline(always)]
    fn write(
        &self,
        group: Range<usize>,
        mut found: impl FnMut(usize) -> Option<ComparedRow<F>>,
        CompareColumns { numbers, classes }: &mut CompareColumns<'_>,
    ) {
        let (mut columns, [p_rows, q_rows]) = (RowsNumbers::empty(), &self.each);
        for (i, row) in group.enumerate() {
            let numbers = match found(i) {
                Some(found) => found.columns([p_rows, q_rows], row),
                None => None,
            };
            columns.push(numbers);
        }
        columns.write(numbers.each_mut(), classes.each_mut());
    }
}

/// The largest logit of a row against the others, and its k largest classes if any are wanted.
type Side<F> = Option<(Others<F>, Option<Vec<Candidate<F>>>)>;

/// The comparison of each row of a group, from number `first` on.
struct LongPairs<'t, F: Real> {
    first: usize,
    sides: [&'t [Side<F>]; 2],
    /// None of a row that is not wanted.
    excess: Vec<Option<Excess<F>>>,
}

impl<F: Real> LongRow<F, 2> for LongPairs<'_, F> {
    type State = Comparison<LongPair<F>, F>;
    type Row = (PairRow<F>, [Largest<F>; 2]);

    const BLOCK: usize = PIECE;

    #[inline(always)]
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State> {
        let [p, q] = self.sides.map(|side| side[row - self.first].as_ref().map(|(max, _)| *max));
        let excess = self.excess[row - self.first]?;
        Some(Comparison::new(isa, LongPair::new(isa, p?, q?), excess))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Self::State) -> Self::Row {
        let [p, q] = state.pair().sides();
        let largest = [Largest::new(isa, &p), Largest::new(isa, &q)];
        (Fold::<F, 2>::finish(state, isa), largest)
    }
}
