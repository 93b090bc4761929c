//! The largest class of a row.

use crate::data::rows::{BLOCK, Block, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::fold::{Fold, sweep};
use crate::math::terms::{NONE, max, position};
use nll_simd::{Isa, Real};
use std::ops::Range;

/// The largest class so far and the first place where it stands.
#[derive(Clone, Copy, Debug)]
pub struct ArgMax<F> {
    /// Its logit, −∞ of no classes.
    pub x: F,
    /// Its index in the row; [`NONE`] of no classes, or of nothing but NaN.
    pub at: usize,
}

impl<F: Real> ArgMax<F> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        ArgMax { x: F::NEG_INFINITY, at: NONE }
    }
}

impl<F: Real> Fold<F> for ArgMax<F> {
    type Row = Self;

    /// NaN is passed over.
    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let [x] = block.classes();
        let largest = max(x);
        if largest > self.x || self.at == NONE {
            self.x = largest;
            self.at = position(x, largest).map_or(NONE, |at| block.first + at);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        if later.x > self.x || self.at == NONE {
            *self = later;
        }
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> Self {
        *self
    }
}

/// The largest class of every row of `group` that is `wanted`.
#[inline(always)]
pub(crate) fn largest<S: Isa, F: Real>(
    isa: S,
    rows: &Rows<'_>,
    group: Range<usize>,
    wanted: impl Fn(usize) -> bool,
    scratch: (&mut [Scratch<F>; 1], &mut Scratch<F>),
) -> [ArgMax<F>; GROUP] {
    let mut largest = [ArgMax::empty(); GROUP];
    sweep(
        isa,
        rows,
        (group, BLOCK),
        wanted,
        scratch,
        #[inline(always)]
        |_| ArgMax::empty(),
        #[inline(always)]
        |i, fold| largest[i] = fold,
    );
    largest
}
