//! log Σ e^x and log softmax of every row: no targets, a result for each row or class.

use crate::drive;
use crate::formula;
use crate::out::{Out, Run};
use crate::rows::{GROUP, Rows};
use crate::softmax::{LogSum, NONE, Scratch};
use crate::terms::ArgMax;
use crate::{Dtype, Error};
use nll_simd::{Buffer, Float, Isa};
use std::ops::Range;

/// log Σ e^x of every row, into `out`.   +∞ without a NaN → +∞.
pub fn log_sum_exp<T: Dtype>(run: Run<'_>, rows: &Rows<'_, T>, out: Out<'_>) -> Result<(), Error> {
    let per = drive::rows_per_task(rows.count(), rows.classes(), rows.together());
    let tasks = drive::ranges(rows.count(), per).zip(out.pieces(per));
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
        let mut scratch = Scratch::default();
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
            let mut value = sums.map(|sum| formula::log_sum_exp::<S, T::Real>(isa, sum.scaled()));
            for (i, value) in value[..group.len()].iter_mut().enumerate() {
                let infinite = sums[i].max() == f64::INFINITY;
                if infinite && !self.rows.any(start + i, 0..usize::MAX, f64::is_nan) {
                    *value = f64::INFINITY;
                }
            }
            self.out.write(&value[..group.len()], None);
        }
    }
}

/// log softmax of every row, into `out`, which has a row for each row.
///
/// With x_m the largest logit, log softmax(x)_j = (x_j − x_m) − loss_m, `loss_m` being the loss of class
/// m against the rest: the likely class keeps its digits. The row is read three times, from L2 where it fits there.
pub fn log_softmax<T: Dtype>(
    run: Run<'_>,
    rows: &Rows<'_, T>,
    out: &mut [T::Real],
) -> Result<(), Error> {
    let per = drive::rows_per_task(rows.count(), rows.classes(), rows.together());
    let ranges = drive::ranges(rows.count(), per);
    let tasks = ranges.zip(out.chunks_mut(per * rows.classes()));
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
        let (mut scratch, mut values) = (Scratch::default(), Buffer::default());
        for row in self.range.clone() {
            let group = row..row + 1;
            let mut top = ArgMax::none();
            self.rows.visit(
                group.clone(),
                |_| true,
                #[inline(always)]
                |_, first, block, length| {
                    top.push(first, T::read(isa, &block[..length], &mut values));
                },
            );
            let mut sum = LogSum::empty();
            self.rows.visit(
                group.clone(),
                |_| true,
                #[inline(always)]
                |_, first, block, length| {
                    let skip = top.at.wrapping_sub(first);
                    sum.push::<S, T>(isa, (block, length), skip, &mut scratch);
                },
            );
            let x_top = top.x.to_f64();
            let loss = formula::target_against_rest::<S, T::Real>(isa, sum.scaled(), x_top);
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
