//! The way of elements through memory: over threads in tasks, and in blocks that are read,
//! evaluated, written and added.

use crate::evaluation::{BLOCK, Chunks, Evaluate, Outside};
use crate::weigh::Weigh;
use nll_kernels::call::fits_float32;
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::{Merge, Work, ranges};
use nll_kernels::data::out::Out;
use nll_kernels::data::scratch::Scratch;
use nll_kernels::data::totals::{Totaled, Totals};
use nll_simd::{Buffer, Isa, Real, with_non_temporal};
use std::marker::PhantomData;
use std::ops::Range;

/// The most results of a loss: value, second derivative, and a derivative by each of four inputs.
pub(crate) const RESULTS: usize = 6;

/// Elements on their way through a loss, each result times its weight.
pub(crate) struct Stream<'s, F, const N: usize> {
    pub(crate) loss: &'s dyn Evaluate<F, N>,
    /// The inputs of the loss, in the order of the visit.
    pub(crate) inputs: [&'s Array<'s>; N],
    pub(crate) weighting: Weighting<'s>,
    pub(crate) weigh: Weigh<'s, N>,
    /// The factor of all derivatives.
    pub(crate) scale: f64,
    pub(crate) length: usize,
    /// Which totals are wanted.
    pub(crate) totaled: Totaled,
    /// Whether results are so large that they are written by non-temporal stores.
    pub(crate) large: bool,
}

/// How much each element counts.
#[derive(Clone, Copy)]
pub(crate) struct Weighting<'s> {
    /// The weights, in the order of the visit; None for a weight of 1 each.
    pub(crate) weight: Option<&'s Array<'s>>,
    /// Where it is 0, an element does not count, whatever it holds.
    pub(crate) mask: Option<&'s Array<'s>>,
    /// Whether a mean is divided by the sum of the weights, not by the number of elements.
    pub(crate) divides: bool,
}

/// The memory that [`Weighting::block`] reads into.
struct WeightingScratch<F> {
    weight: Scratch<F>,
    mask: Scratch<F>,
    both: Buffer<F>,
}

impl<F: Real> Default for WeightingScratch<F> {
    fn default() -> Self {
        let (weight, mask, both) = Default::default();
        WeightingScratch { weight, mask, both }
    }
}

impl Weighting<'_> {
    /// The weights of a block, 0 where the mask is, and the mask. With a mask alone, it is the weights.
    #[inline(always)]
    fn block<'m, S: Isa, F: Real>(
        &'m self,
        isa: S,
        block: Range<usize>,
        scratch: &'m mut WeightingScratch<F>,
    ) -> [Option<&'m [F]>; 2] {
        let WeightingScratch { weight, mask, both } = scratch;
        let weight = self.weight.map(|array| array.read(isa, block.clone(), weight));
        let mask = self.mask.map(|array| array.read(isa, block, mask));
        match (weight, mask) {
            (Some(weight), Some(mask)) => {
                let both = both.first(mask.len(), F::ZERO);
                for ((both, &weight), &mask) in both.iter_mut().zip(weight).zip(mask) {
                    *both = if mask == F::ZERO { F::ZERO } else { weight };
                }
                [Some(&*both), Some(mask)]
            }
            (weight, mask) => [weight.or(mask), mask],
        }
    }

    /// The totals of no elements.
    fn empty(&self, totaled: Totaled) -> Totals {
        let weighted = self.divides && self.weight.is_some();
        Totals { ignored: self.mask.map(|_| 0), ..Totals::empty(weighted, totaled) }
    }
}

/// Counts `length` elements, of those with a mask the ones that it allows.
#[inline(always)]
fn count<F: Real>(length: usize, mask: Option<&[F]>, totals: &mut Totals) {
    let counted = match mask {
        Some(mask) => mask.iter().map(|&m| u64::from(m != F::ZERO)).sum(),
        None => length as u64,
    };
    totals.count += counted;
    if let Some(ignored) = &mut totals.ignored {
        *ignored += length as u64 - counted;
    }
}

/// The totals of all weights, without losses.
pub(crate) struct Weights<'s, F> {
    pub(crate) weighting: Weighting<'s>,
    pub(crate) length: usize,
    pub(crate) real: PhantomData<F>,
}

impl<F: Real> Work<()> for Weights<'_, F> {
    type Total = Totals;
    type Memory = ();

    fn count(&self) -> usize {
        self.length
    }

    fn per_task(&self) -> usize {
        per_task(self.length)
    }

    #[inline(always)]
    fn task<S: Isa>(&self, isa: S, range: Range<usize>, (): (), (): &mut ()) -> Totals {
        let mut totals = self.weighting.empty(Totaled::Sum);
        let mut scratch = WeightingScratch::<F>::default();
        for block in ranges(range, BLOCK) {
            let length = block.len();
            let [weight, mask] = self.weighting.block(isa, block, &mut scratch);
            count(length, mask, &mut totals);
            if let (Some(sum), Some(weight)) = (&mut totals.weight, weight) {
                sum.add_block(isa, weight);
            }
        }
        totals
    }
}

