//! The gradient of the cross entropy by the logits: a result as large as its input.

use crate::row_gradient::{Call, LongGradients, Memory};
use crate::rows::{Entries, Losses, RowLosses};
use nll_kernels::Error;
use nll_kernels::call::Hessian;
use nll_kernels::call::cross_entropy::CrossEntropy;
use nll_kernels::call::long_rows::{Largest, fold_rows, next_rows, write_rows};
use nll_kernels::call::{check_smoothing, check_targets};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{self, Exec, Split, Work, ranges};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::rows::Rows;
use nll_kernels::data::targets::Targets;
use nll_kernels::data::totals::{Totaled, Totals};
use nll_simd::{Isa, Real};
use std::ops::Range;

/// The gradient of the mean or the sum of the cross entropies of rows, and what comes with it.
pub struct Gradient<'a> {
    /// The logits; the last axis is the class axis.
    pub logits: &'a Array<'a>,
    /// What happened in each row, which rows count, and the weights.
    pub targets: Targets<'a>,
    /// ε of label smoothing.
    pub label_smoothing: f64,
    /// Divides by Σ s·w_t: the gradient of the mean, not of the sum.
    pub mean: bool,
    /// Which second derivatives are wanted: each by one logit alone, the diagonal of the Hessian.
    pub hess: Option<Hessian>,
    /// Which totals of the losses are wanted.
    pub totaled: Totaled,
}

/// Where the gradient, the second derivatives and the losses go.
pub type GradientOut<'o> = (PerClass<'o>, PerClass<'o>, Out<'o>);

impl Gradient<'_> {
    /// scale·((Σ_c a_c)·p_j − a_j) of every logit j, with a_c = s·((1 − ε)·w_t·[c = t] + ε/C·w_c) and s
    /// the weight of the row; 0 in ignored rows. The second derivative is scale·(Σ_c a_c)·p_j·(1 − p_j),
    /// at most scale·(Σ_c a_c)/4. The losses and their totals are those of [`RowLosses`]; a row is read from memory once.
    pub fn run(&self, exec: Exec<'_>, out: GradientOut<'_>) -> Result<Totals, Error> {
        check_smoothing(self.label_smoothing)?;
        check_targets(("logits", self.logits), &self.targets)?;
        let rows = Rows::new([self.logits]);
        if rows.are_long() {
            let mut copy = Vec::new();
            let targets = self.targets.read_all(&mut copy)?;
            return Gradient { targets, ..*self }.run_checked(exec, &rows, out);
        }
        self.run_checked(exec, &rows, out)
    }

    fn run_checked(
        &self,
        exec: Exec<'_>,
        rows: &Rows<'_>,
        out: GradientOut<'_>,
    ) -> Result<Totals, Error> {
        self.targets.check(exec, rows.classes())?;
        match self.logits.is_double() {
            Some(true) => self.run_in::<f64>(exec, rows, out),
            _ => self.run_in::<f32>(exec, rows, out),
        }
    }

    fn run_in<F: Real>(
        &self,
        exec: Exec<'_>,
        rows: &Rows<'_>,
        out: GradientOut<'_>,
    ) -> Result<Totals, Error> {
        let Gradient { logits, targets, label_smoothing, .. } = *self;
        let classes = rows.classes();
        let loss = CrossEntropy::<F>::new(rows, targets, label_smoothing);
        let (entries, totaled) = (Entries::Logits { label_smoothing }, self.totaled);
        let call =
            &RowLosses { rows: logits, entries, targets, negate: false, totaled, is_new: false };
        let wanted = out.2.is_wanted() || totaled != Totaled::Nothing;
        let slopes = Call {
            rows,
            targets,
            sharp: 1.0 - label_smoothing,
            uniform: label_smoothing / classes as f64,
            scale: if self.mean { 1.0 / targets.sum_of_row_weights(exec)? } else { 1.0 },
            weights: targets.sum_of_class_weights(classes)[0],
            hess: self.hess,
            large: out.0.is_large(),
        };
        if rows.are_long() {
            let (first, second, losses) = out;
            run_long::<F>(exec, &slopes, [first.rows(), second.rows()])?;
            return if wanted {
                call.run_long(exec, &loss, rows, losses)
            } else {
                Ok(Totals::default())
            };
        }
        let losses = wanted.then_some(Losses { loss, double: F::COMPENSATED, rows, call });
        drive::run(exec, &Gradients { call: slopes, losses }, out)
    }
}

/// The gradients of rows of very many classes.
fn run_long<F: Real>(exec: Exec<'_>, call: &Call<'_>, mut outs: [Out<'_>; 2]) -> Result<(), Error> {
    let rows = call.rows;
    for group in rows.long_groups() {
        let tops = fold_rows(exec, rows, group.clone(), &Largest(|row| call.counts(row)))?;
        let mut places = next_rows(&mut outs, group.len(), rows.classes());
        let gradients = LongGradients::<F> { call, first: group.start, tops };
        write_rows(exec, rows, group, &gradients, &mut places)?;
    }
    Ok(())
}

/// The gradients of all rows, computed in `F`, and their losses if they are wanted.
struct Gradients<'a, F: Real> {
    call: Call<'a>,
    losses: Option<Losses<'a, CrossEntropy<'a, F>>>,
}

impl<F: Real> Work<GradientOut<'_>> for Gradients<'_, F> {
    type Total = Totals;
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        self.call.rows.count()
    }

    fn per_task(&self) -> usize {
        self.call.rows.per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        (mut slopes, mut curves, mut losses): GradientOut<'_>,
        memory: &mut Memory<F>,
    ) -> Totals {
        let none = range.start..range.start;
        let mut totals = match &self.losses {
            Some(of) => of.task(isa, none, Out::Nothing, &mut memory.3).totals,
            None => Totals::default(),
        };
        // Few rows at a time: the losses read them from memory, the gradients from cache.
        let most = (CACHED / self.call.rows.classes()).clamp(1, MOST_ROWS);
        let mut copy = vec![0; most.min(range.len())];
        for rows in ranges(range, most) {
            let (count, targets) = (rows.len(), self.call.targets.read(rows.clone(), &mut copy));
            if let Some(of) = &self.losses {
                let to = (losses.split_off(count), &mut memory.3);
                totals = totals.add(of.found(isa, targets, rows.clone(), to).totals);
            }
            let outs = [slopes.split_off(count), curves.split_off(count)];
            Call { targets, ..self.call }.task(isa, rows, outs, memory);
        }
        totals
    }
}

/// How many numbers stay in L2 from one reading to the next.
const CACHED: usize = 1 << 16;

/// How many rows at most: a copy of their targets stays in L1.
const MOST_ROWS: usize = 2048;
