//! Cross entropy of logits with a class as target.

use crate::Error;
use crate::call::long_rows::{LongRow, fold_rows};
use crate::call::row_loss::{BLOCK_ROWS, KnownLosses, RowLoss};
use crate::data::drive::{Exec, ranges};
use crate::data::lines::{LANES, Lines, scratch_lines};
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Targets;
use crate::fold::lanes::{self, LaneLogSums};
use crate::fold::{Fold, Linear, LogSum, Pick, sweep};
use crate::math::row::{self, ScaledSum, Smoothing};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// Cross entropy of logits: [`row::target_against_rest`], weighted and smoothed.
pub(crate) struct CrossEntropy<'r, F> {
    rows: &'r Rows<'r>,
    targets: Targets<'r>,
    smoothing: f64,
    /// Σ_c w_c, for the smoothing.
    weights: f64,
    real: PhantomData<F>,
}

impl<'r, F: Real> CrossEntropy<'r, F> {
    pub(crate) fn new(
        rows: &'r Rows<'r>,
        targets: Targets<'r>,
        smoothing: f64,
        weights: f64,
    ) -> Self {
        CrossEntropy { rows, targets, smoothing, weights, real: PhantomData }
    }

    /// Whether the target is the first largest class of the row.
    #[inline(always)]
    fn is_top1(&self, row: usize, x_t: f64, rest: f64) -> bool {
        let before = 0..self.targets.class(row).min(self.rows.classes());
        let is_first = || self.rows.find(row, before, &|x| x == x_t).is_none();
        x_t > rest || (x_t == rest && is_first())
    }

    /// (1 − ε)·w_t·loss and the smoothing's share.
    #[inline(always)]
    fn weighted<S: Isa>(
        &self,
        isa: S,
        row: usize,
        (loss, x_t, rest): (f64, f64, ScaledSum),
        linear: Option<[f64; 2]>,
    ) -> f64 {
        let weight = self.targets.class_weight(row);
        let Some([linear, shift]) = linear else { return row::weighed(weight, loss) };
        let (epsilon, classes) = (self.smoothing, self.rows.classes() as f64);
        let is_impossible = x_t == f64::NEG_INFINITY && weight == 0.0;
        let lse = match is_impossible {
            true => {
                let center = rest.center - shift;
                row::log_sum_exp::<S, F>(isa, ScaledSum { center, ..rest })
            }
            false => (x_t - shift) + loss,
        };
        let smoothing = Smoothing { epsilon, classes, weights: self.weights, linear, lse };
        row::smoothed(loss, weight, smoothing)
    }
}

impl<'r, F: Real> LongRow<F, 1> for CrossEntropy<'r, F> {
    type State = ((LogSum<F>, Pick), Option<Linear<'r>>);
    /// The loss, the target's logit (NaN of a row that is NaN), and the largest of the others.
    type Row = [f64; 3];

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Self::State> {
        let CrossEntropy { targets, smoothing, .. } = self;
        let (class, smooths) = (targets.class(row), *smoothing > 0.0);
        let losses = (LogSum::without(class), Pick::new(class));
        targets.counts(row).then(|| (losses, smooths.then(|| Linear::empty(targets.weight))))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, row: usize, state: &Self::State) -> [f64; 3] {
        let ((rest, x_t), linear) = Fold::<F>::finish(state, isa);
        let loss = row::target_against_rest::<S, F>(isa, rest, x_t);
        let x_t_of_number = if loss.is_nan() { f64::NAN } else { x_t };
        [self.weighted(isa, row, (loss, x_t, rest), linear), x_t_of_number, rest.max]
    }
}

impl<F: Real> CrossEntropy<'_, F> {
    /// The losses of a group of rows of very many classes, whose targets are classes.
    pub(crate) fn long_losses(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
    ) -> Result<KnownLosses, Error> {
        let mut known = KnownLosses::of(group.start);
        let found = fold_rows(exec, self.rows, group.clone(), self)?;
        for (i, (row, found)) in group.zip(found).enumerate() {
            let Some([loss, x_t, rest]) = found else { continue };
            let before = (row, 0..self.targets.class(row).min(self.rows.classes()));
            known.is_top1[i] = match x_t == rest {
                true => self.rows.find_in_tasks(exec, before, &|x| x == x_t)?.is_none(),
                false => x_t > rest,
            };
            known.loss[i] = loss;
        }
        Ok(known)
    }
}

impl<F: Real> RowLoss for CrossEntropy<'_, F> {
    type Memory = [Scratch<F>; 2];

    const KNOWS_TOP1: bool = true;

    fn first_bad(&self, _rows: Range<usize>) -> Option<usize> {
        None
    }

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) -> Option<usize> {
        let first = rows.start;
        if self.rows.are_few() {
            for group in ranges(rows, LANES) {
                let at = group.start - first;
                let results = (&mut loss[at..][..LANES], &mut is_top1[at..][..LANES]);
                self.lanes(isa, group, memory, results);
            }
        } else {
            for group in ranges(rows, GROUP) {
                let at = group.start - first;
                let results = (&mut loss[at..][..GROUP], &mut is_top1[at..][..GROUP]);
                self.group(isa, group, memory, results);
            }
        }
        None
    }
}

