//! Row losses: what is made of a row, its target, and its weight.

use crate::drive::{self, Par};
use crate::formula::{self, Smoothing};
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::rows::{GROUP, Rows};
use crate::softmax::{Linear, LogSum, NONE, Scratch, most};
use crate::{Dtype, Error, Level};
use nll_simd::{Isa, Real, math};
use std::ops::Range;

/// What happened in each row, and which rows count.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The class of each row.
    pub target: &'a [i64],
    /// Rows with this target are left out and never read.
    pub ignore_index: Option<i64>,
    /// The weight of each class.
    pub weight: Option<&'a [f64]>,
}

impl Targets<'_> {
    pub(crate) fn counts(&self, row: usize) -> bool {
        Some(self.target[row]) != self.ignore_index
    }

    pub(crate) fn class(&self, row: usize) -> usize {
        self.target[row] as usize
    }

    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weight.map_or(1.0, |w| w[self.class(row)])
    }

    /// The first target that names no class.
    pub(crate) fn check(&self, par: Par<'_>, classes: usize) -> Result<(), Error> {
        let bad = |row: usize| {
            let value = self.target[row];
            let known = usize::try_from(value).is_ok_and(|class| class < classes);
            (self.counts(row) && !known).then_some(Error::Target { value, row, classes })
        };
        drive::first(par, self.target.len(), bad).map_or(Ok(()), Err)
    }
}

/// The loss of a group of rows at a time.
pub trait RowLoss: Sync {
    /// What it is computed in.
    type Real: Real;
    /// How many classes a row has.
    fn classes(&self) -> usize;
    /// [`Rows::together`]
    fn together(&self) -> usize;
    /// What happened in each row.
    fn targets(&self) -> Targets<'_>;
    /// What is wrong with the input, before anything is computed.
    fn check(&self, par: Par<'_>) -> Result<(), Error> {
        self.targets().check(par, self.classes())
    }
    /// Fills `loss` for the rows of `group` that count; returns which of them are greedy.
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        scratch: &mut Scratch<Self::Real>,
        loss: &mut [f64; GROUP],
    ) -> [bool; GROUP];
}

/// The loss of every row: into `out` (times `sign`, 0 for ignored rows), and in total.
pub fn each<L: RowLoss>(
    run: Run<'_>,
    loss: &L,
    (mut out, sign): (Out<'_>, f64),
) -> Result<Totals, Error> {
    loss.check(run.par)?;
    let rows = loss.targets().target.len();
    let task = |range: Range<usize>, out: &mut Out<'_>| {
        run.level.run(Task { loss, targets: loss.targets(), range, out, sign })
    };
    if let Par::Here = run.par {
        return Ok(task(0..rows, &mut out));
    }
    let per = drive::rows_per_task(rows, loss.classes(), loss.together());
    let ranges: Vec<_> = drive::ranges(rows, per).collect();
    let outs = out.split(ranges.len(), per);
    let tasks = ranges.into_iter().zip(outs).collect();
    drive::run(run.par, tasks, |(range, mut out)| task(range, &mut out), Totals::merge)
}

struct Task<'a, 'o, 's, L> {
    loss: &'a L,
    targets: Targets<'a>,
    range: Range<usize>,
    out: &'s mut Out<'o>,
    sign: f64,
}

impl<L: RowLoss> nll_simd::Kernel for Task<'_, '_, '_, L> {
    type Output = Totals;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Totals {
        let mut totals = Totals::default();
        let mut scratch = Scratch::new(self.loss.classes());
        for start in self.range.clone().step_by(GROUP) {
            let group = start..(start + GROUP).min(self.range.end);
            let mut loss = [0.0; GROUP];
            let greedy = self.loss.group(isa, group.clone(), &mut scratch, &mut loss);
            for row in group.clone() {
                let i = row - start;
                if !self.targets.counts(row) {
                    loss[i] = 0.0;
                    totals.ignored += 1;
                    continue;
                }
                totals.rows += 1;
                totals.greedy += u64::from(greedy[i]);
                totals.sum.add(loss[i]);
                if self.targets.weight.is_some() {
                    totals.weight.add(self.targets.weight(row));
                }
                loss[i] = if self.sign < 0.0 { 0.0 - loss[i] } else { loss[i] };
            }
            self.out.put(start - self.range.start, &loss[..group.len()]);
        }
        totals
    }
}

/// Cross entropy of logits: [`formula::target_against_rest`], weighted and smoothed.
pub struct CrossEntropy<'a, T: Dtype> {
    /// The logits.
    pub rows: Rows<'a, T>,
    /// The targets.
    pub targets: Targets<'a>,
    /// ε of label smoothing, 0 for none.
    pub smoothing: f64,
    /// Σ_c w_c, for the smoothing.
    pub weights: f64,
}

