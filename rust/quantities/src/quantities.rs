//! The pass over all rows that computes a [`Quantity`]. A row is read once, and for the divergence of two nearly equal rows,
//! or of float64, once more, from cache.

use crate::quantity::Quantity;
use nll_kernels::Error;
use nll_kernels::call::row_loss::BLOCK_ROWS;
use nll_kernels::call::row_sweeps::Memory;
use nll_kernels::call::{HugePair, expected_loss_of_huge, is_probability};
use nll_kernels::data::drive::{self, Exec, Work, ranges};
use nll_kernels::data::lines::{LANES, lines_of, scratch_lines};
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::{GROUP, Rows};
use nll_kernels::data::targets::Counted;
use nll_kernels::data::totals::{Totaled, Totals};
use nll_kernels::fold::{
    ExpectedLoss, Probabilities, WeightedSum, Weighting, expected_losses, weighted_sums,
};
use nll_kernels::fold::{lane_pair, lane_terms};
use nll_simd::{Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

impl Quantity<'_> {
    /// The quantity of every row times its weight into `out`, 0 for rows that do not count, and the
    /// totals. Nothing is written if an error is returned.
    pub fn run(
        &self,
        exec: Exec<'_>,
        rows: Counted<'_>,
        totaled: Totaled,
        out: Out<'_>,
    ) -> Result<Totals, Error> {
        self.check_rows(rows)?;
        if out.is_wanted() {
            self.check_probabilities(exec, rows)?;
        }
        let totals = match self.is_double() {
            true => self.run_in::<f64>(exec, rows, totaled, out)?,
            false => self.run_in::<f32>(exec, rows, totaled, out)?,
        };
        // A row of weight 0 costs 0, and one of NaN makes the total NaN.
        if totals.is_nan() || rows.row_weight.is_some() {
            self.check_probabilities(exec, rows)?;
        }
        Ok(totals)
    }

    fn run_in<F: Real>(
        &self,
        exec: Exec<'_>,
        rows: Counted<'_>,
        totaled: Totaled,
        out: Out<'_>,
    ) -> Result<Totals, Error> {
        let quantities = Quantities::<F> { of: self, rows, totaled, real: PhantomData };
        if Rows::new([self.logits()]).are_long() {
            return quantities.run_long(exec, out);
        }
        drive::run(exec, &quantities, out)
    }

    /// An error if a probability of a row that counts lies outside [0, 1]. The loss of such a row is
    /// NaN, so there is nothing to look for where the total is a number.
    fn check_probabilities(&self, exec: Exec<'_>, counted: Counted<'_>) -> Result<(), Error> {
        let Quantity::ExpectedLoss { probs, .. } = self else { return Ok(()) };
        let rows = Rows::new([*probs]);
        if rows.are_long() {
            for row in (0..rows.count()).filter(|&row| counted.counts(row)) {
                let all = (row, 0..rows.classes());
                if let Some(class) = rows.find_in_tasks(exec, all, &|p| !is_probability(p))? {
                    let value = rows.entry(row, class);
                    return Err(Error::Probability { value, row, class });
                }
            }
            return Ok(());
        }
        let bad = |row| rows.find(row, 0..rows.classes(), &|p| !is_probability(p));
        let found = drive::first(exec, rows.count(), |mut group| {
            group.find(|&row| counted.counts(row) && bad(row).is_some())
        })?;
        found.and_then(|row| Some((row, bad(row)?))).map_or(Ok(()), |(row, class)| {
            Err(Error::Probability { value: rows.entry(row, class), row, class })
        })
    }
}

/// The quantity of every row, computed in `F`.
pub(crate) struct Quantities<'q, F> {
    pub(crate) of: &'q Quantity<'q>,
    pub(crate) rows: Counted<'q>,
    pub(crate) totaled: Totaled,
    pub(crate) real: PhantomData<F>,
}

