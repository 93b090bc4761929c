//! Formulas of a row for rows side by side: one step for all rows, then the next.
//!
//! The loss of a row is one chain of operations, each of which waits for the one before: some 200 cycles. A CPU
//! looks 250 to 500 instructions ahead, which is about one such chain, so a loop over the whole formula would
//! mostly wait. Each loop here is a step of it, short enough for the chains of many rows to run at once. Every
//! row gets the bits of the formula in [`row`].

use crate::math::row::{self, ScaledSum};
use nll_simd::{Extended, Isa, Real};

/// A number in two words of each row; an array for each word, as a loop over arrays of structures is not
/// vectorised.
#[derive(Clone)]
pub struct Words<const N: usize> {
    /// The leading words.
    pub hi: [f64; N],
    /// The trailing words.
    pub lo: [f64; N],
}

impl<const N: usize> Words<N> {
    /// 0 of each row.
    pub const ZERO: Words<N> = Words { hi: [0.0; N], lo: [0.0; N] };

    /// The number of row i.
    #[inline(always)]
    pub fn of<E: Extended>(&self, i: usize) -> E {
        E::of_parts([self.hi[i], self.lo[i]])
    }

    /// Sets the number of row i.
    #[inline(always)]
    pub fn set<E: Extended>(&mut self, i: usize, value: E) {
        [self.hi[i], self.lo[i]] = value.parts();
    }
}

/// The [`ScaledSum`] of each row.
#[derive(Clone)]
pub struct ScaledSums<const N: usize> {
    /// An exponent of e.
    pub center: [f64; N],
    /// A small one.
    pub correction: [f64; N],
    /// An exponent of 2.
    pub exponent: [f64; N],
    /// The sum.
    pub sum: [f64; N],
    /// The largest x.
    pub max: [f64; N],
}

impl<const N: usize> ScaledSums<N> {
    /// Of no classes.
    pub const EMPTY: ScaledSums<N> = ScaledSums {
        center: [0.0; N],
        correction: [0.0; N],
        exponent: [0.0; N],
        sum: [0.0; N],
        max: [0.0; N],
    };

    /// The sum of one row.
    #[inline(always)]
    pub fn of(&self, i: usize) -> ScaledSum {
        let ScaledSums { center, correction, exponent, sum, max } = self;
        let (center, correction) = (center[i], correction[i]);
        ScaledSum { center, correction, exponent: exponent[i], sum: sum[i], max: max[i] }
    }
}

/// The numbers of N rows that one step of a loss leaves for the next.
pub struct Steps<const N: usize> {
    /// The sum of the classes but the target's.
    pub rest: ScaledSums<N>,
    /// The logit of the target.
    pub x_t: [f64; N],
    /// The losses, once they are computed.
    pub losses: Words<N>,
    ratios: Words<N>,
    logs: [f64; N],
    inverses: Words<N>,
}

impl<const N: usize> Default for Steps<N> {
    fn default() -> Self {
        let [losses, ratios, inverses] = [const { Words::ZERO }; 3];
        let (rest, zeros) = (ScaledSums::EMPTY, [0.0; N]);
        Steps { rest, x_t: zeros, losses, ratios, logs: zeros, inverses }
    }
}

impl<const N: usize> Steps<N> {
    /// Computes the losses, [`row::unrounded_loss`] of each row with its words normalized.
    #[inline(always)]
    pub fn compute_losses<S: Isa, F: Real>(&mut self, isa: S) {
        let Steps { rest, x_t, losses, ratios, logs, inverses } = self;
        gaps::<S, F, N>(isa, rest, x_t, losses);
        self::ratios::<S, F, N>(isa, &rest.sum, losses, ratios);
        self::logs::<S, F, N>(isa, ratios, logs);
        if F::COMPENSATED {
            self::inverses::<S, F, N>(isa, logs, inverses);
        }
        finish::<S, F, N>(isa, (rest, x_t), (ratios, logs, inverses), losses);
    }
}

#[inline(never)]
fn gaps<S: Isa, F: Real, const N: usize>(
    isa: S,
    rest: &ScaledSums<N>,
    x_t: &[f64; N],
    gaps: &mut Words<N>,
) {
    isa.vectorize(
        #[inline(always)]
        || {
            for i in 0..N {
                gaps.set(i, row::gap::<F>(rest.of(i), x_t[i]));
            }
        },
    );
}

#[inline(never)]
fn ratios<S: Isa, F: Real, const N: usize>(
    isa: S,
    sums: &[f64; N],
    gaps: &Words<N>,
    ratios: &mut Words<N>,
) {
    isa.vectorize(
        #[inline(always)]
        || {
            for i in 0..N {
                let [near, _] = row::near_and_beyond::<F::Extended>(gaps.of(i));
                ratios.set(i, near.mul_exp(isa, sums[i]));
            }
        },
    );
}

#[inline(never)]
fn logs<S: Isa, F: Real, const N: usize>(isa: S, ratios: &Words<N>, logs: &mut [f64; N]) {
    isa.vectorize(
        #[inline(always)]
        || {
            for i in 0..N {
                logs[i] = ratios.of::<F::Extended>(i).short_log1p(isa);
            }
        },
    );
}

#[inline(never)]
fn inverses<S: Isa, F: Real, const N: usize>(isa: S, logs: &[f64; N], inverses: &mut Words<N>) {
    isa.vectorize(
        #[inline(always)]
        || {
            for i in 0..N {
                inverses.set(i, F::Extended::inverse(isa, logs[i]));
            }
        },
    );
}

/// The last step: `losses` holds the exponents d of the ratios e^d, and then the losses.
#[inline(never)]
fn finish<S: Isa, F: Real, const N: usize>(
    isa: S,
    (rest, x_t): (&ScaledSums<N>, &[f64; N]),
    (ratios, logs, inverses): (&Words<N>, &[f64; N], &Words<N>),
    losses: &mut Words<N>,
) {
    isa.vectorize(
        #[inline(always)]
        || {
            for i in 0..N {
                let [_, beyond] = row::near_and_beyond::<F::Extended>(losses.of(i));
                let log = ratios.of::<F::Extended>(i).log1p_near(isa, logs[i], inverses.of(i));
                let loss = row::loss_or_alone(log.add(beyond), rest.sum[i], x_t[i]);
                let [hi, lo] = loss.words();
                (losses.hi[i], losses.lo[i]) = (hi, lo);
            }
        },
    );
}
