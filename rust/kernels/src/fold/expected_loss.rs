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
pub struct Probabilities<'w> {
    /// The weights of the targets.
    pub weighting: Weighting<'w>,
    /// The least distance of a probability from 0 and 1; 0 for none.
    pub margin: f64,
}

/// −Σ y·log p, y being weighted targets.
pub struct ExpectedLoss<'w> {
    of: Probabilities<'w>,
    total: LaneSum,
}

impl<'w> ExpectedLoss<'w> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty(of: Probabilities<'w>) -> Self {
        ExpectedLoss { of, total: LaneSum::ZERO }
    }

    /// Adds the losses of a block of weighted targets.
    #[inline(always)]
    fn add<S: Isa, F: Real, V: Real>(
        &mut self,
        isa: S,
        (p, y): (&[F], &[V]),
        rounded: &mut [f64],
        lost: &mut [f64],
    ) {
        for (p, y) in p.chunks(PIECE).zip(y.chunks(PIECE)) {
            let products = rounded.iter_mut().zip(lost.iter_mut());
            for (((rounded, lost), &p), &y) in products.zip(p).zip(y) {
                let (y, p) = (y.to_f64(), p.to_f64());
                let loss = row::expected_loss::<S, F>(isa, y, p, self.of.margin);
                let words = loss.words();
                *rounded = words[0];
                if F::COMPENSATED {
                    *lost = words[1];
                }
            }
            add_products::<S, F>(isa, [&rounded[..p.len()], &lost[..p.len()]], &mut self.total);
        }
    }
}

impl<F: Real> Fold<F, 2> for ExpectedLoss<'_> {
    type Row = f64;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let Scratch { changed, second, rounded, lost, .. } = scratch;
        let changed = changed.first(BLOCK, F::ZERO);
        let (rounded, lost) = (rounded.first(PIECE, 0.0), lost.first(PIECE, 0.0));
        let (first, weighting, [p, y]) = (block.first, self.of.weighting, block.classes());
        let weighted = weighting.apply(first, y, changed);
        if weighting.loses(y, weighted) {
            let kept = second.first(y.len(), 0.0);
            weighting.keep(first, y, kept);
            return self.add(isa, (p, kept), rounded, lost);
        }
        self.add(isa, (p, weighted), rounded, lost);
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
pub fn expected_losses<S: Isa, F: Real>(
    isa: S,
    [lines, targets]: [Lines<'_, F>; 2],
    of: Probabilities<'_>,
) -> [f64; LANES] {
    let mut total = LaneSums::ZERO;
    for class in 0..lines.classes() {
        let (p, y) = (lines.line(class), targets.line(class));
        lines.fetch_next(class);
        targets.fetch_next(class);
        let (weighted, loses) = of.weighting.line(class, y);
        let mut kept = [0.0; LANES];
        for i in 0..LANES {
            kept[i] = weighted[i].to_f64();
        }
        if loses {
            kept = of.weighting.kept_line(class, y);
        }
        for i in 0..LANES {
            let loss = row::expected_loss::<S, F>(isa, kept[i], p[i].to_f64(), of.margin).words();
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
