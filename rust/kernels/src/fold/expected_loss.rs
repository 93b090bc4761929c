//! The loss −Σ y·log p of a row of probabilities with a distribution as target.

use crate::data::lines::{LANES, Lines};
use crate::data::rows::{BLOCK, Block};
use crate::data::scratch::Scratch;
use crate::fold::lanes::LaneSums;
use crate::fold::others::{PIECE, add_products};
use crate::fold::{Fold, Weighting};
use crate::math::row;
use nll_simd::{Extended, Isa, LaneSum, Real};

/// How probabilities and their targets are read.
#[derive(Clone, Copy)]
pub(crate) struct Probabilities<'w> {
    /// The weights of the targets.
    pub(crate) weighting: Weighting<'w>,
    /// The least distance of a probability from 0 and 1; 0 for none.
    pub(crate) margin: f64,
}

/// −Σ y·log p, y being weighted targets.
pub(crate) struct ExpectedLoss<'w> {
    of: Probabilities<'w>,
    total: LaneSum,
}

impl<'w> ExpectedLoss<'w> {
    /// Of no classes.
    #[inline(always)]
    pub(crate) fn empty(of: Probabilities<'w>) -> Self {
        ExpectedLoss { of, total: LaneSum::ZERO }
    }
}

impl<F: Real> Fold<F, 2> for ExpectedLoss<'_> {
    type Row = f64;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let Scratch { changed, rounded, lost, .. } = scratch;
        let changed = changed.first(BLOCK, F::ZERO);
        let (rounded, lost) = (rounded.first(PIECE, 0.0), lost.first(PIECE, 0.0));
        let [p, y] = block.classes();
        let y = self.of.weighting.apply(block.first, y, changed);
        for (p, y) in p.chunks(PIECE).zip(y.chunks(PIECE)) {
            let products = rounded.iter_mut().zip(lost.iter_mut());
            for (((rounded, lost), &p), &y) in products.zip(p).zip(y) {
                let loss = row::expected_loss::<S, F>(isa, y, p.to_f64(), self.of.margin);
                let words = loss.words();
                *rounded = words[0];
                if F::COMPENSATED {
                    *lost = words[1];
                }
            }
            add_products::<S, F>(isa, [&rounded[..p.len()], &lost[..p.len()]], &mut self.total);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.total = self.total.merge::<F>(later.total);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> f64 {
        self.total.value::<F>()
    }
}

/// [`ExpectedLoss`] of rows side by side.
#[inline(always)]
pub(crate) fn expected_losses<S: Isa, F: Real>(
    isa: S,
    [lines, targets]: [Lines<'_, F>; 2],
    of: Probabilities<'_>,
) -> [f64; LANES] {
    let mut total = LaneSums::ZERO;
    for class in 0..lines.classes() {
        let (p, mut y) = (lines.line(class), *targets.line(class));
        lines.fetch_next(class);
        targets.fetch_next(class);
        if !of.weighting.is_none() {
            y.iter_mut().for_each(|y| *y = of.weighting.of(class, *y));
        }
        for i in 0..LANES {
            let loss = row::expected_loss::<S, F>(isa, y[i], p[i].to_f64(), of.margin).words();
            total.add::<F>(i, loss[0]);
            if F::COMPENSATED {
                total.add::<F>(i, loss[1]);
            }
        }
    }
    let mut value = [0.0; LANES];
    for i in 0..LANES {
        value[i] = total.value::<F>(i).rounded();
    }
    value
}
