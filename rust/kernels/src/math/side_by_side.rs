//! Formulas of a row for rows side by side: one step for all rows, then the next.
//!
//! The loss of a row is one chain of operations, each of which waits for the one before: some 200 cycles. A CPU
//! looks 250 to 500 instructions ahead, which is about one such chain, so a loop over the whole formula would
//! mostly wait. Each loop here is a step of it, or two short ones, so that the chains of many rows run at once. Every
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

/// Σ e^x of some classes of each row, in two words at a scale of the row: a [`ScaledSum`] each.
#[derive(Clone)]
pub struct ScaledSums<F, const N: usize> {
    /// An exponent of e.
    pub center: [F; N],
    /// An exponent of 2, a whole number.
    pub exponent: [F; N],
    /// The sum, …
    pub sum: [f64; N],
    /// … and what rounding took from it: 0 but in float64.
    pub lost: [f64; N],
    /// The largest x.
    pub max: [F; N],
}

impl<F: Real, const N: usize> ScaledSums<F, N> {
    /// Of no classes.
    pub const EMPTY: ScaledSums<F, N> = ScaledSums {
        center: [F::ZERO; N],
        exponent: [F::ZERO; N],
        sum: [0.0; N],
        lost: [0.0; N],
        max: [F::ZERO; N],
    };

    /// The sum of one row.
    #[inline(always)]
    pub fn of(&self, i: usize) -> ScaledSum {
        let (center, exponent) = (self.center[i].to_f64(), self.exponent[i].to_f64());
        let sum = self.sum[i];
        // The n of the largest x, and with it what `exp_parts` left in the terms that matter.
        let mut correction = -exponent * F::LN_2_REST;
        if F::COMPENSATED && sum > 0.0 {
            // What rounding took from the sum, as an exponent of e.
            correction += self.lost[i] / sum;
        }
        ScaledSum { center, correction, exponent, sum, max: self.max[i].to_f64() }
    }
}

/// The numbers of a group of N rows that one step of their losses leaves for the next.
///
/// It is one structure, because LLVM would compare the addresses of several at run time, in case they overlap. It is aligned,
/// because 64 bytes that lie in two cache lines take two accesses.
#[repr(align(64))]
pub struct Steps<F, const N: usize> {
    /// The target, a class or none.
    pub target: [F; N],
    /// Its logit.
    pub x_t: [F; N],
    /// The sum of the other classes.
    pub rest: ScaledSums<F, N>,
    /// The losses, once they are computed.
    pub losses: Words<N>,
    ratios: Words<N>,
    logs: [f64; N],
    inverses: Words<N>,
}

impl<F: Real, const N: usize> Default for Steps<F, N> {
    fn default() -> Self {
        let [losses, ratios, inverses] = [const { Words::ZERO }; 3];
        let (rest, [target, x_t]) = (ScaledSums::EMPTY, [[F::ZERO; N]; 2]);
        Steps { target, x_t, rest, losses, ratios, logs: [0.0; N], inverses }
    }
}

/// Computes the losses of some groups of rows, [`row::unrounded_loss`] of each row with its words normalized: one step for
/// all groups, then the next.
#[inline(always)]
pub fn compute_losses<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    if F::COMPENSATED {
        gaps(isa, groups);
        ratios(isa, groups);
        logs(isa, groups);
        inverses(isa, groups);
        finish(isa, groups);
    } else {
        // Numbers in one word take few instructions, so that two or three steps fit in one loop.
        short_ratios(isa, groups);
        short_losses(isa, groups);
    }
}

/// Does something to each group.
#[inline(always)]
fn each<S: Isa, F: Real, const N: usize>(
    isa: S,
    groups: &mut [Steps<F, N>],
    step: impl Fn(&mut Steps<F, N>),
) {
    isa.vectorize(
        #[inline(always)]
        || {
            for group in groups {
                step(group);
            }
        },
    );
}

#[inline(never)]
fn short_ratios<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            let [mut gaps, mut ratios] = [[0.0; N]; 2];
            for i in 0..N {
                let gap = group.gap(i);
                [gaps[i], _] = gap.words();
                [ratios[i], _] = group.ratio(isa, i, gap).words();
            }
            (group.losses.hi, group.ratios.hi) = (gaps, ratios);
        },
    );
}

#[inline(never)]
fn short_losses<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            let mut losses = [0.0; N];
            for i in 0..N {
                let log = group.ratio_of(i).short_log1p(isa);
                losses[i] = group.loss(isa, i, log).rounded();
            }
            group.losses.hi = losses;
        },
    );
}

#[inline(never)]
fn gaps<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            for i in 0..N {
                group.losses.set(i, group.gap(i));
            }
        },
    );
}

#[inline(never)]
fn ratios<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            for i in 0..N {
                let gap = group.losses.of(i);
                group.ratios.set(i, group.ratio(isa, i, gap));
            }
        },
    );
}

#[inline(never)]
fn logs<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            for i in 0..N {
                group.logs[i] = group.ratio_of(i).short_log1p(isa);
            }
        },
    );
}

#[inline(never)]
fn inverses<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            for i in 0..N {
                group.inverses.set(i, F::Extended::inverse(isa, group.logs[i]));
            }
        },
    );
}

#[inline(never)]
fn finish<S: Isa, F: Real, const N: usize>(isa: S, groups: &mut [Steps<F, N>]) {
    each(
        isa,
        groups,
        #[inline(always)]
        |group| {
            for i in 0..N {
                let [hi, lo] = group.loss(isa, i, group.logs[i]).words();
                (group.losses.hi[i], group.losses.lo[i]) = (hi, lo);
            }
        },
    );
}

impl<F: Real, const N: usize> Steps<F, N> {
    /// d of the loss log(1 + s·e^d). Until the last step, `losses` holds these numbers.
    #[inline(always)]
    fn gap(&self, i: usize) -> F::Extended {
        row::gap::<F>(self.rest.of(i), self.x_t[i].to_f64())
    }

    /// s·e^d
    #[inline(always)]
    fn ratio<S: Isa>(&self, isa: S, i: usize, gap: F::Extended) -> F::Extended {
        let [near, _] = row::near_and_beyond(gap);
        near.mul_exp(isa, self.rest.sum[i])
    }

    /// The ratio once it is computed.
    #[inline(always)]
    fn ratio_of(&self, i: usize) -> F::Extended {
        self.ratios.of(i)
    }

    /// The loss. `log` is its logarithm to 32 bits.
    #[inline(always)]
    fn loss<S: Isa>(&self, isa: S, i: usize, log: f64) -> F::Extended {
        let [_, beyond] = row::near_and_beyond::<F::Extended>(self.losses.of(i));
        let log = self.ratio_of(i).log1p_near(isa, log, self.inverses.of(i));
        row::loss_or_alone(log.add(beyond), self.rest.sum[i], self.x_t[i].to_f64())
    }
}
