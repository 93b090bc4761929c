//! Two rows of logits together: the numbers that relate them, and the terms of both, kept or computed again.
//!
//! With x_m and y_m the largest logits of each row, and ℓ_p and ℓ_q the losses −log p and −log q of these
//! classes,
//!
//! ```text
//! d  =  log q − log p  =  (y − y_m) − (x − x_m) + (ℓ_p − ℓ_q)
//! ```
//!
//! in the precision above the logits' own ([`Real::Extended`]), so that the d of a nearly certain class keeps
//! its digits. The unit is the sum of the terms of x: p is the term of x, and q the term of y times k, with
//!
//! ```text
//! log k  =  (ℓ_p − ℓ_q) + log term(x_m) − log term(y_m)
//! ```

use crate::data::rows::Block;
use crate::fold::Terms;
use crate::fold::others::Others;
use nll_simd::{Buffer, Extended, Isa, Real};

/// The numbers that relate two rows.
#[derive(Clone, Copy)]
pub struct Relation<F: Real> {
    pub(super) x_m: f64,
    pub(super) y_m: f64,
    /// The class that has more than half of p, [`NONE`](crate::math::terms::NONE) if none has.
    pub(super) likely: usize,
    /// The sum of the terms of x.
    pub(super) p_sum: F::Extended,
    /// ℓ_p − ℓ_q
    pub(super) losses: F::Extended,
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

    /// The relation of two rows, from the largest logit of each and the sum of its other terms.
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

/// The numbers that relate two rows, for each of some classes: of one pair of rows, or of many side by side.
pub(super) trait Relations<F: Real> {
    /// Those of the rows that class number `i` belongs to.
    fn of(&self, i: usize) -> Relation<F>;
}

impl<F: Real> Relations<F> for Relation<F> {
    #[inline(always)]
    fn of(&self, _i: usize) -> Relation<F> {
        *self
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
