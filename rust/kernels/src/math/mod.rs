//! Floor 1: the mathematics, one formula per distribution. Imports [`nll_simd`] only.

pub mod bernoulli;
pub mod bradley_terry;
pub mod comparison;
pub mod density;
pub mod divergence;
pub mod entropy;
pub mod gaussian;
pub mod laplace;
mod logistic_words;
pub mod poisson;
pub mod preference;
pub mod row;
pub mod share;
pub mod side_by_side;
pub mod terms;
