//! The way of elements through memory: over threads in tasks, in blocks that are read, written and
//! added, and in chunks that the loops of a formula take together.

use crate::call::formula::Formula;
use crate::data::array::Array;
use crate::data::drive::{Merge, Work, ranges};
use crate::data::out::Out;
use crate::data::scratch::Scratch;
use crate::data::totals::Totals;
use crate::math::density::{CHUNK, Density};
use nll_simd::{Aligned, Isa, Prefetch, Real, with_non_temporal};
use std::marker::PhantomData;
use std::ops::Range;

/// How many elements are read, written and added at a time. Small enough that the prefetches issued
/// for the next block are still in flight after this one is stored and summed.
const BLOCK: usize = 1024;

/// `loss` of elements, computed in `F`, each result times its weight.
pub(crate) struct Stream<'s, F, L, const N: usize> {
    pub(crate) loss: L,
    /// The inputs of the formula, in the order of the visit.
    pub(crate) inputs: [&'s Array<'s>; N],
    pub(crate) weight: Option<&'s Array<'s>>,
    /// What the elements of each input may be.
    pub(crate) limits: [Option<Limit>; N],
    pub(crate) length: usize,
    /// Whether the total is wanted.
    pub(crate) total: bool,
    /// Whether second derivatives are their upper bounds.
    pub(crate) upper: bool,
    /// The factor of all derivatives.
    pub(crate) scale: f64,
    /// Whether results are written by non-temporal stores.
    pub(crate) large: bool,
    pub(crate) real: PhantomData<F>,
}

/// What all elements come to.
pub(crate) struct Found {
    pub(crate) totals: Totals,
    /// The first element beyond a limit: then the rest must not be used.
    pub(crate) outside: Option<Outside>,
}

/// An element beyond a limit.
#[derive(Clone, Copy)]
pub(crate) struct Outside {
    /// Its number in the order of the visit.
    pub(crate) element: usize,
    pub(crate) input: usize,
    pub(crate) value: f64,
}

impl Merge for Found {
    fn merge(self, other: Found) -> Found {
        let both = [self.outside, other.outside].into_iter().flatten();
        let outside = both.min_by_key(|outside| (outside.element, outside.input));
        Found { totals: self.totals.add(other.totals), outside }
    }
}

/// What the elements of an argument may be.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// The largest value; the smallest is 0.
    pub(crate) high: f64,
    /// Whether NaN is allowed.
    pub(crate) nan: bool,
    /// The second half of the error about any other value.
    pub(crate) advice: &'static str,
}

impl Limit {
    #[inline(always)]
    fn allows<F: Real>(&self, x: F) -> bool {
        ((x >= F::ZERO) & (x <= F::from_f64(self.high))) | (self.nan & x.is_nan())
    }

    /// True only if all are allowed, by one comparison each of their bits as whole numbers.
    /// Negative numbers and NaN have larger bits than all in [0, ∞]; so has −0, which is looked at
    /// again.
    #[inline(always)]
    fn allows_all<F: Real>(&self, x: &[F]) -> bool {
        let high = F::from_f64(self.high);
        F::bits_at_most(x, high, self.nan && high == F::INFINITY)
    }
}

