//! Sums of terms relative to the largest logit of a row, which an earlier sweep has found.
//!
//! With x_m the largest logit of a row and e_c = e^{x_c − x_m}, so that e_m = 1 and r = Σ_{c≠m}
//! e_c,
//!
//! ```text
//! log p_m = −log(1 + r)
//! entropy        −Σ p·log p  =  log(1 + r)      + Σ e_c·(x_m − x_c) / (1 + r)
//! cross entropy  −Σ y·log p  =  log(1 + r)·Σ y  + Σ y_c·(x_m − x_c)
//! ```
//!
//! All terms are positive, so nothing cancels. In float32 (and from halves) exponentials and their
//! products are f32 and sums f64; in float64 products and sums are double-doubles.

use crate::data::rows::{BLOCK, Block};
use crate::data::scratch::Scratch;
use crate::fold::{ArgMax, Fold};
use crate::math::terms::{SumScale, add_values, write_terms};
use nll_simd::{Extended, Isa, LaneSum, Real};

/// Classes in a piece of a block: their products stay in L1.
const PIECE: usize = 512;

/// The largest logit of a row, and the scale of the sums of terms.
#[derive(Clone, Copy)]
pub(crate) struct MaxTerm<F: Real> {
    pub(crate) x: F,
    /// The first place where it stands.
    pub(crate) at: usize,
    scale: SumScale<F>,
    /// Its term, and the logarithm of that.
    pub(crate) term: F::Extended,
    pub(crate) log_term: F::Extended,
}

impl<F: Real> MaxTerm<F> {
    #[inline(always)]
    pub(crate) fn new<S: Isa>(isa: S, largest: ArgMax<F>) -> Self {
        let ArgMax { x, at } = largest;
        let scale = SumScale::below(x);
        let log_term = scale.log_term(x);
        MaxTerm { x, at, scale, term: log_term.mul_exp(isa, 1.0), log_term }
    }

    /// Writes the terms of the classes `x` from `first` on, that of the largest as 0, and adds
    /// them.
    #[inline(always)]
    fn add_others<S: Isa>(
        &self,
        isa: S,
        first: usize,
        x: &[F],
        terms: &mut [F],
        rest: &mut LaneSum,
    ) {
        write_terms::<S, F, true>(isa, self.scale, x, terms);
        if let Some(term) = terms.get_mut(self.at.wrapping_sub(first)) {
            *term = F::ZERO;
        }
        add_values::<S, F, _>(isa, rest, terms);
    }

    /// −log p of the largest, `rest` being the sum of the others' terms.
    #[inline(always)]
    pub(crate) fn loss<S: Isa>(&self, isa: S, rest: F::Extended) -> F::Extended {
        rest.div(isa, self.term).log1p(isa)
    }

    /// The sum of all terms.
    #[inline(always)]
    pub(crate) fn sum(&self, rest: F::Extended) -> F::Extended {
        self.term.add(rest)
    }

    /// Adds factor·(x_m − x) of every x to `total`, 0 where the factor is 0: x may be −∞ there.
    #[inline(always)]
    fn add_below<S: Isa>(
        &self,
        isa: S,
        (factors, x): (&[F], &[F]),
        rounded: &mut [f64],
        lost: &mut [f64],
        total: &mut LaneSum,
    ) {
        for (factors, x) in factors.chunks(PIECE).zip(x.chunks(PIECE)) {
            let products = rounded.iter_mut().zip(lost.iter_mut());
            for (((rounded, lost), factor), x) in products.zip(factors).zip(x) {
                let d = F::Extended::sum(self.x.to_f64(), -x.to_f64());
                let d = if *factor == F::ZERO { F::Extended::new(0.0) } else { d };
                let words = F::Extended::new(factor.to_f64()).mul(isa, d).words();
                *rounded = words[0];
                if F::COMPENSATED {
                    *lost = words[1];
                }
            }
            add_products::<S, F>(isa, [&rounded[..x.len()], &lost[..x.len()]], total);
        }
    }
}

/// Adds products, and what rounding took from them where f64 is not wider than the logits.
#[inline(always)]
pub(crate) fn add_products<S: Isa, F: Real>(
    isa: S,
    [rounded, lost]: [&[f64]; 2],
    total: &mut LaneSum,
) {
    add_values::<S, F, _>(isa, total, rounded);
    if F::COMPENSATED {
        add_values::<S, F, _>(isa, total, lost);
    }
}

/// The terms of a row, kept in a slice as long as the row, and their sum.
pub(crate) struct Terms<'t, F: Real> {
    max: MaxTerm<F>,
    terms: &'t mut [F],
    rest: LaneSum,
}

impl<'t, F: Real> Terms<'t, F> {
    #[inline(always)]
    pub(crate) fn new(max: MaxTerm<F>, terms: &'t mut [F]) -> Self {
        Terms { max, terms, rest: LaneSum::ZERO }
    }

    /// The largest logit, the sum of the others' terms, and the terms of all.
    #[inline(always)]
    pub(crate) fn parts(&mut self) -> (MaxTerm<F>, F::Extended, &mut [F]) {
        if let Some(term) = self.terms.get_mut(self.max.at) {
            *term = F::from_f64(self.max.term.rounded());
        }
        (self.max, self.rest.extended::<F>(), self.terms)
    }
}

