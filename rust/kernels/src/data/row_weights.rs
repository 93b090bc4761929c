//! The sum of the weights of rows, by which a mean is divided.

use crate::Error;
use crate::data::drive::{self, Exec, Merge, Work, ranges};
use crate::data::exact_sum::ExactSum;
use crate::data::targets::Targets;
use nll_simd::Isa;
use std::ops::Range;

/// How many weights are added at a time.
const BLOCK: usize = 256;

/// How many rows a task has: some ten microseconds.
const PER_TASK: usize = 1 << 14;

impl Targets<'_> {
    /// The sum of the weights of the rows that count.
    pub fn sum_of_row_weights(&self, exec: Exec<'_>) -> Result<f64, Error> {
        if self.are_weighted() {
            return Ok(drive::run(exec, &RowWeights(*self), ())?.0.value());
        }
        let all = self.of(0..self.count());
        let ignored = |target: i64| u64::from(Some(target) == self.ignore_index);
        let ignored = all.iter().fold(0, |count, &target| count + ignored(target));
        Ok((all.len() as u64 - ignored) as f64)
    }
}

/// The weights of all rows.
struct RowWeights<'t>(Targets<'t>);

/// The exact sum of some of them.
struct Sum(ExactSum);

impl Merge for Sum {
    fn merge(mut self, other: Self) -> Self {
        self.0.merge(&other.0);
        self
    }
}

impl Work<()> for RowWeights<'_> {
    type Total = Sum;
    type Memory = ();

    fn count(&self) -> usize {
        self.0.count()
    }

    fn per_task(&self) -> usize {
        PER_TASK
    }

    #[inline(always)]
    fn task<S: Isa>(&self, isa: S, range: Range<usize>, (): (), (): &mut ()) -> Sum {
        let (mut sum, mut copy, mut weights) = (ExactSum::default(), [0; BLOCK], [0.0; BLOCK]);
        for rows in ranges(range, BLOCK) {
            let targets = self.0.read(rows.clone(), &mut copy);
            let weights = &mut weights[..rows.len()];
            for (weight, row) in weights.iter_mut().zip(rows) {
                *weight = targets.weight(row);
            }
            sum.add_block(isa, weights);
        }
        Sum(sum)
    }
}
