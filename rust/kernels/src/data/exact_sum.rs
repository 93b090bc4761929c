//! Sums of f64 that do not depend on the order of their terms.
//!
//! An [`ExactSum`] is a fixed-point number wide enough for every f64 (Neal 2015, "Fast exact
//! summation using small and large superaccumulators"). Adding is integer arithmetic, so it is
//! associative, and the value is rounded once, when it is read.
//!
//! Adding a term takes several times as long as a cheap loss. [`ExactSum::add_block`] finds the
//! largest and the smallest magnitude of a block and takes the first way that is exact
//! (`docs/performance.md` has their times):
//!
//! 1. Terms of similar size are added by 32 lanes of f64, without rounding; their sums as follows.
//! 2. Terms are counted in whole units: after an addition of 1.5 · 2^52 units, the low bits of a
//!    term are its count, and counts are added as integers.
//! 3. What is left of the terms is counted in a second unit, 2^51 times finer, or in a third.
//! 4. Terms of a wider range are added one by one.

use core::hint::black_box;
use nll_simd::math::power_of_two;
use nll_simd::{CHUNK_LANES, Isa, Real};

const DIGIT_BITS: i32 = 32;
/// The lowest digit's lowest bit is worth 2^−1074, the smallest subnormal.
const LOWEST: i32 = 1074;
const DIGITS: usize = 68;
/// The size of an exact sum in bytes: its digits, and 32 bits more for the highest.
pub const BYTES: usize = 4 * (DIGITS + 1);
/// A carry is taken after this many terms, each below 2^32 in every digit: a digit of a merged sum
/// cannot overflow.
const MOST_PENDING: u32 = 1 << 29;

/// A sum of f64 terms without rounding.
#[derive(Clone, Debug)]
pub struct ExactSum {
    /// Digits of base 2^32, each of which can take 2^31 terms before a carry is needed.
    digits: [i64; DIGITS],
    pending: u32,
    /// The sum of the terms that are not finite.
    special: f64,
}

impl Default for ExactSum {
    #[inline]
    fn default() -> Self {
        ExactSum { digits: [0; DIGITS], pending: 0, special: 0.0 }
    }
}

impl ExactSum {
    /// Adds one term.
    #[inline]
    pub fn add(&mut self, x: f64) {
        if !x.is_finite() {
            self.special += x;
            return;
        }
        let bits = x.to_bits();
        let field = ((bits >> 52) & 0x7ff) as usize;
        let fraction = bits & 0x000f_ffff_ffff_ffff;
        let (mantissa, position) =
            if field == 0 { (fraction, 0) } else { (fraction | 1 << 52, field - 1) };
        let mantissa = mantissa as i64;
        self.add_units(if bits >> 63 == 1 { -mantissa } else { mantissa }, position);
    }

    /// Adds `units` · 2^(`position` − 1074).
    #[inline]
    fn add_units(&mut self, units: i64, position: usize) {
        let wide = u128::from(units.unsigned_abs()) << (position % 32);
        let sign = units.signum();
        for (i, digit) in self.digits[position / 32..][..3].iter_mut().enumerate() {
            *digit += sign * ((wide >> (32 * i)) as u32 as i64);
        }
        self.pending += 1;
        if self.pending >= MOST_PENDING {
            self.carry();
        }
    }

    /// Adds at most 2048 terms.
    #[inline(never)]
    pub fn add_block<S: Isa, F: Real>(&mut self, isa: S, x: &[F]) {
        isa.vectorize(
            #[inline(always)]
            || self.add_block_here(x),
        );
    }

