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
//! 1. **The reference is a power of two.** We sum e^x · 2^−k with a whole k, by putting −k into the
//!    exponent that `exp` assembles anyway ([`SumScale::shifter`]). `x − m` would be rounded (at x − m
//!    = −11 by up to 5e-7, eight f32 ulps of a small loss); here nothing is. Logits beyond ±2^14 are first
//!    shifted by a [`SumScale::center`]; at that size the difference that matters is exact.
//! 2. **One read.** The maximum is taken beside the sum, not before it. k starts at 0 and terms up to 2^60
//!    still fit, so most rows never move it. If the largest x so far leaves [−20, 41], the sum is rescaled
//!    to a k that fits it and that block, which is in L1, summed again.
//! 3. **Three loops over a block in L1.** The terms of a block are written to a scratch block, then
//!    added, then the maximum is taken. Each loop is plain enough for LLVM to vectorise at full width;
//!    with all three in one body it packed the exponentials four to a register, because the f64 sums are
//!    four to a register (AVX2: 0.30 → 0.24 ns a class, before that 0.5 and more).
//! 4. **Sums leave f32 at once.** Four terms are added in f32, then f64 takes over, so the error of a sum
//!    is that of `exp` and two roundings, for any number of classes. (f64 sums carry a second word.)
//! 5. **The target is not in the sum.** It is −∞ in a copy of the 256 classes around it, so
//!    `log(1 + rest/target)` keeps its digits however certain the target is.
//! 6. **ln 2 is taken off in one step, and what that loses is put back once.** See [`exp_parts`]: a term
//!    comes out as e^(x + n·δ) with δ = ln 2 − fl(ln 2). n·δ matters only where the term does, near the
//!    largest x, so [`LogSum::scaled`] takes off the n·δ of the largest x (12 % of the time of a class).

use crate::formula::ScaledSum;
pub use crate::terms::NONE;
use crate::terms::{SumScale, max_lane, max2, quarters, write_terms};
use nll_simd::math::{power_of_two, round};
use nll_simd::{Buffer, CHUNK_LANES, Dtype, Isa, LaneSum, Prefetch, Real, zip};

/// How many classes are summed before the reference is looked at: 8 KiB of f32, a quarter of L1.
pub const BLOCK: usize = 2048;

/// How many chunks go through the loops together.
const PIECE: usize = 8;

/// Room for a block of computed values, made once for many rows.
pub struct Scratch<F> {
    pub(crate) values: Buffer<F>,
    piece: Piece<F>,
}

/// Room for chunks that go through the loops together, aligned as [`Buffer`] is.
#[repr(align(64))]
struct Piece<F> {
    terms: [F; PIECE * CHUNK_LANES],
    /// The classes, without the one that is left out.
    held: [[F; CHUNK_LANES]; PIECE],
}

impl<F: Real> Default for Scratch<F> {
    /// No room for values yet: it grows to a block at the first.
    fn default() -> Self {
        let piece =
            Piece { terms: [F::ZERO; PIECE * CHUNK_LANES], held: [[F::ZERO; CHUNK_LANES]; PIECE] };
        Scratch { values: Buffer::default(), piece }
    }
}

/// Σ e^x over the classes pushed so far, and the largest x.
#[derive(Clone, Copy, Debug)]
pub struct LogSum<F> {
    reference: SumScale<F>,
    total: LaneSum,
    max: F,
}

impl<F: Real> LogSum<F> {
    /// The sum over no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        let reference = SumScale::new(0.0, 0.0);
        LogSum { reference, total: LaneSum::ZERO, max: F::NEG_INFINITY }
    }

    /// Adds the first `length` classes of `block` (at most [`BLOCK`]), leaving out the one at index `skip`.
    #[inline(always)]
    pub fn push<S: Isa, T: Dtype<Real = F>>(
        &mut self,
        isa: S,
        (block, length): (&[T::Storage], usize),
        skip: usize,
        scratch: &mut Scratch<F>,
    ) {
        let ahead = Prefetch::new::<F, T::Storage>(block);
        let x = T::read(isa, block, &mut scratch.values);
        let block = Block { x, length, skip, ahead };
        let (total, max) = block.sweep(isa, self.reference, self.total, &mut scratch.piece);
        let before = self.max;
        self.max = max2(max, before);
        if self.reference.fits(self.max) {
            self.total = total;
            return;
        }
        let fitting = SumScale::at(self.max);
        if before != F::NEG_INFINITY {
            self.total = self.total.scaled(self.reference.factor(isa, fitting));
        }
        (self.total, _) = block.sweep(isa, fitting, self.total, &mut scratch.piece);
        self.reference = fitting;
    }

    /// The largest class pushed, −∞ if there is none. NaN is passed over: the sum is NaN then.
    #[inline(always)]
    pub fn max(&self) -> f64 {
        self.max.to_f64()
    }

    /// The sum.
    #[inline(always)]
    pub fn scaled(&self) -> ScaledSum {
        let ScaledSum { center, exponent, .. } = self.reference.unit();
        let above = self.max.to_f64() - center;
        // The n of the largest x, and with it what `exp_parts` left in the terms that matter.
        let n = if above.is_finite() { round(above * core::f64::consts::LOG2_E) } else { exponent };
        ScaledSum {
            center: center - n * F::LN_2_REST,
            exponent: n,
            sum: self.total.value::<F>() * power_of_two((exponent - n) as i32),
        }
    }
}

