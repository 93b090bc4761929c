//! Logits that are changed as they are read: decoded from codes, divided by a temperature, capped.
//!
//! Whatever reads an [`Array`] reads the changed numbers, a block of them at a time in scratch
//! memory, so no function needs a second way and nothing as large as the logits is written.

use crate::data::array::Array;
use crate::data::scratch::Scratch;
use crate::math::row::soft_capped;
use nll_simd::{Buffer, Isa, Real};
use std::ops::Range;

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

/// An array whose numbers are changed as they are read.
pub struct Mapped<'a> {
    pub(crate) stored: Box<Array<'a>>,
    changes: Vec<Change<'a>>,
}

impl<'a> Array<'a> {
    /// The array with its numbers changed, after what changes them already.
    #[must_use]
    pub fn changed(self, change: Change<'a>) -> Array<'a> {
        let mut mapped = match self {
            Array::Mapped(mapped) => mapped,
            stored => Mapped { stored: Box::new(stored), changes: Vec::new() },
        };
        mapped.changes.push(change);
        Array::Mapped(mapped)
    }
}

impl Mapped<'_> {
    /// Whether codes are decoded, which gives float32.
    pub(crate) fn is_decoded(&self) -> bool {
        self.changes.iter().any(|change| matches!(change, Change::Decode { .. }))
    }

    /// [`Array::read`], with the changes.
    #[inline(always)]
    pub(crate) fn read<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        range: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        // Out of the scratch, from which the elements are borrowed meanwhile.
        let mut memory = core::mem::take(&mut scratch.mapped);
        let (start, length) = (range.start, range.len());
        self.copy(start, self.stored.read(isa, range, scratch), &mut memory);
        scratch.mapped = memory;
        scratch.mapped.first(length, F::ZERO)
    }

    /// [`Array::read_tile`], with the changes.
    #[inline(always)]
    pub(crate) fn read_tile<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        row: usize,
        range: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        let mut memory = core::mem::take(&mut scratch.mapped);
        let (start, length) = (row * self.classes() + range.start, range.len());
        self.copy(start, self.stored.read_tile(isa, row, range, scratch), &mut memory);
        scratch.mapped = memory;
        scratch.mapped.first(length, F::ZERO)
    }

    /// Copies the elements from number `start` on to `memory`, and changes them there.
    #[inline(always)]
    fn copy<F: Real>(&self, start: usize, x: &[F], memory: &mut Buffer<F>) {
        let copy = memory.first(x.len(), F::ZERO);
        copy.copy_from_slice(x);
        self.change(start, copy);
    }

    /// Changes the elements from number `start` on.
    #[inline(always)]
    pub(crate) fn change<F: Real>(&self, start: usize, values: &mut [F]) {
        for change in &self.changes {
            match *change {
                Change::Decode { scale, offset } => {
                    let classes = self.classes();
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
                Change::Cap(cap) => values.iter_mut().for_each(|x| *x = soft_capped(*x, cap)),
            }
        }
    }

    fn classes(&self) -> usize {
        self.stored.shape().last().copied().unwrap_or(1)
    }
}

/// scale·code + offset, both steps rounded to float32.
#[inline(always)]
fn decoded<F: Real>(code: F, scale: f32, offset: f32) -> F {
    F::from_f64(f64::from(scale * code.to_f64() as f32 + offset))
}
