//! A view of numbers of one type, with any number of axes and any strides.

use crate::data::element::Element;
use ndarray::{ArrayBase, ArrayView1, ArrayView2, ArrayViewD, Axis, Ix2, IxDyn, Slice, ViewRepr};
use nll_simd::Prefetch;
use std::ops::Range;

/// ndarray's view of `D` axes, spelled so that it may stand for one of a shorter lifetime inside a struct.
type ViewOf<'a, T, D> = ArrayBase<ViewRepr<&'a T>, D, T>;

/// The elements of a view in C order. A row of a view runs along its last axis.
pub struct Strided<'a, E: Element> {
    view: ViewOf<'a, E::Storage, IxDyn>,
    /// The view with as few axes before the last as its strides allow: a row is found faster.
    pub(super) rows: ViewOf<'a, E::Storage, IxDyn>,
    /// The rows, if all lie equally far apart: one of them, or a block, is found at once.
    pub(super) table: Option<ViewOf<'a, E::Storage, Ix2>>,
    /// All elements, if they lie in C order without gaps. Cached: every block would check it.
    pub(super) flat: Option<&'a [E::Storage]>,
    /// The length of the last axis.
    pub(super) length: usize,
    /// All elements as they lie in memory, if they lie there without gaps in some other order.
    memory: Option<&'a [E::Storage]>,
}

impl<'a, E: Element> From<ArrayViewD<'a, E::Storage>> for Strided<'a, E> {
    fn from(view: ArrayViewD<'a, E::Storage>) -> Self {
        let (flat, mut rows) = (view.to_slice(), view.clone());
        if flat.is_none() {
            for axis in (1..view.ndim() - 1).rev() {
                if rows.merge_axes(Axis(axis - 1), Axis(axis)) {
                    rows = rows.index_axis_move(Axis(axis - 1), 0);
                }
            }
        }
        let forward = flat.is_none() && rows.strides().iter().all(|&stride| stride >= 0);
        let memory = if forward { view.to_slice_memory_order() } else { None };
        let mut two = rows.clone();
        if two.ndim() == 1 {
            two.insert_axis_inplace(Axis(0));
        }
        let table = two.into_dimensionality().ok();
        let length = view.shape().last().copied().unwrap_or(1);
        Strided { flat, length, memory, view, rows, table }
    }
}

/// The least gap between two rows, in bytes, for which the second row is fetched while the first is computed. Across a
/// smaller gap the CPU reads on by itself, which takes less time than requests would.
const WIDE: usize = 384;

/// What can be asked of a view without knowing its type.
pub(crate) trait View {
    /// The lengths of the axes.
    fn shape(&self) -> &[usize];
    /// How far apart in memory neighbours along each axis are, in elements.
    fn strides(&self) -> &[isize];
    /// Whether all elements lie in C order without gaps.
    fn is_flat(&self) -> bool;
    /// Whether the elements of each row are neighbours in memory.
    fn has_contiguous_rows(&self) -> bool;
    /// Whether the classes of a row have gaps and some axis of rows has shorter steps: neighbouring rows share
    /// cache lines.
    fn is_tiled(&self) -> bool;
    /// The first of the classes `range` of `row` that satisfies `test`. Slow; for ties and
    /// infinities.
    fn find(&self, row: usize, range: Range<usize>, test: &dyn Fn(f64) -> bool) -> Option<usize>;
    /// How many elements lie from `start` to the next multiple of 64 bytes; 0 if none does.
    fn to_boundary(&self, start: usize) -> usize;
}

impl<E: Element> View for Strided<'_, E> {
    fn shape(&self) -> &[usize] {
        self.view.shape()
    }

    fn strides(&self) -> &[isize] {
        self.view.strides()
    }

    fn is_flat(&self) -> bool {
        self.flat.is_some()
    }

    fn has_contiguous_rows(&self) -> bool {
        self.flat.is_some() || self.length == 1 || self.rows.strides().last() == Some(&1)
    }

    fn is_tiled(&self) -> bool {
        let Some((class, rows)) = self.rows.strides().split_last() else { return false };
        let is_nearer = |row: &isize| row.unsigned_abs() < class.unsigned_abs();
        !self.has_contiguous_rows() && rows.iter().any(is_nearer)
    }

    fn find(&self, row: usize, range: Range<usize>, test: &dyn Fn(f64) -> bool) -> Option<usize> {
        let row = self.row(row);
        range.into_iter().find(|&class| test(E::value(row[class])))
    }

    fn to_boundary(&self, start: usize) -> usize {
        let rest = self.flat.and_then(|flat| flat.get(start..));
        rest.map_or(0, |rest| rest.as_ptr().align_offset(64))
    }
}

