//! The divergence Σ p·(log p − log q) of two rows of logits, p and q being their softmax.
//!
//! With d = log q − log p,
//!
//! ```text
//! divergence  =  Σ (q − p − p·d)
//! ```
//!
//! of positive terms. With x_m and y_m the largest logits of each row, and ℓ_p and ℓ_q the losses
//! −log p and −log q of these classes,
//!
//! ```text
//! d  =  (y − y_m) − (x − x_m) + (ℓ_p − ℓ_q)
//! ```
//!
//! in the precision above the logits' own ([`Real::Extended`]), so that the d of a nearly certain
//! class keeps its digits. The losses are not that precise, for which
//! [`divergence`](crate::math::row::divergence) makes up. The unit is the sum of the terms of x: p
//! is the term of x, and q the term of y times k, with
//!
//! ```text
//! log k  =  (ℓ_p − ℓ_q) + log term(x_m) − log term(y_m)
//! ```

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::Terms;
use crate::fold::others::{Others, add_products};
use crate::math::row::{self, divergence_terms};
use crate::math::terms::add_values;
use nll_simd::{Buffer, Extended, Isa, LaneSum, Real};

/// The numbers that relate two rows.
#[derive(Clone, Copy)]
pub struct Relation<F: Real> {
    x_m: f64,
    y_m: f64,
    /// The class that has more than half of p, [`NONE`](crate::math::terms::NONE) if none has.
    likely: usize,
    /// The sum of the terms of x.
    pub(super) p_sum: F::Extended,
    /// ℓ_p − ℓ_q
    losses: F::Extended,
    pub(super) k: F::Extended,
}

impl<F: Real> Relation<F> {
    /// With q divided by 1 + u, which is near 1.
    #[inline(always)]
    pub(super) fn corrected<S: Isa>(self, isa: S, u: F::Extended) -> Self {
        // The words of a difference may be large and cancel: u would be lost in their sum.
        let losses = self.losses.renormalize().add(u.log1p(isa).neg()).renormalize();
        Relation { losses, k: self.k.div(isa, F::Extended::new(1.0).add(u)), ..self }
    }

    /// d of a class, from its two logits, and how far that of x is below the largest.
    #[inline(always)]
    pub(super) fn log_ratio(&self, x: f64, y: f64) -> (F::Extended, F::Extended) {
        let below = F::Extended::sum(self.x_m, -x);
        let d = F::Extended::sum(y, -self.y_m).add(below).add(self.losses);
        (d.renormalize(), below)
    }

    /// Of the largest logits of both rows and the sums of their others' terms.
    #[inline(always)]
    fn new<S: Isa>(isa: S, p: &Others<F>, q: &Others<F>) -> Self {
        let losses = p.loss(isa).add(q.loss(isa).neg());
        let log_k = p.log_term().add(q.log_term().neg()).add(losses);
        let k = log_k.renormalize().mul_exp(isa, 1.0);
        let (x_m, y_m) = (p.x.to_f64(), q.x.to_f64());
        let [term, rest] = p.sums(isa);
        let likely = p.at_if_likely(isa);
        Relation { x_m, y_m, likely, p_sum: term.add(rest), losses, k }
    }
}

/// Two rows whose terms can be had block by block.
pub trait PairTerms<F: Real> {
    /// The numbers that relate them.
    fn relation(&self) -> &Relation<F>;

    /// The terms of a block of both rows, where they are kept or in `memory`.
    fn terms<'s, S: Isa>(
        &'s self,
        isa: S,
        block: &Block<'_, F, 2>,
        memory: [&'s mut Buffer<F>; 2],
    ) -> [&'s [F]; 2];
}

/// Two rows with the terms of all their classes.
pub struct Pair<'t, F: Real> {
    p_terms: &'t [F],
    q_terms: &'t [F],
    relation: Relation<F>,
}

impl<'t, F: Real> Pair<'t, F> {
    /// Two rows whose terms have been taken in.
    #[inline(always)]
    pub fn new<S: Isa>(isa: S, p: &'t mut Terms<'_, F>, q: &'t mut Terms<'_, F>) -> Self {
        let ((p, p_terms), (q, q_terms)) = (p.parts(isa), q.parts(isa));
        Pair { p_terms, q_terms, relation: Relation::new(isa, &p, &q) }
    }
}

impl<F: Real> PairTerms<F> for Pair<'_, F> {
    #[inline(always)]
    fn relation(&self) -> &Relation<F> {
        &self.relation
    }

    #[inline(always)]
    fn terms<'s, S: Isa>(
        &'s self,
        _isa: S,
        block: &Block<'_, F, 2>,
        _memory: [&'s mut Buffer<F>; 2],
    ) -> [&'s [F]; 2] {
        let Pair { p_terms, q_terms, .. } = self;
        [&p_terms[block.first..][..block.length], &q_terms[block.first..][..block.length]]
    }
}

