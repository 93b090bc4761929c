//! What happened in each row: the class, whether the row counts, and the weight of the class.

use crate::Error;
use crate::data::drive::{self, Exec};
use crate::data::exact_sum::ExactSum;

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

    /// An error for the first target that names no class.
    pub(crate) fn check(&self, exec: Exec<'_>, classes: usize) -> Result<(), Error> {
        // As unsigned numbers, negative ones are larger than any class.
        let known = |target: i64| (target as u64) < classes as u64;
        let ignored = |target: i64| Some(target) == self.ignore_index;
        let found = drive::first(
            exec,
            self.target.len(),
            #[inline(always)]
            |rows| {
                let targets = &self.target[rows.clone()];
                // Without an end at the first, so that LLVM vectorises it.
                let bad =
                    targets.iter().fold(0, |bad, &t| bad | u64::from(!known(t) & !ignored(t)));
                if bad == 0 {
                    return None;
                }
                let at = targets.iter().position(|&t| !known(t) && !ignored(t));
                at.map(|at| rows.start + at)
            },
        );
        match found? {
            Some(row) => Err(Error::Target { value: self.target[row], row, classes }),
            None => Ok(()),
        }
    }
}