/// A search for a weight that float32 does not hold.
pub(crate) struct FindTooFar<'s> {
    pub(crate) array: &'s Array<'s>,
    pub(crate) length: usize,
}

/// A weight that was found.
pub(crate) struct TooFar(pub(crate) Option<f64>);

impl Merge for TooFar {
    fn merge(self, other: TooFar) -> TooFar {
        TooFar(self.0.or(other.0))
    }
}

impl Work<()> for FindTooFar<'_> {
    type Total = TooFar;
    type Memory = ();

    fn count(&self) -> usize {
        if self.array.is_scalar() { self.length.min(1) } else { self.length }
    }

    fn per_task(&self) -> usize {
        per_task(self.length)
    }

    #[inline(always)]
    fn task<S: Isa>(&self, isa: S, range: Range<usize>, (): (), (): &mut ()) -> TooFar {
        let mut scratch = Scratch::<f64>::default();
        for block in ranges(range, BLOCK) {
            let weights = self.array.read(isa, block, &mut scratch);
            // The loop does not stop at the first one that is found, so that LLVM vectorises it.
            if weights.iter().fold(0, |bad, &w| bad | u32::from(!fits_float32(w))) > 0 {
                return TooFar(weights.iter().copied().find(|&w| !fits_float32(w)));
            }
        }
        TooFar(None)
    }
}

/// A search for a weight that is infinite or NaN, of an element that counts.
pub(crate) struct FindNotFinite<'s, F> {
    pub(crate) weighting: Weighting<'s>,
    pub(crate) length: usize,
    pub(crate) real: PhantomData<F>,
}

impl<F: Real> Work<()> for FindNotFinite<'_, F> {
    type Total = TooFar;
    type Memory = ();

    fn count(&self) -> usize {
        self.length
    }

    fn per_task(&self) -> usize {
        per_task(self.length)
    }

    #[inline(always)]
    fn task<S: Isa>(&self, isa: S, range: Range<usize>, (): (), (): &mut ()) -> TooFar {
        let mut scratch = WeightingScratch::<F>::default();
        let mut blocks = ranges(range, BLOCK);
        TooFar(blocks.find_map(|block| {
            let [weight, _] = self.weighting.block(isa, block, &mut scratch);
            weight.and_then(first_not_finite)
        }))
    }
}

/// What all elements come to.
pub(crate) struct Found {
    pub(crate) totals: Totals,
    /// The first element beyond a limit: then the rest must not be used.
    pub(crate) outside: Option<Outside>,
    /// A weight of an element that counts, if it is infinite or NaN; not looked for if losses are
    /// totaled, as their total then shows it.
    pub(crate) not_finite: Option<f64>,
}

impl Merge for Found {
    fn merge(self, other: Found) -> Found {
        let both = [self.outside, other.outside].into_iter().flatten();
        let outside = both.min_by_key(|outside| (outside.element, outside.input));
        let not_finite = self.not_finite.or(other.not_finite);
        Found { totals: self.totals.add(other.totals), outside, not_finite }
    }
}

/// How many elements may be in the caches.
const CACHED: usize = 1 << 20;

/// How many elements a task has: enough tasks for every thread, each of which takes long beside the
/// 2 µs that its scheduling and its totals take.
fn per_task(length: usize) -> usize {
    (length / 64).next_multiple_of(BLOCK).clamp(1 << 14, 1 << 16)
}

/// The memory that each input is read into.
pub(crate) struct Scratches<F, const N: usize>([Scratch<F>; N]);

impl<F: Real, const N: usize> Default for Scratches<F, N> {
    fn default() -> Self {
        Scratches(core::array::from_fn(|_| Scratch::default()))
    }
}

