//! The divergence of float64 logits that are nearly as large as float64 numbers.
//!
//! The folds multiply differences of logits by terms of up to 2^60. Above [`HUGE`], such a product may
//! be infinite where the divergence is not. A row with such logits has nothing that could cancel, so
//! that the plain sum does, of quarters, whose differences are finite:
//!
//! ```text
//! divergence / 4  =  Σ p·(log p / 4 − log q / 4)
//! ```

use crate::data::exact_sum::ExactSum;
use crate::data::rows::Rows;
use nll_simd::Baseline;
use nll_simd::math::{exp, log};

/// Logits up to this never make a product infinite.
const HUGE: f64 = 1e288;

/// The divergence of q from p in one row, of which the folds say `value`, infinite or NaN.
#[cold]
#[inline(never)]
pub fn divergence_of_huge([p, q]: [&Rows<'_>; 2], row: usize, value: f64) -> f64 {
    let classes = 0..p.classes();
    let is_huge = |x: f64| x.abs() > HUGE && x.abs() < f64::INFINITY;
    if [p, q].iter().all(|rows| rows.find(row, classes.clone(), &is_huge).is_none()) {
        return value;
    }
    let [(x_m, x_sum), (y_m, y_sum)] = [p, q].map(|rows| largest_and_sum(rows, row));
    let losses = 0.25 * (log(Baseline, x_sum) - log(Baseline, y_sum));
    let mut sum = ExactSum::default();
    for class in classes {
        let x_below = 0.25 * x_m - 0.25 * p.entry(row, class);
        let y_below = 0.25 * y_m - 0.25 * q.entry(row, class);
        let probability = exp(Baseline, -4.0 * x_below) / x_sum;
        // log p − log q may be infinite where p is 0.
        let further = if probability == 0.0 { 0.0 } else { y_below - x_below - losses };
        sum.add(probability * further);
    }
    4.0 * sum.value()
}

/// x_m and Σ e^(x − x_m).
fn largest_and_sum(rows: &Rows<'_>, row: usize) -> (f64, f64) {
    let logits = || (0..rows.classes()).map(|class| 0.25 * rows.entry(row, class));
    let largest = logits().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = ExactSum::default();
    logits().for_each(|x| sum.add(exp(Baseline, 4.0 * (x - largest))));
    (4.0 * largest, sum.value())
}
