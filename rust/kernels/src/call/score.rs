//! Everything about rows of logits with a class as target, from one read of the logits.

use crate::Error;
use crate::call::check_targets;
use crate::call::cross_entropy::CrossEntropy;
use crate::call::long_rows::{Folded, fold_rows};
use crate::call::row_loss::{BLOCK_ROWS, RowLoss};
use crate::call::score_columns::ScoreColumns;
use crate::data::array::Array;
use crate::data::drive::{self, Exec, Split, Work, ranges};
use crate::data::lines::{LANES, scratch_lines};
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Targets;
use crate::fold::lane_terms::entropies;
use crate::fold::{self, Candidate, Fold, Largest, Rank, Scored, Standing, TopK, sweep};
use crate::math::row::{self, ScaledSum};
use crate::math::terms::NONE;
use nll_simd::{Extended, Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// Everything about rows with a class as target.
pub struct Score<'a> {
    /// x; the last axis is the class axis.
    pub logits: &'a Array<'a>,
    /// What happened in each row, and which rows count.
    pub targets: Targets<'a>,
    /// How many of the largest classes are wanted.
    pub top_k: usize,
    /// Other classes whose log-probabilities are wanted: as many for each row.
    pub given: Given<'a>,
}

/// Classes that are given beside the targets.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// These of every row.
    Same(&'a [i64]),
    /// So many of each row, one row behind the other.
    Each(&'a [i64], usize),
}

impl Given<'_> {
    /// Those of a row.
    #[inline(always)]
    fn of(&self, row: usize) -> &[i64] {
        match self {
            Given::Same(classes) => classes,
            Given::Each(classes, count) => &classes[row * count..(row + 1) * count],
        }
    }

    /// How many each row has.
    pub fn count(&self) -> usize {
        match self {
            Given::Same(classes) => classes.len(),
            Given::Each(_, count) => *count,
        }
    }
}

impl Score<'_> {
    /// An error if the shapes do not fit.
    pub fn check(&self) -> Result<(), Error> {
        check_targets(("logits", self.logits), &self.targets)
    }

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
            let fold = |row| scores.known(row).map(|known| scores.fold(row, known));
            let found = fold_rows::<F, _, 1>(exec, &rows, group.clone(), &Folded(fold))?;
            let first = group.start;
            let places = columns.split_off(group.len());
            drive::task(exec.level, &LongScores { scores: &scores, first, found }, group, places);
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

/// What is known of a row when all its classes are in.
struct RowScore<F: Real> {
    /// −log p of the target.
    loss: f64,
    entropy: f64,
    largest: Largest<F>,
    rank: Rank,
    top: Vec<Candidate<F>>,
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
                self.lanes(isa, group, memory, &mut columns);
            }
        } else {
            for group in ranges(range, GROUP) {
                self.group(isa, group, memory, &mut columns);
            }
        }
    }
}

