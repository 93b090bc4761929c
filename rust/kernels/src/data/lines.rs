//! Rows side by side: line c holds class c of [`LANES`] rows, so that a register holds one class of
//! many rows.
//!
//! Where the rows lie side by side in memory too (an image with its classes on the first axis, a
//! data frame in Fortran order), a line is a slice of that memory. All other rows are turned into
//! lines in [`Scratch`], which stay in L1.
//!
//! All classes of 32 rows are read before anything is computed of them, and no hardware prefetcher
//! continues after such a pause. So lines know where the next rows lie, and the longest loop fetches
//! these: few classes before it begins, more of them some classes every few steps, as all at once would
//! hold up the reads behind them.

use crate::data::scratch::Scratch;
use crate::math::side_by_side::Steps;
use nll_simd::{Buffer, CHUNK_LANES, Dense, Eights, Isa, Prefetch, Real};
use std::ops::Range;

/// How many rows lie side by side.
pub const LANES: usize = CHUNK_LANES;

/// The classes of some rows.
#[derive(Clone, Copy)]
pub struct Lines<'s, F> {
    memory: &'s [F],
    /// From a class to the next.
    stride: usize,
    classes: usize,
    next: Next,
}

/// What is fetched for the lines that are read after these: parts of `count` numbers that begin `stride` apart.
#[derive(Clone, Copy)]
pub struct Next {
    memory: Prefetch,
    stride: usize,
    count: usize,
    /// How many parts are fetched in one step.
    parts: usize,
    /// In how many steps.
    steps: usize,
}

impl Next {
    /// Nowhere.
    pub const NOTHING: Next =
        Next { memory: Prefetch::NOTHING, stride: 0, count: 0, parts: 0, steps: 0 };

    /// Lines that begin `stride` apart.
    #[inline(always)]
    pub(crate) fn lines(memory: Prefetch, stride: usize) -> Self {
        Next { memory, stride, count: LANES, parts: 1, steps: usize::MAX }
    }

    /// Rows without gaps, or with gaps so small that they are fetched too: `count` numbers a step.
    #[inline(always)]
    pub(crate) fn rows(memory: Prefetch, count: usize) -> Self {
        Next { memory, stride: count, count, parts: 1, steps: usize::MAX }
    }

    /// Rows of `classes` classes that begin `pitch` apart.
    #[inline(always)]
    pub(crate) fn rows_apart(memory: Prefetch, pitch: usize, classes: usize) -> Self {
        // A row begins and ends anywhere in a cache line.
        let (count, parts) = (classes + LANES, LANES.div_ceil(classes));
        Next { memory, stride: pitch, count, parts, steps: LANES.div_ceil(parts) }
    }

    /// Whether it is of rows with gaps so wide that each row is fetched by itself.
    #[inline(always)]
    fn is_apart(&self) -> bool {
        self.steps != usize::MAX
    }

    /// Fetches the parts of these steps: into L1 if they are `near` and have no gaps between them, else into L2.
    ///
    /// Inlined, because the sums of the loop around it are in registers, which a call would store and load.
    #[inline(always)]
    pub(crate) fn fetch(&self, steps: Range<usize>, near: bool) {
        let Next { memory, stride, count, parts, .. } = *self;
        if stride == count {
            // The parts lie one behind the other.
            let parts = steps.start * parts..steps.end.min(self.steps) * parts;
            return memory.fetch(parts.start * count, parts.len() * count, near);
        }
        for part in steps.start * parts..steps.end.min(self.steps) * parts {
            memory.fetch(part * stride, count, near);
        }
    }
}

/// The largest number of classes for which the lines that are read next are fetched into L1; of more classes, or if rows
/// have gaps between them, into L2.
const NEAR: usize = 16;

/// The largest size of a row in bytes for which one call fetches all lines that are read next; of larger rows, or if wide
/// gaps lie between rows, each call fetches a few.
const AT_ONCE: usize = 64;

/// How many classes such a call fetches. More than one, because most of its instructions find the first address.
const FETCHED: usize = 4;

impl<'s, F: Real> Lines<'s, F> {
    /// No lines.
    pub(crate) const NONE: Lines<'s, F> =
        Lines { memory: &[], stride: 0, classes: 0, next: Next::NOTHING };

    /// Lines of `classes` classes that lie `stride` apart.
    #[inline(always)]
    pub fn new(memory: &'s [F], stride: usize, classes: usize, next: Next) -> Self {
        let memory = &memory[..(classes - 1) * stride + LANES];
        Lines { memory, stride, classes, next }
    }

    /// Lines one behind the other.
    #[inline(always)]
    pub fn dense(lines: &'s [[F; LANES]], next: Next) -> Self {
        Lines { memory: lines.as_flattened(), stride: LANES, classes: lines.len(), next }
    }

    /// The same lines, when `of` knows what type `F` is.
    #[inline(always)]
    pub(crate) fn typed<G>(self, of: impl FnOnce(&'s [F]) -> Option<&'s [G]>) -> Lines<'s, G> {
        let Lines { memory, stride, classes, next } = self;
        Lines { memory: of(memory).unwrap_or(&[]), stride, classes, next }
    }

