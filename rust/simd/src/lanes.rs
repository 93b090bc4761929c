//! Arrays as registers: 32 lanes on every CPU, folded to eight and to one by fixed trees.
//!
//! Whole arrays go in and come out by value, so that LLVM keeps accumulators in registers.

use crate::real::Real;
use crate::words::{Wide, two_sum_error};

/// The virtual width: how many classes a kernel takes at a time.
pub const LANES: usize = 32;
/// The width of the running sums: one AVX-512 register of f64.
pub const EIGHT: usize = 8;

/// `f` of every pair of lanes.
#[inline(always)]
pub fn zip<F: Real, const N: usize>(mut a: [F; N], b: [F; N], f: impl Fn(F, F) -> F) -> [F; N] {
    for (x, y) in a.iter_mut().zip(b) {
        *x = f(*x, y);
    }
    a
}

/// A running sum in eight f64 lanes, with the rounding errors beside it where [`Real::COMPENSATED`].
#[derive(Clone, Copy, Debug)]
pub struct Total {
    sum: [f64; EIGHT],
    error: [f64; EIGHT],
}

impl Total {
    /// The empty sum.
    pub const ZERO: Total = Total { sum: [0.0; EIGHT], error: [0.0; EIGHT] };

    /// Adds eight lanes.
    #[inline(always)]
    #[must_use]
    pub fn plus<F: Real>(self, eight: [F; EIGHT]) -> Total {
        self.plus_wide::<F>(F::widen(eight))
    }

    /// Adds eight lanes made of `F`s.
    #[inline(always)]
    #[must_use]
    pub fn plus_wide<F: Real>(self, value: [f64; EIGHT]) -> Total {
        let sum = zip(self.sum, value, |s, v| s + v);
        if !F::COMPENSATED {
            return Total { sum, error: self.error };
        }
        let error = core::array::from_fn(
            #[inline(always)]
            |i| self.error[i] + two_sum_error(self.sum[i], value[i], sum[i]),
        );
        Total { sum, error }
    }

    /// The sum times `factor`.
    #[inline(always)]
    #[must_use]
    pub fn scaled(self, factor: f64) -> Total {
        Total { sum: self.sum.map(|s| s * factor), error: self.error.map(|e| e * factor) }
    }

    /// All lanes together, rounded.
    #[inline(always)]
    pub fn value<F: Real>(self) -> f64 {
        self.wide::<F>().rounded()
    }

    /// All lanes together, by halves: 8 → 4 → 2 → 1.
    #[inline(always)]
    pub fn wide<F: Real>(self) -> F::Wide {
        // An infinite sum spoils its own compensation.
        let plain = self.sum.iter().sum::<f64>();
        if F::COMPENSATED && !plain.is_finite() {
            return F::Wide::of(plain);
        }
        let (mut sum, mut error) = (self.sum, self.error);
        for half in [4, 2, 1] {
            for i in 0..half {
                let s = sum[i] + sum[i + half];
                if F::COMPENSATED {
                    error[i] += error[i + half] + two_sum_error(sum[i], sum[i + half], s);
                }
                sum[i] = s;
            }
        }
        if F::COMPENSATED { F::Wide::sum(sum[0], error[0]) } else { F::Wide::of(sum[0]) }
    }
}
