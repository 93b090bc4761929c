//! The slopes of rows of few classes, by the formulas of `slopes.rs`, with a lane for each of 32 rows.
//! They replace the terms.

use crate::balance::LaneBalance;
use crate::quantity::Quantity;
use crate::slope_blocks::{EntropyRow, SoftTargetRow, divergence_slopes};
use crate::slopes::{Memory, RowSlopes};
use nll_kernels::call::HugePair;
use nll_kernels::data::lines::{LANES, Lines, lines_of, scratch_lines};
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::rows::Rows;
use nll_kernels::data::totals::Totals;
use nll_kernels::fold::lane_pair::LaneRelated;
use nll_kernels::fold::lane_terms::LaneTerms;
use nll_kernels::fold::lanes::LaneSums;
use nll_kernels::fold::{Entropy, Weighting};
use nll_kernels::math::side_by_side::Words;
use nll_simd::{Isa, Real};
use std::ops::Range;

impl<F: Real> RowSlopes<'_, F> {
    /// The values and gradients of rows of few classes.
    #[inline(always)]
    pub(crate) fn few_classes<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        ([mut first, mut second], out): ([PerClass<'_>; 2], &mut Out<'_>),
        (totals, memory): (&mut Totals, &mut Memory<F>),
    ) {
        let (classes, zeros) = (Rows::new([self.of().logits()]).classes(), [F::ZERO; LANES]);
        // Of values that are huge, the slopes of p tell whether to compute them again.
        let wanted = [F::COMPENSATED || first.is_wanted(), second.is_wanted()];
        for group in first.groups(range) {
            let mut values = [0.0; LANES];
            if group.clone().any(|row| self.counts(row)) {
                values = isa.apart(
                    #[inline(always)]
                    || self.lanes(isa, (&group, wanted), memory),
                );
            } else {
                for scratch in &mut memory.1 {
                    scratch_lines(scratch, classes).fill(zeros);
                }
            }
            let (_, [by_first, by_second], _) = &mut *memory;
            first.write(isa, by_first, group.len(), None);
            second.write(isa, by_second, group.len(), None);
            let values = &mut values[..group.len()];
            self.values.take::<S, LANES>(isa, group.start, values, (&mut *totals, &mut *out));
        }
    }

    /// The values of at most [`LANES`] rows of few classes, and their gradients as lines of the scratches: of divergences
    /// those that are wanted.
    #[inline(always)]
    fn lanes<S: Isa>(
        &self,
        isa: S,
        (group, wanted): (&Range<usize>, [bool; 2]),
        memory: &mut Memory<F>,
    ) -> [f64; LANES] {
        let (reading, computing, more) = memory;
        let [(_, first), (_, second)] = self.of().arrays();
        let both = Rows::new([first, second]);
        let [slopes, by_q] =
            computing.each_mut().map(|scratch| scratch_lines(scratch, both.classes()));
        let mut factor = [0.0; LANES];
        for (factor, row) in factor.iter_mut().zip(group.clone()) {
            *factor = self.factor(row);
        }
        match self.of() {
            Quantity::Entropy { .. } => {
                let one = Rows::new([first]);
                let [lines] = one.lines(isa, group, core::array::from_mut(&mut reading[0]));
                entropy(isa, lines, &factor, slopes)
            }
            Quantity::SoftTarget { .. } => {
                let (lines, weighting) = (both.lines(isa, group, reading), self.of().weighting());
                soft_target(isa, lines, &factor, slopes, weighting)
            }
            Quantity::Divergence { .. } => {
                let lines = both.lines(isa, group, reading);
                let more = more.each_mut().map(|more| lines_of(more, both.classes()));
                let terms = [[&mut *slopes, &mut *by_q], more];
                let pairs = (lines, group.len());
                let values = match wanted {
                    [true, false] => divergence::<S, F, true, false>(isa, pairs, &factor, terms),
                    [false, _] => divergence::<S, F, false, true>(isa, pairs, &factor, terms),
                    [true, true] => divergence::<S, F, true, true>(isa, pairs, &factor, terms),
                };
                if F::COMPENSATED {
                    self.restore_huge(group.start, &factor, [slopes, by_q]);
                }
                values
            }
            Quantity::ExpectedLoss { .. } | Quantity::WeightedSum { .. } => [0.0; LANES],
        }
    }

    /// Computes the slopes of a divergence again where they are not finite: perhaps only a product was
    /// infinite.
    #[inline(always)]
    fn restore_huge(
        &self,
        first: usize,
        factor: &[f64; LANES],
        [by_p, by_q]: [&mut [[F; LANES]]; 2],
    ) {
        let mut sums = [F::ZERO; LANES];
        for by_p in &*by_p {
            for i in 0..LANES {
                sums[i] = sums[i] + by_p[i].abs();
            }
        }
        for (lane, sum) in sums.iter().enumerate() {
            if factor[lane] == 0.0 || sum.abs() < F::INFINITY {
                continue;
            }
            let rows = self.of().arrays().map(|(_, array)| Rows::new([array]));
            let pair = HugePair::new(rows.each_ref(), first + lane);
            if let Some(pair) = pair.filter(HugePair::has_slopes) {
                for (class, (by_p, by_q)) in by_p.iter_mut().zip(&mut *by_q).enumerate() {
                    let slopes = pair.slopes(class, factor[lane]).map(F::from_f64);
                    [by_p[lane], by_q[lane]] = slopes;
                }
            }
        }
    }
}

