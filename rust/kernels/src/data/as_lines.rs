//! Rows of a view as lines: where they lie, turned, or copied number by number.

use crate::data::element::Element;
use crate::data::lines::{LANES, Lines, Next};
use crate::data::scratch::Scratch;
use crate::data::strided::Strided;
use ndarray::{ArrayView2, Zip};
use nll_simd::{Apart, Isa, Prefetch, Real};
use std::ops::Range;

impl<E: Element> Strided<'_, E> {
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
        let next = Next::lines(Prefetch::burst(behind), stride);
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

    /// The rows `rows` as lines that are copied, if they are floating point.
    #[inline(always)]
    pub(super) fn copied_lines<'s, S: Isa, F: Real>(
        &self,
        isa: S,
        rows: Range<usize>,
        scratch: &'s mut Scratch<F>,
    ) -> Option<Lines<'s, F>> {
        let (next, size) = (self.next_rows(rows.end), self.length * LANES);
        if E::in_place::<F>(&[]).is_some() {
            let lines = scratch.lines.first(size, F::ZERO).as_chunks_mut().0;
            let block = self.rows_from(rows.start, rows.len());
            match Self::apart(&block) {
                Some(apart) => F::turn(isa, &apart, lines),
                None => self.copy_lines(rows, lines, |x| F::from_f64(E::value(x))),
            }
            return Some(Lines::dense(lines, next));
        }
        let Scratch { values, singles, halves, .. } = scratch;
        let copies = E::copies(halves)?.first(size, E::Storage::default());
        self.copy_lines(rows, copies.as_chunks_mut().0, |x| x);
        Some(Lines::new(E::convert(isa, copies, values, singles), LANES, self.length, next))
    }

    /// [`LANES`] rows whose classes are neighbours in memory, if that is what a block is.
    #[inline(always)]
    fn apart<'b, F: Real>(block: &'b ArrayView2<'_, E::Storage>) -> Option<Apart<'b, F>> {
        if block.nrows() < LANES || block.strides()[1] != 1 {
            return None;
        }
        let mut rows = [&[][..]; LANES];
        for (to, row) in rows.iter_mut().zip(block.outer_iter()) {
            *to = E::in_place(row.to_slice()?)?;
        }
        Some(Apart::new(rows, block.ncols()))
    }

    /// Copies the rows `rows` to lines, changed by `value`.
    #[inline(always)]
    fn copy_lines<V>(
        &self,
        rows: Range<usize>,
        lines: &mut [[V; LANES]],
        value: impl Fn(E::Storage) -> V,
    ) {
        let mut lane = 0;
        while lane < rows.len() {
            let block = self.rows_from(rows.start + lane, rows.len() - lane);
            let lanes = lane..lane + block.nrows();
            for (line, column) in lines.iter_mut().zip(block.columns()) {
                Zip::from(&mut line[lanes.clone()]).and(column).for_each(
                    #[inline(always)]
                    |to, &x| *to = value(x),
                );
            }
            lane = lanes.end;
        }
    }

    /// The rows from `first` on, to be read after others and turned.
    #[inline(always)]
    pub fn next_rows(&self, first: usize) -> Next {
        if let Some(flat) = self.flat {
            let rows = flat.get(first * self.length..).filter(|rows| rows.len() >= self.length);
            return rows.map_or(Next::NOTHING, |rows| Next::rows(Prefetch::burst(rows), LANES));
        }
        let Some(rows) = self.table.filter(|rows| rows.nrows() >= first + LANES) else {
            return Next::NOTHING;
        };
        let &[row, class] = rows.strides() else { return Next::NOTHING };
        let lowest = (
            if row < 0 { first + LANES - 1 } else { first },
            if class < 0 { self.length - 1 } else { 0 },
        );
        let (pitch, per_line) = (row.unsigned_abs(), Prefetch::LINE / size_of::<E::Storage>());
        let from = core::slice::from_ref(&rows[lowest]);
        // If rows begin at most a cache line apart, each cache line holds a part of some row, as if there were no gaps.
        let memory =
            if pitch > per_line { Prefetch::elsewhere(from) } else { Prefetch::burst(from) };
        let a_step = (LANES * pitch).div_ceil(self.length).next_multiple_of(per_line);
        if a_step <= 4 * LANES {
            Next::rows(memory, a_step)
        } else {
            Next::rows_apart(memory, pitch, self.length)
        }
    }
}
