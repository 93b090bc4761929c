//! Losses of rows with a class as target: cross entropy of logits, and gathered entries of tables
//! of probabilities.

use crate::Error;
use crate::call::cross_entropy::CrossEntropy;
use crate::call::gather::Gather;
use crate::call::row_loss::{BLOCK_ROWS, RowLoss};
use crate::call::{check_smoothing, check_targets};
use crate::data::array::Array;
use crate::data::drive::{self, Exec, Work, ranges};
use crate::data::out::Out;
use crate::data::rows::Rows;
use crate::data::targets::Targets;
use crate::data::totals::Totals;
use nll_simd::Isa;
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
    Probabilities,
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
}

impl RowLosses<'_> {
    /// The loss of every row into `out`, 0 for ignored rows, and the totals.
    pub fn run(&self, exec: Exec<'_>, out: Out<'_>) -> Result<Totals, Error> {
        let name = match self.entries {
            Entries::Logits { label_smoothing } => {
                check_smoothing(label_smoothing)?;
                "logits"
            }
            Entries::Probabilities => "probs",
            Entries::LogProbabilities => "log_probs",
        };
        check_targets(exec, (name, self.rows), &self.targets)?;
        let (rows, double) = (Rows::new([self.rows]), self.rows.is_double() == Some(true));
        match self.entries {
            Entries::Logits { label_smoothing } => {
                let weights = self.targets.sum_of_class_weights(rows.classes());
                if double {
                    let loss =
                        CrossEntropy::<f64>::new(&rows, self.targets, label_smoothing, weights);
                    return drive::run(
                        exec,
                        &Losses { loss, double, rows: &rows, call: self },
                        out,
                    );
                }
                let loss = CrossEntropy::<f32>::new(&rows, self.targets, label_smoothing, weights);
                drive::run(exec, &Losses { loss, double, rows: &rows, call: self }, out)
            }
            entries => {
                let logarithmic = entries == Entries::LogProbabilities;
                let loss =
                    Gather { array: self.rows, rows: &rows, targets: self.targets, logarithmic };
                loss.check(exec)?;
                drive::run(exec, &Losses { loss, double, rows: &rows, call: self }, out)
            }
        }
    }
}

/// The losses of all rows, with their totals.
struct Losses<'r, L> {
    loss: L,
    double: bool,
    rows: &'r Rows<'r>,
    call: &'r RowLosses<'r>,
}

impl<L: RowLoss> Work<Out<'_>> for Losses<'_, L> {
    type Total = Totals;
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
        mut out: Out<'_>,
        memory: &mut L::Memory,
    ) -> Totals {
        let targets = self.call.targets;
        let (mut totals, mut ignored, mut top1) = (Totals::default(), 0, 0);
        totals.weight = targets.weight.map(|_| Box::default());
        let (mut loss, mut is_top1) = ([0.0; BLOCK_ROWS], [false; BLOCK_ROWS]);
        for block in ranges(range, BLOCK_ROWS) {
            self.loss.losses(isa, block.clone(), memory, &mut loss, &mut is_top1);
            let loss = &mut loss[..block.len()];
            if let Some(ignore) = targets.ignore_index {
                let rows = loss.iter_mut().zip(&mut is_top1).zip(&targets.target[block.clone()]);
                for ((loss, is_top1), &target) in rows {
                    let counts = target != ignore;
                    *loss = if counts { *loss } else { 0.0 };
                    *is_top1 &= counts;
                    ignored += u64::from(!counts);
                }
            }
            if let Some(weight) = &mut totals.weight {
                let counted = block.clone().filter(|&row| targets.counts(row));
                counted.for_each(|row| weight.add(targets.weight(row)));
            }
            top1 += is_top1[..block.len()].iter().map(|&is| u64::from(is)).sum::<u64>();
            totals.add_results(isa, loss, self.double);
            if self.call.negate {
                loss.iter_mut().for_each(|loss| *loss = 0.0 - *loss);
            }
            out.write(loss, None);
        }
        totals.count -= ignored;
        totals.ignored = Some(ignored);
        totals.top1 = L::KNOWS_TOP1.then_some(top1);
        totals
    }
}
