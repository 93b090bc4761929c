//! Arrays of numbers of any type and any strides, read a block at a time.
//!
//! The type is looked at once for each block and is no type parameter: a loss of three inputs would
//! otherwise be compiled for every combination of their types. A block whose elements are
//! neighbours in memory and have the type of the computation is read where it lies; any other is
//! converted or copied into [`Scratch`](crate::data::scratch::Scratch).
//!
//! A new storage format is one more variant, and an [`Element`](crate::data::element::Element) that
//! says how it is read.

use crate::data::changes::{Change, Changes};
use crate::data::lines::LANES;
use crate::data::strided::{Strided, View};
use crate::data::targets::Targets;
use crate::data::tile::{WHOLE, tile_rows};
use nll_simd::{BF16, F16, Prefetch, Real};
use std::cmp::Reverse;
use std::ops::Range;

/// An array, or one number that stands for an array of any shape.
pub enum Array<'a> {
    /// The same number everywhere.
    Scalar(f64),
    /// float32
    F32(Strided<'a, f32>),
    /// float64
    F64(Strided<'a, f64>),
    /// float16 bits
    F16(Strided<'a, F16>),
    /// bfloat16 bits
    BF16(Strided<'a, BF16>),
    /// uint8, or booleans
    U8(Strided<'a, u8>),
    /// int32
    I32(Strided<'a, i32>),
    /// int64
    I64(Strided<'a, i64>),
    /// uint16, codes of numbers
    U16(Strided<'a, u16>),
    /// Numbers that are changed as they are read.
    Changed(Box<Array<'a>>, Changes<'a>),
}

/// Evaluates `$body` with `$x` bound to the typed view of `$array` as it is stored, or `$scalar`
/// with `$value` bound to the number that it is.
macro_rules! with_view {
    ($array:expr, $value:ident => $scalar:expr, $x:ident => $body:expr) => {
        match $array.stored() {
            Array::Scalar($value) => $scalar,
            Array::F32($x) => $body,
            Array::F64($x) => $body,
            Array::F16($x) => $body,
            Array::BF16($x) => $body,
            Array::U8($x) => $body,
            Array::I32($x) => $body,
            Array::I64($x) => $body,
            Array::U16($x) => $body,
            Array::Changed(..) => unreachable!("what is stored is not changed"),
        }
    };
}

pub(crate) use with_view;

impl<'a> Array<'a> {
    /// The array as it is stored.
    #[inline(always)]
    pub(crate) fn stored(&self) -> &Array<'a> {
        match self {
            Array::Changed(stored, _) => stored,
            stored => stored,
        }
    }

    /// The array with its numbers changed, after what changes them already.
    #[must_use]
    pub fn changed(self, change: Change<'a>) -> Array<'a> {
        let (stored, mut changes) = match self {
            Array::Changed(stored, changes) => (stored, changes),
            stored => (Box::new(stored), Changes(Vec::new())),
        };
        changes.0.push(change);
        Array::Changed(stored, changes)
    }
}

impl Array<'_> {
    fn view(&self) -> Option<&dyn View> {
        with_view!(self, _value => None, x => Some(x as &dyn View))
    }

    /// The lengths of the axes; none of a scalar.
    pub fn shape(&self) -> &[usize] {
        self.view().map_or(&[], View::shape)
    }

    /// Whether it is one number, which goes with arrays of any shape.
    #[inline]
    pub fn is_scalar(&self) -> bool {
        matches!(self, Array::Scalar(_))
    }

    /// Whether it asks for a computation in float64; None where that is for the other arrays to
    /// say, because it holds integers or is a scalar.
    pub fn is_double(&self) -> Option<bool> {
        match self {
            Array::F64(_) => Some(true),
            Array::F32(_) | Array::F16(_) | Array::BF16(_) => Some(false),
            Array::Changed(_, changes) if changes.decode() => Some(false),
            Array::Changed(stored, _) => stored.is_double(),
            _ => None,
        }
    }

    /// Whether it is an array of integers or booleans.
    #[inline]
    pub fn holds_integers(&self) -> bool {
        self.is_double().is_none() && !self.is_scalar()
    }

    /// How many elements lie in one tile, if rows are read by tiles of whole rows.
    pub fn tile_elements(&self) -> Option<usize> {
        let length = self.shape().last().copied().unwrap_or(1).max(1);
        (length <= WHOLE && self.is_tiled()).then(|| tile_rows(length) * length)
    }

    /// The machine epsilon of its type: the distance from 1 to the next number.
    #[inline]
    pub fn epsilon(&self) -> f64 {
        match self {
            Array::F32(_) => f64::from(f32::EPSILON),
            Array::F16(_) => 2f64.powi(-10),
            Array::BF16(_) => 2f64.powi(-7),
            _ => f64::EPSILON,
        }
    }

    /// Whether all elements lie in C order without gaps.
    pub fn is_flat(&self) -> bool {
        self.view().is_none_or(View::is_flat)
    }

    /// Whether rows are read by tiles: see `View::is_tiled`.
    pub(crate) fn is_tiled(&self) -> bool {
        self.view().is_some_and(View::is_tiled)
    }

    /// The axes from the one with the longest steps in memory to the one with the shortest.
    pub fn memory_order(&self) -> Vec<usize> {
        let mut axes: Vec<usize> = (0..self.shape().len()).collect();
        if let Some(view) = self.view() {
            axes.sort_by_key(|&axis| Reverse(view.strides()[axis].unsigned_abs()));
        }
        axes
    }

    /// The same elements with the axes of `shape` in `order`, by NumPy's rules of broadcasting;
    /// None if the shape does not allow it.
    pub fn broadcast(&self, shape: &[usize], order: &[usize]) -> Option<Array<'_>> {
        Some(match self {
            Array::Scalar(x) => Array::Scalar(*x),
            Array::F32(x) => Array::F32(x.broadcast(shape, order)?),
            Array::F64(x) => Array::F64(x.broadcast(shape, order)?),
            Array::F16(x) => Array::F16(x.broadcast(shape, order)?),
            Array::BF16(x) => Array::BF16(x.broadcast(shape, order)?),
            Array::U8(x) => Array::U8(x.broadcast(shape, order)?),
            Array::I32(x) => Array::I32(x.broadcast(shape, order)?),
            Array::I64(x) => Array::I64(x.broadcast(shape, order)?),
            Array::U16(_) | Array::Changed(..) => return None,
        })
    }

    /// Whether every row lies in memory as a slice of `F`.
    pub(crate) fn has_rows_of<F: Real>(&self) -> bool {
        match self {
            Array::F32(x) => F::of_f32(&[]).is_some() && x.has_contiguous_rows(),
            Array::F64(x) => F::of_f64(&[]).is_some() && x.has_contiguous_rows(),
            _ => false,
        }
    }

    /// A row of an array that `Array::has_rows_of` `F`, with up to `behind` elements that lie
    /// behind it; nothing of another array.
    #[inline(always)]
    pub fn row<F: Real>(&self, row: usize, behind: usize) -> &[F] {
        let slice = match self {
            Array::F32(x) => x.row_slice(row, behind).and_then(F::of_f32),
            Array::F64(x) => x.row_slice(row, behind).and_then(F::of_f64),
            _ => None,
        };
        slice.unwrap_or(&[])
    }

    /// The elements of the rows from `first` on, if the array is flat and stored as `F`.
    #[inline(always)]
    pub(crate) fn flat_from<F: Real>(&self, first: usize) -> Option<&[F]> {
        match self {
            Array::F32(x) => x.flat_from(first).and_then(F::of_f32),
            Array::F64(x) => x.flat_from(first).and_then(F::of_f64),
            _ => None,
        }
    }

    /// Whether the memory between two rows is so long that the CPU, which fetches ahead along a row, has not fetched the
    /// beginning of the next row when it is read.
    pub fn has_wide_gaps(&self) -> bool {
        with_view!(self, _value => false, x => x.has_wide_gaps())
    }

    /// A prefetch of a row, for the loop that computes with the row before; of nothing if there are no gaps.
    pub fn prefetch_row(&self, row: usize) -> Prefetch {
        with_view!(self, _value => Prefetch::NOTHING, x => x.prefetch_row(row))
    }

    /// One class of a row.
    #[inline(always)]
    pub fn entry(&self, row: usize, class: usize) -> f64 {
        self.entry_in(row, class, self.is_double() == Some(true))
    }

    /// One class of a row, as a call reads it that computes `in_double`.
    #[inline(always)]
    pub fn entry_in(&self, row: usize, class: usize, in_double: bool) -> f64 {
        let stored = with_view!(self, value => *value, x => x.entry(row, class));
        match self {
            Array::Changed(..) => self.changed_entry(row, class, (stored, in_double)),
            _ => stored,
        }
    }

    /// Sets each number of `to` to the class of a row that its target names, the rows from `first` on. Numbers
    /// of rows that do not count are left as they were.
    pub fn entries(&self, first: usize, targets: Targets<'_>, to: &mut [f64]) {
        if let Array::Changed(..) | Array::Scalar(_) = self {
            for (row, to) in (first..).zip(to).filter(|(row, _)| targets.counts(*row)) {
                *to = self.entry(row, targets.class(row));
            }
            return;
        }
        with_view!(self, _value => (), x => x.entries(first, targets, to));
    }

    /// What is read of a class of a row that is stored as `x`.
    #[inline(never)]
    fn changed_entry(&self, row: usize, class: usize, (x, in_double): (f64, bool)) -> f64 {
        let Array::Changed(_, changes) = self else { return x };
        let at = (row * self.classes() + class, self.classes());
        if in_double {
            let mut one = [x];
            changes.apply(at, &mut one);
            return one[0];
        }
        let mut one = [x as f32];
        changes.apply(at, &mut one);
        f64::from(one[0])
    }

    pub(crate) fn classes(&self) -> usize {
        self.shape().last().copied().unwrap_or(1)
    }

    /// The first of the classes `range` of `row` that satisfies `test`. Slow; for ties and
    /// infinities.
    #[inline(never)]
    pub fn find(
        &self,
        row: usize,
        range: Range<usize>,
        test: &dyn Fn(f64) -> bool,
    ) -> Option<usize> {
        if matches!(self, Array::Changed(..)) {
            return range.into_iter().find(|&class| test(self.entry(row, class)));
        }
        self.view()?.find(row, range, test)
    }

    /// How many elements lie from `start` to the next multiple of 64 bytes, if the array is read
    /// where it lies; else 0.
    #[inline]
    pub fn to_boundary(&self, start: usize) -> usize {
        match self {
            Array::F32(x) => x.to_boundary(start),
            Array::F64(x) => x.to_boundary(start),
            _ => 0,
        }
    }

    /// Fetches ahead of a loop that reads from element `start` on and computes in `F`; `is_short` as
    /// in [`Prefetch::new`].
    pub fn prefetch<F: Real>(&self, start: usize, is_short: bool) -> Prefetch {
        with_view!(self, _value => Prefetch::NOTHING, x => x.prefetch::<F>(start, is_short))
    }

    /// Whether [`Strided::copied_lines`] reads rows.
    pub(crate) fn has_copied_lines<F: Real>(&self) -> bool {
        !self.is_flat()
            && match self {
                Array::F32(_) => F::of_f32(&[]).is_some(),
                Array::F64(_) => F::of_f64(&[]).is_some(),
                Array::F16(_) | Array::BF16(_) => true,
                _ => false,
            }
    }

    /// Whether [`LANES`] rows from `first` on are lines in memory that [`Strided::lines`] reads.
    pub(crate) fn has_lines<F: Real>(&self, first: usize) -> bool {
        match self {
            Array::F32(x) => F::of_f32(&[]).is_some() && x.side_by_side(first, LANES).is_some(),
            Array::F64(x) => F::of_f64(&[]).is_some() && x.side_by_side(first, LANES).is_some(),
            Array::F16(x) => x.side_by_side(first, LANES).is_some(),
            Array::BF16(x) => x.side_by_side(first, LANES).is_some(),
            _ => false,
        }
    }
}
