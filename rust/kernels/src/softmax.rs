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
//! 2. **One read.** The maximum is taken beside the sum. k comes from the first 32 classes; terms up to
//!    2^60 above it still fit. If a block exceeds that, the sum so far is rescaled and that block, which
//!    is in L1, summed again: 41 nats above the first 32 classes is rare, and the sums need not be lucky.
//! 3. **Three loops over a block in L1.** The terms of a block are written to a scratch block, then
//!    added, then the maximum is taken. Each loop is plain enough for LLVM to vectorise at full width;
//!    with all three in one body it packed the exponentials four to a register, because the f64 sums are
//!    four to a register (AVX2: 0.30 → 0.24 ns a class, before that 0.5 and more).
//! 4. **Sums leave f32 at once.** Four terms are added in f32, then f64 takes over, so the error of a sum
//!    is that of `exp` and two roundings, for any number of classes. (f64 sums carry a second word.)
//! 5. **The target is not in the sum.** Its term is put to 0 before the terms are added, so
//!    `log(1 + rest/target)` keeps its digits however certain the target is.
//! 6. **ln 2 is taken off in one step, and what that loses is put back once.** See [`exp_parts`]: a term
//!    comes out as e^(x + n·δ) with δ = ln 2 − fl(ln 2). n·δ matters only where the term does, near the
//!    largest x, so [`LogSum::scaled`] takes off the n·δ of the largest x (12 % of the time of a class).

use crate::formula::Scaled;
use nll_simd::math::{exp, exp_parts, round};
use nll_simd::{Dtype, EIGHT, Isa, LANES, Real, Total, zip};

/// How many classes are summed before the reference is looked at: 8 KiB of f32, a quarter of L1.
pub const BLOCK: usize = 2048;

/// Leaves no class out.
pub const NONE: usize = usize::MAX;

/// What the terms of a sum are multiples of: 2^exponent · e^center.
#[derive(Clone, Copy, Debug)]
struct Reference<F> {
    center: F,
    exponent: i32,
    /// [`Real::SHIFTER`] − exponent: makes `exp_parts` leave the exponent field of the scaled term.
    shifter: F,
    /// x − center below this counts as this, and gives a term of exactly 0.
    floor: F,
    /// Terms of x above this might overflow.
    ceiling: F,
}

impl<F: Real> Reference<F> {
    /// A reference at which the term of `max` lies between 0.7 and 1.5.
    #[inline(always)]
    fn at(max: F) -> Self {
        const HEADROOM: i32 = 60;
        let m = max.to_f64();
        let centered = m.abs() >= 16384.0;
        let (center, exponent) = match () {
            () if m == f64::NEG_INFINITY => (0.0, 0),
            () if centered => (m, 0),
            () => (0.0, round(m * core::f64::consts::LOG2_E) as i32),
        };
        let nats = |n: i32| f64::from(n) * core::f64::consts::LN_2;
        let ceiling = if m == f64::NEG_INFINITY { m } else { center + nats(exponent + HEADROOM) };
        Reference {
            center: F::from_f64(center),
            exponent,
            shifter: F::from_f64(F::SHIFTER.to_f64() - f64::from(exponent)),
            floor: F::from_f64(nats(exponent - F::BIAS)),
            ceiling: F::from_f64(ceiling),
        }
    }

    /// What a sum at this reference is to be multiplied by to stand at `other`.
    #[inline(always)]
    fn factor<S: Isa>(self, isa: S, other: Self) -> f64 {
        // Nothing but −∞ so far (or a NaN): the sum is 0, which an infinite factor would spoil.
        if self.ceiling == F::NEG_INFINITY {
            return 1.0;
        }
        let center = self.center.to_f64() - other.center.to_f64();
        exp(isa, center + f64::from(self.exponent - other.exponent) * core::f64::consts::LN_2)
    }
}

/// Room for a block of computed values, made once for many rows.
pub struct Scratch<F> {
    values: Vec<F>,
    terms: Vec<F>,
}

impl<F: Real> Scratch<F> {
    /// Room for blocks of rows with so many classes.
    pub fn new(classes: usize) -> Self {
        let length = classes.min(BLOCK).next_multiple_of(LANES);
        Scratch { values: Vec::new(), terms: vec![F::ZERO; length] }
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
        let max = F::NEG_INFINITY;
        LogSum { reference: Reference::at(max), total: Total::ZERO, max }
    }