    /// Adds the products of at most 2048 pairs of finite numbers: each as its rounded value and what
    /// that leaves, so that only what lies below the smallest subnormal is lost.
    #[inline(never)]
    pub(crate) fn add_products<S: Isa, F: Real>(&mut self, isa: S, a: &[F], b: &[F]) {
        const PIECE: usize = 256;
        let [mut products, mut errors] = [[0.0; PIECE]; 2];
        for (a, b) in a.chunks(PIECE).zip(b.chunks(PIECE)) {
            isa.vectorize(
                #[inline(always)]
                || {
                    let places = products.iter_mut().zip(&mut errors);
                    for ((product, error), (a, b)) in places.zip(a.iter().zip(b)) {
                        let [a, b] = [a.to_f64(), b.to_f64()];
                        let is_finite = (a.abs() < f64::INFINITY) & (b.abs() < f64::INFINITY);
                        *product = if is_finite { a * b } else { 0.0 };
                        let lost = isa.two_prod_error(a, b, *product);
                        *error = if lost.abs() < f64::INFINITY { lost } else { 0.0 };
                    }
                },
            );
            self.add_block(isa, &products[..a.len()]);
            // A product of two float32 is a float64.
            if F::COMPENSATED {
                self.add_block(isa, &errors[..a.len()]);
            }
        }
    }

    #[inline(always)]
    fn add_block_here<F: Real>(&mut self, x: &[F]) {
        let Some([least, most]) = F::magnitudes(x) else { return };
        let (top, bottom) = (exponent(most) + 1, exponent(least) - F::MANTISSA_BITS);
        if !(-800..900).contains(&top) {
            return x.iter().for_each(|x| self.add(x.to_f64()));
        }
        let folded = top + carry_bits(x.len());
        if folded - bottom <= SUM_BITS {
            self.add_between(&fold(x), folded, bottom);
        } else {
            self.add_between(x, top, bottom);
        }
    }

    /// Adds terms that are multiples of 2^`bottom` below 2^`top`.
    #[inline(always)]
    fn add_between<F: Real>(&mut self, x: &[F], top: i32, bottom: i32) {
        match (top - bottom + UNITS_BITS - 1) / UNITS_BITS {
            1 => self.add_counts(count::<F, 1>(x, top), top),
            2 => self.add_counts(count::<F, 2>(x, top), top),
            3 => self.add_counts(count::<F, 3>(x, top), top),
            _ => x.iter().for_each(|x| self.add(x.to_f64())),
        }
    }

    fn add_counts<const N: usize>(&mut self, counts: [i64; N], top: i32) {
        for (count, i) in counts.into_iter().zip(1..) {
            self.add_units(count, (top - i * UNITS_BITS + LOWEST) as usize);
        }
    }

    /// Adds another sum digit by digit; a digit has room for the pending terms of both.
    pub fn merge(&mut self, other: &ExactSum) {
        for (mine, theirs) in self.digits.iter_mut().zip(other.digits) {
            *mine += theirs;
        }
        self.special += other.special;
        self.pending += other.pending;
        if self.pending >= MOST_PENDING {
            self.carry();
        }
    }

    /// Brings every digit but the last into [0, 2^32).
    fn carry(&mut self) {
        let mut carry = 0;
        for digit in &mut self.digits[..DIGITS - 1] {
            let value = *digit + carry;
            carry = value >> DIGIT_BITS;
            *digit = value & 0xffff_ffff;
        }
        self.digits[DIGITS - 1] += carry;
        // Each digit is below 2^32 again, as after a single term.
        self.pending = 1;
    }

    /// The sum of the terms that are not finite; 0 if there are none.
    #[inline]
    pub fn special(&self) -> f64 {
        self.special
    }

    /// The sum of the finite terms as a whole number of units of 2^−1074, little-endian and signed.
    pub fn to_bytes(&self) -> [u8; BYTES] {
        let mut sum = self.clone();
        sum.carry();
        let mut bytes = [0; BYTES];
        let highest = sum.digits[DIGITS - 1] >> DIGIT_BITS;
        for (to, digit) in
            bytes.as_chunks_mut::<4>().0.iter_mut().zip(sum.digits.iter().chain([&highest]))
        {
            *to = (*digit as u32).to_le_bytes();
        }
        bytes
    }

    /// The sum with these [`ExactSum::to_bytes`] and this [`ExactSum::special`].
    pub fn from_bytes(bytes: &[u8; BYTES], special: f64) -> Self {
        let mut sum = ExactSum { special, pending: 1, ..ExactSum::default() };
        let (words, _) = bytes.as_chunks::<4>();
        for (digit, word) in sum.digits.iter_mut().zip(words) {
            *digit = i64::from(u32::from_le_bytes(*word));
        }
        let highest = words.last().map_or(0, |word| i32::from_le_bytes(*word));
        sum.digits[DIGITS - 1] += i64::from(highest) << DIGIT_BITS;
        sum
    }

