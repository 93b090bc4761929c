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
//!    exponent that `exp` assembles anyway ([`Reference::shifter`]). `x − m` would be rounded (at x − m
//!    = −11 by up to 5e-7, eight f32 ulps of a small loss); here nothing is. Logits beyond ±2^14 are first
//!    shifted by a [`Reference::center`]; at that size the difference that matters is exact.
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

use crate::formula::{Scaled, finite};
use nll_simd::math::{LN_2_HI, LN_2_LO, exp, exp_parts, power_of_two, round};
use nll_simd::{Dtype, EIGHT, Isa, LANES, Real, Total, two_sum_error, zip};

/// How many classes are summed before the reference is looked at: 8 KiB of f32, a quarter of L1.
pub const BLOCK: usize = 2048;

/// How many chunks go through the loops together.
const PIECE: usize = 8;

/// Leaves no class out.
pub const NONE: usize = usize::MAX;

/// What the terms of a sum are multiples of: 2^exponent · e^center.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference<F> {
    center: F,
    /// A whole number.
    exponent: f64,
    /// [`Real::SHIFTER`] − exponent: makes `exp_parts` leave the exponent field of the scaled term.
    shifter: F,
    /// x − center below this counts as this, and gives a term of exactly 0.
    floor: F,
    /// Where the largest x may lie: its term neither overflows nor pushes the others to 0.
    fits: [F; 2],
}

impl<F: Real> Reference<F> {
    /// 2^exponent · e^center.
    #[inline(always)]
    fn new(center: f64, exponent: f64) -> Self {
        let nats = |n: f64| F::from_f64(n * core::f64::consts::LN_2);
        let above = |n: f64| F::from_f64(center + n * core::f64::consts::LN_2);
        Reference {
            center: F::from_f64(center),
            exponent,
            shifter: F::from_f64(F::SHIFTER.to_f64() - exponent),
            floor: nats(exponent - f64::from(F::BIAS)),
            fits: [above(exponent - 30.0), above(exponent + 60.0)],
        }
    }

    /// A reference at which the term of `max` lies between 0.7 and 1.5.
    #[inline(always)]
    pub(crate) fn at(max: F) -> Self {
        let max = max.to_f64();
        if max.abs() >= 16384.0 {
            Reference::new(max, 0.0)
        } else {
            Reference::new(0.0, round(max * core::f64::consts::LOG2_E))
        }
    }

    /// A reference at which the term of `max` is about 2^60: the others' terms keep their digits as far down as f32
    /// results go, and 2^60 of them still fit.
    #[inline(always)]
    pub(crate) fn below(max: F) -> Self {
        let Reference { center, exponent, .. } = Reference::at(max);
        Reference::new(center.to_f64(), exponent - 60.0)
    }

    /// Whether the largest x may be `max`. With no x but −∞, any reference will do.
    #[inline(always)]
    fn fits(&self, max: F) -> bool {
        let [low, high] = self.fits;
        (max >= low && max <= high) || max == F::NEG_INFINITY
    }

    /// The term of e^x is e^x / `unit`.
    #[inline(always)]
    pub(crate) fn unit(&self) -> Scaled {
        Scaled { center: self.center.to_f64(), exponent: self.exponent, sum: 1.0 }
    }

    /// What a sum at this reference is to be multiplied by to stand at `other`: a power of two, exact,
    /// unless a center moves.
    #[inline(always)]
    fn factor<S: Isa>(self, isa: S, other: Self) -> f64 {
        let center = self.center.to_f64() - other.center.to_f64();
        let exponent = self.exponent - other.exponent;
        if center == 0.0 {
            return if exponent < -1022.0 { 0.0 } else { power_of_two(exponent as i32) };
        }
        // In two words: the exponential magnifies what rounding takes.
        let scale = exponent * LN_2_HI;
        let d = center + scale;
        let lost = finite(two_sum_error(center, scale, d)) + exponent * LN_2_LO;
        let factor = exp(isa, d);
        factor + factor * lost
    }
}

/// Room for a block of computed values, made once for many rows.
pub struct Scratch<F> {
    values: Vec<F>,
    piece: Piece<F>,
}

/// Room for chunks that go through the loops together.
struct Piece<F> {
    terms: [F; PIECE * LANES],
    /// The classes, without the one that is left out.
    held: [[F; LANES]; PIECE],
}

impl<F: Real> Scratch<F> {
    /// Room for blocks of rows with so many classes.
    pub fn new(_classes: usize) -> Self {
        let piece = Piece { terms: [F::ZERO; PIECE * LANES], held: [[F::ZERO; LANES]; PIECE] };
        Scratch { values: Vec::new(), piece }
    }
}

