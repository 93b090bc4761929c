//! The terms of a sum Σ e^x: their scale, and how they are written, added and compared.

use crate::math::row::finite;
use nll_simd::math::{LN_2_HI, LN_2_LO, exp_parts, mul_exp, power_of_two, round};
use nll_simd::{CHUNK_LANES, ChunkSum, Extended, Isa, LaneSum, Real, two_sum_error, zip};

/// The index of no class.
pub const NONE: usize = usize::MAX;

/// By how many powers of two f32 terms are larger than a scale from `SumScale::below` says. They keep
/// their digits as far below where f32 results end, because a weight may bring these back, and the sum
/// of four that grew by 2^35 still fits.
#[inline(always)]
pub fn lift<F: Real>() -> i32 {
    if F::COMPENSATED { 0 } else { 30 }
}

/// The scale of the terms of a sum: a term is e^x / (2^exponent · e^center).
#[derive(Clone, Copy, Debug)]
pub(crate) struct SumScale<F> {
    center: F,
    /// A whole number.
    exponent: f64,
    /// [`Float::SHIFTER`](nll_simd::Float::SHIFTER) − exponent: makes `exp_parts` leave the exponent field of the scaled term.
    shifter: F,
    /// x − center below this counts as this, and gives a term of exactly 0.
    floor: F,
    /// The range of the largest x in which its term neither overflows nor makes the others 0.
    fits: [F; 2],
}

impl<F: Real> SumScale<F> {
    /// 2^exponent · e^center.
    #[inline(always)]
    pub(crate) fn new(center: f64, exponent: f64) -> Self {
        let nats = |n: f64| F::from_f64(n * core::f64::consts::LN_2);
        let above = |n: f64| F::from_f64(center + n * core::f64::consts::LN_2);
        SumScale {
            center: F::from_f64(center),
            exponent,
            shifter: F::from_f64(F::SHIFTER.to_f64() - exponent),
            floor: nats(exponent - f64::from(F::BIAS)),
            fits: [above(exponent - 30.0), above(exponent + 60.0)],
        }
    }

    /// The scale at which the term of `max` lies between 0.7 and 1.5.
    #[inline(always)]
    pub(crate) fn at(max: F) -> Self {
        let max = max.to_f64();
        if max.abs() >= 16384.0 {
            SumScale::new(max, 0.0)
        } else {
            SumScale::new(0.0, round(max * core::f64::consts::LOG2_E))
        }
    }

    /// The scale at which the term of `max` is about 2^60: the others' terms keep their digits as
    /// far down as f32 results go, and 2^60 of them still fit.
    #[inline(always)]
    pub(crate) fn below(max: F) -> Self {
        let SumScale { center, exponent, .. } = SumScale::at(max);
        SumScale::new(center.to_f64(), exponent - 60.0)
    }

    /// A scale from [`below`](Self::below) on which the term of a larger `max` fits: this one as
    /// long as that is less than 2^95, else one with the same center, as long as the difference of
    /// the center and a logit that matters is exact: they differ by at most a factor of two (Sterbenz).
    #[inline(always)]
    pub(crate) fn raised(self, max: F) -> Self {
        let center = self.center.to_f64();
        let above = max.to_f64() - center;
        let exponent = round(above * core::f64::consts::LOG2_E) - 60.0;
        let is_exact = center == 0.0 || 2.0 * max.to_f64().abs() >= center.abs();
        match is_exact && above.abs() < 16384.0 {
            true if exponent - self.exponent <= 35.0 => self,
            true => SumScale::new(center, exponent),
            false => SumScale::below(max),
        }
    }

    /// The scale of terms that are larger by [`lift`].
    #[inline(always)]
    pub(crate) fn lifted(self) -> Self {
        SumScale::new(self.center.to_f64(), self.exponent - f64::from(lift::<F>()))
    }

    /// Whether the largest x may be `max`. Where all are −∞, any scale will do.
    #[inline(always)]
    pub(crate) fn fits(&self, max: F) -> bool {
        let [low, high] = self.fits;
        (max >= low && max <= high) || max == F::NEG_INFINITY
    }

