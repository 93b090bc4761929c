//! What happened in each row, which rows count, and how much.
//!
//! Another thread may change the array of targets during a call. Whoever uses a class more than once
//! reads it once: a few rows are copied by `Targets::read`, and a row alone is `Targets::known`.

use crate::Error;
use crate::data::drive::{self, Exec};
use crate::data::exact_sum::ExactSum;
use crate::data::totals::Totals;
use crate::math::row::weighed;
use nll_simd::Isa;
use std::ops::Range;

/// The targets of rows, and which rows count.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    /// The class of each row from number `first` on, counted in C order.
    pub target: &'a [i64],
    /// 0, but of a part of the rows.
    pub first: usize,
    /// The shape of the array of targets: that of the logits without the class axis.
    pub shape: &'a [usize],
    /// Rows with this target are ignored, whatever they hold.
    pub ignore_index: Option<i64>,
    /// The weight of each class; None for a weight of 1 each.
    pub weight: Option<&'a [f64]>,
    /// The weight of each row, a factor of the weight of its class; None for a weight of 1 each.
    pub row_weight: Option<&'a [f64]>,
}

/// Which rows count, and how much, of rows without a class as target.
#[derive(Clone, Copy, Default)]
pub struct Counted<'a> {
    /// Whether each row counts; None if all do.
    pub mask: Option<&'a [bool]>,
    /// The weight of each row; None for a weight of 1 each.
    pub row_weight: Option<&'a [f64]>,
}

impl Counted<'_> {
    /// Whether a row counts.
    #[inline(always)]
    pub fn counts(&self, row: usize) -> bool {
        self.mask.is_none_or(|mask| mask[row])
    }

    /// How much a row counts in the mean.
    #[inline(always)]
    pub fn weight(&self, row: usize) -> f64 {
        if self.counts(row) { self.row_weight.map_or(1.0, |w| w[row]) } else { 0.0 }
    }

    /// The sum of the weights of `rows` rows.
    pub fn sum_of_weights(&self, rows: usize) -> f64 {
        if self.row_weight.is_none() {
            return self.mask.map_or(rows, |mask| mask.iter().filter(|&&counts| counts).count())
                as f64;
        }
        let mut sum = ExactSum::default();
        (0..rows).for_each(|row| sum.add(self.weight(row)));
        sum.value()
    }

    /// Adds the values of at most `MOST` rows from `first` on to `totals`, times their weights.
    #[inline(always)]
    pub fn add_to<S: Isa, const MOST: usize>(
        &self,
        isa: S,
        totals: &mut Totals,
        first: usize,
        (values, double): (&mut [f64], bool),
    ) {
        let mut weights = [0.0; MOST];
        let weights = &mut weights[..values.len()];
        if self.mask.is_some() || self.row_weight.is_some() {
            for ((weight, value), row) in weights.iter_mut().zip(&mut *values).zip(first..) {
                (*weight, *value) = (self.weight(row), weighed(self.weight(row), *value));
            }
        }
        let weights = self.row_weight.map(|_| &*weights);
        totals.add_results::<S, MOST>(isa, values, weights, double);
        if let (Some(ignored), Some(mask)) = (&mut totals.ignored, self.mask) {
            let mask = &mask[first..][..values.len()];
            let count = mask.iter().map(|&counts| u64::from(!counts)).sum::<u64>();
            *ignored += count;
            totals.count -= count;
        }
    }
}

impl<'a> Targets<'a> {
    /// The targets of `rows`, read once: a copy of them in `memory`, which has room for one target of each row.
    #[inline(always)]
    pub fn read<'m>(&self, rows: Range<usize>, memory: &'m mut [i64]) -> Targets<'m>
    where
        'a: 'm,
    {
        let copy = &mut memory[..rows.len()];
        copy.copy_from_slice(self.of(rows.clone()));
        Targets { target: copy, first: rows.start, ..*self }
    }

    /// All targets, read once: a copy of them in `memory`. It is small beside the logits of rows of very many
    /// classes, for which it is meant.
    pub fn read_all<'m>(&self, memory: &'m mut Vec<i64>) -> Result<Targets<'m>, Error>
    where
        'a: 'm,
    {
        let bytes = size_of_val(self.target);
        let refused = |_| Error::Memory { bytes, what: "a copy of the targets" };
        memory.try_reserve_exact(self.target.len()).map_err(refused)?;
        memory.extend_from_slice(self.target);
        Ok(Targets { target: memory, ..*self })
    }

    /// [`read`](Self::read) and [`checked`](Self::checked) in one loop, which also counts those of `rows` that are ignored.
    #[inline(always)]
    pub fn read_checked<'m>(
        &self,
        rows: Range<usize>,
        classes: usize,
        memory: &'m mut [i64],
    ) -> (Targets<'m>, (Range<usize>, Option<usize>), u64)
    where
        'a: 'm,
    {
        let (copy, mut signs, mut count) = (&mut memory[..rows.len()], 0, 0);
        // If no target is ignored, the first class may be left out of the check instead: it exists.
        let (last, ignored) = (classes as i64 - 1, self.ignore_index.unwrap_or(0));
        for (to, &target) in copy.iter_mut().zip(self.of(rows.clone())) {
            *to = target;
            // Below 0 if the target is, or if it is above the last class.
            let sign = target | last.wrapping_sub(target);
            signs |= if target == ignored { 0 } else { sign };
            count += u64::from(target == ignored);
        }
        let targets = Targets { target: copy, first: rows.start, ..*self };
        let checked = if signs >= 0 { (rows, None) } else { targets.checked(rows, classes) };
        (targets, checked, if self.ignore_index.is_some() { count } else { 0 })
    }

    /// The targets of `rows`.
    #[inline(always)]
    pub fn of(&self, rows: Range<usize>) -> &'a [i64] {
        &self.target[rows.start - self.first..rows.end - self.first]
    }
}