impl<T: Dtype> CrossEntropy<'_, T> {
    /// Whether the target is the first largest class of the row.
    #[inline(always)]
    fn is_greedy(&self, row: usize, x_t: f64, rest: f64) -> bool {
        x_t > rest || (x_t == rest && !self.rows.any(row, 0..self.targets.class(row), |x| x == x_t))
    }
}

impl<T: Dtype> RowLoss for CrossEntropy<'_, T> {
    type Real = T::Real;

    fn classes(&self) -> usize {
        self.rows.classes()
    }

    fn together(&self) -> usize {
        self.rows.together()
    }

    fn targets(&self) -> Targets<'_> {
        self.targets
    }

    #[inline(always)]
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        scratch: &mut Scratch<T::Real>,
        loss: &mut [f64; GROUP],
    ) -> [bool; GROUP] {
        let (start, targets, smoothed) = (group.start, self.targets, self.smoothing > 0.0);
        let mut sums = [LogSum::<T::Real>::empty(); GROUP];
        let mut linear = vec![Linear::starting_at(0.0); if smoothed { GROUP } else { 0 }];
        let mut target = [f64::NAN; GROUP];
        let wanted = |row| targets.counts(row);
        self.rows.visit(
            group.clone(),
            wanted,
            #[inline(always)]
            |i, first, block, length| {
                let skip = targets.class(start + i).wrapping_sub(first);
                sums[i].push::<S, T>(isa, (block, length), skip, scratch);
                // Now, when it is in L1: before, the CPU would wait for it alone.
                if let Some(&x_t) = block[..length].get(skip) {
                    target[i] = T::value(x_t);
                }
                if smoothed {
                    let block = &block[..length];
                    if first == 0 {
                        linear[i] = Linear::starting_at(T::value(block[0]));
                    }
                    let weight = targets.weight.map(|w| &w[first..first + block.len()]);
                    linear[i] = linear[i].push::<S, T>(isa, block, weight, scratch);
                }
            },
        );
        let scaled = sums.each_ref().map(LogSum::scaled);
        for i in 0..GROUP {
            loss[i] = formula::target_against_rest(isa, scaled[i], target[i]);
        }
        let mut greedy = [false; GROUP];
        let classes = self.rows.classes() as f64;
        for i in (0..group.len()).filter(|&i| targets.counts(start + i)) {
            greedy[i] = !loss[i].is_nan() && self.is_greedy(start + i, target[i], sums[i].max());
            let weight = targets.weight(start + i);
            if smoothed {
                let (epsilon, weights) = (self.smoothing, self.weights);
                let (linear, shift) = (linear[i].value(), linear[i].shift);
                let smoothing = Smoothing { epsilon, classes, weights, linear };
                loss[i] = formula::smoothed(loss[i], weight, target[i] - shift, smoothing);
            } else if targets.weight.is_some() {
                loss[i] *= weight;
            }
        }
        greedy
    }
}

/// What a gathered entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A probability: −log p.
    Probability,
    /// A log-probability: its negative.
    LogProbability,
}

/// The loss of rows that are probabilities or log-probabilities: one entry of each row is read.
pub struct Gather<'a, T: Dtype> {
    /// The entries.
    pub rows: Rows<'a, T>,
    /// The targets.
    pub targets: Targets<'a>,
    /// What the entries are.
    pub entry: Entry,
}

impl<T: Dtype> RowLoss for Gather<'_, T> {
    type Real = T::Real;

    fn classes(&self) -> usize {
        self.rows.classes()
    }

    fn together(&self) -> usize {
        self.rows.together()
    }

    fn targets(&self) -> Targets<'_> {
        self.targets
    }

    /// The first target out of range, else the first probability outside [0, 1] among those that count.
    fn check(&self, par: Par<'_>) -> Result<(), Error> {
        self.targets.check(par, self.classes())?;
        let bad = |row: usize| {
            let class = self.targets.class(row);
            let counts = self.targets.counts(row);
            let value = if counts { self.rows.value(row, class) } else { 0.0 };
            (!(0.0..=1.0).contains(&value)).then_some(Error::Probability { value, row, class })
        };
        if self.entry == Entry::LogProbability {
            return Ok(());
        }
        drive::first(par, self.targets.target.len(), bad).map_or(Ok(()), Err)
    }

    #[inline(always)]
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        _scratch: &mut Scratch<T::Real>,
        loss: &mut [f64; GROUP],
    ) -> [bool; GROUP] {
        for row in group.clone().filter(|&row| self.targets.counts(row)) {
            let value = self.rows.value(row, self.targets.class(row));
            let value = match self.entry {
                Entry::Probability => formula::probability(isa, value),
                Entry::LogProbability => formula::log_probability(value),
            };
            let weighted = self.targets.weight.is_some();
            loss[row - group.start] =
                if weighted { value * self.targets.weight(row) } else { value };
        }
        [false; GROUP]
    }
}

