//! Floor 3: quantities of a row of classes as folds over its blocks. No threads, no storage types.
//!
//! A fold is a value: the state of a quantity over some of a row's classes. It takes in blocks of
//! classes, can be composed with others that look at the same blocks ([`Fold`] is implemented for
//! pairs), merged with the state of the row's later classes, and finished when all classes are in.
//!
//! ```text
//! cross entropy      (LogSum without the target, Pick)                     one sweep
//! … with smoothing   ((LogSum, Pick), Linear)                              one sweep
//! logsumexp          LogSum of all                                         one sweep
//! entropy            Entropy                                               one sweep
//! soft targets       SoftTarget                                            one sweep
//! … of probabilities ExpectedLoss                                          one sweep
//! log Σ b·e^x        WeightedSum                                           one sweep
//! log softmax        Others, then the results                              two sweeps
//! gradient           Terms, then the results                               one sweep
//! divergence         Direct (float32), or for nearly equal rows            one sweep
//!                    Terms of both rows, then Divergence                   two sweeps
//! score              LogSum beside Below and Standing, and TopK (`Score`) one sweep
//! compare            Terms and TopK of both rows, then Comparison          two sweeps
//! ```
//!
//! Rows of very many classes are folded in pieces, whose states merge (`call/long_rows.rs`): there a
//! second sweep computes terms again, in the place of terms that are kept.
//!
//! The second sweep of other rows comes from cache. [`LogSum`] leaves out a class that is known before,
//! the target, and needs no maximum. The others ([`Others`]) leave out the largest logit, which is
//! that of the blocks so far.
//!
//! **Rows in the lanes.** A fold here has the classes of one row in its lanes. Of rows with few
//! classes, 32 are read together, with a lane for each row (`lanes.rs`, `lane_*.rs`): as
//! functions, because all their classes are in L1 and nothing is merged or finished later. What both
//! have in common is the end: states come down to the few numbers (the sum of the others' terms, the
//! target's logit) that the formulas of [`crate::math::row`] take, one scalar formula each, called
//! for one row or in a loop over the lanes. Which of the two ways a row goes is decided by its
//! number of classes alone, so its bits do not depend on layout or batch.

mod below;
mod beside;
mod columns;
mod comparison;
mod direct;
mod divergence;
mod entropy;
mod expected_loss;
pub mod lane_comparison;
mod lane_direct;
pub mod lane_pair;
mod lane_scales;
pub mod lane_terms;
pub mod lane_top;
pub mod lanes;
mod linear;
mod log_sum;
mod others;
mod pair;
mod peaks;
mod pick;
mod products;
mod row_terms;
mod score;
mod shares;
mod soft_target;
mod standing;
mod top_k;
mod weighted_sum;

pub use comparison::{Comparison, Excess, PairRow};
pub use direct::{Direct, DirectRow};
pub use divergence::{Divergence, Related};
pub use entropy::Entropy;
pub use expected_loss::{ExpectedLoss, Probabilities, expected_losses};
pub use linear::Linear;
pub(crate) use linear::linear_term;
pub use log_sum::LogSum;
pub use others::Others;
pub use pair::{LongPair, Pair};
pub use pick::Pick;
pub use row_terms::{TermRows, Terms};
pub use score::{Largest, Score, Scored};
pub use soft_target::{SoftTarget, TargetSum, Weighting};
pub use standing::Rank;
pub use top_k::{Candidate, TopK};
pub use weighted_sum::{WeightedSum, weighted_sums};

use crate::data::rows::{Block, Rows};
use crate::data::scratch::Scratch;
use nll_simd::{Isa, Real};
use std::ops::Range;

/// The state of a quantity over some classes of a row. `X` is a class; `N` says how many arrays of
/// logits (or logits and targets) are looked at together.
pub trait Fold<X, const N: usize = 1> {
    /// What the quantity comes to.
    type Row;

    /// Takes in the next block of classes.
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, X, N>, scratch: &mut Scratch<X>);

    /// Takes in the state of the classes behind these.
    fn merge<S: Isa>(&mut self, isa: S, later: Self);

    /// The quantity, when all classes are in.
    fn finish<S: Isa>(&self, isa: S) -> Self::Row;
}

impl<X, const N: usize, A: Fold<X, N>, B: Fold<X, N>> Fold<X, N> for (A, B) {
    type Row = (A::Row, B::Row);

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, X, N>, scratch: &mut Scratch<X>) {
        self.0.push(isa, block, scratch);
        self.1.push(isa, block, scratch);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, later: Self) {
        self.0.merge(isa, later.0);
        self.1.merge(isa, later.1);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> Self::Row {
        (self.0.finish(isa), self.1.finish(isa))
    }
}

impl<X, const N: usize, A: Fold<X, N> + Copy> Fold<X, N> for &mut A {
    type Row = A::Row;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, X, N>, scratch: &mut Scratch<X>) {
        (**self).push(isa, block, scratch);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, later: Self) {
        (**self).merge(isa, *later);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> Self::Row {
        (**self).finish(isa)
    }
}

impl<X, const N: usize, A: Fold<X, N>> Fold<X, N> for Option<A> {
    type Row = Option<A::Row>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, X, N>, scratch: &mut Scratch<X>) {
        if let Some(fold) = self {
            fold.push(isa, block, scratch);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, later: Self) {
        if let (Some(fold), Some(later)) = (self, later) {
            fold.merge(isa, later);
        }
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> Self::Row {
        Some(self.as_ref()?.finish(isa))
    }
}

/// Folds the rows of `group` that are `wanted`, in blocks of at most `size` classes: from
/// `start(row in group)` on, until `end` has the fold of the whole row. Each array is read with a
/// scratch of its own; the folds compute with the last.
#[inline(always)]
pub fn sweep<S: Isa, F: Real, A: Fold<F, N>, const N: usize>(
    isa: S,
    rows: &Rows<'_, N>,
    (group, size): (Range<usize>, usize),
    wanted: impl Fn(usize) -> bool,
    (reading, computing): (&mut [Scratch<F>; N], &mut Scratch<F>),
    start: impl FnMut(usize) -> A,
    end: impl FnMut(usize, A),
) {
    rows.visit(
        isa,
        (group, size),
        wanted,
        reading,
        (
            start,
            #[inline(always)]
            |fold, block| fold.push(isa, block, computing),
            end,
        ),
    );
}
