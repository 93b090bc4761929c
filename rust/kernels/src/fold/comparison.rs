//! How two rows of logits differ: both divergences, their mean, the distance, and p's entropy.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::divergence::{PairTerms, Relation};
use crate::math::comparison::{ClassShare, Compared, Shares, UNSURE, class_share};
use nll_simd::{Extended, Isa, LaneSum, Real, SUM_LANES};

/// How many sums a comparison keeps.
const SUMS: usize = 9;

/// The sums over the classes of two rows. States that are merged are of the same pair.
pub(crate) struct Comparison<P, F: Real> {
    pair: P,
    relation: Relation<F>,
    /// Those of [`Shares`] in their order, and then Σ p·(x_m − x), where x_m is the largest logit of p.
    sums: [LaneSum; SUMS],
}

/// What a [`Comparison`] comes to.
#[derive(Clone, Copy)]
pub(crate) struct PairRow<F: Real> {
    pub(crate) compared: Compared,
    /// −Σ p·log p, less the loss of the largest class.
    pub(crate) below: F::Extended,
}

impl<F: Real, P: PairTerms<F>> Comparison<P, F> {
    /// Of no classes of a pair. If the sum of q is known to be 1 + `off`, that is taken into account.
    #[inline(always)]
    pub(crate) fn new<S: Isa>(isa: S, pair: P, off: f64) -> Self {
        let relation = *pair.relation();
        let relation = if off == 0.0 { relation } else { relation.corrected(isa, off) };
        Comparison { pair, relation, sums: [LaneSum::ZERO; SUMS] }
    }

    /// The pair of rows.
    #[inline(always)]
    pub(crate) fn pair(&self) -> &P {
        &self.pair
    }
}

/// Adds the shares of [`SUM_LANES`] classes to all sums; lanes without a class add 0.
#[inline(always)]
fn add_shares<S: Isa, F: Real, const NEAR: bool>(
    isa: S,
    [log_ratio, p, q, below]: [&[F::Extended; SUM_LANES]; 4],
    sums: &mut [LaneSum; SUMS],
) {
    let mut shares = [[0.0; SUM_LANES]; SUMS];
    let mut lost = [[0.0; SUM_LANES]; 3];
    for i in 0..SUM_LANES {
        let mass = p[i].rounded();
        let ClassShare { bend, slope, back, apart, middle } =
            class_share::<S, F, NEAR>(isa, mass, q[i], log_ratio[i]);
        let ([bend, bend_lost], [back, back_lost]) = (bend.words(), back.words());
        let lean = if apart < 0.0 { -q[i].rounded() } else { q[i].rounded() };
        let further = if mass == 0.0 { F::Extended::new(0.0) } else { p[i].mul(isa, below[i]) };
        let [further, further_lost] = further.words();
        let is_sure = log_ratio[i].rounded().abs() >= UNSURE;
        let unsure = if is_sure { 0.0 } else { q[i].rounded() };
        let all = [bend, slope, back, apart, apart.abs(), lean, unsure, middle, further];
        for (share, value) in shares.iter_mut().zip(all) {
            share[i] = value;
        }
        [lost[0][i], lost[1][i], lost[2][i]] = [bend_lost, back_lost, further_lost];
    }
    for (sum, share) in sums.iter_mut().zip(shares) {
        *sum = sum.add_f64::<F>(share);
    }
    // Of the sums that are wanted to more than a float64, what each share lost when it was rounded:
    // bend, back and p·(x_m − x).
    if F::COMPENSATED {
        for (sum, lost) in [0, 2, 8].into_iter().zip(lost) {
            sums[sum] = sums[sum].add_f64::<F>(lost);
        }
    }
}

impl<F: Real, P: PairTerms<F>> Fold<F, 2> for Comparison<P, F> {
    type Row = PairRow<F>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, scratch: &mut Scratch<F>) {
        let [x, y] = block.classes();
        let y = &y[..x.len()];
        let Scratch { terms, changed, .. } = scratch;
        let [p, q] = self.pair.terms(isa, block, [terms, changed]);
        let (p, q) = (&p[..x.len()], &q[..x.len()]);
        let relation = self.relation;
        let k = relation.k;
        let mut sums = self.sums;
        for start in (0..x.len()).step_by(SUM_LANES) {
            let count = SUM_LANES.min(x.len() - start);
            let zero = F::Extended::new(0.0);
            let [mut log_ratio, mut mass, mut other, mut below] = [[zero; SUM_LANES]; 4];
            let lanes = |from: &[F]| {
                let mut lanes = [F::ZERO; SUM_LANES];
                match from[start..].first_chunk() {
                    Some(whole) => lanes = *whole,
                    None => lanes[..count].copy_from_slice(&from[start..]),
                }
                lanes
            };
            let (x, y, p, q) = (lanes(x), lanes(y), lanes(p), lanes(q));
            for i in 0..SUM_LANES {
                (log_ratio[i], below[i]) = relation.log_ratio(x[i].to_f64(), y[i].to_f64());
                mass[i] = F::Extended::new(p[i].to_f64());
                other[i] = F::Extended::new(q[i].to_f64()).mul(isa, k);
            }
            let near = log_ratio.iter().fold(0, |n, d| n + u32::from(d.rounded().abs() < 1.0));
            let shares = [&log_ratio, &mass, &other, &below];
            // Of nearly equal models, most classes need no quotient and no logarithm.
            match near == SUM_LANES as u32 {
                true => add_shares::<S, F, true>(isa, shares, &mut sums),
                false => add_shares::<S, F, false>(isa, shares, &mut sums),
            }
        }
        self.sums = sums;
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        for (sum, later) in self.sums.iter_mut().zip(later.sums) {
            *sum = sum.merge::<F>(later);
        }
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> PairRow<F> {
        let p_sum = self.relation.p_sum;
        let [bend, slope, back] = [0, 1, 2].map(|i| self.sums[i].extended::<F>());
        let [excess, distance, lean, unsure, middle] =
            [3, 4, 5, 6, 7].map(|i| self.sums[i].value::<F>());
        let below = self.sums[8].extended::<F>().div(isa, p_sum);
        let shares = Shares::<F> { bend, slope, back, excess, distance, lean, unsure, middle };
        PairRow { compared: Compared::new(isa, shares, p_sum), below }
    }
}
