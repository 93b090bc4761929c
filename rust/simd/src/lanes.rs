//! Arrays as vector registers, and a sum of eight lanes that is reduced to one by a fixed tree.
//!
//! The functions take and return whole arrays by value, so that LLVM keeps them in registers.

use crate::double_word::Extended;
use crate::float::{Float, two_sum_error};
use crate::isa::Isa;
use crate::real::Real;
use crate::width::{CHUNK_LANES, SUM_LANES};

/// `f` of every pair of lanes.
#[inline(always)]
pub fn zip<F: Float, const N: usize>(mut a: [F; N], b: [F; N], f: impl Fn(F, F) -> F) -> [F; N] {
    for (x, y) in a.iter_mut().zip(b) {
        *x = f(*x, y);
    }
    a
}

/// A running sum in eight f64 lanes, with its rounding errors where [`Float::COMPENSATED`].
///
/// Aligned to a cache line, because loops may keep their sums in memory: to load a register that the last step has stored
/// across two cache lines takes several times as long.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct LaneSum {
    sum: [f64; SUM_LANES],
    error: [f64; SUM_LANES],
}

impl LaneSum {
    /// The empty sum.
    pub const ZERO: LaneSum = LaneSum { sum: [0.0; SUM_LANES], error: [0.0; SUM_LANES] };

    /// Adds eight lanes of `F`.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "an operator would hide the widening to f64")]
    pub fn add<F: Float>(self, eight: [F; SUM_LANES]) -> LaneSum {
        self.add_f64::<F>(F::widen(eight))
    }

    /// Adds eight f64 lanes that were computed from numbers of type `F`.
    #[inline(always)]
    #[must_use]
    pub fn add_f64<F: Float>(self, value: [f64; SUM_LANES]) -> LaneSum {
        let sum = zip(self.sum, value, |s, v| s + v);
        if !F::COMPENSATED {
            return LaneSum { sum, error: self.error };
        }
        let error = core::array::from_fn(
            #[inline(always)]
            |i| self.error[i] + two_sum_error(self.sum[i], value[i], sum[i]),
        );
        LaneSum { sum, error }
    }

    /// Adds a chunk of numbers that were computed from numbers of type `F`: lane i of its halves
    /// together, before they are widened.
    #[inline(always)]
    #[must_use]
    pub fn add_chunk<F: Float, V: Float>(self, chunk: &[V; CHUNK_LANES]) -> LaneSum {
        let low = core::array::from_fn(
            #[inline(always)]
            |i| chunk[i] + chunk[i + 16],
        );
        let high = core::array::from_fn(
            #[inline(always)]
            |i| chunk[i + 8] + chunk[i + 24],
        );
        let (low, high) = (V::widen(low), V::widen(high));
        self.add_f64::<F>(zip(
            low,
            high,
            #[inline(always)]
            |a, b| a + b,
        ))
    }

    /// The sum and one more number.
    #[inline(always)]
    #[must_use]
    pub fn plus<F: Real>(self, x: F::Extended) -> LaneSum {
        let mut eight = [0.0; SUM_LANES];
        [eight[0], eight[1]] = x.words();
        self.add_f64::<F>(eight)
    }

    /// The sum of both.
    #[inline(always)]
    #[must_use]
    pub fn merge<F: Float>(self, other: LaneSum) -> LaneSum {
        let LaneSum { sum, error } = self.add_f64::<F>(other.sum);
        LaneSum { sum, error: zip(error, other.error, |a, b| a + b) }
    }

    /// The sum times `factor`.
    #[inline(always)]
    #[must_use]
    pub fn scaled(self, factor: f64) -> LaneSum {
        LaneSum { sum: self.sum.map(|s| s * factor), error: self.error.map(|e| e * factor) }
    }

    /// The sum of the lanes, rounded to f64.
    #[inline(always)]
    pub fn value<F: Real>(self) -> f64 {
        self.extended::<F>().rounded()
    }

    /// The sum of the lanes, by halves: 8 → 4 → 2 → 1.
    #[inline(always)]
    pub fn extended<F: Real>(self) -> F::Extended {
        // If the sum is infinite or NaN, so are its rounding errors: they must not be added.
        let plain = self.sum.iter().sum::<f64>();
        if F::COMPENSATED && !plain.is_finite() {
            return F::Extended::new(plain);
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
        if F::COMPENSATED { F::Extended::sum(sum[0], error[0]) } else { F::Extended::new(sum[0]) }
    }
}

/// A sum of f64 with its rounding errors, in a lane for each number of a chunk.
///
/// Eight lanes would do, but there LLVM adds four at a time. Aligned as a [`LaneSum`] is.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct ChunkSum {
    sum: [f64; CHUNK_LANES],
    error: [f64; CHUNK_LANES],
}

