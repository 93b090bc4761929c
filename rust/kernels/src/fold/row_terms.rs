//! The terms of a row, which a second sweep uses.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::others::{Others, Raise};
use nll_simd::{Extended, Isa, Real};
use std::iter::Enumerate;
use std::slice::ChunksMut;

/// The memory for the terms of the rows of a group, row behind row. Rows are asked for in their order;
/// some may be left out.
pub struct TermRows<'t, F>(Enumerate<ChunksMut<'t, F>>);

impl<'t, F> TermRows<'t, F> {
    /// Cuts memory into rows of `classes` numbers.
    pub fn new(terms: &'t mut [F], classes: usize) -> Self {
        TermRows(terms.chunks_mut(classes).enumerate())
    }

    /// The memory of row `row` of the group.
    #[inline(always)]
    pub fn row(&mut self, row: usize) -> &'t mut [F] {
        self.0.find(|(i, _)| *i == row).map_or(&mut [], |(_, terms)| terms)
    }
}

/// The terms of a row, kept in a slice as long as the row, and their sum.
pub struct Terms<'t, F: Real> {
    others: Others<F>,
    terms: &'t mut [F],
}

impl<'t, F: Real> Terms<'t, F> {
    /// Of no classes; the terms will be kept in this slice.
    #[inline(always)]
    pub fn new(terms: &'t mut [F]) -> Self {
        Terms { others: Others::empty(), terms }
    }

    /// The largest logit and the sum of the others' terms, and the terms of all.
    #[inline(always)]
    pub fn parts<S: Isa>(&mut self, isa: S) -> (Others<F>, &mut [F]) {
        let [term, _] = self.others.sums(isa);
        if let Some(largest) = self.terms.get_mut(self.others.at) {
            *largest = F::from_f64(term.rounded());
        }
        (self.others, self.terms)
    }
}

/// Brings the terms of the first classes to a new scale, that of the old largest included.
#[cold]
#[inline(never)]
fn raise_terms<F: Real>(terms: &mut [F], raise: Raise<F>) {
    scale_terms(terms, raise.factor);
    terms[raise.at] = F::from_f64(raise.term.rounded());
}

/// Multiplies the terms in f64: a factor may be below the least float32 where a product is not.
fn scale_terms<F: Real>(terms: &mut [F], factor: f64) {
    if factor != 1.0 {
        terms.iter_mut().for_each(|term| *term = F::from_f64(term.to_f64() * factor));
    }
}

impl<F: Real> Fold<F> for Terms<'_, F> {
    type Row = ();

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let (first, [x]) = (block.first, block.classes());
        let (before, terms) = self.terms.split_at_mut(first);
        if let Some(raise) = self.others.look(isa, first, x) {
            raise_terms(before, raise);
        }
        self.others.add(isa, block, &mut terms[..x.len()]);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        let ([mine, theirs], factor) = self.others.level(isa, &mut later.others);
        self.others.add_rest(later.others, factor);
        if let Some(raise) = mine {
            raise_terms(self.terms, raise);
        }
        if let Some(raise) = theirs {
            raise_terms(later.terms, raise);
        }
        scale_terms(later.terms, factor);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) {}
}
