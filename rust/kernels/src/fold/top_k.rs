//! The k largest logits of a row, with their classes.
//!
//! Candidates are all logits larger than the least that can be among the k largest, which the rest of a
//! row seldom holds: a piece of a block is looked at only if its largest class is one. That least logit is the k-th
//! largest when the last selection was made; before, of a row's first block, the k-th largest of 32
//! classes, each the largest of every 32nd. Candidates are collected in a buffer with more than k
//! places. When it is full, a selection leaves the k largest, so that no order of the classes costs
//! more than a few steps a candidate.

use crate::data::rows::Block;
use crate::data::scratch::{PIECE_CLASSES, Peaks, Scratch};
use crate::fold::Fold;
use crate::fold::peaks::{peaks_of, write_peaks};
use crate::math::terms::max_lanes;
use nll_simd::{CHUNK_LANES, Isa, Real};
use std::cmp::Ordering;

/// How many candidates there are beyond k at least before the k largest are selected: few, because until
/// then the rest of the row is compared with the least of the last time.
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
    /// Logits up to this are not among the largest; None as long as any may be.
    least: Option<F>,
    candidates: Vec<Candidate<F>>,
}

impl<F: Real> TopK<F> {
    /// Of no classes.
    pub fn of(k: usize) -> Self {
        TopK { k, least: None, candidates: Vec::with_capacity(k + k.max(SPARE)) }
    }

    /// The k largest of a whole row, in order, in `candidates`.
    pub fn of_row(k: usize, row: impl Iterator<Item = F>, candidates: &mut Vec<Candidate<F>>) {
        candidates.clear();
        candidates.extend(row.enumerate().map(|(class, x)| Candidate::new(x, class)));
        if k < candidates.len() {
            candidates.select_nth_unstable_by(k, compare);
            candidates.truncate(k);
        }
        candidates.sort_unstable_by(compare);
    }

    /// Whether any of these may be among the largest.
    #[inline(always)]
    fn wants_any(&self, x: &[F]) -> bool {
        let Some(least) = self.least else { return true };
        x.iter().fold(false, |any, &x| any | (x > least))
    }

    /// Takes in a block and its peaks.
    #[inline(always)]
    pub(super) fn offer_block<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, peaks: &Peaks<F>) {
        let [x] = block.classes();
        if self.least.is_none() && self.candidates.is_empty() {
            self.start(max_lanes(x.as_chunks().0));
        }
        for (i, peak) in peaks_of(peaks, x.len()).iter().enumerate() {
            if self.wants_any(peak) {
                isa.apart(
                    #[inline(always)]
                    || {
                        let start = i * PIECE_CLASSES;
                        let end = x.len().min(start + PIECE_CLASSES);
                        self.offer_piece(&x[start..end], block.first + start);
                    },
                );
            }
        }
    }

    /// Takes in a piece of a block, whose first class is `first`.
    #[inline(always)]
    fn offer_piece(&mut self, x: &[F], first: usize) {
        let (chunks, rest) = x.as_chunks::<CHUNK_LANES>();
        for (chunk, first) in chunks.iter().zip((first..).step_by(CHUNK_LANES)) {
            if self.wants_any(chunk) {
                self.offer_chunk(chunk, first);
            }
        }
        self.offer_chunk(rest, first + x.len() - rest.len());
    }

    /// Takes in some classes from `first` on.
    #[inline(always)]
    fn offer_chunk(&mut self, x: &[F], first: usize) {
        for (few, first) in x.chunks(FEW).zip((first..).step_by(FEW)) {
            if self.wants_any(few) {
                for (class, &x) in (first..).zip(few) {
                    self.offer(x, class);
                }
            }
        }
    }

    /// Takes in one class.
    #[inline(always)]
    fn offer(&mut self, x: F, class: usize) {
        let candidate = Candidate::new(x, class);
        if self.least.is_none_or(|least| candidate.x > least) {
            self.candidates.push(candidate);
            if self.candidates.len() >= self.k + self.k.max(SPARE) {
                self.select();
            }
        }
    }

    /// Leaves out what is less than the k-th largest of the lanes of the first block.
    #[inline(never)]
    fn start(&mut self, mut lanes: [F; CHUNK_LANES]) {
        if (1..CHUNK_LANES).contains(&self.k) {
            let order = |a: &F, b: &F| b.partial_cmp(a).unwrap_or(Ordering::Equal);
            let (_, &mut least, _) = lanes.select_nth_unstable_by(self.k - 1, order);
            self.least = (least > F::NEG_INFINITY).then(|| least.next_down());
        }
    }

    /// Keeps the k largest.
    #[inline(never)]
    fn select(&mut self) {
        if self.k > 0 && self.candidates.len() > self.k {
            let (_, last, _) = self.candidates.select_nth_unstable_by(self.k - 1, compare);
            self.least = Some(last.x);
        }
        self.candidates.truncate(self.k);
    }
}

impl<F: Real> Candidate<F> {
    #[inline(always)]
    fn new(x: F, class: usize) -> Self {
        Candidate { x: if x.is_nan() { F::NEG_INFINITY } else { x }, class }
    }
}

/// The larger logit comes first, of equal ones the first class.
fn compare<F: Real>(a: &Candidate<F>, b: &Candidate<F>) -> Ordering {
    b.x.partial_cmp(&a.x).unwrap_or(Ordering::Equal).then(a.class.cmp(&b.class))
}

impl<F: Real> Fold<F> for TopK<F> {
    type Row = Vec<Candidate<F>>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        let peaks = &mut scratch.pieces().peaks;
        write_peaks(block.classes()[0], peaks);
        self.offer_block(isa, block, peaks);
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
