//! Rows of classes in memory: any number of axes, any strides, the class axis last.

use crate::softmax::BLOCK;
use ndarray::{ArrayView1, ArrayViewD, Axis};
use nll_simd::{CHUNK_LANES, Dtype};
use std::ops::Range;

/// Rows taken together: their last steps share vector registers, and a strided tile stays in L2.
pub const GROUP: usize = 16;

/// Row `row` of `view`, which has at least one axis, as a strided view.
pub(crate) fn row_view<'a, T>(view: &ArrayViewD<'a, T>, row: usize) -> ArrayView1<'a, T> {
    let mut stride: usize = view.shape()[..view.ndim() - 1].iter().product();
    let (mut view, mut row) = (view.clone(), row);
    while view.ndim() > 1 {
        stride /= view.shape()[0];
        view = view.index_axis_move(Axis(0), row / stride);
        row %= stride;
    }
    match view.into_dimensionality() {
        Ok(lane) => lane,
        Err(_) => unreachable!("one axis is left"),
    }
}

/// A view of logits, one row for each index of the leading axes in C order.
pub struct Rows<'a, T: Dtype> {
    view: ArrayViewD<'a, T::Storage>,
    flat: Option<&'a [T::Storage]>,
    classes: usize,
    count: usize,
}

impl<'a, T: Dtype> Rows<'a, T> {
    /// Rows of a view that has at least one axis and one class.
    pub fn new(view: ArrayViewD<'a, T::Storage>) -> Self {
        let classes = view.shape().last().copied().unwrap_or(1);
        let count = view.len() / classes.max(1);
        Rows { flat: view.to_slice(), view, classes, count }
    }

    /// How many classes a row has.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    fn row_view(&self, row: usize) -> ArrayView1<'a, T::Storage> {
        row_view(&self.view, row)
    }

    /// How many rows one task should at least take: strided rows share cache lines, others nothing.
    pub fn together(&self) -> usize {
        if self.count > 0 && self.slice(0).is_none() { GROUP } else { 1 }
    }

    /// Row `row` if its classes are adjacent in memory.
    fn slice(&self, row: usize) -> Option<&'a [T::Storage]> {
        match self.flat {
            Some(flat) => Some(&flat[row * self.classes..(row + 1) * self.classes]),
            None => self.row_view(row).to_slice(),
        }
    }

    /// The value of one class.
    pub fn value(&self, row: usize, class: usize) -> f64 {
        match self.flat {
            Some(flat) => T::value(flat[row * self.classes + class]),
            None => T::value(self.row_view(row)[class]),
        }
    }

    /// Whether any of the classes `range` of `row` satisfies `test`. Slow; for ties and infinities.
    pub fn any(&self, row: usize, range: Range<usize>, test: impl Fn(f64) -> bool) -> bool {
        self.row_view(row).iter().take(range.end).skip(range.start).any(|&x| test(T::value(x)))
    }

    /// Hands every block of every wanted row of `group` to `visit(row in group, first class, block, length)`.
    ///
    /// The block's first `length` elements are its classes. A row of less than 32 classes comes with what
    /// lies behind it, so that the kernel loads full registers and masks them.
    ///
    /// Rows whose classes are adjacent are read where they lie. Others are copied a tile at a time, all
    /// rows of the group together: where neighbouring rows are neighbours in memory, every cache line that
    /// is fetched is used whole.
    #[inline(always)]
    pub fn visit(
        &self,
        group: Range<usize>,
        wanted: impl Fn(usize) -> bool,
        mut visit: impl FnMut(usize, usize, &[T::Storage], usize),
    ) {
        if let Some(flat) = self.flat
            && self.classes < CHUNK_LANES
        {
            for row in group.clone().filter(|&row| wanted(row)) {
                let start = row * self.classes;
                let block = &flat[start..flat.len().min(start + CHUNK_LANES)];
                visit(row - group.start, 0, block, self.classes);
            }
            return;
        }
        if self.slice(group.start).is_some() {
            for row in group.clone().filter(|&row| wanted(row)) {
                let Some(slice) = self.slice(row) else { continue };
                for (i, block) in slice.chunks(BLOCK).enumerate() {
                    visit(row - group.start, i * BLOCK, block, block.len());
                }
            }
            return;
        }
        let lanes: Vec<_> =
            group.clone().filter(|&r| wanted(r)).map(|r| (r, self.row_view(r))).collect();
        let mut tile = vec![T::NEG_INFINITY; BLOCK.min(self.classes) * lanes.len()];
        for start in (0..self.classes).step_by(BLOCK) {
            let length = BLOCK.min(self.classes - start);
            for class in 0..length {
                for (i, (_, lane)) in lanes.iter().enumerate() {
                    tile[i * length + class] = lane[start + class];
                }
            }
            for (i, (row, _)) in lanes.iter().enumerate() {
                visit(row - group.start, start, &tile[i * length..(i + 1) * length], length);
            }
        }
    }
}
