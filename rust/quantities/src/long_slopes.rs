//! Gradients of quantities of rows of very many classes, by the logits: each row is read for what the
//! formula needs of the whole row, and once more for the results.

use crate::balance::{Balanced, SlopesEnd, balance_long};
use crate::long_quantities::{Pairs, divergences};
use crate::quantity::Quantity;
use crate::slope_blocks::{self, EntropyRow, SoftTargetRow};
use crate::slopes::RowSlopes;
use nll_kernels::Error;
use nll_kernels::call::HugePair;
use nll_kernels::call::long_rows::{Fixed, LongRow, Places, fold_rows, next_rows, write_rows};
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::{Block, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::data::totals::Totals;
use nll_kernels::fold::{
    Entropy, Fold, LongPair, Others, Related, SoftTarget, TargetSum, Weighting,
};
use nll_simd::{Isa, NonTemporal, Real};
use std::ops::Range;

impl<F: Real> RowSlopes<'_, F> {
    /// The values and gradients of all rows.
    pub(crate) fn run_long(
        &self,
        exec: Exec<'_>,
        mut outs: [Out<'_>; 2],
        mut values: Out<'_>,
    ) -> Result<Totals, Error> {
        let [(_, first), (_, second)] = self.of().arrays();
        let each = [Rows::new([first]), Rows::new([second])];
        let rows = LongSlopes { each, both: Rows::new([first, second]), call: self };
        let mut totals = self.values.no_totals();
        for group in rows.both.long_groups() {
            let mut places = next_rows(&mut outs, group.len(), rows.both.classes());
            let found = match self.of() {
                Quantity::Entropy { .. } => rows.entropy(exec, group.clone(), &mut places)?,
                Quantity::SoftTarget { .. } => {
                    rows.soft_target(exec, group.clone(), &mut places)?
                }
                Quantity::Divergence { .. } => rows.divergence(exec, group.clone(), &mut places)?,
                Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } => Vec::new(),
            };
            totals = totals.add(self.values.take_long(exec, group, found, &mut values));
        }
        Ok(totals)
    }
}

/// The rows of both arrays.
struct LongSlopes<'a, F> {
    each: [Rows<'a>; 2],
    both: Rows<'a, 2>,
    call: &'a RowSlopes<'a, F>,
}

/// The value of each row of a group, None of those that do not count.
type Values = Vec<Option<f64>>;

impl<F: Real> LongSlopes<'_, F> {
    fn entropy(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        places: &mut Places<'_, 2>,
    ) -> Result<Values, Error> {
        let [rows, _] = &self.each;
        let tops = fold_rows(exec, rows, group.clone(), &EntropyTops(self.call))?;
        let values = tops.iter().map(|top| Some(top.as_ref()?.value)).collect();
        let slopes = EntropySlopes::<F> { first: group.start, tops };
        let ends = write_rows(exec, rows, group, &slopes, places)?;
        balance_long::<F>(places, &ends);
        Ok(values)
    }

    fn soft_target(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        places: &mut Places<'_, 2>,
    ) -> Result<Values, Error> {
        let (first, weighting) = (group.start, self.call.of().weighting());
        let tops = SoftTargetTops { call: self.call, weighting };
        let tops = fold_rows(exec, &self.both, group.clone(), &tops)?;
        let values = tops.iter().map(|top| Some(top.as_ref()?.value)).collect();
        let slopes = SoftTargetSlopes { first, tops, weighting };
        write_rows(exec, &self.both, group, &slopes, places)?;
        Ok(values)
    }

    fn divergence(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        places: &mut Places<'_, 2>,
    ) -> Result<Values, Error> {
        let (rows, call) = ((self.each.each_ref(), &self.both), self.call);
        let pairs = divergences::<F>(exec, rows, group.clone(), |row| call.counts(row))?;
        let values = pairs.iter().map(|pair| Some(pair.as_ref()?.0.value)).collect();
        let slopes = DivergenceSlopes { first: group.start, pairs, call };
        let ends = write_rows(exec, &self.both, group.clone(), &slopes, places)?;
        balance_long::<F>(places, &ends);
        for ((row, outs), end) in group.zip(places).zip(&ends) {
            let may_be_huge = F::COMPENSATED && end.is_some_and(|end| !end.are_finite);
            let pair = if may_be_huge { HugePair::new(rows.0, row) } else { None };
            let Some(pair) = pair.filter(HugePair::has_slopes) else { continue };
            for class in 0..self.both.classes() {
                for (out, slope) in outs.iter_mut().zip(pair.slopes(class, call.factor(row))) {
                    out.set(class, &[slope], |slope| slope);
                }
            }
        }
        Ok(values)
    }
}

/// The value of a row, what its slopes need of it, and its largest logit.
#[derive(Clone, Copy)]
struct Known<T, F: Real> {
    value: f64,
    slopes: T,
    max: Others<F>,
}

/// The entropy of each row that counts, and what its slopes need.
struct EntropyTops<'c, F>(&'c RowSlopes<'c, F>);

