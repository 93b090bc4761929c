//! Quantities of rows of very many classes, in which each class has its part.

use crate::quantities::Quantities;
use crate::quantity::Quantity;
use nll_kernels::Error;
use nll_kernels::call::long_rows::{Folded, Largest, LongRow, Top, fold_rows};
use nll_kernels::call::row_sweeps;
use nll_kernels::data::drive::{self, Exec, Split, Work};
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::{GROUP, Rows};
use nll_kernels::data::targets::Counted;
use nll_kernels::data::totals::Totals;
use nll_kernels::fold::{
    Divergence, Entropy, ExpectedLoss, Fold, LongPair, Related, SoftTarget, WeightedSum, Weighting,
};
use nll_simd::{Isa, Real};
use std::ops::Range;

/// The entropy of each row that counts.
struct Entropies<'c>(Counted<'c>);

impl<F: Real> LongRow<F, 1> for Entropies<'_> {
    type State = Entropy<F>;
    type Row = f64;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Entropy<F>> {
        self.0.counts(row).then(Entropy::empty)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Entropy<F>) -> f64 {
        Entropy::<F>::value(isa, state.finish(isa))
    }
}

/// The cross entropy of each row that counts with a distribution as target.
struct SoftTargets<'c>(Counted<'c>, Weighting<'c>);

impl<'c, F: Real> LongRow<F, 2> for SoftTargets<'c> {
    type State = SoftTarget<'c, F>;
    type Row = f64;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<SoftTarget<'c, F>> {
        self.0.counts(row).then(|| SoftTarget::empty(self.1))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &SoftTarget<'c, F>) -> f64 {
        SoftTarget::<F>::value(isa, state.finish(isa))
    }
}

/// The divergence of each row of a group, from number `first` on, of the largest logits of both.
struct Divergences<F: Real> {
    first: usize,
    tops: [Vec<Option<Top<F>>>; 2],
}

impl<F: Real> LongRow<F, 2> for Divergences<F> {
    type State = Divergence<LongPair<F>>;
    type Row = (Related<F>, LongPair<F>);

    const BLOCK: usize = row_sweeps::PIECE;

    #[inline(always)]
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State> {
        let [p, q] = self.tops.each_ref().map(|tops| tops[row - self.first]);
        Some(Divergence::new(LongPair::new(isa, p?.max, q?.max)))
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Self::State) -> Self::Row {
        (state.related(isa), *state.pair())
    }
}

/// The divergence of each row of a group that counts, with what its slopes need.
pub(crate) type Pairs<F> = Vec<Option<(Related<F>, LongPair<F>)>>;

/// The divergence of each row of a group that counts, and what its slopes need.
pub(crate) fn divergences<F: Real>(
    exec: Exec<'_>,
    (each, both): ([&Rows<'_>; 2], &Rows<'_, 2>),
    group: Range<usize>,
    counts: impl Fn(usize) -> bool + Sync,
) -> Result<Pairs<F>, Error> {
    let largest = Largest(counts);
    let p = fold_rows(exec, each[0], group.clone(), &largest)?;
    let q = fold_rows(exec, each[1], group.clone(), &largest)?;
    fold_rows(exec, both, group.clone(), &Divergences { first: group.start, tops: [p, q] })
}

impl<F: Real> Quantities<'_, F> {
    /// [`Quantity::run`] of rows of very many classes.
    pub(crate) fn run_long(&self, exec: Exec<'_>, mut out: Out<'_>) -> Result<Totals, Error> {
        let [(_, first), (_, second)] = self.of.arrays();
        let both = Rows::new([first, second]);
        let mut totals = self.no_totals();
        for group in both.long_groups() {
            let values = self.long_values(exec, &group)?;
            totals = totals.add(self.take_long(exec, group, values, &mut out));
        }
        Ok(totals)
    }

    /// [`Self::take`] for a group of rows of very many classes, of which those that do not count have no
    /// value. Returns the totals of the group.
    pub(crate) fn take_long(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        found: impl IntoIterator<Item = Option<f64>>,
        out: &mut Out<'_>,
    ) -> Totals {
        let mut values = [0.0; GROUP];
        values.iter_mut().zip(found).for_each(|(to, value)| *to = value.unwrap_or(0.0));
        let known = KnownValues { of: self, values };
        let out = out.split_off(group.len());
        drive::task(exec.level, &known, group, out)
    }

    /// The quantities of a group of rows of very many classes, None of those that do not count.
    fn long_values(&self, exec: Exec<'_>, group: &Range<usize>) -> Result<Vec<Option<f64>>, Error> {
        let [(_, first), (_, second)] = self.of.arrays();
        let (one, both) = (Rows::new([first]), Rows::new([first, second]));
        let (counted, group) = (self.rows, group.clone());
        match self.of {
            Quantity::Entropy { .. } => {
                fold_rows::<F, _, 1>(exec, &one, group, &Entropies(counted))
            }
            Quantity::SoftTarget { .. } => {
                let loss = SoftTargets(counted, self.of.weighting());
                fold_rows::<F, _, 2>(exec, &both, group, &loss)
            }
            Quantity::Divergence { .. } => {
                let rows = ([&one, &Rows::new([second])], &both);
                let found = divergences::<F>(exec, rows, group, |row| counted.counts(row))?;
                let value = |(related, _): (Related<F>, _)| related.value;
                Ok(found.into_iter().map(|found| found.map(value)).collect())
            }
            Quantity::ExpectedLoss { .. } => {
                let of = self.probabilities(both.classes());
                let loss = Folded(|row| counted.counts(row).then(|| ExpectedLoss::empty(of)));
                fold_rows::<F, _, 2>(exec, &both, group, &loss)
            }
            Quantity::WeightedSum { .. } => {
                let sum = Folded(|row| counted.counts(row).then(WeightedSum::<F>::empty));
                fold_rows::<F, _, 2>(exec, &both, group, &sum)
            }
        }
    }
}

/// Values of a group of rows that are known already.
struct KnownValues<'c, F> {
    of: &'c Quantities<'c, F>,
    values: [f64; GROUP],
}

impl<F: Real> Work<Out<'_>> for KnownValues<'_, F> {
    type Total = Totals;
    type Memory = ();

    fn count(&self) -> usize {
        GROUP
    }

    fn per_task(&self) -> usize {
        GROUP
    }

    #[inline(always)]
    fn task<S: Isa>(&self, isa: S, rows: Range<usize>, mut out: Out<'_>, (): &mut ()) -> Totals {
        let (mut totals, mut values) = (self.of.no_totals(), self.values);
        let values = &mut values[..rows.len()];
        self.of.take::<S, GROUP>(isa, rows.start, values, (&mut totals, &mut out));
        totals
    }
}
