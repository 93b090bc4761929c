//! The Poisson distribution of a count.

use crate::math::density::{Density, Derivatives, mul_or_zero};
use nll_simd::math::{exp, log, log_of_sum};
use nll_simd::{Isa, Real};

/// log y! by Stirling's formula, y·log y − y + ½·log 2πy, for y > 1; else 0.
#[inline(always)]
fn log_factorial<S: Isa, F: Real>(isa: S, y: F) -> F {
    let two_pi = F::from_f64(core::f64::consts::TAU);
    let stirling = y * log(isa, y) - y + F::HALF * log(isa, two_pi * y);
    if y > F::ONE { stirling } else { F::ZERO }
}

/// Poisson, from the rate λ and the count y: λ − y·log(λ + ε), with y·log λ = 0 where y = 0; plus
/// log y! if `FULL`.
#[derive(Clone, Copy)]
pub struct Poisson<const FULL: bool> {
    /// ε
    pub eps: f64,
}

impl<const FULL: bool> Density<2> for Poisson<FULL> {
    /// log(λ + ε)
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [rate, _]: [F; 2]) -> F {
        log_of_sum(isa, rate, F::from_f64(self.eps))
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [rate, y]: [F; 2], log_rate: F) -> F {
        let loss = rate - mul_or_zero(y, log_rate);
        if FULL { loss + log_factorial(isa, y) } else { loss }
    }
}

impl<const FULL: bool> Derivatives<2> for Poisson<FULL> {
    #[inline(always)]
    fn derivatives<F: Real>(self, [rate, y]: [F; 2], _inner: F) -> [F; 2] {
        let rate = rate + F::from_f64(self.eps);
        [F::ONE - y / rate, y / rate / rate]
    }

    #[inline(always)]
    fn hessian_bound<F: Real>(self, _x: [F; 2], _inner: F) -> F {
        F::INFINITY
    }
}

/// Poisson, from x = log λ and the count y: e^x − y·x, or e^x where y = 0; plus log y! if `FULL`.
#[derive(Clone, Copy)]
pub struct PoissonLog<const FULL: bool>;

impl<const FULL: bool> Density<2> for PoissonLog<FULL> {
    /// λ
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, [x, _]: [F; 2]) -> F {
        exp(isa, x)
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, [x, y]: [F; 2], rate: F) -> F {
        let loss = rate - mul_or_zero(y, x);
        if FULL { loss + log_factorial(isa, y) } else { loss }
    }
}

impl<const FULL: bool> Derivatives<2> for PoissonLog<FULL> {
    #[inline(always)]
    fn derivatives<F: Real>(self, [_, y]: [F; 2], rate: F) -> [F; 2] {
        [rate - y, rate]
    }

    #[inline(always)]
    fn hessian_bound<F: Real>(self, _x: [F; 2], _inner: F) -> F {
        F::INFINITY
    }
}