    /// Where the lines lie that are read after these.
    #[inline(always)]
    pub fn next(&self) -> Next {
        self.next
    }

    /// How many classes are fetched together, a power of two.
    #[inline(always)]
    fn fetched(&self) -> usize {
        let is_few = self.classes * size_of::<F>() <= AT_ONCE;
        if is_few && !self.next.is_apart() { NEAR } else { FETCHED }
    }

    /// Fetches a part of the lines that are read after these. It is called for each class, and fetches four classes on
    /// every fourth call. Of few classes, the first call fetches all.
    #[inline(always)]
    pub fn fetch_next(&self, class: usize) {
        let together = self.fetched();
        if class & (together - 1) == 0 {
            let steps = class..(class + together).min(self.classes);
            self.next.fetch(steps, self.classes <= NEAR);
        }
    }

    /// Fetches a quarter of the lines that are read after these. Of few classes, the first quarter is all.
    #[inline(always)]
    pub(crate) fn fetch_quarter(&self, quarter: usize) {
        let together = self.fetched();
        for class in (quarter * together..self.classes).step_by(4 * together) {
            self.fetch_next(class);
        }
    }

    /// The classes in groups of which [`fetch_next`](Self::fetch_next) fetches the parts together.
    #[inline(always)]
    pub(crate) fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<F> {
        let (classes, together) = (self.classes, self.fetched());
        (0..classes).step_by(together).map(move |first| first..(first + together).min(classes))
    }

    /// How many there are.
    #[inline(always)]
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// One class of all rows.
    #[inline(always)]
    pub fn line(&self, class: usize) -> &'s [F; LANES] {
        self.memory[class * self.stride..].first_chunk().expect("the memory of all lines")
    }
}

impl<'s> Lines<'s, f32> {
    /// The classes of eight neighbouring rows from number `first` on, and the largest of each row.
    #[inline(always)]
    pub(crate) fn eights(&self, first: usize, largest: &'s [f64; LANES]) -> Eights<'s> {
        let largest = largest[first..].first_chunk().expect("eight of 32");
        Eights::new(&self.memory[first..], [self.stride, self.classes], largest)
    }
}

/// The first `classes` lines of a scratch. Lanes without a row keep what they held before.
#[inline(always)]
pub fn scratch_lines<F: Real>(scratch: &mut Scratch<F>, classes: usize) -> &mut [[F; LANES]] {
    lines_of(&mut scratch.lines, classes)
}

/// The first `classes` lines of a buffer.
#[inline(always)]
pub fn lines_of<F: Real>(buffer: &mut Buffer<F>, classes: usize) -> &mut [[F; LANES]] {
    buffer.first(classes * LANES, F::ZERO).as_chunks_mut().0
}

/// [`scratch_lines`], and what the steps of the losses of `groups` groups of rows hand on.
#[inline(always)]
pub fn lines_and_steps<F: Real>(
    scratch: &mut Scratch<F>,
    classes: usize,
    groups: usize,
) -> (&mut [[F; LANES]], &mut [Steps<F, LANES>]) {
    let Scratch { lines, steps, .. } = scratch;
    if steps.len() < groups {
        steps.resize_with(groups, Steps::default);
    }
    (lines_of(lines, classes), &mut steps[..groups])
}

/// Turns the first `count` of the rows `flat`, which lie one behind the other, into lines. Returns what is read after them.
#[inline(always)]
pub(crate) fn turn_first<S: Isa, F: Real>(
    isa: S,
    flat: &[F],
    count: usize,
    lines: &mut [[F; LANES]],
) -> Next {
    let (rows, behind) = flat.split_at(count * lines.len());
    let next = match behind.len() >= lines.len() {
        true => Next::rows(Prefetch::burst(behind), LANES),
        false => Next::NOTHING,
    };
    isa.apart(
        #[inline(always)]
        || turn(isa, rows, lines),
    );
    next
}

/// Turns rows that lie one behind the other into lines.
#[inline(always)]
pub(crate) fn turn<S: Isa, F: Real>(isa: S, rows: &[F], lines: &mut [[F; LANES]]) {
    let classes = lines.len();
    if rows.len() == LANES * classes {
        return F::turn(isa, &Dense::new(rows, classes), lines);
    }
    for (lane, row) in rows.chunks_exact(classes).enumerate().take(LANES) {
        set_lane(lines, lane, row);
    }
}

/// Sets one lane of every line to the class of a row.
#[inline(always)]
fn set_lane<F: Real>(lines: &mut [[F; LANES]], lane: usize, row: &[F]) {
    for (line, &x) in lines.iter_mut().zip(row) {
        line[lane] = x;
    }
}

/// The first `classes` lines of a scratch as rows, one behind the other: the first `count` of them.
#[inline(always)]
pub(crate) fn lanes_to_rows<S: Isa, F: Real>(
    isa: S,
    scratch: &mut Scratch<F>,
    classes: usize,
    count: usize,
) -> &[F] {
    let Scratch { lines, values, .. } = scratch;
    let lines = lines.first(classes * LANES, F::ZERO).as_chunks::<LANES>().0;
    let rows = values.first(classes * LANES, F::ZERO);
    F::turn_back(isa, lines, rows);
    &rows[..classes * count]
}
