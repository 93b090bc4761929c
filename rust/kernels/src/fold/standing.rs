//! How the target of a row stands among its classes.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::math::terms::{NONE, position};
use nll_simd::{Isa, Real};

/// How many classes are above the target, and how many are equal to it, the target itself included.
#[derive(Clone, Copy, Debug)]
pub struct Standing<F> {
    /// The logit of the target.
    x_t: F,
    above: u64,
    equal: u64,
    /// The first class that is equal to it, if none of those before is above it; else [`NONE`].
    first: usize,
    has_nan: bool,
}

/// What a [`Standing`] comes to.
#[derive(Clone, Copy, Debug)]
pub struct Rank {
    /// How many logits are larger than the target's.
    pub above: u64,
    /// How many are equal to it, its own included.
    pub equal: u64,
    /// The first class that is equal to it if none is above it.
    pub first: usize,
    /// Whether any logit is NaN, which stands nowhere.
    pub has_nan: bool,
}

impl<F: Real> Standing<F> {
    /// Of no classes, for a target whose logit is `x_t`.
    #[inline(always)]
    pub fn of(x_t: F) -> Self {
        Standing { x_t, above: 0, equal: 0, first: NONE, has_nan: x_t.is_nan() }
    }

    /// Looks for a NaN in a block. A row has one only if the sum of its terms is NaN.
    #[cold]
    #[inline(never)]
    pub(crate) fn look_for_nan(&mut self, x: &[F]) {
        self.has_nan |= x.iter().any(|x| x.is_nan());
    }

    /// The logit of the target.
    #[inline(always)]
    pub fn x_t(&self) -> F {
        self.x_t
    }
}

impl<F: Real> Fold<F> for Standing<F> {
    type Row = Rank;

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let ([x], x_t) = (block.classes(), self.x_t);
        // A loop for each: their counts stay in registers. A block has fewer classes than 32 bits count.
        self.above += count(x, |x| x > x_t);
        self.equal += count(x, |x| x == x_t);
        if self.above == 0 && self.equal > 0 && self.first == NONE {
            self.first = position(x, x_t).map_or(NONE, |at| block.first + at);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.above += later.above;
        self.equal += later.equal;
        self.first = self.first.min(later.first);
        self.has_nan |= later.has_nan;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> Rank {
        let Standing { above, equal, first, has_nan, .. } = *self;
        Rank { above, equal, first, has_nan }
    }
}

/// How many numbers of a block satisfy `is`.
#[inline(always)]
fn count<F: Real>(x: &[F], is: impl Fn(F) -> bool) -> u64 {
    u64::from(x.iter().fold(0_u32, |count, &x| count + u32::from(is(x))))
}
