//! What is computed beside the sum of a row, from the classes and terms that are in L1 anyway.

use nll_simd::{CHUNK_LANES, Isa, LaneSum, Real};

/// What is computed from the classes and terms of a [`LogSum`](crate::fold::log_sum::LogSum). A sum of terms times something has the scale
/// of that sum, and is scaled with it.
pub trait Beside<F: Real>: Copy {
    /// Whether the largest classes of each piece of a block are kept in [`Scratch::peaks`](crate::data::scratch::Scratch::peaks); the class that the
    /// sum leaves out is none of them.
    const KEEPS_PEAKS: bool;

    /// Takes in some chunks of a block: their classes and their terms. `total` is the sum of all
    /// terms before these.
    fn add<S: Isa>(&mut self, isa: S, chunks: &Chunks<'_, F>, total: &LaneSum);

    /// Makes all terms so far larger by `factor`.
    fn scale(&mut self, factor: f64);

    /// Takes in the sum of the classes behind these, at the same scale; `totals` are those of their terms.
    fn merge<S: Isa>(&mut self, isa: S, later: Self, totals: [&LaneSum; 2]);
}

/// Some chunks of a block, with −∞ in the place of a class that is left out.
pub struct Chunks<'c, F> {
    /// The index of the class in the first lane.
    pub first: usize,
    /// The classes. The last chunk of a row begins with classes of the one before, which are −∞ here.
    pub x: &'c [[F; CHUNK_LANES]],
    /// The same classes as the row has them, with the one that is left out and without those of the chunk before,
    /// and the index of the first.
    pub all: (usize, &'c [F]),
    /// The largest class of each lane.
    pub lanes: [F; CHUNK_LANES],
    /// e^x of each, at the scale of the sum.
    pub terms: &'c [F],
}

impl<F: Real> Beside<F> for () {
    const KEEPS_PEAKS: bool = false;

    #[inline(always)]
    fn add<S: Isa>(&mut self, _isa: S, _chunks: &Chunks<'_, F>, _total: &LaneSum) {}

    #[inline(always)]
    fn scale(&mut self, _factor: f64) {}

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, (): Self, _totals: [&LaneSum; 2]) {}
}

impl<F: Real, A: Beside<F>, B: Beside<F>> Beside<F> for (A, B) {
    const KEEPS_PEAKS: bool = A::KEEPS_PEAKS || B::KEEPS_PEAKS;

    #[inline(always)]
    fn add<S: Isa>(&mut self, isa: S, chunks: &Chunks<'_, F>, total: &LaneSum) {
        self.0.add(isa, chunks, total);
        self.1.add(isa, chunks, total);
    }

    #[inline(always)]
    fn scale(&mut self, factor: f64) {
        self.0.scale(factor);
        self.1.scale(factor);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, later: Self, totals: [&LaneSum; 2]) {
        self.0.merge(isa, later.0, totals);
        self.1.merge(isa, later.1, totals);
    }
}
