//! Gradients of quantities of rows of very many classes, by the logits: each row is read for what the
//! formula needs of the whole row, and once more for the results.

use crate::long_quantities::{Pairs, divergences};
use crate::quantity::Quantity;
use crate::slope_blocks::{self, EntropyRow, SoftTargetRow};
use nll_kernels::Error;
use nll_kernels::call::HugePair;
use nll_kernels::call::long_rows::{
    Fixed, Folded, Largest, LongRow, Places, Top, fold_rows, next_rows, write_rows,
};
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::rows::{Block, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::fold::{Entropy, Fold, LongPair, Others, Related, TargetSum, Weighting};
use nll_kernels::math::terms::{NONE, add_values};
use nll_simd::{Extended, Isa, LaneSum, NonTemporal, Real};
use std::ops::Range;

/// The gradients of a quantity of all rows, times a factor for each row: 0 if it does not count.
pub(crate) fn run_long<F: Real>(
    exec: Exec<'_>,
    of: &Quantity<'_>,
    factor: &(dyn Fn(usize) -> f64 + Sync),
    mut outs: [Out<'_>; 2],
) -> Result<(), Error> {
    let [(_, first), (_, second)] = of.arrays();
    let both = Rows::new([first, second]);
    let rows = LongSlopes { each: [Rows::new([first]), Rows::new([second])], both, factor };
    for group in rows.both.long_groups() {
        let mut places = next_rows(&mut outs, group.len(), rows.both.classes());
        match of {
            Quantity::Entropy { .. } => rows.entropy::<F>(exec, group, &mut places)?,
            Quantity::SoftTarget { .. } => {
                rows.soft_target::<F>(exec, group, of.weighting(), &mut places)?;
            }
            Quantity::Divergence { .. } => rows.divergence::<F>(exec, group, &mut places)?,
            Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } => {}
        }
    }
    Ok(())
}

/// The rows of both arrays, and how much each counts.
struct LongSlopes<'a> {
    each: [Rows<'a>; 2],
    both: Rows<'a, 2>,
    factor: &'a (dyn Fn(usize) -> f64 + Sync),
}

impl LongSlopes<'_> {
    fn entropy<F: Real>(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        places: &mut Places<'_, 2>,
    ) -> Result<(), Error> {
        let [rows, _] = &self.each;
        let tops = fold_rows(exec, rows, group.clone(), &EntropyTops(self.factor))?;
        let slopes = EntropySlopes::<F> { first: group.start, tops };
        let ends = write_rows(exec, rows, group, &slopes, places)?;
        balance::<F>(places, &ends);
        Ok(())
    }

    fn soft_target<F: Real>(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        weighting: Weighting<'_>,
        places: &mut Places<'_, 2>,
    ) -> Result<(), Error> {
        let counts = |row| (self.factor)(row) != 0.0;
        let [rows, targets] = &self.each;
        let tops = fold_rows::<F, _, 1>(exec, rows, group.clone(), &Largest(counts))?;
        let sum = Folded(|row| counts(row).then(|| TargetSum::<F>::empty(weighting)));
        let sums = fold_rows::<F, _, 1>(exec, targets, group.clone(), &sum)?;
        let (first, factor) = (group.start, self.factor);
        let slopes = SoftTargetSlopes { first, tops, sums, weighting, factor };
        write_rows(exec, &self.both, group, &slopes, places)?;
        Ok(())
    }

    fn divergence<F: Real>(
        &self,
        exec: Exec<'_>,
        group: Range<usize>,
        places: &mut Places<'_, 2>,
    ) -> Result<(), Error> {
        let (rows, factor) = ((self.each.each_ref(), &self.both), self.factor);
        let pairs = divergences::<F>(exec, rows, group.clone(), |row| factor(row) != 0.0)?;
        let slopes = DivergenceSlopes { first: group.start, pairs, factor };
        let ends = write_rows(exec, &self.both, group.clone(), &slopes, places)?;
        balance::<F>(places, &ends);
        for ((row, outs), end) in group.zip(places).zip(&ends) {
            let may_be_huge = F::COMPENSATED && end.is_some_and(|end| !end.are_finite);
            let pair = if may_be_huge { HugePair::new(rows.0, row) } else { None };
            let Some(pair) = pair.filter(HugePair::has_slopes) else { continue };
            for class in 0..self.both.classes() {
                for (out, slope) in outs.iter_mut().zip(pair.slopes(class, factor(row))) {
                    out.set(class, &[slope], |slope| slope);
                }
            }
        }
        Ok(())
    }
}

/// What is known of the slopes of a row once they are written.
#[derive(Clone, Copy)]
struct SlopesEnd {
    /// The likely class, [`NONE`] if there is none, and its slope.
    likely: (usize, f64),
    /// Whether all slopes by the first logits are finite.
    are_finite: bool,
}

