//! Entropy and divergence of single probabilities.

use crate::math::density::{Density, mul_or_zero};
use crate::math::row::finite;
use nll_simd::math::{log, log_of_quotient, mul_exp};
use nll_simd::{Isa, Real, two_sum_error};

/// −p·log p.   0 → 0, p < 0 → −∞, NaN → NaN.
#[derive(Clone, Copy)]
pub struct Entropy;

impl Density<1> for Entropy {
    /// log p
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [p]: [F; 1]) -> F {
        log(isa, p)
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, _isa: S, [p]: [F; 1], log_p: F) -> F {
        let value = F::ZERO - mul_or_zero(p, log_p);
        if p < F::ZERO { F::NEG_INFINITY } else { value }
    }
}

/// p·log(p/q).   p = 0 ≤ q → 0, p > 0 = q → +∞, p < 0 or q < 0 → +∞, NaN → NaN.
#[derive(Clone, Copy)]
pub struct RelativeEntropy;

impl Density<2> for RelativeEntropy {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [p, q]: [F; 2], _inner: F) -> F {
        let ratio = p / q;
        let apart = log(isa, p) - log(isa, q);
        let in_range = ratio >= F::LEAST_NORMAL && ratio < F::INFINITY;
        let value =
            mul_or_zero(p, if in_range { log_of_quotient(isa, ratio, p, q) } else { apart });
        let value = if p < F::ZERO || q < F::ZERO { F::INFINITY } else { value };
        if p.is_nan() || q.is_nan() { F::NAN } else { value }
    }
}

/// p·(log p − x) from x = log q and p: torch's `kl_div`, element by element.   p = 0 → 0.
#[derive(Clone, Copy)]
pub struct KlDiv;

impl Density<2> for KlDiv {
    /// log p
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [_, p]: [F; 2]) -> F {
        log(isa, p)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, p]: [F; 2], log_p: F) -> F {
        let d = log_p - x;
        if !F::COMPENSATED {
            return mul_or_zero(p, d);
        }
        let lost = finite(p * two_sum_error(log_p, -x, d));
        if p == F::ZERO { F::ZERO } else { isa.mul_add(p, d, lost) }
    }
}

/// e^l·(l − x) from x = log q and l = log p: torch's `kl_div` with `log_target`.   l = −∞ → 0.
#[derive(Clone, Copy)]
pub struct KlDivLog;

impl Density<2> for KlDivLog {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, log_p]: [F; 2], _inner: F) -> F {
        // p alone may overflow or underflow where the product does not.
        let value = mul_exp(isa, log_p - x, [log_p, F::ZERO]);
        if log_p == F::NEG_INFINITY { F::ZERO } else { value }
    }
}
