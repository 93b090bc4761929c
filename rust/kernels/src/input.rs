//! Arrays of numbers, whatever their type and strides, read a block at a time in C order.
//!
//! The type is looked at once a block, not compiled in: a loss of three inputs would otherwise be compiled
//! for every combination of their types.

use crate::rows::row_view;
use ndarray::{ArrayViewD, Axis};
use nll_simd::{BF16, Buffer, Dtype, F16, Isa, Prefetch, Real};
use std::ops::Range;

/// One input of an elementwise function.
pub enum Input<'a> {
    /// The same number everywhere.
    Scalar(f64),
    /// float32
    F32(Elements<'a, f32>),
    /// float64
    F64(Elements<'a, f64>),
    /// float16 bits
    F16(Elements<'a, u16>),
    /// bfloat16 bits
    BF16(Elements<'a, u16>),
    /// uint8, or booleans
    U8(Elements<'a, u8>),
    /// int32
    I32(Elements<'a, i32>),
    /// int64
    I64(Elements<'a, i64>),
}

/// The elements of an array.
pub struct Elements<'a, T> {
    view: ArrayViewD<'a, T>,
    /// All of them in C order, if they lie so. Asked for once: asking takes 10 ns.
    flat: Option<&'a [T]>,
}

impl<'a, T> From<ArrayViewD<'a, T>> for Elements<'a, T> {
    fn from(view: ArrayViewD<'a, T>) -> Self {
        Elements { flat: view.to_slice(), view }
    }
}

impl<T: 'static> Elements<'_, T> {
    fn to_boundary(&self, start: usize) -> usize {
        let there = self.flat.and_then(|flat| flat.get(start..));
        there.map_or(0, |there| there.as_ptr().align_offset(64))
    }

    fn ahead<F: Real>(&self, start: usize) -> Prefetch {
        self.flat.map_or(Prefetch::NOTHING, |flat| Prefetch::new::<F, T>(&flat[start..]))
    }
}

/// Room for a block of one input.
pub struct Room<F> {
    values: Buffer<F>,
    singles: Buffer<f32>,
}

impl<F> Default for Room<F> {
    /// No room yet: it grows to a block at the first.
    fn default() -> Self {
        Room { values: Buffer::default(), singles: Buffer::default() }
    }
}

impl Input<'_> {
    /// The elements `range`, in C order: where they lie, or converted into `room`, which belongs to this
    /// input alone. Called, not inlined: in every kernel, for every input, it was a third of the build.
    #[inline(never)]
    pub fn read<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        range: Range<usize>,
        room: &'s mut Room<F>,
    ) -> &'s [F] {
        isa.vectorize(
            #[inline(always)]
            || self.read_here(isa, range, room),
        )
    }

    /// How many elements from `start` on until one stands at a multiple of 64 bytes; 0 if none will.
    pub fn to_boundary(&self, start: usize) -> usize {
        match self {
            Input::F32(x) => x.to_boundary(start),
            Input::F64(x) => x.to_boundary(start),
            _ => 0,
        }
    }

    /// A loop that reads from element `start` on, and computes in `F`.
    pub fn ahead<F: Real>(&self, start: usize) -> Prefetch {
        match self {
            Input::Scalar(_) => Prefetch::NOTHING,
            Input::F32(x) => x.ahead::<F>(start),
            Input::F64(x) => x.ahead::<F>(start),
            Input::F16(x) | Input::BF16(x) => x.ahead::<F>(start),
            Input::U8(x) => x.ahead::<F>(start),
            Input::I32(x) => x.ahead::<F>(start),
            Input::I64(x) => x.ahead::<F>(start),
        }
    }

    #[inline(always)]
    fn read_here<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        range: Range<usize>,
        room: &'s mut Room<F>,
    ) -> &'s [F] {
        let Room { values, singles } = room;
        match self {
            Input::Scalar(x) => {
                // What an earlier block left in the room is this number too.
                values.first(range.len(), F::from_f64(*x))
            }
            Input::F32(x) => {
                let there = x.flat.and_then(|flat| F::of_f32(&flat[range.clone()]));
                there.unwrap_or_else(|| convert(x, range, values, f64::from))
            }
            Input::F64(x) => {
                let there = x.flat.and_then(|flat| F::of_f64(&flat[range.clone()]));
                there.unwrap_or_else(|| convert(x, range, values, |x| x))
            }
            Input::F16(x) => half::<S, F16, F>(isa, x, range, values, singles),
            Input::BF16(x) => half::<S, BF16, F>(isa, x, range, values, singles),
            Input::U8(x) => convert(x, range, values, f64::from),
            Input::I32(x) => convert(x, range, values, f64::from),
            Input::I64(x) => convert(x, range, values, |x| x as f64),
        }
    }
}

#[inline(always)]
fn half<'s, S: Isa, T: Dtype<Storage = u16, Real = f32>, F: Real>(
    isa: S,
    x: &'s Elements<'_, u16>,
    range: Range<usize>,
    values: &'s mut Buffer<F>,
    singles: &'s mut Buffer<f32>,
) -> &'s [F] {
    if let Some(flat) = x.flat
        && let Some(values) = F::of_f32(T::read(isa, &flat[range.clone()], singles))
    {
        return values;
    }
    convert(x, range, values, T::value)
}

#[inline(always)]
fn convert<'s, T: Copy, F: Real>(
    x: &Elements<'_, T>,
    range: Range<usize>,
    values: &'s mut Buffer<F>,
    value: impl Fn(T) -> f64,
) -> &'s [F] {
    let values = values.first(range.len(), F::ZERO);
    if let Some(flat) = x.flat {
        for (to, &from) in values.iter_mut().zip(&flat[range]) {
            *to = F::from_f64(value(from));
        }
        return values;
    }
    let length = x.view.shape().last().copied().unwrap_or(1).max(1);
    let mut done = 0;
    while done < values.len() {
        let (row, first) = ((range.start + done) / length, (range.start + done) % length);
        let end = values.len().min(done + length - first);
        let run = &mut values[done..end];
        // Split off: an iterator would walk over all that comes before.
        let (_, lane) = row_view(&x.view, row).split_at(Axis(0), first);
        for (to, &from) in run.iter_mut().zip(lane) {
            *to = F::from_f64(value(from));
        }
        done = end;
    }
    values
}
