//! The k largest logits of a row, with their classes.
//!
//! Candidates are all logits larger than the k-th largest so far, which the rest of a row seldom
//! holds: a block without one costs a comparison a class. They are collected in a buffer with more
//! than k places. When it is full, a selection leaves the k largest, so that no order of the classes
//! costs more than a few steps a candidate.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use nll_simd::{CHUNK_LANES, Isa, Real};
use std::cmp::Ordering;

/// A class and its logit.
#[derive(Clone, Copy, Debug, Default)]
pub struct Candidate<F> {
    /// The logit; −∞ in the place of NaN.
    pub x: F,
    /// The class.
    pub class: usize,
}

/// The k largest logits so far, of equal ones those of the first classes.
#[derive(Clone, Debug)]
pub struct TopK<F> {
    k: usize,
    /// The k-th largest when the last selection was made.
    least: F,
    candidates: Vec<Candidate<F>>,
}

impl<F: Real> TopK<F> {
    /// Of no classes.
    pub fn of(k: usize) -> Self {
        TopK { k, least: F::NEG_INFINITY, candidates: Vec::new() }
    }

    /// Takes in one class.
    #[inline(always)]
    fn offer(&mut self, x: F, class: usize) {
        let x = if x.is_nan() { F::NEG_INFINITY } else { x };
        if x > self.least || self.candidates.len() < self.k {
            self.candidates.push(Candidate { x, class });
            if self.candidates.len() >= 2 * self.k + CHUNK_LANES {
                self.select();
            }
        }
    }

    /// Keeps the k largest.
    #[inline(never)]
    fn select(&mut self) {
        if self.k > 0 && self.candidates.len() > self.k {
            let (_, last, _) = self.candidates.select_nth_unstable_by(self.k - 1, compare);
            self.least = last.x;
        }
        self.candidates.truncate(self.k);
    }
}

/// The larger logit comes first, of equal ones the first class.
fn compare<F: Real>(a: &Candidate<F>, b: &Candidate<F>) -> Ordering {
    b.x.partial_cmp(&a.x).unwrap_or(Ordering::Equal).then(a.class.cmp(&b.class))
}

impl<F: Real> Fold<F> for TopK<F> {
    type Row = Vec<Candidate<F>>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let [x] = block.classes();
        let mut start = 0;
        for chunk in x.chunks(CHUNK_LANES) {
            let larger = chunk.iter().fold(0, |count, &x| count + u32::from(x > self.least));
            if larger > 0 || self.candidates.len() < self.k {
                for (i, &x) in chunk.iter().enumerate() {
                    self.offer(x, block.first + start + i);
                }
            }
            start += chunk.len();
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.candidates.extend(later.candidates);
        self.select();
    }

    /// In order.
    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> Vec<Candidate<F>> {
        let mut top = self.clone();
        top.select();
        top.candidates.sort_unstable_by(compare);
        top.candidates
    }
}
