//! Elementwise functions: N inputs of one shape, a value for each element, an exact total.

use crate::drive;
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::ExactSum;
use crate::{Error, drive::Par};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// A function of N numbers, usually the negative log-likelihood of one observation.
///
/// Its inner exponential or logarithm has a loop of its own: a loop with both in it is so long that the CPU
/// overlaps too few of its iterations (BCE on AVX2: 0.9 → 0.57 ns).
pub trait Elementwise<const N: usize>: Copy + Sync {
    /// Whether there is one.
    const INNER: bool = true;

    /// The exponential or logarithm that its value and derivatives are made of.
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, _isa: S, _x: [F; N]) -> F {
        F::NAN
    }

    /// Its value, given `inner`.
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; N], inner: F) -> F;
    /// The largest second derivative over all first inputs; NaN where it is not offered.
    #[inline(always)]
    fn curvature<F: Real>(self, _x: [F; N]) -> F {
        F::NAN
    }

    /// Its first and second derivative by the first input; NaN where they are not offered.
    #[inline(always)]
    fn derivatives<F: Real>(self, _x: [F; N], _inner: F) -> [F; 2] {
        [F::NAN; 2]
    }
}

/// What is wanted of an elementwise function.
pub struct Wanted<'a> {
    /// The values.
    pub value: Out<'a>,
    /// The first derivatives by the first input.
    pub gradient: Out<'a>,
    /// The second derivatives by the first input.
    pub hessian: Out<'a>,
    /// The second derivatives' upper bounds in their place.
    pub upper: bool,
    /// What the derivatives are multiplied by: 1/n where the mean is differentiated.
    pub scale: f64,
    /// The exact sum of the values.
    pub total: bool,
}

impl<'a> Wanted<'a> {
    /// Whether a derivative is wanted.
    fn differentiates(&self) -> bool {
        !matches!((&self.gradient, &self.hessian), (Out::Nothing, Out::Nothing))
    }

    /// One piece for each task, `per` elements long.
    fn split(self, tasks: usize, per: usize) -> Vec<Wanted<'a>> {
        let (upper, scale, total) = (self.upper, self.scale, self.total);
        let [value, gradient, hessian] =
            [self.value, self.gradient, self.hessian].map(|out| out.split(tasks, per));
        let pieces = value.into_iter().zip(gradient).zip(hessian);
        pieces
            .map(|((value, gradient), hessian)| Wanted {
                value,
                gradient,
                hessian,
                upper,
                scale,
                total,
            })
            .collect()
    }
}

/// Elements in one task.
const TASK: usize = 1 << 16;

/// How many elements are read, written and added at a time.
const BLOCK: usize = 1024;

/// How many elements go through the loops of a function together. Short, so that reading goes on beside
/// computing: over whole blocks, memory would rest while the second loop runs (BCE: 1.06 → 0.73 ns).
const CHUNK: usize = 128;

/// `function` of `length` elements, computed in `F`, each value and derivative times its `weight`.
pub fn run<'a, F: Real, const N: usize>(
    run: Run<'_>,
    function: impl Elementwise<N>,
    (inputs, weight): (&[Input<'a>; N], Option<&Input<'a>>),
    length: usize,
    wanted: Wanted<'_>,
) -> Result<ExactSum, Error> {
    let ranges: Vec<_> = drive::ranges(length, TASK).collect();
    let wanted = wanted.split(ranges.len(), TASK);
    let tasks = ranges.into_iter().zip(wanted).collect();
    let work = |(range, wanted): (Range<usize>, Wanted<'_>)| {
        let real = PhantomData::<F>;
        run.level.run(Task { function, inputs, weight, range, wanted, real })
    };
    drive::run(run.par, tasks, work, |mut a: ExactSum, b| {
        a.merge(&b);
        a
    })
}

struct Task<'t, 'a, F, L, const N: usize> {
    function: L,
    inputs: &'t [Input<'a>; N],
    weight: Option<&'t Input<'a>>,
    range: Range<usize>,
    wanted: Wanted<'t>,
    real: PhantomData<F>,
}

impl<F: Real, L: Elementwise<N>, const N: usize> nll_simd::Kernel for Task<'_, '_, F, L, N> {
    type Output = ExactSum;

