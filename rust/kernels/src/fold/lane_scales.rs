//! The scales of the sums of rows side by side, and the terms at these scales.

use crate::data::lines::{LANES, Lines};
use nll_simd::math::{exp_parts, exp_parts_in_words};
use nll_simd::{Isa, Real};

/// The scale of each row's terms: a term is e^x / (2^exponent · e^center).
#[derive(Clone, Copy)]
pub(crate) struct LaneScales<F> {
    pub(crate) center: [F; LANES],
    /// Whole numbers.
    pub(crate) exponent: [F; LANES],
}

impl<F: Real> LaneScales<F> {
    /// The scales at which the term of each `max` lies between 0.7 and 1.5, times 2^`above`.
    #[inline(always)]
    pub(crate) fn at(max: &[F; LANES], above: F) -> Self {
        let (mut center, mut exponent) = ([F::ZERO; LANES], [F::ZERO; LANES]);
        let far = F::from_f64(16384.0);
        for i in 0..LANES {
            let x = if max[i].abs() < F::INFINITY { max[i] } else { F::ZERO };
            let is_far = x.abs() >= far;
            center[i] = if is_far { x } else { F::ZERO };
            // Rounds to a whole number.
            let n = (x * F::LOG2_E + F::SHIFTER) - F::SHIFTER;
            exponent[i] = (if is_far { F::ZERO } else { n }) - above;
        }
        LaneScales { center, exponent }
    }

    /// What the terms of every line need of the scales.
    #[inline(always)]
    pub(super) fn of_lines(&self) -> LineScales<F> {
        let (center, [mut shifter, mut floor]) = (self.center, [self.exponent; 2]);
        for i in 0..LANES {
            shifter[i] = F::SHIFTER - self.exponent[i];
            floor[i] = (self.exponent[i] - F::from_f64(f64::from(F::BIAS))) * F::LN_2;
        }
        LineScales { center, shifter, floor }
    }

    /// Calls `take(class, terms)` with the terms of each class, as [`LineScales::terms`] says.
    #[inline(always)]
    pub(crate) fn terms<S: Isa, const EXACT: bool>(
        &self,
        isa: S,
        lines: Lines<'_, F>,
        mut take: impl FnMut(usize, &[F; LANES]),
    ) {
        let scales = self.of_lines();
        for group in lines.groups() {
            lines.fetch_next(group.start);
            for class in group {
                take(class, &scales.terms::<S, EXACT>(isa, lines.line(class)));
            }
        }
    }
}

/// The numbers of each row that all its terms use, as in [`write_terms`](crate::math::terms::write_terms).
pub(super) struct LineScales<F> {
    center: [F; LANES],
    shifter: [F; LANES],
    floor: [F; LANES],
}

impl<F: Real> LineScales<F> {
    /// The terms of a line. `EXACT` is that of [`write_terms`](crate::math::terms::write_terms).
    #[inline(always)]
    pub(super) fn terms<S: Isa, const EXACT: bool>(&self, isa: S, x: &[F; LANES]) -> [F; LANES] {
        let LineScales { center, shifter, floor } = self;
        let mut terms = [F::ZERO; LANES];
        for i in 0..LANES {
            let y = x[i] - center[i];
            let y = if y < floor[i] { floor[i] } else { y };
            let (mantissa, exponent) = exp_parts::<S, F, EXACT>(isa, y, shifter[i]);
            terms[i] = mantissa * F::exponent_of(exponent);
        }
        terms
    }

    /// The term of an x in lane i, within 0.1 ulp, as two numbers to be added by [`Extended::sum`](nll_simd::Extended::sum):
    /// the second may be a tenth of the first.
    #[inline(always)]
    pub(super) fn term_in_words<S: Isa>(&self, isa: S, i: usize, x: F) -> [F; 2] {
        let y = x - self.center[i];
        let y = if y < self.floor[i] { self.floor[i] } else { y };
        let (words, exponent) = exp_parts_in_words(isa, [y, -F::ZERO], self.shifter[i]);
        words.map(|word| word * F::exponent_of(exponent))
    }
}
