//! Quantities of rows in which each class has its part, and their gradients, as typed calls: entropy,
//! divergence, distributions as targets.
#![forbid(unsafe_code)]

mod balance;
mod lane_slopes;
mod long_quantities;
mod long_slopes;
mod quantities;
mod quantity;
mod slope_blocks;
mod slope_sweeps;
mod slopes;

pub use quantity::Quantity;
pub use slopes::{Slopes, SlopesOut};
