//! One entry of each row: the class that its target names.
//!
//! Where rows are equally far apart in memory, as nearly always, an entry lies at row·stride + class·stride. Both
//! strides are found once for a block of rows, and not for each of them. Long rows are fetched into the cache some
//! rows ahead, because no hardware prefetcher knows which class of a row is next.

use crate::data::element::Element;
use crate::data::strided::Strided;
use crate::data::targets::Targets;
use nll_simd::Prefetch;

/// How many rows ahead entries are fetched: more cache lines than a core can have requested at once.
const AHEAD: usize = 32;

/// Rows of fewer bytes are not fetched ahead: in C order they share cache lines with their neighbours, or follow each
/// other so closely that the hardware fetches all of them; in Fortran order there are so few columns that most lines
/// of each hold an entry.
const LONG: usize = 2 * Prefetch::LINE;

impl<E: Element> Strided<'_, E> {
    /// Sets each number of `to` to the class of a row that its target names, the rows from `first` on. Numbers
    /// of rows that do not count are left as they were. The first rows of a call are not fetched ahead.
    pub fn entries(&self, first: usize, targets: Targets<'_>, to: &mut [f64]) {
        let (count, ignored) = (to.len(), targets.ignored());
        let targets = targets.of(first..first + count);
        let flat = self.flat.map(|flat| (&flat[first * self.length..], [self.length, 1]));
        let beside =
            || Some(self.side_by_side(first, count)?).map(|(memory, class)| (memory, [1, class]));
        if let Some((memory, strides)) = flat.or_else(beside) {
            // Short rows are one piece, behind which nothing is left to fetch.
            let is_long = self.length * size_of::<E::Storage>() >= LONG;
            let piece = if is_long { AHEAD } else { count.max(1) };
            for (i, to) in to.chunks_mut(piece).enumerate() {
                let (now, next) = targets[i * piece..].split_at(to.len());
                let rows = &memory[i * piece * strides[0]..];
                let next = &next[..next.len().min(piece)];
                fetch(&rows[to.len() * strides[0]..], strides, (next, ignored));
                pick::<E>(rows, strides, (now, ignored), to);
            }
            return;
        }
        let rows = Some(self.rows_from(first, count)).filter(|rows| rows.nrows() == count);
        for (i, (to, &target)) in to.iter_mut().zip(targets).enumerate() {
            if target != ignored {
                let class = target as usize;
                *to = rows.map_or_else(
                    || self.entry(first + i, class),
                    |rows| E::value(rows[(i, class)]),
                );
            }
        }
    }
}

/// Sets number i of `to` to the element of `memory` at i·`row_stride` + target·`class_stride`, unless target i is
/// the one that is `ignored`.
fn pick<E: Element>(
    memory: &[E::Storage],
    [row_stride, class_stride]: [usize; 2],
    (targets, ignored): (&[i64], i64),
    to: &mut [f64],
) {
    let mut row = 0usize;
    for (to, &target) in to.iter_mut().zip(targets) {
        if target != ignored {
            *to = E::value(memory[row + target as usize * class_stride]);
        }
        row += row_stride;
    }
}

/// Fetches the entries that [`pick`] will read. Those of ignored rows are left out: if most rows are ignored, fetching
/// their entries would take more time than all the others save.
fn fetch<T>(
    memory: &[T],
    [row_stride, class_stride]: [usize; 2],
    (targets, ignored): (&[i64], i64),
) {
    let Some(first) = targets.iter().position(|&target| target != ignored) else { return };
    let prefetch = Prefetch::burst(memory);
    let mut row = first * row_stride;
    for &target in &targets[first..] {
        let entry = row.wrapping_add((target as usize).wrapping_mul(class_stride));
        prefetch.fetch_at(entry, target != ignored);
        row += row_stride;
    }
}
