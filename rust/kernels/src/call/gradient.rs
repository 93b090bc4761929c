//! The gradient of the cross entropy by the logits: a result as large as its input.

use crate::Error;
use crate::call::{check_smoothing, check_targets};
use crate::data::array::Array;
use crate::data::drive::{self, Exec, Work, ranges};
use crate::data::lines::{LANES, scratch_lines};
use crate::data::out::Out;
use crate::data::per_class::PerClass;
use crate::data::rows::{BLOCK, GROUP, Rows};
use crate::data::scratch::Scratch;
use crate::data::targets::Targets;
use crate::fold::lane_terms::LaneTerms;
use crate::fold::{Terms, sweep};
use nll_simd::{Buffer, Extended, Isa, NonTemporal, Real, with_non_temporal};
use std::marker::PhantomData;
use std::ops::Range;

/// The gradient of the mean or the sum of the cross entropies of rows.
pub struct Gradient<'a> {
    /// The logits; the last axis is the class axis.
    pub logits: &'a Array<'a>,
    /// What happened in each row, which rows count, and the weights.
    pub targets: Targets<'a>,
    /// ε of label smoothing.
    pub label_smoothing: f64,
    /// Divides by Σ w_t: the gradient of the mean, not of the sum.
    pub mean: bool,
}

impl Gradient<'_> {
    /// scale·(Σ_c a_c · p_j − a_j) of every logit j into `out`, with a_c = (1 − ε)·w_t·[c = t] +
    /// ε/C·w_c; 0 in ignored rows.
    pub fn run(&self, exec: Exec<'_>, out: PerClass<'_>) -> Result<(), Error> {
        check_smoothing(self.label_smoothing)?;
        check_targets(("logits", self.logits), &self.targets)?;
        let rows = Rows::new([self.logits]);
        let classes = rows.classes();
        self.targets.check(exec, classes)?;
        let large = out.is_large();
        let call = Call {
            rows,
            targets: self.targets,
            sharp: 1.0 - self.label_smoothing,
            uniform: self.label_smoothing / classes as f64,
            scale: if self.mean { 1.0 / self.targets.sum_of_row_weights() } else { 1.0 },
            weights: self.targets.sum_of_class_weights(classes),
            large,
        };
        match self.logits.is_double() {
            Some(true) => drive::run(exec, &Gradients { call, real: PhantomData::<f64> }, out),
            _ => drive::run(exec, &Gradients { call, real: PhantomData::<f32> }, out),
        }
    }
}

/// What all rows have in common.
struct Call<'a> {
    rows: Rows<'a>,
    targets: Targets<'a>,
    /// 1 − ε
    sharp: f64,
    /// ε/C
    uniform: f64,
    scale: f64,
    /// Σ_c w_c
    weights: f64,
    /// Whether the results are written by non-temporal stores.
    large: bool,
}

/// The sums of a row's terms.
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

/// The gradients of all rows, computed in `F`.
struct Gradients<'a, F> {
    call: Call<'a>,
    real: PhantomData<F>,
}

impl<F: Real> Work<PerClass<'_>> for Gradients<'_, F> {
    type Total = ();
    type Memory = ([Scratch<F>; 1], Scratch<F>, Buffer<F>);

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
        mut out: PerClass<'_>,
        (reading, computing, buffer): &mut Self::Memory,
    ) {
        let Call { rows, targets, large, .. } = &self.call;
        let classes = rows.classes();
        with_non_temporal(
            #[inline(always)]
            |stores| {
                let stores = large.then_some(stores);
                if rows.are_few() {
                    for group in out.groups(range) {
                        self.call.lanes::<S, F>(isa, &group, reading, computing);
                        out.write(isa, computing, group.len(), stores);
                    }
                    return;
                }
                let mut out = out.rows();
                for group in rows.groups(range) {
                    let counts = |row| targets.counts(row);
                    let terms = buffer.first(group.len() * classes, F::ZERO);
                    let mut terms = terms.chunks_mut(classes).enumerate();
                    let mut folds = [const { None }; GROUP];
                    sweep(
                        isa,
                        rows,
                        (group.clone(), BLOCK),
                        counts,
                        (&mut *reading, &mut *computing),
                        #[inline(always)]
                        |i| {
                            let terms = terms.find(|(row, _)| *row == i);
                            let terms = terms.map_or(&mut [][..], |(_, terms)| terms);
                            Terms::new(terms)
                        },
                        #[inline(always)]
                        |i, fold| folds[i] = Some(fold),
                    );
                    for (row, fold) in group.zip(&mut folds) {
                        if let Some(terms) = fold {
                            self.call.write_row(isa, row, terms, (&mut out, stores));
                        } else {
                            for block in ranges(0..classes, BLOCK) {
                                out.write(&[F::ZERO; BLOCK][..block.len()], stores);
                            }
                        }
                    }
                }
            },
        );
    }
}

