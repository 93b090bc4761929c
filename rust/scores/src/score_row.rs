//! What the states of a scored row come to when all its classes are in.

use crate::score_columns::RowNumbers;
use nll_kernels::call::row_sweeps::EntropyRow;
use nll_kernels::data::rows::GROUP;
use nll_kernels::fold::{Entropy, Largest, Rank, Scored};
use nll_kernels::math::row::{self, ScaledSum, TargetAndRest};
use nll_simd::{Extended, Isa, Real};

/// What is known of a row that counts when all its classes are in.
pub(crate) struct RowScore<F: Real> {
    pub(crate) target: usize,
    /// −log p of the target.
    pub(crate) loss: f64,
    pub(crate) entropy: f64,
    pub(crate) largest: Largest<F>,
    pub(crate) rank: Rank,
}

impl<F: Real> RowScore<F> {
    /// Of a row that counts, whose entropy and largest class come from a sweep of their own if it is there.
    pub(crate) fn new(
        target: usize,
        (scored, end): (&Scored<F>, TargetAndRest<F::Extended>),
        again: Option<(f64, Largest<F>)>,
    ) -> Self {
        let Scored { largest: (x, at), rank, .. } = *scored;
        let here = (end.entropy, Largest { x, at, loss: end.largest });
        let (entropy, largest) = again.unwrap_or(here);
        RowScore { target, loss: end.loss, entropy, largest, rank }
    }

    /// The numbers of the row, None if it holds a NaN.
    #[inline(always)]
    pub(crate) fn numbers(&self) -> Option<RowNumbers> {
        let RowScore { target, loss, entropy, largest, rank } = *self;
        // Both are log p of the same class where the target is the largest.
        let is_greedy = largest.at == target;
        let least_loss = if is_greedy { loss } else { largest.loss.rounded() };
        (!rank.has_nan).then(|| RowNumbers {
            log_prob: row::log_prob::<F>(loss),
            logsumexp: largest.log_sum_exp(),
            entropy,
            max_log_prob: row::log_prob::<F>(least_loss),
            argmax: largest.at,
            rank: rank.above + 1,
            ties: rank.equal.saturating_sub(1),
        })
    }

    /// log p of a class with the logit `x`. That of the target has the same bits in every column.
    #[inline(always)]
    pub(crate) fn log_prob(&self, class: usize, x: F) -> f64 {
        if class == self.target { row::log_prob::<F>(self.loss) } else { self.largest.log_prob(x) }
    }
}

/// What the numbers of at most [`GROUP`] rows come to.
#[inline(always)]
pub(crate) fn ends<S: Isa, F: Real>(
    isa: S,
    found: &[Option<Scored<F>>],
) -> [TargetAndRest<F::Extended>; GROUP] {
    // An array for each number: a loop over arrays of structures is not vectorised.
    let [mut center, mut correction, mut exponent] = [[0.0; GROUP]; 3];
    let [mut sum, mut max, mut x_t, mut x_m] = [[0.0; GROUP]; 4];
    let mut below = [F::Extended::new(0.0); GROUP];
    for (i, scored) in found.iter().enumerate() {
        if let Some(Scored { rest, x_t: x, largest, below: mean, .. }) = scored {
            (center[i], correction[i], exponent[i]) = (rest.center, rest.correction, rest.exponent);
            (sum[i], max[i], below[i]) = (rest.sum, rest.max, *mean);
            (x_t[i], x_m[i]) = (x.to_f64(), largest.0.to_f64());
        }
    }
    let [mut loss, mut entropy] = [[0.0; GROUP]; 2];
    let (mut largest, mut is_sure) = ([F::Extended::new(0.0); GROUP], [false; GROUP]);
    for i in 0..GROUP {
        let (center, correction, exponent) = (center[i], correction[i], exponent[i]);
        let rest = ScaledSum { center, correction, exponent, sum: sum[i], max: max[i] };
        let end = row::target_and_rest::<S, F>(isa, (rest, below[i]), [x_t[i], x_m[i]]);
        (loss[i], largest[i], entropy[i], is_sure[i]) =
            (end.loss, end.largest, end.entropy, end.is_sure);
    }
    core::array::from_fn(
        #[inline(always)]
        |i| TargetAndRest {
            loss: loss[i],
            largest: largest[i],
            entropy: entropy[i],
            is_sure: is_sure[i],
        },
    )
}

/// The entropy of a row and its largest class, from a sweep of their own.
#[inline(always)]
pub(crate) fn of_entropy<S: Isa, F: Real>(
    isa: S,
    (found, others): EntropyRow<F>,
) -> (f64, Largest<F>) {
    (Entropy::<F>::value(isa, found), Largest::new(isa, &others))
}
