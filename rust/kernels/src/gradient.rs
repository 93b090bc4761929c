//! The gradient of the cross entropy by the logits: the one result as large as its input besides log softmax.

use crate::distribution::Top;
use crate::drive;
use crate::input::{Input, Room};
use crate::losses::Targets;
use crate::out::{Out, Run};
use crate::softmax::BLOCK;
use crate::{Error, formula};
use nll_simd::Isa;
use std::ops::Range;

/// Rows of logits, what happened in each, and how the losses are weighed.
pub struct Gradient<'a> {
    /// The logits.
    pub logits: Input<'a>,
    /// The targets.
    pub targets: Targets<'a>,
    /// How many classes.
    pub classes: usize,
    /// ε of label smoothing.
    pub smoothing: f64,
    /// Divides by Σ w_t: the gradient of the mean, not of the sum.
    pub mean: bool,
}

/// scale·(Σ_c a_c · p_j − a_j) of every logit j, a_c = (1 − ε)·w_t·[c = t] + ε/C·w_c; 0 in ignored rows.
pub fn each(run: Run<'_>, of: &Gradient<'_>, out: Out<'_>) -> Result<(), Error> {
    of.targets.check(run.par, of.classes)?;
    let rows = of.targets.target.len();
    let scale = if of.mean { 1.0 / of.targets.total_weight() } else { 1.0 };
    let weights = of.targets.weight.map_or(of.classes as f64, |w| w.iter().sum());
    let per = drive::rows_per_task(rows, of.classes, 1);
    let ranges: Vec<_> = drive::ranges(rows, per).collect();
    let outs = out.split(ranges.len(), per * of.classes);
    let tasks = ranges.into_iter().zip(outs).collect();
    let work = |(range, out): (Range<usize>, Out<'_>)| {
        run.level.run(Task { of, range, out, scale, weights });
    };
    drive::run(run.par, tasks, work, |(), ()| ())
}

struct Task<'t, 'a> {
    of: &'t Gradient<'a>,
    range: Range<usize>,
    out: Out<'t>,
    scale: f64,
    weights: f64,
}

impl nll_simd::Kernel for Task<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let Gradient { logits, targets, classes, smoothing, .. } = self.of;
        let uniform = smoothing / *classes as f64;
        let (mut room, mut values) = (Room::default(), vec![0.0; BLOCK]);
        let mut terms = vec![0.0; BLOCK];
        for row in self.range.clone() {
            let all = row * classes..(row + 1) * classes;
            let counts = targets.counts(row);
            let sharp = if counts { (1.0 - smoothing) * targets.weight(row) } else { 0.0 };
            let top = counts.then(|| Top::with_loss(isa, logits, &all, (&mut room, &mut terms)));
            for start in all.clone().step_by(BLOCK) {
                let block = start..(start + BLOCK).min(all.end);
                let values = &mut values[..block.len()];
                let at = start - (self.range.start * classes);
                let Some((x_m, loss)) = top else {
                    values.fill(0.0);
                    self.out.put(at, values);
                    continue;
                };
                let x = logits.read(isa, block.clone(), &mut room);
                for (value, &x) in values.iter_mut().zip(x) {
                    *value = (x - x_m) - loss;
                }
                let target = (row * classes + targets.class(row)).wrapping_sub(start);
                let log_p = values.get(target).copied();
                let sum = sharp + uniform * self.weights;
                for (i, value) in values.iter_mut().enumerate() {
                    let class = block.start - all.start + i;
                    let even = uniform * targets.weight.map_or(1.0, |w| w[class]);
                    *value = self.scale * (sum * nll_simd::math::exp(isa, *value) - even);
                }
                if let (Some(value), Some(log_p)) = (values.get_mut(target), log_p) {
                    // p_t − 1 would lose the digits of a certain target: e^x − 1 at once.
                    let less = formula::exp_minus_one(isa, log_p);
                    let even = uniform * targets.weight(row);
                    let rest = uniform * self.weights * nll_simd::math::exp(isa, log_p) - even;
                    *value = self.scale * (sharp * less + rest);
                }
                self.out.put(at, values);
            }
        }
    }
}

impl Targets<'_> {
    /// Σ w_t over the rows that count.
    fn total_weight(&self) -> f64 {
        let mut sum = crate::reduce::ExactSum::default();
        let counted = (0..self.target.len()).filter(|&row| self.counts(row));
        counted.for_each(|row| sum.add(self.weight(row)));
        sum.value()
    }
}
