//! The gradient of the cross entropy by the logits: a result as large as its input.

use crate::Error;
use crate::call::choices::Hessian;
use crate::call::cross_entropy::CrossEntropy;
use crate::call::rows::{Entries, Losses, RowLosses};
use crate::call::{check_smoothing, check_targets};
use crate::data::array::Array;
use crate::data::drive::{self, Exec, Split, Work, ranges};
use crate::data::lines::{LANES, scratch_lines};
use crate::data::out::Out;
use crate::data::per_class::PerClass;
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Targets;
use crate::data::totals::{Totaled, Totals};
use crate::fold::lane_terms::LaneTerms;
use crate::fold::{TermRows, Terms, sweep};
use nll_simd::{Buffer, Extended, Isa, NonTemporal, Real, with_non_temporal};
use std::ops::Range;

/// The gradient of the mean or the sum of the cross entropies of rows, and what comes with it.
pub struct Gradient<'a> {
    /// The logits; the last axis is the class axis.
    pub logits: &'a Array<'a>,
    /// What happened in each row, which rows count, and the weights.
    pub targets: Targets<'a>,
    /// ε of label smoothing.
    pub label_smoothing: f64,
    /// Divides by Σ s·w_t: the gradient of the mean, not of the sum.
    pub mean: bool,
    /// Which second derivatives are wanted: each by one logit alone, the diagonal of the Hessian.
    pub hess: Option<Hessian>,
    /// Which totals of the losses are wanted.
    pub totaled: Totaled,
}

/// Where the gradient, the second derivatives and the losses go.
pub type GradientOut<'o> = (PerClass<'o>, PerClass<'o>, Out<'o>);

impl Gradient<'_> {
    /// scale·((Σ_c a_c)·p_j − a_j) of every logit j, with a_c = s·((1 − ε)·w_t·[c = t] + ε/C·w_c) and s
    /// the weight of the row; 0 in ignored rows. The second derivative is scale·(Σ_c a_c)·p_j·(1 − p_j),
    /// at most scale·(Σ_c a_c)/4. The losses and their totals are those of [`RowLosses`]; a row is read from memory once.
    pub fn run(&self, exec: Exec<'_>, out: GradientOut<'_>) -> Result<Totals, Error> {
        check_smoothing(self.label_smoothing)?;
        check_targets(("logits", self.logits), &self.targets)?;
        let classes = self.logits.shape().last().copied().unwrap_or(1);
        self.targets.check(exec, classes)?;
        match self.logits.is_double() {
            Some(true) => self.run_in::<f64>(exec, out),
            _ => self.run_in::<f32>(exec, out),
        }
    }

    fn run_in<F: Real>(&self, exec: Exec<'_>, out: GradientOut<'_>) -> Result<Totals, Error> {
        let Gradient { logits, targets, label_smoothing, .. } = *self;
        let rows = Rows::new([logits]);
        let (weights, classes) = (targets.sum_of_class_weights(rows.classes()), rows.classes());
        let loss = CrossEntropy::<F>::new(&rows, targets, label_smoothing, weights);
        let (entries, totaled) = (Entries::Logits { label_smoothing }, self.totaled);
        let call = &RowLosses { rows: logits, entries, targets, negate: false, totaled };
        let wanted = out.2.is_wanted() || totaled != Totaled::Nothing;
        let gradients = Gradients {
            call: Call {
                rows: &rows,
                targets,
                sharp: 1.0 - label_smoothing,
                uniform: label_smoothing / classes as f64,
                scale: if self.mean { 1.0 / targets.sum_of_row_weights() } else { 1.0 },
                weights,
                hess: self.hess,
                large: out.0.is_large(),
            },
            losses: wanted.then_some(Losses { loss, double: F::COMPENSATED, rows: &rows, call }),
        };
        drive::run(exec, &gradients, out)
    }
}

/// What all rows have in common.
struct Call<'a> {
    rows: &'a Rows<'a>,
    targets: Targets<'a>,
    /// 1 − ε
    sharp: f64,
    /// ε/C
    uniform: f64,
    scale: f64,
    /// Σ_c w_c
    weights: f64,
    hess: Option<Hessian>,
    /// Whether the results are written by non-temporal stores.
    large: bool,
}

