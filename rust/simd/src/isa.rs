//! Which instructions this CPU has, as types.
//!
//! A token such as [`Avx2`] is a zero-sized proof: its field is private and only [`Level::available`]
//! makes one, after asking the CPU. So `vectorize` may call a `#[target_feature]` function, and one
//! `unsafe` block per instruction set serves every kernel there will ever be.
//!
//! Everything below `vectorize` must be `#[inline(always)]`: a function that is not inlined into it is
//! compiled for the baseline and silently loses the wide registers.

use crate::lanes::CHUNK_LANES;
use crate::real::Real;

/// An instruction set that this CPU has.
pub trait Isa: Copy + Send + Sync + 'static {
    /// Runs `f` compiled for this instruction set.
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R;

    /// `a * b + c`, rounded once where the CPU can, twice on the x86 baseline.
    fn mul_add<F: Real>(self, a: F, b: F, c: F) -> F;

    /// c − a·b without rounding the product, which keeps their difference where they are nearly equal. Where a·b
    /// overflows, it may be NaN on the x86 baseline.
    #[inline(always)]
    fn minus_product<F: Real>(self, c: F, a: F, b: F) -> F {
        self.mul_add(-a, b, c)
    }

    /// y − n·ln 2 likewise, for |n| < 2^20: the x86 baseline knows a cheaper way.
    #[inline(always)]
    fn minus_ln_2<F: Real>(self, n: F, y: F) -> F {
        self.minus_product(y, n, F::LN_2)
    }

    /// a·b − p exactly, where p is a·b rounded.
    #[inline(always)]
    fn two_prod_error<F: Real>(self, a: F, b: F, p: F) -> F {
        self.mul_add(a, b, -p)
    }

    /// The float32 values of 32 IEEE half-precision bit patterns.
    #[inline(always)]
    fn widen_f16(self, bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
        core::array::from_fn(|i| crate::dtype::f16_to_f32(bits[i]))
    }
}

/// A computation that is generic over the instruction set; [`Level::run`] picks the set.
pub trait Kernel {
    /// What the computation returns.
    type Output;
    /// The computation itself. Implementations are `#[inline(always)]`.
    fn run<S: Isa>(self, isa: S) -> Self::Output;
}

/// What every CPU of the architecture has. On x86-64 that is SSE2, without fused multiply-add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Baseline;

impl Isa for Baseline {
    #[inline(always)]
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    fn mul_add<F: Real>(self, a: F, b: F, c: F) -> F {
        a * b + c
    }
    #[inline(always)]
    fn minus_product<F: Real>(self, c: F, a: F, b: F) -> F {
        let p = a * b;
        (c - p) - self.two_prod_error(a, b, p)
    }
    #[inline(always)]
    fn two_prod_error<F: Real>(self, a: F, b: F, p: F) -> F {
        F::two_prod_error_unfused(a, b, p)
    }
    #[inline(always)]
    fn minus_ln_2<F: Real>(self, n: F, y: F) -> F {
        F::minus_ln_2_unfused(n, y)
    }
}

/// Safety invariant: exists only if the CPU has AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx2(());

#[cfg(target_arch = "x86_64")]
impl Isa for Avx2 {
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
    fn mul_add<F: Real>(self, a: F, b: F, c: F) -> F {
        a.fused_mul_add(b, c)
    }
    #[inline(always)]
    fn widen_f16(self, bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
        // SAFETY: an `Avx2` exists only if the CPU has F16C.
        unsafe { widen_f16_f16c(bits) }
    }
}

/// Safety invariant: exists only if the CPU has AVX-512 F/BW/DQ/VL, AVX2, FMA and F16C.
#[cfg(target_arch = "x86_64")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Avx512(());

#[cfg(target_arch = "x86_64")]
impl Isa for Avx512 {
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
    fn mul_add<F: Real>(self, a: F, b: F, c: F) -> F {
        a.fused_mul_add(b, c)
    }
    #[inline(always)]
    fn widen_f16(self, bits: &[u16; CHUNK_LANES]) -> [f32; CHUNK_LANES] {
        // SAFETY: an `Avx512` exists only if the CPU has F16C.
        unsafe { widen_f16_f16c(bits) }
    }
}

/// Half precision by F16C: one instruction for eight lanes, where the portable text takes about ten.
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
    fn vectorize<R>(self, f: impl FnOnce() -> R) -> R {
        f()
    }
    #[inline(always)]
    fn mul_add<F: Real>(self, a: F, b: F, c: F) -> F {
        a.fused_mul_add(b, c)
    }
}

/// One of the instruction sets this CPU has, chosen at run time and passed down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// See [`Baseline`].
    Baseline(Baseline),
    /// See [`Avx2`].
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// See [`Avx512`].
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// See [`Neon`].
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Level {
    /// Every level this CPU has, from the narrowest to the widest.
    pub fn available() -> Vec<Level> {
        #[cfg_attr(
            not(any(target_arch = "x86_64", target_arch = "aarch64")),
            expect(unused_mut, reason = "only the baseline")
        )]
        let mut levels = vec![Level::Baseline(Baseline)];
        #[cfg(target_arch = "x86_64")]
        {
            use std::arch::is_x86_feature_detected as has;
            let avx2 = has!("avx2") && has!("fma") && has!("f16c") && has!("bmi1") && has!("bmi2");
            if avx2 {
                levels.push(Level::Avx2(Avx2(())));
            }
            if avx2 && has!("avx512f") && has!("avx512bw") && has!("avx512dq") && has!("avx512vl") {
                levels.push(Level::Avx512(Avx512(())));
            }
        }
        #[cfg(target_arch = "aarch64")]
        levels.push(Level::Neon(Neon(())));
        levels
    }

    /// The name that `NLL_FAST_SIMD` takes.
    pub fn name(self) -> &'static str {
        match self {
            Level::Baseline(_) => "baseline",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(_) => "avx2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => "avx512",
            #[cfg(target_arch = "aarch64")]
            Level::Neon(_) => "neon",
        }
    }

    /// Whether results at this level are those of every CPU with fused multiply-add, bit for bit.
    pub fn has_fma(self) -> bool {
        !matches!(self, Level::Baseline(_))
    }

    /// Runs `kernel` compiled for this level.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Level::Baseline(isa) => isa.vectorize(
                #[inline(always)]
                || kernel.run(isa),
            ),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(isa) => isa.vectorize(
                #[inline(always)]
                || kernel.run(isa),
            ),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(isa) => isa.vectorize(
                #[inline(always)]
                || kernel.run(isa),
            ),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(isa) => isa.vectorize(
                #[inline(always)]
                || kernel.run(isa),
            ),
        }
    }
}
