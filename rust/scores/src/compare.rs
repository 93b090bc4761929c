//! How two arrays of logits differ, row by row, from one read of both.

use crate::score_columns::Classes;
use nll_kernels::Error;
use nll_kernels::call::long_rows::{Folded, LongRow, fold_rows};
use nll_kernels::call::row_sweeps::{Memory, PIECE};
use nll_kernels::call::{HugePair, check_equal_shapes, check_targets};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{self, Exec, Split, Work};
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::{BLOCK, GROUP, Rows};
use nll_kernels::data::targets::Targets;
use nll_kernels::fold::{
    Candidate, Comparison, Excess, Fold, Largest, LongPair, Others, Pair, PairRow, TermRows, Terms,
    TopK, sweep,
};
use nll_kernels::math::row;
use nll_simd::{Extended, Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// How two arrays of logits differ.
pub struct Compare<'a> {
    /// The logits of p; the last axis is the class axis.
    pub p_logits: &'a Array<'a>,
    /// The logits of q.
    pub q_logits: &'a Array<'a>,
    /// What happened in each row, and which rows count.
    pub targets: Targets<'a>,
    /// How many of the largest classes are compared.
    pub top_k: usize,
}

/// The arrays that [`Compare`] writes, a number for each row.
pub struct CompareColumns<'a> {
    /// In this order: KL(p‖q), KL(q‖p), the Jensen-Shannon divergence, the total variation, the entropy
    /// of p, log p of p's largest class, log p of the target, and log q of the target.
    pub numbers: [Out<'a>; 8],
    /// In this order: the largest class of p, and of q; how many of p's first k classes are among q's
    /// first k; and 1 if these are the same in the same order, else 0.
    pub classes: [Classes<'a>; 4],
}

impl Split for CompareColumns<'_> {
    fn split_off(&mut self, items: usize) -> Self {
        CompareColumns {
            numbers: self.numbers.split_off(items),
            classes: self.classes.split_off(items),
        }
    }
}

impl Compare<'_> {
    /// An error if the shapes do not fit.
    pub fn check(&self) -> Result<(), Error> {
        let arrays = [("p_logits", self.p_logits), ("q_logits", self.q_logits)];
        check_equal_shapes(&arrays)?;
        check_targets(arrays[0], &self.targets)
    }

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
            for (row, found) in group.zip(found) {
                compared.write(row, found.as_ref(), &mut columns);
            }
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

/// What is known of both rows when all their classes are in.
struct ComparedRow<F: Real> {
    /// The target.
    class: usize,
    pair: PairRow<F>,
    largest: [Largest<F>; 2],
    tops: [Vec<Candidate<F>>; 2],
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
        for group in self.both.groups(range) {
            self.group(isa, group, memory, &mut columns);
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
                largest[i] = Some([p, q].map(|terms| Largest::new(isa, &terms.parts(isa).0)));
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
            further(&mut excess, &found);
        }
        for (i, row) in group.enumerate() {
            let parts = (known[i], found[i], largest[i], tops[i].take());
            let compared = match parts {
                (Some(class), Some(pair), Some(largest), Some(tops)) => {
                    Some(ComparedRow { class, pair, largest, tops })
                }
                _ => None,
            };
            self.write(row, compared.as_ref(), columns);
        }
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
            further(&mut excess, &compared);
        }
        let mut rows = Vec::new();
        for (((class, p), q), found) in known.iter().zip(p).zip(q).zip(found) {
            rows.push(match (class, p, q, found) {
                (Some(class), Some((_, p)), Some((_, q)), Some((pair, largest))) => {
                    let tops = [p, q].map(Option::unwrap_or_default);
                    Some(ComparedRow { class: *class, pair, largest, tops })
                }
                _ => None,
            });
        }
        Ok(rows)
    }

    /// Writes what is known of a row; None of one that does not count.
    #[inline(never)]
    fn write(&self, row: usize, found: Option<&ComparedRow<F>>, columns: &mut CompareColumns<'_>) {
        let found = found.filter(|row| !row.largest.iter().any(|l| l.loss.rounded().is_nan()));
        let Some(ComparedRow { class, pair, largest: [p, q], tops }) = found else {
            columns.numbers.iter_mut().for_each(|out| out.write(&[f64::NAN], None));
            columns.classes.iter_mut().for_each(|out| out.write(-1));
            return;
        };
        let logit = |rows: &Rows<'_>| F::from_f64(rows.entry(row, *class));
        let [p_target, q_target] =
            [p.log_prob(logit(&self.each[0])), q.log_prob(logit(&self.each[1]))];
        let entropy = p.loss.add(pair.below).rounded();
        let compared = pair.compared;
        let [p_rows, q_rows] = &self.each;
        let restored = |rows, value: f64| match F::COMPENSATED && !value.is_finite() {
            true => HugePair::new(rows, row).map_or(value, |pair| pair.divergence()),
            false => value,
        };
        let numbers = [
            restored([p_rows, q_rows], compared.kl_pq),
            restored([q_rows, p_rows], compared.kl_qp),
            compared.js,
            compared.total_variation,
            entropy,
            row::log_prob::<F>(p.loss.rounded()),
            p_target,
            q_target,
        ];
        let [p_top, q_top] = tops;
        let mut others: Vec<_> = q_top.iter().map(|other| other.class).collect();
        others.sort_unstable();
        let overlap = p_top.iter().filter(|one| others.binary_search(&one.class).is_ok()).count();
        let mut pairs = p_top.iter().zip(q_top);
        let in_order = pairs.all(|(p, q)| p.class == q.class);
        let classes = [p.at as i64, q.at as i64, overlap as i64, i64::from(in_order)];
        for (out, number) in columns.numbers.iter_mut().zip(numbers) {
            out.write(&[number], None);
        }
        for (out, class) in columns.classes.iter_mut().zip(classes) {
            out.write(class);
        }
    }
}

/// What is known of the excess of each row after a sweep; None of one that needs no other.
fn further<F: Real>(excess: &mut [Option<Excess<F>>], found: &[Option<PairRow<F>>]) {
    for (excess, found) in excess.iter_mut().zip(found) {
        *excess = excess.zip(*found).and_then(|(excess, pair)| excess.and(&pair.compared));
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
        let largest = state.pair().sides().map(|max| Largest::new(isa, &max));
        (Fold::<F, 2>::finish(state, isa), largest)
    }
}
