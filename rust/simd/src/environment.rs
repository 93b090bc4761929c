//! The floating-point environment of a thread: how results round, and whether subnormal numbers are
//! kept.
//!
//! Some libraries set flush-to-zero or another rounding mode for the thread that loads them. Kernels
//! give the same bits whatever the caller has set, so they run in the default environment: rounding
//! to nearest, ties to even, with subnormal numbers.

use core::hint::black_box;

/// The default environment on this thread until this value is dropped; then the one from before.
struct DefaultEnvironment {
    /// The caller's control register, if it differs from the default.
    before: Option<Control>,
}

impl DefaultEnvironment {
    /// Enters the default environment. A look at the register is all if nothing else is set.
    #[inline]
    fn enter() -> Self {
        let before = control();
        if is_default(before) {
            return DefaultEnvironment { before: None };
        }
        set_control(DEFAULT);
        DefaultEnvironment { before: Some(before) }
    }
}

impl Drop for DefaultEnvironment {
    #[inline]
    fn drop(&mut self) {
        if let Some(before) = self.before {
            set_control(before);
        }
    }
}

/// Runs `f` in the default environment.
#[inline(never)]
pub fn in_default_environment<R>(f: impl FnOnce() -> R) -> R {
    let _default = DefaultEnvironment::enter();
    let result = f();
    // LLVM knows of one environment only, and would compute a part of the result after it has been
    // left. The result must therefore be in memory now. (Nothing moves before `enter`: what `f`
    // computes with is read from memory, which the instructions there may have changed.)
    black_box(&result);
    result
}

#[cfg(target_arch = "x86_64")]
use x86_64::{Control, DEFAULT, control, is_default, set_control};

/// MXCSR. Its lowest six bits say which exceptions have occurred and change no result.
#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use core::arch::asm;

    pub(super) type Control = u32;
    /// All exceptions masked, nothing else set.
    pub(super) const DEFAULT: Control = 0x1f80;

    pub(super) fn is_default(control: Control) -> bool {
        control & !0x3f == DEFAULT
    }

    #[inline]
    pub(super) fn control() -> Control {
        let mut control = 0;
        // SAFETY: stores four bytes to `control`.
        unsafe { asm!("stmxcsr [{}]", in(reg) &mut control, options(nostack, preserves_flags)) };
        control
    }

    #[inline]
    pub(super) fn set_control(control: Control) {
        // SAFETY: `control` is the default, or what MXCSR held before on this thread. Rust's
        // arithmetic runs in the default; the other value is restored where it was found.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &control, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
use aarch64::{Control, DEFAULT, control, is_default, set_control};

/// FPCR.
#[cfg(target_arch = "aarch64")]
mod aarch64 {
    use core::arch::asm;

    pub(super) type Control = u64;
    pub(super) const DEFAULT: Control = 0;

    pub(super) fn is_default(control: Control) -> bool {
        control == DEFAULT
    }

    #[inline]
    pub(super) fn control() -> Control {
        let control;
        // SAFETY: reads a register.
        unsafe { asm!("mrs {}, fpcr", out(reg) control, options(nostack, preserves_flags)) };
        control
    }

    #[inline]
    pub(super) fn set_control(control: Control) {
        // SAFETY: `control` is the default, or what FPCR held before on this thread.
        unsafe { asm!("msr fpcr, {}", in(reg) control, options(nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
use elsewhere::{Control, DEFAULT, control, is_default, set_control};

/// No register is known, and the environment is taken as it is.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod elsewhere {
    pub(super) type Control = ();
    pub(super) const DEFAULT: Control = ();

    pub(super) fn is_default((): Control) -> bool {
        true
    }

    pub(super) fn control() -> Control {}

    pub(super) fn set_control((): Control) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use super::{DEFAULT, control, in_default_environment, is_default, set_control};
    use core::hint::black_box;

    /// Upward, downward, toward zero, and with subnormal numbers flushed to zero, as bits of MXCSR.
    #[cfg(target_arch = "x86_64")]
    const MODES: [super::Control; 4] = [2 << 13, 1 << 13, 3 << 13, 0x8040];
    /// The same as bits of FPCR.
    #[cfg(target_arch = "aarch64")]
    const MODES: [super::Control; 4] = [1 << 22, 2 << 22, 3 << 22, 1 << 24];

    /// Every mode changes one of these numbers: quotients of either sign, some of which round up and
    /// some down, and a subnormal number.
    #[inline(never)]
    fn results() -> [u32; 5] {
        let quotient = |a: f32, b: f32| black_box(black_box(a) / black_box(b)).to_bits();
        let subnormal = black_box(f32::MIN_POSITIVE) * black_box(0.75);
        [
            quotient(1.0, 3.0),
            quotient(-1.0, 3.0),
            quotient(1.0, 5.0),
            quotient(1.0, 7.0),
            black_box(subnormal).to_bits(),
        ]
    }

    /// Runs `f` on a thread of its own in a mode; the thread's environment dies with it.
    fn on_a_thread_in<R: Send>(mode: super::Control, f: impl FnOnce() -> R + Send) -> R {
        let run = || {
            set_control(DEFAULT | mode);
            f()
        };
        std::thread::scope(|scope| scope.spawn(run).join().expect("the thread does not panic"))
    }

    /// Whether a mode is set, whatever exceptions have occurred since.
    fn is_set(mode: super::Control) -> bool {
        control() & mode == mode && is_default(control() & !mode)
    }

    #[test]
    fn results_are_those_of_the_default_and_the_mode_is_set_again() {
        let default = results();
        for mode in MODES {
            let (outside, inside, is_restored) = on_a_thread_in(mode, || {
                let outside = results();
                let inside = in_default_environment(results);
                (outside, inside, is_set(mode) && results() == outside)
            });
            assert_ne!(outside, default, "mode {mode:#x} changes nothing: it cannot be told apart");
            assert_eq!(inside, default, "mode {mode:#x}");
            assert!(is_restored, "mode {mode:#x}");
        }
        assert!(is_default(control()));
    }

    #[test]
    fn the_mode_is_set_again_after_a_panic() {
        for mode in MODES {
            let is_restored = on_a_thread_in(mode, || {
                let panicked = std::panic::catch_unwind(|| {
                    in_default_environment(|| std::panic::panic_any("on purpose"));
                });
                panicked.is_err() && is_set(mode)
            });
            assert!(is_restored, "mode {mode:#x}");
        }
    }
}
