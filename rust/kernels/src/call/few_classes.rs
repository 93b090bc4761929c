//! Cross entropy of rows of few classes, side by side, a lane for each row.

use crate::call::cross_entropy::{CrossEntropy, is_negligible};
use crate::call::row_loss::BLOCK_ROWS;
use crate::data::drive::ranges;
use crate::data::lines::{LANES, Lines, lines_and_steps};
use crate::data::scratch::Scratch;
use crate::fold::lanes;
use crate::math::row::{self, Smoothing};
use crate::math::side_by_side::{ScaledSums, Steps, Words};
use nll_simd::{Extended, Isa, Real};
use std::ops::Range;

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
            return isa.apart(
                #[inline(always)]
                || self.two_classes(isa, rows, &mut memory[0], (loss, is_top1)),
            );
        }
        for group in ranges(rows, LANES) {
            let at = group.start - first;
            let results = (&mut loss[at..][..LANES], &mut is_top1[at..][..LANES]);
            isa.apart(
                #[inline(always)]
                || self.lanes(isa, group, memory, results),
            );
        }
    }

    /// The losses of at most [`LANES`] rows of few classes.
    #[inline(always)]
    fn lanes<S: Isa>(
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
        let (held, steps) = lines_and_steps(computing, lines.classes());
        let [max, x_t] = lanes::hide(lines, target, held);
        lanes::log_sums(isa, Lines::dense(held, lines.next()), &max, &mut steps.rest);
        for i in 0..LANES {
            steps.x_t[i] = x_t[i].to_f64();
        }
        steps.compute_losses::<S, F>(isa);
        let Steps { rest, x_t: target_logits, losses: Words { hi: loss, lo: lost }, .. } = steps;
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
            self.smooth(isa, smoothing, rows, (target_logits, rest), (loss, lost));
        } else {
            targets.weigh_classes(start, &mut loss[..count]);
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
        (x_t, sums): (&[f64; LANES], &ScaledSums<LANES>),
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
            let above = F::Extended::sum(x_t[i], -shift[i]).add(of_row);
            smoothed[i] = row::smoothed(isa, smoothing, (of_row, weight[i]), [linear, above]);
        }
        for (i, row) in group.enumerate().filter(|&(_, row)| targets.counts(row)) {
            let (x_t, rest) = (x_t[i], sums.of(i));
            if is_negligible(x_t, weight[i], &rest) {
                let linear = (F::Extended::sum(linear[i], linear_lost[i]), shift[i]);
                let of_row = (F::Extended::new(loss[i]), x_t, rest);
                smoothed[i] = self.weighted(isa, row, of_row, Some(linear));
            }
        }
        *loss = smoothed;
    }
}
