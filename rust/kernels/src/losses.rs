//! Row losses: what is made of a row, its target, and its weight.

use crate::drive::{self, Par};
use crate::formula::{self, Smoothing};
use crate::linear::Linear;
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::rows::{GROUP, Rows};
use crate::softmax::{LogSum, Scratch};
use crate::{Dtype, Error};
use nll_simd::Isa;
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
        drive::first(par, self.target.len(), bad)?.map_or(Ok(()), Err)
    }
}

/// The loss of a group of rows at a time.
pub trait RowLoss<'a>: Sync {
    /// How its numbers are stored.
    type Dtype: Dtype;
    /// What it is computed of.
    fn rows(&self) -> &Rows<'a, Self::Dtype>;
    /// What happened in each row.
    fn targets(&self) -> Targets<'_>;
    /// What is wrong with the input, before anything is computed.
    fn check(&self, par: Par<'_>) -> Result<(), Error> {
        self.targets().check(par, self.rows().classes())
    }
    /// Fills `loss` for the rows of `group` that count; returns which of them are greedy.
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        scratch: &mut Scratch<<Self::Dtype as Dtype>::Real>,
        loss: &mut [f64; GROUP],
    ) -> [bool; GROUP];
}

/// The loss of every row: into `out` (times `sign`, 0 for ignored rows), and in total.
pub fn each<'a, L: RowLoss<'a>>(
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
    let per = drive::rows_per_task(rows, loss.rows().classes(), loss.rows().together());
    let tasks = drive::ranges(rows, per).zip(out.pieces(per));
    drive::run(run.par, tasks, |(range, mut out)| task(range, &mut out), Totals::merge)
}

struct Task<'t, 'o, L> {
    loss: &'t L,
    targets: Targets<'t>,
    range: Range<usize>,
    out: &'t mut Out<'o>,
    sign: f64,
}

impl<'a, L: RowLoss<'a>> nll_simd::Kernel for Task<'_, '_, L> {
    type Output = Totals;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Totals {
        let mut totals = Totals::default();
        let mut scratch = Scratch::default();
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
            self.out.write(&loss[..group.len()], None);
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

impl<'a, T: Dtype> RowLoss<'a> for CrossEntropy<'a, T> {
    type Dtype = T;

    fn rows(&self) -> &Rows<'a, T> {
        &self.rows
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
            loss[i] = formula::target_against_rest::<S, T::Real>(isa, scaled[i], target[i]);
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

impl<'a, T: Dtype> RowLoss<'a> for Gather<'a, T> {
    type Dtype = T;

    fn rows(&self) -> &Rows<'a, T> {
        &self.rows
    }

    fn targets(&self) -> Targets<'_> {
        self.targets
    }

    /// The first target out of range, else the first probability outside [0, 1] among those that count.
    fn check(&self, par: Par<'_>) -> Result<(), Error> {
        self.targets.check(par, self.rows.classes())?;
        let bad = |row: usize| {
            let class = self.targets.class(row);
            let counts = self.targets.counts(row);
            let value = if counts { self.rows.value(row, class) } else { 0.0 };
            (!(0.0..=1.0).contains(&value)).then_some(Error::Probability { value, row, class })
        };
        if self.entry == Entry::LogProbability {
            return Ok(());
        }
        drive::first(par, self.targets.target.len(), bad)?.map_or(Ok(()), Err)
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
