//! The gradients of the cross entropy of rows by their logits, of a task or of a block.

use nll_kernels::call::Hessian;
use nll_kernels::call::long_rows::{Fixed, LongRow, Top};
use nll_kernels::data::drive::ranges;
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::rows::{BLOCK, Block, GROUP, Rows};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::data::targets::Targets;
use nll_kernels::fold::{Others, TermRows, Terms, sweep};
use nll_kernels::math::terms::lift;
use nll_simd::math::power_of_two;
use nll_simd::{Buffer, Extended, Isa, NonTemporal, Real, with_non_temporal};
use std::ops::Range;

/// What all rows have in common.
pub(crate) struct Call<'a> {
    pub(crate) rows: &'a Rows<'a>,
    pub(crate) targets: Targets<'a>,
    /// 1 − ε
    pub(crate) sharp: f64,
    /// ε/C
    pub(crate) uniform: f64,
    pub(crate) scale: f64,
    /// Σ_c w_c
    pub(crate) weights: f64,
    pub(crate) hess: Option<Hessian>,
    /// Whether the results are written by non-temporal stores.
    pub(crate) large: bool,
}

/// What the probabilities of a row are made of.
pub(crate) struct Softmax {
    /// 1 / (the sum of all terms)
    pub(crate) unit: f64,
    /// The sum of all but the largest.
    pub(crate) rest: f64,
}

impl Softmax {
    #[inline(always)]
    pub(crate) fn new<E: Extended>(sum: E, rest: E) -> Self {
        Softmax { unit: 1.0 / sum.rounded(), rest: rest.rounded() }
    }
}

/// The memory of a thread: for reading, for computing, for second derivatives, for the terms of rows,
/// and that of the losses.
pub(crate) type Memory<F> = ([Scratch<F>; 1], [Scratch<F>; 2], Buffer<F>, [Scratch<F>; 2]);

impl Call<'_> {
    /// The gradients of the rows `range`.
    #[inline(always)]
    pub(crate) fn task<S: Isa, F: Real>(
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
                        isa.apart(
                            #[inline(always)]
                            || self.lanes::<S, F>(isa, &group, reading, [computing, curve_lines]),
                        );
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
                            let (max, terms) = terms.parts(isa);
                            let row = self.row(isa, row, &max);
                            for block in ranges(0..classes, BLOCK) {
                                let values = (block.start, &mut terms[block]);
                                self.write_block(&row, values, (&mut outs, stores));
                            }
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

    /// Whether the gradient of a row may differ from 0. That of another is 0 even if its logits are NaN.
    #[inline(always)]
    pub(crate) fn counts(&self, row: usize) -> bool {
        let targets = &self.targets;
        targets.counts(row)
            && may_slope(targets.row_weight(row), targets.class_weight(row), self.uniform)
    }

    /// scale·(Σ_c a_c) over the sum of all terms: what the term of a class other than the target is
    /// multiplied by, and the first factor of second derivatives.
    #[inline(always)]
    pub(crate) fn factor(&self, softmax: &Softmax, [scale, weight]: [f64; 2]) -> f64 {
        scale * (self.sharp * weight + self.uniform * self.weights) * softmax.unit
    }

    /// The result of the target. p_t − 1 cancels where p_t is nearly 1, but only the largest class is
    /// that likely: there it is minus the share of the other terms in the sum of all.
    #[inline(always)]
    pub(crate) fn at_target(
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
    pub(crate) fn even(&self, class: usize) -> f64 {
        self.uniform * self.targets.weight.map_or(1.0, |w| w[class])
    }

    /// What the results of one row are made of.
    #[inline(always)]
    fn row<S: Isa, F: Real>(&self, isa: S, row: usize, max: &Others<F>) -> RowSlopes {
        let [term, rest] = max.sums(isa);
        let scale = self.scale * self.targets.row_weight(row);
        let (weight, class) = (self.targets.class_weight(row), self.targets.class(row));
        let softmax = Softmax::new(term.add(rest), rest);
        let factor = self.factor(&softmax, [scale, weight]);
        RowSlopes { at: max.at, class, softmax, factor, scale, weight }
    }

    /// The results of the classes of a row from `start` on, of their terms, which they replace.
    #[inline(always)]
    fn write_block<'o: 's, 's, F: Real>(
        &self,
        row: &RowSlopes,
        (start, values): (usize, &mut [F]),
        ([slopes, curves], stores): (&mut [Out<'o>; 2], Option<&'s NonTemporal<'s, '_>>),
    ) {
        let RowSlopes { at, class, softmax, factor, scale, weight } = row;
        let (at, class) = (at.wrapping_sub(start), class.wrapping_sub(start));
        let numbers = [*factor, softmax.unit];
        if let Some(hess) = self.hess {
            let mut curves_of_block = [F::ZERO; BLOCK];
            for (to, &term) in curves_of_block.iter_mut().zip(&*values) {
                let term = term.to_f64();
                let p_and_others = [term, 1.0 - term * softmax.unit];
                *to = F::from_f64(curvature(hess, numbers, p_and_others));
            }
            let curves_of_block = &mut curves_of_block[..values.len()];
            if let Some(to) = curves_of_block.get_mut(at) {
                let p_and_others = [values[at].to_f64(), softmax.rest * softmax.unit];
                *to = F::from_f64(curvature(hess, numbers, p_and_others));
            }
            curves.write(curves_of_block, stores);
        }
        let term = values.get(class).map(|term| term.to_f64());
        if self.uniform == 0.0 {
            let [first, second] = in_range::<F>(*factor);
            values.iter_mut().for_each(|value| *value = *value * first * second);
        } else {
            for (value, class) in values.iter_mut().zip(start..) {
                *value = smoothed(*value, *factor, scale * self.even(class));
            }
        }
        if let Some(term) = term {
            let value = self.at_target(softmax, term, class == at, [*scale, *weight]);
            values[class] = F::from_f64(value);
        }
        slopes.write(values, stores);
    }
}

/// The numbers of a row from which its gradient is computed.
pub(crate) struct RowSlopes {
    /// The largest class.
    at: usize,
    /// The target.
    class: usize,
    softmax: Softmax,
    /// See [`Call::factor`].
    factor: f64,
    /// The factor of all results.
    scale: f64,
    /// The weight of the target's class.
    weight: f64,
}

/// The gradients of a group of rows of very many classes, of their largest logits.
pub(crate) struct LongGradients<'g, F: Real> {
    pub(crate) call: &'g Call<'g>,
    /// The first row.
    pub(crate) first: usize,
    pub(crate) tops: Vec<Option<Top<F>>>,
}

