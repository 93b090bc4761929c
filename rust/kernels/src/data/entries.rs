//! One entry of each row: the class that its target names.
//!
//! Where rows are equally far apart in memory, as nearly always, an entry lies at row·stride + class·stride. Both
//! strides are found once for a block of rows, and not for each of them.

use crate::data::element::Element;
use crate::data::strided::Strided;
use crate::data::targets::Targets;

impl<E: Element> Strided<'_, E> {
    /// Sets each number of `to` to the class of a row that its target names, the rows from `first` on. Numbers
    /// of rows that do not count are left as they were.
    pub fn entries(&self, first: usize, targets: Targets<'_>, to: &mut [f64]) {
        let (count, ignored) = (to.len(), targets.ignored());
        let targets = targets.of(first..first + count);
        let flat = self.flat.map(|flat| (&flat[first * self.length..], [self.length, 1]));
        let beside =
            || Some(self.side_by_side(first, count)?).map(|(memory, class)| (memory, [1, class]));
        if let Some((memory, strides)) = flat.or_else(beside) {
            return pick::<E>(memory, strides, (targets, ignored), to);
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
