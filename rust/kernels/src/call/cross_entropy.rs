//! Cross entropy of logits with a class as target.

use crate::Error;
use crate::call::long_rows::{LongRow, fold_rows};
use crate::call::plain_row::{expected_loss_of_huge, plain_expected_loss};
use crate::call::row_loss::{BLOCK_ROWS, KnownLosses, RowLoss};
use crate::data::drive::{Exec, ranges};
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Targets;
use crate::fold::{Fold, Linear, LogSum, Pick, sweep};
use crate::math::row::{self, ScaledSum, Smoothing};
use nll_simd::{Extended, Isa, Real};
use std::ops::Range;

/// Cross entropy of logits: [`row::target_against_rest`], weighted and smoothed.
pub struct CrossEntropy<'r, F: Real> {
    pub(super) rows: &'r Rows<'r>,
    pub(super) targets: Targets<'r>,
    pub(super) smoothing: Option<Smoothing<F::Extended>>,
}

impl<'r, F: Real> CrossEntropy<'r, F> {
    /// With label smoothing ε, 0 for none.
    pub fn new(rows: &'r Rows<'r>, targets: Targets<'r>, smoothing: f64) -> Self {
        let classes = rows.classes();
        let of_classes =
            || Smoothing::new(smoothing, classes, targets.sum_of_class_weights(classes));
        CrossEntropy { rows, targets, smoothing: (smoothing > 0.0).then(of_classes) }
    }

    /// Whether the target is the first largest class of the row.
    #[inline(always)]
    pub(super) fn is_top1(&self, row: usize, x_t: f64, rest: f64) -> bool {
        let before = 0..self.targets.class(row).min(self.rows.classes());
        let is_first = || self.rows.find(row, before, &|x| x == x_t).is_none();
        x_t > rest || (x_t == rest && is_first())
    }

    /// (1 − ε)·w_t·loss and the smoothing's share.
    #[inline(always)]
    pub(super) fn weighted<S: Isa>(
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
pub(super) fn is_negligible(x_t: f64, weight: f64, rest: &ScaledSum) -> bool {
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
        for (i, (row, found)) in group.clone().zip(found).enumerate() {
            let Some([loss, x_t, rest]) = found else { continue };
            let before = (row, 0..self.targets.class(row).min(self.rows.classes()));
            known.is_top1[i] = match x_t == rest {
                true => self.rows.find_in_tasks(exec, before, &|x| x == x_t)?.is_none(),
                false => x_t > rest,
            };
            known.loss[i] = loss;
        }
        let count = group.len();
        self.restore(group, &mut known.loss[..count], &known.is_top1[..count]);
        Ok(known)
    }

    /// Computes some losses of `rows` again: infinite ones, as perhaps only a product was infinite, and
    /// small ones of smoothed and weighted rows, which may be little more than a rounding error.
    #[inline(always)]
    fn restore(&self, rows: Range<usize>, losses: &mut [f64], is_top1: &[bool]) {
        let are_weighted = self.targets.weight.is_some();
        let (has_products, may_cancel) = match self.smoothing {
            Some(_) => (F::COMPENSATED, are_weighted),
            None => (F::COMPENSATED && are_weighted, false),
        };
        if !has_products && !may_cancel {
            return;
        }
        let least = if may_cancel { self.least_sure() } else { f64::NEG_INFINITY };
        let is_sure = |(loss, is_top1): (f64, bool)| {
            let is_small = (loss < least) & !is_top1;
            !is_small & (!has_products | loss.is_finite())
        };
        let both = losses.iter().copied().zip(is_top1.iter().copied());
        if both.fold(true, |all, of_row| all & is_sure(of_row)) {
            return;
        }
        let rows = rows.zip(losses).zip(is_top1);
        for ((row, loss), &is_top1) in rows.filter(|((row, _), _)| self.targets.counts(*row)) {
            if !is_sure((*loss, is_top1)) {
                *loss = self.restored(row, *loss);
            }
        }
    }

    /// The least smoothed and weighted loss that keeps its digits where the target is not the largest
    /// class: the other classes' losses come from a sum that is about 1. Without weights, no loss is less.
    #[inline(always)]
    fn least_sure(&self) -> f64 {
        self.smoothing.map_or(0.0, |of| 0.5 * of.share.rounded() * of.weights.rounded())
    }

    /// The loss of one row by the plain formula. If `loss`, the result of the folds, is infinite or NaN and
    /// no logit is huge, it stays.
    #[cold]
    fn restored(&self, row: usize, loss: f64) -> f64 {
        let (target, class_weight) = (self.targets.class(row), self.targets.class_weight(row));
        let smoothing = self.smoothing.map(|of| (of.sharp.rounded(), of.share.rounded()));
        let (sharp, share) = smoothing.unwrap_or((1.0, 0.0));
        let weight = |class: usize| {
            let even = share * self.targets.weight.map_or(1.0, |w| w[class]);
            if class == target { even + sharp * class_weight } else { even }
        };
        match loss.is_finite() {
            true => plain_expected_loss(self.rows, row, &weight),
            false => expected_loss_of_huge(self.rows, row, loss, &weight),
        }
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
            of_rows.few(isa, rows.clone(), memory, loss, is_top1);
        } else {
            for group in ranges(rows.clone(), GROUP) {
                let at = group.start - first;
                let results = (&mut loss[at..][..GROUP], &mut is_top1[at..][..GROUP]);
                of_rows.group(isa, group, memory, results);
            }
        }
        let count = rows.len();
        of_rows.restore(rows, &mut loss[..count], &is_top1[..count]);
        None
    }
}

impl<F: Real> CrossEntropy<'_, F> {
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
