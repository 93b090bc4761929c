//! log Σ b·e^x of a row of logits x with factors b.
//!
//! With b = ±m·2^k and √½ ≤ m < √2, a term is ±m·e^{x + k·ln 2}. All terms have one scale, which
//! follows the largest x + k·ln 2: a large logit with a tiny factor hides nothing, and a factor may be
//! as large or small as its type holds.

use crate::data::lines::{LANES, Lines};
use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::lanes::LaneSums;
use crate::fold::others::{PIECE, add_products};
use crate::math::row;
use crate::math::terms::{SumScale, max_lane, max2};
use nll_simd::{CHUNK_LANES, Extended, Isa, LaneSum, Real};

/// Σ b·e^x
#[derive(Clone, Copy)]
pub struct WeightedSum<F: Real> {
    scale: SumScale<F>,
    /// The largest x + k·ln 2, −∞ of no classes that count.
    max: F,
    total: LaneSum,
}

/// x + k·ln 2, nearly; −∞ of a class whose term is 0, infinite or NaN at any scale.
#[inline(always)]
fn magnitude<F: Real>(x: F, b: F) -> F {
    let (k, _) = F::split(b.abs());
    let nats = F::from_f64(x.to_f64() + k.to_f64() * core::f64::consts::LN_2);
    if row::is_ordinary(x, b) { nats } else { F::NEG_INFINITY }
}

/// The largest [`magnitude`] of some classes, lane by lane: one maximum after the other would not be vectorised.
#[inline(always)]
fn largest<F: Real>(x: &[F], b: &[F]) -> F {
    let ((x, x_rest), (b, b_rest)) = (x.as_chunks(), b.as_chunks());
    let [mut x_last, mut b_last] = [[F::ZERO; CHUNK_LANES]; 2];
    x_last[..x_rest.len()].copy_from_slice(x_rest);
    b_last[..b_rest.len()].copy_from_slice(b_rest);
    let mut lanes = [F::NEG_INFINITY; CHUNK_LANES];
    for (x, b) in x.iter().zip(b).chain([(&x_last, &b_last)]) {
        for i in 0..CHUNK_LANES {
            lanes[i] = max2(magnitude(x[i], b[i]), lanes[i]);
        }
    }
    max_lane(lanes)
}

/// The term of a class at a scale.
#[inline(always)]
fn term<S: Isa, F: Real>(isa: S, scale: SumScale<F>, x: F, b: F) -> F::Extended {
    let (k, m) = F::split(b.abs());
    let log = scale.log_term(x).add(F::Extended::ln_2_times(k.to_f64())).renormalize();
    let ordinary = log.mul_exp(isa, if b < F::ZERO { -m.to_f64() } else { m.to_f64() });
    if row::is_ordinary(x, b) { ordinary } else { F::Extended::new(row::edge_term(x, b)) }
}

impl<F: Real> WeightedSum<F> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        let scale = SumScale::new(0.0, 0.0);
        WeightedSum { scale, max: F::NEG_INFINITY, total: LaneSum::ZERO }
    }

    /// Raises the scale if `max` is larger than all before.
    #[inline(always)]
    fn raise<S: Isa>(&mut self, isa: S, max: F) {
        if max > self.max {
            if self.max == F::NEG_INFINITY {
                // What was added is 0, infinite or NaN at any scale.
                self.scale = SumScale::below(max);
            } else {
                let scale = self.scale.raised(max);
                self.total = self.total.scaled(self.scale.factor(isa, scale));
                self.scale = scale;
            }
            self.max = max;
        }
    }
}

impl<F: Real> Fold<F, 2> for WeightedSum<F> {
    /// The logarithm of the sum.
    type Row = f64;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let (rounded, lost) = (scratch.rounded.first(PIECE, 0.0), scratch.lost.first(PIECE, 0.0));
        let [x, b] = block.classes();
        self.raise(isa, largest(x, &b[..x.len()]));
        for (x, b) in x.chunks(PIECE).zip(b.chunks(PIECE)) {
            let terms = rounded.iter_mut().zip(lost.iter_mut());
            for (((rounded, lost), &x), &b) in terms.zip(x).zip(b) {
                [*rounded, *lost] = term(isa, self.scale, x, b).words();
            }
            add_products::<S, F>(isa, [&rounded[..x.len()], &lost[..x.len()]], &mut self.total);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        self.raise(isa, later.max);
        if later.max != F::NEG_INFINITY {
            later.total = later.total.scaled(later.scale.factor(isa, self.scale));
        }
        self.total = self.total.merge::<F>(later.total);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> f64 {
        row::log_of_scaled::<S, F>(isa, self.total.extended::<F>(), self.scale.unit())
    }
}

/// log Σ b·e^x of each of some rows side by side. All classes are known, so the scale is that of the largest
/// from the first term on.
#[inline(always)]
pub fn weighted_sums<S: Isa, F: Real>(isa: S, [lines, factors]: [Lines<'_, F>; 2]) -> [f64; LANES] {
    let mut max = [F::NEG_INFINITY; LANES];
    for class in 0..lines.classes() {
        let (x, b) = (lines.line(class), factors.line(class));
        for i in 0..LANES {
            max[i] = max2(magnitude(x[i], b[i]), max[i]);
        }
    }
    let [mut center, mut exponent] = [[0.0; LANES]; 2];
    for i in 0..LANES {
        if max[i] != F::NEG_INFINITY {
            [center[i], exponent[i]] = SumScale::below(max[i]).unit();
        }
    }
    let mut total = LaneSums::ZERO;
    for class in 0..lines.classes() {
        let (x, b) = (lines.line(class), factors.line(class));
        lines.fetch_next(class);
        factors.fetch_next(class);
        for i in 0..LANES {
            let scale = SumScale::new(center[i], exponent[i]);
            let words = term(isa, scale, x[i], b[i]).words();
            total.add::<F>(i, words[0]);
            if F::COMPENSATED {
                total.add::<F>(i, words[1]);
            }
        }
    }
    let mut value = [0.0; LANES];
    for i in 0..LANES {
        let unit = [center[i], exponent[i]];
        value[i] = row::log_of_scaled::<S, F>(isa, total.value::<F>(i), unit);
    }
    value
}
