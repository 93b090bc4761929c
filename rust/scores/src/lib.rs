//! Everything about rows of logits with a class as target, and about two rows with the same target, as
//! typed calls.
#![forbid(unsafe_code)]

mod compare;
mod compare_row;
mod compare_rows;
mod score;
mod score_columns;
mod score_row;
mod score_rows;

pub use compare::{Compare, CompareColumns};
pub use score::{Given, Score};
pub use score_columns::{Classes, ScoreColumns};