/// Σ e^x over the classes pushed so far, and the largest x.
#[derive(Clone, Copy, Debug)]
pub struct LogSum<F> {
    reference: Reference<F>,
    total: Total,
    max: F,
}

impl<F: Real> LogSum<F> {
    /// The sum over no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        let reference = Reference::new(0.0, 0.0);
        LogSum { reference, total: Total::ZERO, max: F::NEG_INFINITY }
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
        let x = T::read(isa, block, &mut scratch.values);
        let block = Block { x, length, skip };
        let (total, max) = block.sweep(isa, self.reference, self.total, &mut scratch.piece);
        let before = self.max;
        self.max = larger(max, before);
        if self.reference.fits(self.max) {
            self.total = total;
            return;
        }
        let fitting = Reference::at(self.max);
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
    pub fn scaled(&self) -> Scaled {
        let Scaled { center, exponent, .. } = self.reference.unit();
        let above = self.max.to_f64() - center;
        // The n of the largest x, and with it what `exp_parts` left in the terms that matter.
        let n = if above.is_finite() { round(above * core::f64::consts::LOG2_E) } else { exponent };
        Scaled {
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
}

impl<F: Real> Block<'_, F> {
    /// The `rest` classes that are left after the full chunks, and −∞ in the other lanes.
    #[inline(always)]
    fn tail(&self, rest: usize) -> [F; LANES] {
        let x = &self.x[..self.length];
        let skip = self.skip.wrapping_sub(self.length - rest);
        if let Some(&last) = x.last_chunk() {
            hidden(lesser(last, F::KEEP, rest), skip.wrapping_add(LANES - rest))
        } else if let Some(&first) = self.x.first_chunk() {
            hidden(lesser(first, F::KEEP, 2 * LANES - rest), skip)
        } else {
            let mut padded = [F::NEG_INFINITY; LANES];
            padded[..rest].copy_from_slice(x);
            hidden(padded, skip)
        }
    }

    /// The total with the terms of the classes but for `skip`, and the largest of these.
    #[inline(always)]
    fn sweep<S: Isa>(
        &self,
        isa: S,
        reference: Reference<F>,
        mut total: Total,
        Piece { terms, held }: &mut Piece<F>,
    ) -> (Total, F) {
        let mut lanes = [F::NEG_INFINITY; LANES];
        let mut skip = self.skip;
        let (chunks, rest) = self.x[..self.length].as_chunks::<LANES>();
        for mut piece in chunks.chunks(PIECE) {
            if skip < piece.len() * LANES {
                let held = &mut held[..piece.len()];
                for (i, (to, &chunk)) in held.iter_mut().zip(piece).enumerate() {
                    *to = hidden(chunk, skip.wrapping_sub(i * LANES));
                }
                piece = held;
            }
            let terms = &mut terms[..piece.len() * LANES];
            write_terms::<S, F, false>(isa, reference, piece.as_flattened(), terms);
            for chunk in terms.as_chunks::<LANES>().0 {
                total = total.plus(quarters(chunk));
            }
            for chunk in piece {
                lanes = zip(*chunk, lanes, larger);
            }
            skip = skip.wrapping_sub(PIECE * LANES);
        }
        if !rest.is_empty() {
            // Loaded now: before its turn it would come from memory, and all others wait for it.
            let (tail, mut terms) = (self.tail(rest.len()), [F::ZERO; LANES]);
            write_terms::<S, F, false>(isa, reference, &tail, &mut terms);
            total = total.plus(quarters(&terms));
            lanes = zip(tail, lanes, larger);
        }
        (total, largest(lanes))
    }
}

/// The chunk with −∞ at `lane`, if it has that lane. NaN becomes +∞, which spoils a sum as well.
#[inline(always)]
fn hidden<F: Real>(chunk: [F; LANES], lane: usize) -> [F; LANES] {
    lesser(chunk, F::HIDE, LANES - lane.min(LANES))
}

/// The lesser of each lane and the limits from the `start`th on.
#[inline(always)]
fn lesser<F: Real>(chunk: [F; LANES], limits: &[F], start: usize) -> [F; LANES] {
    match limits[start..].first_chunk() {
        Some(&limits) => zip(chunk, limits, |x, limit| if x < limit { x } else { limit }),
        None => chunk,
    }
}

/// Lane i of each quarter of a chunk, added.
#[inline(always)]
pub(crate) fn quarters<F: Real>(chunk: &[F; LANES]) -> [F; EIGHT] {
    core::array::from_fn(
        #[inline(always)]
        |i| (chunk[i] + chunk[i + 8]) + (chunk[i + 16] + chunk[i + 24]),
    )
}

/// The larger of two; `b` if `a` is NaN.
#[inline(always)]
fn larger<F: Real>(a: F, b: F) -> F {
    if a > b { a } else { b }
}

/// The largest lane, by halves.
#[inline(always)]
fn largest<F: Real>(mut lanes: [F; LANES]) -> F {
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = larger(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

/// The largest of `x`, −∞ if there is none. A NaN is passed over.
#[inline(always)]
pub fn most<F: Real>(x: &[F]) -> F {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut lanes = [F::NEG_INFINITY; LANES];
    for chunk in chunks {
        lanes = zip(*chunk, lanes, larger);
    }
    rest.iter().fold(largest(lanes), |most, &x| larger(x, most))
}

/// Where `x` stands first: a search with an early end would be done one by one.
#[inline(always)]
pub(crate) fn position<F: Real>(values: &[F], x: F) -> Option<usize> {
    let mut chunks = values.chunks(LANES).zip((0..).step_by(LANES));
    let holds = |chunk: &[F]| chunk.iter().fold(0, |count, &v| count + u32::from(v == x)) > 0;
    let (chunk, start) = chunks.find(|(chunk, _)| holds(chunk))?;
    Some(start + chunk.iter().position(|&v| v == x)?)
}

/// e^x · 2^−exponent · e^−center of every x; if `EXACT`, without the n·δ of point 6.
///
/// A NaN passes the floor (`y < floor` is false) and makes its term NaN, as does +∞ (its remainder is
/// NaN); −∞ stops at the floor and gives 0. Without the subtraction of a center, which few rows need, AVX2
/// keeps all constants in registers: hence two loops.
#[inline(always)]
pub(crate) fn write_terms<S: Isa, F: Real, const EXACT: bool>(
    isa: S,
    reference: Reference<F>,
    x: &[F],
    terms: &mut [F],
) {
    let Reference { center, shifter, floor, .. } = reference;
    let term = |y| {
        let y = if y < floor { floor } else { y };
        let (mantissa, exponent) = exp_parts::<S, F, EXACT>(isa, y, shifter);
        mantissa * F::exponent_of(exponent)
    };
    if center == F::ZERO {
        for (term_of, &x) in terms.iter_mut().zip(x) {
            *term_of = term(x);
        }
    } else {
        for (term_of, &x) in terms.iter_mut().zip(x) {
            *term_of = term(x - center);
        }
    }
}

/// Σ_c w_c·(x_c − shift), for label smoothing. A class of weight 0 adds 0, whatever its logit.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    /// Some logit of the row, so that a common offset cancels before anything is rounded.
    pub shift: f64,
    total: Total,
}

impl Linear {
    /// The sum over no classes, with `shift` taken from the first of them.
    #[inline(always)]
    pub fn starting_at(first: f64) -> Self {
        Linear { shift: if first.is_finite() { first } else { 0.0 }, total: Total::ZERO }
    }

    /// Adds the classes of `block`, `weight` beside it.
    #[inline(always)]
    #[must_use]
    pub fn push<S: Isa, T: Dtype>(
        mut self,
        isa: S,
        block: &[T::Storage],
        weight: Option<&[f64]>,
        scratch: &mut Scratch<T::Real>,
    ) -> Self {
        let (x, x_tail) = T::read(isa, block, &mut scratch.values).as_chunks::<EIGHT>();
        let (w, w_tail) = weight.unwrap_or(&[]).as_chunks::<EIGHT>();
        for (i, &x) in x.iter().enumerate() {
            let w = w.get(i).copied().unwrap_or([1.0; EIGHT]);
            self.total = self.total.plus_wide::<T::Real>(zip(T::Real::widen(x), w, self.term()));
        }
        let mut terms = [0.0; EIGHT];
        for (i, (term, &x)) in terms.iter_mut().zip(x_tail).enumerate() {
            *term = self.term()(x.to_f64(), w_tail.get(i).copied().unwrap_or(1.0));
        }
        self.total = self.total.plus_wide::<T::Real>(terms);
        self
    }

    /// w·(x − shift)
    #[inline(always)]
    fn term(&self) -> impl Fn(f64, f64) -> f64 + use<> {
        let shift = self.shift;
        move |x, w| if w == 0.0 { 0.0 } else { w * (x - shift) }
    }

    /// The sum.
    #[inline(always)]
    pub fn value(self) -> f64 {
        self.total.value::<f64>()
    }
}
