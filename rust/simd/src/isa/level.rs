//! The instruction set that is chosen at run time.

#[cfg(target_arch = "aarch64")]
use super::Neon;
#[cfg(target_arch = "x86_64")]
use super::{Avx2, Avx512};
use super::{Baseline, Isa, Kernel};
#[cfg(target_arch = "x86_64")]
use crate::memory::is_zen_4;

/// One of the instruction sets of this CPU, chosen at run time and passed to every kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Level {
    /// See [`Baseline`].
    Baseline(Baseline),
    /// AVX2, FMA, F16C, BMI1 and BMI2.
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    /// AVX-512 F, BW, DQ and VL, in addition to those of `Avx2`.
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    /// NEON.
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

impl Level {
    /// Every level of this CPU, from the narrowest to the widest.
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

    /// The name by which the environment variable `NLL_FAST_SIMD` selects this level.
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

    /// Whether this level has fused multiply-add. All such levels give the same bits.
    pub fn has_fma(self) -> bool {
        !matches!(self, Level::Baseline(_))
    }

    /// Whether a comparison leaves one bit for each number in a mask register, as with AVX-512. To choose between numbers by
    /// it then costs one instruction.
    #[inline]
    pub fn has_masks(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(_) => true,
            _ => false,
        }
    }

    /// The level for a loop that does little more than read. From memory, a Zen 4 reads by loads of whole
    /// cache lines at two thirds of the speed at which it reads by two loads a line.
    pub fn for_short_loops(self) -> Level {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(isa) if is_zen_4() => Level::Avx2(isa.avx2()),
            level => level,
        }
    }

    /// Runs `kernel` with the token of this level, without compiling it for the level: for a kernel that
    /// only calls functions which are.
    #[inline(always)]
    pub fn pass_on<K: Kernel>(self, kernel: K) -> K::Output {
        match self {
            Level::Baseline(isa) => kernel.run(isa),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(isa) => kernel.run(isa),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(isa) => kernel.run(isa),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(isa) => kernel.run(isa),
        }
    }

    /// Runs `kernel` compiled for this level.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[inline(always)]
        fn run<S: Isa, K: Kernel>(isa: S, kernel: K) -> K::Output {
            isa.vectorize(
                #[inline(always)]
                || kernel.run(isa),
            )
        }
        match self {
            Level::Baseline(isa) => run(isa, kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2(isa) => run(isa, kernel),
            #[cfg(target_arch = "x86_64")]
            Level::Avx512(isa) => run(isa, kernel),
            #[cfg(target_arch = "aarch64")]
            Level::Neon(isa) => run(isa, kernel),
        }
    }
}
