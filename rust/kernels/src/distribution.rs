//! Whole distributions: entropy, divergence, and cross entropy with a distribution as target.
//!
//! With x_m the largest logit of a row and e_c = e^{x_c − x_m}, so that e_m = 1 and r = Σ_{c≠m} e_c,
//!
//! ```text
//! log p_m = −log(1 + r)
//! entropy        −Σ p·log p  =  log(1 + r)      + Σ e_c·(x_m − x_c) / (1 + r)
//! cross entropy  −Σ y·log p  =  log(1 + r)·Σ y  + Σ y_c·(x_m − x_c)
//! ```
//!
//! All terms are positive, so nothing cancels. In the divergence, with *any* multiple q̃ of q, d = log q̃ − log p
//! and u = Σ (q̃ − p),
//!
//! ```text
//! divergence     Σ p·(log p − log q)  =  Σ (q̃ − p − p·d)  −  (u − log(1 + u))
//! ```
//!
//! again of positive terms, and a correction of second order: how well q̃ adds up to 1 does not matter.
//!
//! A row is read twice (the largest logit first), both of a divergence three times; the second time it is in
//! L2. In float32 (and from halves) exponentials and their products are f32, sums and a divergence f64.

use crate::Error;
use crate::drive;
use crate::formula::{divergence_parts, finite, term};
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::softmax::BLOCK;
use crate::terms::{Largest, Reference, quarters, write_terms};
use nll_simd::math::log1p;
use nll_simd::{EIGHT, Isa, LANES, Real, Total, two_sum_error};
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
    let tasks = drive::ranges(of.rows, per).zip(out.pieces(per));
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
    terms: Vec<F>,
    second_terms: Vec<F>,
    bends: Vec<f64>,
    rises: Vec<f64>,
}

impl<F: Real> Default for Rooms<F> {
    fn default() -> Self {
        let [terms, second_terms] = [(); 2].map(|()| vec![F::ZERO; BLOCK]);
        let [bends, rises] = [(); 2].map(|()| vec![0.0; PIECE]);
        let (first, second) = (Room::default(), Room::default());
        Rooms { first, second, terms, second_terms, bends, rises }
    }
}

/// Blocks of `size` classes of a row.
pub(crate) fn blocks(
    row: &Range<usize>,
    size: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = row.end;
    row.clone().step_by(size).map(move |start| start..(start + size).min(end))
}

/// Adds the first `length` values of a buffer, whose others up to a whole chunk become 0. f32 is added four at a
/// time, as a sweep does; f64 with a second word where the logits (`F`) are f64 too.
///
/// Called, not inlined: beside its caller's last steps, which go by halves, LLVM added two lanes at a time.
#[inline(never)]
fn add<S: Isa, F: Real, V: Real>(isa: S, total: &mut Total, buffer: &mut [V], length: usize) {
    let whole = length.next_multiple_of(LANES);
    buffer[length..whole].fill(V::ZERO);
    isa.vectorize(
        #[inline(always)]
        || {
            let mut sum = *total;
            if V::COMPENSATED {
                for &eight in buffer[..whole].as_chunks::<EIGHT>().0 {
                    sum = sum.plus_wide::<F>(V::widen(eight));
                }
            } else {
                for chunk in buffer[..whole].as_chunks::<LANES>().0 {
                    sum = sum.plus(quarters(chunk));
                }
            }
            *total = sum;
        },
    );
}

/// `factor`·(top − x), 0 where the factor is 0: x may be −∞ there. Where nothing is wider than the logits, what
/// rounding takes from the difference is put back.
#[inline(always)]
fn times_below<F: Real>(factor: F, top: F, x: F) -> F {
    let below = top - x;
    let lost = if F::COMPENSATED { finite(two_sum_error(top, -x, below)) } else { F::ZERO };
    if factor == F::ZERO { F::ZERO } else { factor * below + factor * lost }
}

/// The largest logit of a row, and what sums of terms are counted in.
#[derive(Clone, Copy)]
pub(crate) struct Top<F> {
    pub(crate) x: F,
    /// Where it stands first.
    at: usize,
    reference: Reference<F>,
    /// Its term.
    pub(crate) term: f64,
}

impl<F: Real> Top<F> {
    #[inline(always)]
    fn find<S: Isa>(isa: S, input: &Input<'_>, row: &Range<usize>, room: &mut Room<F>) -> Self {
        let mut largest = Largest::none();
        for block in blocks(row, BLOCK) {
            largest.push(block.start, input.read(isa, block, room));
        }
        let Largest { x, at } = largest;
        let reference = Reference::below(x);
        Top { x, at, reference, term: term(isa, reference.unit(), x.to_f64()) }
    }

    /// The largest logit, the sum of the others' terms, and the terms of the whole row into `terms`, which grows
    /// to hold them.
    #[inline(always)]
    pub(crate) fn with_terms<S: Isa>(
        isa: S,
        input: &Input<'_>,
        row: &Range<usize>,
        (room, terms): (&mut Room<F>, &mut Vec<F>),
    ) -> (Self, f64) {
        let top = Top::find(isa, input, row, room);
        let mut rest = Total::ZERO;
        terms.resize(terms.len().max(row.len().next_multiple_of(LANES)), F::ZERO);
        for block in blocks(row, BLOCK) {
            let x = input.read(isa, block.clone(), room);
            let terms = &mut terms[block.start - row.start..];
            top.write_others(isa, block.start, x, &mut terms[..x.len()]);
            add::<S, F, _>(isa, &mut rest, terms, x.len());
        }
        if let Some(term) = terms.get_mut(top.at.wrapping_sub(row.start)) {
            *term = F::from_f64(top.term);
        }
        (top, rest.value::<F>())
    }

