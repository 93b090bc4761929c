//! The share of a class in what compares two rows of float32: as in `comparison.rs`, but tail, middle and lost below are
//! computed in float32, and only what they are multiplied with and added to in float64. d is log q − log p.
//!
//! ```text
//! (e^d − 1 − d)/d²  =  1/2 + d/6 + d²/24 + d³·tail(d)          h(d)/d²  =  1/16 + d²·middle(d²)
//! ```
//!
//! For |d| < 2 the last terms are so small that the rounding of a polynomial in float32 changes the results by less than
//! that of p does. Where |d| ≥ 2, q − p does not cancel, and the divergence from the mean is
//!
//! ```text
//! ((p + q)·log 2 − least·(|d| + lost(t)))/2,   t = least/(p + q),   lost(t) = −log(1 − t)/t,   least = min(p, q)
//! ```
//!
//! The coefficients are from `benches/middle_coefficients.py`.

use nll_simd::Isa;
use nll_simd::math::horner;

/// The |d| below which a class is near.
pub const NEAR: f32 = 2.0;

/// From this |d| on, the product of d with a term does not go to the sum of both divergences: beside it, what all other classes
/// add to the smaller one would lose its digits.
pub const HUGE: f64 = 1e6;

/// How many numbers, each for a class of a pair of rows, take a step together.
pub const NUMBERS: usize = 128;

/// What the steps of these formulas leave for the next.
pub struct Steps {
    /// d
    pub d: [f64; NUMBERS],
    /// x_m − x
    pub below: [f64; NUMBERS],
    /// d as float32.
    pub rounded: [f32; NUMBERS],
    /// tail(d)
    pub tail: [f32; NUMBERS],
    /// middle(d²)
    pub middle: [f32; NUMBERS],
    /// lost(t)
    pub lost: [f32; NUMBERS],
}

impl Steps {
    /// Before the first step.
    pub const ZERO: Steps = Steps {
        d: [0.0; NUMBERS],
        below: [0.0; NUMBERS],
        rounded: [0.0; NUMBERS],
        tail: [0.0; NUMBERS],
        middle: [0.0; NUMBERS],
        lost: [0.0; NUMBERS],
    };
}

const TAIL: [f32; 8] = [
    0.008_333_333,
    0.001_388_888_9,
    0.000_198_415_36,
    2.480_177_7e-5,
    2.752_406_5e-6,
    2.753_366_7e-7,
    2.637_134_2e-8,
    2.181_596_7e-9,
];

const MIDDLE: [f32; 7] = [
    -0.007_812_499_5,
    0.000_868_040_54,
    -9.216_959e-5,
    9.514_694e-6,
    -9.179_487e-7,
    7.078_071e-8,
    -2.980_564_2e-9,
];

const LOST: [f32; 5] = [1.0, 0.499_995_7, 0.333_617_72, 0.243_478_73, 0.259_248_9];

/// tail(d) and middle(d²), for |d| < [`NEAR`].
#[inline(always)]
pub fn curves<S: Isa>(isa: S, d: f32) -> [f32; 2] {
    [horner(isa, &TAIL, d), horner(isa, &MIDDLE, d * d)]
}

/// lost(t) of the terms of a class in any unit, for |d| ≥ [`NEAR`].   p = q = 0 → 1.
#[inline(always)]
pub fn lost<S: Isa>(isa: S, p: f32, q: f32) -> f32 {
    let (least, whole) = (if p < q { p } else { q }, p + q);
    let whole = if whole > f32::MIN_POSITIVE { whole } else { f32::MIN_POSITIVE };
    horner(isa, &LOST, least / whole)
}

/// The sums over the classes of two rows.
#[derive(Clone, Copy)]
pub struct Sums {
    /// Σ (q − p − p·d)
    pub bend: f64,
    /// Σ (q − p)·d
    pub product: f64,
    /// The divergence from the mean.
    pub middle: f64,
}

impl Sums {
    /// With a class that has |d| < [`NEAR`], and its q − p.
    #[inline(always)]
    pub fn with_near<S: Isa>(
        self,
        isa: S,
        p: f64,
        d: f64,
        [tail, middle]: [f32; 2],
    ) -> (Self, f64) {
        let (slope, square) = (p * d, d * d);
        let curve = isa.mul_add(f64::from(tail), d, 1.0 / 24.0);
        let curve = isa.mul_add(isa.mul_add(curve, d, 1.0 / 6.0), d, 0.5);
        let bend = slope * d;
        let apart = isa.mul_add(bend, curve, slope);
        let both = isa.mul_add(2.0, p, apart);
        let middle = isa.mul_add(f64::from(middle), square, 1.0 / 16.0);
        let sums = Sums {
            bend: isa.mul_add(bend, curve, self.bend),
            product: isa.mul_add(apart, d, self.product),
            middle: isa.mul_add(both * square, middle, self.middle),
        };
        (sums, apart)
    }

    /// With a class that has |d| ≥ [`NEAR`], and its q − p; without the products of p and q with a d from ±[`HUGE`] on, or that of
    /// two impossible classes, which is NaN.   p = q = 0 → 0. A NaN of p or q stays one.
    #[inline(always)]
    pub fn with_far<S: Isa>(self, isa: S, p: f64, q: f64, d: f64, lost: f32) -> (Self, f64) {
        let d = if d.abs() < HUGE { d } else { 0.0 };
        let apart = q - p;
        let least = if p < q { p } else { q };
        let further = least * (d.abs() + f64::from(lost));
        let middle = isa.mul_add(p + q, core::f64::consts::LN_2, -further);
        let sums = Sums {
            bend: self.bend + isa.mul_add(-p, d, apart),
            product: isa.mul_add(apart, d, self.product),
            middle: isa.mul_add(0.5, middle, self.middle),
        };
        (sums, apart)
    }
}
