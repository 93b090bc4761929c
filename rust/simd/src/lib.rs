//! Floor 0: everything that knows about instruction sets. Zero dependencies.
//!
//! **The bit contract.** A kernel is written once, over plain arrays of [`CHUNK_LANES`] numbers, and compiled
//! once per instruction set by [`Isa::vectorize`]. The virtual width is the same everywhere, every
//! operation is a correctly rounded IEEE one, and Rust neither reassociates nor contracts, so AVX2,
//! AVX-512 and NEON give the same bits. Only the x86 baseline, which has no fused multiply-add, differs
//! in the last place.

mod aligned;
mod double_word;
mod dtype;
mod float32;
mod float64;
mod isa;
mod lanes;
pub mod math;
mod memory;
mod real;

pub use aligned::{Aligned, Buffer};
pub use double_word::{DoubleWord, Extended, two_sum_error};
pub use dtype::{BF16, Dtype, F16};
pub use isa::{Baseline, Isa, Kernel, Level};
pub use lanes::{CHUNK_LANES, LaneSum, SUM_LANES, zip};
pub use memory::{NonTemporal, Prefetch, with_non_temporal};
pub use real::Real;
