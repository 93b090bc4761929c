//! The elements of a view one behind the other: where they lie, or copied.

use crate::data::element::Element;
use crate::data::scratch::Scratch;
use crate::data::strided::{Strided, View};
use ndarray::{ArrayView1, ArrayView2, ArrayViewMut1, ArrayViewMut2, Axis, Slice, Zip};
use nll_simd::{Isa, Prefetch, Real};
use std::ops::Range;

impl<'a, E: Element> Strided<'a, E> {
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
                self.gather(range, copies, |x| x, <[_]>::copy_from_slice);
                E::convert(isa, copies, values, singles)
            }
            None => {
                let values = values.first(range.len(), F::ZERO);
                let value = |x| F::from_f64(E::value(x));
                let values_of = |to: &mut [F], from: &[E::Storage]| match E::in_place(from) {
                    Some(same) => to.copy_from_slice(same),
                    None => to.iter_mut().zip(from).for_each(|(to, &x)| *to = value(x)),
                };
                self.gather(range, values, value, values_of);
                values
            }
        }
    }

    /// Copies the elements `range` to `to`, each through `value`; `values` does the same to a slice. Then fetches
    /// the elements behind, as many again: no hardware prefetcher continues after the loops that follow.
    #[inline(always)]
    fn gather<V>(
        &self,
        range: Range<usize>,
        to: &mut [V],
        value: impl Fn(E::Storage) -> V,
        values: impl Fn(&mut [V], &[E::Storage]),
    ) {
        let (mut at, mut rest) = (range.start, to);
        while !rest.is_empty() {
            let from = self.block(at, rest.len());
            at += from.len();
            let (block, behind) = rest.split_at_mut(from.len());
            let mut to = ArrayViewMut2::from_shape(from.dim(), block).expect("a place for each");
            // The inner loop runs along the longer axis.
            let along = Axis(usize::from(from.nrows() < from.ncols()));
            for (mut to, from) in to.lanes_mut(along).into_iter().zip(from.lanes(along)) {
                match (to.as_slice_mut(), from.to_slice()) {
                    (Some(to), Some(from)) => values(to, from),
                    _ => copy(to, from, &value),
                }
            }
            rest = behind;
        }
        let end = (range.end + range.len()).min(self.row_count() * self.length);
        while at < end {
            let next = self.block(at, end - at);
            at += next.len();
            fetch(next);
        }
    }

    /// Elements from `at` on, at most `count`: the rest of a row, as many rows as lie equally far apart, or the
    /// beginning of a row.
    #[inline(always)]
    fn block(&self, at: usize, count: usize) -> ArrayView2<'a, E::Storage> {
        let (row, first) = (at / self.length, at % self.length);
        let columns = (self.length - first).min(count);
        let mut block = self.rows_from(row, if first == 0 { count / columns } else { 1 });
        block.slice_axis_inplace(Axis(1), Slice::from(first..first + columns));
        block
    }
}

/// Copies numbers, changed by `value`.
#[inline(always)]
pub(super) fn copy<T: Copy, V>(
    mut to: ArrayViewMut1<'_, V>,
    mut from: ArrayView1<'_, T>,
    value: impl Fn(T) -> V,
) {
    if from.strides() == [-1] {
        from.invert_axis(Axis(0));
        if let (Some(to), Some(from)) = (to.as_slice_mut(), from.to_slice()) {
            // A loop that LLVM vectorises, as it does not for strides.
            to.iter_mut().rev().zip(from).for_each(|(to, &x)| *to = value(x));
            return;
        }
        from.invert_axis(Axis(0));
    }
    Zip::from(to).and(from).for_each(
        #[inline(always)]
        |to, &x| *to = value(x),
    );
}

/// Fetches a block with what lies between its elements, unless that is much more than they are.
#[inline(always)]
fn fetch<T>(mut block: ArrayView2<'_, T>) {
    for axis in [Axis(0), Axis(1)] {
        if block.stride_of(axis) < 0 {
            block.invert_axis(axis);
        }
    }
    let (rows, columns) = block.dim();
    let (pitch, stride) = (block.stride_of(Axis(0)) as usize, block.stride_of(Axis(1)) as usize);
    // A row begins and ends anywhere in a cache line.
    let row = columns * stride + 64 / size_of::<T>();
    let from = |first| Prefetch::burst(core::slice::from_ref(first));
    if (rows - 1) * pitch + columns * stride <= WIDEST * rows * columns {
        from(&block[(0, 0)]).fetch(0, (rows - 1) * pitch + row, false);
    } else if stride <= WIDEST {
        block.column(0).iter().for_each(|first| from(first).fetch(0, row, false));
    }
}

/// How many times as much as the elements is fetched for their sake.
const WIDEST: usize = 4;
