//! How two distributions differ, class by class: formulas that keep their digits when the two are nearly
//! equal. Those of a class are for float64; `share.rs` has those for float32.
//!
//! With d = log q − log p of a class, each is p times a function of d that is 0 at d = 0. Where the
//! plain formula would cancel it is another: for −1 < d < 3 by q − p = p·(e^d − 1), which the
//! [divergence](divergence::terms) knows with all its digits, and for −1 < d < 1 by a
//! polynomial.

use crate::math::divergence::{self, curve, curve_tail};
use nll_simd::math::horner;
use nll_simd::{Extended, Isa, Real};

/// The share of one class in the quantities that compare p and q.
#[derive(Clone, Copy)]
pub struct ClassShare<F: Real> {
    /// q − p − p·d, whose sum is the divergence of p from q.
    pub bend: F::Extended,
    /// q − p
    pub apart: F::Extended,
    /// p − q + q·d, whose sum is the divergence of q from p.
    pub back: F::Extended,
    /// (p·log(2p/(p+q)) + q·log(2q/(p+q)))/2, whose sum is the Jensen-Shannon divergence.
    pub middle: f64,
}

/// Coefficients of h(d)/d² on −1 ≤ d ≤ 1, by powers of d²: about 1/16, −1/128, … With d = log(q/p), (p + q)·h(d)
/// is the share of a class in the divergence of p and q from their mean. From `benches/middle_coefficients.py`: relative error
/// 5e-18.
#[rustfmt::skip]
const MIDDLE: [f64; 11] = [
    0.0625, -0.0078124999999999245, 0.0008680555555525248, -9.22309027303154e-05,
    9.610614697342916e-06, -9.917746377370264e-07, 1.0178752765688275e-07,
    -1.0402836469766198e-08, 1.0503643838781089e-09, -9.850410484105574e-11,
    6.430320779924099e-12,
];

/// Two functions of d. Near d = 0, `bend`·p·d² is the class's share in the divergence, and `middle`·(p + q)·d² that
/// in the Jensen-Shannon divergence.
#[derive(Clone, Copy)]
pub struct Curves<F: Real> {
    /// (e^d − 1 − d)/d²
    pub bend: F::Extended,
    /// A polynomial in d².
    pub middle: f64,
}

impl<F: Real> Curves<F> {
    /// What of both functions one word of f64 suffices for: the first step.
    #[inline(always)]
    pub fn tails<S: Isa>(isa: S, x: f64) -> [f64; 2] {
        [curve_tail::<S, F>(isa, x), horner(isa, &MIDDLE, x * x)]
    }

    /// Both functions from their [`tails`](Self::tails): the second step.
    #[inline(always)]
    pub fn of_tails<S: Isa>(isa: S, [bend, middle]: [f64; 2], x: f64) -> Self {
        Curves { bend: curve::<S, F>(isa, bend, x), middle }
    }
}

/// How large the |d| of some classes are.
///
/// Read as integers, the bits of positive numbers have the order of the numbers, and NaN comes last. So the
/// highest bit of an integer difference tells which of two numbers is larger. The differences of many
/// classes are joined by `or` in one word, whose highest bit tells whether any is: no branch, no mask.
#[derive(Clone, Copy, Default)]
pub struct Sizes {
    far: u64,
    unsure: u64,
}

/// The error of d is below this number. Where |d| is too, it is not known which of p and q is larger.
pub const UNSURE: f64 = 1e-6;

impl Sizes {
    /// Of one class more.
    #[inline(always)]
    pub fn and(self, d: f64) -> Self {
        let bits = d.abs().to_bits();
        let far = self.far | (1f64.to_bits() - 1).wrapping_sub(bits);
        Sizes { far, unsure: self.unsure | bits.wrapping_sub(UNSURE.to_bits()) }
    }

    /// Whether some are not near: |d| ≥ 1, or NaN.
    #[inline(always)]
    pub fn are_far(self) -> bool {
        self.far >> 63 > 0
    }

    /// Whether some are unsure: |d| < [`UNSURE`].
    #[inline(always)]
    pub fn are_unsure(self) -> bool {
        self.unsure >> 63 > 0
    }
}

/// The share of a class with |d| < 1.
#[inline(always)]
pub fn near_share<S: Isa, F: Real>(
    isa: S,
    p: f64,
    d: F::Extended,
    curves: Curves<F>,
) -> ClassShare<F> {
    let slope = F::Extended::new(p).mul(isa, d);
    let bend = slope.mul(isa, d).mul(isa, curves.bend);
    let apart = bend.add(slope);
    let back = apart.mul(isa, d).add(bend.neg());
    let middle = near_middle::<S, F>(isa, p, apart, d, curves.middle);
    ClassShare { bend, apart, back, middle }
}

/// The share of any class.   p = q = 0 → 0. p = 0 < q: `back` is +∞; q = 0 < p: `bend` is. NaN → NaN.
///
/// For |d| < 1 it is [`near_share`]'s, bit for bit.
#[inline(always)]
pub fn class_share<S: Isa, F: Real>(
    isa: S,
    p: f64,
    q: F::Extended,
    d: F::Extended,
    curves: Curves<F>,
) -> ClassShare<F> {
    let x = d.rounded();
    let [bend, slope] = divergence::terms::<S, F>(isa, p, q, d, curves.bend);
    let near = bend.add(slope);
    let far = q.add(F::Extended::new(-p));
    let is_near = x > -1.0 && x < 3.0;
    let apart = if is_near { near } else { far };
    let back_near = apart.mul(isa, d).add(bend.neg());
    let product = if q.rounded() == 0.0 { F::Extended::new(0.0) } else { q.mul(isa, d) };
    let back_far = far.neg().add(product);
    // Also where q is less than the least number.
    let back_far = if x == f64::INFINITY { F::Extended::new(x) } else { back_far };
    let back = if is_near { back_near } else { back_far };
    // The q that is as far from p as `apart` says.
    let q = if is_near { F::Extended::new(p).add(apart) } else { q };
    let near = near_middle::<S, F>(isa, p, apart, d, curves.middle);
    let far = middle_of_far::<S, F>(isa, (p, q), d);
    let middle = if x.abs() < 1.0 { near } else { far };
    ClassShare { bend, apart, back, middle }
}

