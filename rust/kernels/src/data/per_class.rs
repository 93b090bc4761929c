//! Where the results of functions go that have one result for each logit.
//!
//! Rows lie one behind the other, as in C order with the class axis last, or as the logits do: the
//! results of a class of `inner` rows side by side, then those of the next class, and so on for the
//! next `inner` rows. Images with the class axis second have the rows of an image side by side, and
//! a matrix in Fortran order has all.

use crate::data::array::Array;
use crate::data::drive::{Split, ranges};
use crate::data::lines::{LANES, lanes_to_rows, scratch_lines};
use crate::data::out::Out;
use crate::data::rows::Rows;
use crate::data::scratch::Scratch;
use nll_simd::{Isa, NonTemporal, Real};
use std::ops::Range;

/// An array of results, one for each class of each row.
pub enum PerClass<'a> {
    /// Rows one behind the other.
    Rows {
        /// The results.
        out: Out<'a>,
        /// How many a row has.
        classes: usize,
    },
    /// Rows side by side.
    Beside(Beside<'a>),
}

/// An array of results in which `inner` rows lie side by side, and so do the next.
///
/// A task may begin within a group of `inner` rows and end within another. Its rows are the rest of
/// the first group, whole groups, and the first rows of the last group.
pub struct Beside<'a> {
    classes: usize,
    inner: usize,
    first: Option<Segment<'a>>,
    whole: Out<'a>,
    last: Option<Segment<'a>>,
}

/// Some rows side by side: a piece of the array for each class.
struct Segment<'a> {
    rows: usize,
    classes: Vec<Out<'a>>,
}

impl<'a> PerClass<'a> {
    /// The order of the axes, from the longest steps in memory to the shortest, in which results lie
    /// as the logits do, and how many rows are side by side if any are. C order if the classes are too
    /// many to be read side by side, or the rows are in another order than that of their axes.
    pub fn layout(logits: &Array<'_>) -> (Vec<usize>, Option<usize>) {
        let (shape, order) = (logits.shape(), logits.memory_order());
        let class = shape.len().saturating_sub(1);
        let is_few = Rows::new([logits]).are_few() && !shape.contains(&0);
        if !is_few || !order.iter().filter(|&&axis| axis != class).is_sorted() {
            return ((0..shape.len()).collect(), None);
        }
        let behind = order.iter().skip_while(|&&axis| axis != class).skip(1);
        let inner: usize = behind.map(|&axis| shape[axis]).product();
        (order, (inner > 1).then_some(inner))
    }

    /// Results of rows of `classes` classes, of which `inner` lie side by side if that is given.
    pub fn new(out: Out<'a>, classes: usize, inner: Option<usize>) -> Self {
        match inner {
            None => PerClass::Rows { out, classes },
            Some(inner) => {
                let (first, last) = (None, None);
                PerClass::Beside(Beside { classes, inner, first, whole: out, last })
            }
        }
    }

    /// Whether results are wanted.
    #[inline]
    pub fn is_wanted(&self) -> bool {
        match self {
            PerClass::Rows { out, .. } => out.is_wanted(),
            PerClass::Beside(_) => true,
        }
    }

    /// Whether the results are written by non-temporal stores.
    #[inline]
    pub fn is_large(&self) -> bool {
        match self {
            PerClass::Rows { out, .. } => out.is_large(),
            PerClass::Beside(beside) => beside.whole.is_large(),
        }
    }

    /// The rows `range`, which are next, in groups of at most [`LANES`]. Of rows side by side, all
    /// groups but the first begin at a cache line if the rows of a group fill cache lines.
    pub fn groups(&mut self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + use<> {
        let next = match self {
            PerClass::Rows { .. } => None,
            PerClass::Beside(beside) => beside.next().and_then(|segment| segment.classes.first()),
        };
        let first = range.start + next.map_or(0, |out| out.to_boundary().min(range.len()) % LANES);
        ranges(range.start..first, LANES).chain(ranges(first..range.end, LANES))
    }

    /// The results of rows of many classes.
    #[inline]
    pub fn rows(self) -> Out<'a> {
        match self {
            PerClass::Rows { out, .. } => out,
            PerClass::Beside(_) => unreachable!("rows of many classes lie one behind the other"),
        }
    }

