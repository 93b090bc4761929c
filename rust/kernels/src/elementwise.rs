//! Elementwise functions: N inputs of one shape, a value for each element, an exact total.

mod task;

pub use task::run;

use crate::input::Input;
use crate::out::Out;
use crate::reduce::ExactSum;
use nll_simd::{Isa, Real};

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

    /// Whether `value` may be NaN where it has a limit. A block with a negative value is searched for NaN in vain.
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
    fn hessian_bound<F: Real>(self, _x: [F; N]) -> F {
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
    fn allows_all<F: Real>(&self, x: &[F]) -> bool {
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
