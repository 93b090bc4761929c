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
//! L2. Exponentials are taken in the type of the logits (halves in f32), the rest is f64.

use crate::Error;
use crate::drive;
use crate::formula::{divergence_parts, finite, term};
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::softmax::{BLOCK, NONE, Reference, most, quarters, write_terms};
use nll_simd::math::log1p;
use nll_simd::{EIGHT, Isa, LANES, Real, Total, two_sum_error, zip};
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

/// N classes; `fill` follows the last ones.
#[inline(always)]
fn some<F: Real, const N: usize>(values: &[F], at: usize, fill: F) -> [F; N] {
    let rest = &values[at..];
    rest.first_chunk().copied().unwrap_or_else(|| {
        let mut padded = [fill; N];
        padded[..rest.len()].copy_from_slice(rest);
        padded
    })
}

/// Eight classes, in f64.
#[inline(always)]
fn eight<F: Real>(values: &[F], at: usize, fill: F) -> [f64; EIGHT] {
    F::widen(some(values, at, fill))
}

/// `factor`·(top − x), 0 where the factor is 0: x may be −∞ there. Where nothing is wider than the logits
/// (`lossy`), what rounding takes from the difference is put back.
#[inline(always)]
fn times_below<F: Real, const N: usize>(
    factor: [F; N],
    (top, lossy): (F, bool),
    x: [F; N],
) -> [F; N] {
    zip(factor, x, |factor, x| {
        let below = top - x;
        let lost = if lossy { finite(two_sum_error(top, -x, below)) } else { F::ZERO };
        if factor == F::ZERO { F::ZERO } else { factor * below + factor * lost }
    })
}

/// The largest logit of a row, and what sums of terms are counted in.
#[derive(Clone, Copy)]
pub(crate) struct Top<F> {
    pub(crate) x: F,
    /// Where it stands first.
    at: usize,
    reference: Reference<F>,
    /// Its term.
    term: f64,
}

impl<F: Real> Top<F> {
    /// The largest logit, −log p of it, and what makes probabilities of the terms.
    #[inline(always)]
    pub(crate) fn with_loss<S: Isa>(
        isa: S,
        input: &Input<'_>,
        row: &Range<usize>,
        (room, terms): (&mut Room<F>, &mut [F]),
    ) -> (Self, [f64; 2]) {
        let top = Top::find(isa, input, row, room);
        let rest = top.rest(isa, input, row, (room, terms));
        (top, [top.loss(isa, rest), 1.0 / (top.term + rest)])
    }

    /// The terms of a block.
    #[inline(always)]
    pub(crate) fn write_terms<S: Isa>(&self, isa: S, x: &[F], terms: &mut [F]) {
        write_terms::<S, F, true>(isa, self.reference, x, terms);
    }

    #[inline(always)]
    fn find<S: Isa>(isa: S, input: &Input<'_>, row: &Range<usize>, room: &mut Room<F>) -> Self {
        let (mut x, mut at) = (F::NEG_INFINITY, NONE);
        for block in blocks(row, BLOCK) {
            let values = input.read(isa, block.clone(), room);
            let largest = most(values);
            if largest > x || at == NONE {
                x = largest;
                at = position(values, largest).map_or(NONE, |i| block.start + i);
            }
        }
        let reference = Reference::at(x);
        Top { x, at, reference, term: term(isa, reference.unit(), x.to_f64()) }
    }

    /// The terms of a block; that of the largest as 0.
    #[inline(always)]
    fn write_others<S: Isa>(&self, isa: S, start: usize, x: &[F], terms: &mut [F]) {
        self.write_terms(isa, x, terms);
        if let Some(term) = terms.get_mut(self.at.wrapping_sub(start)) {
            *term = F::ZERO;
        }
    }

    /// Σ of the terms but for its own.
    #[inline(always)]
    fn rest<S: Isa>(
        &self,
        isa: S,
        input: &Input<'_>,
        row: &Range<usize>,
        (room, terms): (&mut Room<F>, &mut [F]),
    ) -> f64 {
        let mut rest = Total::ZERO;
        for block in blocks(row, BLOCK) {
            let x = input.read(isa, block.clone(), room);
            let terms = &mut terms[..x.len()];
            self.write_others(isa, block.start, x, terms);
            for i in (0..terms.len()).step_by(EIGHT) {
                rest = rest.plus_wide::<F>(eight(terms, i, F::ZERO));
            }
        }
        rest.value::<F>()
    }