impl Call<'_> {
    /// The results of at most [`LANES`] rows of few classes, as lines of the scratch. Called, not
    /// inlined: the loops of longer rows have the registers for themselves.
    #[inline(never)]
    fn lanes<S: Isa, F: Real>(
        &self,
        isa: S,
        group: &Range<usize>,
        reading: &mut [Scratch<F>; 1],
        computing: &mut Scratch<F>,
    ) {
        isa.vectorize(
            #[inline(always)]
            || self.lanes_here(isa, group, reading, computing),
        )
    }

    #[inline(always)]
    fn lanes_here<S: Isa, F: Real>(
        &self,
        isa: S,
        group: &Range<usize>,
        reading: &mut [Scratch<F>; 1],
        computing: &mut Scratch<F>,
    ) {
        let (start, count) = (group.start, group.len());
        let [lines] = self.rows.lines(isa, group, reading);
        let held = scratch_lines(computing, lines.classes());
        let terms = LaneTerms::new(isa, lines, held);
        // −1: the row is ignored.
        let mut target = [-F::ONE; LANES];
        let [mut weight, mut factor, mut at_target] = [[0.0; LANES]; 3];
        let mut term = [F::ZERO; LANES];
        for i in (0..count).filter(|&i| self.targets.counts(start + i)) {
            let class = self.targets.class(start + i);
            target[i] = F::from_f64(class as f64);
            (weight[i], term[i]) = (self.targets.weight(start + i), held[class][i]);
        }
        for i in 0..LANES {
            let (max, rest) = (&terms.max, terms.rest.value::<F>(i));
            let softmax = Softmax::new(max.term[i].add(rest), rest);
            factor[i] = self.factor(&softmax, weight[i]);
            at_target[i] =
                self.at_target(&softmax, term[i].to_f64(), target[i] == max.at[i], weight[i]);
        }
        for (class, held) in held.iter_mut().enumerate() {
            let (even, mut values) = (self.even(class), *held);
            let class = F::from_f64(class as f64);
            for i in 0..LANES {
                let value = self.elsewhere(values[i], factor[i], even);
                let value = if target[i] == class { F::from_f64(at_target[i]) } else { value };
                values[i] = if target[i] < F::ZERO { F::ZERO } else { value };
            }
            *held = values;
        }
    }

    /// What the term of every other class is multiplied by.
    #[inline(always)]
    fn factor(&self, softmax: &Softmax, weight: f64) -> f64 {
        self.scale * (self.sharp * weight + self.uniform * self.weights) * softmax.unit
    }

    /// The result of the target. p_t − 1 cancels where p_t is nearly 1, but only the largest class is
    /// that likely: there it is minus the share of the other terms in the sum of all.
    #[inline(always)]
    fn at_target(&self, softmax: &Softmax, term: f64, is_largest: bool, weight: f64) -> f64 {
        let p = term * softmax.unit;
        let p_minus_1 = if is_largest { -(softmax.rest * softmax.unit) } else { p - 1.0 };
        let smoothing = self.uniform * (self.weights * p - weight);
        self.scale * (self.sharp * weight * p_minus_1 + smoothing)
    }

    /// ε/C·w_c
    #[inline(always)]
    fn even(&self, class: usize) -> f64 {
        self.uniform * self.targets.weight.map_or(1.0, |w| w[class])
    }

    /// The result of another class, of its term.
    #[inline(always)]
    fn elsewhere<F: Real>(&self, term: F, factor: f64, even: f64) -> F {
        if self.uniform == 0.0 {
            term * F::from_f64(factor)
        } else {
            F::from_f64(factor * term.to_f64() - self.scale * even)
        }
    }

    /// The results of one row.
    #[inline(always)]
    fn write_row<'o: 's, 's, S: Isa, F: Real>(
        &self,
        isa: S,
        row: usize,
        terms: &mut Terms<'_, F>,
        (out, stores): (&mut Out<'o>, Option<&'s NonTemporal<'s, '_>>),
    ) {
        let (max, terms) = terms.parts(isa);
        let [term, rest] = max.sums(isa);
        let (weight, class) = (self.targets.weight(row), self.targets.class(row));
        let softmax = Softmax::new(term.add(rest), rest);
        let factor = self.factor(&softmax, weight);
        let term = terms[class].to_f64();
        for block in ranges(0..terms.len(), BLOCK) {
            let start = block.start;
            let values = &mut terms[block];
            if self.uniform == 0.0 {
                let factor = F::from_f64(factor);
                values.iter_mut().for_each(|value| *value = *value * factor);
            } else {
                for (value, class) in values.iter_mut().zip(start..) {
                    *value = self.elsewhere(*value, factor, self.even(class));
                }
            }
            if let Some(value) = values.get_mut(class.wrapping_sub(start)) {
                *value = F::from_f64(self.at_target(&softmax, term, class == max.at, weight));
            }
            out.write(values, stores);
        }
    }
}
