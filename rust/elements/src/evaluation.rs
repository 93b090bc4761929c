//! A formula over a block of elements, in chunks that its loops take together.
//!
//! This is all of an elementwise loss that is compiled for each formula, precision and instruction
//! set: the stream of blocks through memory knows it as `dyn` [`Evaluate`].

use crate::formula::{Derivative, Formula};
use nll_kernels::math::density::{CHUNK, Density};
use nll_simd::{Aligned, Isa, Kernel, Level, Prefetch, Real};

/// How many elements are read, written and added at a time. Small enough that the prefetches issued
/// for the next block are still in flight after this one is stored and summed.
pub(crate) const BLOCK: usize = 1024;

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

/// An element beyond a limit.
#[derive(Clone, Copy)]
pub(crate) struct Outside {
    /// Its number in the order of the visit.
    pub(crate) element: usize,
    pub(crate) input: usize,
    pub(crate) value: f64,
}

/// What a task keeps from chunk to chunk.
pub(crate) struct Chunks<F, const N: usize> {
    pub(crate) prefetch: [Prefetch; N],
    /// An incomplete chunk of each input, filled up.
    pads: [Aligned<[F; CHUNK]>; N],
    /// The factor of all derivatives.
    pub(crate) scale: f64,
    /// The values of a block.
    pub(crate) values: Aligned<[F; BLOCK]>,
    /// The derivatives that are wanted.
    pub(crate) derivatives: Vec<Aligned<[F; BLOCK]>>,
}

impl<F: Real, const N: usize> Chunks<F, N> {
    #[inline(always)]
    pub(crate) fn new(prefetch: [Prefetch; N], derivatives: usize, scale: f64) -> Self {
        Chunks {
            prefetch,
            pads: [Aligned([F::ZERO; CHUNK]); N],
            scale,
            values: Aligned([F::ZERO; BLOCK]),
            derivatives: vec![Aligned([F::ZERO; BLOCK]); derivatives],
        }
    }

    /// The values of a block, and behind them the derivatives.
    #[inline(always)]
    pub(crate) fn results(&self) -> impl Iterator<Item = &[F; BLOCK]> {
        core::iter::once(&self.values).chain(&self.derivatives).map(|result| &result.0)
    }

    /// [`results`](Self::results), to be changed.
    #[inline(always)]
    pub(crate) fn results_mut(&mut self) -> impl Iterator<Item = &mut [F; BLOCK]> {
        let values = core::iter::once(&mut self.values);
        values.chain(&mut self.derivatives).map(|result| &mut result.0)
    }
}

/// What a stream does with a block of N inputs of type `F`.
pub(crate) trait Evaluate<F, const N: usize>: Sync {
    /// Leaves the results of a block in `chunks`. Returns whether all elements are within their
    /// limits.
    fn evaluate(&self, level: Level, x: &[&[F]; N], chunks: &mut Chunks<F, N>) -> bool;

    /// The first element of a block, whose first one has the number `start`, that counts and is
    /// beyond a limit. All count if there is no `mask`.
    fn first_outside(&self, start: usize, x: &[&[F]; N], mask: Option<&[F]>) -> Option<Outside>;

    /// How many derivatives are wanted.
    fn derivatives(&self) -> usize;

    /// [`Density::IS_SHORT`]
    fn is_short(&self) -> bool;
}

/// A formula with its options.
pub(crate) struct Evaluation<L, const N: usize> {
    pub(crate) loss: L,
    /// What the elements of each input may be.
    pub(crate) limits: [Option<Limit>; N],
    /// The derivatives that are wanted.
    pub(crate) derivatives: Vec<Derivative>,
}

impl<F: Real, L: Formula<N>, const N: usize> Evaluate<F, N> for Evaluation<L, N> {
    fn evaluate(&self, level: Level, x: &[&[F]; N], chunks: &mut Chunks<F, N>) -> bool {
        level.run(Block { of: self, x, chunks })
    }

    fn first_outside(&self, start: usize, x: &[&[F]; N], mask: Option<&[F]>) -> Option<Outside> {
        let outside = self.limits.iter().enumerate().filter_map(|(input, limit)| {
            let limit = limit.as_ref()?;
            let counts = |at: usize| mask.is_none_or(|mask| mask[at] != F::ZERO);
            let at = (0..x[input].len()).find(|&at| counts(at) && !limit.allows(x[input][at]))?;
            Some(Outside { element: start + at, input, value: x[input][at].to_f64() })
        });
        outside.min_by_key(|outside| (outside.element, outside.input))
    }

    fn derivatives(&self) -> usize {
        self.derivatives.len()
    }

    fn is_short(&self) -> bool {
        L::Loss::IS_SHORT
    }
}

/// A block on its way through the loops of a formula.
struct Block<'b, F, L, const N: usize> {
    of: &'b Evaluation<L, N>,
    x: &'b [&'b [F]; N],
    chunks: &'b mut Chunks<F, N>,
}

impl<F: Real, L: Formula<N>, const N: usize> Kernel for Block<'_, F, L, N> {
    type Output = bool;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> bool {
        self.of.compute(isa, self.x, self.chunks)
    }
}

impl<L: Formula<N>, const N: usize> Evaluation<L, N> {
    /// The results of a block; whether all elements are within their limits.
    #[inline(always)]
    fn compute<S: Isa, F: Real>(&self, isa: S, x: &[&[F]; N], chunks: &mut Chunks<F, N>) -> bool {
        let length = x[0].len();
        let Chunks { prefetch, pads, scale, values, derivatives } = chunks;
        let (mut ahead, mut allowed) = (*prefetch, true);
        for (i, values) in
            values.0.as_chunks_mut().0[..length.div_ceil(CHUNK)].iter_mut().enumerate()
        {
            let at = i * CHUNK;
            for ahead in &mut ahead {
                ahead.step(CHUNK.min(length - at));
            }
            let mut pads = pads.iter_mut();
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
            let mut inner = Aligned([F::ZERO; CHUNK]);
            let inner_terms = (&mut inner.0, !derivatives.is_empty());
            self.loss.loss().values(isa, chunk, inner_terms, values);
            for (which, to) in self.derivatives.iter().zip(&mut *derivatives) {
                let to = &mut to.0.as_chunks_mut().0[i];
                self.loss.derivative(isa, *which, (chunk, &inner.0), to);
                let scale = F::from_f64(*scale);
                to.iter_mut().for_each(|derivative| *derivative = *derivative * scale);
            }
        }
        *prefetch = ahead;
        let values = &mut values.0[..length];
        if L::Loss::HAS_LIMIT && !F::bits_at_most(values, F::INFINITY, false) {
            for (i, value) in values.iter_mut().enumerate().filter(|(_, value)| value.is_nan()) {
                *value = self.loss.loss().limit(x.map(|x| x[i]));
            }
        }
        allowed
    }
}
