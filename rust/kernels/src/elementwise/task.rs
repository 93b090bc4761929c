//! How an elementwise function goes through memory: over threads in tasks, in blocks that are read, written and added,
//! and in chunks that its loops take together.

use super::{Elementwise, Given, Outcome, Outside, Wanted};
use crate::Error;
use crate::drive;
use crate::input::{Input, Room};
use crate::out::Run;
use nll_simd::{Aligned, Isa, Prefetch, Real, with_non_temporal};
use std::marker::PhantomData;
use std::ops::Range;

/// Elements in one task: enough of them for every thread, and each long beside its scheduling and total (2 µs).
fn per_task(length: usize) -> usize {
    (length / 64).next_multiple_of(BLOCK).clamp(1 << 14, 1 << 16)
}

/// How many elements are read, written and added at a time. Reading rests while they are written and added, but so
/// shortly that what has been asked for is still on its way. (33.5 M from memory: where we prefetch, 2048 and 512 are 3
/// to 20 % slower, and bfloat16 on a Xeon 10 % by 2048; where the CPU does, they are alike.)
const BLOCK: usize = 1024;

/// How many elements go through the loops of a function together. Short, so that reading goes on beside
/// computing: over whole blocks, memory would rest while the second loop runs (BCE: 1.06 → 0.73 ns).
const CHUNK: usize = 128;

/// `function` of `length` elements, computed in `F`, each value and derivative times its weight.
pub fn run<'a, F: Real, const N: usize>(
    run: Run<'_>,
    function: impl Elementwise<N>,
    given: Given<'_, 'a, [Input<'a>; N]>,
    length: usize,
    mut wanted: Wanted<'_>,
) -> Result<Outcome, Error> {
    let large = wanted.outs().iter().any(|out| out.is_large());
    let per = per_task(length);
    let tasks = drive::ranges(length, per).zip(wanted.pieces(per));
    let work = |(range, wanted): (Range<usize>, Wanted<'_>)| {
        let real = PhantomData::<F>;
        run.level.run(Task { function, given, range, wanted, large, real })
    };
    drive::run(run.par, tasks, work, Outcome::merge)
}

struct Task<'t, 'a, F, L, const N: usize> {
    function: L,
    given: Given<'t, 'a, [Input<'a>; N]>,
    range: Range<usize>,
    wanted: Wanted<'t>,
    /// Whether to write past the caches.
    large: bool,
    real: PhantomData<F>,
}

impl<F: Real, L: Elementwise<N>, const N: usize> nll_simd::Kernel for Task<'_, '_, F, L, N> {
    type Output = Outcome;

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) -> Outcome {
        let mut outcome = Outcome::default();
        let mut rooms: [Room<F>; N] = core::array::from_fn(|_| Room::default());
        let mut weight_room = Room::default();
        let count = if self.wanted.differentiates() { 3 } else { 1 };
        let mut desk = Desk {
            ahead: self.given.inputs.each_ref().map(|input| input.ahead::<F>(self.range.start)),
            pads: [Aligned([F::ZERO; CHUNK]); N],
            results: vec![Aligned([F::ZERO; BLOCK]); count],
        };
        let blocks = blocks(self.given.inputs, self.range.clone());
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = self.large.then_some(stores);
                for block in blocks {
                    let x = read(isa, self.given.inputs, &block, &mut rooms);
                    let weight =
                        self.given.weight.map(|w| w.read(isa, block.clone(), &mut weight_room));
                    let outside = self.compute(isa, block.start, x, &mut desk);
                    outcome.outside = outcome.outside.or(outside);
                    for (result, out) in desk.results.iter_mut().zip(self.wanted.outs()) {
                        let result = &mut result.0[..block.len()];
                        weigh(result, weight);
                        out.write(result, stores);
                    }
                    if self.wanted.total {
                        outcome.total.add_block(isa, &desk.results[0].0[..block.len()]);
                    }
                }
            },
        );
        outcome
    }
}

/// What a task works with.
struct Desk<F, const N: usize> {
    ahead: [Prefetch; N],
    /// Room for an incomplete chunk of each input.
    pads: [Aligned<[F; CHUNK]>; N],
    /// The values of a block, and the derivatives if they are wanted.
    results: Vec<Aligned<[F; BLOCK]>>,
}

