//! Floors 1 to 4 of nll_fast: what a call means, and how it is computed. Knows neither Python nor
//! `unsafe`.
//!
//! The cross entropy of two rows of logits, whose classes are 0 and 2:
//!
//! ```
//! use ndarray::array;
//! use nll_kernels::call::{Entries, RowLosses};
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
//! **The floors.** Each imports only from floors below its own:
//!
//! ```text
//! 4  call   typed calls, which check their arguments
//!           loss  formula  elements   losses of single observations
//!           shapes  choices           … how their arrays fit together, and their options
//!           stream  evaluation        … through memory, and a block of them
//!           weigh                     … times their weights
//!           rows  row_loss            losses of rows with a class as target
//!           cross_entropy  gather     … of logits, and of probabilities
//!           gradient  row_gradient    of the cross entropy, by the logits
//!           log_softmax               log softmax, and log Σ e^x
//!           quantity  quantities      entropy, divergence, distributions as targets
//!           row_sweeps                … of more classes than are read side by side
//!           slopes  slope_blocks      gradients, and their blocks of classes
//!           score  score_columns      everything about a target, and where it goes
//!           compare                   … about two rows of logits
//!           long_rows                 rows of very many classes, in pieces, by all threads
//!           long_quantities           … quantities of them
//!           long_slopes               … and gradients
//! 3  fold   quantities of a row as states that take in blocks of classes, and merge
//!           log_sum  pick  linear     one sweep: the cross entropy and its label smoothing
//!           others                    the largest logit, and the sum of terms relative to it
//!           entropy  soft_target      one sweep: what is made of them
//!           standing  top_k  score    where the target stands, the largest classes, all about it
//!           row_terms  divergence     terms that are kept for a second, of two rows together
//!           comparison                … and how they differ
//!           lanes  lane_terms         the same of rows of few classes, a lane for each row
//! 2  data   arrays in and out, exact totals, threads
//!           array  strided  element   arrays of any type and strides
//!           changes                   … changed as they are read
//!           rows  lines  scratch      read by rows, blocks and lines, into memory used again
//!           out  per_class  targets   results; the class of each row, and its weight
//!           totals  exact_sum         sums that do not depend on the order of their terms
//!           drive  pool               tasks on threads; which threads, and which instructions
//! 1  math   one formula for each loss
//!           density                   what a loss of single observations is
//!           bernoulli  gaussian  laplace  poisson  preference  entropy
//!           row  terms  comparison    formulas of a row, of the terms of its sums, and of two rows
//! 0  nll_simd, the crate below: instruction sets, exp and log
//! ```
//!
//! Beside the floors, `error` has all that can be wrong with a call, with the sentence that the
//! user reads.
#![forbid(unsafe_code)]

pub mod call;
pub mod data;
mod error;
pub mod fold;
pub mod math;

pub use error::Error;
pub use nll_simd::{BF16, F16, Level, in_default_environment};
