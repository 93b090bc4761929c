//! Floors 1 and 2 of nll_fast.
//!
//! Floor 1 is mathematics: [`formula`] (a scalar function per formula), [`softmax`] (the sweep over
//! classes), [`losses`] (what is made of a row), [`elementwise`] (what is made
//! of an element). Floor 2 runs it: [`drive`] over threads, [`reduce`] into
//! exact totals.
#![forbid(unsafe_code)]

pub mod distribution;
mod divergence;
pub mod drive;
pub mod elementwise;
mod error;
pub mod formula;
pub mod gradient;
pub mod input;
pub mod likelihood;
mod linear;
pub mod log_softmax;
pub mod losses;
pub mod out;
pub mod preference;
pub mod reduce;
pub mod rows;
pub mod softmax;
mod terms;

pub use error::Error;
pub use nll_simd::{BF16, Dtype, F16, Level};
