//! The instruction sets of this CPU, as types.
//!
//! A token such as [`Avx2`] is a zero-sized proof that the CPU has an instruction set: its field is
//! private, and only [`Level::available`] creates one, after the CPU has reported the features.
//! This allows `vectorize` to call a `#[target_feature]` function, so one `unsafe` block per
//! instruction set serves every kernel.
//!
//! Every function called inside `vectorize` must be `#[inline(always)]`, or call `vectorize` itself as
//! [`Isa::apart`] does: any other that is not inlined is compiled for the baseline and silently loses the
//! wide registers.

mod level;

pub use level::Level;

use crate::float::Float;
use crate::half::f16_to_f32;
use crate::logistic;
use crate::pair_sums::{self, Arithmetic, Eights, PairSums, TermLines};
#[cfg(target_arch = "x86_64")]
use crate::pair_sums_x86;
use crate::turn::{Line, RowsToTurn, turn_four, turn_four_back};
#[cfg(target_arch = "x86_64")]
use crate::turn_x86::{
    turn_four_avx2, turn_four_avx512, turn_four_back_avx2, turn_four_back_f64_avx2,
    turn_four_f64_avx2,
};
use crate::width::{CHUNK, CHUNK_LANES};

/// An instruction set of this CPU. The provided methods are for sets with fused multiply-add.
pub trait Isa: Copy + Send + Sync + 'static {
    /// Runs `f` compiled for this instruction set.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// [`vectorize`](Self::vectorize) as a function that is called, never inlined: its loops have the
    /// registers for themselves, and compiling several small functions takes far less time than
    /// compiling a large one.
    #[inline(never)]
    fn apart<R>(self, f: impl FnOnce() -> R) -> R {
        self.vectorize(f)
    }

    /// The level with these instructions, for code that is compiled once for all callers.
    fn level(self) -> Level;

    /// `a * b + c`: rounded once with fused multiply-add, twice by [`Baseline`].
    #[inline(always)]
    fn mul_add<F: Float>(self, a: F, b: F, c: F) -> F {
        a.fused_mul_add(b, c)
    }

    /// c − a·b with the unrounded product, so the difference is accurate where c and a·b are nearly
    /// equal. If a·b overflows, [`Baseline`] may return NaN.
    #[inline(always)]
    fn minus_product<F: Float>(self, c: F, a: F, b: F) -> F {
        self.mul_add(-a, b, c)
    }

    /// y − n·ln 2 with the unrounded product, for |n| < 2^20.
    #[inline(always)]
    fn minus_ln_2<F: Float>(self, n: F, y: F) -> F {
        self.minus_product(y, n, F::LN_2)
    }

    /// The rounding error a·b − p of the product p = a·b, exact with fused multiply-add.
    #[inline(always)]
    fn two_prod_error<F: Float>(self, a: F, b: F, p: F) -> F {
        self.mul_add(a, b, -p)
    }

    /// The float32 values of 32 IEEE half-precision bit patterns.
    #[inline(always)]
    fn widen_f16(self, bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
        core::array::from_fn(|i| f16_to_f32(bits[i]))
    }

    /// log(1 + e^−|x|) of each x in the table of the file `logistic`, anything for the others, and
    /// whether there are others.
    #[inline(always)]
    fn logistic_table(self, x: &[f32; CHUNK], g: &mut [f32; CHUNK]) -> bool {
        logistic::table(
            x,
            g,
            #[inline(always)]
            |a, b, c| self.mul_add(a, b, c),
        )
    }

    /// Adds e^a, e^b and e^a·(a − b) of the numbers of each lane, with a = x − x_m and b = y − y_m. The relative error of e^a is
    /// at most 2^−48 down to a = −50 and 2^−45 below; e^0 is 1. `REST`: also of the numbers below the largest.
    #[inline(always)]
    fn add_pair_sums<const REST: bool>(self, pairs: [Eights<'_>; 2], sums: &mut PairSums) {
        pair_sums::add::<REST>(self, pairs, sums, &pair_sums::POWERS, |_, _| ());
    }

    /// [`add_pair_sums`](Self::add_pair_sums) of e^a and e^b times [`LARGEST_TERM`](crate::LARGEST_TERM), which are also
    /// rounded and kept.
    #[inline(always)]
    fn add_pair_terms(self, pairs: [Eights<'_>; 2], to: TermLines<'_>, sums: &mut PairSums) {
        pair_sums::add_terms(self, pairs, to, sums);
    }

    /// The classes `first` to `first` + 3 of 32 rows, as lines.
    #[inline(always)]
    fn turn_four(self, rows: &impl RowsToTurn<f32>, first: usize, lines: &mut [Line<f32>; 4]) {
        turn_four(rows, first, lines);
    }

    /// [`Isa::turn_four`] of f64.
    #[inline(always)]
    fn turn_four_f64(self, rows: &impl RowsToTurn<f64>, first: usize, lines: &mut [Line<f64>; 4]) {
        turn_four(rows, first, lines);
    }

    /// The opposite of [`Isa::turn_four`], of rows one behind the other: `rows[r · classes + c] = lines[c][r]`.
    #[inline(always)]
    fn turn_four_back(self, lines: [&[f32; CHUNK_LANES]; 4], rows: &mut [f32], classes: usize) {
        turn_four_back(lines, rows, classes);
    }

    /// [`Isa::turn_four_back`] of f64.
    #[inline(always)]
    fn turn_four_back_f64(self, lines: [&[f64; CHUNK_LANES]; 4], rows: &mut [f64], classes: usize) {
        turn_four_back(lines, rows, classes);
    }
}

impl<S: Isa> Arithmetic for S {
    #[inline(always)]
    fn product_plus(self, a: f64, b: f64, c: f64) -> f64 {
        self.mul_add(a, b, c)
    }
    #[inline(always)]
    fn less_product(self, c: f64, a: f64, b: f64) -> f64 {
        self.minus_product(c, a, b)
    }
}

/// A computation that is generic over the instruction set; [`Level::run`] chooses the set.
pub trait Kernel {
    /// What the computation returns.
    type Output;
    /// The computation itself. Implementations are `#[inline(always)]`.
    fn run<S: Isa>(self, isa: S) -> Self::Output;
}

/// The instructions of every CPU of the architecture (x86-64: SSE2), without fused multiply-add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline;

impl Isa for Baseline {
    #[inline(always)]
    fn level(self) -> Level {
        Level::Baseline(self)
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    fn mul_add<F: Float>(self, a: F, b: F, c: F) -> F {
        a * b + c
    }
    #[inline(always)]
    fn minus_product<F: Float>(self, c: F, a: F, b: F) -> F {
        let p = a * b;
        (c - p) - self.two_prod_error(a, b, p)
    }
    #[inline(always)]
    fn two_prod_error<F: Float>(self, a: F, b: F, p: F) -> F {
        F::two_prod_error_unfused(a, b, p)
    }
    #[inline(always)]
    fn minus_ln_2<F: Float>(self, n: F, y: F) -> F {
        F::minus_ln_2_unfused(n, y)
    }
}

/// Safety invariant: exists only if the CPU has AVX2, FMA, F16C, BMI1 and BMI2.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
    #[inline(always)]
    fn level(self) -> Level {
        Level::Avx2(self)
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx2,fma,f16c,bmi1,bmi2")]
        fn inside<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: an `Avx2` exists only if the CPU has these features.
        unsafe { inside(f) }
    }
    #[inline(always)]
    fn widen_f16(self, bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
        // SAFETY: an `Avx2` exists only if the CPU has F16C.
        unsafe { widen_f16_f16c(bits) }
    }
    #[inline(always)]
    fn logistic_table(self, x: &[f32; CHUNK], g: &mut [f32; CHUNK]) -> bool {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2 and FMA.
        unsafe { logistic::table_avx2(x, g) }
    }
    #[inline(always)]
    fn add_pair_sums<const REST: bool>(self, pairs: [Eights<'_>; 2], sums: &mut PairSums) {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2 and FMA.
        unsafe { pair_sums_x86::add_avx2::<REST>(pairs, sums) }
    }
    #[inline(always)]
    fn add_pair_terms(self, pairs: [Eights<'_>; 2], to: TermLines<'_>, sums: &mut PairSums) {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2 and FMA.
        unsafe { pair_sums_x86::add_terms_avx2(pairs, to, sums) }
    }
    #[inline(always)]
    fn turn_four(self, rows: &impl RowsToTurn<f32>, first: usize, lines: &mut [Line<f32>; 4]) {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2.
        unsafe { turn_four_avx2(rows, first, lines) }
    }
    #[inline(always)]
    fn turn_four_f64(self, rows: &impl RowsToTurn<f64>, first: usize, lines: &mut [Line<f64>; 4]) {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2.
        unsafe { turn_four_f64_avx2(rows, first, lines) }
    }
    #[inline(always)]
    fn turn_four_back(self, lines: [&[f32; CHUNK_LANES]; 4], rows: &mut [f32], classes: usize) {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2.
        unsafe { turn_four_back_avx2(lines, rows, classes) }
    }
    #[inline(always)]
    fn turn_four_back_f64(self, lines: [&[f64; CHUNK_LANES]; 4], rows: &mut [f64], classes: usize) {
        // SAFETY: an `Avx2` exists only if the CPU has AVX2.
        unsafe { turn_four_back_f64_avx2(lines, rows, classes) }
    }
}

/// Safety invariant: exists only if the CPU has AVX-512 F/BW/DQ/VL, and all that [`Avx2`] requires.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Avx512 {
    /// For what AVX-512 does no better.
    #[inline(always)]
    fn avx2(self) -> Avx2 {
        Avx2(())
    }
}

#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
    #[inline(always)]
    fn level(self) -> Level {
        Level::Avx512(self)
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c,bmi1,bmi2")]
        fn inside<R>(f: impl FnOnce() -> R) -> R {
            f()
        }
        // SAFETY: an `Avx512` exists only if the CPU has these features.
        unsafe { inside(f) }
    }
    #[inline(always)]
    fn widen_f16(self, bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
        self.avx2().widen_f16(bits)
    }
    #[inline(always)]
    fn logistic_table(self, x: &[f32; CHUNK], g: &mut [f32; CHUNK]) -> bool {
        // SAFETY: an `Avx512` exists only if the CPU has AVX-512 F and DQ.
        unsafe { logistic::table_avx512(x, g) }
    }
    #[inline(always)]
    fn add_pair_sums<const REST: bool>(self, pairs: [Eights<'_>; 2], sums: &mut PairSums) {
        // SAFETY: an `Avx512` exists only if the CPU has AVX-512 F.
        unsafe { pair_sums_x86::add_avx512::<REST>(pairs, sums) }
    }
    #[inline(always)]
    fn add_pair_terms(self, pairs: [Eights<'_>; 2], to: TermLines<'_>, sums: &mut PairSums) {
        // SAFETY: an `Avx512` exists only if the CPU has AVX-512 F.
        unsafe { pair_sums_x86::add_terms_avx512(pairs, to, sums) }
    }
    #[inline(always)]
    fn turn_four(self, rows: &impl RowsToTurn<f32>, first: usize, lines: &mut [Line<f32>; 4]) {
        // SAFETY: an `Avx512` exists only if the CPU has AVX-512 F and DQ.
        unsafe { turn_four_avx512(rows, first, lines) }
    }
    #[inline(always)]
    fn turn_four_f64(self, rows: &impl RowsToTurn<f64>, first: usize, lines: &mut [Line<f64>; 4]) {
        self.avx2().turn_four_f64(rows, first, lines);
    }
    #[inline(always)]
    fn turn_four_back(self, lines: [&[f32; CHUNK_LANES]; 4], rows: &mut [f32], classes: usize) {
        self.avx2().turn_four_back(lines, rows, classes);
    }
    #[inline(always)]
    fn turn_four_back_f64(self, lines: [&[f64; CHUNK_LANES]; 4], rows: &mut [f64], classes: usize) {
        self.avx2().turn_four_back_f64(lines, rows, classes);
    }
}

/// Half precision by F16C: one instruction for eight lanes, instead of about ten integer ones.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx,f16c")]
#[inline]
fn widen_f16_f16c(bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
    use core::arch::x86_64::{_mm_loadu_si128, _mm256_cvtph_ps, _mm256_storeu_ps};
    let mut out = [0.0f32; CHUNK_LANES];
    for (from, to) in bits.as_chunks::<8>().0.iter().zip(out.as_chunks_mut::<8>().0) {
        // SAFETY: `from` is 16 readable bytes and `to` 32 writable ones; neither needs alignment.
        unsafe {
            _mm256_storeu_ps(
                to.as_mut_ptr(),
                _mm256_cvtph_ps(_mm_loadu_si128(from.as_ptr().cast())),
            )
        }
    }
    out
}

/// NEON, which every aarch64 CPU has, fused multiply-add included.
#[cfg(target_arch = "aarch64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Neon(());

#[cfg(target_arch = "aarch64")]
impl Isa for Neon {
    #[inline(always)]
    fn level(self) -> Level {
        Level::Neon(self)
    }
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
}