    #[inline(always)]
    fn run<S: Isa>(mut self, isa: S) -> ExactSum {
        let mut total = ExactSum::default();
        let mut rooms: [Room<F>; N] = core::array::from_fn(|_| Room::default());
        let mut weight_room = Room::default();
        let mut results = vec![[F::ZERO; BLOCK]; if self.wanted.differentiates() { 3 } else { 1 }];
        // From a multiple of 64 bytes on, no load takes two cache lines (BCE: 0.73 → 0.67 ns).
        let first = self.inputs[0].to_boundary(self.range.start).min(self.range.len());
        let aligned = self.range.start + first;
        let blocks = drive::ranges(self.range.end - aligned, BLOCK);
        let blocks = blocks.map(|block| aligned + block.start..aligned + block.end);
        for range in core::iter::once(self.range.start..aligned).chain(blocks) {
            let at = range.start - self.range.start;
            let weight = self.weight.map(|w| w.read(isa, range.clone(), &mut weight_room));
            self.compute(isa, range.clone(), &mut rooms, &mut results);
            let outs =
                [&mut self.wanted.value, &mut self.wanted.gradient, &mut self.wanted.hessian];
            for (result, out) in results.iter_mut().zip(outs) {
                let result = &mut result[..range.len()];
                weigh(result, weight);
                out.put(at, result);
            }
            if self.wanted.total {
                total.add_block(isa, &results[0][..range.len()]);
            }
        }
        total
    }
}

impl<'a, F: Real, L: Elementwise<N>, const N: usize> Task<'_, 'a, F, L, N> {
    /// The values of a block, and the derivatives if there is room for them.
    #[inline(always)]
    fn compute<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        rooms: &mut [Room<F>; N],
        results: &mut [[F; BLOCK]],
    ) {
        let mut pairs = self.inputs.iter().zip(rooms);
        let x: [&[F]; N] = core::array::from_fn(|_| match pairs.next() {
            Some((input, room)) => input.read(isa, range.clone(), room),
            None => &[],
        });
        let mut padded = [[F::ZERO; CHUNK]; N];
        for at in (0..range.len()).step_by(CHUNK) {
            let mut pads = padded.iter_mut();
            let x: [&[F; CHUNK]; N] = core::array::from_fn(|k| {
                let rest = &x[k][at..range.len()];
                let pad = pads.next().expect("as many pads as inputs");
                rest.first_chunk().unwrap_or_else(|| {
                    pad[..rest.len()].copy_from_slice(rest);
                    pad
                })
            });
            self.chunk(isa, x, at, results);
        }
    }

    #[inline(always)]
    fn chunk<S: Isa>(&self, isa: S, x: [&[F; CHUNK]; N], at: usize, results: &mut [[F; BLOCK]]) {
        let element = |i: usize| {
            core::array::from_fn(
                #[inline(always)]
                |k| x[k][i],
            )
        };
        let mut inner = [F::ZERO; CHUNK];
        if L::INNER {
            for (i, inner) in inner.iter_mut().enumerate() {
                *inner = self.function.inner(isa, element(i));
            }
        }
        let [values, derivatives @ ..] = results else { return };
        for (i, value) in values[at..at + CHUNK].iter_mut().enumerate() {
            *value = self.function.value(isa, element(i), inner[i]);
        }
        let [slopes, curves] = derivatives else { return };
        let (upper, scale) = (self.wanted.upper, F::from_f64(self.wanted.scale));
        let both = slopes[at..at + CHUNK].iter_mut().zip(&mut curves[at..at + CHUNK]);
        for (i, (slope, curve)) in both.enumerate() {
            let [first, second] = self.function.derivatives(element(i), inner[i]);
            let second = if upper { self.function.curvature(element(i)) } else { second };
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

/// The first element for which `wrong` holds, and its value.
pub fn find(
    par: Par<'_>,
    input: &Input<'_>,
    length: usize,
    wrong: impl Fn(f64) -> bool + Sync,
) -> Option<(usize, f64)> {
    let blocks = length.div_ceil(BLOCK);
    drive::first(par, blocks, |block| {
        let range = block * BLOCK..((block + 1) * BLOCK).min(length);
        let mut room = Room::<f64>::default();
        let values = input.read(nll_simd::Baseline, range.clone(), &mut room);
        let at = values.iter().position(|&value| wrong(value))?;
        Some((range.start + at, values[at]))
    })
}
