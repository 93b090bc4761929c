//! Floor 0 of nll_fast: instruction sets, lanes, element loads, exp and log. No dependencies.
//!
//! A [`Kernel`] is a computation that is generic over the instruction set. [`Level::run`] is
//! compiled once for each set and runs the version for one level of this CPU:
//!
//! ```
//! use nll_simd::{Isa, Kernel, LaneSum, Level, SUM_LANES, math::exp};
//!
//! struct SumOfExp<'a>(&'a [f32]);
//!
//! impl Kernel for SumOfExp<'_> {
//!     type Output = f64;
//!     #[inline(always)]
//!     fn run<S: Isa>(self, isa: S) -> f64 {
//!         let mut sum = LaneSum::ZERO;
//!         for part in self.0.chunks(SUM_LANES) {
//!             let mut terms = [0.0; SUM_LANES];
//!             for (term, &x) in terms.iter_mut().zip(part) {
//!                 *term = exp(isa, x);
//!             }
//!             sum = sum.add(terms);
//!         }
//!         sum.value::<f32>()
//!     }
//! }
//!
//! let x: Vec<f32> = (0..100).map(|i| -(i as f32)).collect();
//! let widest = Level::available().pop().expect("the baseline always exists");
//! assert!((widest.run(SumOfExp(&x)) - 1.581_976_71).abs() < 1e-6); // 1 / (1 − 1/e)
//! ```
//!
//! **The bit contract.** A kernel is written once, over plain arrays of [`CHUNK_LANES`] numbers,
//! and compiled once for each instruction set by [`Isa::vectorize`]. The virtual width is the same
//! on every CPU, every operation is a correctly rounded IEEE one, and Rust neither reassociates nor
//! contracts operations. Therefore AVX2, AVX-512 and NEON give the same bits. Only [`Baseline`],
//! which uses no fused multiply-add, differs in the last place.
//!
//! **The files.** Each imports only from rows above its own:
//!
//! ```text
//! width  half  aligned            the widths; half precision to f32; aligned scratch memory
//! environment                     rounding and subnormal numbers as kernels need them
//! turn  turn_x86  logistic  float rows turned into lines; a table of log(1 + e^−a); Float (sealed):
//!                                 constants, coefficients, bits
//! pair_sums  pair_sums_x86        sums of exponentials of two rows, in float64
//! float32  float64  isa  memory   f32 and f64; Isa and Level; prefetch and non-temporal stores
//! math                            exp, log, log1p
//! double_word  log_gamma          Extended and DoubleWord: twice the digits; log y!
//! real                            Real: a Float, its Extended and its log y!
//! lanes  dtype                    sums in eight lanes; loads of f32, f64, f16 and bfloat16
//! ```

mod aligned;
mod double_word;
mod dtype;
mod environment;
mod float;
mod float32;
mod float64;
mod half;
mod isa;
mod lanes;
mod log_gamma;
mod logistic;
pub mod math;
mod memory;
mod pair_sums;
#[cfg(target_arch = "x86_64")]
mod pair_sums_x86;
mod real;
mod turn;
#[cfg(target_arch = "x86_64")]
mod turn_x86;
mod width;

pub use aligned::{Aligned, Buffer};
pub use double_word::{DoubleWord, Extended};
pub use dtype::{BF16, Dtype, F16};
pub use environment::in_default_environment;
pub use float::{Float, two_sum_error};
pub use isa::{Baseline, Isa, Kernel, Level};
pub use lanes::{ChunkSum, LaneSum, zip};
pub use log_gamma::{LogFactorial, log_factorial};
pub use memory::{NonTemporal, Prefetch, with_non_temporal};
pub use pair_sums::{Eights, LARGEST_TERM, PairSums, TermLines};
pub use real::Real;
pub use turn::{Apart, Dense, RowsToTurn};
pub use width::{CHUNK, CHUNK_LANES, SUM_LANES};
