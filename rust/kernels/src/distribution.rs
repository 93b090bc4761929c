//! Whole distributions: entropy, divergence, and cross entropy with a distribution as target.
//!
//! With x_m the largest logit of a row and e_c = e^{x_c − x_m}, so that e_m = 1 and r = Σ_{c≠m} e_c,
//!
//! ```text
//! log p_m = −log(1 + r)
//! entropy        −Σ p·log p  =  log(1 + r)      + Σ e_c·(x_m − x_c) / (1 + r)
//! cross entropy  −Σ y·log p  =  log(1 + r)·Σ y  + Σ y_c·(x_m − x_c)
//! divergence     Σ p·(e^d − 1 − d) = Σ e_c·(e^d − 1 − d) / (1 + r),   d = log q − log p
//! ```
//!
//! All terms are positive, so nothing cancels. A row is read twice (the largest logit first), both of a
//! divergence three times; the second time it is in L2. Terms of f32 are within 2 ulp in a cross entropy
//! only: the others are computed in f64.

use crate::Error;
use crate::drive;
use crate::formula::{divergence_term, exp_bend, ratio};
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::softmax::{BLOCK, NONE, Reference, add_values, most, write_terms};
use nll_simd::math::log1p;
use nll_simd::{Isa, LANES, Real, Total, two_sum_error};
use std::marker::PhantomData;
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

/// The quantity of every row, computed in `F`, into `out` and in total.
pub fn each<F: Real>(run: Run<'_>, of: &Distributions<'_>, out: Out<'_>) -> Result<Totals, Error> {
    let per = drive::rows_per_task(of.rows, of.classes, 1);
    let ranges: Vec<_> = drive::ranges(of.rows, per).collect();
    let outs = out.split(ranges.len(), per);
    let tasks = ranges.into_iter().zip(outs).collect();
    let work = |(range, out): (Range<usize>, Out<'_>)| {
        let real = PhantomData::<F>;
        run.level.run(Task { of, range, out, real })
    };
    drive::run(run.par, tasks, work, Totals::merge)
}

struct Task<'t, 'a, F> {
    of: &'t Distributions<'a>,
    range: Range<usize>,
    out: Out<'t>,
    real: PhantomData<F>,
}

impl<F: Real> nll_simd::Kernel for Task<'_, '_, F> {
    type Output = Totals;

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) -> Totals {
        let mut totals = Totals::default();
        let mut rooms = Rooms::<F>::default();
        for row in self.range.clone() {
            let classes = row * self.of.classes..(row + 1) * self.of.classes;
            let value = self.of.value(isa, classes, &mut rooms);
            totals.sum.add(value);
            totals.rows += 1;
            self.out.put(row - self.range.start, &[value]);
        }
        totals
    }
}

/// Room for a block of each array, and of what is made of them.
struct Rooms<F> {
    first: Room<F>,
    second: Room<F>,
    terms: Box<Block<F>>,
    targets: Box<Block<F>>,
    products: Box<Block<F>>,
}

type Block<F> = [F; BLOCK];

impl<F: Real> Default for Rooms<F> {
    fn default() -> Self {
        let [terms, targets, products] = [(); 3].map(|()| Box::new([F::ZERO; BLOCK]));
        Rooms { first: Room::default(), second: Room::default(), terms, targets, products }
    }
}

/// The blocks of a row.
pub(crate) fn blocks(row: &Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = row.end;
    row.clone().step_by(BLOCK).map(move |start| start..(start + BLOCK).min(end))
}

/// The largest logit of a row, and Σ e_c over the others.
#[derive(Clone, Copy)]
pub(crate) struct Top<F> {
    pub(crate) x: F,
    /// Where it stands first.
    at: usize,
    reference: Reference<F>,
    pub(crate) rest: f64,
}

impl<F: Real> Top<F> {
    /// The largest logit; `rest` is still to be added.
    #[inline(always)]
    fn find<S: Isa>(isa: S, input: &Input<'_>, row: &Range<usize>, room: &mut Room<F>) -> Self {
        let (mut x, mut at) = (F::NEG_INFINITY, NONE);
        for block in blocks(row) {
            let values = input.read(isa, block.clone(), room);
            let largest = most(values);
            if largest > x || at == NONE {
                x = largest;
                at = position(values, largest).map_or(NONE, |i| block.start + i);
            }
        }
        Top { x, at, reference: Reference::at(x), rest: f64::NAN }
    }

