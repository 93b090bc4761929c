//! The sweep over the classes of a row: Σ e^x in one read, at a relative error of about 1 ulp.
//!
//! The plain algorithm:
//!
//! ```text
//! m = max(x);  s = Σ exp(x − m);  lse = m + log(s)
//! ```
//!
//! What we do instead, and why:
//!
//! 1. **The scale is a power of two.** The sum is that of e^x · 2^−k with a whole number k, which
//!    enters the exponent that `exp` assembles anyway ([`SumScale`]). `x − m` would be rounded (at
//!    x − m = −11 by up to 5e-7, eight f32 ulps of a small loss); here nothing is. Logits beyond
//!    ±2^14 are first shifted by a center; at that size the difference that matters is exact.
//! 2. **One read.** The maximum is taken beside the sum, not before it. k starts at 0 and terms
//!    up to 2^60 still fit, so most rows never move it. If the largest x so far leaves [−20, 41],
//!    the sum is brought to a k that fits, and the block, which is in L1, is summed again.
//! 3. **Three loops over a piece of a block in L1.** The terms are written to memory, then they are
//!    added, then the maximum is taken. Each loop is plain enough for LLVM to vectorise at full
//!    width. With all three in one body it packed the exponentials four to a register, as it packs
//!    the f64 sums.
//! 4. **Sums leave f32 at once.** Two terms are added in f32, then f64 takes over, so the error
//!    of a sum is that of `exp` and one rounding, for any number of classes. (f64 are added
//!    one by one, as double-doubles.)
//! 5. **The target is not in the sum.** It is −∞ in a copy of the 256 classes around it, so
//!    `log(1 + rest/target)` keeps its digits however certain the target is.
//! 6. **ln 2 is subtracted in one step, and the rounding of ln 2 is corrected once.** A term comes
//!    out as e^(x + n·δ) with δ = ln 2 − fl(ln 2), see [`nll_simd::math::exp_parts`]. n·δ matters
//!    only where the term does, near the largest x, so `finish` corrects by the n·δ of the largest.

use crate::data::rows::Block;
use crate::data::scratch::{PIECE, PIECE_CLASSES, Pieces, Scratch};
use crate::fold::Fold;
use crate::fold::beside::{Beside, Chunks};
use crate::fold::peaks::{add_tail, peaks_of};
use crate::math::row::ScaledSum;
use crate::math::terms::{
    SumScale, add_values, hidden, lesser, max_lane, max_lanes, max2, write_near_terms, write_terms,
};
use core::hint::black_box;
use nll_simd::math::{power_of_two, round};
use nll_simd::{CHUNK_LANES, Extended, Isa, LaneSum, Prefetch, Real, zip};

/// Σ e^x over the classes pushed so far, the largest x, and what else is summed from the same terms.
#[derive(Clone, Copy, Debug)]
pub struct LogSum<F, B = ()> {
    /// The class that is left out, [`NONE`](crate::math::terms::NONE) for none.
    skip: usize,
    scale: SumScale<F>,
    total: LaneSum,
    max: F,
    beside: B,
}

impl<F: Real> LogSum<F> {
    /// The sum over no classes, from which class `skip` will be left out.
    #[inline(always)]
    pub fn without(skip: usize) -> Self {
        LogSum::beside(skip, ())
    }
}

impl<F: Real, B: Beside<F>> LogSum<F, B> {
    /// The sum over no classes, from which class `skip` will be left out, and `beside` it another.
    #[inline(always)]
    pub fn beside(skip: usize, beside: B) -> Self {
        let scale = SumScale::new(0.0, 0.0);
        LogSum { skip, scale, total: LaneSum::ZERO, max: F::NEG_INFINITY, beside }
    }

    /// The class that is left out.
    #[inline(always)]
    pub fn left_out(&self) -> usize {
        self.skip
    }

    /// The sum beside it, and that of the terms at the same scale.
    #[inline(always)]
    pub fn sums(&self) -> (&B, &LaneSum) {
        (&self.beside, &self.total)
    }

