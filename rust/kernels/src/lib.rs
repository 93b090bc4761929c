//! Floors 1 to 3 of nll_fast, and what the crates of floor 4 share: how a call is computed. Knows neither
//! Python nor `unsafe`.
//!
//! **The floors.** Each imports only from floors below its own:
//!
//! ```text
//! 4  call   what typed calls share; the calls themselves are in crates above this one
//!           cross_entropy  row_loss   the cross entropy of rows of logits, as one of the losses of rows
//!           few_classes  two_classes  … of rows of at most 128 classes, and of two
//!           row_sweeps                quantities of more classes than are read side by side
//!           long_rows                 rows of very many classes, in pieces, by all threads
//!           plain_row                 a row by the plain formula, where folds lose
//!           hessian                   which second derivatives a call computes
//! 3  fold   quantities of a row as states that take in blocks of classes, and merge
//!           log_sum  pick  linear     one sweep: the cross entropy and its label smoothing
//!           others                    the largest logit, and the sum of terms relative to it
//!           entropy  soft_target      one sweep: the entropy, and the loss of a distribution as target
//!           standing  top_k  score    where the target stands, the largest classes, all about it
//!           row_terms  pair           terms that are kept for a second, of two rows together
//!           direct  divergence        the divergence of two rows by float64 sums, or by kept terms
//!           comparison                … and how they differ
//!           shares  columns           … what float32 and float64 classes add to that
//!           lanes  lane_terms         the same of rows of few classes, a lane for each row
//!           lane_pair  lane_direct  lane_comparison  … of two such rows together, and how they differ
//!           lane_scales  lane_top     … the terms of their sums, and their largest classes
//! 2  data   arrays in and out, exact totals, threads
//!           array  strided  element   arrays of any type and strides
//!           as_elements  as_lines     … their elements in order, their rows side by side
//!           reading  changes  entries … read, changed as they are read, one class of each row
//!           rows  lines  scratch      read by rows, blocks and lines, into memory used again
//!           out  per_class  targets   results; the class of each row, and its weight
//!           totals  exact_sum         sums that do not depend on the order of their terms
//!           drive  pool               tasks on threads; which threads, and which instructions
//! 1  math   one formula for each loss
//!           density                   what a loss of single observations is
//!           bernoulli  gaussian  laplace  poisson  entropy  bradley_terry  preference
//!           row  terms                formulas of a row, and of the terms of its sums
//!           divergence  comparison    formulas of two rows
//!           share                     … of float32, how they differ
//!           side_by_side              … of a row, for some rows, step after step
//! 0  nll_simd, the crate below: instruction sets, exp and log
//! ```
//!
//! Beside the floors, `error` has all that can be wrong with a call, with the sentence that the
//! user reads.
#![forbid(unsafe_code)]

pub mod call;
pub mod data;
pub mod error;
pub mod fold;
pub mod math;

pub use error::Error;
pub use nll_simd::{BF16, F16, Level, in_default_environment};