    /// The largest logit, and the others.
    #[inline(always)]
    pub(crate) fn of<S: Isa>(
        isa: S,
        input: &Input<'_>,
        row: &Range<usize>,
        room: &mut Room<F>,
        terms: &mut Block<F>,
    ) -> Self {
        let mut top = Top::find(isa, input, row, room);
        let mut rest = Total::ZERO;
        for block in blocks(row) {
            let x = input.read(isa, block.clone(), room);
            top.write_others(isa, block.start, x, terms);
            rest = add_values(rest, terms, x.len());
        }
        top.rest = top.ratio(isa, rest);
        top
    }

    /// −log p of the largest.
    #[inline(always)]
    pub(crate) fn loss<S: Isa>(&self, isa: S) -> f64 {
        log1p(isa, self.rest)
    }

    /// The terms of a block; that of the largest as 0.
    #[inline(always)]
    fn write_others<S: Isa>(&self, isa: S, start: usize, x: &[F], terms: &mut Block<F>) {
        write_terms(isa, self.reference, x, &mut terms[..x.len()]);
        if let Some(term) = terms[..x.len()].get_mut(self.at.wrapping_sub(start)) {
            *term = F::ZERO;
        }
    }

    /// A sum of terms in units of the largest.
    #[inline(always)]
    fn ratio<S: Isa>(&self, isa: S, sum: Total) -> f64 {
        ratio(isa, self.reference.scaled(self.x, sum.value::<F>()), self.x.to_f64())
    }
}

/// Where `x` stands first: a search with an early end would be done one by one.
#[inline(always)]
fn position<F: Real>(values: &[F], x: F) -> Option<usize> {
    let chunks = values.chunks(LANES).zip((0..).step_by(LANES));
    let holds = |chunk: &[F]| chunk.iter().fold(0, |count, &v| count + u32::from(v == x)) > 0;
    let (chunk, start) = chunks.into_iter().find(|(chunk, _)| holds(chunk))?;
    Some(start + chunk.iter().position(|&v| v == x)?)
}

/// `factors`·(top − x), 0 where the factor is 0: x may be −∞ there.
#[inline(always)]
fn times_below<F: Real>(top: F, factors: &Block<F>, x: &[F], products: &mut Block<F>) {
    for ((product, &factor), &x) in products.iter_mut().zip(factors).zip(x) {
        *product = if factor == F::ZERO { F::ZERO } else { factor * (top - x) };
    }
}