/// [`ClassShare::middle`] for |d| < 1, with `apart` = q − p.
#[inline(always)]
fn near_middle<S: Isa, F: Real>(
    isa: S,
    p: f64,
    apart: F::Extended,
    d: F::Extended,
    curve: f64,
) -> f64 {
    let sum = apart.add(F::Extended::new(2.0 * p));
    sum.mul(isa, d.mul(isa, d)).mul(isa, F::Extended::new(curve)).rounded()
}

/// (p·log(2p/(p+q)) + q·log(2q/(p+q)))/2 = ((p + q)·(log 2 − log(1 + r)) − least·|d|)/2, with r = least/most
/// of p and q.   p = q = 0 → 0.
#[inline(always)]
fn middle_of_far<S: Isa, F: Real>(isa: S, (p, q): (f64, F::Extended), d: F::Extended) -> f64 {
    let (zero, p) = (F::Extended::new(0.0), F::Extended::new(p));
    let (sum, is_rising) = (p.add(q), d.rounded() > 0.0);
    let (least, most) = if is_rising { (p, q) } else { (q, p) };
    let size = if is_rising { d } else { d.neg() };
    // The least may be 0, and infinitely much smaller.
    let further = if least.rounded() == 0.0 { zero } else { least.mul(isa, size) };
    let log_mean = F::Extended::ln_2_times(1.0).add(least.log1p_of_ratio(isa, most).neg());
    sum.mul(isa, log_mean).add(further.neg()).rounded() * 0.5
}

/// The sums over all classes of [`ClassShare`], in units of p's sum.
#[derive(Clone, Copy)]
pub struct Shares<F: Real> {
    /// Σ bend
    pub bend: F::Extended,
    /// Σ apart, 0 but for rounding.
    pub excess: F::Extended,
    /// Σ back
    pub back: F::Extended,
    /// Σ |apart|
    pub distance: f64,
    /// Σ p·sign(apart)
    pub lean: f64,
    /// Σ p of the classes whose d is [unsure](Sizes::are_unsure).
    pub unsure: f64,
    /// Σ middle
    pub middle: f64,
}

/// How many sums there are: those of bend, excess, back, distance, lean and middle of [`Shares`], and then
/// Σ p·(x_m − x), where x_m is the largest logit of p.
pub const SUMS: usize = 7;

/// What these sums come to.
///
/// The d of all classes are off by the same small u, because the losses they were computed from are
/// rounded, as [`divergence::value`] says. What that has added is taken off
/// to the second order.
#[derive(Clone, Copy)]
pub struct Compared {
    /// Σ p·(log p − log q)
    pub kl_pq: f64,
    /// Σ q·(log q − log p)
    pub kl_qp: f64,
    /// Σ (p·log(2p/(p+q)) + q·log(2q/(p+q)))/2, at most log 2.
    pub js: f64,
    /// Σ |p − q|/2, at most 1.
    pub total_variation: f64,
    /// u, if it may have changed `total_variation` through the unsure classes; else 0.
    pub off: f64,
}

impl Compared {
    /// Of two rows; `p_sum` is Σ p in the unit of the sums.
    #[inline(always)]
    pub fn new<S: Isa, F: Real>(isa: S, sums: Shares<F>, p_sum: F::Extended) -> Self {
        let bend = sums.bend.div(isa, p_sum).rounded();
        let back = sums.back.div(isa, p_sum).rounded();
        let excess = sums.excess.div(isa, p_sum).rounded();
        let [distance, lean, unsure, middle] =
            [sums.distance, sums.lean, sums.unsure, sums.middle].map(|sum| sum / p_sum.rounded());
        let u = if excess.abs() < 0.5 { excess } else { 0.0 };
        let kl_qp = back / (1.0 + u) - u * u * (0.5 - u / 1.5);
        // q is larger by the factor 1 + u than it should be. That adds u times the part Σ q·log(2q/(p+q))/2 of the sum, which is
        // half of it for nearly equal rows, and for others at most all: u is so small that this does not matter. The second
        // order, u²·Σ q·p/(p+q)/4, matters for nearly equal rows alone.
        let second = if middle < 1e-3 { 0.125 * u * u } else { 0.0 };
        let js = middle * (1.0 - 0.5 * u) - second;
        // Σ q·sign(apart) is Σ p·sign(apart) + Σ |apart|.
        let total_variation = 0.5 * (distance - u * (lean + distance));
        let precision = if F::COMPENSATED { 1e-17 } else { 1e-8 };
        let is_off = u.abs() * unsure > precision * total_variation;
        // A NaN stays one.
        let within =
            |x: f64, most: f64| if x < 0.0 { 0.0 } else { if x > most { most } else { x } };
        Compared {
            kl_pq: divergence::value_less_excess(bend, excess),
            kl_qp: within(if back == f64::INFINITY { back } else { kl_qp }, f64::INFINITY),
            js: within(js, core::f64::consts::LN_2),
            total_variation: within(total_variation, 1.0),
            off: if is_off { u } else { 0.0 },
        }
    }
}