impl<F: Real> Scores<'_, F> {
    /// The class of a row that counts. It is read once: another thread may change it.
    #[inline(always)]
    fn known(&self, row: usize) -> Option<usize> {
        let Targets { target, ignore_index, .. } = self.of.targets;
        let class = target[row];
        let counts = Some(class) != ignore_index && (class as u64) < self.rows.classes() as u64;
        counts.then_some(class as usize)
    }

    #[inline(always)]
    fn logit(&self, row: usize, class: usize) -> F {
        F::from_f64(self.rows.entry(row, class))
    }

    /// The state of a row of which no class is in.
    #[inline(always)]
    fn fold(&self, row: usize, class: usize) -> fold::Score<F> {
        fold::Score::empty((class, self.logit(row, class)), self.of.top_k)
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
        let loss = losses(isa, &found);
        for (((row, known), found), loss) in group.zip(known).zip(found).zip(loss) {
            let found = found.map(|scored| RowScore::new(loss, scored));
            self.write(row, known.zip(found), columns);
        }
    }

    /// At most [`LANES`] rows of few classes: cross entropies and entropies side by side, and then what
    /// is counted in each row.
    #[inline(never)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        columns: &mut ScoreColumns<'_>,
    ) {
        isa.vectorize(
            #[inline(always)]
            || self.lanes_here(isa, group, memory, columns),
        );
    }

    #[inline(always)]
    fn lanes_here<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        columns: &mut ScoreColumns<'_>,
    ) {
        let (mut loss, mut is_top1) = ([0.0; BLOCK_ROWS], [false; BLOCK_ROWS]);
        let losses = CrossEntropy::<F>::new(self.rows, self.of.targets, 0.0, 0.0);
        losses.losses(isa, group.clone(), memory, &mut loss, &mut is_top1);
        let [reading, computing] = memory;
        let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
        let held = scratch_lines(computing, lines.classes());
        let entropies = entropies(isa, lines, held);
        for (i, row) in group.enumerate() {
            let known = self.known(row);
            let found = known.map(|class| {
                let (rank, top) = self.counted((isa, row), class, [reading, computing]);
                let largest = entropies.largest(i);
                RowScore { loss: loss[i], entropy: entropies.value[i], largest, rank, top }
            });
            self.write(row, known.zip(found), columns);
        }
    }

    /// Where the target of a row of few classes stands, and the largest classes.
    #[inline(always)]
    fn counted<S: Isa>(
        &self,
        (isa, row): (S, usize),
        class: usize,
        [reading, computing]: [&mut Scratch<F>; 2],
    ) -> (Rank, Vec<Candidate<F>>) {
        let x_t = self.logit(row, class);
        let top = (self.of.top_k > 0).then(|| TopK::of(self.of.top_k));
        let mut fold = (Standing::of(x_t), top);
        let all = 0..self.rows.classes();
        let (reader, reading) = (self.rows.reader(row), core::array::from_mut(reading));
        fold.push(isa, &self.rows.block(isa, &reader, all, reading), computing);
        let (rank, top) = Fold::<F>::finish(&fold, isa);
        (rank, top.unwrap_or_default())
    }

    /// Writes what is known of a row, and of its target; None of a row that does not count.
    #[inline(never)]
    fn write(
        &self,
        row: usize,
        known: Option<(usize, RowScore<F>)>,
        columns: &mut ScoreColumns<'_>,
    ) {
        let numbers = known.as_ref().filter(|(_, score)| !score.rank.has_nan);
        let number = |of: &dyn Fn(&RowScore<F>) -> f64| numbers.map_or(f64::NAN, |(_, s)| of(s));
        let class = |of: &dyn Fn(&RowScore<F>) -> u64| numbers.map_or(-1, |(_, s)| of(s) as i64);
        let log_prob = number(&|score| row::log_prob::<F>(score.loss));
        columns.log_prob.write(&[log_prob], None);
        columns.logsumexp.write(&[number(&|score| score.largest.log_sum_exp())], None);
        columns.entropy.write(&[number(&|score| score.entropy)], None);
        columns
            .max_log_prob
            .write(&[number(&|score| row::log_prob::<F>(score.largest.loss.rounded()))], None);
        columns.argmax.write(class(&|score| score.largest.at as u64));
        columns.rank.write(class(&|score| score.rank.above + 1));
        columns.ties.write(class(&|score| score.rank.equal.saturating_sub(1)));
        // The target has the same bits in every column.
        let of = |of: usize, x: F| match numbers {
            Some((target, _)) if *target == of => log_prob,
            Some((_, score)) => score.largest.log_prob(x),
            None => f64::NAN,
        };
        let (mut least, top) = (0.0, numbers.map_or(&[][..], |(_, score)| &score.top));
        for i in 0..columns.top.0 {
            let Some(&Candidate { x, class }) = top.get(i) else {
                columns.top.1.write(-1);
                columns.top.2.write(&[f64::NAN], None);
                continue;
            };
            // They never rise, even where rounding would put the larger of two logits below the other.
            let value = of(class, x);
            least = if value > least { least } else { value };
            columns.top.1.write(class as i64);
            columns.top.2.write(&[least], None);
        }
        for &class in self.of.given.of(row) {
            let is_class = (class as u64) < self.rows.classes() as u64 && numbers.is_some();
            let known = is_class.then(|| of(class as usize, self.logit(row, class as usize)));
            columns.given.1.write(&[known.unwrap_or(f64::NAN)], None);
        }
    }
}

impl<F: Real> RowScore<F> {
    fn new(loss: f64, scored: Scored<F>) -> Self {
        let Scored { entropy, largest, rank, top, .. } = scored;
        RowScore { loss, entropy, largest, rank, top: top.unwrap_or_default() }
    }
}

/// −log p of the targets of at most [`GROUP`] rows.
#[inline(always)]
fn losses<S: Isa, F: Real>(isa: S, found: &[Option<Scored<F>>]) -> [f64; GROUP] {
    // An array for each number: a loop over arrays of structures is not vectorised.
    let [mut center, mut correction, mut exponent] = [[0.0; GROUP]; 3];
    let [mut sum, mut max, mut x_t, mut loss] = [[0.0; GROUP]; 4];
    for (i, scored) in found.iter().enumerate() {
        if let Some(Scored { rest, x_t: x, .. }) = scored {
            (center[i], correction[i], exponent[i]) = (rest.center, rest.correction, rest.exponent);
            (sum[i], max[i], x_t[i]) = (rest.sum, rest.max, x.to_f64());
        }
    }
    for i in 0..GROUP {
        let (center, correction, exponent) = (center[i], correction[i], exponent[i]);
        let rest = ScaledSum { center, correction, exponent, sum: sum[i], max: max[i] };
        loss[i] = row::target_against_rest::<S, F>(isa, rest, x_t[i]);
    }
    loss
}

/// The scores of a group of rows of very many classes, whose folds are finished.
struct LongScores<'s, F: Real> {
    scores: &'s Scores<'s, F>,
    first: usize,
    found: Vec<Option<Scored<F>>>,
}

impl<F: Real> Work<ScoreColumns<'_>> for LongScores<'_, F> {
    type Total = ();
    type Memory = ();

    fn count(&self) -> usize {
        self.found.len()
    }

    fn per_task(&self) -> usize {
        self.found.len()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut columns: ScoreColumns<'_>,
        (): &mut (),
    ) {
        let found = &self.found[range.start - self.first..];
        for ((row, found), loss) in range.zip(found).zip(losses(isa, found)) {
            let found = found.clone().map(|scored| RowScore::new(loss, scored));
            self.scores.write(row, self.scores.known(row).zip(found), &mut columns);
        }
    }
}