impl<F: Real> LongRow<F, 1, 2> for LongGradients<'_, F> {
    type State = Fixed<(RowSlopes, Others<F>)>;
    type Row = ();

    #[inline(always)]
    fn start<S: Isa>(&self, isa: S, row: usize) -> Option<Self::State> {
        let max = self.tops[row - self.first]?.max;
        Some(Fixed((self.call.row(isa, row, &max), max)))
    }

    #[inline(always)]
    fn write<'o: 's, 's, S: Isa>(
        &self,
        isa: S,
        _row: usize,
        (Fixed((row, max)), block): (&mut Self::State, &Block<'_, F>),
        computing: &mut Scratch<F>,
        (outs, stores): (&mut [Out<'o>; 2], &'s NonTemporal<'s, '_>),
    ) {
        let [x] = block.classes();
        let values = computing.terms.first(x.len(), F::ZERO);
        max.write(isa, block.first, x, values);
        let stores = self.call.large.then_some(stores);
        self.call.write_block(row, (block.first, values), (outs, stores));
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S, _row: usize, _state: &Self::State) {}
}

/// Whether the gradient of a row that is not ignored may differ from 0, by the weights of the row and of its class.
#[inline(always)]
pub(crate) fn may_slope(row_weight: f64, weight: f64, uniform: f64) -> bool {
    (row_weight != 0.0) & ((uniform != 0.0) | (weight != 0.0))
}

/// The result of a class other than the target with label smoothing.
#[inline(always)]
pub(crate) fn smoothed<F: Real>(term: F, factor: f64, share: f64) -> F {
    F::from_f64(factor * term.to_f64() - share)
}

/// A factor of terms as two. A small one would lose digits in f32: its first part takes the [`lift`]
/// from the terms, and its second part is larger by as much.
#[inline(always)]
pub(crate) fn in_range<F: Real>(factor: f64) -> [F; 2] {
    let exponent = if factor.abs() < power_of_two(-100) { lift::<F>() } else { 0 };
    [F::from_f64(power_of_two(-exponent)), F::from_f64(factor * power_of_two(exponent))]
}

/// a·p·(1 − p), from a/(sum of all terms), 1/(sum of all terms), the term of p and 1 − p; or a/4, its
/// largest value.
#[inline(always)]
pub(crate) fn curvature(hess: Hessian, [factor, unit]: [f64; 2], [term, others]: [f64; 2]) -> f64 {
    match hess {
        Hessian::Exact => factor * term * others,
        Hessian::Upper => 0.25 * factor / unit,
    }
}
