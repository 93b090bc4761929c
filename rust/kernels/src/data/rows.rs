//! Rows of classes: arrays of one shape whose last axis is the class axis, read in groups of rows.

use crate::Error;
use crate::data::array::Array;
use crate::data::drive::{self, Exec, ranges, rows_per_task};
use crate::data::lines::{LANES, Lines, Next, scratch_lines, turn_first};
use crate::data::scratch::Scratch;
pub use crate::data::scratch::{BLOCK, GROUP};
use crate::data::tile::tile_rows;
use nll_simd::{CHUNK_LANES, Isa, Prefetch, Real};
use std::ops::Range;

/// At most how many classes a row read side by side with others has.
const FEW: usize = 128;

/// Rows of more classes are computed in pieces, by all threads.
const LONG: usize = 1 << 18;

/// N arrays of `count` rows of `classes` classes, one row for each index of the leading axes in C
/// order.
pub struct Rows<'r, const N: usize = 1> {
    arrays: [&'r Array<'r>; N],
    count: usize,
    classes: usize,
}

/// How a row of N arrays is read by parts.
pub struct Reader<'r, F, const N: usize> {
    /// The number of the row.
    pub row: usize,
    /// The row of each array that can be read where it lies.
    in_place: [Option<&'r [F]>; N],
}

/// Some neighbouring classes of a row.
#[derive(Clone, Copy)]
pub struct Block<'s, F, const N: usize = 1> {
    /// The index of the first of them in the row.
    pub first: usize,
    /// How many there are.
    pub length: usize,
    /// The first `length` elements of each slice are the classes in each array. Behind a short row
    /// of the first array comes what lies in memory behind it, for a kernel that loads whole
    /// registers.
    pub x: [&'s [F]; N],
    /// Fetches ahead of a loop over each array.
    pub prefetch: [Prefetch; N],
}

/// An array of more numbers than this is taken to be larger than the caches.
const CACHED: usize = 1 << 22;

impl<'s, F, const N: usize> Block<'s, F, N> {
    /// The classes in each array.
    #[inline(always)]
    pub fn classes(&self) -> [&'s [F]; N] {
        core::array::from_fn(
            #[inline(always)]
            |k| &self.x[k][..self.length],
        )
    }

    /// Fetches the classes that lie `BLOCK / N` behind `count` of the block from number `start` on, or those of
    /// the next row, while a loop computes with these: the CPU would not read on by itself.
    #[inline(always)]
    pub(crate) fn fetch_behind(&self, start: usize, count: usize) {
        for prefetch in self.prefetch {
            prefetch.fetch_behind(start, BLOCK / N, count);
        }
    }
}

impl Rows<'_> {
    /// Whether all elements lie in C order without gaps.
    pub(crate) fn is_flat(&self) -> bool {
        self.arrays[0].is_flat()
    }

    /// The elements of some rows of a flat array, one row behind the other. As many that follow are prefetched.
    #[inline(always)]
    pub(crate) fn elements<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        rows: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> &'s [F] {
        let (range, array) = (rows.start * self.classes..rows.end * self.classes, self.arrays[0]);
        let count = range.len().min((self.count - rows.end) * self.classes);
        array.prefetch::<F>(range.end, true).fetch(0, count, true);
        array.read(isa, range, scratch)
    }

    /// Whether class c of the 32 rows from `first` on lies in 32 neighbouring numbers, of an array that is larger than the
    /// caches.
    #[inline(always)]
    pub fn are_lines_in_memory<F: Real>(&self, first: usize) -> bool {
        let array = self.arrays[0];
        self.count * self.classes > CACHED && !array.is_flat() && array.has_lines::<F>(first)
    }

    /// Copies the rows `rows`, at most 32, to `lines`. Lanes without a row keep what they held before. Returns what is
    /// read after these rows.
    #[inline(always)]
    pub fn copy_lines<S: Isa, F: Real>(
        &self,
        isa: S,
        rows: &Range<usize>,
        scratch: &mut Scratch<F>,
        lines: &mut [[F; LANES]],
    ) -> Next {
        let array = self.arrays[0];
        if let Some(flat) = array.flat_from(rows.start) {
            return turn_first(isa, flat, rows.len(), lines);
        }
        let there = array.lines(isa, rows.clone(), scratch);
        for (class, line) in lines.iter_mut().enumerate() {
            *line = *there.line(class);
        }
        there.next()
    }
}

impl<'r, const N: usize> Rows<'r, N> {
    /// Rows of arrays of one shape, which have at least one axis and one class.
    pub fn new(arrays: [&'r Array<'r>; N]) -> Self {
        let shape = arrays[0].shape();
        let (leading, classes) = shape.split_at(shape.len().saturating_sub(1));
        let classes = classes.first().copied().unwrap_or(1);
        Rows { arrays, count: leading.iter().product(), classes }
    }

