//! Everything about the rows of an array, group by group: the sweeps behind [`Score`].

use crate::score::Score;
use crate::score_columns::{RowsNumbers, ScoreColumns};
use crate::score_row::{RowScore, ends, of_entropy};
use nll_kernels::Error;
use nll_kernels::call::cross_entropy::CrossEntropy;
use nll_kernels::call::long_rows::{LongRow, fold_rows};
use nll_kernels::call::row_loss::BLOCK_ROWS;
use nll_kernels::call::row_sweeps::entropy_rows;
use nll_kernels::data::drive::{self, Exec, Work, ranges};
use nll_kernels::data::lines::{LANES, scratch_lines};
use nll_kernels::data::rows::{BLOCK, GROUP, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::fold::lane_terms::entropies;
use nll_kernels::fold::{self, Candidate, Entropy, Fold, Largest, Scored, TopK, sweep};
use nll_kernels::fold::{lane_top, lanes};
use nll_kernels::math::row::TargetAndRest;
use nll_kernels::math::terms::NONE;
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

impl Score<'_> {
    /// Writes all columns: NaN and −1 of rows that do not count, and −1 of those that hold a NaN.
    pub fn run(&self, exec: Exec<'_>, columns: ScoreColumns<'_>) -> Result<(), Error> {
        self.check()?;
        self.targets.check(exec, Rows::new([self.logits]).classes())?;
        match self.logits.is_double() {
            Some(true) => self.run_in::<f64>(exec, columns),
            _ => self.run_in::<f32>(exec, columns),
        }
    }

    fn run_in<F: Real>(&self, exec: Exec<'_>, mut columns: ScoreColumns<'_>) -> Result<(), Error> {
        let rows = Rows::new([self.logits]);
        let scores = Scores::<F> { of: self, rows: &rows, real: PhantomData };
        if !rows.are_long() {
            return drive::run(exec, &scores, columns);
        }
        for group in rows.long_groups() {
            scores.write_long(exec, group, &mut columns)?;
        }
        Ok(())
    }
}

/// The scores of every row, computed in `F`.
struct Scores<'s, F> {
    of: &'s Score<'s>,
    rows: &'s Rows<'s>,
    real: PhantomData<F>,
}

impl<F: Real> Work<ScoreColumns<'_>> for Scores<'_, F> {
    type Total = ();
    type Memory = [Scratch<F>; 2];

    fn count(&self) -> usize {
        self.rows.count()
    }

    fn per_task(&self) -> usize {
        self.rows.per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut columns: ScoreColumns<'_>,
        memory: &mut [Scratch<F>; 2],
    ) {
        if self.rows.are_few() {
            for group in ranges(range, LANES) {
                isa.apart(
                    #[inline(always)]
                    || self.lanes(isa, group, memory, &mut columns),
                );
            }
        } else {
            for group in ranges(range, GROUP) {
                self.group(isa, group, memory, &mut columns);
            }
        }
    }
}

