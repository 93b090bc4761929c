//! What happened in each row: the class, whether the row counts, and the weight of the class.

use crate::Error;
use crate::data::drive::{self, Exec};
use crate::data::exact_sum::ExactSum;
use std::ops::Range;

/// The targets of rows, and which rows count.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The class of each row, counted in C order.
    pub target: &'a [i64],
    /// The shape of the array of targets: that of the logits without the class axis.
    pub shape: &'a [usize],
    /// Rows with this target are ignored, whatever they hold.
    pub ignore_index: Option<i64>,
    /// The weight of each class; None for a weight of 1 each.
    pub weight: Option<&'a [f64]>,
}

impl Targets<'_> {
    #[inline(always)]
    pub(crate) fn counts(&self, row: usize) -> bool {
        Some(self.target[row]) != self.ignore_index
    }

    #[inline(always)]
    pub(crate) fn class(&self, row: usize) -> usize {
        self.target[row] as usize
    }

    #[inline(always)]
    pub(crate) fn weight(&self, row: usize) -> f64 {
        self.weight.map_or(1.0, |w| w[self.class(row)])
    }

    /// Σ_c w_c over all `classes`.
    pub(crate) fn sum_of_class_weights(&self, classes: usize) -> f64 {
        self.weight.map_or(classes as f64, |w| w.iter().sum())
    }

    /// Σ w_t over the rows that count.
    pub(crate) fn sum_of_row_weights(&self) -> f64 {
        if self.weight.is_none() {
            let ignored = |target: i64| u64::from(Some(target) == self.ignore_index);
            let ignored = self.target.iter().fold(0, |count, &target| count + ignored(target));
            return (self.target.len() as u64 - ignored) as f64;
        }
        let mut sum = ExactSum::default();
        let counted = (0..self.target.len()).filter(|&row| self.counts(row));
        counted.for_each(|row| sum.add(self.weight(row)));
        sum.value()
    }

    /// The first of `rows` whose target is neither one of `classes` classes nor ignored.
    #[inline(always)]
    pub(crate) fn first_unknown(&self, rows: Range<usize>, classes: usize) -> Option<usize> {
        // As unsigned numbers, negative ones are larger than any class.
        let is_unknown = |&t: &i64| (t as u64 >= classes as u64) & (Some(t) != self.ignore_index);
        let targets = &self.target[rows.clone()];
        // Without an end at the first, so that LLVM vectorises it.
        let bad = targets.iter().fold(0, |bad, t| bad | u64::from(is_unknown(t)));
        if bad == 0 {
            return None;
        }
        Some(rows.start + targets.iter().position(is_unknown)?)
    }

    /// `rows` up to the first whose target is neither a class nor ignored, and that row, if there is
    /// one.
    #[inline(always)]
    pub(crate) fn known(
        &self,
        rows: Range<usize>,
        classes: usize,
    ) -> (Range<usize>, Option<usize>) {
        let unknown = self.first_unknown(rows.clone(), classes);
        (rows.start..unknown.unwrap_or(rows.end), unknown)
    }

    /// An error for the first target that names no class.
    pub(crate) fn check(&self, exec: Exec<'_>, classes: usize) -> Result<(), Error> {
        let found = drive::first(
            exec,
            self.target.len(),
            #[inline(always)]
            |rows| self.first_unknown(rows, classes),
        )?;
        found.map_or(Ok(()), |row| Err(self.unknown(row, classes)))
    }

    /// The error of a row whose target names no class.
    pub(crate) fn unknown(&self, row: usize, classes: usize) -> Error {
        Error::Target { value: self.target[row], row, classes }
    }
}
