//! The divergence Σ p·(log p − log q) of two rows of logits, p and q being their softmax.
//!
//! With d = log q − log p,
//!
//! ```text
//! divergence  =  Σ (q − p − p·d)
//! ```
//!
//! of positive terms, which keep their digits where the rows are nearly equal; `direct.rs` has a cheaper way for all other rows
//! of float32. `pair.rs` tells how d is computed. It contains losses that are rounded, for which
//! [`divergence::value`] makes up.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::others::{Others, add_products};
use crate::fold::pair::{PairTerms, Relation};
use crate::math::divergence;
use crate::math::terms::add_values;
use nll_simd::{Extended, Isa, LaneSum, Real};

/// What the slopes of the divergence need of the whole rows.
#[derive(Clone, Copy)]
pub struct Related<F: Real> {
    pub(super) x_m: f64,
    pub(super) y_m: f64,
    /// The sum of the terms of x.
    pub p_sum: f64,
    pub(super) losses: F::Extended,
    /// What a term of y is multiplied by, to have the unit of those of x.
    pub k: F::Extended,
    /// The divergence.
    pub value: f64,
    /// The class that has more than half of p, if one has.
    pub likely: usize,
}

impl<F: Real> Related<F> {
    /// Of two rows and both sums of their divergence.
    #[inline(always)]
    pub(super) fn new<S: Isa>(
        isa: S,
        relation: &Relation<F>,
        [bend, slope]: [F::Extended; 2],
    ) -> Self {
        let Relation { x_m, y_m, likely, p_sum, losses, k } = *relation;
        let value = divergence::value::<S, F>(isa, bend, slope, p_sum);
        // By how much d is off, as `divergence::value` explains.
        let off = bend.add(slope).div(isa, p_sum).rounded();
        // A sum of large products is itself off by more than that.
        let is_known = slope.div(isa, p_sum).rounded().abs() < 1.0;
        let losses = losses.add(F::Extended::new(if is_known { -off } else { 0.0 }));
        Related { x_m, y_m, p_sum: p_sum.rounded(), losses: losses.renormalize(), k, value, likely }
    }

    /// Of two rows whose divergence and log(R/S) are known [directly](divergence::direct), from the largest logit of each
    /// and the sum of its other terms.
    #[inline(always)]
    pub fn of_direct<S: Isa>(
        isa: S,
        [p, q]: [&Others<F>; 2],
        [value, log_ratio]: [f64; 2],
    ) -> Self {
        let [p_sum, q_sum] = [p, q].map(|of| {
            let [term, rest] = of.sums(isa);
            term.add(rest).rounded()
        });
        let losses = F::Extended::new(-log_ratio);
        let k = F::Extended::new(p_sum / q_sum);
        let (x_m, y_m, likely) = (p.x.to_f64(), q.x.to_f64(), p.at_if_likely(isa));
        Related { x_m, y_m, p_sum, losses, k, value, likely }
    }

    /// d of a class, from its two logits.
    #[inline(always)]
    pub fn log_ratio(&self, x: f64, y: f64) -> F::Extended {
        let above = F::Extended::sum(y, -self.y_m);
        above.add(F::Extended::sum(self.x_m, -x)).add(self.losses).renormalize()
    }
}

/// Σ p·(log p − log q). States that are merged are of the same pair.
pub struct Divergence<P> {
    pair: P,
    /// Σ (q − p − p·d)
    bend: LaneSum,
    /// Σ p·d
    slope: LaneSum,
}

impl<P> Divergence<P> {
    /// Of no classes of a pair.
    #[inline(always)]
    pub fn new(pair: P) -> Self {
        Divergence { pair, bend: LaneSum::ZERO, slope: LaneSum::ZERO }
    }

    /// The pair of rows.
    #[inline(always)]
    pub fn pair(&self) -> &P {
        &self.pair
    }

    /// What the slopes of the divergence need of the whole rows.
    #[inline(always)]
    pub fn related<S: Isa, F: Real>(&self, isa: S) -> Related<F>
    where
        P: PairTerms<F>,
    {
        let sums = [self.bend, self.slope].map(|sum| sum.extended::<F>());
        Related::new(isa, self.pair.relation(), sums)
    }
}