/// The first `length` classes of `x`, but for `skip`.
struct Block<'a, F> {
    x: &'a [F],
    length: usize,
    skip: usize,
    /// Where they come from.
    ahead: Prefetch,
}

impl<F: Real> Block<'_, F> {
    /// The `rest` classes that are left after the full chunks, and −∞ in the other lanes.
    #[inline(always)]
    fn tail(&self, rest: usize) -> [F; CHUNK_LANES] {
        let x = &self.x[..self.length];
        let skip = self.skip.wrapping_sub(self.length - rest);
        if let Some(&last) = x.last_chunk() {
            hidden(lesser(last, F::KEEP, rest), skip.wrapping_add(CHUNK_LANES - rest))
        } else if let Some(&first) = self.x.first_chunk() {
            hidden(lesser(first, F::KEEP, 2 * CHUNK_LANES - rest), skip)
        } else {
            let mut padded = [F::NEG_INFINITY; CHUNK_LANES];
            padded[..rest].copy_from_slice(x);
            hidden(padded, skip)
        }
    }

    /// The total with the terms of the classes but for `skip`, and the largest of these.
    #[inline(always)]
    fn sweep<S: Isa>(
        &self,
        isa: S,
        reference: SumScale<F>,
        mut total: LaneSum,
        Piece { terms, held }: &mut Piece<F>,
    ) -> (LaneSum, F) {
        let mut lanes = [F::NEG_INFINITY; CHUNK_LANES];
        let (mut skip, mut ahead) = (self.skip, self.ahead);
        let (chunks, rest) = self.x[..self.length].as_chunks::<CHUNK_LANES>();
        for mut piece in chunks.chunks(PIECE) {
            ahead.step_alone(piece.len() * CHUNK_LANES);
            if skip < piece.len() * CHUNK_LANES {
                let held = &mut held[..piece.len()];
                for (i, (to, &chunk)) in held.iter_mut().zip(piece).enumerate() {
                    *to = hidden(chunk, skip.wrapping_sub(i * CHUNK_LANES));
                }
                piece = held;
            }
            let terms = &mut terms[..piece.len() * CHUNK_LANES];
            write_terms::<S, F, false>(isa, reference, piece.as_flattened(), terms);
            for chunk in terms.as_chunks::<CHUNK_LANES>().0 {
                total = total.add(quarters(chunk));
            }
            for chunk in piece {
                lanes = zip(*chunk, lanes, max2);
            }
            skip = skip.wrapping_sub(PIECE * CHUNK_LANES);
        }
        if !rest.is_empty() {
            // Loaded now: before its turn it would come from memory, and all others wait for it.
            let (tail, mut terms) = (self.tail(rest.len()), [F::ZERO; CHUNK_LANES]);
            write_terms::<S, F, false>(isa, reference, &tail, &mut terms);
            total = total.add(quarters(&terms));
            lanes = zip(tail, lanes, max2);
        }
        (total, max_lane(lanes))
    }
}

/// The chunk with −∞ at `lane`, if it has that lane. NaN becomes +∞, which spoils a sum as well.
#[inline(always)]
fn hidden<F: Real>(chunk: [F; CHUNK_LANES], lane: usize) -> [F; CHUNK_LANES] {
    lesser(chunk, F::HIDE, CHUNK_LANES - lane.min(CHUNK_LANES))
}

/// The lesser of each lane and the limits from the `start`th on.
#[inline(always)]
fn lesser<F: Real>(chunk: [F; CHUNK_LANES], limits: &[F], start: usize) -> [F; CHUNK_LANES] {
    match limits[start..].first_chunk() {
        Some(&limits) => zip(chunk, limits, |x, limit| if x < limit { x } else { limit }),
        None => chunk,
    }
}