    /// Center and exponent: the term of e^x is e^x / (2^exponent · e^center).
    #[inline(always)]
    pub(crate) fn unit(&self) -> [f64; 2] {
        [self.center.to_f64(), self.exponent]
    }

    /// The logarithm of the term of e^x.
    #[inline(always)]
    pub(crate) fn log_term(self, x: F) -> F::Extended {
        let above = F::Extended::sum(x.to_f64(), -self.center.to_f64());
        above.add(F::Extended::ln_2_times(-self.exponent)).renormalize()
    }

    /// The factor that brings a sum at this scale to the scale `other`: a power of two, which is
    /// exact, unless a center moves.
    #[inline(always)]
    pub(crate) fn factor<S: Isa>(self, isa: S, other: Self) -> f64 {
        let center = self.center.to_f64() - other.center.to_f64();
        let exponent = self.exponent - other.exponent;
        if center == 0.0 {
            return if exponent < -1022.0 { 0.0 } else { power_of_two(exponent as i32) };
        }
        // As a double-double: the exponential magnifies what rounding takes.
        let scale = exponent * LN_2_HI;
        let d = center + scale;
        let lost = finite(two_sum_error(center, scale, d)) + exponent * LN_2_LO;
        mul_exp(isa, 1.0, [d, lost])
    }
}

/// e^x · 2^−exponent · e^−center of every x; if `EXACT`, without the n·δ of point 6
/// of [`LogSum`](crate::fold::LogSum).
///
/// A NaN passes the floor (`y < floor` is false) and makes its term NaN, as does +∞ (its remainder
/// is NaN); −∞ stops at the floor and gives 0. There are two loops, because without the subtraction
/// of a center, which few rows need, AVX2 keeps all constants in registers.
#[inline(always)]
pub(crate) fn write_terms<S: Isa, F: Real, const EXACT: bool>(
    isa: S,
    reference: SumScale<F>,
    x: &[F],
    terms: &mut [F],
) {
    let SumScale { center, shifter, floor, .. } = reference;
    let term = |y| {
        let y = if y < floor { floor } else { y };
        let (mantissa, exponent) = exp_parts::<S, F, EXACT>(isa, y, shifter);
        mantissa * F::exponent_of(exponent)
    };
    if center == F::ZERO {
        for (term_of, &x) in terms.iter_mut().zip(x) {
            *term_of = term(x);
        }
    } else {
        for (term_of, &x) in terms.iter_mut().zip(x) {
            *term_of = term(x - center);
        }
    }
}

/// [`write_terms`] that are not exact.
///
/// Called, not inlined: beside what the caller keeps in registers AVX2 has no place for the constants, and a loop
/// that loads eight of them in each step has few steps under way at once, because each load takes one of the
/// registers that the CPU renames to. Exact terms have one constant more, and gain nothing.
#[inline(never)]
pub(crate) fn write_near_terms<S: Isa, F: Real>(
    isa: S,
    reference: SumScale<F>,
    x: &[F],
    terms: &mut [F],
) {
    isa.vectorize(
        #[inline(always)]
        || write_terms::<S, F, false>(isa, reference, x, terms),
    );
}

/// Adds some values that were computed from numbers of type `F`: four f32 together before they are
/// widened; where rounding errors are kept, each one to its lane of a chunk.
///
/// Called, not inlined: beside its caller's last steps, which go by halves, LLVM added two lanes at
/// a time. With rounding errors it did so for eight lanes anyway, and does not for a chunk.
#[inline(never)]
pub fn add_values<S: Isa, F: Real, V: Real>(isa: S, total: &mut LaneSum, values: &[V]) {
    isa.vectorize(
        #[inline(always)]
        || {
            let (chunks, rest) = values.as_chunks::<CHUNK_LANES>();
            let mut last = [V::ZERO; CHUNK_LANES];
            last[..rest.len()].copy_from_slice(rest);
            let chunks = chunks.iter().chain([&last]);
            if !F::COMPENSATED {
                *total = chunks.fold(
                    *total,
                    #[inline(always)]
                    |sum, chunk| sum.add_chunk::<F, V>(chunk),
                );
                return;
            }
            let mut sum = ChunkSum::ZERO;
            for chunk in chunks {
                sum.add(chunk);
            }
            *total = total.merge::<F>(sum.lanes());
        },
    );
}

