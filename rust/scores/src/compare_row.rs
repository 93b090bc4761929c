//! What is known of two compared rows when all their classes are in, and the numbers that are written of it.

use nll_kernels::call::HugePair;
use nll_kernels::data::lines::Lines;
use nll_kernels::data::rows::Rows;
use nll_kernels::fold::{Candidate, Largest, PairRow, TopK};
use nll_kernels::math::row;
use nll_simd::{Extended, Real};

/// The targets of two rows, and what the sweeps have found.
pub(crate) struct ComparedRow<F: Real> {
    /// The logit of the target in each.
    pub(crate) x_t: [F; 2],
    pub(crate) pair: PairRow<F>,
    pub(crate) largest: [Largest<F>; 2],
    pub(crate) tops: Tops,
}

/// What the k largest classes of both rows have in common.
#[derive(Clone, Copy)]
pub(crate) struct Tops {
    /// How many of them.
    pub(crate) count: usize,
    /// Whether all are the same, in the same order.
    pub(crate) are_equal: bool,
}

impl Tops {
    /// Of the classes of each row, in their order.
    pub(crate) fn new<F>([p, q]: [&[Candidate<F>]; 2]) -> Self {
        let mut others: Vec<_> = q.iter().map(|other| other.class).collect();
        others.sort_unstable();
        let count = p.iter().filter(|one| others.binary_search(&one.class).is_ok()).count();
        Tops { count, are_equal: p.iter().zip(q).all(|(p, q)| p.class == q.class) }
    }
}

impl Tops {
    /// Of the k largest classes of one pair of rows of few classes.
    #[inline(never)]
    pub(crate) fn of_lines<F: Real>(lines: [Lines<'_, F>; 2], i: usize, k: usize) -> Self {
        let [p, q] = lines.map(|lines| {
            let mut top = Vec::new();
            TopK::of_row(k, (0..lines.classes()).map(|class| lines.line(class)[i]), &mut top);
            top
        });
        Tops::new([&p, &q])
    }
}

impl<F: Real> ComparedRow<F> {
    /// The numbers of row number `row` of two arrays, in the order of [`CompareColumns`](crate::CompareColumns);
    /// None if it holds a NaN or +∞.
    #[inline(always)]
    pub(crate) fn columns(
        &self,
        [p_rows, q_rows]: [&Rows<'_>; 2],
        row: usize,
    ) -> Option<([f64; 8], [i64; 4])> {
        let ComparedRow { x_t, pair: PairRow { compared, below }, largest: [p, q], tops } = self;
        if p.loss.rounded().is_nan() || q.loss.rounded().is_nan() {
            return None;
        }
        let restored = |rows, value: f64| match F::COMPENSATED && !value.is_finite() {
            true => HugePair::new(rows, row).map_or(value, |pair| pair.divergence()),
            false => value,
        };
        let numbers = [
            restored([p_rows, q_rows], compared.kl_pq),
            restored([q_rows, p_rows], compared.kl_qp),
            compared.js,
            compared.total_variation,
            p.loss.add(*below).rounded(),
            row::log_prob::<F>(p.loss.rounded()),
            p.log_prob(x_t[0]),
            q.log_prob(x_t[1]),
        ];
        let classes = [p.at as i64, q.at as i64, tops.count as i64, i64::from(tops.are_equal)];
        Some((numbers, classes))
    }
}
