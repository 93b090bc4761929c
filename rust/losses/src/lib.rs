//! Rows of logits with a class as target, as typed calls: their losses and the gradients of these, and
//! log softmax.
#![forbid(unsafe_code)]

mod gather;
mod gradient;
mod lane_gradient;
mod log_softmax;
mod row_gradient;
mod rows;

pub use gradient::{Gradient, GradientOut};
pub use log_softmax::{log_softmax, log_sum_exp};
pub use rows::{Entries, RowLosses};