    /// Adds the classes of `block` (at most [`BLOCK`]), leaving out the one at index `skip`.
    #[inline(always)]
    pub fn push<S: Isa, T: Dtype<Real = F>>(
        &mut self,
        isa: S,
        block: &[T::Storage],
        skip: usize,
        scratch: &mut Scratch<F>,
    ) {
        let x = T::read(isa, block, &mut scratch.values);
        let before = &x[..skip.min(x.len())];
        let after = x.get(skip.wrapping_add(1)..).unwrap_or(&[]);
        if self.reference.ceiling == F::NEG_INFINITY {
            let first = most(&before[..before.len().min(LANES)], F::NEG_INFINITY);
            let rest = LANES - before.len().min(LANES);
            self.reference = Reference::at(most(&after[..after.len().min(rest)], first));
        }
        let total = add_terms(isa, self.reference, self.total, (x, skip), &mut scratch.terms);
        self.max = most(after, most(before, self.max));
        if self.max > self.reference.ceiling {
            let raised = Reference::at(self.max);
            let total = self.total.scaled(self.reference.factor(isa, raised));
            self.reference = raised;
            self.total = add_terms(isa, raised, total, (x, skip), &mut scratch.terms);
        } else {
            self.total = total;
        }
    }

    /// The largest class pushed, −∞ if there is none. NaN is passed over: the sum is NaN then.
    #[inline(always)]
    pub fn max(&self) -> f64 {
        self.max.to_f64()
    }

    /// The sum.
    #[inline(always)]
    pub fn scaled(&self) -> Scaled {
        let center = self.reference.center.to_f64();
        let above = self.max.to_f64() - center;
        // The n of the largest x, and with it what `exp_parts` left in the terms that matter.
        let n = if above.is_finite() { round(above * core::f64::consts::LOG2_E) } else { 0.0 };
        Scaled {
            center: center - n * F::LN_2_REST,
            exponent: f64::from(self.reference.exponent),
            sum: self.total.value::<F>(),
        }
    }
}

/// The largest of `x` and `most`. A NaN is passed over.
#[inline(always)]
pub fn most<F: Real>(x: &[F], most: F) -> F {
    let larger = |a, b| if a > b { a } else { b };
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut most = tail.iter().fold(most, |most, &x| larger(x, most));
    if !chunks.is_empty() {
        let mut lanes = [F::NEG_INFINITY; LANES];
        for chunk in chunks {
            lanes = zip(*chunk, lanes, larger);
        }
        most = lanes.iter().fold(most, |most, &x| larger(x, most));
    }
    most
}

/// Adds the terms of a block to `total`: those of 32 classes at a time, −∞ in the lanes left over at the
/// end and a term of 0 at `skip`.
#[inline(always)]
fn add_terms<S: Isa, F: Real>(
    isa: S,
    reference: Reference<F>,
    mut total: Total,
    (x, skip): (&[F], usize),
    terms: &mut [F],
) -> Total {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let whole = chunks.as_flattened();
    write_terms(isa, reference, whole, &mut terms[..whole.len()]);
    let mut length = whole.len();
    if !tail.is_empty() {
        let mut padded = [F::NEG_INFINITY; LANES];
        padded[..tail.len()].copy_from_slice(tail);
        write_terms(isa, reference, &padded, &mut terms[length..][..LANES]);
        length += LANES;
    }
    if skip < length {
        terms[skip] = F::ZERO;
    }
    for chunk in terms[..length].as_chunks::<LANES>().0 {
        total = total.plus(core::array::from_fn(
            #[inline(always)]
            |i| (chunk[i] + chunk[i + 8]) + (chunk[i + 16] + chunk[i + 24]),
        ));
    }
    total
}

/// e^x · 2^−exponent · e^−center of every x.
///
/// A NaN passes the floor (`y < floor` is false) and makes its term NaN, as does +∞ (its remainder is
/// NaN); −∞ stops at the floor and gives 0. Without the subtraction of a center, which few rows need, AVX2
/// keeps all constants in registers: hence two loops.
#[inline(always)]
fn write_terms<S: Isa, F: Real>(isa: S, reference: Reference<F>, x: &[F], terms: &mut [F]) {
    let Reference { center, shifter, floor, .. } = reference;
    let term = |y| {
        let y = if y < floor { floor } else { y };
        let (mantissa, exponent) = exp_parts(isa, y, shifter);
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
    pub fn push<T: Dtype>(mut self, block: &[T::Storage], weight: Option<&[f64]>) -> Self {
        for (i, eight) in block.chunks(EIGHT).enumerate() {
            let mut terms = [0.0; EIGHT];
            for (lane, &x) in eight.iter().enumerate() {
                let w = weight.map_or(1.0, |w| w[i * EIGHT + lane]);
                terms[lane] = if w == 0.0 { 0.0 } else { w * (T::value(x) - self.shift) };
            }
            self.total = self.total.plus(terms);
        }
        self
    }

    /// The sum.
    #[inline(always)]
    pub fn value(self) -> f64 {
        let value = self.total.value::<f64>();
        // ∞ − ∞ in the compensation must not hide an infinite sum.
        if value.is_nan() { self.total.plain() } else { value }
    }
}
