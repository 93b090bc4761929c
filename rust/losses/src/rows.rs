//! Losses of rows with a class as target: cross entropy of logits, and gathered entries of tables
//! of probabilities.

use crate::gather::Gather;
use nll_kernels::Error;
use nll_kernels::call::cross_entropy::CrossEntropy;
use nll_kernels::call::row_loss::{BLOCK_ROWS, KnownLosses, RowLoss};
use nll_kernels::call::{check_smoothing, check_targets};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{self, Exec, Merge, Split, Work, ranges};
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::Rows;
use nll_kernels::data::targets::Targets;
use nll_kernels::data::totals::{Totaled, Totals};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// What the entries of a row are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Entries {
    /// Logits, of which the loss is the cross entropy, with label smoothing ε.
    Logits {
        /// ε, 0 for none.
        label_smoothing: f64,
    },
    /// Probabilities: −log p of the target.
    Probabilities {
        /// Whether p is first clipped to [ε, 1 − ε], with the machine epsilon of its type.
        clip: bool,
    },
    /// Log-probabilities: the negative of the target's.
    LogProbabilities,
}

/// The losses of rows with a class as target.
pub struct RowLosses<'a> {
    /// The rows; the last axis is the class axis.
    pub rows: &'a Array<'a>,
    /// What their entries are.
    pub entries: Entries,
    /// What happened in each row, which rows count, and the weights.
    pub targets: Targets<'a>,
    /// Whether the results are log-probabilities, −loss, in the place of losses. Totals are of
    /// losses.
    pub negate: bool,
    /// Which totals are wanted.
    pub totaled: Totaled,
    /// Whether the results go to a new array, which nobody sees if an error is raised. Any other array stays as it
    /// was then: a pass before the losses checks targets and entries.
    pub is_new: bool,
}

impl RowLosses<'_> {
    /// The loss of every row into `out`, 0 for ignored rows, and the totals.
    pub fn run(&self, exec: Exec<'_>, out: Out<'_>) -> Result<Totals, Error> {
        let name = match self.entries {
            Entries::Logits { label_smoothing } => {
                check_smoothing(label_smoothing)?;
                "logits"
            }
            Entries::Probabilities { .. } => "probs",
            Entries::LogProbabilities => "log_probs",
        };
        check_targets((name, self.rows), &self.targets)?;
        if self.rows.is_double() == Some(true) {
            self.run_in::<f64>(exec, out)
        } else {
            self.run_in::<f32>(exec, out)
        }
    }

    fn run_in<F: Real>(&self, exec: Exec<'_>, out: Out<'_>) -> Result<Totals, Error> {
        let rows = Rows::new([self.rows]);
        match self.entries {
            Entries::Logits { label_smoothing } if rows.are_long() => {
                let mut copy = Vec::new();
                let call = RowLosses { targets: self.targets.read_all(&mut copy)?, ..*self };
                let loss = CrossEntropy::<F>::new(&rows, call.targets, label_smoothing);
                call.run_long(exec, &loss, &rows, out)
            }
            Entries::Logits { label_smoothing } => {
                let loss = CrossEntropy::<F>::new(&rows, self.targets, label_smoothing);
                self.run_loss(exec, loss, &rows, out)
            }
            entries => {
                let array = self.rows;
                let logarithmic = entries == Entries::LogProbabilities;
                let clips = entries == Entries::Probabilities { clip: true };
                let margin = if clips { array.epsilon() } else { 0.0 };
                let (classes, real) = (rows.classes(), PhantomData);
                let loss = Gather::<F> { array, classes, logarithmic, margin, real };
                self.run_loss(exec, loss, &rows, out)
            }
        }
    }

    /// The pass that computes the losses checks targets and entries.
    fn run_loss(
        &self,
        exec: Exec<'_>,
        loss: impl RowLoss,
        rows: &Rows<'_>,
        out: Out<'_>,
    ) -> Result<Totals, Error> {
        let double = self.rows.is_double() == Some(true);
        if out.is_wanted() && !self.is_new {
            let found = drive::first(exec, rows.count(), |group| {
                let (checked, unknown) = self.targets.checked(group, rows.classes());
                loss.first_bad(self.targets, checked).or(unknown)
            })?;
            found.map_or(Ok(()), |row| Err(self.error(self.targets, rows, row)))?;
        }
        let found = drive::run(exec, &Losses { loss, double, rows, call: self }, out)?;
        found.bad.map_or(Ok(found.totals), |(_, error)| Err(error))
    }

    /// The losses of rows of very many classes, and the totals.
    pub(crate) fn run_long<F: Real>(
        &self,
        exec: Exec<'_>,
        loss: &CrossEntropy<'_, F>,
        rows: &Rows<'_>,
        mut out: Out<'_>,
    ) -> Result<Totals, Error> {
        self.targets.check(exec, rows.classes())?;
        let totals = |loss: KnownLosses, group: Range<usize>, out: Out<'_>| {
            let losses = Losses { loss, double: F::COMPENSATED, rows, call: self };
            drive::task(exec.level, &losses, group, out).totals
        };
        let mut all = totals(KnownLosses::of(0), 0..0, Out::Nothing);
        for group in rows.long_groups() {
            let losses = loss.long_losses(exec, group.clone())?;
            let out = out.split_off(group.len());
            all = all.add(totals(losses, group, out));
        }
        Ok(all)
    }

    /// The error of a row that has no loss.
    fn error(&self, targets: Targets<'_>, rows: &Rows<'_>, row: usize) -> Error {
        let class = targets.class(row);
        if class >= rows.classes() {
            return targets.unknown(row, rows.classes());
        }
        Error::Probability { value: self.rows.entry(row, class), row, class }
    }
}

