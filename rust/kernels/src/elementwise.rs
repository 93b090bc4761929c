//! Elementwise functions: N inputs of one shape, a value for each element, an exact total.

use crate::Error;
use crate::drive;
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::ExactSum;
use nll_simd::{Ahead, Aligned, Isa, Real, past_caches};
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

    /// Whether `value`, which is never negative, may be NaN where it has a limit.
    const HAS_LIMIT: bool = false;

    /// The limit of the value there.
    #[inline(always)]
    fn limit<F: Real>(self, _x: [F; N]) -> F {
        F::NAN
    }

    /// Whether there is a shorter way to the same bits for chunks all of whose elements allow it.
    const SHORT: bool = false;

    /// Whether an element allows it.
    #[inline(always)]
    fn allows_short<F: Real>(_x: [F; N]) -> bool {
        false
    }

    /// The value, the short way.
    #[inline(always)]
    fn short<S: Isa, F: Real>(self, _isa: S, _x: [F; N]) -> F {
        F::NAN
    }

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

/// What an elementwise function is computed of.
pub struct Given<'t, 'a, I: ?Sized> {
    /// Its inputs.
    pub inputs: &'t I,
    /// What each value and derivative is multiplied by.
    pub weight: Option<&'t Input<'a>>,
    /// What the inputs must keep to.
    pub limits: &'t [Limit],
}

impl<I: ?Sized> Copy for Given<'_, '_, I> {}

impl<I: ?Sized> Clone for Given<'_, '_, I> {
    fn clone(&self) -> Self {
        *self
    }
}

/// Where the elements of one input must lie.
#[derive(Clone, Copy)]
pub struct Limit {
    /// Which input.
    pub input: usize,
    /// The largest that is allowed; the smallest is 0.
    pub high: f64,
    /// Whether NaN is.
    pub nan: bool,
}

/// The first element beyond a limit.
#[derive(Clone, Copy, Debug)]
pub struct Outside {
    /// Which element.
    pub index: usize,
    /// Of which input.
    pub input: usize,
    /// Its value.
    pub value: f64,
}

/// What comes of all elements together.
#[derive(Default)]
pub struct Outcome {
    /// The exact sum of the values, if it was wanted.
    pub total: ExactSum,
    /// The first element beyond a limit: whoever gets one must not use the rest.
    pub outside: Option<Outside>,
}

impl Limit {
    #[inline(always)]
    fn allows<F: Real>(&self, x: F) -> bool {
        ((x >= F::ZERO) & (x <= F::from_f64(self.high))) | (self.nan & x.is_nan())
    }

    /// Whether all are surely allowed: one comparison each, of their bits as whole numbers. Negative numbers and NaN
    /// have larger bits than all in [0, ∞]; so has −0, which is looked at again.
    #[inline(always)]
    fn allows_all<F: Real>(&self, x: &[F; CHUNK]) -> bool {
        let high = F::from_f64(self.high);
        F::bits_at_most(x, high, self.nan && high == F::INFINITY)
    }
}

impl Outcome {
    fn merge(mut self, other: Outcome) -> Outcome {
        self.total.merge(&other.total);
        let both = [self.outside, other.outside].into_iter().flatten();
        self.outside = both.min_by_key(|outside| (outside.index, outside.input));
        self
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

    fn outs(&mut self) -> [&mut Out<'a>; 3] {
        [&mut self.value, &mut self.gradient, &mut self.hessian]
    }

    /// One piece for each task, `per` elements long.
    fn pieces(self, per: usize) -> impl Iterator<Item = Wanted<'a>> + Send + use<'a> {
        let (upper, scale, total) = (self.upper, self.scale, self.total);
        let gradients = self.gradient.pieces(per).zip(self.hessian.pieces(per));
        let pieces = self.value.pieces(per).zip(gradients);
        pieces.map(move |(value, (gradient, hessian))| Wanted {
            value,
            gradient,
            hessian,
            upper,
            scale,
            total,
        })
    }
}

/// Elements in one task: enough of them for every thread, and each long beside its scheduling and total (2 µs).
fn per_task(length: usize) -> usize {
    (length / 64).next_multiple_of(BLOCK).clamp(1 << 14, 1 << 16)
}

/// How many elements are read, and converted, at a time. (1024: 4 % slower; 4096: of bfloat16 3 % slower.)
const BLOCK: usize = 2048;

/// How many elements are written and added at a time. Reading rests meanwhile, but so shortly that what has been asked
/// for is still on its way. (33.5 M from memory: 2048, BCE 9.6 ms, Gaussian 14.7; 1024, 8.9 and 12.0; 512, 9.4 and
/// 11.8; 256, 10.1 and 12.7, as each has its costs.)
const PIECE: usize = 1024;

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
            ahead: self.given.inputs.each_ref().map(|input| input.ahead(self.range.start)),
            pads: [Aligned([F::ZERO; CHUNK]); N],
            results: vec![Aligned([F::ZERO; PIECE]); count],
        };
        // From a multiple of 64 bytes on, no load takes two cache lines (BCE: 0.73 → 0.67 ns).
        let first = self.given.inputs[0].to_boundary(self.range.start).min(self.range.len());
        let aligned = self.range.start + first;
        let blocks = drive::ranges(self.range.end - aligned, BLOCK);
        let blocks = blocks.map(|block| aligned + block.start..aligned + block.end);
        let blocks = core::iter::once(self.range.start..aligned).chain(blocks);
        past_caches(
            #[inline(always)]
            |stores| {
                let stores = self.large.then_some(stores);
                for block in blocks {
                    let x = read(isa, self.given.inputs, &block, &mut rooms);
                    let weight =
                        self.given.weight.map(|w| w.read(isa, block.clone(), &mut weight_room));
                    for piece in drive::ranges(block.len(), PIECE) {
                        let x = x.map(|x| &x[piece.clone()]);
                        let outside = self.compute(isa, block.start + piece.start, x, &mut desk);
                        outcome.outside = outcome.outside.or(outside);
                        let weight = weight.map(|weight| &weight[piece.clone()]);
                        for (result, out) in desk.results.iter_mut().zip(self.wanted.outs()) {
                            let result = &mut result.0[..piece.len()];
                            weigh(result, weight);
                            out.write(result, stores);
                        }
                        if self.wanted.total {
                            outcome.total.add_block(isa, &desk.results[0].0[..piece.len()]);
                        }
                    }
                }
            },
        );
        outcome
    }
}

/// What a task works with.
struct Desk<F, const N: usize> {
    ahead: [Ahead; N],
    /// Room for an incomplete chunk of each input.
    pads: [Aligned<[F; CHUNK]>; N],
    /// The values of a piece, and the derivatives if they are wanted.
    results: Vec<Aligned<[F; PIECE]>>,
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
    /// The results of a piece, its first element being `start`; the first element beyond a limit.
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
        results: &mut [Aligned<[F; PIECE]>],
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
