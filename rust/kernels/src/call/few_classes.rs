//! Cross entropy of rows of few classes, side by side, a lane for each row.

use crate::call::cross_entropy::{CrossEntropy, is_negligible};
use crate::call::row_loss::BLOCK_ROWS;
use crate::data::drive::ranges;
use crate::data::lines::{LANES, Lines, Next, lines_and_steps};
use crate::data::scratch::Scratch;
use crate::fold::lanes::{self, SEARCHED};
use crate::math::row::{self, Smoothing};
use crate::math::side_by_side::{ScaledSums, Steps, Words, compute_losses};
use nll_simd::{Extended, Isa, Real};
use std::ops::Range;

/// How many groups of [`LANES`] rows are computed together, each step for all of them. With one group, the CPU would wait
/// for the end of each step. The numbers of four groups stay in L1.
const GROUPS: usize = 4;

/// The most classes of rows beside each other that are not copied before they are used, if the array is larger than the
/// caches. To copy a group of rows, the CPU waits until the memory has sent all of their classes; to compare each class with
/// the target instead costs less than that wait, up to this number.
const READ_ONCE: usize = 24;

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
        if self.rows.classes() == 2 && self.smoothing.is_none() {
            return isa.apart(
                #[inline(always)]
                || self.two_classes(isa, rows, &mut memory[0], (loss, is_top1)),
            );
        }
        let groups = if self.smoothing.is_some() { 1 } else { GROUPS };
        let results = (loss.as_chunks_mut().0, is_top1.as_chunks_mut().0);
        let results = results.0.chunks_mut(groups).zip(results.1.chunks_mut(groups));
        for (rows, results) in ranges(rows, groups * LANES).zip(results) {
            isa.apart(
                #[inline(always)]
                || match self.smoothing {
                    Some(_) => self.smoothed_group(isa, rows, memory, results),
                    None => self.groups(isa, rows, memory, results),
                },
            );
        }
    }

    /// The results of at most [`GROUPS`] groups.
    #[inline(always)]
    fn groups<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        (losses, is_top1): (&mut [[f64; LANES]], &mut [[bool; LANES]]),
    ) {
        let groups = rows.len().div_ceil(LANES);
        let classes = self.rows.classes();
        let are_read_once =
            isa.level().has_masks() && (SEARCHED + 1..=READ_ONCE).contains(&classes);
        let (held, steps) = lines_and_steps(computing, classes, groups);
        for (group, steps) in ranges(rows.clone(), LANES).zip(&mut *steps) {
            isa.apart(
                #[inline(always)]
                || {
                    if are_read_once && self.rows.are_lines_in_memory::<F>(group.start) {
                        let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
                        set_targets(self.targets.of(group), &mut steps.target);
                        return searched_sums(isa, &lines, steps);
                    }
                    let next = self.rows.copy_lines(isa, &group, reading, held);
                    self.sums(isa, group, (held, next), steps);
                },
            );
        }
        compute_losses(isa, steps);
        let results = losses.iter_mut().zip(is_top1);
        for (group, (steps, results)) in ranges(rows, LANES).zip(steps.iter_mut().zip(results)) {
            self.finish(isa, group, (steps, None), results);
        }
    }

    /// The results of one group, whose lines are smoothed at the end.
    #[inline(always)]
    fn smoothed_group<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        [reading, computing]: &mut [Scratch<F>; 2],
        (losses, is_top1): (&mut [[f64; LANES]], &mut [[bool; LANES]]),
    ) {
        let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
        let (held, steps) = lines_and_steps(computing, lines.classes(), 1);
        for (class, line) in held.iter_mut().enumerate() {
            *line = *lines.line(class);
        }
        self.sums(isa, group.clone(), (held, lines.next()), &mut steps[0]);
        compute_losses(isa, steps);
        let results = (&mut losses[0], &mut is_top1[0]);
        self.finish(isa, group, (&mut steps[0], Some(lines)), results);
    }

    /// The first steps of at most [`LANES`] rows, whose classes are in `held`, and may be changed there.
    #[inline(always)]
    fn sums<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        (held, next): (&mut [[F; LANES]], Next),
        steps: &mut Steps<F, LANES>,
    ) {
        set_targets(self.targets.of(group), &mut steps.target);
        if held.len() > SEARCHED {
            lanes::take_targets(held, steps);
            lanes::log_sums::<S, F, true>(isa, &Lines::dense(held, next), steps);
        } else {
            searched_sums(isa, &Lines::dense(held, next), steps);
        }
    }

    /// The results of at most [`LANES`] rows whose losses are computed; of lanes without a row, anything. The lines are
    /// needed for smoothing.
    #[inline(always)]
    fn finish<S: Isa>(
        &self,
        isa: S,
        group: Range<usize>,
        (steps, lines): (&mut Steps<F, LANES>, Option<Lines<'_, F>>),
        (losses, is_top1): (&mut [f64; LANES], &mut [bool; LANES]),
    ) {
        let (start, count, targets) = (group.start, group.len(), self.targets);
        let Steps { x_t, rest, losses: Words { hi: loss, lo: lost }, .. } = steps;
        let mut ties = 0;
        for i in 0..LANES {
            is_top1[i] = (x_t[i] > rest.max[i]) & !loss[i].is_nan();
            ties |= u32::from(x_t[i] == rest.max[i]);
        }
        if ties > 0 {
            for i in (0..count).filter(|&i| targets.counts(start + i) && !loss[i].is_nan()) {
                is_top1[i] = self.is_top1(start + i, x_t[i].to_f64(), rest.max[i].to_f64());
            }
        }
        if let (Some(smoothing), Some(lines)) = (self.smoothing, lines) {
            self.smooth(isa, smoothing, (group, lines), (x_t, rest), (loss, lost));
        } else {
            targets.weigh_classes(start, &mut loss[..count]);
        }
        *losses = *loss;
    }

    /// Smooths the losses of rows side by side, which are given in two words.
    #[inline(always)]
    fn smooth<S: Isa>(
        &self,
        isa: S,
        smoothing: Smoothing<F::Extended>,
        (group, lines): (Range<usize>, Lines<'_, F>),
        (x_t, sums): (&[F; LANES], &ScaledSums<F, LANES>),
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
            let (x_t, rest) = (x_t[i].to_f64(), sums.of(i));
            if is_negligible(x_t, weight[i], &rest) {
                let linear = (F::Extended::sum(linear[i], linear_lost[i]), shift[i]);
                let of_row = (F::Extended::new(loss[i]), x_t, rest);
                smoothed[i] = self.weighted(isa, row, of_row, Some(linear));
            }
        }
        *loss = smoothed;
    }
}

/// Sets the class of each target, and −1 in lanes without a row. An ignored target may become any class, because the result
/// of its row is not used.
#[inline(always)]
fn set_targets<F: Real>(targets: &[i64], classes: &mut [F; LANES]) {
    let mut all = [-1; LANES];
    match targets.first_chunk() {
        // A loop of known length.
        Some(targets) => all = *targets,
        None => all[..targets.len()].copy_from_slice(targets),
    }
    for i in 0..LANES {
        classes[i] = F::from_f64(f64::from(all[i] as i32));
    }
}

/// The sums of rows, in which each class is compared with the target. The lines are only read.
#[inline(always)]
fn searched_sums<S: Isa, F: Real>(isa: S, lines: &Lines<'_, F>, steps: &mut Steps<F, LANES>) {
    lanes::find_targets(lines, steps);
    lanes::log_sums::<S, F, false>(isa, lines, steps);
}
