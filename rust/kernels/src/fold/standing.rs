//! How many classes of a row are above its target, and how many are equal to it.

use crate::fold::beside::{Beside, Chunks};
use crate::math::terms::{NONE, position};
use nll_simd::{Isa, LaneSum, Real};

/// The counts so far.
#[derive(Clone, Copy)]
pub(crate) struct Standing<F> {
    target: usize,
    /// The logit of the target.
    x_t: F,
    above: u64,
    /// How many are equal to it, the target itself included.
    equal: u64,
    /// The first class that is equal to the target, unless one above the target came before; [`NONE`] if there is none.
    first: usize,
}

/// Where the target of a row stands among its classes.
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
    pub(crate) fn of((target, x_t): (usize, F)) -> Self {
        Standing { target, x_t, above: 0, equal: 0, first: NONE }
    }

    /// The logit of the target.
    #[inline(always)]
    pub(crate) fn x_t(&self) -> F {
        self.x_t
    }

    /// When all classes are in.
    #[inline(always)]
    pub(crate) fn rank(&self, has_nan: bool) -> Rank {
        let Standing { above, equal, first, .. } = *self;
        Rank { above, equal, first, has_nan }
    }
}

impl<F: Real> Beside<F> for Standing<F> {
    const KEEPS_PEAKS: bool = false;

    #[inline(always)]
    fn add<S: Isa>(&mut self, _isa: S, chunks: &Chunks<'_, F>, _total: &LaneSum) {
        let ((first, x), x_t) = (chunks.all, self.x_t);
        let has_target = self.target.wrapping_sub(first) < x.len();
        // Most chunks have no class as large as a likely target.
        if !has_target && !chunks.lanes.iter().fold(false, |any, &x| any | (x >= x_t)) {
            return;
        }
        // A piece has fewer classes than 32 bits count.
        let (mut above, mut equal) = (0_u32, 0_u32);
        for &x in x {
            above += u32::from(x > x_t);
            equal += u32::from(x == x_t);
        }
        self.above += u64::from(above);
        self.equal += u64::from(equal);
        if self.above == 0 && equal > 0 && self.first == NONE {
            self.first = position(x, x_t).map_or(NONE, |at| first + at);
        }
    }

    #[inline(always)]
    fn scale(&mut self, _factor: f64) {}

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self, _totals: [&LaneSum; 2]) {
        self.above += later.above;
        self.equal += later.equal;
        self.first = self.first.min(later.first);
    }
}
