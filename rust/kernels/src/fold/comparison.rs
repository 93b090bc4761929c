//! How two rows of logits differ: both divergences, their mean, the distance, and p's entropy.
//!
//! The algorithm is a sum over the classes for each quantity: of float32 in `shares.rs`, of float64 in `columns.rs`.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::pair::{PairTerms, Relation};
use crate::fold::{Fold, columns, shares};
use crate::math::comparison::{Compared, SUMS, Shares};
use crate::math::share::Steps;
use nll_simd::{Extended, Isa, LaneSum, Real};

/// The sums over the classes of two rows. States that are merged are of the same pair.
pub struct Comparison<P, F: Real> {
    pair: P,
    relation: Relation<F>,
    sums: [LaneSum; SUMS],
    /// Σ p of the unsure classes.
    unsure: f64,
    /// Whether many classes of float64 are not near.
    is_far: bool,
}

/// What the sweeps over a row have found of Σ q − 1. Each sweep finds about 16 more digits. Between rows
/// that are certain of one class, what the earlier ones find may be rounding error alone.
#[derive(Clone, Copy)]
pub struct Excess<F: Real> {
    sum: F::Extended,
    /// What the last sweep has added.
    last: f64,
}

impl<F: Real> Excess<F> {
    /// Before the first sweep.
    #[inline(always)]
    pub fn unknown() -> Self {
        Excess { sum: F::Extended::new(0.0), last: f64::INFINITY }
    }

    /// Adds what a sweep has found. None if another sweep would not help.
    #[inline(always)]
    fn and(self, found: &Compared) -> Option<Self> {
        let (off, is_less) = (found.off, found.off.abs() < self.last.abs() * 1e-6);
        let sum = self.sum.add(F::Extended::new(off)).renormalize();
        (off != 0.0 && is_less).then_some(Excess { sum, last: off })
    }

    /// Adds what a sweep has `found` to the excess of each row; it becomes None where another would not help.
    pub fn add_all(excess: &mut [Option<Self>], found: &[Option<PairRow<F>>]) {
        for (excess, found) in excess.iter_mut().zip(found) {
            *excess = excess.zip(*found).and_then(|(excess, pair)| excess.and(&pair.compared));
        }
    }

    /// The relation of the rows with q divided by 1 + what the sweeps have found.
    #[inline(always)]
    pub(super) fn correct<S: Isa>(&self, isa: S, relation: Relation<F>) -> Relation<F> {
        let is_known = self.sum.rounded() != 0.0;
        if is_known { relation.corrected(isa, self.sum) } else { relation }
    }
}

/// What a [`Comparison`] comes to.
#[derive(Clone, Copy)]
pub struct PairRow<F: Real> {
    /// The numbers that compare the two rows.
    pub compared: Compared,
    /// −Σ p·log p, less the loss of the largest class.
    pub below: F::Extended,
}

impl<F: Real, P: PairTerms<F>> Comparison<P, F> {
    /// Of no classes of a pair. q is divided by 1 + `excess`, what earlier sweeps have found.
    #[inline(always)]
    pub fn new<S: Isa>(isa: S, pair: P, excess: Excess<F>) -> Self {
        let relation = excess.correct(isa, *pair.relation());
        let sums = [LaneSum::ZERO; SUMS];
        Comparison { pair, relation, sums, unsure: 0.0, is_far: false }
    }

    /// The pair of rows.
    #[inline(always)]
    pub fn pair(&self) -> &P {
        &self.pair
    }
}

impl<F: Real, P: PairTerms<F>> Fold<F, 2> for Comparison<P, F> {
    type Row = PairRow<F>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let [x, y] = block.classes();
        let y = &y[..x.len()];
        let Scratch { terms, changed, shares: memory, share_steps, .. } = scratch;
        let [p, q] = self.pair.terms(isa, block, [terms, changed]);
        let (p, q) = (&p[..x.len()], &q[..x.len()]);
        let Comparison { relation, sums, unsure, is_far, .. } = self;
        match [x, y, p, q].map(F::same) {
            [Some(x), Some(y), Some(p), Some(q)] => {
                let steps = share_steps.get_or_insert_with(|| Box::new(Steps::ZERO));
                shares::add_row(isa, relation, [x, y, p, q], steps, sums, unsure);
            }
            _ => columns::add_row(isa, relation, [x, y, p, q], (memory, is_far), sums, unsure),
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        for (sum, later) in self.sums.iter_mut().zip(later.sums) {
            *sum = sum.merge::<F>(later);
        }
        self.unsure += later.unsure;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> PairRow<F> {
        let p_sum = self.relation.p_sum;
        let [bend, excess, back] = [0, 1, 2].map(|i| self.sums[i].extended::<F>());
        let [distance, lean, middle] = [3, 4, 5].map(|i| self.sums[i].value::<F>());
        let unsure = self.unsure;
        let below = self.sums[6].extended::<F>().div(isa, p_sum);
        let shares = Shares::<F> { bend, excess, back, distance, lean, unsure, middle };
        PairRow { compared: Compared::new(isa, shares, p_sum), below }
    }
}
