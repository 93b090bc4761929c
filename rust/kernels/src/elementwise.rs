//! Elementwise functions: N inputs of one shape, a value for each element, an exact total.

use crate::drive;
use crate::input::{Input, Room};
use crate::out::{Out, Run};
use crate::reduce::ExactSum;
use crate::softmax::BLOCK;
use crate::{Error, drive::Par};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// A function of N numbers, usually the negative log-likelihood of one observation.
///
/// It is computed in two loops over a block in L1, the first for its inner exponential or logarithm: a loop
/// with both in it is so long that the CPU overlaps too few of its iterations (BCE on AVX2: 1.1 → 0.7 ns).
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
        let room = vec![F::ZERO; BLOCK.min(self.range.len())];
        let [mut inner, mut values, mut slopes, mut curves] = [(); 4].map(|()| room.clone());
        let (upper, scale) = (self.wanted.upper, F::from_f64(self.wanted.scale));
        let differentiate = !matches!(self.wanted.gradient, Out::Nothing)
            || !matches!(self.wanted.hessian, Out::Nothing);
        for start in self.range.clone().step_by(BLOCK) {
            let range = start..(start + BLOCK).min(self.range.end);
            let (at, length) = (start - self.range.start, range.len());
            let mut pairs = self.inputs.iter().zip(&mut rooms);
            let x: [&[F]; N] = core::array::from_fn(|_| match pairs.next() {
                Some((input, room)) => &input.read(isa, range.clone(), room)[..length],
                None => &[],
            });
            let weight = self.weight.map(|w| w.read(isa, range.clone(), &mut weight_room));
            let element = |i: usize| {
                core::array::from_fn(
                    #[inline(always)]
                    |k| x[k][i],
                )
            };
            let (inner, values) = (&mut inner[..length], &mut values[..length]);
            if L::INNER {
                for (i, inner) in inner.iter_mut().enumerate() {
                    *inner = self.function.inner(isa, element(i));
                }
            }
            for (i, (value, &mut inner)) in values.iter_mut().zip(inner.iter_mut()).enumerate() {
                *value = self.function.value(isa, element(i), inner);
            }
            weigh(values, weight);
            self.wanted.value.put(at, values);
            if self.wanted.total {
                total.add_block(isa, values);
            }
            if differentiate {
                let (slopes, curves) = (&mut slopes[..length], &mut curves[..length]);
                for (i, (slope, curve)) in slopes.iter_mut().zip(curves.iter_mut()).enumerate() {
                    let [first, second] = self.function.derivatives(element(i), inner[i]);
                    let second = if upper { self.function.curvature(element(i)) } else { second };
                    (*slope, *curve) = (first * scale, second * scale);
                }
                weigh(slopes, weight);
                weigh(curves, weight);
                self.wanted.gradient.put(at, slopes);
                self.wanted.hessian.put(at, curves);
            }
        }
        total
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
