//! The gradients of rows of few classes, by the formulas of `row_gradient.rs`, with a lane for each of 32 rows.
//! They replace the terms.

use crate::row_gradient::{Call, Softmax, curvature, in_range, may_slope, smoothed};
use nll_kernels::data::lines::{LANES, scratch_lines};
use nll_kernels::data::scratch::Scratch;
use nll_kernels::fold::lane_terms::LaneTerms;
use nll_simd::{Extended, Isa, Real};
use std::ops::Range;

impl Call<'_> {
    /// The results of at most [`LANES`] rows of few classes, as lines of the scratch.
    #[inline(always)]
    pub(crate) fn lanes<S: Isa, F: Real>(
        &self,
        isa: S,
        group: &Range<usize>,
        reading: &mut [Scratch<F>; 1],
        [computing, curve_lines]: [&mut Scratch<F>; 2],
    ) {
        let [lines] = self.rows.lines(isa, group, reading);
        let held = scratch_lines(computing, lines.classes());
        let terms = LaneTerms::new::<S, false>(isa, lines, held);
        let classes = self.targets.of(group.clone());
        let (target, [weight, scale]) = self.lane_targets::<F>(group.start, classes);
        let term = terms_at(held, classes, &target);
        let [mut factor, mut unit, mut rest_share] = [[0.0; LANES]; 3];
        let [mut at_target, mut first, mut second] = [[F::ZERO; LANES]; 3];
        for i in 0..LANES {
            let (max, rest) = (&terms.max, terms.rest.value::<F>(i));
            let softmax = Softmax::new(max.term[i].add(rest), rest);
            factor[i] = self.factor(&softmax, [scale[i], weight[i]]);
            let is_largest = target[i] == max.at[i];
            let value =
                self.at_target(&softmax, term[i].to_f64(), is_largest, [scale[i], weight[i]]);
            at_target[i] = F::from_f64(value);
            (unit[i], rest_share[i]) = (softmax.unit, softmax.rest * softmax.unit);
            [first[i], second[i]] = in_range::<F>(factor[i]);
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
            if self.uniform == 0.0 {
                for i in 0..LANES {
                    values[i] = values[i] * first[i] * second[i];
                }
            } else {
                for i in 0..LANES {
                    values[i] = smoothed(values[i], factor[i], scale[i] * even);
                }
            }
            let class = F::from_f64(class as f64);
            for i in 0..LANES {
                let value = if target[i] == class { at_target[i] } else { values[i] };
                values[i] = if target[i] < F::ZERO { F::ZERO } else { value };
            }
            *held = values;
        }
    }

    /// The targets of rows in lanes, −1 where a row does not count, the weights of their classes, and the
    /// `scale` of each row.
    #[inline(always)]
    fn lane_targets<F: Real>(
        &self,
        start: usize,
        classes: &[i64],
    ) -> ([F; LANES], [[f64; LANES]; 2]) {
        let targets = &self.targets;
        let [mut weight, mut row_weight] = [[1.0; LANES]; 2];
        if let Some(weights) = targets.row_weight {
            row_weight[..classes.len()].copy_from_slice(&weights[start..][..classes.len()]);
        }
        if let Some(weights) = targets.weight {
            for (weight, &class) in weight.iter_mut().zip(classes) {
                *weight = weights[(class as usize).min(weights.len() - 1)];
            }
        }
        let (mut target, mut scale) = ([-F::ONE; LANES], [0.0; LANES]);
        let weights = row_weight.iter().zip(&weight);
        for ((target, &class), (&row_weight, &weight)) in
            target.iter_mut().zip(classes).zip(weights)
        {
            let may_slope = may_slope(row_weight, weight, self.uniform);
            let counts = (class != targets.ignored()) & may_slope;
            // As i32, because AVX2 cannot convert several i64 at once. The number of a class fits: there are at
            // most 128.
            *target = if counts { F::from_f64(f64::from(class as i32)) } else { -F::ONE };
        }
        for i in 0..LANES {
            scale[i] = self.scale * row_weight[i];
        }
        (target, [weight, scale])
    }
}

/// Up to this number of classes, all are compared with the targets of 32 rows. A class takes 12 instructions in f64 with
/// AVX-512, and 24 with AVX2; to look up the terms of 32 rows takes 300.
const COMPARED: usize = 8;

/// The term of each row's target; any number where a row does not count.
#[inline(always)]
fn terms_at<F: Real>(held: &[[F; LANES]], classes: &[i64], target: &[F; LANES]) -> [F; LANES] {
    let (mut found, last) = ([F::ZERO; LANES], held.len() - 1);
    if held.len() <= COMPARED {
        for (class, terms) in held.iter().enumerate() {
            let class = F::from_f64(class as f64);
            for i in 0..LANES {
                // As a sum: LLVM does not vectorise a choice between elements of two arrays.
                found[i] = found[i] + if target[i] == class { terms[i] } else { F::ZERO };
            }
        }
        return found;
    }
    for (i, &class) in classes.iter().enumerate() {
        // The minimum is for targets that are ignored. A branch would be mispredicted wherever these are
        // scattered.
        found[i] = held[(class as usize).min(last)][i];
    }
    found
}
