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
use nll_simd::{Extended, Isa, Real};
use std::ops::Range;

/// Cross entropy of logits: [`row::target_against_rest`], weighted and smoothed.
pub struct CrossEntropy<'r, F: Real> {
    rows: &'r Rows<'r>,
    targets: Targets<'r>,
    smoothing: Option<Smoothing<F::Extended>>,
}

impl<'r, F: Real> CrossEntropy<'r, F> {
    /// With label smoothing ε, 0 for none.
    pub fn new(rows: &'r Rows<'r>, targets: Targets<'r>, smoothing: f64) -> Self {
        let classes = rows.classes();
        let of_classes =
            || Smoothing::new(smoothing, classes, targets.sum_of_class_weights(classes));
        CrossEntropy { rows, targets, smoothing: (smoothing > 0.0).then(of_classes) }
    }

    pub(super) fn rows(&self) -> &Rows<'_> {
        self.rows
    }

    pub(super) fn targets(&self) -> Targets<'_> {
        self.targets
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
        (loss, x_t, rest): (F::Extended, f64, ScaledSum),
        linear: Option<(F::Extended, f64)>,
    ) -> f64 {
        let weight = self.targets.class_weight(row);
        let (Some(smoothing), Some((linear, shift))) = (self.smoothing, linear) else {
            return row::weighed(weight, loss.rounded());
        };
        let above = match is_negligible(x_t, weight, &rest) {
            true => row::log_sum_exp_above::<S, F>(isa, rest, shift),
            false => F::Extended::sum(x_t, -shift).add(loss),
        };
        row::smoothed(isa, smoothing, (loss, weight), [linear, above])
    }
}

/// Whether a target, of weight 0, is so far below the others that lse is theirs. The sum of its logit and
/// its loss would be the difference of two large numbers.
#[inline(always)]
fn is_negligible(x_t: f64, weight: f64, rest: &ScaledSum) -> bool {
    weight == 0.0 && x_t < rest.max - 128.0
}

impl<'r, F: Real> LongRow<F, 1> for CrossEntropy<'r, F> {
    type State = ((LogSum<F>, Pick), Option<Linear<'r>>);
    /// The loss, the target's logit (NaN of a row that is NaN), and the largest of the others.
    type Row = [f64; 3];

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Self::State> {
        let CrossEntropy { targets, smoothing, .. } = self;
        let (class, smooths) = (targets.class(row), smoothing.is_some());
        let losses = (LogSum::without(class), Pick::new(class));
        targets.counts(row).then(|| (losses, smooths.then(|| Linear::empty(targets.weight))))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, row: usize, state: &Self::State) -> [f64; 3] {
        let ((rest, x_t), linear) = Fold::<F>::finish(state, isa);
        let loss = row::unrounded_loss::<S, F>(isa, rest, x_t);
        let x_t_of_number = if loss.rounded().is_nan() { f64::NAN } else { x_t };
        [self.weighted(isa, row, (loss, x_t, rest), linear), x_t_of_number, rest.max]
    }
}

impl<F: Real> CrossEntropy<'_, F> {
    /// The losses of a group of rows of very many classes, whose targets are classes.
    pub fn long_losses(&self, exec: Exec<'_>, group: Range<usize>) -> Result<KnownLosses, Error> {
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

    fn first_bad(&self, _targets: Targets<'_>, _rows: Range<usize>) -> Option<usize> {
        None
    }

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        isa: S,
        targets: Targets<'_>,
        rows: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) -> Option<usize> {
        let first = rows.start;
        let of_rows = CrossEntropy { targets, ..*self };
        if self.rows.are_few() {
            of_rows.few(isa, rows, memory, loss, is_top1);
        } else {
            for group in ranges(rows, GROUP) {
                let at = group.start - first;
                let results = (&mut loss[at..][..GROUP], &mut is_top1[at..][..GROUP]);
                of_rows.group(isa, group, memory, results);
            }
        }
        None
    }
}

