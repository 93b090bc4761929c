//! Cross entropy of rows of two classes.
//!
//! As for any number of classes, the loss is log(1 + s·e^d), which takes an exponential and a
//! logarithm in the precision above. Instead, two classes are a pair of scores, of which the target
//! is preferred to the other:
//!
//! ```text
//! loss = log(1 + e^{x_other − x_target})
//! ```
//!
//! This is [`BradleyTerry`], whose float32 comes from a table. A loss that float32 rounds to a
//! subnormal number or to infinity is computed in f64 if it has a weight, which may bring it back.

use crate::call::cross_entropy::CrossEntropy;
use crate::call::row_loss::BLOCK_ROWS;
use crate::data::drive::ranges;
use crate::data::lines::LANES;
use crate::data::scratch::Scratch;
use crate::math::bradley_terry::BradleyTerry;
use crate::math::density::{CHUNK, Density};
use nll_simd::{Aligned, Isa, Real};
use std::ops::Range;

/// The target's logits of some rows, and the others.
struct Pairs<F> {
    x_t: Aligned<[F; CHUNK]>,
    other: Aligned<[F; CHUNK]>,
    /// The target; anything for a row that does not count.
    class: [F; CHUNK],
}

impl<F: Real> CrossEntropy<'_, F> {
    /// The losses of rows of two classes, and whether each target is the first largest class.
    #[inline(always)]
    pub(super) fn two_classes<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        reading: &mut Scratch<F>,
        (losses, is_top1): (&mut [f64; BLOCK_ROWS], &mut [bool; BLOCK_ROWS]),
    ) {
        let (start, targets) = (rows.start, self.targets);
        let results = losses.as_chunks_mut::<CHUNK>().0.iter_mut();
        let results = results.zip(is_top1.as_chunks_mut::<CHUNK>().0);
        for (chunk, (loss, is_top1)) in ranges(rows.clone(), CHUNK).zip(results) {
            let pairs = self.pairs(isa, chunk, reading);
            pairs.losses(isa, loss, is_top1);
            if !F::COMPENSATED && targets.are_weighted() {
                pairs.restore(isa, loss);
            }
        }
        targets.weigh_classes(start, &mut losses[..rows.len()]);
    }

    /// At most [`CHUNK`] rows.
    #[inline(always)]
    fn pairs<S: Isa>(&self, isa: S, rows: Range<usize>, reading: &mut Scratch<F>) -> Pairs<F> {
        let mut class = [F::ZERO; CHUNK];
        for (to, &class) in class.iter_mut().zip(self.targets.of(rows.clone())) {
            *to = F::from_f64(f64::from(class as i32));
        }
        if rows.len() == CHUNK && self.rows.is_flat() {
            let elements = self.rows.elements(isa, rows, reading);
            let pairs: &[_; CHUNK] = elements.as_chunks().0.first_chunk().expect("a chunk");
            return Pairs::picked(
                class,
                #[inline(always)]
                |i| pairs[i],
            );
        }
        let [mut first, mut second] = [Aligned([F::ZERO; CHUNK]); 2];
        for group in ranges(rows.clone(), LANES) {
            let (at, count) = (group.start - rows.start, group.len());
            let [lines] = self.rows.lines(isa, &group, core::array::from_mut(reading));
            first.0[at..][..count].copy_from_slice(&lines.line(0)[..count]);
            second.0[at..][..count].copy_from_slice(&lines.line(1)[..count]);
            lines.fetch_next(0);
        }
        Pairs::picked(
            class,
            #[inline(always)]
            |i| [first.0[i], second.0[i]],
        )
    }
}

impl<F: Real> Pairs<F> {
    /// The logits of both classes of each row, that of the target first.
    #[inline(always)]
    fn picked(class: [F; CHUNK], pair: impl Fn(usize) -> [F; 2]) -> Self {
        let [mut x_t, mut other] = [Aligned([F::ZERO; CHUNK]); 2];
        // One loop over the whole chunk: LLVM unrolls a loop over the lanes of a group into branches. It
        // writes to other arrays than it reads: to the same ones LLVM would write with masked stores,
        // which are slow on AMD's CPUs without AVX-512.
        for i in 0..CHUNK {
            let ([a, b], is_first) = (pair(i), class[i] == F::ZERO);
            x_t.0[i] = if is_first { a } else { b };
            other.0[i] = if is_first { b } else { a };
        }
        Pairs { x_t, other, class }
    }

    #[inline(always)]
    fn losses<S: Isa>(&self, isa: S, losses: &mut [f64; CHUNK], is_top1: &mut [bool; CHUNK]) {
        let Pairs { x_t: Aligned(x_t), other: Aligned(other), class } = self;
        let [mut inner, mut loss] = [[F::ZERO; CHUNK]; 2];
        let pair = BradleyTerry::<false>;
        pair.values(isa, [x_t, other, other], (&mut inner, false), &mut loss);
        for i in 0..CHUNK {
            // As of more classes: −log p of a row with +∞ is NaN.
            let is_infinite = (x_t[i] == F::INFINITY) | (other[i] == F::INFINITY);
            let value = if is_infinite { F::NAN } else { loss[i] };
            let is_first = (x_t[i] == other[i]) & (class[i] == F::ZERO);
            losses[i] = value.to_f64();
            is_top1[i] = ((x_t[i] > other[i]) | is_first) & !value.is_nan();
        }
    }
    /// Computes in f64 what float32 does not hold.
    #[inline(always)]
    fn restore<S: Isa>(&self, isa: S, losses: &mut [f64; CHUNK]) {
        let (least, most) = (F::LEAST_NORMAL.to_f64(), f64::INFINITY);
        let is_lost = |loss: f64| (loss < least) | (loss == most);
        if losses.iter().fold(false, |any, &loss| any | is_lost(loss)) {
            let exact = self.in_f64(isa);
            for (loss, exact) in losses.iter_mut().zip(exact) {
                *loss = if is_lost(*loss) { exact } else { *loss };
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn in_f64<S: Isa>(&self, isa: S) -> [f64; CHUNK] {
        isa.vectorize(
            #[inline(always)]
            || {
                let zeros = [0.0; CHUNK];
                let mut wide = Pairs { x_t: Aligned(zeros), other: Aligned(zeros), class: zeros };
                for i in 0..CHUNK {
                    wide.x_t.0[i] = self.x_t.0[i].to_f64();
                    wide.other.0[i] = self.other.0[i].to_f64();
                }
                let (mut losses, mut is_top1) = (zeros, [false; CHUNK]);
                wide.losses(isa, &mut losses, &mut is_top1);
                losses
            },
        )
    }
}