/// What the probabilities of a row are made of.
struct Softmax {
    /// 1 / (the sum of all terms)
    unit: f64,
    /// The sum of all but the largest.
    rest: f64,
}

impl Softmax {
    #[inline(always)]
    fn new<E: Extended>(sum: E, rest: E) -> Self {
        Softmax { unit: 1.0 / sum.rounded(), rest: rest.rounded() }
    }
}

/// The gradients of all rows, computed in `F`, and their losses if they are wanted.
struct Gradients<'a, F> {
    call: Call<'a>,
    losses: Option<Losses<'a, CrossEntropy<'a, F>>>,
}

/// The memory of a thread: for reading, for computing, for second derivatives, for the terms of rows,
/// and that of the losses.
type Memory<F> = ([Scratch<F>; 1], [Scratch<F>; 2], Buffer<F>, [Scratch<F>; 2]);

impl<F: Real> Work<GradientOut<'_>> for Gradients<'_, F> {
    type Total = Totals;
    type Memory = Memory<F>;

    fn count(&self) -> usize {
        self.call.rows.count()
    }

    fn per_task(&self) -> usize {
        self.call.rows.per_task()
    }

    #[inline(always)]
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        (mut slopes, mut curves, mut losses): GradientOut<'_>,
        memory: &mut Memory<F>,
    ) -> Totals {
        let Some(of) = &self.losses else {
            self.call.task(isa, range, [slopes, curves], memory);
            return Totals::default();
        };
        let mut totals = of.task(isa, range.start..range.start, Out::Nothing, &mut memory.3).totals;
        // Few rows at a time: the losses read them from memory, the gradients from cache.
        for rows in ranges(range, (CACHED / self.call.rows.classes()).max(1)) {
            let count = rows.len();
            let found = of.task(isa, rows.clone(), losses.split_off(count), &mut memory.3);
            totals = totals.add(found.totals);
            let outs = [slopes.split_off(count), curves.split_off(count)];
            self.call.task(isa, rows, outs, memory);
        }
        totals
    }
}

/// How many numbers stay in L2 from one reading to the next.
const CACHED: usize = 1 << 16;