    /// Whether a class so far is NaN or +∞.
    #[inline(always)]
    pub fn is_nan(&self) -> bool {
        self.total.value::<F>().is_nan()
    }

    /// Brings the sum to the scale `scale`. Without a class above −∞ it is 0, or NaN, at any scale;
    /// the factor may be infinite then, and must not make a NaN of 0.
    #[inline(always)]
    fn rescale<S: Isa>(&mut self, isa: S, scale: SumScale<F>) {
        if self.max != F::NEG_INFINITY {
            let factor = self.scale.factor(isa, scale);
            self.total = self.total.scaled(factor);
            self.beside.scale(factor);
        }
        self.scale = scale;
    }

    /// Takes in a block, whether or not the scale fits. Returns its largest class.
    #[inline(always)]
    fn take<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) -> F {
        let mut sweep = Sweep::new(block, self);
        sweep.add(isa, scratch.pieces());
        max_lane(match B::KEEPS_PEAKS {
            true => max_lanes(peaks_of(&scratch.pieces().peaks, block.length)),
            false => sweep.lanes,
        })
    }

    /// With a block taken in whose largest class, `max`, the scale does not fit.
    ///
    /// Called, not inlined, and of values: the usual way has the registers for itself.
    #[cold]
    #[inline(never)]
    fn push_again<S: Isa>(
        mut self,
        isa: S,
        block: Block<'_, F>,
        scratch: &mut Scratch<F>,
        max: F,
    ) -> Self {
        isa.vectorize(
            #[inline(always)]
            || {
                self.rescale(isa, SumScale::at(max));
                self.take(isa, &block, scratch);
                LogSum { max, ..self }
            },
        )
    }
}

impl<F: Real, B: Beside<F>> Fold<F> for LogSum<F, B> {
    type Row = ScaledSum;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        let before = *self;
        // In its place: a copy would wait for all that was just written.
        self.max = max2(self.take(isa, block, scratch), before.max);
        if !before.scale.fits(self.max) {
            *self = before.push_again(isa, *block, scratch, self.max);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        if later.max > self.max || self.max == F::NEG_INFINITY {
            self.rescale(isa, later.scale);
        } else {
            later.rescale(isa, self.scale);
        }
        self.max = max2(later.max, self.max);
        self.beside.merge(isa, later.beside, [&self.total, &later.total]);
        self.total = self.total.merge::<F>(later.total);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> ScaledSum {
        let [center, exponent] = self.scale.unit();
        let above = self.max.to_f64() - center;
        // The n of the largest x, and with it what `exp_parts` left in the terms that matter.
        let n = if above.is_finite() { round(above * core::f64::consts::LOG2_E) } else { exponent };
        // Out of LLVM's sight: it would add the lanes of the loops as these last steps do, two at a
        // time.
        let [sum, lost]: [f64; 2] = black_box(self.total).extended::<F>().words();
        let rest = -n * F::LN_2_REST;
        ScaledSum {
            center,
            correction: if F::COMPENSATED && sum > 0.0 { rest + lost / sum } else { rest },
            exponent: n,
            sum: sum * power_of_two((exponent - n) as i32),
            max: self.max.to_f64(),
        }
    }
}

/// The sum on its way through a block.
struct Sweep<'b, 's, F, B> {
    block: &'b Block<'s, F>,
    sum: &'b mut LogSum<F, B>,
    /// The largest class of each lane so far. Not in use if those of each piece are kept.
    lanes: [F; CHUNK_LANES],
    /// The class that is left out, counted from the next class of the block.
    skip: usize,
    prefetch: Prefetch,
}

impl<'b, 's, F: Real, B: Beside<F>> Sweep<'b, 's, F, B> {
    #[inline(always)]
    fn new(block: &'b Block<'s, F>, sum: &'b mut LogSum<F, B>) -> Self {
        let (skip, prefetch) = (sum.skip.wrapping_sub(block.first), block.prefetch[0]);
        Sweep { block, sum, lanes: [F::NEG_INFINITY; CHUNK_LANES], skip, prefetch }
    }

