//! What is done to logits as they are read: codes are decoded, a temperature divides, a cap bounds.
//!
//! Whatever reads an [`Array`](crate::data::array::Array) reads the changed numbers, a block of them
//! at a time in scratch memory, so no function needs a second way and nothing as large as the logits
//! is written.

use crate::math::row::soft_capped;
use nll_simd::{Buffer, Real};

/// How each number of an array is changed.
#[derive(Clone, Copy)]
pub enum Change<'a> {
    /// scale·x + offset, with two numbers for each row, both steps rounded to float32: logits that
    /// are stored as codes.
    Decode {
        /// The scale of each row.
        scale: &'a [f32],
        /// The offset of each row.
        offset: &'a [f32],
    },
    /// x / temperature, rounded to the type of the computation.
    Divide(f64),
    /// cap·tanh(x / cap)
    Cap(f64),
}

/// Changes, one after the other.
pub struct Changes<'a>(pub Vec<Change<'a>>);

impl Changes<'_> {
    /// Whether codes are decoded, which gives float32.
    pub(crate) fn decode(&self) -> bool {
        self.0.iter().any(|change| matches!(change, Change::Decode { .. }))
    }

    /// Copies the elements `x` from number `start` on to `memory`, and changes them there.
    #[inline(always)]
    pub fn copy<F: Real>(&self, at: (usize, usize), x: &[F], memory: &mut Buffer<F>) {
        let copy = memory.first(x.len(), F::ZERO);
        copy.copy_from_slice(x);
        self.apply(at, copy);
    }

    /// Changes the elements from number `start` on, of rows of `classes` classes.
    #[inline(always)]
    pub fn apply<F: Real>(&self, (start, classes): (usize, usize), values: &mut [F]) {
        for change in &self.0 {
            match *change {
                Change::Decode { scale, offset } => {
                    let (mut rest, mut at) = (&mut *values, start);
                    while !rest.is_empty() {
                        let (row, class) = (at / classes, at % classes);
                        let (now, later) = rest.split_at_mut(rest.len().min(classes - class));
                        let (scale, offset) = (scale[row], offset[row]);
                        now.iter_mut().for_each(|x| *x = decoded(*x, scale, offset));
                        at += now.len();
                        rest = later;
                    }
                }
                Change::Divide(by) => {
                    let by = F::from_f64(by);
                    values.iter_mut().for_each(|x| *x = *x / by);
                }
                // A loop, as LLVM does not inline a `for_each` of so long a formula, and without that
                // does not know the instructions of the caller.
                Change::Cap(cap) => {
                    for x in &mut *values {
                        *x = soft_capped(*x, cap);
                    }
                }
            }
        }
    }
}

/// scale·code + offset, both steps rounded to float32.
#[inline(always)]
fn decoded<F: Real>(code: F, scale: f32, offset: f32) -> F {
    F::from_f64(f64::from(scale * code.to_f64() as f32 + offset))
}
