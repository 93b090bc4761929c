//! The slopes of a block of classes, by the formulas of `slopes.rs`: loops over classes, which replace
//! their terms.

use nll_kernels::fold::{Entropy, Fold, Others, Related, Weighting};
use nll_kernels::math::row;
use nll_simd::{Extended, Isa, Real};

/// What the slopes of an entropy need of the whole row.
#[derive(Clone, Copy)]
pub(crate) struct EntropyRow {
    /// x_m
    x_m: f64,
    /// Σ p·(x_m − x)
    below: f64,
    /// The factor of a term.
    factor: f64,
    /// The largest class if it has more than half, else [`NONE`](nll_kernels::math::terms::NONE).
    pub(crate) likely: usize,
}

impl EntropyRow {
    /// The state of a row, from the entropy's fold over all its classes and the factor of all results.
    #[inline(always)]
    pub(crate) fn new<S: Isa, F: Real>(isa: S, entropy: &Entropy<F>, factor: f64) -> Self {
        let [term, rest, below] = entropy.finish(isa);
        let (sum, max) = (term.add(rest), entropy.others());
        EntropyRow {
            x_m: max.x.to_f64(),
            below: below.div(isa, sum).rounded(),
            factor: factor / sum.rounded(),
            likely: max.at_if_likely(isa),
        }
    }

    /// The slopes of the classes `x`.
    #[inline(always)]
    pub(crate) fn slopes<F: Real>(&self, terms: &mut [F], x: &[F]) {
        let EntropyRow { x_m, below, factor, .. } = *self;
        // The slope of an impossible class: 0, or NaN in a row that is NaN.
        let impossible = 0.0 * (factor * below);
        for (term, &x) in terms.iter_mut().zip(x) {
            let slope = factor * ((x_m - x.to_f64()) - below);
            let is_possible = *term != F::ZERO;
            let slope = if is_possible { term.to_f64() * slope } else { impossible };
            *term = F::from_f64(slope);
        }
    }
}

/// What the slopes of a cross entropy need of the whole row.
#[derive(Clone, Copy)]
pub(crate) struct SoftTargetRow<F: Real> {
    /// 1/(sum of all terms)
    unit: f64,
    /// The share of all but the largest.
    others: f64,
    /// The place of that.
    largest: usize,
    /// Σ a, in two words: it is subtracted from a where one class has all of it.
    sum: F::Extended,
    /// The factor of all results.
    factor: f64,
}

impl<F: Real> SoftTargetRow<F> {
    /// The state of a row, from its largest logit, the others' terms and the factor of all results. Σ a is set later.
    #[inline(always)]
    pub(crate) fn new<S: Isa>(isa: S, max: &Others<F>, factor: f64) -> Self {
        let [term, rest] = max.sums(isa);
        let unit = 1.0 / term.add(rest).rounded();
        let (others, largest) = (rest.rounded() * unit, max.at);
        SoftTargetRow { unit, others, largest, sum: F::Extended::new(0.0), factor }
    }

    /// With Σ a.
    #[inline(always)]
    pub(crate) fn with_sum(self, sum: F::Extended) -> Self {
        SoftTargetRow { sum, ..self }
    }

    /// The slopes of the classes from `first` on, whose targets are `y`.
    #[inline(always)]
    pub(crate) fn slopes(&self, first: usize, terms: &mut [F], y: &[F], weighting: Weighting<'_>) {
        let SoftTargetRow { unit, others, largest, sum, factor } = *self;
        let total = sum.rounded();
        for (class, (term, &y)) in (first..).zip(terms.iter_mut().zip(y)) {
            let a = weighting.product(class, y);
            let rest = sum.add(F::Extended::new(-a)).rounded();
            // Σ a·p − a cancels where p is nearly 1.
            let slope = if class == largest && others < 0.5 {
                rest - total * others
            } else {
                total * (term.to_f64() * unit) - a
            };
            *term = F::from_f64(factor * slope);
        }
    }
}

/// The slopes of a divergence by the logits x and y of p and q, times `factor`.
#[inline(always)]
pub(crate) fn divergence<S: Isa, F: Real>(
    isa: S,
    [p, q]: [&mut [F]; 2],
    [x, y]: [&[F]; 2],
    related: &Related<F>,
    factor: f64,
) {
    let unit = factor / related.p_sum;
    for ((p, q), (x, y)) in p.iter_mut().zip(q).zip(x.iter().zip(y)) {
        let d = related.log_ratio(x.to_f64(), y.to_f64());
        let q_term = F::Extended::new(q.to_f64()).mul(isa, related.k);
        let (p_term, value) = (p.to_f64(), related.value);
        let slopes = row::divergence_slopes::<S, F>(isa, p_term, q_term, d, value);
        [*p, *q] = slopes.map(|slope| F::from_f64(unit * slope));
    }
}
