//! Where results go, and how a call runs.

use crate::Level;
use crate::drive::Par;
use nll_simd::Real;

/// An array of results, one for each row or element.
pub enum Out<'a> {
    /// Totals only.
    Nothing,
    /// float32 results.
    F32(&'a mut [f32]),
    /// float64 results.
    F64(&'a mut [f64]),
}

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

    /// Writes `values` from `start` on, rounded to the type of the results.
    #[inline(always)]
    pub(crate) fn put<F: Real>(&mut self, start: usize, values: &[F]) {
        match self {
            Out::Nothing => {}
            Out::F32(out) => {
                for (to, &from) in out[start..].iter_mut().zip(values) {
                    *to = from.to_f64() as f32;
                }
            }
            Out::F64(out) => {
                for (to, &from) in out[start..].iter_mut().zip(values) {
                    *to = from.to_f64();
                }
            }
        }
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
