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

/// How many candidates there are beyond k at least before the k largest are selected: few, because until
/// then the rest of the row is compared with the k-th largest of the last time.
const SPARE: usize = 8;

/// How many classes are looked at together where one of a chunk is a candidate.
const FEW: usize = 8;

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

    /// Whether any of these may be among the largest.
    #[inline(always)]
    fn wants_any(&self, x: &[F]) -> bool {
        let larger = x.iter().fold(0, |count, &x| count + u32::from(x > self.least));
        larger > 0 || self.candidates.len() < self.k
    }

    /// Takes in a few classes from `first` on.
    #[inline(always)]
    fn offer_some(&mut self, x: &[F], first: usize) {
        if self.wants_any(x) {
            for (class, &x) in (first..).zip(x) {
                self.offer(x, class);
            }
        }
    }

    /// Takes in one class.
    #[inline(always)]
    fn offer(&mut self, x: F, class: usize) {
        let x = if x.is_nan() { F::NEG_INFINITY } else { x };
        if x > self.least || self.candidates.len() < self.k {
            self.candidates.push(Candidate { x, class });
            if self.candidates.len() >= self.k + self.k.max(SPARE) {
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
        for (i, chunk) in x.chunks(CHUNK_LANES).enumerate() {
            if self.wants_any(chunk) {
                for (j, few) in chunk.chunks(FEW).enumerate() {
                    self.offer_some(few, block.first + i * CHUNK_LANES + j * FEW);
                }
            }
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