    /// Writes the results of the next `count` rows, at most [`LANES`], from the lines of a scratch.
    #[inline(always)]
    pub fn write<'s, S: Isa, F: Real>(
        &mut self,
        isa: S,
        scratch: &mut Scratch<F>,
        count: usize,
        stores: Option<&'s NonTemporal<'s, '_>>,
    ) where
        'a: 's,
    {
        match self {
            PerClass::Rows { out, .. } if !out.is_wanted() => {}
            PerClass::Rows { out, classes } => {
                out.write(lanes_to_rows(isa, scratch, *classes, count), stores);
            }
            PerClass::Beside(beside) => {
                beside.write(&*scratch_lines(scratch, beside.classes), count, stores);
            }
        }
    }
}

impl<'a> Beside<'a> {
    /// The rows that are next, which are side by side.
    fn next(&mut self) -> Option<&mut Segment<'a>> {
        let Beside { classes, inner, first, whole, last } = self;
        if first.as_ref().is_none_or(|segment| segment.rows == 0) {
            if whole.len().is_none_or(|length| length == 0) {
                *first = last.take();
            } else {
                let mut group = whole.split_off(*classes * *inner);
                let segment = first.get_or_insert(Segment { rows: 0, classes: Vec::new() });
                segment.rows = *inner;
                segment.classes.clear();
                segment.classes.extend((0..*classes).map(|_| group.split_off(*inner)));
            }
        }
        first.as_mut()
    }

    /// Takes off the next `rows` as far as they are side by side, and reduces `rows` by their number.
    fn take(&mut self, rows: &mut usize) -> Option<Segment<'a>> {
        let segment = self.next()?;
        let count = segment.rows.min(*rows);
        *rows -= count;
        (count > 0).then(|| segment.split_off(count))
    }

    /// Writes the results of the next `count` rows.
    #[inline(always)]
    fn write<'s, F: Real>(
        &mut self,
        lines: &[[F; LANES]],
        count: usize,
        stores: Option<&'s NonTemporal<'s, '_>>,
    ) where
        'a: 's,
    {
        let mut done = 0;
        while done < count {
            let Some(segment) = self.next() else { return };
            let rows = segment.rows.min(count - done);
            for (out, line) in segment.classes.iter_mut().zip(lines) {
                out.write(&line[done..done + rows], stores);
            }
            (segment.rows, done) = (segment.rows - rows, done + rows);
        }
    }
}

impl Split for Segment<'_> {
    fn split_off(&mut self, rows: usize) -> Self {
        self.rows -= rows;
        Segment { rows, classes: self.classes.iter_mut().map(|out| out.split_off(rows)).collect() }
    }
}

impl Split for PerClass<'_> {
    fn split_off(&mut self, rows: usize) -> Self {
        match self {
            PerClass::Rows { out, classes } => {
                PerClass::Rows { out: out.split_off(rows * *classes), classes: *classes }
            }
            PerClass::Beside(beside) => PerClass::Beside(beside.split_off(rows)),
        }
    }
}

impl Split for Beside<'_> {
    fn split_off(&mut self, mut rows: usize) -> Self {
        let (classes, inner) = (self.classes, self.inner);
        let first = self.take(&mut rows);
        let left = self.whole.len().unwrap_or(0) / (classes * inner);
        let groups = (rows / inner).min(left);
        let whole = self.whole.split_off(groups * classes * inner);
        rows -= groups * inner;
        let last = self.take(&mut rows);
        Beside { classes, inner, first, whole, last }
    }
}