/// Sets the slope of the likely class of each row that has one.
fn balance<F: Real>(places: &mut Places<'_, 2>, ends: &[Option<SlopesEnd>]) {
    for ([first, _], end) in places.iter_mut().zip(ends) {
        if let Some((class, slope)) = end.map(|end| end.likely).filter(|likely| likely.0 != NONE) {
            first.set(class, &[F::from_f64(slope)], F::to_f64);
        }
    }
}

/// Slopes that add up to 0: that of the likely class, if a row has one, is minus the sum of the others.
struct Balanced<T> {
    /// What the slopes of the row are made of.
    of: T,
    likely: usize,
    others: LaneSum,
    are_finite: bool,
}

impl<T> Balanced<T> {
    #[inline(always)]
    fn new(of: T, likely: usize) -> Self {
        Balanced { of, likely, others: LaneSum::ZERO, are_finite: true }
    }

    /// Writes the slopes of the classes from `first` on, and adds them up.
    #[inline(always)]
    fn write<S: Isa, F: Real>(
        &mut self,
        isa: S,
        first: usize,
        slopes: &mut [F],
        out: &mut Out<'_>,
    ) {
        if self.likely != NONE {
            if let Some(likely) = slopes.get_mut(self.likely.wrapping_sub(first)) {
                *likely = F::ZERO;
            }
            add_values::<S, F, _>(isa, &mut self.others, slopes);
        }
        self.are_finite &= slopes.iter().fold(true, |all, x| all & (x.abs() < F::INFINITY));
        out.write(slopes, None);
    }
}

impl<T, F: Real, const N: usize> Fold<F, N> for Balanced<T> {
    type Row = SlopesEnd;

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, _block: &Block<'_, F, N>, _scratch: &mut Scratch<F>) {}

    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        self.others = self.others.merge::<F>(later.others);
        self.are_finite &= later.are_finite;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> SlopesEnd {
        let likely = (self.likely, -self.others.extended::<F>().rounded());
        SlopesEnd { likely, are_finite: self.are_finite }
    }
}

/// What the slopes of an entropy need of each row that counts.
struct EntropyTops<'f>(&'f (dyn Fn(usize) -> f64 + Sync));

impl<F: Real> LongRow<F, 1> for EntropyTops<'_> {
    type State = Entropy<F>;
    type Row = (EntropyRow, Others<F>);

    #[inline(always)]
    fn start<S: Isa>(&self, _isa: S, row: usize) -> Option<Entropy<F>> {
        ((self.0)(row) != 0.0).then(Entropy::empty)
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, row: usize, state: &Entropy<F>) -> Self::Row {
        (EntropyRow::new(isa, state, (self.0)(row)), *state.others())
    }
}

/// The slopes of entropies of a group of rows, from number `first` on.
struct EntropySlopes<F: Real> {
    first: usize,
    tops: Vec<Option<(EntropyRow, Others<F>)>>,
}

impl<F: Real> LongRow<F, 1, 2> for EntropySlopes<F> {
    type State = Balanced<(EntropyRow, Others<F>)>;
    type Row = SlopesEnd;

    #[inline(always)]
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State> {
        let top = self.tops[row - self.first]?;
        Some(Balanced::new(top, top.1.at_if_likely(isa)))
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

/// The slopes of cross entropies of a group of rows, from number `first` on.
struct SoftTargetSlopes<'f, F: Real> {
    first: usize,
    tops: Vec<Option<Top<F>>>,
    /// Σ a
    sums: Vec<Option<F::Extended>>,
    weighting: Weighting<'f>,
    factor: &'f (dyn Fn(usize) -> f64 + Sync),
}

impl<F: Real> LongRow<F, 2, 2> for SoftTargetSlopes<'_, F> {
    type State = Fixed<(SoftTargetRow<F>, Others<F>)>;
    type Row = ();

    #[inline(always)]
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State> {
        let i = row - self.first;
        let (max, sum) = (self.tops[i]?.max, self.sums[i]?);
        let of_row = SoftTargetRow::of_sums(max.sums(isa), (self.factor)(row));
        Some(Fixed((of_row.with_sum(sum), max)))
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
    factor: &'f (dyn Fn(usize) -> f64 + Sync),
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
        let factor = (self.factor)(row);
        slope_blocks::divergence(isa, [&mut *p, &mut *q], block.classes(), related, factor);
        by_q.write(q, None);
        state.write(isa, block.first, p, by_p);
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S, _row: usize, state: &Self::State) -> SlopesEnd {
        Fold::<F, 2>::finish(state, isa)
    }
}
