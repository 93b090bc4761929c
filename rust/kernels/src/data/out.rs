//! Where results go.

use crate::data::drive::Split;
use nll_simd::{NonTemporal, Real};

/// An array of results, or none.
pub enum Out<'a> {
    /// No results: totals only.
    Nothing,
    /// float32 results.
    F32(&'a mut [f32]),
    /// float64 results.
    F64(&'a mut [f64]),
}

/// Outputs of at least this many bytes use non-temporal stores, because no cache would keep them
/// until they are read. `docs/performance.md` has the sizes that were tried.
const LARGE: usize = 1 << 25;

impl<'a> Out<'a> {
    /// How many results the array holds; None if there is no array.
    #[expect(clippy::len_without_is_empty, reason = "no results and none wanted are two things")]
    #[inline]
    pub fn len(&self) -> Option<usize> {
        match self {
            Out::Nothing => None,
            Out::F32(out) => Some(out.len()),
            Out::F64(out) => Some(out.len()),
        }
    }

    /// The same array, for a shorter time.
    #[inline]
    pub(crate) fn reborrow(&mut self) -> Out<'_> {
        match self {
            Out::Nothing => Out::Nothing,
            Out::F32(out) => Out::F32(out),
            Out::F64(out) => Out::F64(out),
        }
    }

    /// Whether results are wanted.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        !matches!(self, Out::Nothing)
    }

    /// Whether the results are too large for any cache.
    #[inline]
    pub fn is_large(&self) -> bool {
        match self {
            Out::Nothing => false,
            Out::F32(out) => size_of_val(*out) >= LARGE,
            Out::F64(out) => size_of_val(*out) >= LARGE,
        }
    }

    /// How many results lie before the next multiple of 64 bytes.
    #[inline]
    pub fn to_boundary(&self) -> usize {
        match self {
            Out::Nothing => 0,
            Out::F32(out) => out.as_ptr().align_offset(64),
            Out::F64(out) => out.as_ptr().align_offset(64),
        }
    }

    /// Writes the next `values`, rounded to the type of the results, by `stores` if they are given.
    #[inline(always)]
    pub fn write<'s, F: Real>(&mut self, values: &[F], stores: Option<&'s NonTemporal<'s, '_>>)
    where
        'a: 's,
    {
        match self {
            Out::Nothing => {}
            Out::F32(out) => fill(out, values, stores),
            Out::F64(out) => fill(out, values, stores),
        }
    }
}

impl Out<'_> {
    /// Sets the results from `start` on to `value(x)` of each x, without a copy in between.
    #[inline(always)]
    pub fn set<F: Copy>(&mut self, start: usize, x: &[F], value: impl Fn(F) -> f64) {
        #[inline(always)]
        fn fill<F: Copy, T: Real>(out: &mut [T], x: &[F], value: impl Fn(F) -> f64) {
            for (to, &x) in out.iter_mut().zip(x) {
                *to = T::from_f64(value(x));
            }
        }
        match self {
            Out::Nothing => {}
            Out::F32(out) => fill(&mut out[start..], x, value),
            Out::F64(out) => fill(&mut out[start..], x, value),
        }
    }
}

impl Split for Out<'_> {
    #[inline]
    fn split_off(&mut self, items: usize) -> Self {
        match self {
            Out::Nothing => Out::Nothing,
            Out::F32(out) => out.split_off_mut(..items).map_or(Out::Nothing, Out::F32),
            Out::F64(out) => out.split_off_mut(..items).map_or(Out::Nothing, Out::F64),
        }
    }
}

impl<A: Split, B: Split, C: Split> Split for (A, B, C) {
    fn split_off(&mut self, items: usize) -> Self {
        (self.0.split_off(items), self.1.split_off(items), self.2.split_off(items))
    }
}

/// Writes `values` to the first elements of `out` and moves `out` past them. Values that need not
/// be rounded are written by non-temporal stores if `stores` is given.
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
    // Not `copy_from_slice`: the C library may use non-temporal stores where they do not pay.
    for (to, &value) in next.iter_mut().zip(values) {
        *to = T::from_f64(value.to_f64());
    }
}