    /// How many rows there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// How many classes a row has.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Whether the rows are read side by side, 32 at a time. The number of classes alone
    /// decides: a row's results do not depend on its layout or its neighbours.
    pub fn are_few(&self) -> bool {
        self.classes <= FEW
    }

    /// Whether rows are computed in pieces, one after the other. The number of classes alone decides.
    pub fn are_long(&self) -> bool {
        self.classes > LONG
    }

    /// Rows that are computed in pieces, in groups that are read together: those of a tile.
    pub fn long_groups(&self) -> impl Iterator<Item = Range<usize>> + use<N> {
        ranges(0..self.count, if self.is_tiled() { GROUP } else { 1 })
    }

    /// The rows `rows`, at most 32, of each array as lines.
    #[inline(always)]
    pub fn lines<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        rows: &Range<usize>,
        scratch: &'s mut [Scratch<F>; N],
    ) -> [Lines<'s, F>; N] {
        let mut all = [Lines::NONE; N];
        for (k, scratch) in scratch.iter_mut().enumerate() {
            let array = self.arrays[k];
            all[k] = match array.flat_from(rows.start) {
                // The usual way, without a call that returns lines through memory.
                Some(flat) => {
                    let lines = scratch_lines(scratch, self.classes);
                    let next = turn_first(isa, flat, rows.len(), lines);
                    Lines::dense(lines, next)
                }
                None => array.lines(isa, rows.clone(), scratch),
            };
        }
        all
    }

    /// One entry of the first array.
    pub fn entry(&self, row: usize, class: usize) -> f64 {
        self.arrays[0].entry(row, class)
    }

    /// One entry of the first array, as a call reads it that computes in `F`.
    pub fn entry_in<F: Real>(&self, row: usize, class: usize) -> F {
        F::from_f64(self.arrays[0].entry_in(row, class, F::COMPENSATED))
    }

    /// The first of the classes `range` of a row of the first array that satisfies `test`.
    pub fn find(
        &self,
        row: usize,
        range: Range<usize>,
        test: &dyn Fn(f64) -> bool,
    ) -> Option<usize> {
        self.arrays[0].find(row, range, test)
    }

    /// Whether any of the arrays must be read by tiles.
    pub(crate) fn is_tiled(&self) -> bool {
        self.arrays.iter().any(|array| array.is_tiled())
    }

    /// How many rows a task should have; rows of a tile share cache lines and stay together.
    pub fn per_task(&self) -> usize {
        let least = if self.is_tiled() { tile_rows(self.classes) } else { 1 };
        rows_per_task(self.count, self.classes, least)
    }

    /// The rows `range` in groups for a fold of several sweeps. A group's classes, at most 2^12
    /// unless they belong to one row, stay in L1 from sweep to sweep. Rows of a tile stay together
    /// as long as the memory for a number for each of their classes is small, at most 2^18 numbers.
    pub fn groups(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<N> {
        let classes = if self.is_tiled() { 1 << 18 } else { 1 << 12 };
        ranges(range, (classes / self.classes).clamp(1, GROUP))
    }

    /// Row `row`, to be read by parts.
    pub(crate) fn reader<F: Real>(&self, row: usize) -> Reader<'r, F, N> {
        let in_place = |array: &'r Array<'r>| array.has_rows_of::<F>().then(|| array.row(row, 0));
        Reader { row, in_place: self.arrays.map(in_place) }
    }

    /// The classes `classes` of a row, a small part of all.
    #[inline(always)]
    pub fn block<'s, S: Isa, F: Real>(
        &'s self,
        isa: S,
        Reader { row, in_place }: &Reader<'s, F, N>,
        classes: Range<usize>,
        scratch: &'s mut [Scratch<F>; N],
    ) -> Block<'s, F, N> {
        let (first, length, at) =
            (classes.start, classes.len(), row * self.classes + classes.start);
        let (mut x, mut prefetch) = ([&[][..]; N], [Prefetch::NOTHING; N]);
        for (k, scratch) in scratch.iter_mut().enumerate() {
            let array = self.arrays[k];
            if let Some(row) = in_place[k] {
                x[k] = &row[classes.clone()];
                prefetch[k] = Prefetch::new::<F, F>(x[k], false);
            } else if array.is_tiled() {
                x[k] = array.read_tile(isa, *row, classes.clone(), scratch);
            } else {
                x[k] = array.read(isa, at..at + length, scratch);
                prefetch[k] = array.prefetch::<F>(at, false);
            }
        }
        Block { first, length, x, prefetch }
    }

    /// The first of the classes `range` of one long row that satisfies `test`, found in tasks.
    pub fn find_in_tasks(
        &self,
        exec: Exec<'_>,
        (row, range): (usize, Range<usize>),
        test: &(dyn Fn(f64) -> bool + Sync),
    ) -> Result<Option<usize>, Error> {
        drive::first(exec, range.len(), |classes| {
            let classes = range.start + classes.start..range.start + classes.end;
            Some(self.find(row, classes, &test)? - range.start)
        })
        .map(|found| Some(found? + range.start))
    }

    /// Pushes every block, of at most `size` classes, of every wanted row of `group` to the state
    /// of its row, the blocks of a row in order. `start(row in group)` makes it, and `end` has it
    /// afterwards.
    ///
    /// Rows whose classes are neighbours in memory are read one after the other. If an array must
    /// be read by tiles, block follows block, and every row has its turn in each.
    #[inline(always)]
    pub fn visit<S: Isa, F: Real, A>(
        &self,
        isa: S,
        group: (Range<usize>, usize),
        wanted: impl Fn(usize) -> bool,
        scratch: &mut [Scratch<F>; N],
        calls: (impl FnMut(usize) -> A, impl FnMut(&mut A, &Block<'_, F, N>), impl FnMut(usize, A)),
    ) {
        isa.apart(
            #[inline(always)]
            || self.visit_here(isa, group, wanted, scratch, calls),
        );
    }

    #[inline(always)]
    fn visit_here<S: Isa, F: Real, A>(
        &self,
        isa: S,
        (group, size): (Range<usize>, usize),
        wanted: impl Fn(usize) -> bool,
        scratch: &mut [Scratch<F>; N],
        (mut start, mut push, mut end): (
            impl FnMut(usize) -> A,
            impl FnMut(&mut A, &Block<'_, F, N>),
            impl FnMut(usize, A),
        ),
    ) {
        let in_place = self.arrays.iter().all(|array| array.has_rows_of::<F>());
        let has_gaps = self.arrays.iter().any(|array| !array.is_flat());
        let behind = if N == 1 { CHUNK_LANES.saturating_sub(self.classes) } else { 0 };
        if !self.is_tiled() {
            // The state of a row may be in registers.
            for row in group.clone().filter(|&row| wanted(row)) {
                let rows: [&[F]; N] = core::array::from_fn(
                    #[inline(always)]
                    |k| self.arrays[k].row::<F>(row, behind),
                );
                let (mut state, mut first) = (start(row - group.start), 0);
                while first < self.classes {
                    let length = size.min(self.classes - first);
                    let (mut x, mut prefetch) = ([&[][..]; N], [Prefetch::NOTHING; N]);
                    if in_place {
                        // The usual way, without a call.
                        x = core::array::from_fn(
                            #[inline(always)]
                            |k| &rows[k][first..(first + length + behind).min(rows[k].len())],
                        );
                        if behind == 0 {
                            prefetch = x.map(|x| Prefetch::new::<F, F>(x, false));
                        }
                    } else {
                        let at = row * self.classes + first;
                        for (k, scratch) in scratch.iter_mut().enumerate() {
                            x[k] = self.arrays[k].read(isa, at..at + length, scratch);
                            prefetch[k] = self.arrays[k].prefetch::<F>(at, false);
                        }
                    }
                    if has_gaps && first + length == self.classes {
                        for (prefetch, array) in prefetch.iter_mut().zip(self.arrays) {
                            if !array.is_flat() {
                                *prefetch = array.prefetch_row(row + 1);
                            }
                        }
                    }
                    push(&mut state, &Block { first, length, x, prefetch });
                    first += length;
                }
                end(row - group.start, state);
            }
            return;
        }
        let (mut rows, mut states, mut count) = ([0; GROUP], [const { None }; GROUP], 0);
        for row in group.clone().filter(|&row| wanted(row)) {
            (rows[count], states[count]) = (row, Some(start(row - group.start)));
            count += 1;
        }
        let rows = &rows[..count];
        for first in (0..self.classes).step_by(size) {
            let length = size.min(self.classes - first);
            for (i, state) in states.iter_mut().flatten().enumerate() {
                let at = rows[i] * self.classes + first;
                let mut x = [&[][..]; N];
                for (k, scratch) in scratch.iter_mut().enumerate() {
                    let array = self.arrays[k];
                    x[k] = if array.is_tiled() {
                        array.read_tile(isa, rows[i], first..first + length, scratch)
                    } else {
                        array.read(isa, at..at + length, scratch)
                    };
                }
                push(state, &Block { first, length, x, prefetch: [Prefetch::NOTHING; N] });
            }
        }
        for (&row, state) in rows.iter().zip(states) {
            if let Some(state) = state {
                end(row - group.start, state);
            }
        }
    }
}
