//! Arithmetic with about twice the digits of its operands.
//!
//! For operands in f32 the wider type is f64. No type is wider than f64, so there a number is a
//! double-double `hi + lo`, where `lo` is about the rounding error of `hi`. A formula over
//! [`Extended`] is written once for both.

use crate::float::{Float, two_sum_error};
use crate::isa::Isa;
use crate::math::{
    exp_words, scale_by_power, short_log, short_log1p, short_log1p_nonnegative,
    short_log1p_of_ratio, short_mul_exp,
};

/// A number type with about twice the digits of its operands, whose words are of type `F`.
pub trait Extended<F: Float = f64>: Copy + Send + Sync {
    /// x
    fn new(x: F) -> Self;
    /// The number rounded to `F`, and the rounding error, which is 0 if the number is not finite.
    fn words(self) -> [F; 2];
    /// a + b
    fn sum(a: F, b: F) -> Self;
    /// self + b
    fn add(self, b: Self) -> Self;
    /// self · b
    fn mul<S: Isa>(self, isa: S, b: Self) -> Self;
    /// self · a + c
    fn mul_add<S: Isa>(self, isa: S, a: F, c: F) -> Self;
    /// self / b
    fn div<S: Isa>(self, isa: S, b: Self) -> Self;
    /// s·e^self; e^self alone may be out of range.
    fn mul_exp<S: Isa>(self, isa: S, s: F) -> Self;
    /// log x
    fn log<S: Isa>(isa: S, x: F) -> Self;
    /// log(1 + self)
    fn log1p<S: Isa>(self, isa: S) -> Self;
    /// log(1 + self) to 32 bits, for self ≥ 0: the first step of [`log1p`](Self::log1p).
    fn short_log1p<S: Isa>(self, isa: S) -> F;
    /// e^−log, the second step. 0 where the first has all digits.
    fn inverse<S: Isa>(isa: S, log: F) -> Self;
    /// log(1 + self), the third step, from `log`, the same to 32 bits, and its [`inverse`](Self::inverse).
    fn log1p_near<S: Isa>(self, isa: S, log: F, inverse: Self) -> Self;
    /// The words as they are stored, of which [`of_parts`](Self::of_parts) makes the same number.
    fn parts(self) -> [F; 2];
    /// The number with these [`parts`](Self::parts).
    fn of_parts(parts: [F; 2]) -> Self;
    /// log(1 + self/b), for 0 ≤ self ≤ 0.4·b.   b = 0 → 0.
    fn log1p_of_ratio<S: Isa>(self, isa: S, b: Self) -> Self;
    /// n·ln 2 for an integer |n| < 2^20.
    fn ln_2_times(n: F) -> Self;
    /// −self
    fn neg(self) -> Self;
    /// The same number with its leading word rounded again, which a sum with cancellation needs.
    fn renormalize(self) -> Self;

    /// The number rounded to `F`.
    #[inline(always)]
    fn rounded(self) -> F {
        self.words()[0]
    }
}

