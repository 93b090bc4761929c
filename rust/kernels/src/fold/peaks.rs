//! The largest classes of each piece of a block. The search for the largest k classes of a row skips the pieces whose
//! peaks are not large enough.

use crate::data::scratch::{BLOCK, PIECE, PIECE_CLASSES, Peaks};
use crate::math::terms::{max_lanes, max2};
use nll_simd::{CHUNK_LANES, Real, zip};

/// The peaks of the pieces that a block of `length` classes has.
#[inline(always)]
pub(super) fn peaks_of<F>(peaks: &Peaks<F>, length: usize) -> &[[F; CHUNK_LANES]] {
    &peaks[..length.div_ceil(PIECE_CLASSES)]
}

/// Takes in the classes after the last full chunk of a block, with −∞ in the other lanes. `chunks` is how many full
/// chunks the block has.
#[inline(always)]
pub(super) fn add_tail<F: Real>(peaks: &mut Peaks<F>, chunks: usize, tail: [F; CHUNK_LANES]) {
    let peak = &mut peaks[chunks / PIECE];
    *peak = if chunks.is_multiple_of(PIECE) { tail } else { zip(tail, *peak, max2) };
}

/// Takes in class number `at` of a block, which the sum that has kept the peaks leaves out: in the first
/// lane, as only the largest of all lanes matters.
#[inline(always)]
pub(super) fn add_left_out<F: Real>(x: &[F], at: usize, peaks: &mut Peaks<F>) {
    if let Some(&x) = x.get(at) {
        let [peak, ..] = &mut peaks[at / PIECE_CLASSES];
        *peak = max2(x, *peak);
    }
}

/// Writes the peaks of a block.
#[inline(always)]
pub(super) fn write_peaks<F: Real>(x: &[F], peaks: &mut Peaks<F>) {
    debug_assert!(x.len() <= BLOCK, "a block of {} classes", x.len());
    let (chunks, rest) = x.as_chunks();
    for (peak, chunks) in peaks.iter_mut().zip(chunks.chunks(PIECE)) {
        *peak = max_lanes(chunks);
    }
    if !rest.is_empty() {
        let mut tail = [F::NEG_INFINITY; CHUNK_LANES];
        tail[..rest.len()].copy_from_slice(rest);
        add_tail(peaks, chunks.len(), tail);
    }
}