impl<F: Real> Scores<'_, F> {
    #[inline(always)]
    fn known(&self, row: usize) -> Option<usize> {
        self.of.targets.known(row, self.rows.classes())
    }

    #[inline(always)]
    fn logit(&self, row: usize, class: usize) -> F {
        F::from_f64(self.rows.entry(row, class))
    }

    /// At most [`GROUP`] rows.
    #[inline(always)]
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        columns: &mut ScoreColumns<'_>,
    ) {
        let mut known = [None; GROUP];
        for (known, row) in known.iter_mut().zip(group.clone()) {
            *known = self.known(row);
        }
        // Fetched together: each is a cache miss.
        let mut x_t = [F::ZERO; GROUP];
        for (i, row) in group.clone().enumerate() {
            x_t[i] = known[i].map_or(F::ZERO, |class| self.logit(row, class));
        }
        let mut found = [const { None }; GROUP];
        sweep(
            isa,
            self.rows,
            (group.clone(), BLOCK),
            |row| known[row - group.start].is_some(),
            (core::array::from_mut(reading), computing),
            #[inline(always)]
            |i| fold::Score::empty((known[i].unwrap_or(NONE), x_t[i]), self.of.top_k),
            #[inline(always)]
            |i, fold| found[i] = Some(fold.finish(isa)),
        );
        let ends = ends(isa, &found);
        let is_unsure = |i: usize| found[i].is_some() && !ends[i].is_sure;
        let mut again = [None; GROUP];
        if (0..GROUP).any(is_unsure) {
            let wanted = |row: usize| is_unsure(row - group.start);
            let end = &mut |i: usize, row| again[i] = Some(row);
            entropy_rows(isa, self.rows, (group.clone(), &wanted), [reading, computing], end);
        }
        let mut numbers = RowsNumbers::empty();
        for (i, row) in group.enumerate() {
            let again = again[i].map(|row| of_entropy(isa, row));
            let parts = known[i].zip(found[i].as_ref());
            let score = parts.map(|(class, found)| RowScore::new(class, (found, ends[i]), again));
            numbers.push(score.as_ref().and_then(RowScore::numbers).map(|row| row.columns()));
            let top = found[i].as_ref().and_then(|found| found.top.as_deref());
            self.write_classes(row, score.as_ref(), top.unwrap_or_default(), columns);
        }
        columns.write(&numbers);
    }

    /// At most [`LANES`] rows of few classes: cross entropies and entropies side by side, and then what
    /// is counted in each row.
    #[inline(always)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        columns: &mut ScoreColumns<'_>,
    ) {
        let (mut loss, mut is_top1) = ([0.0; BLOCK_ROWS], [false; BLOCK_ROWS]);
        let mut copy = [0; LANES];
        let targets = self.of.targets.read(group.clone(), &mut copy);
        let losses = CrossEntropy::<F>::new(self.rows, targets, 0.0);
        losses.few(isa, group.clone(), memory, &mut loss, &mut is_top1);
        let [reading, computing] = memory;
        let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
        let held = scratch_lines(computing, lines.classes());
        let entropies = entropies(isa, lines, held);
        let (mut known, mut x_t) = ([None; LANES], [F::ZERO; LANES]);
        for (i, row) in group.clone().enumerate() {
            known[i] = targets.known(row, lines.classes());
            x_t[i] = lines.line(known[i].unwrap_or(0))[i];
        }
        let ranks = lanes::ranks(lines, &x_t);
        let (k, count) = (self.of.top_k, known.iter().flatten().count());
        let in_passes = lane_top::costs_less::<F>(k, count);
        let tops = lane_top::largest(lines, if in_passes { k } else { 0 });
        let (mut numbers, mut top) = (RowsNumbers::empty(), Vec::new());
        for (i, row) in group.enumerate() {
            let score = known[i].map(|target| {
                let (entropy, largest) = (entropies.value[i], entropies.largest(i));
                RowScore { target, loss: loss[i], entropy, largest, rank: ranks.of(i) }
            });
            numbers.push(score.as_ref().and_then(RowScore::numbers).map(|row| row.columns()));
            top.clear();
            top.extend(tops.iter().map(|places| places.of(i)));
            if score.is_some() && !in_passes {
                let row = (0..lines.classes()).map(|class| lines.line(class)[i]);
                TopK::of_row(k, row, &mut top);
            }
            self.write_classes(row, score.as_ref(), &top, columns);
        }
        columns.write(&numbers);
    }

    /// Rows of very many classes, each read in pieces by all threads.
    fn write_long(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        columns: &mut ScoreColumns<'_>,
    ) -> Result<(), Error> {
        let known: Vec<_> = group.clone().map(|row| self.known(row)).collect();
        let (first, rows) = (group.start, self.rows);
        let long = LongScores { scores: self, first, known };
        let found = fold_rows(exec, rows, group.clone(), &long)?;
        let is_unsure = |row: usize| matches!(&found[row - first], Some((_, end)) if !end.is_sure);
        let mut again = vec![None; group.len()];
        if group.clone().any(is_unsure) {
            again = fold_rows(exec, rows, group.clone(), &LongEntropies(is_unsure))?;
        }
        for (i, row) in group.enumerate() {
            let found = long.known[i].zip(found[i].as_ref());
            let score =
                found.map(|(class, (scored, end))| RowScore::new(class, (scored, *end), again[i]));
            let mut numbers = RowsNumbers::empty();
            numbers.push(score.as_ref().and_then(RowScore::numbers).map(|row| row.columns()));
            columns.write(&numbers);
            let top = found.and_then(|(_, (scored, _))| scored.top.as_deref());
            self.write_classes(row, score.as_ref(), top.unwrap_or_default(), columns);
        }
        Ok(())
    }

    /// Writes log p of the largest classes of a row and of the given ones: nothing of one that does not
    /// count.
    #[inline(always)]
    fn write_classes(
        &self,
        row: usize,
        score: Option<&RowScore<F>>,
        top: &[Candidate<F>],
        columns: &mut ScoreColumns<'_>,
    ) {
        if columns.top.0 > 0 || columns.given.0 > 0 {
            self.write_wanted(row, score, top, columns);
        }
    }

    #[inline(never)]
    fn write_wanted(
        &self,
        row: usize,
        score: Option<&RowScore<F>>,
        top: &[Candidate<F>],
        columns: &mut ScoreColumns<'_>,
    ) {
        let score = score.filter(|score| !score.rank.has_nan);
        let (mut least, top) = (0.0, if score.is_some() { top } else { &[] });
        for i in 0..columns.top.0 {
            let (Some(score), Some(&Candidate { x, class })) = (score, top.get(i)) else {
                columns.top.1.write(-1);
                columns.top.2.write(&[f64::NAN], None);
                continue;
            };
            // They never rise, even where rounding would put the larger of two logits below the other.
            let value = score.log_prob(class, x);
            least = if value > least { least } else { value };
            columns.top.1.write(class as i64);
            columns.top.2.write(&[least], None);
        }
        for &class in self.of.given.of(row) {
            let is_class = (class as u64) < self.rows.classes() as u64;
            let of = |score: &RowScore<F>| {
                score.log_prob(class as usize, self.logit(row, class as usize))
            };
            let value = score.filter(|_| is_class).map_or(f64::NAN, of);
            columns.given.1.write(&[value], None);
        }
    }
}

