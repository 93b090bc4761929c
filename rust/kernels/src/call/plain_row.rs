//! Results of single rows by the plain formulas, for rows of which the folds give a wrong result.
//!
//! The folds multiply differences of float64 logits by weights and by terms of up to 2^60: with logits of
//! 10^300, a product may be infinite where the result is not. And a smoothed loss is a difference of sums,
//! which cancel where nearly all weight lies on a class that is nearly certain. Such rows are few. They are
//! computed again, class by class, from quarters of the logits, whose differences are finite:
//!
//! ```text
//! −log p_c / 4  =  (x_m − x_c)/4 + log(1 + Σ_{j≠m} e^(x_j − x_m))/4
//! ```
//!
//! The terms are rounded, and added exactly.

use crate::data::exact_sum::ExactSum;
use crate::data::rows::Rows;
use nll_simd::{Baseline, Extended, Real};

/// Products of smaller logits are finite in the folds, whatever the number of classes, unless a weight is
/// above 10^17.
const HUGE: f64 = 1e270;

type DoubleWord = <f64 as Real>::Extended;

/// A row of logits x.
struct PlainRow<'r> {
    rows: &'r Rows<'r>,
    row: usize,
    /// x_m / 4
    largest: f64,
    /// −log p_m
    least_loss: f64,
    /// 1 / p_m
    sum: DoubleWord,
}

impl<'r> PlainRow<'r> {
    #[cold]
    #[inline(never)]
    fn new(rows: &'r Rows<'r>, row: usize) -> Self {
        let logits = || (0..rows.classes()).map(|class| 0.25 * rows.entry(row, class));
        let largest = logits().fold(f64::NEG_INFINITY, f64::max);
        let likely = logits().position(|x| x == largest);
        let mut plain = PlainRow { rows, row, largest, least_loss: 0.0, sum: DoubleWord::new(1.0) };
        let mut others = ExactSum::default();
        let classes = (0..rows.classes()).filter(|&class| Some(class) != likely);
        classes.for_each(|class| others.add(plain.term(class)));
        let others = DoubleWord::new(others.value());
        plain.least_loss = others.log1p(Baseline).rounded();
        plain.sum = plain.sum.add(others);
        plain
    }

    /// (x_m − x_c) / 4
    fn below(&self, class: usize) -> DoubleWord {
        DoubleWord::sum(self.largest, -0.25 * self.rows.entry(self.row, class))
    }

    /// e^(x_c − x_m)
    fn term(&self, class: usize) -> f64 {
        let [below, lost] = self.below(class).words();
        DoubleWord::sum(-4.0 * below, -4.0 * lost).mul_exp(Baseline, 1.0).rounded()
    }

    fn probability(&self, class: usize) -> f64 {
        DoubleWord::new(self.term(class)).div(Baseline, self.sum).rounded()
    }

    /// −log p_c / 4
    fn loss(&self, class: usize) -> f64 {
        self.below(class).add(DoubleWord::new(0.25 * self.least_loss)).rounded()
    }
}

/// Whether some logits of a row are huge, and none is +∞, which makes the result NaN or infinite anyway.
fn is_huge(rows: &Rows<'_>, row: usize) -> bool {
    let has = |test: &dyn Fn(f64) -> bool| rows.find(row, 0..rows.classes(), test).is_some();
    has(&|x| x.abs() > HUGE && x.abs() < f64::INFINITY) && !has(&|x| x == f64::INFINITY)
}

/// Σ a_c·(−log p_c) of one row. Where a_c is 0, the class adds 0, even if its log p is infinite.
pub(super) fn plain_expected_loss(rows: &Rows<'_>, row: usize, a: &dyn Fn(usize) -> f64) -> f64 {
    let (x, mut sum) = (PlainRow::new(rows, row), ExactSum::default());
    for class in 0..rows.classes() {
        let share = a(class);
        sum.add(if share == 0.0 { 0.0 } else { share * x.loss(class) });
    }
    4.0 * sum.value()
}

/// Σ a_c·(−log p_c) of a row with huge logits. Of any other row it is `value`, the result of the folds.
#[cold]
pub fn expected_loss_of_huge(
    rows: &Rows<'_>,
    row: usize,
    value: f64,
    a: &dyn Fn(usize) -> f64,
) -> f64 {
    if is_huge(rows, row) { plain_expected_loss(rows, row, a) } else { value }
}

/// Two rows of logits, some of which are huge.
pub struct HugePair<'r> {
    p: PlainRow<'r>,
    q: PlainRow<'r>,
    /// The divergence of q from p, by 4.
    divergence: f64,
}

impl<'r> HugePair<'r> {
    /// Of one row, None if no logit is huge.
    #[cold]
    pub fn new([p, q]: [&'r Rows<'r>; 2], row: usize) -> Option<Self> {
        if !is_huge(p, row) && !is_huge(q, row) {
            return None;
        }
        let [p, q] = [p, q].map(|rows| PlainRow::new(rows, row));
        let mut pair = HugePair { p, q, divergence: 0.0 };
        let mut sum = ExactSum::default();
        (0..pair.p.rows.classes()).for_each(|class| sum.add(pair.part(class, 0.0)));
        pair.divergence = sum.value();
        Some(pair)
    }

    /// The divergence of q from p: Σ p·(log p − log q).
    pub fn divergence(&self) -> f64 {
        4.0 * self.divergence
    }

    /// The slopes of the divergence by the logits of p and of q of one class, times `factor`.
    pub fn slopes(&self, class: usize, factor: f64) -> [f64; 2] {
        let [p, q] = [&self.p, &self.q].map(|row| row.probability(class));
        [4.0 * (factor * self.part(class, self.divergence)), factor * (q - p)]
    }

    /// Whether the slopes are numbers: no class that is possible for p is impossible for q.
    pub fn has_slopes(&self) -> bool {
        self.divergence.is_finite()
    }

    /// p·((log p − log q)/4 − d).   p = 0 → 0; q = 0 by a logit of −∞, where p's is finite → +∞.
    fn part(&self, class: usize, d: f64) -> f64 {
        let [p_loss, q_loss] = [&self.p, &self.q].map(|row| row.loss(class));
        let p = self.p.probability(class);
        let is_impossible = q_loss == f64::INFINITY && p_loss < q_loss;
        if is_impossible {
            q_loss
        } else if p == 0.0 {
            0.0
        } else {
            p * (q_loss - p_loss - d)
        }
    }
}
