//! What several tests need: a hash of bits, reproducible numbers, and the levels to compare.
#![allow(dead_code, reason = "no test uses all of it")]

use nll_kernels::Level;
use std::io::Write;

/// FNV-1a, over 64 bits at a time.
pub(crate) struct Hash(pub(crate) u64);

impl Hash {
    pub(crate) fn new() -> Self {
        Hash(0xcbf2_9ce4_8422_2325)
    }

    pub(crate) fn add(&mut self, bits: u64) {
        self.0 = (self.0 ^ bits).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

/// Numbers of a linear congruence: the same ones for the same seed, on every machine.
pub(crate) struct Numbers(pub(crate) u32);

impl Numbers {
    /// The next whole number below 2^24.
    pub(crate) fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        self.0 >> 8
    }

    /// The next number in [`low`, `high`).
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + f64::from(self.next()) / 16_777_216.0 * (high - low)
    }
}

/// The levels with fused multiply-add, which must agree to the bit. Says on the terminal which they
/// are: a test that compares levels checks little on a CPU with one of them, and nothing without.
pub(crate) fn fused_levels(test: &str) -> Vec<Level> {
    let mut levels = Level::available();
    levels.retain(|level| level.has_fma());
    let names: Vec<_> = levels.iter().map(|level| level.name()).collect();
    let found = match names.len() {
        0 => "this CPU has no fused multiply-add: nothing could be checked".into(),
        1 => format!("runs on {} alone: that levels agree could not be checked", names[0]),
        _ => format!("runs on {}", names.join(" and ")),
    };
    // Not `eprintln`, whose text the test harness keeps to itself.
    let _ = writeln!(std::io::stderr(), "{test}: {found}");
    levels
}