/// The entropies of those rows of very many classes that the function says.
struct LongEntropies<C>(C);

impl<F: Real, C: Fn(usize) -> bool + Sync> LongRow<F, 1> for LongEntropies<C> {
    type State = Entropy<F>;
    type Row = (f64, Largest<F>);

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Entropy<F>> {
        (self.0)(row).then(Entropy::empty)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Entropy<F>) -> Self::Row {
        of_entropy(isa, (Fold::<F>::finish(state, isa), *state.others()))
    }
}

/// The scores of rows of very many classes, the first of which is row number `first`.
struct LongScores<'s, F> {
    scores: &'s Scores<'s, F>,
    first: usize,
    known: Vec<Option<usize>>,
}

impl<F: Real> LongRow<F, 1> for LongScores<'_, F> {
    type State = fold::Score<F>;
    type Row = (Scored<F>, TargetAndRest<F::Extended>);

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<fold::Score<F>> {
        let class = self.known[row - self.first]?;
        let known = (class, self.scores.logit(row, class));
        Some(fold::Score::empty(known, self.scores.of.top_k))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &fold::Score<F>) -> Self::Row {
        let found = [Some(state.finish(isa))];
        let [end, ..] = ends(isa, &found);
        let [found] = found;
        (found.expect("the row that was just put there"), end)
    }
}