impl ChunkSum {
    /// The empty sum.
    pub const ZERO: ChunkSum = ChunkSum { sum: [0.0; CHUNK_LANES], error: [0.0; CHUNK_LANES] };

    /// Adds each number to its lane.
    #[inline(always)]
    pub fn add<F: Real>(&mut self, chunk: &[F; CHUNK_LANES]) {
        add_chunk(&mut self.sum, &mut self.error, chunk);
    }

    /// Adds to each lane its number times the factor that the function says.
    #[inline(always)]
    pub fn add_products<S: Isa, F: Real>(
        &mut self,
        isa: S,
        chunk: &[F; CHUNK_LANES],
        factor: impl Fn(usize) -> F::Extended,
    ) {
        add_products(isa, (&mut self.sum, &mut self.error), chunk, factor);
    }

    /// The sums without their rounding errors, for a caller whose numbers have none worth keeping.
    #[inline(always)]
    pub fn plain_mut(&mut self) -> &mut [f64; CHUNK_LANES] {
        &mut self.sum
    }

    /// Adds one more number.
    #[inline(always)]
    pub fn plus<F: Real>(&mut self, x: F::Extended) {
        let [x, lost] = x.words();
        let s = self.sum[0] + x;
        self.error[0] += two_sum_error(self.sum[0], x, s) + lost;
        self.sum[0] = s;
    }

    /// Makes the sum larger by `factor`.
    #[inline(always)]
    pub fn scale(&mut self, factor: f64) {
        for i in 0..CHUNK_LANES {
            self.sum[i] *= factor;
            self.error[i] *= factor;
        }
    }

    /// Adds another sum.
    #[inline(always)]
    pub fn merge(&mut self, other: &ChunkSum) {
        add_lanes((&mut self.sum, &other.sum), (&mut self.error, &other.error));
    }

    /// The sum in eight lanes.
    #[inline(always)]
    pub fn lanes(self) -> LaneSum {
        let ChunkSum { mut sum, mut error } = self;
        for half in [16, 8] {
            let (low, high) = (sum.split_at_mut(half), error.split_at_mut(half));
            add_lanes((low.0, &low.1[..half]), (high.0, &high.1[..half]));
        }
        match (sum.first_chunk(), error.first_chunk()) {
            (Some(&sum), Some(&error)) => LaneSum { sum, error },
            _ => LaneSum::ZERO,
        }
    }
}

/// A function of its own: only as arguments are the arrays known to be apart, without which the loop
/// is not vectorised.
#[inline(always)]
fn add_chunk<F: Real>(
    sum: &mut [f64; CHUNK_LANES],
    error: &mut [f64; CHUNK_LANES],
    chunk: &[F; CHUNK_LANES],
) {
    for i in 0..CHUNK_LANES {
        let x = chunk[i].to_f64();
        let s = sum[i] + x;
        error[i] += two_sum_error(sum[i], x, s);
        sum[i] = s;
    }
}

/// Adds a product to each lane, and what rounding took from it where f64 is not wider than the numbers.
/// A function of its own as [`add_chunk`] is.
#[inline(always)]
fn add_products<S: Isa, F: Real>(
    isa: S,
    (sum, error): (&mut [f64; CHUNK_LANES], &mut [f64; CHUNK_LANES]),
    chunk: &[F; CHUNK_LANES],
    factor: impl Fn(usize) -> F::Extended,
) {
    for i in 0..CHUNK_LANES {
        let x = chunk[i].to_f64();
        if F::COMPENSATED {
            let [x, lost] = F::Extended::new(x).mul(isa, factor(i)).words();
            let s = sum[i] + x;
            error[i] += two_sum_error(sum[i], x, s) + lost;
            sum[i] = s;
        } else {
            sum[i] = isa.mul_add(x, factor(i).rounded(), sum[i]);
        }
    }
}

/// Adds the second sums to the first. A function of its own as [`add_chunk`] is.
#[inline(always)]
fn add_lanes((sum, sums): (&mut [f64], &[f64]), (error, errors): (&mut [f64], &[f64])) {
    for i in 0..sum.len() {
        let s = sum[i] + sums[i];
        error[i] += errors[i] + two_sum_error(sum[i], sums[i], s);
        sum[i] = s;
    }
}
