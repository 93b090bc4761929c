//! The entropy of a row.

use crate::data::rows::{BLOCK, Block};
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::others::{Others, PIECE, Raise};
use nll_simd::{Extended, Isa, LaneSum, Real};

/// −Σ p·log p.
#[derive(Clone, Copy)]
pub struct Entropy<F: Real> {
    others: Others<F>,
    below: LaneSum,
}

impl<F: Real> Entropy<F> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        Entropy { others: Others::empty(), below: LaneSum::ZERO }
    }

    /// The entropy, of what a fold comes to.
    #[inline(always)]
    pub fn value<S: Isa>(isa: S, [term, rest, below]: [F::Extended; 3]) -> f64 {
        let below = below.div(isa, term.add(rest));
        rest.div(isa, term).log1p(isa).add(below).rounded()
    }

    /// The largest logit, and the sum of the others' terms.
    #[inline(always)]
    pub fn others(&self) -> &Others<F> {
        &self.others
    }

    /// After the largest logit was raised: all others are further below it.
    #[inline(always)]
    fn raise<S: Isa>(&mut self, isa: S, raise: Raise<F>) {
        let further = raise.further(isa, self.others.rest.extended::<F>());
        self.below = self.below.scaled(raise.factor).plus::<F>(further);
    }
}

impl<F: Real> Fold<F> for Entropy<F> {
    /// The term of the largest, the sum of the others' and that of e_c·(x_m − x_c).
    type Row = [F::Extended; 3];

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        let Scratch { terms, rounded, lost, is_masked, .. } = scratch;
        let terms = terms.first(BLOCK, F::ZERO);
        let (rounded, lost) = (rounded.first(PIECE, 0.0), lost.first(PIECE, 0.0));
        let (first, [x]) = (block.first, block.classes());
        let terms = &mut terms[..x.len()];
        if let Some(raise) = self.others.look(isa, first, x) {
            self.raise(isa, raise);
        }
        self.others.add(isa, block, terms);
        self.others.add_below(isa, (terms, x), ([rounded, lost], is_masked), &mut self.below);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        let ([mine, theirs], factor) = self.others.level(isa, &mut later.others);
        if let Some(raise) = mine {
            self.raise(isa, raise);
        }
        if let Some(raise) = theirs {
            later.raise(isa, raise);
        }
        self.others.add_rest(later.others, factor);
        self.below = self.below.merge::<F>(later.below.scaled(factor));
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> [F::Extended; 3] {
        let [term, rest] = self.others.sums(isa);
        [term, rest, self.below.extended::<F>()]
    }
}