/// Returns entropies, and writes their slopes times `factor`: 0 in rows whose factor is 0.
#[inline(always)]
fn entropy<S: Isa, F: Real>(
    isa: S,
    lines: Lines<'_, F>,
    factor: &[f64; LANES],
    slopes: &mut [[F; LANES]],
) -> [f64; LANES] {
    let terms = LaneTerms::new::<S, false>(isa, lines, slopes);
    let LaneTerms { max, rest } = &terms;
    let mut sums = LaneSums::ZERO;
    for (class, terms) in slopes.iter().enumerate() {
        max.add_below(isa, (terms, lines.line(class)), &mut sums);
    }
    let [mut value, mut x_m, mut below, mut of_term] = [[0.0; LANES]; 4];
    for i in 0..LANES {
        let sums = [max.term[i], rest.value::<F>(i), sums.value::<F>(i)];
        value[i] = Entropy::<F>::value(isa, sums);
        let row = EntropyRow::of_sums::<S, F>(isa, sums, max.x[i].to_f64(), factor[i]);
        (x_m[i], below[i], of_term[i]) = (row.x_m, row.below, row.factor);
    }
    let mut balanced = LaneBalance::new(terms.likely());
    for (class, slopes) in slopes.iter_mut().enumerate() {
        let (x, mut found) = (lines.line(class), [F::ZERO; LANES]);
        for i in 0..LANES {
            let row = EntropyRow { x_m: x_m[i], below: below[i], factor: of_term[i] };
            found[i] = row.slope(slopes[i], x[i]);
        }
        *slopes = balanced.take(F::from_f64(class as f64), &found);
    }
    balanced.finish(factor, slopes);
    value
}

/// Returns cross entropies with distributions as targets, and writes their slopes times `factor`: 0 in rows
/// whose factor is 0.
#[inline(always)]
fn soft_target<S: Isa, F: Real>(
    isa: S,
    [lines, targets]: [Lines<'_, F>; 2],
    factor: &[f64; LANES],
    slopes: &mut [[F; LANES]],
    weighting: Weighting<'_>,
) -> [f64; LANES] {
    let terms = LaneTerms::new::<S, false>(isa, lines, slopes);
    let value = terms.soft_target(isa, [lines, targets], weighting);
    let LaneTerms { max, rest } = &terms;
    let mut sums = LaneSums::ZERO;
    for class in 0..lines.classes() {
        let (y, w) = (targets.line(class), weighting.weight_of(class));
        for i in 0..LANES {
            sums.add::<F>(i, w * weighting.smoothed(y[i]));
        }
    }
    let [mut unit, mut others] = [[0.0; LANES]; 2];
    let (mut total, mut likely) = (Words::<LANES>::ZERO, [-F::ONE; LANES]);
    for i in 0..LANES {
        let row = SoftTargetRow::<F>::of_sums([max.term[i], rest.value::<F>(i)], factor[i]);
        (unit[i], others[i]) = (row.unit, row.others);
        total.set(i, sums.value::<F>(i));
        likely[i] = if row.has_likely() { max.at[i] } else { -F::ONE };
    }
    for (class, slopes) in slopes.iter_mut().enumerate() {
        let (y, w) = (targets.line(class), weighting.weight_of(class));
        let (number, mut found) = (F::from_f64(class as f64), [F::ZERO; LANES]);
        for i in 0..LANES {
            let (unit, others, sum) = (unit[i], others[i], total.of(i));
            let row = SoftTargetRow::<F> { unit, others, sum, factor: factor[i] };
            let a = w * weighting.smoothed(y[i]);
            // Both are computed: with a branch for each lane, the loop would not be vectorised.
            let [if_likely, if_not] = [row.likely_slope(a), row.slope(slopes[i], a)];
            let slope = if likely[i] == number { if_likely } else { if_not };
            found[i] = if factor[i] == 0.0 { F::ZERO } else { slope };
        }
        *slopes = found;
    }
    value
}

/// Returns the divergences of the first `count` lanes, and writes their slopes by the logits of p and of q times `factor`:
/// 0 in rows whose factor is 0. `BY_P` and `BY_Q` say which are wanted. `more` is memory of the same size.
#[inline(always)]
fn divergence<S: Isa, F: Real, const BY_P: bool, const BY_Q: bool>(
    isa: S,
    (lines, count): ([Lines<'_, F>; 2], usize),
    factor: &[f64; LANES],
    [[by_p, by_q], more]: [[&mut [[F; LANES]]; 2]; 2],
) -> [f64; LANES] {
    let terms = [&mut *by_p, &mut *by_q];
    let (related, likely) = LaneRelated::new(isa, (lines, count), terms, more);
    let (mut balanced, mut unit) = (LaneBalance::new(likely), [0.0; LANES]);
    for i in 0..LANES {
        unit[i] = factor[i] / related.of::<F>(i).p_sum;
    }
    for (class, (by_p, by_q)) in by_p.iter_mut().zip(by_q).enumerate() {
        let [x, y] = lines.map(|lines| lines.line(class));
        let [mut slope_p, mut slope_q] = [[F::ZERO; LANES]; 2];
        for i in 0..LANES {
            let terms = [by_p[i], by_q[i]];
            let slopes = divergence_slopes(isa, terms, [x[i], y[i]], &related.of(i), unit[i]);
            slope_p[i] = slopes[0];
            slope_q[i] = if factor[i] == 0.0 { F::ZERO } else { slopes[1] };
        }
        if BY_P {
            *by_p = balanced.take(F::from_f64(class as f64), &slope_p);
        }
        if BY_Q {
            *by_q = slope_q;
        }
    }
    if BY_P {
        balanced.finish(factor, by_p);
    }
    *related.values()
}
