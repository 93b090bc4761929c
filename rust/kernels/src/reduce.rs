//! Totals that do not depend on the order of their terms.
//!
//! An [`ExactSum`] is a fixed-point number wide enough for every f64 (Neal 2015, "Fast exact summation
//! using small and large superaccumulators"). Adding is integer arithmetic, so it is associative, and the
//! value is rounded once, when it is read.

const DIGIT_BITS: i32 = 32;
/// The lowest digit's lowest bit is worth 2^−1074, the smallest subnormal.
const LOWEST: i32 = 1074;
const DIGITS: usize = 68;

/// A sum of f64 terms without rounding.
#[derive(Clone, Debug)]
pub struct ExactSum {
    /// Base 2^32, but each digit has room for 2^31 terms before a carry must be taken.
    digits: [i64; DIGITS],
    pending: u32,
    /// The sum of the terms that are not finite.
    special: f64,
}

impl Default for ExactSum {
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
        let wide = u128::from(mantissa) << (position % 32);
        let sign = if bits >> 63 == 1 { -1 } else { 1 };
        for (i, digit) in self.digits[position / 32..][..3].iter_mut().enumerate() {
            *digit += sign * ((wide >> (32 * i)) as u32 as i64);
        }
        self.pending += 1;
        if self.pending == 1 << 30 {
            self.carry();
        }
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        self.carry();
        let mut other = other.clone();
        other.carry();
        for (mine, theirs) in self.digits.iter_mut().zip(other.digits) {
            *mine += theirs;
        }
        self.special += other.special;
        self.carry();
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
        self.pending = 0;
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

/// x · 2^n in two steps, neither of which rounds.
fn scale(x: f64, n: i32) -> f64 {
    use nll_simd::math::power_of_two;
    x * power_of_two(n / 2) * power_of_two(n - n / 2)
}

/// What many rows come to; any split of the rows merges to the same bits.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Σ loss
    pub sum: ExactSum,
    /// Σ loss²
    pub square: ExactSum,
    /// Σ weight
    pub weight: ExactSum,
    /// Rows that were counted.
    pub rows: u64,
    /// Rows that were left out.
    pub ignored: u64,
    /// Rows whose target is the first largest class.
    pub greedy: u64,
}

impl Totals {
    /// The totals of both.
    #[must_use]
    pub fn merge(mut self, other: Totals) -> Totals {
        self.sum.merge(&other.sum);
        self.square.merge(&other.square);
        self.weight.merge(&other.weight);
        self.rows += other.rows;
        self.ignored += other.ignored;
        self.greedy += other.greedy;
        self
    }
}
