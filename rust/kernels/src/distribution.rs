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
//! All terms are positive, so nothing cancels; for the divergence see [`crate::divergence`]. A row is read twice (the
//! largest logit first), the second time from L2. In float32 (and from halves) exponentials and their products are
//! f32, sums f64; in float64 products and sums keep what rounding takes from them.

use crate::Error;
use crate::divergence::divergence;
use crate::drive;
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::Totals;
use crate::softmax::BLOCK;
use crate::terms::{ArgMax, SumScale, quarters, write_terms};
use nll_simd::{Aligned, Buffer, CHUNK_LANES, Extended, Isa, LaneSum, Real, SUM_LANES};
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
            self.out.write(&[value], None);
        }
        totals
    }
}

/// Room for a block of each array, and of what is made of them.
struct Rooms<F> {
    first: Room<F>,
    second: Room<F>,
    terms: Buffer<F>,
    second_terms: Buffer<F>,
    parts: Parts,
    rises: Aligned<[f64; PIECE]>,
}

impl<F: Real> Default for Rooms<F> {
    fn default() -> Self {
        let (first, second) = (Room::default(), Room::default());
        let [terms, second_terms] = [(); 2].map(|()| Buffer::default());
        let (parts, rises) = (Parts::default(), Aligned([0.0; PIECE]));
        Rooms { first, second, terms, second_terms, parts, rises }
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

/// Adds some values: four at a time before f32 is widened, as a sweep does, and where f64 is wider than the logits
/// (`F`).
///
/// Called, not inlined: beside its caller's last steps, which go by halves, LLVM added two lanes at a time.
#[inline(never)]
pub(crate) fn add<S: Isa, F: Real, V: Real>(isa: S, total: &mut LaneSum, values: &[V]) {
    isa.vectorize(
        #[inline(always)]
        || {
            let mut sum = *total;
            let (chunks, rest) = values.as_chunks::<CHUNK_LANES>();
            let mut last = [V::ZERO; CHUNK_LANES];
            last[..rest.len()].copy_from_slice(rest);
            for chunk in chunks.iter().chain([&last]) {
                if F::COMPENSATED {
                    for &eight in chunk.as_chunks::<SUM_LANES>().0 {
                        sum = sum.add_f64::<F>(V::widen(eight));
                    }
                } else {
                    sum = sum.add_f64::<F>(V::widen(quarters(chunk)));
                }
            }
            *total = sum;
        },
    );
}

/// Classes in a piece of a block: what is made of them lies in L1.
pub(crate) const PIECE: usize = 512;

/// What is made of the classes of a piece in the precision above the logits' own, before it is added. Aligned as
/// [`Buffer`] is.
#[repr(align(64))]
pub(crate) struct Parts {
    pub(crate) rounded: [f64; PIECE],
    /// What rounding took; of no use where f64 is that precision.
    pub(crate) lost: [f64; PIECE],
}

impl Default for Parts {
    fn default() -> Self {
        Parts { rounded: [0.0; PIECE], lost: [0.0; PIECE] }
    }
}

impl Parts {
    /// Adds the first `length`.
    #[inline(always)]
    pub(crate) fn add<S: Isa, F: Real>(&self, isa: S, total: &mut LaneSum, length: usize) {
        add::<S, F, _>(isa, total, &self.rounded[..length]);
        if F::COMPENSATED {
            add::<S, F, _>(isa, total, &self.lost[..length]);
        }
    }

    /// Adds factor·(top − x) of every x, 0 where the factor is 0: x may be −∞ there.
    #[inline(always)]
    fn add_times_below<S: Isa, F: Real>(
        &mut self,
        isa: S,
        total: &mut LaneSum,
        factors: &[F],
        (top, x): (F, &[F]),
    ) {
        for (factors, x) in factors.chunks(PIECE).zip(x.chunks(PIECE)) {
            let parts = self.rounded.iter_mut().zip(&mut self.lost);
            for (((rounded, lost), factor), x) in parts.zip(factors).zip(x) {
                let d = F::Extended::sum(top.to_f64(), -x.to_f64());
                let d = if *factor == F::ZERO { F::Extended::new(0.0) } else { d };
                let words = F::Extended::new(factor.to_f64()).mul(isa, d).words();
                *rounded = words[0];
                if F::COMPENSATED {
                    *lost = words[1];
                }
            }
            self.add::<S, F>(isa, total, x.len());
        }
    }
}

/// The largest logit of a row, and what sums of terms are counted in.
#[derive(Clone, Copy)]
pub(crate) struct MaxTerm<F: Real> {
    pub(crate) x: F,
    /// Where it stands first.
    at: usize,
    reference: SumScale<F>,
    /// Its term, and the logarithm of that.
    term: F::Extended,
    pub(crate) log_term: F::Extended,
}

impl<F: Real> MaxTerm<F> {
    #[inline(always)]
    fn find<S: Isa>(isa: S, input: &Input<'_>, row: &Range<usize>, room: &mut Room<F>) -> Self {
        let mut largest = ArgMax::none();
        for block in blocks(row, BLOCK) {
            largest.push(block.start, input.read(isa, block, room));
        }
        let ArgMax { x, at } = largest;
        let reference = SumScale::below(x);
        let log_term = reference.log_term(x);
        MaxTerm { x, at, reference, term: log_term.mul_exp(isa, 1.0), log_term }
    }

    /// The largest logit, the sum of the others' terms, and the terms of the whole row into `terms`, which is as long.
    #[inline(always)]
    pub(crate) fn with_terms<S: Isa>(
        isa: S,
        input: &Input<'_>,
        row: &Range<usize>,
        (room, terms): (&mut Room<F>, &mut [F]),
    ) -> (Self, F::Extended) {
        let top = MaxTerm::find(isa, input, row, room);
        let mut rest = LaneSum::ZERO;
        for block in blocks(row, BLOCK) {
            let x = input.read(isa, block.clone(), room);
            let terms = &mut terms[block.start - row.start..];
            top.write_others(isa, block.start, x, &mut terms[..x.len()]);
            add::<S, F, _>(isa, &mut rest, &terms[..x.len()]);
        }
        if let Some(term) = terms.get_mut(top.at.wrapping_sub(row.start)) {
            *term = F::from_f64(top.term.rounded());
        }
        (top, rest.extended::<F>())
    }

    /// The terms of a block; that of the largest as 0.
    #[inline(always)]
    fn write_others<S: Isa>(&self, isa: S, start: usize, x: &[F], terms: &mut [F]) {
        write_terms::<S, F, true>(isa, self.reference, x, terms);
        if let Some(term) = terms.get_mut(self.at.wrapping_sub(start)) {
            *term = F::ZERO;
        }
    }

    /// −log p of the largest, `rest` being the sum of the others' terms.
    #[inline(always)]
    pub(crate) fn loss<S: Isa>(&self, isa: S, rest: F::Extended) -> F::Extended {
        rest.div(isa, self.term).log1p(isa)
    }

    /// The sum of all terms.
    #[inline(always)]
    pub(crate) fn sum(&self, rest: F::Extended) -> F::Extended {
        self.term.add(rest)
    }
}

impl Distributions<'_> {
    #[inline(always)]
    fn value<S: Isa, F: Real>(&self, isa: S, row: Range<usize>, rooms: &mut Rooms<F>) -> f64 {
        match (self.quantity, &self.second) {
            (Quantity::Entropy, _) => self.entropy(isa, &row, rooms),
            (Quantity::CrossEntropy, Some(y)) => self.cross_entropy(isa, y, &row, rooms),
            (Quantity::Divergence, Some(q)) => {
                let Rooms { first, second, terms, second_terms, parts, rises } = rooms;
                let [terms, second_terms] =
                    [terms, second_terms].map(|terms| terms.first(row.len(), F::ZERO));
                let (p, q) = ((&self.logits, first, terms), (q, second, second_terms));
                divergence(isa, p, q, &row, (parts, &mut rises.0))
            }
            _ => f64::NAN,
        }
    }

    #[inline(always)]
    fn entropy<S: Isa, F: Real>(&self, isa: S, row: &Range<usize>, rooms: &mut Rooms<F>) -> f64 {
        let Rooms { first, terms, parts, .. } = rooms;
        let terms = terms.first(BLOCK, F::ZERO);
        let top = MaxTerm::find(isa, &self.logits, row, first);
        let (mut rest, mut below) = (LaneSum::ZERO, LaneSum::ZERO);
        for block in blocks(row, BLOCK) {
            let x = self.logits.read(isa, block.clone(), first);
            top.write_others(isa, block.start, x, &mut terms[..x.len()]);
            add::<S, F, _>(isa, &mut rest, &terms[..x.len()]);
            parts.add_times_below(isa, &mut below, &terms[..x.len()], (top.x, x));
        }
        let rest = rest.extended::<F>();
        top.loss(isa, rest).add(below.extended::<F>().div(isa, top.sum(rest))).rounded()
    }

    #[inline(always)]
    fn cross_entropy<S: Isa, F: Real>(
        &self,
        isa: S,
        second: &Input<'_>,
        row: &Range<usize>,
        rooms: &mut Rooms<F>,
    ) -> f64 {
        let Rooms { first, second: room, terms, second_terms: targets, parts, .. } = rooms;
        let [terms, targets] = [terms, targets].map(|room| room.first(BLOCK, F::ZERO));
        let top = MaxTerm::find(isa, &self.logits, row, first);
        let (mut rest, mut below, mut sum) = (LaneSum::ZERO, LaneSum::ZERO, LaneSum::ZERO);
        for block in blocks(row, BLOCK) {
            let x = self.logits.read(isa, block.clone(), first);
            let y = &second.read(isa, block.clone(), room)[..x.len()];
            top.write_others(isa, block.start, x, &mut terms[..x.len()]);
            add::<S, F, _>(isa, &mut rest, &terms[..x.len()]);
            let y = self.weighed(block.start - row.start, y, targets);
            add::<S, F, _>(isa, &mut sum, y);
            parts.add_times_below(isa, &mut below, y, (top.x, x));
        }
        let certain = sum.extended::<F>().mul(isa, top.loss(isa, rest.extended::<F>()));
        certain.add(below.extended::<F>()).rounded()
    }

    /// w_c·((1 − ε)·y_c + ε/C), in `targets` unless it is y.
    #[inline(always)]
    fn weighed<'t, F: Real>(&self, first: usize, y: &'t [F], targets: &'t mut [F]) -> &'t [F] {
        if self.smoothing == 0.0 && self.weight.is_none() {
            return y;
        }
        let (sharp, even) = (1.0 - self.smoothing, self.smoothing / self.classes as f64);
        for (i, (target, &y)) in targets.iter_mut().zip(y).enumerate() {
            let w = self.weight.map_or(1.0, |w| w[first + i]);
            *target = F::from_f64(w * (sharp * y.to_f64() + even));
        }
        &targets[..y.len()]
    }
}