impl<F: Real> LongRow<F, 1> for EntropyTops<'_, F> {
    type State = Entropy<F>;
    type Row = Known<EntropyRow, F>;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Entropy<F>> {
        self.0.counts(row).then(Entropy::empty)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, row: usize, state: &Entropy<F>) -> Self::Row {
        let value = Entropy::<F>::value(isa, state.finish(isa));
        let slopes = EntropyRow::new(isa, state, self.0.factor(row));
        Known { value, slopes, max: *state.others() }
    }
}

/// The slopes of entropies of a group of rows, from number `first` on.
struct EntropySlopes<F: Real> {
    first: usize,
    tops: Vec<Option<Known<EntropyRow, F>>>,
}

impl<F: Real> LongRow<F, 1, 2> for EntropySlopes<F> {
    type State = Balanced<(EntropyRow, Others<F>)>;
    type Row = SlopesEnd;

    #[inline(always)]
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State> {
        let Known { slopes, max, .. } = self.tops[row - self.first]?;
        Some(Balanced::new((slopes, max), max.at_if_likely(isa)))
    }

    #[inline(always)]
    fn write<'o: 's, 's, S: Isa>(
        &self,
        isa: S,
        _row: usize,
        (state, block): (&mut Self::State, &Block<'_, F>),
        computing: &mut Scratch<F>,
        ([out, _], _): (&mut [Out<'o>; 2], &'s NonTemporal<'s, '_>),
    ) {
        let (first, [x], (row, max)) = (block.first, block.classes(), &state.of);
        let terms = computing.terms.first(x.len(), F::ZERO);
        max.write(isa, first, x, terms);
        row.slopes(terms, x);
        state.write(isa, first, terms, out);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Self::State) -> SlopesEnd {
        Fold::<F>::finish(state, isa)
    }
}

/// The cross entropy of each row that counts, and what its slopes need.
struct SoftTargetTops<'c, F> {
    call: &'c RowSlopes<'c, F>,
    weighting: Weighting<'c>,
}

impl<'c, F: Real> LongRow<F, 2> for SoftTargetTops<'c, F> {
    type State = (SoftTarget<'c, F>, TargetSum<'c>);
    type Row = Known<SoftTargetRow<F>, F>;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Self::State> {
        let empty = || (SoftTarget::empty(self.weighting), TargetSum::empty(self.weighting));
        self.call.counts(row).then(empty)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, row: usize, (loss, sum): &Self::State) -> Self::Row {
        let (slopes, max) = SoftTargetRow::new(isa, loss, self.call.factor(row));
        let value = SoftTarget::<F>::value(isa, loss.finish(isa));
        let slopes = slopes.with_sum(Fold::<F, 2>::finish(sum, isa));
        Known { value, slopes, max }
    }
}

/// The slopes of cross entropies of a group of rows, from number `first` on.
struct SoftTargetSlopes<'f, F: Real> {
    first: usize,
    tops: Vec<Option<Known<SoftTargetRow<F>, F>>>,
    weighting: Weighting<'f>,
}

impl<F: Real> LongRow<F, 2, 2> for SoftTargetSlopes<'_, F> {
    type State = Fixed<(SoftTargetRow<F>, Others<F>)>;
    type Row = ();

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Self::State> {
        let Known { slopes, max, .. } = self.tops[row - self.first]?;
        Some(Fixed((slopes, max)))
    }

    #[inline(always)]
    fn write<'o: 's, 's, S: Isa>(
        &self,
        isa: S,
        _row: usize,
        (Fixed((row, max)), block): (&mut Self::State, &Block<'_, F, 2>),
        computing: &mut Scratch<F>,
        ([out, _], _): (&mut [Out<'o>; 2], &'s NonTemporal<'s, '_>),
    ) {
        let [x, y] = block.classes();
        let terms = computing.terms.first(x.len(), F::ZERO);
        max.write(isa, block.first, x, terms);
        row.slopes((block.first, max.at), terms, y, self.weighting);
        out.write(terms, None);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S, _row: usize, _state: &Self::State) {}
}

/// The slopes of divergences of a group of rows, from number `first` on.
struct DivergenceSlopes<'f, F: Real> {
    first: usize,
    pairs: Pairs<F>,
    call: &'f RowSlopes<'f, F>,
}

impl<F: Real> LongRow<F, 2, 2> for DivergenceSlopes<'_, F> {
    type State = Balanced<(Related<F>, LongPair<F>)>;
    type Row = SlopesEnd;

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Self::State> {
        let pair = self.pairs[row - self.first]?;
        Some(Balanced::new(pair, pair.0.likely))
    }

    #[inline(always)]
    fn write<'o: 's, 's, S: Isa>(
        &self,
        isa: S,
        row: usize,
        (state, block): (&mut Self::State, &Block<'_, F, 2>),
        Scratch { terms, changed, .. }: &mut Scratch<F>,
        ([by_p, by_q], _): (&mut [Out<'o>; 2], &'s NonTemporal<'s, '_>),
    ) {
        let (related, pair) = &state.of;
        let [p, q] = pair.write(isa, block, [terms, changed]);
        let factor = self.call.factor(row);
        slope_blocks::divergence(
            isa,
            [&mut *p, &mut *q],
            block.classes(),
            (related, factor),
            [true; 2],
        );
        by_q.write(q, None);
        state.write(isa, block.first, p, by_p);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Self::State) -> SlopesEnd {
        Fold::<F, 2>::finish(state, isa)
    }
}
