//! Where results go, and how a call runs.

use crate::Level;
use crate::drive::Par;
use nll_simd::{NonTemporal, Real};

/// An array of results, one for each row or element.
pub enum Out<'a> {
    /// Totals only.
    Nothing,
    /// float32 results.
    F32(&'a mut [f32]),
    /// float64 results.
    F64(&'a mut [f64]),
}

/// Bytes of results from which on they are written past the caches. (Two cores of Zen 4 with 32 MiB of L3, plain → so:
/// of 16 MiB, log σ 0.91 → 0.94 ms, BCE 1.10 → 1.02; of 32 MiB 1.85 → 1.90 and 2.46 → 2.05; of 128 MiB 9.0 → 8.2 and
/// 13.1 → 11.8. A sum of them afterwards is no slower at 32 MiB and above.)
const LARGE: usize = 1 << 25;

impl<'a> Out<'a> {
    /// A piece for each task, `per` results long.
    pub(crate) fn pieces(self, per: usize) -> impl Iterator<Item = Out<'a>> + Send + use<'a> {
        let mut rest = self;
        std::iter::from_fn(move || match &mut rest {
            Out::Nothing => Some(Out::Nothing),
            Out::F32(out) => Some(Out::F32(out.split_off_mut(..per.min(out.len()))?)),
            Out::F64(out) => Some(Out::F64(out.split_off_mut(..per.min(out.len()))?)),
        })
    }

    /// Whether the results are so many that no cache would keep them until they are read.
    pub(crate) fn is_large(&self) -> bool {
        match self {
            Out::Nothing => false,
            Out::F32(out) => size_of_val(*out) >= LARGE,
            Out::F64(out) => size_of_val(*out) >= LARGE,
        }
    }

    /// Writes the next `values`, rounded to the type of the results; past the caches if there are `stores`.
    #[inline(always)]
    pub(crate) fn write<'s, F: Real>(
        &mut self,
        values: &[F],
        stores: Option<&'s NonTemporal<'s, '_>>,
    ) where
        'a: 's,
    {
        match self {
            Out::Nothing => {}
            Out::F32(out) => fill(out, values, stores),
            Out::F64(out) => fill(out, values, stores),
        }
    }
}

/// Takes the next elements off `out` and writes `values` there; past the caches if they need not be rounded.
#[inline(always)]
fn fill<'a: 's, 's, F: Real, T: Real>(
    out: &mut &'a mut [T],
    values: &[F],
    stores: Option<&'s NonTemporal<'s, '_>>,
) {
    let (next, rest) = core::mem::take(out).split_at_mut(values.len());
    *out = rest;
    if let (Some(stores), Some(same)) = (stores, F::same(values)) {
        return stores.copy(next, same);
    }
    // Not `copy_from_slice`: glibc's may write past the caches, too (16 MiB: 1.1 → 1.4 ms).
    for (to, &value) in next.iter_mut().zip(values) {
        *to = T::from_f64(value.to_f64());
    }
}

/// Where and how to run.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// The instruction set.
    pub level: Level,
    /// The threads.
    pub par: Par<'a>,
}