    /// The `rest` classes that are left after the full chunks, and −∞ in the other lanes.
    #[inline(always)]
    fn tail(&self, rest: usize) -> [F; CHUNK_LANES] {
        let [x] = self.block.classes();
        if let Some(&last) = x.last_chunk() {
            hidden(lesser(last, F::KEEP, rest), self.skip.wrapping_add(CHUNK_LANES - rest))
        } else if let Some(&first) = self.block.x[0].first_chunk() {
            hidden(lesser(first, F::KEEP, 2 * CHUNK_LANES - rest), self.skip)
        } else {
            let mut padded = [F::NEG_INFINITY; CHUNK_LANES];
            padded[..rest].copy_from_slice(x);
            hidden(padded, self.skip)
        }
    }

    /// Takes in the classes of the block.
    #[inline(always)]
    fn add<S: Isa>(&mut self, isa: S, pieces: &mut Pieces<F>) {
        let [x] = self.block.classes();
        let (chunks, rest) = x.as_chunks::<CHUNK_LANES>();
        for (i, piece) in chunks.chunks(PIECE).enumerate() {
            self.add_chunks(isa, (i, piece), pieces);
        }
        if !rest.is_empty() {
            // Loaded only now: a load from memory before its turn would hold up all that follow.
            let (tail, mut terms) = (self.tail(rest.len()), [F::ZERO; CHUNK_LANES]);
            write_terms::<S, F, false>(isa, self.sum.scale, &tail, &mut terms);
            if B::KEEPS_PEAKS {
                add_tail(&mut pieces.peaks, chunks.len(), tail);
            } else {
                self.lanes = zip(tail, self.lanes, max2);
            }
            let first = self.block.first + x.len().max(CHUNK_LANES) - CHUNK_LANES;
            let all = (self.block.first + x.len() - rest.len(), rest);
            let chunks = Chunks { first, x: &[tail], all, lanes: tail, terms: &terms };
            self.sum.beside.add(isa, &chunks, &self.sum.total);
            self.sum.total = self.sum.total.add_chunk::<F, F>(&terms);
        }
    }

    /// Takes in the chunks of piece number `i`.
    #[inline(always)]
    fn add_chunks<'c, S: Isa>(
        &mut self,
        isa: S,
        (i, piece): (usize, &'c [[F; CHUNK_LANES]]),
        Pieces { terms, held, peaks }: &'c mut Pieces<F>,
    ) {
        let (length, mut chunks) = (piece.len() * CHUNK_LANES, piece);
        self.prefetch.step_alone(length);
        if self.skip < length {
            let held = &mut held.0[..chunks.len()];
            for (i, (to, &chunk)) in held.iter_mut().zip(chunks).enumerate() {
                *to = hidden(chunk, self.skip.wrapping_sub(i * CHUNK_LANES));
            }
            chunks = held;
        }
        let terms = &mut terms.0[..length];
        write_near_terms(isa, self.sum.scale, chunks.as_flattened(), terms);
        let (before, mut total) = (self.sum.total, self.sum.total);
        if F::COMPENSATED {
            add_values::<S, F, F>(isa, &mut total, terms);
        } else {
            for chunk in terms.as_chunks::<CHUNK_LANES>().0 {
                total = total.add_chunk::<F, F>(chunk);
            }
        }
        self.sum.total = total;
        // Not in its place: each step would store them.
        let mut lanes = if B::KEEPS_PEAKS { [F::NEG_INFINITY; _] } else { self.lanes };
        for chunk in chunks {
            lanes = zip(*chunk, lanes, max2);
        }
        *if B::KEEPS_PEAKS { &mut peaks[i] } else { &mut self.lanes } = lanes;
        let first = self.block.first + i * PIECE_CLASSES;
        let all = (first, piece.as_flattened());
        let chunks = Chunks { first, x: chunks, all, lanes, terms };
        self.sum.beside.add(isa, &chunks, &before);
        self.skip = self.skip.wrapping_sub(length);
    }
}
