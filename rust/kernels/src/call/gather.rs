//! Losses of tables of probabilities: one entry of each row is read.

use crate::Error;
use crate::call::row_loss::{BLOCK_ROWS, RowLoss};
use crate::data::array::Array;
use crate::data::drive::{self, Exec};
use crate::data::rows::Rows;
use crate::data::targets::Targets;
use crate::math::row;
use nll_simd::Isa;
use std::ops::Range;

/// The loss of rows that are probabilities or log-probabilities: one entry of each row is read.
pub(crate) struct Gather<'r> {
    pub(crate) array: &'r Array<'r>,
    pub(crate) rows: &'r Rows<'r>,
    pub(crate) targets: Targets<'r>,
    /// Whether the entries are logarithms.
    pub(crate) logarithmic: bool,
}

impl Gather<'_> {
    /// The entry of the target of a row that counts.
    #[inline(always)]
    fn entry(&self, row: usize) -> f64 {
        self.array.entry(row, self.targets.class(row))
    }

    /// The losses of a block of rows; `entry` reads an entry of the table.
    #[inline(always)]
    fn entries<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        entry: impl Fn(usize, usize) -> f64,
        loss: &mut [f64; BLOCK_ROWS],
    ) {
        for (i, row) in group.clone().enumerate() {
            if self.targets.counts(row) {
                loss[i] = entry(row, self.targets.class(row));
            }
        }
        if self.logarithmic {
            for loss in loss.iter_mut() {
                *loss = row::log_probability(*loss);
            }
        } else {
            for loss in loss.iter_mut() {
                *loss = row::probability(isa, *loss);
            }
        }
        if self.targets.weight.is_some() {
            for (i, row) in group.enumerate().filter(|&(_, row)| self.targets.counts(row)) {
                loss[i] *= self.targets.weight(row);
            }
        }
    }

    /// An error for the first probability outside [0, 1] among those that count.
    pub(crate) fn check(&self, exec: Exec<'_>) -> Result<(), Error> {
        if self.logarithmic {
            return Ok(());
        }
        let is_bad =
            |row: usize| self.targets.counts(row) && !(0.0..=1.0).contains(&self.entry(row));
        let find = |mut rows: Range<usize>| rows.find(|&row| is_bad(row));
        match drive::first(exec, self.rows.count(), find)? {
            Some(row) => {
                let (value, class) = (self.entry(row), self.targets.class(row));
                Err(Error::Probability { value, row, class })
            }
            None => Ok(()),
        }
    }
}

impl RowLoss for Gather<'_> {
    type Memory = ();

    const KNOWS_TOP1: bool = false;

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        (): &mut (),
        loss: &mut [f64; BLOCK_ROWS],
        _is_top1: &mut [bool; BLOCK_ROWS],
    ) {
        match self.array {
            // The usual type is looked at once for the block and not for every row.
            Array::F32(x) => self.entries(isa, rows, |row, class| x.entry(row, class), loss),
            array => self.entries(isa, rows, |row, class| array.entry(row, class), loss),
        }
    }
}