impl<F: Real> CrossEntropy<'_, F> {
    /// The losses of rows of few classes, and whether each target is the first largest class.
    #[inline(always)]
    pub fn few<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        memory: &mut [Scratch<F>; 2],
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) {
        let first = rows.start;
        if self.rows.classes() == 2 && self.smoothing.is_none() {
            return self.two_classes(isa, rows, &mut memory[0], (loss, is_top1));
        }
        for group in ranges(rows, LANES) {
            let at = group.start - first;
            let results = (&mut loss[at..][..LANES], &mut is_top1[at..][..LANES]);
            self.lanes(isa, group, memory, results);
        }
    }

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
        for (to, &class) in target.iter_mut().zip(targets.of(group)) {
            *to = F::from_f64(f64::from(class as i32));
        }
        let held = scratch_lines(computing, lines.classes());
        let [max, x_t] = lanes::hide(lines, target, held);
        let sums = LaneLogSums::new(isa, Lines::dense(held, lines.next()), &max);
        // An array for each word: a loop over arrays of structures is not vectorised.
        let [mut loss, mut lost] = [[0.0; LANES]; 2];
        for i in 0..LANES {
            let of_row = row::unrounded_loss::<S, F>(isa, sums.row(i), x_t[i].to_f64());
            [loss[i], lost[i]] = of_row.words();
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
        if let Some(smoothing) = self.smoothing {
            let rows = (start..start + count, lines);
            self.smooth(isa, smoothing, rows, (&x_t, &sums), (&mut loss, &lost));
        } else if targets.weight.is_some() {
            for i in (0..count).filter(|&i| targets.counts(start + i)) {
                loss[i] = row::weighed(targets.class_weight(start + i), loss[i]);
            }
        }
        losses[..count].copy_from_slice(&loss[..count]);
    }

    /// Smooths the losses of rows side by side, which are given in two words.
    #[inline(always)]
    fn smooth<S: Isa>(
        &self,
        isa: S,
        smoothing: Smoothing<F::Extended>,
        (group, lines): (Range<usize>, Lines<'_, F>),
        (x_t, sums): (&[F; LANES], &LaneLogSums),
        (loss, lost): (&mut [f64; LANES], &[f64; LANES]),
    ) {
        let targets = self.targets;
        let [linear, linear_lost, shift] = lanes::linear(isa, lines, targets.weight);
        let (mut weight, mut smoothed) = ([0.0; LANES], [0.0; LANES]);
        for (i, row) in group.clone().enumerate().filter(|&(_, row)| targets.counts(row)) {
            weight[i] = targets.class_weight(row);
        }
        for i in 0..LANES {
            let of_row = F::Extended::sum(loss[i], lost[i]);
            let linear = F::Extended::sum(linear[i], linear_lost[i]);
            let above = F::Extended::sum(x_t[i].to_f64(), -shift[i]).add(of_row);
            smoothed[i] = row::smoothed(isa, smoothing, (of_row, weight[i]), [linear, above]);
        }
        for (i, row) in group.enumerate().filter(|&(_, row)| targets.counts(row)) {
            let (x_t, rest) = (x_t[i].to_f64(), sums.row(i));
            if is_negligible(x_t, weight[i], &rest) {
                let linear = (F::Extended::sum(linear[i], linear_lost[i]), shift[i]);
                let of_row = (F::Extended::new(loss[i]), x_t, rest);
                smoothed[i] = self.weighted(isa, row, of_row, Some(linear));
            }
        }
        *loss = smoothed;
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
        let [mut loss, mut lost] = [[0.0; GROUP]; 2];
        let (start, targets) = (group.start, self.targets);
        let class = |i: usize| targets.class(start + i);
        let smoothed = if self.smoothing.is_some() { GROUP } else { 0 };
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
            [loss[i], lost[i]] = row::unrounded_loss::<S, F>(isa, rest(i), target[i]).words();
        }
        let mut linears = linears.iter();
        for i in (0..count).filter(|&i| targets.counts(start + i)) {
            is_top1[i] = !loss[i].is_nan() && self.is_top1(start + i, target[i], max[i]);
            let linear = linears.next().map(|linear| Fold::<F>::finish(linear, isa));
            let of_row = F::Extended::sum(loss[i], lost[i]);
            loss[i] = self.weighted(isa, start + i, (of_row, target[i], rest(i)), linear);
        }
        losses[..count].copy_from_slice(&loss[..count]);
    }
}
