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
//! 2. **One loop.** The maximum is tracked beside the sum. k comes from the first 32 classes; terms up to
//!    2^60 above it still fit. If a block exceeds that, the sum so far is rescaled and that block, which
//!    is in L1, summed again: 44 nats above the first 32 classes is rare, and the sums need not be lucky.
//! 3. **Sums leave f32 at once.** Four lanes are added in f32, then f64 takes over, so the error of a sum
//!    is that of `exp` and two roundings, for any number of classes. (f64 sums carry a second word.)
//! 4. **The target is not in the sum.** Its lane is masked with −∞ in the one chunk that holds it, so
//!    `log(1 + rest/target)` keeps its digits however certain the target is.

use crate::formula::Scaled;
use nll_simd::math::{exp, exp_parts};
use nll_simd::{Dtype, EIGHT, Isa, LANES, Real, Total, map, max_eight, zip};

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
            () => (0.0, (m * core::f64::consts::LOG2_E).round_ties_even() as i32),
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

/// Σ e^x over the classes pushed so far, and the largest x.
#[derive(Clone, Copy, Debug)]
pub struct LogSum<T: Dtype> {
    reference: Reference<T::Real>,
    sums: Sums<T::Real>,
}

#[derive(Clone, Copy, Debug)]
struct Sums<F> {
    total: Total,
    max: [F; EIGHT],
}

impl<T: Dtype> LogSum<T> {
    /// The sum over no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        let most = T::Real::NEG_INFINITY;
        LogSum {
            reference: Reference::at(most),
            sums: Sums { total: Total::ZERO, max: [most; EIGHT] },
        }
    }

    /// Adds the classes of `block` (at most [`BLOCK`]), leaving out the one at index `skip`.
    #[inline(always)]
    #[must_use]
    pub fn push<S: Isa>(self, isa: S, block: &[T::Storage], skip: usize) -> Self {
        let unset = self.reference.ceiling == T::Real::NEG_INFINITY;
        let reference =
            if unset { first_reference::<S, T>(isa, block, skip) } else { self.reference };
        let sums = sweep::<S, T>(isa, reference, self.sums, block, skip);
        let max = largest(sums.max);
        if max > reference.ceiling {
            return self.push_raised(isa, reference, Reference::at(max), block, skip);
        }
        LogSum { reference, sums }
    }

    /// [`Self::push`] at a higher reference than the one that overflowed.
    #[cold]
    #[inline(always)]
    fn push_raised<S: Isa>(
        self,
        isa: S,
        from: Reference<T::Real>,
        to: Reference<T::Real>,
        block: &[T::Storage],
        skip: usize,
    ) -> Self {
        let total = self.sums.total.scaled(from.factor(isa, to));
        let sums = sweep::<S, T>(isa, to, Sums { total, ..self.sums }, block, skip);
        LogSum { reference: to, sums }
    }

    /// The largest class pushed, −∞ if there is none. NaN is passed over: the sum is NaN then.
    #[inline(always)]
    pub fn max(self) -> f64 {
        largest(self.sums.max).to_f64()
    }

    /// The sum.
    #[inline(always)]
    pub fn scaled(self) -> Scaled {
        Scaled {
            center: self.reference.center.to_f64(),
            exponent: f64::from(self.reference.exponent),
            sum: self.sums.total.value::<T::Real>(),
        }
    }
}

#[inline(always)]
fn largest<F: Real>(max: [F; EIGHT]) -> F {
    let mut most = max[0];
    for &m in &max[1..] {
        most = if m > most { m } else { most };
    }
    most
}

#[inline(always)]
fn first_reference<S: Isa, T: Dtype>(
    isa: S,
    block: &[T::Storage],
    skip: usize,
) -> Reference<T::Real> {
    let first = padded::<T>(&block[..block.len().min(LANES)], skip);
    let [a, b, c, d] = eights(&T::load(isa, &first));
    Reference::at(largest(max_eight(max_eight(a, b), max_eight(c, d))))
}

/// At most 32 classes as a full chunk, −∞ in the lanes that are left over and in lane `skip`.
#[inline(always)]
fn padded<T: Dtype>(classes: &[T::Storage], skip: usize) -> [T::Storage; LANES] {
    let mut chunk = [T::NEG_INFINITY; LANES];
    chunk[..classes.len()].copy_from_slice(classes);
    if skip < LANES {
        chunk[skip] = T::NEG_INFINITY;
    }
    chunk
}

/// The chunks before the one that holds `skip`, that one masked, those after it, the padded tail.
#[inline(always)]
fn sweep<S: Isa, T: Dtype>(
    isa: S,
    reference: Reference<T::Real>,
    sums: Sums<T::Real>,
    block: &[T::Storage],
    skip: usize,
) -> Sums<T::Real> {
    let (chunks, tail) = block.as_chunks::<LANES>();
    let masked = (skip / LANES).min(chunks.len());
    let mut sums = add_chunks::<S, T>(isa, reference, sums, &chunks[..masked]);
    if let Some(chunk) = chunks.get(masked) {
        sums = add_chunk::<S, T>(isa, reference, sums, &padded::<T>(chunk, skip % LANES));
        sums = add_chunks::<S, T>(isa, reference, sums, &chunks[masked + 1..]);
    }
    if !tail.is_empty() {
        let skip = skip.wrapping_sub(chunks.len() * LANES);
        sums = add_chunk::<S, T>(isa, reference, sums, &padded::<T>(tail, skip));
    }
    sums
}

#[inline(always)]
fn add_chunks<S: Isa, T: Dtype>(
    isa: S,
    reference: Reference<T::Real>,
    mut sums: Sums<T::Real>,
    chunks: &[[T::Storage; LANES]],
) -> Sums<T::Real> {
    for chunk in chunks {
        sums = add_chunk::<S, T>(isa, reference, sums, chunk);
    }
    sums
}

/// The inner loop's body. A NaN passes the floor (`y < floor` is false) and makes the sum NaN, as does
/// +∞ (its remainder is NaN); −∞ stops at the floor and adds 0.
#[inline(always)]
fn add_chunk<S: Isa, T: Dtype>(
    isa: S,
    reference: Reference<T::Real>,
    sums: Sums<T::Real>,
    chunk: &[T::Storage; LANES],
) -> Sums<T::Real> {
    let term = |x| {
        let y = x - reference.center;
        let y = if y < reference.floor { reference.floor } else { y };
        let (mantissa, exponent) = exp_parts(isa, y, reference.shifter);
        mantissa * T::Real::exponent_of(exponent)
    };
    let x = T::load(isa, chunk);
    let [a, b, c, d] = eights(&x);
    let add = |a, b| a + b;
    let sum = zip(zip(map(a, term), map(b, term), add), zip(map(c, term), map(d, term), add), add);
    let max = max_eight(a, max_eight(b, max_eight(c, max_eight(d, sums.max))));
    Sums { total: sums.total.plus(sum), max }
}

/// The four quarters of a chunk.
#[inline(always)]
fn eights<F: Real>(x: &[F; LANES]) -> [[F; EIGHT]; 4] {
    match x.as_chunks::<EIGHT>().0 {
        [a, b, c, d] => [*a, *b, *c, *d],
        _ => unreachable!("32 lanes are four times eight"),
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