impl<F: Real> CrossEntropy<'_, F> {
    /// The losses of at most [`LANES`] rows of few classes. Called, not inlined: the loops of longer
    /// rows have the registers for themselves.
    #[inline(never)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        results: (&mut [f64], &mut [bool]),
    ) {
        isa.vectorize(
            #[inline(always)]
            || self.lanes_here(isa, group, memory, results),
        );
    }

    #[inline(always)]
    fn lanes_here<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        (losses, is_top1): (&mut [f64], &mut [bool]),
    ) {
        let (start, count, targets) = (group.start, group.len(), self.targets);
        let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
        let mut target = [-F::ONE; LANES];
        for (to, &class) in target.iter_mut().zip(&targets.target[group]) {
            *to = F::from_f64(f64::from(class as i32));
        }
        let held = scratch_lines(computing, lines.classes());
        let [max, x_t] = lanes::hide(lines, target, held);
        let sums = LaneLogSums::new(isa, Lines::dense(held, lines.next()), &max);
        let mut loss = [0.0; LANES];
        for i in 0..LANES {
            loss[i] = row::target_against_rest::<S, F>(isa, sums.row(i), x_t[i].to_f64());
        }
        let (mut ties, mut larger) = (0, [false; LANES]);
        for i in 0..LANES {
            larger[i] = (x_t[i] > max[i]) & !loss[i].is_nan();
            ties |= u32::from(x_t[i] == max[i]);
        }
        is_top1[..count].copy_from_slice(&larger[..count]);
        if ties > 0 {
            for i in (0..count).filter(|&i| targets.counts(start + i) && !loss[i].is_nan()) {
                is_top1[i] = self.is_top1(start + i, x_t[i].to_f64(), max[i].to_f64());
            }
        }
        if targets.weight.is_some() || self.smoothing > 0.0 {
            let linear = lanes::linear(isa, lines, targets.weight);
            for i in (0..count).filter(|&i| targets.counts(start + i)) {
                let linear = (self.smoothing > 0.0).then(|| linear.map(|linear| linear[i]));
                let (x_t, rest) = (x_t[i].to_f64(), sums.row(i));
                loss[i] = self.weighted(isa, start + i, (loss[i], x_t, rest), linear);
            }
        }
        losses[..count].copy_from_slice(&loss[..count]);
    }

    /// The losses of at most [`GROUP`] rows.
    #[inline(always)]
    fn group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        (losses, is_top1): (&mut [f64], &mut [bool]),
    ) {
        let mut loss = [0.0; GROUP];
        let (start, targets) = (group.start, self.targets);
        let class = |i: usize| targets.class(start + i);
        let smoothed = if self.smoothing > 0.0 { GROUP } else { 0 };
        let mut linears = vec![Linear::empty(targets.weight); smoothed];
        let mut linear = linears.iter_mut();
        let count = group.len();
        // An array for each number: a loop over arrays of structures is not vectorised.
        let [mut center, mut correction, mut exponent] = [[0.0; GROUP]; 3];
        let [mut sum, mut max, mut target] = [[0.0; GROUP]; 3];
        sweep(
            isa,
            self.rows,
            (group, BLOCK),
            |row| targets.counts(row),
            (core::array::from_mut(reading), computing),
            #[inline(always)]
            |i| {
                let losses = (LogSum::without(class(i)), Pick::new(class(i)));
                (losses, linear.next())
            },
            #[inline(always)]
            |i, fold| {
                let (rest, x_t) = fold.0.finish(isa);
                (center[i], correction[i], exponent[i]) =
                    (rest.center, rest.correction, rest.exponent);
                (sum[i], max[i], target[i]) = (rest.sum, rest.max, x_t);
            },
        );
        let rest = |i: usize| {
            let (center, correction, exponent) = (center[i], correction[i], exponent[i]);
            ScaledSum { center, correction, exponent, sum: sum[i], max: max[i] }
        };
        for i in 0..GROUP {
            loss[i] = row::target_against_rest::<S, F>(isa, rest(i), target[i]);
        }
        let mut linears = linears.iter();
        for i in (0..count).filter(|&i| targets.counts(start + i)) {
            is_top1[i] = !loss[i].is_nan() && self.is_top1(start + i, target[i], max[i]);
            let linear = linears.next().map(|linear| Fold::<F>::finish(linear, isa));
            loss[i] = self.weighted(isa, start + i, (loss[i], target[i], rest(i)), linear);
        }
        losses[..count].copy_from_slice(&loss[..count]);
    }
}