/// The blocks of a range. From the second on, which the first input has at a multiple of 64 bytes, no load takes two
/// cache lines (BCE: 0.73 → 0.67 ns).
fn blocks<const N: usize>(
    inputs: &[Input<'_>; N],
    Range { start, end }: Range<usize>,
) -> impl Iterator<Item = Range<usize>> + use<N> {
    let aligned = start + inputs[0].to_boundary(start).min(end - start);
    let blocks = drive::ranges(end - aligned, BLOCK);
    let blocks = blocks.map(move |block| aligned + block.start..aligned + block.end);
    core::iter::once(start..aligned).chain(blocks)
}

/// A block of each input.
#[inline(always)]
fn read<'t, S: Isa, F: Real, const N: usize>(
    isa: S,
    inputs: &'t [Input<'_>; N],
    block: &Range<usize>,
    rooms: &'t mut [Room<F>; N],
) -> [&'t [F]; N] {
    let mut pairs = inputs.iter().zip(rooms);
    core::array::from_fn(|_| match pairs.next() {
        Some((input, room)) => input.read(isa, block.clone(), room),
        None => &[],
    })
}

impl<'a, F: Real, L: Elementwise<N>, const N: usize> Task<'_, 'a, F, L, N> {
    /// The results of a block, its first element being `start`; the first element beyond a limit.
    #[inline(always)]
    fn compute<S: Isa>(
        &self,
        isa: S,
        start: usize,
        x: [&[F]; N],
        desk: &mut Desk<F, N>,
    ) -> Option<Outside> {
        let length = x[0].len();
        let mut allowed = true;
        for at in (0..length).step_by(CHUNK) {
            for ahead in &mut desk.ahead {
                ahead.step(CHUNK.min(length - at));
            }
            let mut pads = desk.pads.iter_mut();
            let chunk: [&[F; CHUNK]; N] = core::array::from_fn(|k| {
                let rest = &x[k][at..length];
                let pad = &mut pads.next().expect("as many pads as inputs").0;
                rest.first_chunk().unwrap_or_else(|| {
                    pad.fill(rest[0]);
                    pad[..rest.len()].copy_from_slice(rest);
                    pad
                })
            });
            allowed &= self.given.limits.iter().all(|limit| limit.allows_all(chunk[limit.input]));
            self.chunk(isa, chunk, at, &mut desk.results);
        }
        let values = &mut desk.results[0].0[..length];
        if L::HAS_LIMIT && !F::bits_at_most(values, F::INFINITY, false) {
            for (i, value) in values.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
                *value = self.function.limit(x.map(|x| x[i]));
            }
        }
        if allowed {
            return None;
        }
        let outside = self.given.limits.iter().filter_map(|limit| {
            let at = x[limit.input].iter().position(|&x| !limit.allows(x))?;
            let value = x[limit.input][at].to_f64();
            Some(Outside { index: start + at, input: limit.input, value })
        });
        outside.min_by_key(|outside| (outside.index, outside.input))
    }

    #[inline(always)]
    fn chunk<S: Isa>(
        &self,
        isa: S,
        x: [&[F; CHUNK]; N],
        at: usize,
        results: &mut [Aligned<[F; BLOCK]>],
    ) {
        let element = |i: usize| {
            core::array::from_fn(
                #[inline(always)]
                |k| x[k][i],
            )
        };
        let [values, derivatives @ ..] = results else { return };
        if L::SHORT && (0..CHUNK).map(|i| u32::from(!L::allows_short(element(i)))).sum::<u32>() == 0
        {
            for (i, value) in values.0[at..at + CHUNK].iter_mut().enumerate() {
                *value = self.function.short(isa, element(i));
            }
            return;
        }
        let mut inner = Aligned([F::ZERO; CHUNK]);
        let inner = &mut inner.0;
        if L::INNER {
            for (i, inner) in inner.iter_mut().enumerate() {
                *inner = self.function.inner(isa, element(i));
            }
        }
        for (i, value) in values.0[at..at + CHUNK].iter_mut().enumerate() {
            *value = self.function.value(isa, element(i), inner[i]);
        }
        let [slopes, curves] = derivatives else { return };
        let (upper, scale) = (self.wanted.upper, F::from_f64(self.wanted.scale));
        let both = slopes.0[at..at + CHUNK].iter_mut().zip(&mut curves.0[at..at + CHUNK]);
        for (i, (slope, curve)) in both.enumerate() {
            let [first, second] = self.function.derivatives(element(i), inner[i]);
            let second = if upper { self.function.hessian_bound(element(i)) } else { second };
            (*slope, *curve) = (first * scale, second * scale);
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
