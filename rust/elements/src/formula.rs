//! Formulas as the loop over chunks sees them: a loss, with its derivatives if it has them.

use nll_kernels::math::density::{CHUNK, Density, Derivatives, SecondDerivatives, element};
use nll_simd::{Isa, Real};

/// Which derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Derivative {
    /// By the input with this number.
    By(usize),
    /// The second one by the first input.
    Second,
    /// The upper bound of the second one.
    Bound,
}

/// A loss of N inputs, at most four, and its derivatives.
pub(crate) trait Formula<const N: usize>: Copy + Sync {
    /// The loss.
    type Loss: Density<N>;

    /// The loss.
    fn loss(self) -> Self::Loss;

    /// Writes a derivative of each element of a chunk.
    #[inline(always)]
    fn derivative<S: Isa, F: Real>(
        self,
        _isa: S,
        _which: Derivative,
        _chunk: ([&[F; CHUNK]; N], &[F; CHUNK]),
        _to: &mut [F; CHUNK],
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

/// A loss with first derivatives.
#[derive(Clone, Copy)]
pub(crate) struct OnceDifferentiable<L>(pub(crate) L);

impl<L: Derivatives<N>, const N: usize> Formula<N> for OnceDifferentiable<L> {
    type Loss = L;

    #[inline(always)]
    fn loss(self) -> L {
        self.0
    }

    #[inline(always)]
    fn derivative<S: Isa, F: Real>(
        self,
        isa: S,
        which: Derivative,
        chunk: ([&[F; CHUNK]; N], &[F; CHUNK]),
        to: &mut [F; CHUNK],
    ) {
        gradient(self.0, isa, which, chunk, to);
    }
}

/// A loss with first and second derivatives.
#[derive(Clone, Copy)]
pub(crate) struct Differentiable<L>(pub(crate) L);

impl<L: SecondDerivatives<N>, const N: usize> Formula<N> for Differentiable<L> {
    type Loss = L;

    #[inline(always)]
    fn loss(self) -> L {
        self.0
    }

    #[inline(always)]
    fn derivative<S: Isa, F: Real>(
        self,
        isa: S,
        which: Derivative,
        (x, inner): ([&[F; CHUNK]; N], &[F; CHUNK]),
        to: &mut [F; CHUNK],
    ) {
        match which {
            Derivative::By(_) => gradient(self.0, isa, which, (x, inner), to),
            Derivative::Second => {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = self.0.second(isa, element(x, i), inner[i]);
                }
            }
            Derivative::Bound => {
                for (i, to) in to.iter_mut().enumerate() {
                    *to = self.0.bound(element(x, i), inner[i]);
                }
            }
        }
    }
}

/// The derivative by one input. The number of the input is a constant in each loop: what the other
/// derivatives need is not computed.
#[inline(always)]
fn gradient<S: Isa, F: Real, L: Derivatives<N>, const N: usize>(
    loss: L,
    isa: S,
    which: Derivative,
    (x, inner): ([&[F; CHUNK]; N], &[F; CHUNK]),
    to: &mut [F; CHUNK],
) {
    match which {
        Derivative::By(1) => partial::<1, _, _, _, N>(loss, isa, (x, inner), to),
        Derivative::By(2) => partial::<2, _, _, _, N>(loss, isa, (x, inner), to),
        Derivative::By(3) => partial::<3, _, _, _, N>(loss, isa, (x, inner), to),
        _ => partial::<0, _, _, _, N>(loss, isa, (x, inner), to),
    }
}

/// The derivative by input `K`, which exists.
#[inline(always)]
fn partial<const K: usize, S: Isa, F: Real, L: Derivatives<N>, const N: usize>(
    loss: L,
    isa: S,
    (x, inner): ([&[F; CHUNK]; N], &[F; CHUNK]),
    to: &mut [F; CHUNK],
) {
    if K >= N {
        return;
    }
    loss.with_constants(
        #[inline(always)]
        |loss| {
            for (i, to) in to.iter_mut().enumerate() {
                *to = loss.gradient(isa, element(x, i), inner[i])[K % N];
            }
        },
    );
}