/// log Σ e^x of every row, into `out`.   +∞ without a NaN → +∞.
pub fn log_sum_exp<T: Dtype>(run: Run<'_>, rows: &Rows<'_, T>, out: Out<'_>) -> Result<(), Error> {
    let per = drive::rows_per_task(rows.count(), rows.classes(), rows.together());
    let ranges: Vec<_> = drive::ranges(rows.count(), per).collect();
    let outs = out.split(ranges.len(), per);
    let tasks = ranges.into_iter().zip(outs).collect();
    let work =
        |(range, out): (Range<usize>, Out<'_>)| run.level.run(LogSumExp { rows, range, out });
    drive::run(run.par, tasks, work, |(), ()| ())
}

struct LogSumExp<'r, 'a, 'o, T: Dtype> {
    rows: &'r Rows<'a, T>,
    range: Range<usize>,
    out: Out<'o>,
}

impl<T: Dtype> nll_simd::Kernel for LogSumExp<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let mut scratch = Scratch::new(self.rows.classes());
        for start in self.range.clone().step_by(GROUP) {
            let group = start..(start + GROUP).min(self.range.end);
            let mut sums = [LogSum::<T::Real>::empty(); GROUP];
            self.rows.visit(
                group.clone(),
                |_| true,
                #[inline(always)]
                |i, _, block, length| {
                    sums[i].push::<S, T>(isa, (block, length), NONE, &mut scratch);
                },
            );
            let mut value = sums.map(|sum| formula::log_sum_exp(isa, sum.scaled()));
            for (i, value) in value[..group.len()].iter_mut().enumerate() {
                let infinite = sums[i].max() == f64::INFINITY;
                if infinite && !self.rows.any(start + i, 0..usize::MAX, f64::is_nan) {
                    *value = f64::INFINITY;
                }
            }
            self.out.put(start - self.range.start, &value[..group.len()]);
        }
    }
}

/// log softmax of every row, into `out`, which has a row for each row.
///
/// With x_m the largest logit, log softmax(x)_j = (x_j − x_m) − loss_m, `loss_m` being the loss of class
/// m against the rest: the likely class keeps its digits. The row is read four times, from L2 where it fits there.
pub fn log_softmax<T: Dtype>(
    run: Run<'_>,
    rows: &Rows<'_, T>,
    out: &mut [T::Real],
) -> Result<(), Error> {
    let per = drive::rows_per_task(rows.count(), rows.classes(), rows.together());
    let ranges = drive::ranges(rows.count(), per);
    let tasks = ranges.zip(out.chunks_mut(per * rows.classes())).collect();
    let work = |(range, out): (Range<usize>, &mut [T::Real])| {
        run.level.run(LogSoftmax { rows, range, out });
    };
    drive::run(run.par, tasks, work, |(), ()| ())
}

struct LogSoftmax<'r, 'a, 'o, T: Dtype> {
    rows: &'r Rows<'a, T>,
    range: Range<usize>,
    out: &'o mut [T::Real],
}

impl<T: Dtype> nll_simd::Kernel for LogSoftmax<'_, '_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) {
        let classes = self.rows.classes();
        let (mut scratch, mut values) = (Scratch::new(classes), Vec::new());
        for row in self.range.clone() {
            let group = row..row + 1;
            let mut x_top = T::Real::NEG_INFINITY;
            self.rows.visit(
                group.clone(),
                |_| true,
                #[inline(always)]
                |_, _, block, length| {
                    let x = most(T::read(isa, &block[..length], &mut values));
                    x_top = if x > x_top { x } else { x_top };
                },
            );
            let mut top = NONE;
            self.rows.visit(
                group.clone(),
                |_| true,
                #[inline(always)]
                |_, first, block, length| {
                    let block = &block[..length];
                    if top == NONE {
                        let at = T::read(isa, block, &mut values).iter().position(|&x| x == x_top);
                        top = at.map_or(NONE, |at| first + at);
                    }
                },
            );
            let mut sum = LogSum::empty();
            self.rows.visit(
                group.clone(),
                |_| true,
                #[inline(always)]
                |_, first, block, length| {
                    let skip = top.wrapping_sub(first);
                    sum.push::<S, T>(isa, (block, length), skip, &mut scratch);
                },
            );
            let x_top = x_top.to_f64();
            let loss = formula::target_against_rest(isa, sum.scaled(), x_top);
            let out = &mut self.out[(row - self.range.start) * classes..][..classes];
            self.rows.visit(
                group,
                |_| true,
                #[inline(always)]
                |_, first, block, length| {
                    for (to, &x) in out[first..].iter_mut().zip(&block[..length]) {
                        *to = T::Real::from_f64((T::value(x) - x_top) - loss);
                    }
                },
            );
        }
    }
}

/// e^x, by the same text as everything else.
pub fn exp(level: Level, x: f64) -> f64 {
    struct Exp(f64);
    impl nll_simd::Kernel for Exp {
        type Output = f64;
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> f64 {
            math::exp(isa, self.0)
        }
    }
    level.run(Exp(x))
}