/// The larger of two; `b` if `a` is NaN.
#[inline(always)]
pub(crate) fn max2<F: Real>(a: F, b: F) -> F {
    if a > b { a } else { b }
}

/// The smaller of two; `b` if `a` is NaN.
#[inline(always)]
pub(crate) fn min2<F: Real>(a: F, b: F) -> F {
    if a < b { a } else { b }
}

/// The largest lane, by halves.
#[inline(always)]
pub(crate) fn max_lane<F: Real>(mut lanes: [F; CHUNK_LANES]) -> F {
    for half in [16, 8, 4, 2, 1] {
        for i in 0..half {
            lanes[i] = max2(lanes[i], lanes[i + half]);
        }
    }
    lanes[0]
}

/// The largest number of each lane, −∞ of no chunk.
#[inline(always)]
pub(crate) fn max_lanes<F: Real>(chunks: &[[F; CHUNK_LANES]]) -> [F; CHUNK_LANES] {
    let mut lanes = [F::NEG_INFINITY; CHUNK_LANES];
    for chunk in chunks {
        lanes = zip(*chunk, lanes, max2);
    }
    lanes
}

/// The largest of `x`, −∞ if there is none. A NaN is passed over.
#[inline(always)]
pub fn max<F: Real>(x: &[F]) -> F {
    let (chunks, rest) = x.as_chunks();
    rest.iter().fold(max_lane(max_lanes(chunks)), |most, &x| max2(x, most))
}

/// The smallest and the largest of `x`, ±∞ if there is none. A NaN is passed over.
#[inline(always)]
pub(crate) fn range<F: Real>(x: &[F]) -> [F; 2] {
    let (mut least, mut most) = ([F::INFINITY; CHUNK_LANES], [F::NEG_INFINITY; CHUNK_LANES]);
    let (chunks, rest) = x.as_chunks();
    for chunk in chunks {
        least = zip(*chunk, least, min2);
        most = zip(*chunk, most, max2);
    }
    // As the largest of the opposites: one tree for both.
    let opposites = least.map(|x| F::ZERO - x);
    let least = rest.iter().fold(F::ZERO - max_lane(opposites), |least, &x| min2(x, least));
    [least, rest.iter().fold(max_lane(most), |most, &x| max2(x, most))]
}

/// The first place of `x`. Whole chunks are compared: a search that may end at every number would
/// not be vectorised.
#[inline(always)]
pub fn position<F: Real>(values: &[F], x: F) -> Option<usize> {
    let mut chunks = values.chunks(CHUNK_LANES).zip((0..).step_by(CHUNK_LANES));
    let holds = |chunk: &[F]| chunk.iter().fold(false, |any, &v| any | (v == x));
    let (chunk, start) = chunks.find(|(chunk, _)| holds(chunk))?;
    Some(start + chunk.iter().position(|&v| v == x)?)
}

/// The chunk with −∞ at `lane`, if it has that lane. NaN becomes +∞, which makes a sum NaN as well.
#[inline(always)]
pub(crate) fn hidden<F: Real>(chunk: [F; CHUNK_LANES], lane: usize) -> [F; CHUNK_LANES] {
    lesser(chunk, F::HIDE, CHUNK_LANES - lane.min(CHUNK_LANES))
}

/// The lesser of each lane and the limits from index `start` on.
#[inline(always)]
pub(crate) fn lesser<F: Real>(
    chunk: [F; CHUNK_LANES],
    limits: &[F],
    start: usize,
) -> [F; CHUNK_LANES] {
    match limits[start..].first_chunk() {
        Some(&limits) => zip(chunk, limits, |x, limit| if x < limit { x } else { limit }),
        None => chunk,
    }
}