    /// −log p of the largest.
    #[inline(always)]
    fn loss<S: Isa>(&self, isa: S, rest: f64) -> f64 {
        log1p(isa, rest / self.term)
    }
}

/// Where `x` stands first: a search with an early end would be done one by one.
#[inline(always)]
fn position<F: Real>(values: &[F], x: F) -> Option<usize> {
    let mut chunks = values.chunks(LANES).zip((0..).step_by(LANES));
    let holds = |chunk: &[F]| chunk.iter().fold(0, |count, &v| count + u32::from(v == x)) > 0;
    let (chunk, start) = chunks.find(|(chunk, _)| holds(chunk))?;
    Some(start + chunk.iter().position(|&v| v == x)?)
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
        let (mut rest, mut below, x_m) = (Total::ZERO, Total::ZERO, top.x.to_f64());
        for block in blocks(row, BLOCK) {
            let x = self.logits.read(isa, block.clone(), first);
            let terms = &mut terms[..x.len()];
            top.write_others(isa, block.start, x, terms);
            for i in (0..x.len()).step_by(EIGHT) {
                let terms = eight(terms, i, F::ZERO);
                rest = rest.plus_wide::<F>(terms);
                below = below.plus_wide::<F>(times_below(
                    terms,
                    (x_m, F::COMPENSATED),
                    eight(x, i, top.x),
                ));
            }
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
        let Rooms { first, second: room, terms, .. } = rooms;
        let top = Top::find(isa, &self.logits, row, first);
        let (mut rest, mut below, mut sum) = (Total::ZERO, Total::ZERO, Total::ZERO);
        for block in blocks(row, BLOCK) {
            let x = self.logits.read(isa, block.clone(), first);
            let y = &second.read(isa, block.clone(), room)[..x.len()];
            let terms = &mut terms[..x.len()];
            top.write_others(isa, block.start, x, terms);
            for i in (0..x.len()).step_by(LANES) {
                rest = rest.plus(quarters(&some(terms, i, F::ZERO)));
                let y = self.targets(block.start - row.start + i, some(y, i, F::ZERO));
                sum = sum.plus(quarters(&y));
                below = below.plus(quarters(&times_below(
                    y,
                    (top.x, F::COMPENSATED),
                    some(x, i, top.x),
                )));
            }
        }
        sum.value::<F>() * top.loss(isa, rest.value::<F>()) + below.value::<F>()
    }

    /// w_c·((1 − ε)·y_c + ε/C), 0 after the last class.
    #[inline(always)]
    fn targets<F: Real>(&self, first: usize, mut y: [F; LANES]) -> [F; LANES] {
        if self.smoothing == 0.0 && self.weight.is_none() {
            return y;
        }
        let even = self.smoothing / self.classes as f64;
        for (y, class) in y.iter_mut().zip(first..self.classes) {
            let w = self.weight.map_or(1.0, |w| w[class]);
            *y = F::from_f64(w * ((1.0 - self.smoothing) * y.to_f64() + even));
        }
        y
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
        let p = Top::find(isa, &self.logits, row, first);
        let q = Top::find(isa, second, row, room);
        let p_rest = p.rest(isa, &self.logits, row, (first, terms));
        let q_rest = q.rest(isa, second, row, (room, second_terms));
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
            let (terms, second_terms) = (&mut terms[..x.len()], &mut second_terms[..x.len()]);
            p.write_terms(isa, x, terms);
            q.write_terms(isa, y, second_terms);
            let (bends, rises) = (&mut bends[..x.len()], &mut rises[..x.len()]);
            for i in 0..x.len() {
                let (x, y) = (x[i].to_f64(), y[i].to_f64());
                let d = y - x;
                // Nothing is lost where they were f32.
                let lost = if F::COMPENSATED { finite(two_sum_error(y, -x, d)) } else { 0.0 };
                let d = (d - shift) + (lost - second_shift);
                let (p, q) = (terms[i].to_f64() * p_unit, second_terms[i].to_f64() * q_unit);
                [bends[i], rises[i]] = divergence_parts(isa, p, q, d);
            }
            for i in (0..x.len()).step_by(EIGHT) {
                bend = bend.plus_wide::<F>(some(bends, i, 0.0));
                rise = rise.plus_wide::<F>(some(rises, i, 0.0));
            }
        }
        let u = rise.value::<F>();
        let value = bend.value::<F>() - (u - log1p(isa, u));
        if value < 0.0 { 0.0 } else { value }
    }
}

/// Classes in a piece of a divergence: its terms and parts lie in L1.
const PIECE: usize = 512;
