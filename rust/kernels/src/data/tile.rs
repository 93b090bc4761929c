//! Rows whose classes lie further apart in memory than rows do, copied many at a time into rows whose
//! classes are neighbours.
//!
//! The classes of such a row lie in as many cache lines and, with long steps between them, in as
//! many pages. Its neighbours lie in the same ones, so a tile has many rows: whatever is fetched is
//! used whole. The sweeps of a row that follow find its tile again.

use crate::data::as_elements::copy;
use crate::data::element::Element;
use crate::data::lines::LANES;
use crate::data::scratch::{BLOCK, GROUP, Scratch, Tile};
use crate::data::strided::Strided;
use ndarray::{ArrayView2, ArrayViewMut1, Axis, ShapeBuilder, Slice};
use nll_simd::{Isa, Prefetch, Real};
use std::ops::Range;

/// At most how many classes the rows of a tile have from end to end. Longer rows are read block by
/// block, a group of rows at a time, and copied number by number.
pub(crate) const WHOLE: usize = 16 * BLOCK;

/// How many numbers a tile of whole rows should have: 512 KiB of f32. It has 32 rows even if that is
/// more.
const SIZE: usize = 1 << 17;

/// How many rows of `classes` classes a tile has.
pub(crate) fn tile_rows(classes: usize) -> usize {
    if classes > WHOLE {
        return GROUP;
    }
    (SIZE / classes / LANES).clamp(1, 4) * LANES
}

/// How many classes ahead of its reading a tile is fetched. More would evict each other, where
/// classes lie a power of two apart and share the sets of all caches.
const AHEAD: usize = 8;

/// From a row of a tile to the next: an odd multiple of 16 numbers. Rows that are a multiple of 4 KiB
/// apart would share a set of L1, which has fewer places than a tile has rows.
const fn pitch(length: usize) -> usize {
    length.next_multiple_of(32) + 16
}

impl<E: Element> Strided<'_, E> {
    /// The classes `classes` of a row, from a tile in `scratch`.
    #[inline(always)]
    pub(crate) fn tile_row<'s, S: Isa, F: Real>(
        &self,
        isa: S,
        row: usize,
        classes: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        let length = self.row_length();
        let held = if length <= WHOLE { 0..length } else { classes.clone() };
        let (first, pitch) = (row - row % tile_rows(length), pitch(held.len()));
        let start = (row - first) * pitch + classes.start - held.start;
        let Tile { view, first: has, classes: of, .. } = &scratch.tile;
        if (*view, *has, of) != (core::ptr::from_ref(self).addr(), first, &held) {
            self.fill_tile(isa, first, held, scratch);
        }
        &scratch.tile.values.first(start + classes.len(), F::ZERO)[start..]
    }

    /// Copies the tile that begins with row `first`.
    #[inline(always)]
    fn fill_tile<S: Isa, F: Real>(
        &self,
        isa: S,
        first: usize,
        classes: Range<usize>,
        scratch: &mut Scratch<F>,
    ) {
        let rows = tile_rows(self.row_length());
        let end = (first + rows).min(self.row_count());
        let pitch = pitch(classes.len());
        let mut tile = core::mem::take(&mut scratch.tile.values);
        let values = tile.first(rows * pitch, F::ZERO);
        let mut at = first;
        while at < end {
            let (mut block, to) =
                (self.rows_from(at, end - at), &mut values[(at - first) * pitch..]);
            block.slice_axis_inplace(Axis(1), Slice::from(classes.clone()));
            let (rows, turned) = (block.nrows(), block.nrows() - block.nrows() % LANES);
            if block.strides()[0] == 1 && turned > 0 && classes.len() >= 4 {
                block.slice_axis_inplace(Axis(0), Slice::from(..turned));
                turn_block::<S, E, F>(isa, block, to, scratch);
                at += turned;
            } else {
                copy_block::<E, F>(block, to);
                at += rows;
            }
        }
        scratch.tile =
            Tile { values: tile, view: core::ptr::from_ref(self).addr(), first, classes };
    }
}

/// Copies rows that lie side by side, [`LANES`] or a multiple of them.
#[inline(always)]
fn turn_block<S: Isa, E: Element, F: Real>(
    isa: S,
    block: ArrayView2<'_, E::Storage>,
    to: &mut [F],
    scratch: &mut Scratch<F>,
) {
    let (rows, classes) = block.dim();
    let pitch = pitch(classes);
    let of_class = |class: usize| block.index_axis_move(Axis(1), class).to_slice().unwrap_or(&[]);
    let Scratch { lines, values, singles, .. } = scratch;
    // One cache line more, because the rows begin anywhere in their first.
    let line_length = 64 / size_of::<E::Storage>();
    let held = lines.first(4 * LANES, F::ZERO).as_chunks_mut::<LANES>().0;
    for class in (0..classes).step_by(4) {
        // The last four overlap those before, if the number of classes is no multiple of four.
        let class = class.min(classes - 4);
        let ahead = AHEAD.min(classes - 4 - class);
        for c in 0..4 {
            let ahead = Prefetch::burst(of_class(class + ahead + c));
            ahead.fetch(0, rows + line_length, false);
        }
        let four = [0, 1, 2, 3].map(|c| of_class(class + c));
        for part in (0..rows).step_by(LANES) {
            let lines = four.map(|of_class| &of_class[part..][..LANES]);
            for (line, held) in lines.iter().zip(held.iter_mut()) {
                if E::in_place::<F>(line).is_none() {
                    held.copy_from_slice(E::convert(isa, line, values, singles));
                }
            }
            let lines = core::array::from_fn(|c| {
                let in_place = E::in_place(lines[c]).and_then(<[F]>::first_chunk);
                in_place.unwrap_or(&held[c])
            });
            F::turn_four_back(isa, lines, &mut to[part * pitch + class..], pitch);
        }
    }
}

/// Copies any rows, number by number.
#[inline(never)]
fn copy_block<E: Element, F: Real>(block: ArrayView2<'_, E::Storage>, to: &mut [F]) {
    let (rows, classes) = block.dim();
    let pitch = pitch(classes);
    for (class, of_class) in block.columns().into_iter().enumerate() {
        let to = ArrayViewMut1::from_shape((rows,).strides((pitch,)), &mut to[class..])
            .expect("a place for each");
        copy(to, of_class, |x| F::from_f64(E::value(x)));
    }
}