impl<'o, F: Real, const N: usize> Work<[Out<'o>; RESULTS]> for Stream<'_, F, N> {
    type Total = Found;
    type Memory = Scratches<F, N>;

    fn count(&self) -> usize {
        self.length
    }

    fn per_task(&self) -> usize {
        // A tile is never shared by two tasks, because both would copy it whole.
        let tiles = self.inputs.iter().filter_map(|input| input.tile_elements());
        per_task(self.length).next_multiple_of(tiles.max().unwrap_or(1))
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut outs: [Out<'o>; RESULTS],
        Scratches(scratch): &mut Scratches<F, N>,
    ) -> Found {
        let mut totals = self.weighting.empty(self.totaled);
        let (mut first_outside, mut not_finite) = (None, None);
        let mut weighting_scratch = WeightingScratch::default();
        let (is_short, level) = (self.loss.is_short(), self.weigh.level);
        let reads_memory = is_short && self.length > CACHED;
        let level = if reads_memory { level.for_short_loops() } else { level };
        // Rows with wide gaps are fetched while the rows before them are computed, unless all arrays may be in the caches.
        let apart = self.inputs.iter().find(|input| input.has_wide_gaps());
        let apart = apart.filter(|_| self.length > CACHED);
        let row = apart.and_then(|input| input.shape().last().copied()).filter(|&row| row >= LONG);
        let prefetch = self.inputs.map(|input| input.prefetch::<F>(range.start, is_short));
        let mut chunks = Chunks::new(prefetch, self.loss.derivatives(), self.scale);
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = self.large.then_some(stores);
                for block in self.blocks(range) {
                    let (start, length) = (block.start, block.len());
                    let next_row =
                        row.filter(|row| block.end % row == 0).map(|row| block.end / row);
                    let mut x = [&[][..]; N];
                    for (k, scratch) in scratch.iter_mut().enumerate() {
                        x[k] = self.inputs[k].read(isa, block.clone(), scratch);
                    }
                    let [weight, mask] = self.weighting.block(isa, block, &mut weighting_scratch);
                    if self.totaled == Totaled::Nothing {
                        not_finite = not_finite.or_else(|| weight.and_then(first_not_finite));
                    }
                    // Each block fetches as much as it reads: the last of a row fetches the beginning of the next row, whose
                    // other blocks go on from there.
                    for (input, prefetch) in self.inputs.iter().zip(&mut chunks.prefetch) {
                        if let Some(row) = next_row.filter(|_| input.has_wide_gaps()) {
                            *prefetch = input.prefetch_row(row);
                        }
                    }
                    // False if an element is beyond its limit, whether it counts or not.
                    if !self.loss.evaluate(level, &x, &mut chunks) && first_outside.is_none() {
                        first_outside = self.loss.first_outside(start, &x, mask);
                    }
                    if let Some(weight) = weight {
                        self.weigh.apply(&x, weight, &mut chunks);
                    }
                    for (result, out) in chunks.results().zip(&mut outs) {
                        out.write(&result[..length], stores);
                    }
                    count(length, mask, &mut totals);
                    if self.totaled != Totaled::Nothing {
                        totals.add_values(isa, &chunks.values.0[..length], weight);
                    }
                }
            },
        );
        Found { totals, outside: first_outside, not_finite }
    }
}

impl<F, const N: usize> Stream<'_, F, N> {
    /// The blocks of a range. If the first input lies in memory without gaps, the second starts where it has a
    /// multiple of 64 bytes: from there on, no load of that input crosses a cache line. If some input has gaps,
    /// blocks end where rows do: a long row is read where it lies, short ones are copied together.
    fn blocks(
        &self,
        Range { start, end }: Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + use<F, N> {
        let gaps = self.inputs.iter().find(|input| !input.is_flat());
        let row = gaps.and_then(|input| input.shape().last().copied());
        let rows = row.map(|row| if row < LONG { BLOCK / row * row } else { row });
        let mut at = start;
        let mut first = self.inputs[0].to_boundary(start).min(end - start);
        core::iter::from_fn(move || {
            let from = at;
            let most = if first > 0 { core::mem::take(&mut first) } else { BLOCK };
            let end_of_rows = rows.map_or(end, |rows| (from / rows + 1) * rows);
            at = (from + most).min(end_of_rows).min(end);
            (from < end).then_some(from..at)
        })
    }
}

/// From this length on, rows with gaps are read one at a time, where they lie.
const LONG: usize = 256;

/// A weight that is infinite or NaN, if there is one.
#[inline(always)]
fn first_not_finite<F: Real>(weights: &[F]) -> Option<f64> {
    let largest = F::from_f64(if F::COMPENSATED { f64::MAX } else { f64::from(f32::MAX) });
    if F::bits_at_most(weights, largest, false) {
        return None;
    }
    // One of them may just be negative.
    let is_wrong = |w: F| (w.abs() == F::INFINITY) | w.is_nan();
    // The loop does not stop at the first one that is found, so that LLVM vectorises it.
    if weights.iter().fold(0, |wrong, &w| wrong | u32::from(is_wrong(w))) == 0 {
        return None;
    }
    weights.iter().copied().find(|&w| is_wrong(w)).map(F::to_f64)
}