impl Distributions<'_> {
    #[inline(always)]
    fn value<S: Isa, F: Real>(&self, isa: S, row: Range<usize>, rooms: &mut Rooms<F>) -> f64 {
        match (self.quantity, &self.second) {
            (Quantity::Entropy, _) => self.entropy(isa, &row, rooms),
            (Quantity::CrossEntropy, Some(y)) => self.cross_entropy(isa, y, &row, rooms),
            (Quantity::Divergence, Some(q)) => self.divergence(isa, q, &row, rooms),
            _ => f64::NAN,
        }
    }

    #[inline(always)]
    fn entropy<S: Isa, F: Real>(&self, isa: S, row: &Range<usize>, rooms: &mut Rooms<F>) -> f64 {
        let Rooms { first, terms, products, .. } = rooms;
        let mut top = Top::find(isa, &self.logits, row, first);
        let (mut rest, mut below) = (Total::ZERO, Total::ZERO);
        for block in blocks(row) {
            let x = self.logits.read(isa, block.clone(), first);
            top.write_others(isa, block.start, x, terms);
            times_below(top.x, terms, x, products);
            rest = add_values(rest, terms, x.len());
            below = add_values(below, products, x.len());
        }
        top.rest = top.ratio(isa, rest);
        top.loss(isa) + top.ratio(isa, below) / (1.0 + top.rest)
    }

    #[inline(always)]
    fn cross_entropy<S: Isa, F: Real>(
        &self,
        isa: S,
        second: &Input<'_>,
        row: &Range<usize>,
        rooms: &mut Rooms<F>,
    ) -> f64 {
        let Rooms { first, second: room, terms, targets, products } = rooms;
        let mut top = Top::find(isa, &self.logits, row, first);
        let (mut rest, mut below, mut sum) = (Total::ZERO, Total::ZERO, Total::ZERO);
        for block in blocks(row) {
            let x = self.logits.read(isa, block.clone(), first);
            let y = second.read(isa, block.clone(), room);
            top.write_others(isa, block.start, x, terms);
            self.write_targets(block.start - row.start, &y[..x.len()], targets);
            times_below(top.x, targets, x, products);
            rest = add_values(rest, terms, x.len());
            sum = add_values(sum, targets, x.len());
            below = add_values(below, products, x.len());
        }
        top.rest = top.ratio(isa, rest);
        sum.value::<F>() * top.loss(isa) + below.value::<F>()
    }

    /// w_c·((1 − ε)·y_c + ε/C)
    #[inline(always)]
    fn write_targets<F: Real>(&self, first: usize, y: &[F], targets: &mut Block<F>) {
        let targets = &mut targets[..y.len()];
        if self.smoothing == 0.0 {
            targets.copy_from_slice(y);
        } else {
            let (keep, even) = (1.0 - self.smoothing, self.smoothing / self.classes as f64);
            for (target, &y) in targets.iter_mut().zip(y) {
                *target = F::from_f64(keep * y.to_f64() + even);
            }
        }
        if let Some(weight) = self.weight {
            for (target, &w) in targets.iter_mut().zip(&weight[first..]) {
                *target = F::from_f64(target.to_f64() * w);
            }
        }
    }

    #[inline(always)]
    fn divergence<S: Isa, F: Real>(
        &self,
        isa: S,
        second: &Input<'_>,
        row: &Range<usize>,
        rooms: &mut Rooms<F>,
    ) -> f64 {
        let Rooms { first, second: room, terms, products, .. } = rooms;
        let p = Top::of(isa, &self.logits, row, first, terms);
        let q = Top::of(isa, second, row, room, terms);
        let shift = Shift::between(isa, &p, &q);
        let (mut total, mut apart) = (Total::ZERO, 0.0);
        for block in blocks(row) {
            let x = self.logits.read(isa, block.clone(), first);
            let y = &second.read(isa, block.clone(), room)[..x.len()];
            write_terms(isa, p.reference, x, &mut terms[..x.len()]);
            let mut far = 0;
            for (((product, &term), &x), &y) in products.iter_mut().zip(&**terms).zip(x).zip(y) {
                let d = shift.difference(x, y);
                let near = shift.is_near(d);
                far += u32::from(!near);
                let bend = exp_bend(isa, if near { d } else { F::ZERO });
                *product = if term == F::ZERO { F::ZERO } else { term * bend };
            }
            total = add_values(total, products, x.len());
            if far > 0 {
                apart += apart_terms(isa, (&p, x), (&q, y), &shift);
            }
        }
        p.ratio(isa, total) / (1.0 + p.rest) + apart
    }
}

/// Where d = log q − log p is larger, p·(e^d − 1 − d) is q but for 1e-11 of it, and e^d may overflow.
const FAR: f64 = 30.0;

/// lse(y) − lse(x), in two words.
struct Shift<F> {
    high: F,
    low: F,
}

impl<F: Real> Shift<F> {
    #[inline(always)]
    fn between<S: Isa>(isa: S, p: &Top<F>, q: &Top<F>) -> Self {
        let (top, rest) = (q.x.to_f64() - p.x.to_f64(), q.loss(isa) - p.loss(isa));
        let lost = two_sum_error(q.x.to_f64(), -p.x.to_f64(), top);
        let shift = top + rest;
        let high = F::from_f64(shift);
        let low = (shift - high.to_f64()) + (two_sum_error(top, rest, shift) + lost);
        Shift { high, low: F::from_f64(low) }
    }

    /// log q − log p of one class, from its logits x and y: their difference without its rounding error, as
    /// little may be left of it.
    #[inline(always)]
    fn difference(&self, x: F, y: F) -> F {
        let d = y - x;
        (d - self.high) + (two_sum_error(y, -x, d) - self.low)
    }

    /// Whether d may be computed with in the loop: not NaN, and not [`FAR`].
    #[inline(always)]
    fn is_near(&self, d: F) -> bool {
        d <= F::from_f64(FAR)
    }
}

/// The terms that are left out of the loop, one by one: those that are far apart, and those of −∞.
#[inline(never)]
fn apart_terms<S: Isa, F: Real>(
    isa: S,
    (p, x): (&Top<F>, &[F]),
    (q, y): (&Top<F>, &[F]),
    shift: &Shift<F>,
) -> f64 {
    let log = |top: &Top<F>, x: F| (x.to_f64() - top.x.to_f64()) - top.loss(isa);
    let pairs = x.iter().zip(y).map(|(&x, &y)| (x, y));
    let far = pairs.filter(|&(x, y)| !shift.is_near(shift.difference(x, y)));
    far.map(|(x, y)| divergence_term(isa, log(p, x), log(q, y))).sum()
}
