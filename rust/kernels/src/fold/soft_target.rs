//! The cross entropy of a row with a distribution as target.

use crate::data::lines::LANES;
use crate::data::rows::{BLOCK, Block};
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::others::{Others, PIECE, Raise};
use crate::math::terms::add_values;
use nll_simd::{Extended, Isa, LaneSum, Real};

/// How a target distribution y is weighted: w_c·((1 − ε)·y_c + ε/C).
#[derive(Clone, Copy)]
pub struct Weighting<'w> {
    /// w_c; None for a weight of 1 each.
    pub weight: Option<&'w [f64]>,
    /// ε
    pub smoothing: f64,
    /// C
    pub classes: usize,
}

impl Weighting<'_> {
    /// The weighted targets of the classes from `first` on, in `changed` unless they are y itself.
    #[inline(always)]
    pub(super) fn apply<'t, F: Real>(
        &self,
        first: usize,
        y: &'t [F],
        changed: &'t mut [F],
    ) -> &'t [F] {
        if self.is_none() {
            return y;
        }
        let changed = &mut changed[..y.len()];
        self.write(first, y, changed);
        changed
    }

    /// Writes the weighted targets of the classes from `first` on.
    #[inline(always)]
    fn write<F: Real, T: Real>(&self, first: usize, y: &[F], weighted: &mut [T]) {
        match self.weight {
            // Slices of one length: a look into all weights for each class would not be vectorised.
            Some(weight) => {
                for ((target, &y), w) in weighted.iter_mut().zip(y).zip(&weight[first..]) {
                    *target = T::from_f64(w * self.smoothed(y));
                }
            }
            None => {
                for (target, &y) in weighted.iter_mut().zip(y) {
                    *target = T::from_f64(self.smoothed(y));
                }
            }
        }
    }

    /// Whether targets stay as they are.
    #[inline(always)]
    pub fn is_none(&self) -> bool {
        self.smoothing == 0.0 && self.weight.is_none()
    }

    /// The weighted target of one class, rounded to `F`.
    #[inline(always)]
    fn of<F: Real>(&self, class: usize, y: F) -> F {
        F::from_f64(self.product(class, y))
    }

    /// The weighted target of one class.
    #[inline(always)]
    pub fn product<F: Real>(&self, class: usize, y: F) -> f64 {
        self.weight_of(class) * self.smoothed(y)
    }

    /// w_c
    #[inline(always)]
    pub fn weight_of(&self, class: usize) -> f64 {
        self.weight.map_or(1.0, |w| w[class])
    }

    /// (1 − ε)·y + ε/C
    #[inline(always)]
    pub fn smoothed<F: Real>(&self, y: F) -> f64 {
        let (sharp, even) = (1.0 - self.smoothing, self.smoothing / self.classes as f64);
        sharp * y.to_f64() + even
    }
}

impl Weighting<'_> {
    /// Whether a weighted target lost its digits when it was rounded to f32: if it is 0, an impossible
    /// class is free.
    #[inline(always)]
    fn is_lost<F: Real>(&self, y: F, weighted: F) -> bool {
        (weighted.abs() < F::LEAST_NORMAL) & ((y != F::ZERO) | (self.smoothing > 0.0))
    }

    /// Whether any of the weighted targets of some classes may be lost.
    #[inline(always)]
    pub(super) fn loses<F: Real>(&self, y: &[F], weighted: &[F]) -> bool {
        let are_kept = F::COMPENSATED || self.is_none() || F::are_normal(weighted);
        !are_kept && self.is_any_lost(y, weighted)
    }

    /// Whether any of the weighted targets [`is_lost`](Self::is_lost).
    #[cold]
    #[inline(never)]
    fn is_any_lost<F: Real>(&self, y: &[F], weighted: &[F]) -> bool {
        // Without an end at the first, so that LLVM vectorises it.
        let is_lost = |any, (&y, &weighted)| any | u32::from(self.is_lost(y, weighted));
        y.iter().zip(weighted).fold(0, is_lost) > 0
    }

    /// The weighted target of one class, rounded only if it keeps its digits.
    #[inline(always)]
    fn kept<F: Real>(&self, class: usize, y: F) -> f64 {
        let weighted = self.of(class, y);
        if self.is_lost(y, weighted) { self.product(class, y) } else { weighted.to_f64() }
    }

    /// Writes [`kept`](Self::kept) of the classes from `first` on.
    #[cold]
    #[inline(never)]
    pub(super) fn keep<F: Real>(&self, first: usize, y: &[F], kept: &mut [f64]) {
        for (class, (kept, &y)) in (first..).zip(kept.iter_mut().zip(y)) {
            *kept = self.kept(class, y);
        }
    }

    /// The weighted targets of one class of rows side by side, and whether any is lost.
    #[inline(always)]
    pub(super) fn line<F: Real>(&self, class: usize, y: &[F; LANES]) -> ([F; LANES], bool) {
        let mut weighted = *y;
        if self.is_none() {
            return (weighted, false);
        }
        weighted.iter_mut().for_each(|y| *y = self.of(class, *y));
        let are_normal = F::COMPENSATED || F::are_normal(&weighted);
        let mut lost = 0;
        if !are_normal && self.weight.is_none_or(|w| w[class] != 0.0) {
            for i in 0..LANES {
                lost |= u32::from(self.is_lost(y[i], weighted[i]));
            }
        }
        (weighted, lost > 0)
    }

    /// [`kept`](Self::kept) of one class of rows side by side.
    #[cold]
    #[inline(never)]
    pub(super) fn kept_line<F: Real>(&self, class: usize, y: &[F; LANES]) -> [f64; LANES] {
        y.map(|y| self.kept(class, y))
    }
}

