//! Whole distributions: entropy, divergence, and cross entropy with a distribution as target.
//!
//! Rows are read a block at a time into f64, whatever their dtype, and several times: once for the largest
//! logit x_m, once for the loss of class m against the rest, once for the terms. With those two,
//! log p_c = (x_c − x_m) − loss_m keeps the digits of the likely class.

use crate::drive;
use crate::formula::{divergence_term, target_against_rest};
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::softmax::{BLOCK, LogSum, NONE, Scratch, most};
use crate::{Error, formula};
use nll_simd::{EIGHT, Isa, Total};
use std::ops::Range;

/// What is made of a row of logits x, p = softmax(x), and of a second array beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// −Σ p·log p
    Entropy,
    /// −Σ y·log p, y the second array.
    CrossEntropy,
    /// Σ p·(log p − log q), q the softmax of the second array.
    Divergence,
}

/// Rows of logits, and the second array where there is one.
pub struct Distributions<'a> {
    /// The logits.
    pub logits: Input<'a>,
    /// The second array.
    pub second: Option<Input<'a>>,
    /// How many rows.
    pub rows: usize,
    /// How many classes.
    pub classes: usize,
    /// What is made of them.
    pub quantity: Quantity,
    /// The weight of each class, in the cross entropy.
    pub weight: Option<&'a [f64]>,
    /// ε: y becomes (1 − ε)·y + ε/C, in the cross entropy.
    pub smoothing: f64,
}

impl Distributions<'_> {
    /// w_c·((1 − ε)·y + ε/C)
    #[inline(always)]
    fn target(&self, class: usize, y: f64) -> f64 {
        let w = self.weight.map_or(1.0, |w| w[class]);
        w * ((1.0 - self.smoothing) * y + self.smoothing / self.classes as f64)
    }
}

/// The quantity of every row, into `out` and in total.
pub fn each(run: Run<'_>, of: &Distributions<'_>, out: Out<'_>) -> Result<Totals, Error> {
    let per = drive::rows_per_task(of.rows, of.classes, 1);
    let ranges: Vec<_> = drive::ranges(of.rows, per).collect();
    let outs = out.split(ranges.len(), per);
    let tasks = ranges.into_iter().zip(outs).collect();
    let work = |(range, out): (Range<usize>, Out<'_>)| run.level.run(Task { of, range, out });
    drive::run(run.par, tasks, work, Totals::merge)
}

struct Task<'t, 'a> {
    of: &'t Distributions<'a>,
    range: Range<usize>,
    out: Out<'t>,
}

/// What log softmax is taken from.
#[derive(Clone, Copy)]
pub(crate) struct Top {
    /// The largest logit.
    pub(crate) x: f64,
    /// Its loss against the rest.
    pub(crate) loss: f64,
}

/// Finds the [`Top`] of a row.
#[inline(always)]
pub(crate) fn top<S: Isa>(
    isa: S,
    input: &Input<'_>,
    row: Range<usize>,
    room: &mut Room<f64>,
) -> Top {
    let blocks = || row.clone().step_by(BLOCK).map(|start| start..(start + BLOCK).min(row.end));
    let (mut x, mut at) = (f64::NEG_INFINITY, NONE);
    for block in blocks() {
        let values = input.read(isa, block.clone(), room);
        let largest = most(values);
        if largest > x || at == NONE {
            x = largest;
            at = values.iter().position(|&v| v == largest).map_or(NONE, |i| block.start + i);
        }
    }
    let (mut sum, mut scratch) = (LogSum::empty(), Scratch::new(row.len()));
    for block in blocks() {
        let values = input.read(isa, block.clone(), room);
        let skip = at.wrapping_sub(block.start);
        sum.push::<S, f64>(isa, (values, values.len()), skip, &mut scratch);
    }
    Top { x, loss: target_against_rest(isa, sum.scaled(), x) }
}

impl nll_simd::Kernel for Task<'_, '_> {
    type Output = Totals;

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) -> Totals {
        let mut totals = Totals::default();
        let mut rooms = [Room::default(), Room::default()];
        for row in self.range.clone() {
            let value = row_value(isa, self.of, row, &mut rooms);
            totals.sum.add(value);
            totals.rows += 1;
            self.out.put(row - self.range.start, &[value]);
        }
        totals
    }
}

#[inline(always)]
fn row_value<S: Isa>(
    isa: S,
    of: &Distributions<'_>,
    row: usize,
    [room, second_room]: &mut [Room<f64>; 2],
) -> f64 {
    let classes = row * of.classes..(row + 1) * of.classes;
    let p = top(isa, &of.logits, classes.clone(), room);
    let q = match (&of.second, of.quantity) {
        (Some(second), Quantity::Divergence) => top(isa, second, classes.clone(), second_room),
        _ => p,
    };
    let mut total = Total::ZERO;
    let mut plain = 0.0;
    for start in classes.clone().step_by(BLOCK) {
        let block = start..(start + BLOCK).min(classes.end);
        let x = of.logits.read(isa, block.clone(), room);
        let y = match &of.second {
            Some(second) => second.read(isa, block, second_room),
            None => x,
        };
        for (i, (x, y)) in x.chunks(EIGHT).zip(y.chunks(EIGHT)).enumerate() {
            let first = start - classes.start + i * EIGHT;
            let mut terms = [0.0; EIGHT];
            for (c, ((term, &x), &y)) in (first..).zip(terms.iter_mut().zip(x).zip(y)) {
                let log_p = (x - p.x) - p.loss;
                let y = if of.quantity == Quantity::CrossEntropy { of.target(c, y) } else { y };
                *term = match of.quantity {
                    Quantity::Entropy => formula::entropy_term(isa, log_p),
                    Quantity::CrossEntropy => formula::cross_term(y, log_p),
                    Quantity::Divergence => divergence_term(isa, log_p, (y - q.x) - q.loss),
                };
            }
            plain += terms.iter().sum::<f64>();
            total = total.plus(terms);
        }
    }
    // An infinite sum spoils its own compensation.
    let value = total.value::<f64>();
    if plain.is_finite() { value } else { plain }
}
