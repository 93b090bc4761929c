//! How an [`Array`] is read: its elements, rows that are copied in tiles, rows as lines.
//!
//! This code is compiled in this crate, once for each precision and instruction set. It is the same
//! for all kernels; compiled in every crate of floor 4, it would be a ninth of the code. The generic
//! functions here only call it.

use crate::data::array::{Array, with_view};
use crate::data::lines::{LANES, Lines, Next, scratch_lines, turn};
use crate::data::scratch::{Scratch, Typed};
use nll_simd::{Isa, Kernel, Level, Real};
use std::ops::Range;

impl Array<'_> {
    /// The elements `range`, counted in C order, where they lie or in `scratch`, which belongs to
    /// this array alone.
    ///
    /// A slice alone is returned in registers. Whatever else were returned with it would come
    /// through memory, in words that the caller loads as one vector, and such a load waits until the
    /// words are in the cache, behind all earlier reads.
    #[inline(always)]
    pub fn read<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        range: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        let slice = match scratch.typed() {
            Typed::F32(scratch) => F::of_f32(elements_f32(isa.level(), self, range, scratch)),
            Typed::F64(scratch) => F::of_f64(elements_f64(isa.level(), self, range, scratch)),
        };
        slice.unwrap_or(&[])
    }

    /// The classes `classes` of a row whose elements are not neighbours in memory. The rows of a
    /// tile are copied together, when one of them is asked for.
    #[inline(always)]
    pub(crate) fn read_tile<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        row: usize,
        classes: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        let slice = match scratch.typed() {
            Typed::F32(scratch) => F::of_f32(tile_f32(isa.level(), self, row, classes, scratch)),
            Typed::F64(scratch) => F::of_f64(tile_f64(isa.level(), self, row, classes, scratch)),
        };
        slice.unwrap_or(&[])
    }

    /// The rows `rows`, at most [`LANES`], as lines where they lie or in `scratch`.
    #[inline(always)]
    pub fn lines<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        rows: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> Lines<'s, F> {
        match scratch.typed() {
            Typed::F32(scratch) => lines_f32(isa.level(), self, rows, scratch).typed(F::of_f32),
            Typed::F64(scratch) => lines_f64(isa.level(), self, rows, scratch).typed(F::of_f64),
        }
    }
}

/// The functions that the methods above call.
macro_rules! compiled_here {
    ($real:ty, $elements:ident, $tile:ident, $lines:ident) => {
        #[inline(never)]
        fn $elements<'s>(
            level: Level,
            array: &'s Array<'_>,
            range: Range<usize>,
            scratch: &'s mut Scratch<$real>,
        ) -> &'s [$real] {
            level.pass_on(Elements { array, range, scratch })
        }

        #[inline(never)]
        fn $tile<'s>(
            level: Level,
            array: &'s Array<'_>,
            row: usize,
            classes: Range<usize>,
            scratch: &'s mut Scratch<$real>,
        ) -> &'s [$real] {
            level.pass_on(TileRow { array, row, classes, scratch })
        }

        #[inline(never)]
        fn $lines<'s>(
            level: Level,
            array: &'s Array<'_>,
            rows: Range<usize>,
            scratch: &'s mut Scratch<$real>,
        ) -> Lines<'s, $real> {
            level.pass_on(RowLines { array, rows, scratch })
        }
    };
}

compiled_here!(f32, elements_f32, tile_f32, lines_f32);
compiled_here!(f64, elements_f64, tile_f64, lines_f64);

/// The arguments of the functions below, for each level.
struct Elements<'s, 'a, F> {
    array: &'s Array<'a>,
    range: Range<usize>,
    scratch: &'s mut Scratch<F>,
}

impl<'s, F: Real> Kernel for Elements<'s, '_, F> {
    type Output = &'s [F];

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> &'s [F] {
        elements(isa, self.array, self.range, self.scratch)
    }
}

struct TileRow<'s, 'a, F> {
    array: &'s Array<'a>,
    row: usize,
    classes: Range<usize>,
    scratch: &'s mut Scratch<F>,
}

impl<'s, F: Real> Kernel for TileRow<'s, '_, F> {
    type Output = &'s [F];

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> &'s [F] {
        tile_row(isa, self.array, self.row, self.classes, self.scratch)
    }
}

struct RowLines<'s, 'a, F> {
    array: &'s Array<'a>,
    rows: Range<usize>,
    scratch: &'s mut Scratch<F>,
}