impl Call<'_> {
    #[inline(always)]
    fn task<S: Isa, F: Real>(
        &self,
        isa: S,
        range: Range<usize>,
        [mut slopes, mut curves]: [PerClass<'_>; 2],
        (reading, [computing, curve_lines], buffer, _): &mut Memory<F>,
    ) {
        let Call { rows, large, .. } = self;
        let classes = rows.classes();
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = large.then_some(stores);
                if rows.are_few() {
                    for group in slopes.groups(range) {
                        self.lanes::<S, F>(isa, &group, reading, [computing, curve_lines]);
                        slopes.write(isa, computing, group.len(), stores);
                        if self.hess.is_some() {
                            curves.write(isa, curve_lines, group.len(), stores);
                        }
                    }
                    return;
                }
                let mut outs = [slopes.rows(), curves.rows()];
                for group in rows.groups(range) {
                    let counts = |row| self.counts(row);
                    let terms = buffer.first(group.len() * classes, F::ZERO);
                    let mut terms = TermRows::new(terms, classes);
                    let mut folds = [const { None }; GROUP];
                    sweep(
                        isa,
                        *rows,
                        (group.clone(), BLOCK),
                        counts,
                        (&mut *reading, &mut *computing),
                        #[inline(always)]
                        |i| Terms::new(terms.row(i)),
                        #[inline(always)]
                        |i, fold| folds[i] = Some(fold),
                    );
                    for (row, fold) in group.zip(&mut folds) {
                        if let Some(terms) = fold {
                            self.write_row(isa, row, terms, (&mut outs, stores));
                        } else {
                            for block in ranges(0..classes, BLOCK) {
                                let zeros = &[F::ZERO; BLOCK][..block.len()];
                                outs.iter_mut().for_each(|out| out.write(zeros, stores));
                            }
                        }
                    }
                }
            },
        );
    }

    /// The results of at most [`LANES`] rows of few classes, as lines of the scratch. Called, not
    /// inlined: the loops of longer rows have the registers for themselves.
    #[inline(never)]
    fn lanes<S: Isa, F: Real>(
        &self,
        isa: S,
        group: &Range<usize>,
        reading: &mut [Scratch<F>; 1],
        scratch: [&mut Scratch<F>; 2],
    ) {
        isa.vectorize(
            #[inline(always)]
            || self.lanes_here(isa, group, reading, scratch),
        )
    }

    #[inline(always)]
    fn lanes_here<S: Isa, F: Real>(
        &self,
        isa: S,
        group: &Range<usize>,
        reading: &mut [Scratch<F>; 1],
        [computing, curve_lines]: [&mut Scratch<F>; 2],
    ) {
        let (start, count) = (group.start, group.len());
        let [lines] = self.rows.lines(isa, group, reading);
        let held = scratch_lines(computing, lines.classes());
        let terms = LaneTerms::new(isa, lines, held);
        // −1: the row does not count.
        let mut target = [-F::ONE; LANES];
        let [mut weight, mut factor, mut at_target] = [[0.0; LANES]; 3];
        let [mut unit, mut rest_share, mut scale] = [[0.0; LANES]; 3];
        let mut term = [F::ZERO; LANES];
        for i in (0..count).filter(|&i| self.counts(start + i)) {
            let class = self.targets.class(start + i);
            target[i] = F::from_f64(class as f64);
            (weight[i], term[i]) = (self.targets.class_weight(start + i), held[class][i]);
            scale[i] = self.scale * self.targets.row_weight(start + i);
        }
        for i in 0..LANES {
            let (max, rest) = (&terms.max, terms.rest.value::<F>(i));
            let softmax = Softmax::new(max.term[i].add(rest), rest);
            factor[i] = self.factor(&softmax, [scale[i], weight[i]]);
            let (is_largest, scale) = (target[i] == max.at[i], scale[i]);
            at_target[i] =
                self.at_target(&softmax, term[i].to_f64(), is_largest, [scale, weight[i]]);
            (unit[i], rest_share[i]) = (softmax.unit, softmax.rest * softmax.unit);
        }
        if let Some(hess) = self.hess {
            let curves = scratch_lines(curve_lines, held.len());
            for (class, (curves, terms_of_class)) in curves.iter_mut().zip(&*held).enumerate() {
                let class = F::from_f64(class as f64);
                for i in 0..LANES {
                    let (term, is_largest) = (terms_of_class[i].to_f64(), terms.max.at[i] == class);
                    let others = if is_largest { rest_share[i] } else { 1.0 - term * unit[i] };
                    let curve = curvature(hess, [factor[i], unit[i]], [term, others]);
                    let counts = target[i] >= F::ZERO;
                    curves[i] = if counts { F::from_f64(curve) } else { F::ZERO };
                }
            }
        }
        for (class, held) in held.iter_mut().enumerate() {
            let (even, mut values) = (self.even(class), *held);
            let class = F::from_f64(class as f64);
            for i in 0..LANES {
                let value = self.elsewhere(values[i], factor[i], [scale[i], even]);
                let value = if target[i] == class { F::from_f64(at_target[i]) } else { value };
                values[i] = if target[i] < F::ZERO { F::ZERO } else { value };
            }
            *held = values;
        }
    }

    /// Whether the gradient of a row may differ from 0. That of another is 0 even if its logits are NaN.
    #[inline(always)]
    fn counts(&self, row: usize) -> bool {
        let Call { targets, uniform, .. } = self;
        targets.counts(row)
            && targets.row_weight(row) != 0.0
            && (*uniform != 0.0 || targets.class_weight(row) != 0.0)
    }

    /// scale·(Σ_c a_c) over the sum of all terms: what the term of a class other than the target is
    /// multiplied by, and the first factor of second derivatives.
    #[inline(always)]
    fn factor(&self, softmax: &Softmax, [scale, weight]: [f64; 2]) -> f64 {
        scale * (self.sharp * weight + self.uniform * self.weights) * softmax.unit
    }

    /// The result of the target. p_t − 1 cancels where p_t is nearly 1, but only the largest class is
    /// that likely: there it is minus the share of the other terms in the sum of all.
    #[inline(always)]
    fn at_target(
        &self,
        softmax: &Softmax,
        term: f64,
        is_largest: bool,
        [scale, weight]: [f64; 2],
    ) -> f64 {
        let p = term * softmax.unit;
        let p_minus_1 = if is_largest { -(softmax.rest * softmax.unit) } else { p - 1.0 };
        let smoothing = self.uniform * (self.weights * p - weight);
        scale * (self.sharp * weight * p_minus_1 + smoothing)
    }

    /// ε/C·w_c
    #[inline(always)]
    fn even(&self, class: usize) -> f64 {
        self.uniform * self.targets.weight.map_or(1.0, |w| w[class])
    }

    /// The result of another class, of its term and [`Call::even`].
    #[inline(always)]
    fn elsewhere<F: Real>(&self, term: F, factor: f64, [scale, even]: [f64; 2]) -> F {
        if self.uniform == 0.0 {
            term * F::from_f64(factor)
        } else {
            F::from_f64(factor * term.to_f64() - scale * even)
        }
    }

    /// The results of one row.
    #[inline(always)]
    fn write_row<'o: 's, 's, S: Isa, F: Real>(
        &self,
        isa: S,
        row: usize,
        terms: &mut Terms<'_, F>,
        ([slopes, curves], stores): (&mut [Out<'o>; 2], Option<&'s NonTemporal<'s, '_>>),
    ) {
        let (max, terms) = terms.parts(isa);
        let [term, rest] = max.sums(isa);
        let scale = self.scale * self.targets.row_weight(row);
        let (weight, class) = (self.targets.class_weight(row), self.targets.class(row));
        let softmax = Softmax::new(term.add(rest), rest);
        let factor = self.factor(&softmax, [scale, weight]);
        let term = terms[class].to_f64();
        for block in ranges(0..terms.len(), BLOCK) {
            let start = block.start;
            let values = &mut terms[block];
            if let Some(hess) = self.hess {
                let mut curves_of_block = [F::ZERO; BLOCK];
                let numbers = [factor, softmax.unit];
                for (to, &term) in curves_of_block.iter_mut().zip(&*values) {
                    let term = term.to_f64();
                    let p_and_others = [term, 1.0 - term * softmax.unit];
                    *to = F::from_f64(curvature(hess, numbers, p_and_others));
                }
                if let Some(to) =
                    curves_of_block[..values.len()].get_mut(max.at.wrapping_sub(start))
                {
                    let term = values[max.at - start].to_f64();
                    let p_and_others = [term, softmax.rest * softmax.unit];
                    *to = F::from_f64(curvature(hess, numbers, p_and_others));
                }
                curves.write(&curves_of_block[..values.len()], stores);
            }
            if self.uniform == 0.0 {
                let factor = F::from_f64(factor);
                values.iter_mut().for_each(|value| *value = *value * factor);
            } else {
                for (value, class) in values.iter_mut().zip(start..) {
                    *value = self.elsewhere(*value, factor, [scale, self.even(class)]);
                }
            }
            if let Some(value) = values.get_mut(class.wrapping_sub(start)) {
                let is_largest = class == max.at;
                let value_of_target = self.at_target(&softmax, term, is_largest, [scale, weight]);
                *value = F::from_f64(value_of_target);
            }
            slopes.write(values, stores);
        }
    }
}

/// a·p·(1 − p), from a/(sum of all terms), 1/(sum of all terms), the term of p and 1 − p; or a/4, its
/// largest value.
#[inline(always)]
fn curvature(hess: Hessian, [factor, unit]: [f64; 2], [term, others]: [f64; 2]) -> f64 {
    match hess {
        Hessian::Exact => factor * term * others,
        Hessian::Upper => 0.25 * factor / unit,
    }
}