impl<F: Real> Fold<F> for Terms<'_, F> {
    type Row = ();

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let [x] = block.classes();
        let terms = &mut self.terms[block.first..][..x.len()];
        self.max.add_others(isa, block.first, x, terms, &mut self.rest);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.rest = self.rest.merge::<F>(later.rest);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) {}
}

/// −Σ p·log p. States that are merged have the same largest logit.
pub(crate) struct Entropy<F: Real> {
    max: MaxTerm<F>,
    rest: LaneSum,
    below: LaneSum,
}

impl<F: Real> Entropy<F> {
    #[inline(always)]
    pub(crate) fn new(max: MaxTerm<F>) -> Self {
        Entropy { max, rest: LaneSum::ZERO, below: LaneSum::ZERO }
    }

    /// The entropy, of what a fold comes to.
    #[inline(always)]
    pub(crate) fn value<S: Isa>(isa: S, [term, rest, below]: [F::Extended; 3]) -> f64 {
        let below = below.div(isa, term.add(rest));
        rest.div(isa, term).log1p(isa).add(below).rounded()
    }
}

impl<F: Real> Fold<F> for Entropy<F> {
    /// The term of the largest, the sum of the others' and that of e_c·(x_m − x_c).
    type Row = [F::Extended; 3];

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        let [x] = block.classes();
        let terms = &mut scratch.terms.first(BLOCK, F::ZERO)[..x.len()];
        let Scratch { rounded, lost, .. } = scratch;
        let (rounded, lost) = (rounded.first(PIECE, 0.0), lost.first(PIECE, 0.0));
        self.max.add_others(isa, block.first, x, terms, &mut self.rest);
        self.max.add_below(isa, (terms, x), rounded, lost, &mut self.below);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.rest = self.rest.merge::<F>(later.rest);
        self.below = self.below.merge::<F>(later.below);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> [F::Extended; 3] {
        [self.max.term, self.rest.extended::<F>(), self.below.extended::<F>()]
    }
}

/// How a target distribution y is weighted: w_c·((1 − ε)·y_c + ε/C).
#[derive(Clone, Copy)]
pub(crate) struct Weighting<'w> {
    /// w_c; None for a weight of 1 each.
    pub(crate) weight: Option<&'w [f64]>,
    /// ε
    pub(crate) smoothing: f64,
    /// C
    pub(crate) classes: usize,
}

impl Weighting<'_> {
    /// The weighted targets of the classes from `first` on, in `changed` unless they are y itself.
    #[inline(always)]
    fn apply<'t, F: Real>(&self, first: usize, y: &'t [F], changed: &'t mut [F]) -> &'t [F] {
        if self.is_none() {
            return y;
        }
        for (i, (target, &y)) in changed.iter_mut().zip(y).enumerate() {
            *target = self.of(first + i, y);
        }
        &changed[..y.len()]
    }

    /// Whether targets stay as they are.
    #[inline(always)]
    pub(crate) fn is_none(&self) -> bool {
        self.smoothing == 0.0 && self.weight.is_none()
    }

    /// The weighted target of one class.
    #[inline(always)]
    pub(crate) fn of<F: Real>(&self, class: usize, y: F) -> F {
        let (sharp, even) = (1.0 - self.smoothing, self.smoothing / self.classes as f64);
        let w = self.weight.map_or(1.0, |w| w[class]);
        F::from_f64(w * (sharp * y.to_f64() + even))
    }
}

/// −Σ y·log p, of logits and target distributions. States that are merged have the same largest
/// logit.
pub(crate) struct SoftTarget<'w, F: Real> {
    max: MaxTerm<F>,
    weighting: Weighting<'w>,
    rest: LaneSum,
    below: LaneSum,
    targets: LaneSum,
}

impl<'w, F: Real> SoftTarget<'w, F> {
    #[inline(always)]
    pub(crate) fn new(max: MaxTerm<F>, weighting: Weighting<'w>) -> Self {
        let [rest, below, targets] = [LaneSum::ZERO; 3];
        SoftTarget { max, weighting, rest, below, targets }
    }

    /// The loss, of what a fold comes to.
    #[inline(always)]
    pub(crate) fn value<S: Isa>(isa: S, [term, rest, below, targets]: [F::Extended; 4]) -> f64 {
        let loss = rest.div(isa, term).log1p(isa);
        targets.mul(isa, loss).add(below).rounded()
    }
}

impl<F: Real> Fold<F, 2> for SoftTarget<'_, F> {
    /// The term of the largest, the sum of the others', that of y_c·(x_m − x_c) and that of y.
    type Row = [F::Extended; 4];

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let [x, y] = block.classes();
        let terms = &mut scratch.terms.first(BLOCK, F::ZERO)[..x.len()];
        let Scratch { rounded, lost, .. } = scratch;
        let (rounded, lost) = (rounded.first(PIECE, 0.0), lost.first(PIECE, 0.0));
        self.max.add_others(isa, block.first, x, terms, &mut self.rest);
        let y = self.weighting.apply(block.first, y, scratch.changed.first(BLOCK, F::ZERO));
        add_values::<S, F, _>(isa, &mut self.targets, y);
        self.max.add_below(isa, (y, x), rounded, lost, &mut self.below);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.rest = self.rest.merge::<F>(later.rest);
        self.below = self.below.merge::<F>(later.below);
        self.targets = self.targets.merge::<F>(later.targets);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> [F::Extended; 4] {
        let [rest, below, targets] = [self.rest, self.below, self.targets];
        [self.max.term, rest.extended::<F>(), below.extended::<F>(), targets.extended::<F>()]
    }
}