impl Extended for f64 {
    #[inline(always)]
    fn new(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn words(self) -> [f64; 2] {
        [self, 0.0]
    }
    #[inline(always)]
    fn sum(a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn add(self, b: f64) -> f64 {
        self + b
    }
    #[inline(always)]
    fn mul<S: Isa>(self, _: S, b: f64) -> f64 {
        self * b
    }
    #[inline(always)]
    fn mul_add<S: Isa>(self, isa: S, a: f64, c: f64) -> f64 {
        isa.mul_add(self, a, c)
    }
    #[inline(always)]
    fn div<S: Isa>(self, _: S, b: f64) -> f64 {
        self / b
    }
    #[inline(always)]
    fn mul_exp<S: Isa>(self, isa: S, s: f64) -> f64 {
        short_mul_exp(isa, s, self)
    }
    #[inline(always)]
    fn log<S: Isa>(isa: S, x: f64) -> f64 {
        short_log(isa, x)
    }
    #[inline(always)]
    fn log1p<S: Isa>(self, isa: S) -> f64 {
        short_log1p(isa, self)
    }
    #[inline(always)]
    fn short_log1p<S: Isa>(self, isa: S) -> f64 {
        short_log1p_nonnegative(isa, self)
    }
    #[inline(always)]
    fn inverse<S: Isa>(_: S, _: f64) -> f64 {
        0.0
    }
    #[inline(always)]
    fn log1p_near<S: Isa>(self, _: S, log: f64, _: f64) -> f64 {
        log
    }
    #[inline(always)]
    fn parts(self) -> [f64; 2] {
        [self, 0.0]
    }
    #[inline(always)]
    fn of_parts([x, _]: [f64; 2]) -> f64 {
        x
    }
    #[inline(always)]
    fn log1p_of_ratio<S: Isa>(self, isa: S, b: f64) -> f64 {
        short_log1p_of_ratio(isa, self, b)
    }
    #[inline(always)]
    fn ln_2_times(n: f64) -> f64 {
        n * core::f64::consts::LN_2
    }
    #[inline(always)]
    fn neg(self) -> f64 {
        -self
    }
    #[inline(always)]
    fn renormalize(self) -> f64 {
        self
    }
}

/// The number hi + lo (a double-double).
#[derive(Clone, Copy, Debug)]
pub struct DoubleWord<F> {
    /// The leading word: the number rounded, or nearly so after a sum has cancelled.
    pub hi: F,
    /// The trailing word: about the rounding error of `hi`.
    pub lo: F,
}

impl<F: Float> DoubleWord<F> {
    #[inline(always)]
    fn product<S: Isa>(isa: S, a: F, b: F) -> Self {
        let hi = a * b;
        DoubleWord { hi, lo: isa.two_prod_error(a, b, hi) }
    }

    /// log self, by one Newton step from an approximation to 32 bits: log + (self·e^−log − 1).
    #[inline(always)]
    fn log_near<S: Isa>(self, isa: S, log: F, inverse: Self) -> Self {
        let rest = self.mul(isa, inverse).add(DoubleWord::new(-F::ONE)).rounded();
        // `mul` leaves out the product of the trailing words. If self is 1 + x with an x below the
        // ulp of 1, that is −x² in a result of about x.
        DoubleWord { hi: log, lo: isa.mul_add(self.lo, inverse.lo, rest) }
    }
}

impl<F: Float> Extended<F> for DoubleWord<F> {
    #[inline(always)]
    fn new(x: F) -> Self {
        DoubleWord { hi: x, lo: F::ZERO }
    }
    #[inline(always)]
    fn words(self) -> [F; 2] {
        let DoubleWord { hi, lo } = self;
        let rounded = hi + lo;
        // If hi is infinite, lo may be NaN, and so may be their sum.
        if rounded.abs() < F::INFINITY { [rounded, (hi - rounded) + lo] } else { [hi, F::ZERO] }
    }
    #[inline(always)]
    fn sum(a: F, b: F) -> Self {
        let hi = a + b;
        DoubleWord { hi, lo: two_sum_error(a, b, hi) }
    }
    #[inline(always)]
    fn add(self, b: Self) -> Self {
        let sum = DoubleWord::sum(self.hi, b.hi);
        DoubleWord { hi: sum.hi, lo: sum.lo + (self.lo + b.lo) }
    }
    #[inline(always)]
    fn mul<S: Isa>(self, isa: S, b: Self) -> Self {
        let product = DoubleWord::product(isa, self.hi, b.hi);
        let crossed = isa.mul_add(self.hi, b.lo, self.lo * b.hi);
        DoubleWord { hi: product.hi, lo: product.lo + crossed }
    }
    #[inline(always)]
    fn mul_add<S: Isa>(self, isa: S, a: F, c: F) -> Self {
        let product = self.mul(isa, DoubleWord::new(a));
        DoubleWord::new(c).add(product)
    }
    #[inline(always)]
    fn div<S: Isa>(self, isa: S, b: Self) -> Self {
        let hi = self.hi / b.hi;
        let product = DoubleWord::new(hi).mul(isa, b);
        let rest = (self.hi - product.hi) + (self.lo - product.lo);
        DoubleWord { hi, lo: rest / b.hi }
    }
    #[inline(always)]
    fn mul_exp<S: Isa>(self, isa: S, s: F) -> Self {
        let reach = F::EXP_RANGE.map(|bound| bound + F::HALF * bound);
        let ([one, rest], n) = exp_words(isa, [self.hi, self.lo], reach);
        let product = DoubleWord::product(isa, s, one).add(DoubleWord::new(s * rest));
        let [hi, lo] = product.words().map(|word| scale_by_power(word, n));
        DoubleWord { hi, lo }
    }
    #[inline(always)]
    fn log<S: Isa>(isa: S, x: F) -> Self {
        let log = short_log(isa, x);
        DoubleWord::new(x).log_near(isa, log, Self::inverse(isa, log))
    }
    #[inline(always)]
    fn log1p<S: Isa>(self, isa: S) -> Self {
        let log = short_log1p(isa, self.hi);
        self.log1p_near(isa, log, Self::inverse(isa, log))
    }
    #[inline(always)]
    fn short_log1p<S: Isa>(self, isa: S) -> F {
        short_log1p_nonnegative(isa, self.hi)
    }
    #[inline(always)]
    fn inverse<S: Isa>(isa: S, log: F) -> Self {
        DoubleWord::new(-log).mul_exp(isa, F::ONE)
    }
    #[inline(always)]
    fn log1p_near<S: Isa>(self, isa: S, log: F, inverse: Self) -> Self {
        DoubleWord::new(F::ONE).add(self).log_near(isa, log, inverse)
    }
    #[inline(always)]
    fn parts(self) -> [F; 2] {
        [self.hi, self.lo]
    }
    #[inline(always)]
    fn of_parts([hi, lo]: [F; 2]) -> Self {
        DoubleWord { hi, lo }
    }
    #[inline(always)]
    fn log1p_of_ratio<S: Isa>(self, isa: S, b: Self) -> Self {
        let ratio = self.div(isa, b);
        let ratio = if b.hi == F::ZERO { DoubleWord::new(F::ZERO) } else { ratio };
        ratio.log1p(isa)
    }
    #[inline(always)]
    fn ln_2_times(n: F) -> Self {
        let [hi, lo] = F::LN_2_PARTS;
        DoubleWord { hi: n * hi, lo: n * lo }
    }
    #[inline(always)]
    fn neg(self) -> Self {
        DoubleWord { hi: -self.hi, lo: -self.lo }
    }
    #[inline(always)]
    fn renormalize(self) -> Self {
        let [hi, lo] = self.words();
        DoubleWord { hi, lo }
    }
}
