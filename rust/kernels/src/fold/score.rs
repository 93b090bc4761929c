//! Everything about a row with a class as target, from one read.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::below::Below;
use crate::fold::beside::Beside;
use crate::fold::peaks::add_left_out;
use crate::fold::standing::Standing;
use crate::fold::{Candidate, Fold, LogSum, Others, Rank, TopK};
use crate::math::row::{self, ScaledSum};
use crate::math::terms::NONE;
use nll_simd::{Extended, Isa, Real};

/// The state of everything about a row. The largest k classes need the peaks that the sum keeps.
///
/// The cross entropy is that of the fold of the same name, so its bits are too. The entropy comes from the
/// same terms, and so does the loss of the largest class, as [`row::target_and_rest`] says. Of a row of
/// which neither can be had so, both are those of [`Entropy`](crate::fold::Entropy), from a sweep of its own.
#[derive(Clone)]
pub struct Score<F: Real> {
    rest: LogSum<F, (Below<F>, Standing<F>)>,
    has_nan: bool,
    top: Option<TopK<F>>,
}

impl<F: Real> Score<F> {
    /// Of no classes; the target is `class`, whose logit is `x_t`.
    #[inline(always)]
    pub fn empty((class, x_t): (usize, F), top_k: usize) -> Self {
        let beside = (Below::target(x_t), Standing::of((class, x_t)));
        let top = (top_k > 0).then(|| TopK::of(top_k));
        Score { rest: LogSum::beside(class, beside), has_nan: x_t.is_nan(), top }
    }

    /// Looks for a NaN in a block. A row has one only if the sum of its terms is NaN.
    #[cold]
    #[inline(never)]
    fn look_for_nan(&mut self, x: &[F]) {
        self.has_nan |= x.iter().any(|x| x.is_nan());
    }
}

/// What a [`Score`] comes to.
#[derive(Clone)]
pub struct Scored<F: Real> {
    /// The target's logit.
    pub x_t: F,
    /// The largest logit, and the first class that has it.
    pub largest: (F, usize),
    /// The sum of the terms of all classes but the target.
    pub rest: ScaledSum,
    /// How far the rest is below the largest logit in the mean.
    pub below: F::Extended,
    /// How the target stands among the classes.
    pub rank: Rank,
    /// The largest classes, if any are wanted.
    pub top: Option<Vec<Candidate<F>>>,
}

/// The largest logit of a row against the rest, from which the log-probability of any class comes.
#[derive(Clone, Copy)]
pub struct Largest<F: Real> {
    /// The logit.
    pub x: F,
    /// The first class that has it.
    pub at: usize,
    /// −log p of that class.
    pub loss: F::Extended,
}

impl<F: Real> Largest<F> {
    /// When all classes are in.
    #[inline(always)]
    pub fn new<S: Isa>(isa: S, others: &Others<F>) -> Self {
        // Of a row without a class above −∞, the first is the largest.
        let at = if others.x == F::NEG_INFINITY { 0 } else { others.at };
        Largest { x: others.x, at, loss: others.loss(isa) }
    }

    /// log Σ e^x, with the digits that the largest logit and its loss have.   All −∞ → −∞.
    #[inline(always)]
    pub fn log_sum_exp(&self) -> f64 {
        match self.x.to_f64().is_infinite() {
            true => self.x.to_f64(),
            false => F::Extended::new(self.x.to_f64()).add(self.loss).rounded(),
        }
    }

    /// log softmax(x) of a class with the logit `x`: its distance from the largest, less the loss.   Never above 0.
    #[inline(always)]
    pub fn log_prob(&self, x: F) -> f64 {
        row::log_prob::<F>(row::below_largest::<F>(x, self.x, self.loss))
    }
}

impl<F: Real> Fold<F> for Score<F> {
    type Row = Scored<F>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        self.rest.push(isa, block, scratch);
        if self.rest.is_nan() {
            self.look_for_nan(block.classes()[0]);
        }
        if let Some(top) = &mut self.top {
            const { assert!(<(Below<F>, Standing<F>)>::KEEPS_PEAKS, "the peaks are those of the block") };
            let ([x], target) = (block.classes(), self.rest.left_out().wrapping_sub(block.first));
            let peaks = &mut scratch.pieces().peaks;
            add_left_out(x, target, peaks);
            top.offer_block(isa, block, peaks);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, later: Self) {
        Fold::<F>::merge(&mut self.rest, isa, later.rest);
        self.has_nan |= later.has_nan;
        Fold::<F>::merge(&mut self.top, isa, later.top);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> Scored<F> {
        let ((below, standing), total) = self.rest.sums();
        let ((x_m, at), rank) = (below.largest(), standing.rank(self.has_nan));
        let at = if at == NONE { rank.first } else { at };
        Scored {
            x_t: standing.x_t(),
            largest: (x_m, at),
            rest: self.rest.finish(isa),
            below: below.mean(isa, total),
            rank,
            top: self.top.finish(isa),
        }
    }
}
