//! The way of elements through memory: over threads in tasks, and in blocks that are read,
//! evaluated, written and added.

use crate::call::evaluation::{BLOCK, Chunks, Evaluate, Outside};
use crate::data::array::Array;
use crate::data::drive::{Merge, Work, ranges};
use crate::data::out::Out;
use crate::data::scratch::Scratch;
use crate::data::totals::Totals;
use nll_simd::{Isa, Level, Real, with_non_temporal};
use std::ops::Range;

/// Elements on their way through a loss, each result times its weight.
pub(crate) struct Stream<'s, F, const N: usize> {
    pub(crate) loss: &'s dyn Evaluate<F, N>,
    /// The inputs of the loss, in the order of the visit.
    pub(crate) inputs: [&'s Array<'s>; N],
    pub(crate) weight: Option<&'s Array<'s>>,
    pub(crate) length: usize,
    /// Whether the total is wanted.
    pub(crate) total: bool,
    /// Whether results are written by non-temporal stores.
    pub(crate) large: bool,
    pub(crate) level: Level,
}

/// What all elements come to.
pub(crate) struct Found {
    pub(crate) totals: Totals,
    /// The first element beyond a limit: then the rest must not be used.
    pub(crate) outside: Option<Outside>,
}

impl Merge for Found {
    fn merge(self, other: Found) -> Found {
        let both = [self.outside, other.outside].into_iter().flatten();
        let outside = both.min_by_key(|outside| (outside.element, outside.input));
        Found { totals: self.totals.add(other.totals), outside }
    }
}

impl<'o, F: Real, const N: usize> Work<[Out<'o>; 3]> for Stream<'_, F, N> {
    type Total = Found;
    type Memory = ();

    fn count(&self) -> usize {
        self.length
    }

    /// Enough tasks for every thread, each long beside its scheduling and total (2 µs).
    fn per_task(&self) -> usize {
        (self.length / 64).next_multiple_of(BLOCK).clamp(1 << 14, 1 << 16)
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut outs: [Out<'o>; 3],
        (): &mut (),
    ) -> Found {
        let mut totals = Totals { count: range.len() as u64, ..Totals::default() };
        let mut first_outside = None;
        let mut scratch: [Scratch<F>; N] = core::array::from_fn(|_| Scratch::default());
        let mut weight_scratch = Scratch::default();
        let derivatives = outs[1].is_wanted() || outs[2].is_wanted();
        let is_short = self.loss.is_short();
        let prefetch = self.inputs.map(|input| input.prefetch::<F>(range.start, is_short));
        let mut chunks = Chunks::new(prefetch, derivatives);
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = self.large.then_some(stores);
                for block in self.blocks(range) {
                    let mut x = [&[][..]; N];
                    for (k, scratch) in scratch.iter_mut().enumerate() {
                        x[k] = self.inputs[k].read(isa, block.clone(), scratch);
                    }
                    let weight =
                        self.weight.map(|w| w.read(isa, block.clone(), &mut weight_scratch));
                    let outside = self.loss.evaluate(self.level, block.start, &x, &mut chunks);
                    first_outside = first_outside.or(outside);
                    for (result, out) in chunks.results.iter_mut().zip(&mut outs) {
                        let result = &mut result.0[..block.len()];
                        weigh(result, weight);
                        out.write(result, stores);
                    }
                    if self.total {
                        totals.sum.add_block(isa, &chunks.results[0].0[..block.len()]);
                    }
                }
            },
        );
        Found { totals, outside: first_outside }
    }
}

impl<F, const N: usize> Stream<'_, F, N> {
    /// The blocks of a range. The second starts where the first input has a multiple of 64 bytes:
    /// from there on, no load of that input crosses a cache line.
    fn blocks(
        &self,
        Range { start, end }: Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + use<F, N> {
        let aligned = start + self.inputs[0].to_boundary(start).min(end - start);
        core::iter::once(start..aligned).chain(ranges(aligned..end, BLOCK))
    }
}

/// Times the weight; a weight of 0 gives 0, whatever the value.
#[inline(always)]
fn weigh<F: Real>(values: &mut [F], weight: Option<&[F]>) {
    for (value, &w) in values.iter_mut().zip(weight.unwrap_or(&[])) {
        *value = if w == F::ZERO { F::ZERO } else { *value * w };
    }
}