    /// The terms of a block; that of the largest as 0.
    #[inline(always)]
    fn write_others<S: Isa>(&self, isa: S, start: usize, x: &[F], terms: &mut [F]) {
        write_terms::<S, F, true>(isa, self.reference, x, terms);
        if let Some(term) = terms.get_mut(self.at.wrapping_sub(start)) {
            *term = F::ZERO;
        }
    }

    /// −log p of the largest.
    #[inline(always)]
    pub(crate) fn loss<S: Isa>(&self, isa: S, rest: f64) -> f64 {
        log1p(isa, rest / self.term)
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
        let Rooms { first, terms, .. } = rooms;
        let top = Top::find(isa, &self.logits, row, first);
        let (mut rest, mut below) = (Total::ZERO, Total::ZERO);
        for block in blocks(row, BLOCK) {
            let x = self.logits.read(isa, block.clone(), first);
            top.write_others(isa, block.start, x, &mut terms[..x.len()]);
            add::<S, F, _>(isa, &mut rest, terms, x.len());
            for (term, &x) in terms.iter_mut().zip(x) {
                *term = times_below(*term, top.x, x);
            }
            add::<S, F, _>(isa, &mut below, terms, x.len());
        }
        let rest = rest.value::<F>();
        top.loss(isa, rest) + below.value::<F>() / (top.term + rest)
    }

    #[inline(always)]
    fn cross_entropy<S: Isa, F: Real>(
        &self,
        isa: S,
        second: &Input<'_>,
        row: &Range<usize>,
        rooms: &mut Rooms<F>,
    ) -> f64 {
        let Rooms { first, second: room, terms, second_terms: targets, .. } = rooms;
        let top = Top::find(isa, &self.logits, row, first);
        let (mut rest, mut below, mut sum) = (Total::ZERO, Total::ZERO, Total::ZERO);
        for block in blocks(row, BLOCK) {
            let x = self.logits.read(isa, block.clone(), first);
            let y = &second.read(isa, block.clone(), room)[..x.len()];
            top.write_others(isa, block.start, x, &mut terms[..x.len()]);
            add::<S, F, _>(isa, &mut rest, terms, x.len());
            self.write_targets(block.start - row.start, y, targets);
            add::<S, F, _>(isa, &mut sum, targets, x.len());
            for (target, &x) in targets.iter_mut().zip(x) {
                *target = times_below(*target, top.x, x);
            }
            add::<S, F, _>(isa, &mut below, targets, x.len());
        }
        sum.value::<F>() * top.loss(isa, rest.value::<F>()) + below.value::<F>()
    }

    /// w_c·((1 − ε)·y_c + ε/C)
    #[inline(always)]
    fn write_targets<F: Real>(&self, first: usize, y: &[F], targets: &mut [F]) {
        if self.smoothing == 0.0 && self.weight.is_none() {
            return targets[..y.len()].copy_from_slice(y);
        }
        let (sharp, even) = (1.0 - self.smoothing, self.smoothing / self.classes as f64);
        for (i, (target, &y)) in targets.iter_mut().zip(y).enumerate() {
            let w = self.weight.map_or(1.0, |w| w[first + i]);
            *target = F::from_f64(w * (sharp * y.to_f64() + even));
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
        let Rooms { first, second: room, terms, second_terms, bends, rises } = rooms;
        let (p, p_rest) = Top::with_terms(isa, &self.logits, row, (first, terms));
        let (q, q_rest) = Top::with_terms(isa, second, row, (room, second_terms));
        let [p_unit, q_unit] = [1.0 / (p.term + p_rest), 1.0 / (q.term + q_rest)];
        // lse(y) − lse(x) in steps: all digits of the largest class's own d are in the second.
        let (x_m, y_m) = (p.x.to_f64(), q.x.to_f64());
        let shift = y_m - x_m;
        let second_shift =
            (q.loss(isa, q_rest) - p.loss(isa, p_rest)) + two_sum_error(y_m, -x_m, shift);
        let (mut bend, mut rise) = (Total::ZERO, Total::ZERO);
        for block in blocks(row, PIECE) {
            let x = self.logits.read(isa, block.clone(), first);
            let y = &second.read(isa, block.clone(), room)[..x.len()];
            let [p, q] = [&terms, &second_terms].map(|t| &t[block.start - row.start..][..x.len()]);
            let (bend_of, rise_of) = (&mut bends[..x.len()], &mut rises[..x.len()]);
            for i in 0..x.len() {
                let (x, y) = (x[i].to_f64(), y[i].to_f64());
                let d = y - x;
                // Nothing is lost where they were f32.
                let lost = if F::COMPENSATED { finite(two_sum_error(y, -x, d)) } else { 0.0 };
                let d = (d - shift) + (lost - second_shift);
                let (p, q) = (p[i].to_f64() * p_unit, q[i].to_f64() * q_unit);
                [bend_of[i], rise_of[i]] = divergence_parts::<S, F>(isa, p, q, d);
            }
            add::<S, F, _>(isa, &mut bend, bends, x.len());
            add::<S, F, _>(isa, &mut rise, rises, x.len());
        }
        let u = rise.value::<F>();
        let value = bend.value::<F>() - (u - log1p(isa, u));
        if value < 0.0 { 0.0 } else { value }
    }
}

/// Classes in a piece of a divergence: its terms and parts lie in L1.
const PIECE: usize = 512;
