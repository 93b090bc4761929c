//! The slopes of a class, by the formulas of `slopes.rs`, and of a block of classes, where they replace
//! the terms.

use nll_kernels::fold::{Entropy, Fold, Others, Related, SoftTarget, Weighting};
use nll_kernels::math::divergence;
use nll_simd::{Extended, Isa, Real};

/// What the slope of an entropy needs of the whole row.
#[derive(Clone, Copy)]
pub(crate) struct EntropyRow {
    /// x_m
    pub(crate) x_m: f64,
    /// Σ p·(x_m − x)
    pub(crate) below: f64,
    /// The factor of a term.
    pub(crate) factor: f64,
}

impl EntropyRow {
    /// Of the term of the largest logit, the sum of the others', that of terms times x_m − x, and the
    /// factor of all results.
    #[inline(always)]
    pub(crate) fn of_sums<S: Isa, F: Real>(
        isa: S,
        [term, rest, below]: [F::Extended; 3],
        x_m: f64,
        factor: f64,
    ) -> Self {
        let sum = term.add(rest);
        EntropyRow { x_m, below: below.div(isa, sum).rounded(), factor: factor / sum.rounded() }
    }

    /// Of a fold over all classes and the factor of all results.
    #[inline(always)]
    pub(crate) fn new<S: Isa, F: Real>(isa: S, entropy: &Entropy<F>, factor: f64) -> Self {
        let x_m = entropy.others().x.to_f64();
        Self::of_sums::<S, F>(isa, entropy.finish(isa), x_m, factor)
    }

    /// The slope of a class, of its term.
    #[inline(always)]
    pub(crate) fn slope<F: Real>(&self, term: F, x: F) -> F {
        let EntropyRow { x_m, below, factor } = *self;
        // The slope of an impossible class: 0, or NaN in a row that is NaN.
        let impossible = 0.0 * (factor * below);
        let slope = term.to_f64() * (factor * ((x_m - x.to_f64()) - below));
        F::from_f64(if term != F::ZERO { slope } else { impossible })
    }

    /// The slopes of the classes `x`.
    #[inline(always)]
    pub(crate) fn slopes<F: Real>(&self, terms: &mut [F], x: &[F]) {
        for (term, &x) in terms.iter_mut().zip(x) {
            *term = self.slope(*term, x);
        }
    }
}

/// What the slope of a cross entropy needs of the whole row.
#[derive(Clone, Copy)]
pub(crate) struct SoftTargetRow<F: Real> {
    /// 1/(sum of all terms)
    pub(crate) unit: f64,
    /// The share of all but the largest.
    pub(crate) others: f64,
    /// Σ a, in two words: it is subtracted from a where one class has all of it.
    pub(crate) sum: F::Extended,
    /// The factor of all results.
    pub(crate) factor: f64,
}

impl<F: Real> SoftTargetRow<F> {
    /// Of the term of the largest logit, the sum of the others', and the factor of all results, without
    /// Σ a.
    #[inline(always)]
    pub(crate) fn of_sums([term, rest]: [F::Extended; 2], factor: f64) -> Self {
        let unit = 1.0 / term.add(rest).rounded();
        let others = rest.rounded() * unit;
        SoftTargetRow { unit, others, sum: F::Extended::new(0.0), factor }
    }

    /// From a fold over all classes and the factor of all results, without Σ a. Also returns the largest logit.
    #[inline(always)]
    pub(crate) fn new<S: Isa>(isa: S, loss: &SoftTarget<'_, F>, factor: f64) -> (Self, Others<F>) {
        let max = *loss.others();
        (Self::of_sums(max.sums(isa), factor), max)
    }

    /// With Σ a.
    #[inline(always)]
    pub(crate) fn with_sum(self, sum: F::Extended) -> Self {
        SoftTargetRow { sum, ..self }
    }

    /// Whether the largest class has more than half.
    #[inline(always)]
    pub(crate) fn has_likely(&self) -> bool {
        self.others < 0.5
    }

    /// The slope of a class, of its term and its weighted target.
    #[inline(always)]
    pub(crate) fn slope(&self, term: F, a: f64) -> F {
        F::from_f64(self.factor * (self.sum.rounded() * (term.to_f64() * self.unit) - a))
    }

    /// The slope of the class that has more than half: Σ a·p − a cancels where p is nearly 1.
    #[inline(always)]
    pub(crate) fn likely_slope(&self, a: f64) -> F {
        let rest = self.sum.add(F::Extended::new(-a)).rounded();
        F::from_f64(self.factor * (rest - self.sum.rounded() * self.others))
    }

    /// The slopes of the classes from `first` on, whose targets are `y`, with the largest logit at
    /// `largest`.
    #[inline(always)]
    pub(crate) fn slopes(
        &self,
        (first, largest): (usize, usize),
        terms: &mut [F],
        y: &[F],
        weighting: Weighting<'_>,
    ) {
        // A weight looked up for each class would keep the loop from being vectorised.
        let classes = terms.iter_mut().zip(y);
        if let Some(weights) = weighting.weight {
            for ((term, &y), w) in classes.zip(&weights[first..]) {
                *term = self.slope(*term, w * weighting.smoothed(y));
            }
        } else {
            for (term, &y) in classes {
                *term = self.slope(*term, weighting.smoothed(y));
            }
        }
        let likely = largest.wrapping_sub(first);
        if likely < y.len() && self.has_likely() {
            terms[likely] = self.likely_slope(weighting.product(largest, y[likely]));
        }
    }
}

/// The slopes of a divergence by the logits of one class of p and q, of its terms, times `unit`: a factor over the sum of
/// the terms of p.
#[inline(always)]
pub(crate) fn divergence_slopes<S: Isa, F: Real>(
    isa: S,
    [p, q]: [F; 2],
    [x, y]: [F; 2],
    related: &Related<F>,
    unit: f64,
) -> [F; 2] {
    let d = related.log_ratio(x.to_f64(), y.to_f64());
    let q_term = F::Extended::new(q.to_f64()).mul(isa, related.k);
    let (p_term, value) = (p.to_f64(), related.value);
    let slopes = divergence::slopes::<S, F>(isa, p_term, q_term, d, value);
    slopes.map(|slope| F::from_f64(unit * slope))
}

/// The slopes of a divergence by the logits x and y of p and q, times `factor`: those that are wanted, of the others anything.
#[inline(always)]
pub(crate) fn divergence<S: Isa, F: Real>(
    isa: S,
    [p, q]: [&mut [F]; 2],
    [x, y]: [&[F]; 2],
    (related, factor): (&Related<F>, f64),
    wanted: [bool; 2],
) {
    let unit = factor / related.p_sum;
    let classes = p.iter_mut().zip(q).zip(x.iter().zip(y));
    match wanted {
        [true, false] => {
            for ((p, q), (&x, &y)) in classes {
                [*p, _] = divergence_slopes(isa, [*p, *q], [x, y], related, unit);
            }
        }
        [false, _] => {
            for ((p, q), (&x, &y)) in classes {
                [_, *q] = divergence_slopes(isa, [*p, *q], [x, y], related, unit);
            }
        }
        [true, true] => {
            for ((p, q), (&x, &y)) in classes {
                [*p, *q] = divergence_slopes(isa, [*p, *q], [x, y], related, unit);
            }
        }
    }
}