    /// The sum, rounded once to the nearest f64, ties to even. The empty sum is 0.
    pub fn value(&self) -> f64 {
        if self.special != 0.0 || self.special.is_nan() {
            return self.special;
        }
        let mut sum = self.clone();
        sum.carry();
        let negative = sum.digits[DIGITS - 1] < 0;
        if negative {
            sum.digits.iter_mut().for_each(|digit| *digit = -*digit);
            sum.carry();
        }
        let Some(top) = sum.digits.iter().rposition(|&digit| digit != 0) else { return 0.0 };
        // Three digits hold at least 65 bits; whatever lies below can only break a tie.
        let low = top.saturating_sub(2);
        let mut integer = 0u128;
        for &digit in sum.digits[low..=top].iter().rev() {
            integer = integer << DIGIT_BITS | digit as u128;
        }
        if sum.digits[..low].iter().any(|&digit| digit != 0) {
            integer |= 1;
        }
        let exponent = low as i32 * DIGIT_BITS - LOWEST;
        let magnitude = scale(integer as f64, exponent);
        if negative { -magnitude } else { magnitude }
    }
}

/// ⌊log2 x⌋ of a normal x; less than −1022 for a subnormal, 1024 for infinity and NaN.
fn exponent<F: Real>(x: F) -> i32 {
    let x = x.to_f64();
    ((x.to_bits() >> 52) & 0x7ff) as i32 - 1023
}

/// How many bits a sum in f64 can span without rounding.
const SUM_BITS: i32 = 53;

/// How many bits more than a term a sum of `terms` terms in [`CHUNK_LANES`] lanes can have.
#[inline]
fn carry_bits(terms: usize) -> i32 {
    terms.div_ceil(CHUNK_LANES).next_power_of_two().ilog2() as i32
}

/// The sum in each of [`CHUNK_LANES`] lanes. The caller ensures that none is rounded.
#[inline(always)]
fn fold<F: Real>(x: &[F]) -> [f64; CHUNK_LANES] {
    let mut sums = [0.0; CHUNK_LANES];
    let (chunks, rest) = x.as_chunks::<CHUNK_LANES>();
    for chunk in chunks {
        for (sum, x) in sums.iter_mut().zip(chunk) {
            *sum += x.to_f64();
        }
    }
    // Out of LLVM's sight: it would pack the lanes as the code behind reads them.
    let mut sums = black_box(sums);
    for (sum, x) in sums.iter_mut().zip(rest) {
        *sum += x.to_f64();
    }
    sums
}

/// A term can be up to 2^51 units, because 1.5 · 2^52 ± 2^51 have one exponent.
const UNITS_BITS: i32 = 51;

/// The sum of the terms as counts of N units, each 2^51 times finer than the one before.
///
/// All terms are below 2^top. Adding and subtracting 1.5 · 2^52 units rounds a term to whole units;
/// the remainder is exact and at most half a unit.
#[inline(always)]
fn count<F: Real, const N: usize>(x: &[F], top: i32) -> [i64; N] {
    let mut lifts = [0.0; N];
    for (lift, i) in lifts.iter_mut().zip(1..) {
        *lift = 1.5 * power_of_two(top - i * UNITS_BITS + 52);
    }
    let mut sums = [0u64; N];
    for x in x {
        let mut rest = x.to_f64();
        for (sum, lift) in sums.iter_mut().zip(lifts) {
            let lifted = rest + lift;
            *sum = sum.wrapping_add(lifted.to_bits());
            rest -= lifted - lift;
        }
    }
    let mut counts = [0; N];
    for ((count, sum), lift) in counts.iter_mut().zip(sums).zip(lifts) {
        *count = sum.wrapping_sub(lift.to_bits().wrapping_mul(x.len() as u64)) as i64;
    }
    counts
}

/// x · 2^n in two steps, neither of which rounds.
fn scale(x: f64, n: i32) -> f64 {
    x * power_of_two(n / 2) * power_of_two(n - n / 2)
}