impl<'a, E: Element> Strided<'a, E> {
    /// The same elements with the axes of `shape` in `order`, by NumPy's rules of broadcasting.
    pub fn broadcast(&self, shape: &[usize], order: &[usize]) -> Option<Strided<'_, E>> {
        Some(self.view.broadcast(IxDyn(shape))?.permuted_axes(IxDyn(order)).into())
    }

    /// Row `row` as a slice, if its elements are neighbours in memory, with up to `behind` elements
    /// that lie behind it.
    #[inline(always)]
    pub(crate) fn row_slice(&self, row: usize, behind: usize) -> Option<&'a [E::Storage]> {
        let start = row * self.length;
        match self.flat {
            Some(flat) => Some(&flat[start..(start + self.length + behind).min(flat.len())]),
            None => self.row(row).to_slice(),
        }
    }

    /// The elements of the rows from `first` on, if all lie in C order without gaps.
    #[inline(always)]
    pub(crate) fn flat_from(&self, first: usize) -> Option<&'a [E::Storage]> {
        self.flat?.get(first * self.length..)
    }

    /// The length of a row.
    pub(crate) fn row_length(&self) -> usize {
        self.length
    }

    /// How many rows there are.
    pub(crate) fn row_count(&self) -> usize {
        self.view.len() / self.length.max(1)
    }

    /// Where `count` rows from `first` on lie side by side in memory, if they do: the memory from
    /// there on, and how far apart classes are.
    pub(crate) fn side_by_side(
        &self,
        first: usize,
        count: usize,
    ) -> Option<(&'a [E::Storage], usize)> {
        let (memory, shape, strides) = (self.memory?, self.rows.shape(), self.rows.strides());
        let (&[.., length, _], &[.., 1, stride]) = (shape, strides) else { return None };
        let along = first % length;
        (along + count <= length).then(|| (&memory[self.offset(first, 0)..], stride as usize))
    }

    /// Whether the gap between two rows has at least 384 bytes, and more than a 32nd of a row's length.
    pub fn has_wide_gaps(&self) -> bool {
        let [.., pitch, 1] = self.rows.strides() else { return false };
        let gap = pitch.unsigned_abs().saturating_sub(self.length);
        self.flat.is_none() && gap > self.length / 32 && gap * size_of::<E::Storage>() >= WIDE
    }

    /// A prefetch of a row, for the loop that computes with the row before; of nothing if there are no gaps, or if
    /// the classes of a row are no neighbours.
    pub fn prefetch_row(&self, row: usize) -> Prefetch {
        if self.flat.is_some() || !self.has_contiguous_rows() || row >= self.row_count() {
            return Prefetch::NOTHING;
        }
        Prefetch::elsewhere(core::slice::from_ref(&self.row(row)[0]))
    }

    /// One class of a row.
    #[inline(always)]
    pub fn entry(&self, row: usize, class: usize) -> f64 {
        E::value(match (self.flat, self.memory) {
            (Some(flat), _) => flat[row * self.length + class],
            (None, Some(memory)) => memory[self.offset(row, class)],
            (None, None) => self.entry_of_view(row, class),
        })
    }

    /// Where in memory a class of a row lies.
    #[inline(always)]
    fn offset(&self, row: usize, class: usize) -> usize {
        let (shape, strides) = (self.rows.shape(), self.rows.strides());
        let (mut rest, mut offset) = (row, class * strides[strides.len() - 1] as usize);
        for axis in (1..shape.len() - 1).rev() {
            offset += rest % shape[axis] * strides[axis] as usize;
            rest /= shape[axis];
        }
        if shape.len() > 1 { offset + rest * strides[0] as usize } else { offset }
    }

    /// As `entry`, but outside the loop of the caller, whose registers the usual case needs.
    #[cold]
    #[inline(never)]
    fn entry_of_view(&self, row: usize, class: usize) -> E::Storage {
        self.row(row)[class]
    }

    /// Row `row` of a view that has at least one axis.
    pub fn row(&self, row: usize) -> ArrayView1<'a, E::Storage> {
        let (rows, row) = match &self.table {
            Some(table) => (*table, row),
            None => self.rows_of_many_axes(row),
        };
        rows.index_axis_move(Axis(0), row)
    }

    /// The rows from `first` on, at most `count`, that lie equally far apart in memory.
    #[inline(always)]
    pub(super) fn rows_from(&self, first: usize, count: usize) -> ArrayView2<'a, E::Storage> {
        let (mut rows, first) = match &self.table {
            Some(table) => (*table, first),
            None => self.rows_of_many_axes(first),
        };
        let end = rows.nrows().min(first + count);
        rows.slice_axis_inplace(Axis(0), Slice::from(first..end));
        rows
    }

    /// The rows along the last of several axes of rows, those among which `row` is; and its index among them.
    #[inline(never)]
    fn rows_of_many_axes(&self, mut row: usize) -> (ArrayView2<'a, E::Storage>, usize) {
        let mut rows = self.rows.clone();
        while rows.ndim() > 2 {
            let step: usize = rows.shape()[1..rows.ndim() - 1].iter().product();
            rows = rows.index_axis_move(Axis(0), row / step);
            row %= step;
        }
        (rows.into_dimensionality().expect("two axes"), row)
    }
}
