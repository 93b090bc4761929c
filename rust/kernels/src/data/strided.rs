//! A view of numbers of one type, with any number of axes and any strides.

use crate::data::element::Element;
use crate::data::lines::{LANES, Lines, Next};
use crate::data::scratch::Scratch;
use ndarray::{ArrayBase, ArrayView1, ArrayViewD, Axis, IxDyn, ViewRepr};
use nll_simd::{Isa, Prefetch, Real};
use std::ops::Range;

/// [`ArrayViewD`], spelled so that a view may stand for one of a shorter lifetime inside a struct.
type DynView<'a, T> = ArrayBase<ViewRepr<&'a T>, IxDyn, T>;

/// The elements of a view in C order. A row of a view runs along its last axis.
pub struct Strided<'a, E: Element> {
    view: DynView<'a, E::Storage>,
    /// The view with as few axes before the last as its strides allow: a row is found faster.
    pub(super) rows: DynView<'a, E::Storage>,
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
        Strided { flat, length: view.shape().last().copied().unwrap_or(1), memory, view, rows }
    }
}

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

    /// The length of a row.
    pub(crate) fn row_length(&self) -> usize {
        self.length
    }

    /// How many rows there are.
    pub(crate) fn row_count(&self) -> usize {
        self.view.len() / self.length.max(1)
    }

    /// How many rows from `first` on lie side by side in memory, if they do.
    pub fn run(&self, first: usize) -> Option<usize> {
        let length = self.rows.shape().len().checked_sub(2).map(|axis| self.rows.shape()[axis])?;
        self.side_by_side(first, 1).map(|_| length - first % length)
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

    /// [`LANES`] rows from `first` on as lines, if they lie side by side in memory and are floating
    /// point: where they lie, or converted line by line.
    #[inline(always)]
    pub fn lines<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        first: usize,
        scratch: &'s mut Scratch<F>,
    ) -> Option<Lines<'s, F>> {
        let (memory, stride) = self.side_by_side(first, LANES)?;
        let classes = self.length;
        // The lines after the next: the wait for the next ones has begun.
        let behind = &memory[(2 * LANES).min(memory.len())..];
        let next = Next { memory: Prefetch::burst(behind), stride };
        if let Some(memory) = E::in_place(memory) {
            return Some(Lines::new(memory, stride, classes, next));
        }
        let Scratch { values, singles, halves, .. } = scratch;
        let copies = E::copies(halves)?.first(classes * LANES, E::Storage::default());
        for (class, line) in copies.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            line.copy_from_slice(&memory[class * stride..][..LANES]);
        }
        Some(Lines::new(E::convert(isa, copies, values, singles), LANES, classes, next))
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
    pub fn row(&self, mut row: usize) -> ArrayView1<'a, E::Storage> {
        let mut view = self.rows.clone();
        while view.ndim() > 1 {
            let step: usize = view.shape()[1..view.ndim() - 1].iter().product();
            view = view.index_axis_move(Axis(0), row / step);
            row %= step;
        }
        match view.into_dimensionality() {
            Ok(row) => row,
            Err(_) => unreachable!("one axis is left"),
        }
    }

    /// The elements `range` where they lie, if they are neighbours in memory.
    #[inline(always)]
    fn slice(&self, range: Range<usize>) -> Option<&'a [E::Storage]> {
        match self.flat {
            Some(flat) => Some(&flat[range]),
            None => self.slice_of_row(range),
        }
    }

    /// The elements `range`, if they are neighbours in one row.
    fn slice_of_row(&self, range: Range<usize>) -> Option<&'a [E::Storage]> {
        let first = range.start % self.length.max(1);
        let end = first + range.len();
        if !self.has_contiguous_rows() || end > self.length {
            return None;
        }
        Some(&self.row(range.start / self.length).to_slice()?[first..end])
    }

    /// Fetches ahead of a loop that reads from element `start` on and computes in `F`; `is_short` as
    /// in [`Prefetch::new`].
    #[inline(always)]
    pub fn prefetch<F: Real>(&self, start: usize, is_short: bool) -> Prefetch {
        self.flat.map_or(Prefetch::NOTHING, |flat| {
            Prefetch::new::<F, E::Storage>(&flat[start..], is_short)
        })
    }

    /// The rows from `first` on, to be read after others and turned.
    #[inline(always)]
    pub fn next_rows(&self, first: usize) -> Next {
        let is_row = (first + 1) * self.length <= self.view.len();
        let row = if is_row { self.row_slice(first, 0) } else { None };
        row.map_or(Next::NOTHING, |row| Next { memory: Prefetch::burst(row), stride: LANES })
    }

    /// The elements `range`, where they lie or in `scratch`.
    #[inline(always)]
    pub fn read<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        range: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        if let Some(block) = self.slice(range.clone()) {
            let same = E::in_place(block);
            let Scratch { values, singles, .. } = scratch;
            return same.unwrap_or_else(|| E::convert(isa, block, values, singles));
        }
        let Scratch { values, singles, halves, .. } = scratch;
        match E::copies(halves) {
            Some(copies) => {
                let copies = copies.first(range.len(), E::Storage::default());
                self.gather(range, copies, |x| x);
                E::convert(isa, copies, values, singles)
            }
            None => {
                let values = values.first(range.len(), F::ZERO);
                self.gather(range, values, |x| F::from_f64(E::value(x)));
                values
            }
        }
    }

    /// Copies the elements `range` to `to`, changed by `value`.
    #[inline(always)]
    fn gather<V>(&self, range: Range<usize>, to: &mut [V], value: impl Fn(E::Storage) -> V) {
        let mut done = 0;
        while done < to.len() {
            let at = range.start + done;
            let (row, first) = (at / self.length, at % self.length);
            let end = to.len().min(done + self.length - first);
            let run = to[done..end].iter_mut();
            // Split off: an iterator would walk over all that comes before.
            let (_, from) = self.row(row).split_at(Axis(0), first);
            match from.to_slice() {
                Some(from) => run.zip(from).for_each(|(to, &x)| *to = value(x)),
                None => run.zip(from).for_each(|(to, &x)| *to = value(x)),
            }
            done = end;
        }
    }
}
