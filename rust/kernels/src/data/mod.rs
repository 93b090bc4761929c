//! Floor 2: arrays in and out, exact totals, and threads.

pub mod array;
mod as_elements;
mod as_lines;
pub mod changes;
pub mod drive;
pub mod element;
mod entries;
pub mod exact_sum;
pub mod lines;
pub mod out;
pub mod per_class;
pub mod pool;
mod reading;
mod row_weights;
pub mod rows;
pub mod scratch;
pub mod strided;
pub mod targets;
mod tile;
pub mod totals;