/// How many classes take a step of the formula together: what it hands on stays in L1.
const TOGETHER: usize = 128;

/// What the steps hand on: both words of d, its curve's polynomial, and both words of the curve.
const STEPS: usize = 5;

/// q − p − p·d of every class as a double-double, and p·d.
///
/// Step after step of some classes: in one loop, a class would be one chain of operations about as long as what a
/// CPU looks ahead, and it would wait for each.
///
/// A function of its own: only as arguments are the slices known to be apart, without which the
/// loops are not vectorised.
#[inline(always)]
fn pair_products<S: Isa, F: Real>(
    isa: S,
    relation: &Relation<F>,
    [x, y, p, q]: [&[F]; 4],
    steps: &mut [[f64; TOGETHER]; STEPS],
    [rounded, lost, slopes]: [&mut [f64]; 3],
) {
    let Relation { x_m, y_m, losses, k, .. } = *relation;
    let [d, d_lost, tail, curve, curve_lost] = steps;
    let count = x.len().min(TOGETHER);
    for i in 0..count {
        let (x, y) = (x[i].to_f64(), y[i].to_f64());
        let d_of = F::Extended::sum(y, -y_m).add(F::Extended::sum(x_m, -x)).add(losses);
        let words = d_of.renormalize().parts();
        d[i] = words[0];
        if F::COMPENSATED {
            d_lost[i] = words[1];
        }
    }
    for i in 0..count {
        let x = F::Extended::of_parts([d[i], d_lost[i]]).rounded();
        tail[i] = divergence::curve_tail::<S, F>(isa, x);
    }
    if F::COMPENSATED {
        for i in 0..count {
            let x = F::Extended::of_parts([d[i], d_lost[i]]).rounded();
            [curve[i], curve_lost[i]] = divergence::curve::<S, F>(isa, tail[i], x).parts();
        }
    }
    for i in 0..count {
        let d = F::Extended::of_parts([d[i], d_lost[i]]);
        let curve = match F::COMPENSATED {
            true => F::Extended::of_parts([curve[i], curve_lost[i]]),
            false => divergence::curve::<S, F>(isa, tail[i], d.rounded()),
        };
        let q = F::Extended::new(q[i].to_f64()).mul(isa, k);
        let [bend, slope] = divergence::terms::<S, F>(isa, p[i].to_f64(), q, d, curve);
        [rounded[i], slopes[i]] = [bend.words()[0], slope.rounded()];
        if F::COMPENSATED {
            lost[i] = bend.words()[1];
        }
    }
}

impl<F: Real, P: PairTerms<F>> Fold<F, 2> for Divergence<P> {
    /// Both sums, and the sum of the terms of x.
    type Row = [F::Extended; 3];

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let [x, y] = block.classes();
        let y = &y[..x.len()];
        let Scratch { terms, changed, rounded, lost, second, shares, .. } = scratch;
        let [p, q] = self.pair.terms(isa, block, [terms, changed]);
        let (p, q) = (&p[..x.len()], &q[..x.len()]);
        let (rounded, lost) = (rounded.first(x.len(), 0.0), lost.first(x.len(), 0.0));
        let slopes = second.first(x.len(), 0.0);
        let steps = shares.first(STEPS * TOGETHER, 0.0).as_chunks_mut().0;
        let steps = steps.first_chunk_mut().expect("as many steps as were asked for");
        for start in (0..x.len()).step_by(TOGETHER) {
            let part = start..(start + TOGETHER).min(x.len());
            let numbers = [x, y, p, q].map(|numbers| &numbers[part.clone()]);
            let places = [&mut *rounded, &mut *lost, &mut *slopes];
            let places = places.map(|place| &mut place[part.clone()]);
            pair_products(isa, self.pair.relation(), numbers, steps, places);
        }
        add_products::<S, F>(isa, [rounded, lost], &mut self.bend);
        add_values::<S, F, _>(isa, &mut self.slope, slopes);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.bend = self.bend.merge::<F>(later.bend);
        self.slope = self.slope.merge::<F>(later.slope);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> [F::Extended; 3] {
        [self.bend.extended::<F>(), self.slope.extended::<F>(), self.pair.relation().p_sum]
    }
}
