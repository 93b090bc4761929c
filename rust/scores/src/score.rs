//! Everything about rows of logits with a class as target, from one read of the logits.

use nll_kernels::Error;
use nll_kernels::call::check_targets;
use nll_kernels::data::array::Array;
use nll_kernels::data::targets::Targets;

/// Everything about rows with a class as target.
pub struct Score<'a> {
    /// x; the last axis is the class axis.
    pub logits: &'a Array<'a>,
    /// What happened in each row, and which rows count.
    pub targets: Targets<'a>,
    /// How many of the largest classes are wanted.
    pub top_k: usize,
    /// Other classes whose log-probabilities are wanted, the same number of them for each row.
    pub given: Given<'a>,
}

/// Classes that are given beside the targets.
#[derive(Clone, Copy)]
pub enum Given<'a> {
    /// The same for every row.
    Same(&'a [i64]),
    /// Those of the first row, then those of the second, and so on; and how many each row has.
    Each(&'a [i64], usize),
}

impl Given<'_> {
    /// The classes that are given for a row.
    #[inline(always)]
    pub(crate) fn of(&self, row: usize) -> &[i64] {
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
}