/// Two rows whose terms are computed when they are asked for.
#[derive(Clone, Copy)]
pub struct LongPair<F: Real> {
    p: Others<F>,
    q: Others<F>,
    relation: Relation<F>,
}

impl<F: Real> LongPair<F> {
    /// Two rows whose largest logits and sums are known.
    #[inline(always)]
    pub fn new<S: Isa>(isa: S, p: Others<F>, q: Others<F>) -> Self {
        LongPair { p, q, relation: Relation::new(isa, &p, &q) }
    }

    /// The largest logit of each row, and the sum of the others' terms.
    #[inline(always)]
    pub fn sides(&self) -> [Others<F>; 2] {
        [self.p, self.q]
    }

    /// The terms of a block of both rows, in `memory`.
    #[inline(always)]
    pub fn write<'s, S: Isa>(
        &self,
        isa: S,
        block: &Block<'_, F, 2>,
        memory: [&'s mut Buffer<F>; 2],
    ) -> [&'s mut [F]; 2] {
        let [p, q] = memory.map(|memory| memory.first(block.length, F::ZERO));
        let [x, y] = block.classes();
        self.p.write(isa, block.first, x, p);
        self.q.write(isa, block.first, y, q);
        [p, q]
    }
}

impl<F: Real> PairTerms<F> for LongPair<F> {
    #[inline(always)]
    fn relation(&self) -> &Relation<F> {
        &self.relation
    }

    #[inline(always)]
    fn terms<'s, S: Isa>(
        &'s self,
        isa: S,
        block: &Block<'_, F, 2>,
        memory: [&'s mut Buffer<F>; 2],
    ) -> [&'s [F]; 2] {
        self.write(isa, block, memory).map(|terms| &*terms)
    }
}

/// What the slopes of the divergence need of the whole rows.
#[derive(Clone, Copy)]
pub struct Related<F: Real> {
    x_m: f64,
    y_m: f64,
    /// The sum of the terms of x.
    pub p_sum: f64,
    losses: F::Extended,
    /// What a term of y is multiplied by, to have the unit of those of x.
    pub k: F::Extended,
    /// The divergence.
    pub value: f64,
    /// The class that has more than half of p, if one has.
    pub likely: usize,
}

impl<F: Real> Related<F> {
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
        let Relation { x_m, y_m, likely, p_sum, losses, k } = *self.pair.relation();
        let [bend, slope] = [self.bend, self.slope].map(|sum| sum.extended::<F>());
        let value = row::divergence::<S, F>(isa, bend, slope, p_sum);
        // By how much d is off, as `row::divergence` explains.
        let off = bend.add(slope).div(isa, p_sum).rounded();
        // A sum of large products is itself off by more than that.
        let is_known = slope.div(isa, p_sum).rounded().abs() < 1.0;
        let losses = losses.add(F::Extended::new(if is_known { -off } else { 0.0 }));
        Related { x_m, y_m, p_sum: p_sum.rounded(), losses: losses.renormalize(), k, value, likely }
    }
}

/// q − p − p·d of every class as a double-double, and p·d.
///
/// A function of its own: only as arguments are the slices known to be apart, without which the
/// loop is not vectorised.
#[inline(always)]
fn pair_products<S: Isa, F: Real>(
    isa: S,
    relation: &Relation<F>,
    ([x, y], [p, q]): ([&[F]; 2], [&[F]; 2]),
    rounded: &mut [f64],
    lost: &mut [f64],
    slopes: &mut [f64],
) {
    let Relation { x_m, y_m, losses, k, .. } = *relation;
    for i in 0..x.len() {
        let (x, y) = (x[i].to_f64(), y[i].to_f64());
        let d = F::Extended::sum(y, -y_m).add(F::Extended::sum(x_m, -x)).add(losses);
        let q = F::Extended::new(q[i].to_f64()).mul(isa, k);
        let p = p[i].to_f64();
        let [bend, slope] = divergence_terms::<S, F>(isa, p, q, d.renormalize());
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
        let Scratch { terms, changed, rounded, lost, second, .. } = scratch;
        let [p, q] = self.pair.terms(isa, block, [terms, changed]);
        let (p, q) = (&p[..x.len()], &q[..x.len()]);
        let (rounded, lost) = (rounded.first(x.len(), 0.0), lost.first(x.len(), 0.0));
        let slopes = second.first(x.len(), 0.0);
        pair_products(isa, self.pair.relation(), ([x, y], [p, q]), rounded, lost, slopes);
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
