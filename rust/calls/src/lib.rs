//! Floor 4 of nll_fast: what a call means. All typed calls under one name, which come from several
//! crates only so that Cargo compiles these side by side.
//!
//! The cross entropy of two rows of logits, whose classes are 0 and 2:
//!
//! ```
//! use ndarray::array;
//! use nll_calls::{Entries, RowLosses};
//! use nll_kernels::data::{array::Array, out::Out, pool, targets::Targets, totals::Totaled};
//!
//! let logits = array![[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]].into_dyn();
//! let losses = RowLosses {
//!     rows: &Array::F64(logits.view().into()),
//!     entries: Entries::Logits { label_smoothing: 0.0 },
//!     targets: Targets {
//!         target: &[0, 2],
//!         first: 0,
//!         shape: &[2],
//!         ignore_index: None,
//!         weight: None,
//!         row_weight: None,
//!     },
//!     negate: false,
//!     totaled: Totaled::Sum,
//!     is_new: true,
//! };
//! let mut each = [0.0; 2];
//! let totals = pool::here(|exec| losses.run(exec, Out::F64(&mut each)))?;
//!
//! assert!((each[0] - 0.239_545).abs() < 1e-6); // log(1 + 2·e^−2)
//! assert!((each[1] - 1.098_612).abs() < 1e-6); // log 3
//! assert_eq!((totals.sum.value(), totals.weight()), (each[0] + each[1], 2.0));
//! // Class 2 of the second row is as large as any, but not the first of the largest.
//! assert_eq!(totals.top1, Some(1));
//! # Ok::<(), nll_kernels::Error>(())
//! ```
//!
//! **The four crates**, none of which knows another, and what they share:
//!
//! ```text
//! nll_elements     loss  formula  elements   losses of single observations
//!                  shapes  choices           … how their arrays fit together, and their options
//!                  stream  evaluation        … through memory, and a block of them
//!                  weigh                     … times their weights
//! nll_losses       rows  gather              losses of rows with a class as target: of logits, and of
//!                                            probabilities
//!                  gradient  row_gradient    of the cross entropy, by the logits
//!                  log_softmax               log softmax, and log Σ e^x
//! nll_quantities   quantity  quantities      entropy, divergence, distributions as targets
//!                  slopes  slope_blocks      gradients, and their blocks of classes
//!                  long_quantities           of rows of very many classes
//!                  long_slopes               … and gradients
//! nll_scores       score  score_columns      everything about a target, and where it goes
//!                  score_rows  score_row     … row by row
//!                  compare                   … about two rows of logits
//! nll_kernels      what they share, and the floors below
//! ```
//!
//! Each is one unit of code. Most of nll_kernels is generic or inlined, and compiled in each crate that
//! calls it; reading arrays (`data/reading.rs`) is compiled once, there.
#![forbid(unsafe_code)]

pub use nll_elements::{
    Clamp, Elements, Factorial, Loss, Options, Outputs, PoissonOptions, PreferenceOptions, Rate,
    Spread, choose, exactly_one,
};
pub use nll_kernels::call::Hessian;
pub use nll_losses::{Entries, Gradient, GradientOut, RowLosses, log_softmax, log_sum_exp};
pub use nll_quantities::{Quantity, Slopes, SlopesOut};
pub use nll_scores::{Classes, Compare, CompareColumns, Given, Score, ScoreColumns};