impl<'s, F: Real> Kernel for RowLines<'s, '_, F> {
    type Output = Lines<'s, F>;

    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> Lines<'s, F> {
        row_lines(isa, self.array, self.rows, self.scratch)
    }
}

/// [`Array::read`]
#[inline(never)]
fn elements<'s, S: Isa, F: Real>(
    isa: S,
    array: &'s Array<'_>,
    range: Range<usize>,
    scratch: &'s mut Scratch<F>,
) -> &'s [F] {
    isa.vectorize(
        #[inline(always)]
        || {
            if let Array::Changed(stored, changes) = array {
                let at = (range.start, array.classes());
                let length = range.len();
                // Out of the scratch, from which the elements are borrowed meanwhile.
                let mut memory = core::mem::take(&mut scratch.altered);
                changes.copy(at, elements(isa, stored, range, scratch), &mut memory);
                scratch.altered = memory;
                return &*scratch.altered.first(length, F::ZERO);
            }
            if array.tile_elements().is_some() {
                return elements_of_tiles(isa, array, range, scratch);
            }
            with_view!(
                array,
                // What an earlier block left in the scratch is this number too.
                value => {
                    &*scratch.values.first(range.len(), F::from_f64(*value))
                },
                x => x.read(isa, range, scratch)
            )
        },
    )
}

/// The elements `range` of an array that is read by tiles, where they lie in a tile or copied from it.
#[inline(always)]
fn elements_of_tiles<'s, S: Isa, F: Real>(
    isa: S,
    array: &'s Array<'_>,
    range: Range<usize>,
    scratch: &'s mut Scratch<F>,
) -> &'s [F] {
    let (length, first) = (array.classes(), range.start % array.classes());
    let count = range.len();
    if first + count <= length {
        return tile_row(isa, array, range.start / length, first..first + count, scratch);
    }
    // Out of the scratch, in which the tile is meanwhile.
    let (mut memory, mut at) = (core::mem::take(&mut scratch.gathered), range.start);
    let mut to = memory.first(count, F::ZERO);
    while !to.is_empty() {
        let first = at % length;
        let classes = first..length.min(first + to.len());
        let (piece, rest) = to.split_at_mut(classes.len());
        piece.copy_from_slice(tile_row(isa, array, at / length, classes, scratch));
        at += piece.len();
        to = rest;
    }
    scratch.gathered = memory;
    &*scratch.gathered.first(count, F::ZERO)
}

/// [`Array::read_tile`]
#[inline(never)]
fn tile_row<'s, S: Isa, F: Real>(
    isa: S,
    array: &'s Array<'_>,
    row: usize,
    classes: Range<usize>,
    scratch: &'s mut Scratch<F>,
) -> &'s [F] {
    isa.vectorize(
        #[inline(always)]
        || {
            if let Array::Changed(stored, changes) = array {
                let at = (row * array.classes() + classes.start, array.classes());
                let length = classes.len();
                let mut memory = core::mem::take(&mut scratch.altered);
                changes.copy(at, tile_row(isa, stored, row, classes, scratch), &mut memory);
                scratch.altered = memory;
                return &*scratch.altered.first(length, F::ZERO);
            }
            with_view!(
                array, _value => &[][..], x => x.tile_row(isa, row, classes, scratch)
            )
        },
    )
}

/// [`Array::lines`]
#[inline(never)]
fn row_lines<'s, S: Isa, F: Real>(
    isa: S,
    array: &'s Array<'_>,
    rows: Range<usize>,
    scratch: &'s mut Scratch<F>,
) -> Lines<'s, F> {
    isa.vectorize(
        #[inline(always)]
        || {
            let classes = array.classes();
            if rows.len() == LANES && array.has_lines::<F>(rows.start) {
                let lines = with_view!(
                    array, _value => None, x => x.lines(isa, rows.start, scratch)
                );
                return lines.expect("lines, by the condition");
            }
            if array.has_copied_lines::<F>() {
                let lines = with_view!(
                    array, _value => None, x => x.copied_lines(isa, rows, scratch)
                );
                return lines.expect("lines, by the condition");
            }
            let next = with_view!(array, _value => Next::NOTHING, x => x.next_rows(rows.end));
            // Out of the scratch, from which the rows are borrowed meanwhile.
            let mut memory = core::mem::take(&mut scratch.lines);
            let lines = memory.first(classes * LANES, F::ZERO).as_chunks_mut().0;
            let range = rows.start * classes..rows.end * classes;
            turn(isa, elements(isa, array, range, scratch), lines);
            scratch.lines = memory;
            Lines::dense(scratch_lines(scratch, classes), next)
        },
    )
}
