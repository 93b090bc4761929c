//! Gradients of entropy, divergence and cross entropy with a distribution as target, by the logits.
//!
//! With p the softmax of x, and of the largest logit x_m,
//!
//! ```text
//! entropy by x_j              p_j · ((x_m − x_j) − Σ p·(x_m − x))
//! soft targets a by x_j       p_j · Σ a − a_j
//! divergence by x_j           p_j · (log p_j − log q_j − divergence)
//! divergence by y_j, of q     q_j − p_j  =  p_j·(e^d − 1),  d = log q_j − log p_j
//! ```
//!
//! The value of a row is computed on the way, because its slopes need much of the same. A row is read two or
//! three times, after the first from cache: for what the formulas need of the whole row, and for the
//! slopes (`slope_sweeps.rs`). Rows of few classes are read together (`lane_slopes.rs`), those of very many
//! in pieces (`long_slopes.rs`).

use crate::quantities::Quantities;
use crate::quantity::Quantity;
use nll_kernels::Error;
use nll_kernels::data::drive::{self, Exec, Work};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::rows::{GROUP, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::data::targets::Counted;
use nll_kernels::data::totals::{Totaled, Totals};
use nll_simd::{Buffer, Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// A quantity of rows with its gradient.
pub struct Slopes<'a> {
    /// The quantity.
    pub of: Quantity<'a>,
    /// Which rows count, and how much.
    pub rows: Counted<'a>,
    /// Divides by the sum of the weights: the gradient of the mean, not of the sum.
    pub mean: bool,
    /// Which totals of the values are wanted.
    pub totaled: Totaled,
}

/// Where the gradient by the first logits, that by the second ones of a divergence, and the values go.
pub type SlopesOut<'o> = (PerClass<'o>, PerClass<'o>, Out<'o>);

impl Slopes<'_> {
    /// The gradients, 0 in rows that do not count; the values and their totals are those of
    /// [`Quantity::run`]. Gradients of rows of few classes lie as `out` says, others one behind the other.
    pub fn run(&self, exec: Exec<'_>, out: SlopesOut<'_>) -> Result<Totals, Error> {
        self.of.check_rows(self.rows)?;
        if let Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } = self.of {
            return Err(Error::Choice("this quantity has no gradient".into()));
        }
        match self.of.is_double() {
            true => self.run_in::<f64>(exec, out),
            false => self.run_in::<f32>(exec, out),
        }
    }

    fn run_in<F: Real>(&self, exec: Exec<'_>, out: SlopesOut<'_>) -> Result<Totals, Error> {
        let Slopes { of, rows, mean, totaled } = self;
        let (counted, logits) = (*rows, Rows::new([of.logits()]));
        let scale = match mean {
            true => share(counted.sum_of_weights(logits.count())),
            false => 1.0,
        };
        let values = Quantities { of, rows: counted, totaled: *totaled, real: PhantomData };
        let slopes = RowSlopes::<F> { values, scale };
        if logits.are_long() {
            let (first, second, values) = out;
            return slopes.run_long(exec, [first.rows(), second.rows()], values);
        }
        drive::run(exec, &slopes, out)
    }
}

/// The factor of all slopes in the gradient of the mean: 1/(the sum of all weights).
fn share(weights: f64) -> f64 {
    if weights == 0.0 { f64::NAN } else { 1.0 / weights }
}

/// The gradients of all rows, computed in `F`.
pub(crate) struct RowSlopes<'s, F> {
    /// The values of the rows.
    pub(crate) values: Quantities<'s, F>,
    /// The factor of all slopes: 1 for the gradient of the sum.
    scale: f64,
}

/// What a thread keeps: for reading two arrays, for computing, and the terms of a group of each.
pub(crate) type Memory<F> = ([Scratch<F>; 2], [Scratch<F>; 2], [Buffer<F>; 2]);

impl<F: Real> Work<SlopesOut<'_>> for RowSlopes<'_, F> {
    type Total = Totals;
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        self.values.count()
    }

    fn per_task(&self) -> usize {
        self.values.per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        (first_out, second_out, mut out): SlopesOut<'_>,
        memory: &mut Memory<F>,
    ) -> Totals {
        let [(_, first), (_, second)] = self.of().arrays();
        let (one, both) = (Rows::new([first]), Rows::new([first, second]));
        let (mut totals, outs) = (self.values.no_totals(), [first_out, second_out]);
        if both.are_few() {
            self.few_classes(isa, range, (outs, &mut out), (&mut totals, memory));
            return totals;
        }
        let mut outs = outs.map(PerClass::rows);
        for group in both.groups(range) {
            let mut values = [0.0; GROUP];
            let (start, values) = (group.start, &mut values[..group.len()]);
            match self.of() {
                Quantity::Entropy { .. } => {
                    self.entropy(isa, &one, group, memory, (values, &mut outs[0]));
                }
                Quantity::SoftTarget { .. } => {
                    self.soft_target(isa, &both, group, memory, (values, &mut outs[0]));
                }
                Quantity::Divergence { .. } => {
                    let rows = ([&one, &Rows::new([second])], &both);
                    self.divergence(isa, rows, group, memory, (values, &mut outs));
                }
                Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } => {}
            }
            self.values.take::<S, GROUP>(isa, start, values, (&mut totals, &mut out));
        }
        totals
    }
}

impl<'s, F: Real> RowSlopes<'s, F> {
    /// The quantity.
    #[inline(always)]
    pub(crate) fn of(&self) -> &'s Quantity<'s> {
        self.values.of
    }

    /// Whether the value or the slopes of a row may differ from 0. Those of another are 0 even if its logits
    /// are NaN.
    #[inline(always)]
    pub(crate) fn counts(&self, row: usize) -> bool {
        self.values.rows.weight(row) != 0.0
    }

    /// The factor of the slopes of a row; 0 if it does not count.
    #[inline(always)]
    pub(crate) fn factor(&self, row: usize) -> f64 {
        if self.counts(row) { self.scale * self.values.rows.weight(row) } else { 0.0 }
    }
}
