//! Formulas as the loop over chunks sees them: a loss, with its derivatives if it has them.

use crate::math::density::{CHUNK, Density, Derivatives, element};
use nll_simd::Real;

/// A loss of N inputs, and its derivatives by the first.
pub(crate) trait Formula<const N: usize>: Copy + Sync {
    /// The loss.
    type Loss: Density<N>;

    /// Whether it is computed in float64 whatever its inputs are.
    const ALWAYS_DOUBLE: bool = false;

    /// The loss.
    fn loss(self) -> Self::Loss;

    /// Writes the derivatives of a chunk, with the upper bound in the place of the second if
    /// `upper`.
    #[inline(always)]
    fn derivatives<F: Real>(
        self,
        _x: [&[F; CHUNK]; N],
        _inner: &[F; CHUNK],
        _upper: bool,
        _to: [&mut [F; CHUNK]; 2],
    ) {
    }
}

/// A loss without derivatives.
#[derive(Clone, Copy)]
pub(crate) struct Plain<L>(pub(crate) L);

impl<L: Density<N>, const N: usize> Formula<N> for Plain<L> {
    type Loss = L;

    #[inline(always)]
    fn loss(self) -> L {
        self.0
    }
}

/// A loss without derivatives, of few numbers: always in float64.
#[derive(Clone, Copy)]
pub(crate) struct PlainDouble<L>(pub(crate) L);

impl<L: Density<N>, const N: usize> Formula<N> for PlainDouble<L> {
    type Loss = L;

    const ALWAYS_DOUBLE: bool = true;

    #[inline(always)]
    fn loss(self) -> L {
        self.0
    }
}

/// A loss with derivatives.
#[derive(Clone, Copy)]
pub(crate) struct Differentiable<L>(pub(crate) L);

impl<L: Derivatives<N>, const N: usize> Formula<N> for Differentiable<L> {
    type Loss = L;

    #[inline(always)]
    fn loss(self) -> L {
        self.0
    }

    #[inline(always)]
    fn derivatives<F: Real>(
        self,
        x: [&[F; CHUNK]; N],
        inner: &[F; CHUNK],
        upper: bool,
        [slopes, curves]: [&mut [F; CHUNK]; 2],
    ) {
        for (i, (slope, curve)) in slopes.iter_mut().zip(curves).enumerate() {
            let element = element(x, i);
            let [first, second] = self.0.derivatives(element, inner[i]);
            let bound = self.0.hessian_bound(element, inner[i]);
            (*slope, *curve) = (first, if upper { bound } else { second });
        }
    }
}