/// The totals of some rows, and the first of them that has no loss.
pub(crate) struct Found {
    pub(crate) totals: Totals,
    bad: Option<(usize, Error)>,
}

impl Merge for Found {
    fn merge(self, other: Self) -> Self {
        let bad = [self.bad, other.bad].into_iter().flatten().min_by_key(|(row, _)| *row);
        Found { totals: self.totals.merge(other.totals), bad }
    }
}

/// The losses of all rows, with their totals.
pub(crate) struct Losses<'r, L> {
    pub(crate) loss: L,
    pub(crate) double: bool,
    pub(crate) rows: &'r Rows<'r>,
    pub(crate) call: &'r RowLosses<'r>,
}

impl<L: RowLoss> Work<Out<'_>> for Losses<'_, L> {
    type Total = Found;
    type Memory = L::Memory;

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
        out: Out<'_>,
        memory: &mut L::Memory,
    ) -> Found {
        self.found(isa, self.call.targets, range, (out, memory))
    }
}

impl<L: RowLoss> Losses<'_, L> {
    /// What is found in the rows `range`, whose `targets` may be a copy of those of the call.
    #[inline(always)]
    pub(crate) fn found<S: Isa>(
        &self,
        isa: S,
        targets: Targets<'_>,
        range: Range<usize>,
        (mut out, memory): (Out<'_>, &mut L::Memory),
    ) -> Found {
        let (all, mut copy) = (targets, [0; BLOCK_ROWS]);
        let are_weighted = targets.are_weighted();
        let mut totals = Totals::empty(are_weighted, self.call.totaled);
        let (mut ignored, mut top1, mut bad) = (0, 0, None);
        let (mut loss, mut is_top1) = ([0.0; BLOCK_ROWS], [false; BLOCK_ROWS]);
        for block in ranges(range, BLOCK_ROWS) {
            let (targets, (block, unknown), ignored_here) =
                all.read_checked(block, self.rows.classes(), &mut copy);
            let (loss, is_top1) = (&mut loss, &mut is_top1);
            let found = self.loss.losses(isa, targets, block.clone(), memory, loss, is_top1);
            if let Some(row) = found.or(unknown) {
                bad = Some((row, self.call.error(targets, self.rows, row)));
                break;
            }
            let (mut loss, is_top1) = (&mut loss[..block.len()], &mut is_top1[..block.len()]);
            let (mut kept, mut weights);
            if ignored_here > 0 {
                (ignored, kept) = (ignored + ignored_here, [0.0; BLOCK_ROWS]);
                // Written to another array, because LLVM would write to the same one with masked
                // stores, which are slow on AMD's CPUs without AVX-512.
                let rows = kept.iter_mut().zip(&*loss).zip(&mut *is_top1);
                for (((kept, &loss), is_top1), &target) in rows.zip(targets.of(block.clone())) {
                    let counts = Some(target) != targets.ignore_index;
                    *kept = if counts { loss } else { 0.0 };
                    if L::KNOWS_TOP1 {
                        *is_top1 &= counts;
                    }
                }
                loss = &mut kept[..block.len()];
            }
            targets.weigh_rows(block.start, loss);
            let mut weights_of_rows = None;
            if are_weighted {
                weights = [0.0; BLOCK_ROWS];
                let rows = weights.iter_mut().zip(block.clone());
                rows.for_each(|(weight, row)| *weight = targets.weight(row));
                weights_of_rows = Some(&weights[..block.len()]);
            }
            if L::KNOWS_TOP1 {
                top1 += count(is_top1);
            }
            totals.add_results::<S, BLOCK_ROWS>(isa, loss, weights_of_rows, self.double);
            if self.call.negate {
                loss.iter_mut().for_each(|loss| *loss = 0.0 - *loss);
            }
            out.write(loss, None);
        }
        totals.count -= ignored;
        totals.ignored = Some(ignored);
        totals.top1 = L::KNOWS_TOP1.then_some(top1);
        Found { totals, bad }
    }
}

/// How many of at most [`BLOCK_ROWS`] are true. They are added as bytes, 32 side by side: LLVM would widen each to eight
/// bytes first. None of these sums is above 255: there are not so many chunks.
#[inline(always)]
fn count(are: &[bool]) -> u64 {
    let (chunks, rest) = are.as_chunks::<32>();
    let mut lanes = [0u8; 32];
    for chunk in chunks {
        for (lane, &is) in lanes.iter_mut().zip(chunk) {
            *lane += u8::from(is);
        }
    }
    let rest = rest.iter().filter(|&&is| is).count() as u64;
    lanes.into_iter().map(u64::from).sum::<u64>() + rest
}