impl Targets<'_> {
    #[inline(always)]
    fn target(&self, row: usize) -> i64 {
        self.target[row - self.first]
    }

    /// The target that is ignored; if none is, a number that no target has once targets are checked.
    #[inline(always)]
    pub fn ignored(&self) -> i64 {
        self.ignore_index.unwrap_or(i64::MIN)
    }

    /// Whether a row counts: its target is not the one that is ignored.
    #[inline(always)]
    pub fn counts(&self, row: usize) -> bool {
        Some(self.target(row)) != self.ignore_index
    }

    /// The class of a row that counts. Targets are checked before, but another thread may change them
    /// until they are read: whoever takes the class as an index says what no class gives.
    #[inline(always)]
    pub fn class(&self, row: usize) -> usize {
        self.target(row) as usize
    }

    /// The class of a row, read once: None of a row that does not count, or whose target is none of
    /// `classes` classes.
    #[inline(always)]
    pub fn known(&self, row: usize, classes: usize) -> Option<usize> {
        let class = self.target(row);
        let counts = Some(class) != self.ignore_index && (class as u64) < classes as u64;
        counts.then_some(class as usize)
    }

    /// The weight of the class of a row that counts; NaN of no class.
    #[inline(always)]
    pub fn class_weight(&self, row: usize) -> f64 {
        self.weight.map_or(1.0, |w| w.get(self.class(row)).copied().unwrap_or(f64::NAN))
    }

    /// The weight of a row itself.
    #[inline(always)]
    pub fn row_weight(&self, row: usize) -> f64 {
        self.row_weight.map_or(1.0, |w| w[row])
    }

    /// How much the loss of a row counts in the mean: 0 if the row is ignored.
    #[inline(always)]
    pub fn weight(&self, row: usize) -> f64 {
        if self.counts(row) { self.class_weight(row) * self.row_weight(row) } else { 0.0 }
    }

    /// Whether any row may have another weight than 1.
    #[inline]
    pub fn are_weighted(&self) -> bool {
        self.weight.is_some() || self.row_weight.is_some()
    }

    /// Σ_c w_c over all `classes`, rounded, and what that leaves.
    pub fn sum_of_class_weights(&self, classes: usize) -> [f64; 2] {
        let Some(weights) = self.weight else { return [classes as f64, 0.0] };
        let mut sum = ExactSum::default();
        weights.iter().for_each(|&weight| sum.add(weight));
        let rounded = sum.value();
        sum.add(-rounded);
        [rounded, if rounded.is_finite() { sum.value() } else { 0.0 }]
    }

    /// How many rows there are.
    pub(crate) fn count(&self) -> usize {
        self.target.len()
    }

    /// Multiplies the losses of the rows from `first` on that count by the weights of their classes.
    #[inline(always)]
    pub fn weigh_classes(&self, first: usize, losses: &mut [f64]) {
        if self.weight.is_none() {
            return;
        }
        for (row, loss) in (first..).zip(losses).filter(|(row, _)| self.counts(*row)) {
            *loss = weighed(self.class_weight(row), *loss);
        }
    }

    /// Multiplies the losses of the rows from `first` on by the weights of these rows.
    #[inline(always)]
    pub fn weigh_rows(&self, first: usize, losses: &mut [f64]) {
        let weights = self.row_weight.map_or(&[][..], |weights| &weights[first..]);
        for (loss, &weight) in losses.iter_mut().zip(weights) {
            *loss = weighed(weight, *loss);
        }
    }

    /// The first of `rows` whose target is neither one of `classes` classes nor ignored.
    #[inline(always)]
    pub(crate) fn first_unknown(&self, rows: Range<usize>, classes: usize) -> Option<usize> {
        let targets = self.of(rows.clone());
        // Without an end at the first, so that LLVM vectorises it.
        let bad = targets.iter().fold(0, |bad, &t| bad | u64::from(self.is_unknown(t, classes)));
        if bad == 0 {
            return None;
        }
        Some(rows.start + targets.iter().position(|&t| self.is_unknown(t, classes))?)
    }

    #[inline(always)]
    fn is_unknown(&self, target: i64, classes: usize) -> bool {
        // As unsigned numbers, negative ones are larger than any class.
        (target as u64 >= classes as u64) & (Some(target) != self.ignore_index)
    }

    /// `rows` up to the first whose target is neither a class nor ignored, and that row, if there is
    /// one.
    #[inline(always)]
    pub fn checked(&self, rows: Range<usize>, classes: usize) -> (Range<usize>, Option<usize>) {
        let unknown = self.first_unknown(rows.clone(), classes);
        (rows.start..unknown.unwrap_or(rows.end), unknown)
    }

    /// An error for the first target that names no class.
    pub fn check(&self, exec: Exec<'_>, classes: usize) -> Result<(), Error> {
        let found = drive::first(
            exec,
            self.target.len(),
            #[inline(always)]
            |rows| self.first_unknown(rows, classes),
        )?;
        found.map_or(Ok(()), |row| Err(self.unknown(row, classes)))
    }

    /// The error of a row whose target names no class.
    pub fn unknown(&self, row: usize, classes: usize) -> Error {
        let (mut index, mut rest) = (vec![0; self.shape.len()], row);
        for (at, length) in index.iter_mut().zip(self.shape).rev() {
            (*at, rest) = (rest % length, rest / length);
        }
        Error::Target { value: self.target(row), index, classes }
    }
}
