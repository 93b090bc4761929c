//! The gradient of the cross entropy by the logits: the one result as large as its input besides log softmax.

use crate::distribution::{MaxTerm, blocks};
use crate::drive;
use crate::input::{Input, Room};
use crate::losses::Targets;
use crate::out::{Out, Run};
use crate::softmax::BLOCK;
use crate::{Error, formula};
use nll_simd::{Buffer, Extended, Isa, NonTemporal, Real, with_non_temporal};
use std::marker::PhantomData;
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
/// Computed in `F`.
pub fn each<F: Real>(run: Run<'_>, of: &Gradient<'_>, out: Out<'_>) -> Result<(), Error> {
    of.targets.check(run.par, of.classes)?;
    let rows = of.targets.target.len();
    let scale = if of.mean { 1.0 / of.targets.total_weight() } else { 1.0 };
    let weights = of.targets.weight.map_or(of.classes as f64, |w| w.iter().sum());
    let large = out.is_large();
    let per = drive::rows_per_task(rows, of.classes, 1);
    let tasks = drive::ranges(rows, per).zip(out.pieces(per * of.classes));
    let work = |(range, out): (Range<usize>, Out<'_>)| {
        let real = PhantomData::<F>;
        run.level.run(Task { of, range, out, scale, weights, large, real });
    };
    drive::run(run.par, tasks, work, |(), ()| ())
}

struct Task<'t, 'a, F> {
    of: &'t Gradient<'a>,
    range: Range<usize>,
    out: Out<'t>,
    scale: f64,
    weights: f64,
    /// Whether to write past the caches.
    large: bool,
    real: PhantomData<F>,
}

impl<F: Real> nll_simd::Kernel for Task<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) {
        let (mut room, mut values) = (Room::default(), Buffer::default());
        let zeros = [F::ZERO; BLOCK];
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = self.large.then_some(stores);
                for row in self.range.clone() {
                    if self.of.targets.counts(row) {
                        self.row(isa, row, (&mut room, &mut values), stores);
                        continue;
                    }
                    for block in blocks(&(0..self.of.classes), BLOCK) {
                        self.out.write(&zeros[..block.len()], stores);
                    }
                }
            },
        );
    }
}

impl<'t, F: Real> Task<'t, '_, F> {
    #[inline(always)]
    fn row<'s, S: Isa>(
        &mut self,
        isa: S,
        row: usize,
        (room, terms): (&mut Room<F>, &mut Buffer<F>),
        stores: Option<&'s NonTemporal<'s, '_>>,
    ) where
        't: 's,
    {
        let Gradient { logits, targets, classes, smoothing, .. } = self.of;
        let all = row * classes..(row + 1) * classes;
        let (sharp, uniform) =
            ((1.0 - smoothing) * targets.weight(row), smoothing / *classes as f64);
        let sum = sharp + uniform * self.weights;
        let terms = terms.first(*classes, F::ZERO);
        let (top, rest) = MaxTerm::with_terms(isa, logits, &all, (room, terms));
        let (loss, unit) = (top.loss(isa, rest).rounded(), 1.0 / top.sum(rest).rounded());
        for block in blocks(&all, BLOCK) {
            let x = logits.read(isa, block.clone(), room);
            let values = &mut terms[block.start - all.start..][..x.len()];
            let factor = self.scale * sum * unit;
            if *smoothing == 0.0 {
                let factor = F::from_f64(factor);
                values.iter_mut().for_each(|value| *value = *value * factor);
            } else {
                let even = |class: usize| uniform * targets.weight.map_or(1.0, |w| w[class]);
                for (value, class) in values.iter_mut().zip(block.start - all.start..) {
                    *value = F::from_f64(factor * value.to_f64() - self.scale * even(class));
                }
            }
            let target = (all.start + targets.class(row)).wrapping_sub(block.start);
            if let (Some(value), Some(x_t)) = (values.get_mut(target), x.get(target)) {
                // p_t − 1 would lose the digits of a certain target: e^x − 1 at once.
                let log_p = (x_t.to_f64() - top.x.to_f64()) - loss;
                let less = formula::exp_minus_one(isa, log_p);
                let rest = uniform * (self.weights * (less + 1.0) - targets.weight(row));
                *value = F::from_f64(self.scale * (sharp * less + rest));
            }
            self.out.write(values, stores);
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