impl<F: Real> Work<Out<'_>> for Quantities<'_, F> {
    type Total = Totals;
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        Rows::new([self.of.arrays()[0].1]).count()
    }

    fn per_task(&self) -> usize {
        let [(_, first), (_, second)] = self.of.arrays();
        Rows::new([first, second]).per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        mut out: Out<'_>,
        memory: &mut Memory<F>,
    ) -> Totals {
        let [(_, first), (_, second)] = self.of.arrays();
        let (one, both) = (Rows::new([first]), Rows::new([first, second]));
        let (counted, mut totals) = (self.rows, self.no_totals());
        if both.are_few() {
            let mut values = [0.0; BLOCK_ROWS];
            for block in ranges(range, BLOCK_ROWS) {
                let values = &mut values;
                for (group, values) in
                    ranges(block.clone(), LANES).zip(values.as_chunks_mut::<LANES>().0)
                {
                    *values = match group.clone().any(|row| counted.counts(row)) {
                        true => isa.apart(
                            #[inline(always)]
                            || self.lanes(isa, &group, memory),
                        ),
                        false => [0.0; LANES],
                    };
                }
                let (values, sums) = (&mut values[..block.len()], (&mut totals, &mut out));
                self.take::<S, BLOCK_ROWS>(isa, block.start, values, sums);
            }
            return totals;
        }
        for group in both.groups(range) {
            let mut values = [0.0; GROUP];
            let (start, values) = (group.start, &mut values[..group.len()]);
            match self.of {
                Quantity::Entropy { .. } => {
                    memory.entropy(isa, &one, (group, counted), values);
                }
                Quantity::SoftTarget { .. } => {
                    let weighting = self.of.weighting();
                    memory.soft_target(isa, &both, (group, counted), weighting, values);
                }
                Quantity::Divergence { .. } => {
                    let rows = ([&one, &Rows::new([second])], &both);
                    memory.divergence(isa, rows, (group, counted), values);
                }
                Quantity::ExpectedLoss { .. } => {
                    let of = self.probabilities(both.classes());
                    memory.plain(
                        isa,
                        &both,
                        (group, counted),
                        #[inline(always)]
                        || ExpectedLoss::empty(of),
                        values,
                    );
                }
                Quantity::WeightedSum { .. } => {
                    memory.plain(isa, &both, (group, counted), WeightedSum::<F>::empty, values);
                }
            }
            self.take::<S, GROUP>(isa, start, values, (&mut totals, &mut out));
        }
        totals
    }
}

impl<F: Real> Quantities<'_, F> {
    /// Writes the values of at most `MOST` rows from `first` on, times their weights, and adds them to the totals.
    #[inline(always)]
    pub(crate) fn take<S: Isa, const MOST: usize>(
        &self,
        isa: S,
        first: usize,
        values: &mut [f64],
        (totals, out): (&mut Totals, &mut Out<'_>),
    ) {
        self.restore_huge(first, values);
        self.rows.add_to::<S, MOST>(isa, totals, first, (values, F::COMPENSATED));
        out.write(values, None);
    }

    /// The totals of no rows.
    pub(crate) fn no_totals(&self) -> Totals {
        let mut totals = Totals::empty(self.rows.row_weight.is_some(), self.totaled);
        totals.ignored = self.rows.mask.map(|_| 0);
        totals
    }

    /// Computes infinite values of the rows from `first` on again, as perhaps only a product was infinite.
    #[inline(always)]
    fn restore_huge(&self, first: usize, values: &mut [f64]) {
        if !F::COMPENSATED || values.iter().fold(true, |all, value| all & value.is_finite()) {
            return;
        }
        for (row, value) in (first..).zip(values) {
            if self.rows.counts(row) && !value.is_finite() {
                *value = self.restored(row, *value);
            }
        }
    }

    /// The value of a row with huge logits. Of any other row it is `value`, the result of the folds.
    #[cold]
    fn restored(&self, row: usize, value: f64) -> f64 {
        let [first, second] = self.of.arrays().map(|(_, array)| Rows::new([array]));
        match self.of {
            Quantity::Divergence { .. } => {
                HugePair::new([&first, &second], row).map_or(value, |pair| pair.divergence())
            }
            Quantity::SoftTarget { .. } => {
                let weighting = self.of.weighting();
                let target = |class| weighting.product(class, second.entry(row, class));
                expected_loss_of_huge(&first, row, value, &target)
            }
            _ => value,
        }
    }

    /// How an expected loss reads its arrays; of nothing else.
    pub(crate) fn probabilities(&self, classes: usize) -> Probabilities<'_> {
        let (weight, margin) = match self.of {
            Quantity::ExpectedLoss { probs, weight, clip: true, .. } => (*weight, probs.epsilon()),
            Quantity::ExpectedLoss { weight, .. } => (*weight, 0.0),
            _ => (None, 0.0),
        };
        Probabilities { weighting: Weighting { weight, smoothing: 0.0, classes }, margin }
    }

    /// The quantities of at most [`LANES`] rows of few classes.
    #[inline(always)]
    fn lanes<S: Isa>(&self, isa: S, group: &Range<usize>, memory: &mut Memory<F>) -> [f64; LANES] {
        let [(_, first), (_, second)] = self.of.arrays();
        let both = Rows::new([first, second]);
        let Memory { reading, computing, terms: [more, _] } = memory;
        let held = scratch_lines(computing, both.classes());
        if let Quantity::Entropy { .. } = self.of {
            let one = Rows::new([first]);
            let [lines] = one.lines(isa, group, core::array::from_mut(&mut reading[0]));
            return lane_terms::entropies(isa, lines, held).value;
        }
        let lines = both.lines(isa, group, reading);
        match self.of {
            Quantity::SoftTarget { .. } => {
                lane_terms::soft_target(isa, lines, held, self.of.weighting())
            }
            Quantity::ExpectedLoss { .. } => {
                expected_losses(isa, lines, self.probabilities(both.classes()))
            }
            Quantity::WeightedSum { .. } => weighted_sums(isa, lines),
            _ => {
                let more = lines_of(more, both.classes());
                lane_pair::divergence(isa, (lines, group.len()), [held, more])
            }
        }
    }
}