impl<'o, F: Real, L: Formula<N>, const N: usize> Work<[Out<'o>; 3]> for Stream<'_, F, L, N> {
    type Total = Found;

    fn count(&self) -> usize {
        self.length
    }

    /// Enough tasks for every thread, each long beside its scheduling and total (2 µs).
    fn per_task(&self) -> usize {
        (self.length / 64).next_multiple_of(BLOCK).clamp(1 << 14, 1 << 16)
    }

    #[inline(always)]
    fn task<S: Isa>(&self, isa: S, range: Range<usize>, mut outs: [Out<'o>; 3]) -> Found {
        let mut totals = Totals { count: range.len() as u64, ..Totals::default() };
        let mut first_outside = None;
        let mut scratch: [Scratch<F>; N] = core::array::from_fn(|_| Scratch::default());
        let mut weight_scratch = Scratch::default();
        let derivatives = outs[1].is_wanted() || outs[2].is_wanted();
        let mut chunks = Chunks {
            prefetch: self.inputs.map(|input| input.prefetch::<F>(range.start)),
            pads: [Aligned([F::ZERO; CHUNK]); N],
            results: vec![Aligned([F::ZERO; BLOCK]); if derivatives { 3 } else { 1 }],
        };
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = self.large.then_some(stores);
                for block in self.blocks(range) {
                    let mut x = [&[][..]; N];
                    for (k, scratch) in scratch.iter_mut().enumerate() {
                        (x[k], _) = self.inputs[k].read(isa, block.clone(), scratch);
                    }
                    let weight =
                        self.weight.map(|w| w.read(isa, block.clone(), &mut weight_scratch).0);
                    let outside = self.compute(isa, block.start, x, &mut chunks);
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

/// What a task keeps from chunk to chunk.
struct Chunks<F, const N: usize> {
    prefetch: [Prefetch; N],
    /// An incomplete chunk of each input, filled up.
    pads: [Aligned<[F; CHUNK]>; N],
    /// The values of a block, and the derivatives if they are wanted.
    results: Vec<Aligned<[F; BLOCK]>>,
}

impl<F: Real, L: Formula<N>, const N: usize> Stream<'_, F, L, N> {
    /// The blocks of a range. The second starts where the first input has a multiple of 64 bytes:
    /// from there on, no load of that input crosses a cache line.
    fn blocks(
        &self,
        Range { start, end }: Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + use<F, L, N> {
        let aligned = start + self.inputs[0].to_boundary(start).min(end - start);
        core::iter::once(start..aligned).chain(ranges(aligned..end, BLOCK))
    }

    /// The results of a block whose first element is `start`; the first element beyond a limit.
    #[inline(always)]
    fn compute<S: Isa>(
        &self,
        isa: S,
        start: usize,
        x: [&[F]; N],
        chunks: &mut Chunks<F, N>,
    ) -> Option<Outside> {
        let length = x[0].len();
        let mut allowed = true;
        for at in (0..length).step_by(CHUNK) {
            for prefetch in &mut chunks.prefetch {
                prefetch.step(CHUNK.min(length - at));
            }
            let mut pads = chunks.pads.iter_mut();
            let chunk: [&[F; CHUNK]; N] = core::array::from_fn(|k| {
                let rest = &x[k][at..length];
                let pad = &mut pads.next().expect("as many pads as inputs").0;
                rest.first_chunk().unwrap_or_else(|| {
                    pad.fill(rest[0]);
                    pad[..rest.len()].copy_from_slice(rest);
                    pad
                })
            });
            for (limit, x) in self.limits.iter().zip(chunk) {
                allowed &= limit.is_none_or(|limit| limit.allows_all(x));
            }
            self.chunk(isa, chunk, at, &mut chunks.results);
        }
        let values = &mut chunks.results[0].0[..length];
        if L::Loss::HAS_LIMIT && !F::bits_at_most(values, F::INFINITY, false) {
            for (i, value) in values.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
                *value = self.loss.loss().limit(x.map(|x| x[i]));
            }
        }
        if allowed { None } else { self.first_outside(start, x) }
    }

    /// The first element of a block beyond a limit.
    fn first_outside(&self, start: usize, x: [&[F]; N]) -> Option<Outside> {
        let outside = self.limits.iter().enumerate().filter_map(|(input, limit)| {
            let limit = limit.as_ref()?;
            let at = x[input].iter().position(|&x| !limit.allows(x))?;
            Some(Outside { element: start + at, input, value: x[input][at].to_f64() })
        });
        outside.min_by_key(|outside| (outside.element, outside.input))
    }

    /// The results of a chunk, which belong at `at` in the block.
    #[inline(always)]
    fn chunk<S: Isa>(
        &self,
        isa: S,
        x: [&[F; CHUNK]; N],
        at: usize,
        results: &mut [Aligned<[F; BLOCK]>],
    ) {
        let mut inner = Aligned([F::ZERO; CHUNK]);
        let mut results = results.iter_mut().filter_map(|result| result.0[at..].first_chunk_mut());
        let Some(values) = results.next() else { return };
        self.loss.loss().values(isa, x, &mut inner.0, values);
        if let (Some(slopes), Some(curves)) = (results.next(), results.next()) {
            self.loss.derivatives(x, &inner.0, self.upper, [slopes, curves]);
            let scale = F::from_f64(self.scale);
            for (slope, curve) in slopes.iter_mut().zip(curves) {
                (*slope, *curve) = (*slope * scale, *curve * scale);
            }
        }
    }
}

/// Times the weight; a weight of 0 gives 0, whatever the value.
#[inline(always)]
fn weigh<F: Real>(values: &mut [F], weight: Option<&[F]>) {
    for (value, &w) in values.iter_mut().zip(weight.unwrap_or(&[])) {
        *value = if w == F::ZERO { F::ZERO } else { *value * w };
    }
}