/// Σ y of weighted targets, which are not rounded to `F` first.
pub struct TargetSum<'w> {
    weighting: Weighting<'w>,
    sum: LaneSum,
}

impl<'w> TargetSum<'w> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty(weighting: Weighting<'w>) -> Self {
        TargetSum { weighting, sum: LaneSum::ZERO }
    }
}

impl<F: Real> Fold<F, 2> for TargetSum<'_> {
    type Row = F::Extended;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let [_, y] = block.classes();
        // In f64 even where they are not weighted: of f32, the first additions would be rounded to f32, and
        // what a target leaves of the sum may be smaller than that.
        let products = scratch.second.first(y.len(), 0.0);
        self.weighting.write(block.first, y, products);
        add_values::<S, F, f64>(isa, &mut self.sum, products);
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.sum = self.sum.merge::<F>(later.sum);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> F::Extended {
        self.sum.extended::<F>()
    }
}

/// −Σ y·log p, of logits and target distributions.
pub struct SoftTarget<'w, F: Real> {
    others: Others<F>,
    weighting: Weighting<'w>,
    below: LaneSum,
    targets: LaneSum,
}

impl<'w, F: Real> SoftTarget<'w, F> {
    /// Of no classes.
    #[inline(always)]
    pub fn empty(weighting: Weighting<'w>) -> Self {
        let [below, targets] = [LaneSum::ZERO; 2];
        SoftTarget { others: Others::empty(), weighting, below, targets }
    }

    /// The loss, of what a fold comes to.
    #[inline(always)]
    pub fn value<S: Isa>(isa: S, [term, rest, below, targets]: [F::Extended; 4]) -> f64 {
        let loss = rest.div(isa, term).log1p(isa);
        targets.mul(isa, loss).add(below).rounded()
    }

    /// The largest logit, and the sum of the others' terms.
    #[inline(always)]
    pub fn others(&self) -> &Others<F> {
        &self.others
    }

    /// Adds the weighted targets of a block, and their products with how far `x` is below the largest.
    #[inline(always)]
    fn add_targets<S: Isa, V: Real>(
        &mut self,
        isa: S,
        (y, x): (&[V], &[F]),
        places: ([&mut [f64]; 2], &mut bool),
    ) {
        add_values::<S, F, V>(isa, &mut self.targets, y);
        self.others.add_below(isa, (y, x), places, &mut self.below);
    }

    /// After the largest logit was raised: all classes are further below it.
    #[inline(always)]
    fn raise<S: Isa>(&mut self, isa: S, raise: Raise<F>) {
        let further = raise.further(isa, self.targets.extended::<F>());
        self.below = self.below.plus::<F>(further);
    }
}

impl<F: Real> Fold<F, 2> for SoftTarget<'_, F> {
    /// The term of the largest, the sum of the others', that of y_c·(x_m − x_c) and that of y.
    type Row = [F::Extended; 4];

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let Scratch { terms, changed, second, rounded, lost, is_masked, .. } = scratch;
        let (terms, changed) = (terms.first(BLOCK, F::ZERO), changed.first(BLOCK, F::ZERO));
        let (rounded, lost) = (rounded.first(PIECE, 0.0), lost.first(PIECE, 0.0));
        let (first, [x, y]) = (block.first, block.classes());
        if let Some(raise) = self.others.look(isa, first, x) {
            self.raise(isa, raise);
        }
        self.others.add(isa, block, &mut terms[..x.len()]);
        let weighted = self.weighting.apply(first, y, changed);
        if self.weighting.loses(y, weighted) {
            let kept = second.first(y.len(), 0.0);
            self.weighting.keep(first, y, kept);
            return self.add_targets(isa, (kept, x), ([rounded, lost], is_masked));
        }
        self.add_targets(isa, (weighted, x), ([rounded, lost], is_masked));
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        let ([mine, theirs], factor) = self.others.level(isa, &mut later.others);
        if let Some(raise) = mine {
            self.raise(isa, raise);
        }
        if let Some(raise) = theirs {
            later.raise(isa, raise);
        }
        self.others.add_rest(later.others, factor);
        self.below = self.below.merge::<F>(later.below);
        self.targets = self.targets.merge::<F>(later.targets);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> [F::Extended; 4] {
        let [term, rest] = self.others.sums(isa);
        [term, rest, self.below.extended::<F>(), self.targets.extended::<F>()]
    }
}
