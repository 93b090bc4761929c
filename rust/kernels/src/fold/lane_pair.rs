//! Two rows of logits together, as in `pair.rs` and `divergence.rs`, with a lane for each of 32 pairs.

use crate::data::lines::{LANES, Lines};
use crate::fold::Related;
use crate::fold::lane_direct::LaneDirect;
use crate::fold::lane_terms::LaneTerms;
use crate::fold::lanes::LaneSums;
use crate::fold::pair::{Relation, Relations};
use crate::math::divergence;
use crate::math::side_by_side::Words;
use crate::math::terms::NONE;
use nll_simd::{Extended, Isa, LARGEST_TERM, Real};

/// The numbers that relate the two rows of each pair: a [`Relation`] each.
#[derive(Clone)]
pub(super) struct LaneRelations {
    x_m: [f64; LANES],
    y_m: [f64; LANES],
    p_sum: Words<LANES>,
    losses: Words<LANES>,
    k: Words<LANES>,
}

impl<F: Real> Relations<F> for LaneRelations {
    #[inline(always)]
    fn of(&self, i: usize) -> Relation<F> {
        let LaneRelations { x_m, y_m, p_sum, losses, k } = self;
        let (p_sum, losses, k) = (p_sum.of(i), losses.of(i), k.of(i));
        Relation { x_m: x_m[i], y_m: y_m[i], likely: NONE, p_sum, losses, k }
    }
}

impl LaneRelations {
    /// The relations of two rows in each lane, whose terms have been written.
    #[inline(always)]
    pub(super) fn new<S: Isa, F: Real>(isa: S, [p, q]: [&LaneTerms<F>; 2]) -> Self {
        let [mut p_sum, mut losses, mut k] = [const { Words::ZERO }; 3];
        let [mut x_m, mut y_m] = [[0.0; LANES]; 2];
        for i in 0..LANES {
            let loss = p.loss(isa, i).add(q.loss(isa, i).neg());
            let log_k = p.max.log_term(i).add(q.max.log_term(i).neg()).add(loss);
            losses.set(i, loss);
            k.set(i, log_k.renormalize().mul_exp(isa, 1.0));
            p_sum.set(i, p.max.term(i).add(p.rest.value::<F>(i)));
            (x_m[i], y_m[i]) = (p.max.x[i].to_f64(), q.max.x[i].to_f64());
        }
        LaneRelations { x_m, y_m, p_sum, losses, k }
    }

    /// Changes the relation of one pair.
    #[inline(always)]
    pub(super) fn set<F: Real>(&mut self, i: usize, relation: Relation<F>) {
        self.losses.set(i, relation.losses);
        self.k.set(i, relation.k);
    }
}

/// Σ p·(log p − log q) of each row: directly, and of nearly equal rows as [`Divergence`](crate::fold::Divergence)
/// explains. These have the terms of both rows written to the last two arrays. Only the first `count` lanes need to hold
/// rows.
#[inline(always)]
pub fn divergence<S: Isa, F: Real>(
    isa: S,
    (lines, count): ([Lines<'_, F>; 2], usize),
    [p_terms, q_terms]: [&mut [[F; LANES]]; 2],
) -> [f64; LANES] {
    let memory = [&mut *p_terms, &mut *q_terms];
    let direct = LaneDirect::new(isa, lines, None, memory);
    let mut value = direct.value;
    if direct.is_complete(count) {
        return value;
    }
    let p = LaneTerms::new::<S, true>(isa, lines[0], p_terms);
    let q = LaneTerms::new::<S, true>(isa, lines[1], q_terms);
    let relations = LaneRelations::new(isa, [&p, &q]);
    let [bends, slopes] = sums::<S, F>(isa, lines, [p_terms, q_terms], &relations);
    for i in 0..LANES {
        let [bends, slopes] = [&bends, &slopes].map(|sums| sums.value::<F>(i));
        let found = divergence::value::<S, F>(isa, bends, slopes, relations.p_sum.of(i));
        value[i] = if value[i].is_nan() { found } else { value[i] };
    }
    value
}

/// What the slopes of the divergence need of each pair of rows.
pub struct LaneRelated {
    x_m: [f64; LANES],
    y_m: [f64; LANES],
    p_sum: [f64; LANES],
    losses: Words<LANES>,
    k: Words<LANES>,
    value: [f64; LANES],
}

impl LaneRelated {
    /// Relates the two rows of each of the first `count` lanes, and writes their terms to `terms`; `more` is memory of the
    /// same size. Also returns the class that has more than half of the first row, −1 if none has.
    #[inline(always)]
    pub fn new<S: Isa, F: Real>(
        isa: S,
        (lines, count): ([Lines<'_, F>; 2], usize),
        terms: [&mut [[F; LANES]]; 2],
        more: [&mut [[F; LANES]]; 2],
    ) -> (Self, [F; LANES]) {
        let [p_terms, q_terms] = terms;
        let [p_more, q_more] = more;
        let (terms, memory) = ([&mut *p_terms, &mut *q_terms], [&mut *p_more, &mut *q_more]);
        let direct = LaneDirect::new(isa, lines, Some(terms), memory);
        if direct.is_nothing() {
            return LaneRelated::of_terms(isa, lines, [p_terms, q_terms]);
        }
        let known = (LaneRelated::of_direct::<F>(&direct), likely(lines[0], &direct));
        if direct.is_complete(count) {
            return known;
        }
        let found = LaneRelated::of_terms(isa, lines, [&mut *p_more, &mut *q_more]);
        for (terms, more) in [(p_terms, p_more), (q_terms, q_more)] {
            for (to, more) in terms.iter_mut().zip(more) {
                let mut mixed = [F::ZERO; LANES];
                for i in 0..LANES {
                    mixed[i] = if direct.value[i].is_nan() { more[i] } else { to[i] };
                }
                *to = mixed;
            }
        }
        LaneRelated::mixed(known, found)
    }

    /// Those of all pairs, by the terms of both rows.
    #[inline(always)]
    fn of_terms<S: Isa, F: Real>(
        isa: S,
        lines: [Lines<'_, F>; 2],
        [p_terms, q_terms]: [&mut [[F; LANES]]; 2],
    ) -> (Self, [F; LANES]) {
        let p = LaneTerms::new::<S, true>(isa, lines[0], p_terms);
        let q = LaneTerms::new::<S, true>(isa, lines[1], q_terms);
        let relations = LaneRelations::new(isa, [&p, &q]);
        let [bends, slopes] = sums::<S, F>(isa, lines, [p_terms, q_terms], &relations);
        let [mut p_sum, mut value] = [[0.0; LANES]; 2];
        let [mut losses, mut k] = [const { Words::ZERO }; 2];
        for i in 0..LANES {
            let sums = [&bends, &slopes].map(|sums| sums.value::<F>(i));
            let related: Related<F> = Related::new(isa, &relations.of(i), sums);
            (p_sum[i], value[i]) = (related.p_sum, related.value);
            losses.set(i, related.losses);
            k.set(i, related.k);
        }
        let LaneRelations { x_m, y_m, .. } = relations;
        (LaneRelated { x_m, y_m, p_sum, losses, k, value }, p.likely())
    }

    /// Those of the pairs that are known directly, of others the value NaN.
    #[inline(always)]
    fn of_direct<F: Real>(direct: &LaneDirect) -> Self {
        let ([s, r], [x_m, y_m], mut p_sum) = (&direct.sums, direct.largest, [0.0; LANES]);
        let [mut losses, mut k] = [const { Words::ZERO }; 2];
        for i in 0..LANES {
            p_sum[i] = s[i] * LARGEST_TERM;
            losses.set(i, F::Extended::new(-direct.log_ratio[i]));
            k.set(i, F::Extended::new(s[i] / r[i]));
        }
        LaneRelated { x_m, y_m, p_sum, losses, k, value: direct.value }
    }

    /// Those of the first where their value is known, else those of the second.
    fn mixed<F: Real>(
        (mut known, mut known_likely): (Self, [F; LANES]),
        (found, likely): (Self, [F; LANES]),
    ) -> (Self, [F; LANES]) {
        for i in 0..LANES {
            if !known.value[i].is_nan() {
                continue;
            }
            let related = found.of::<F>(i);
            (known.x_m[i], known.y_m[i]) = (related.x_m, related.y_m);
            (known.p_sum[i], known.value[i]) = (related.p_sum, related.value);
            known.losses.set(i, related.losses);
            known.k.set(i, related.k);
            known_likely[i] = likely[i];
        }
        (known, known_likely)
    }

    /// The divergence of each pair.
    #[inline(always)]
    pub fn values(&self) -> &[f64; LANES] {
        &self.value
    }

    /// Those of one pair, without its likely class.
    #[inline(always)]
    pub fn of<F: Real>(&self, i: usize) -> Related<F> {
        let LaneRelated { x_m, y_m, p_sum, losses, k, value } = self;
        let (losses, k) = (losses.of(i), k.of(i));
        let (p_sum, value, likely) = (p_sum[i], value[i], NONE);
        Related { x_m: x_m[i], y_m: y_m[i], p_sum, losses, k, value, likely }
    }
}

/// The class of each row that has more than half of the sum of all terms, −1 if none has.
#[inline(always)]
fn likely<F: Real>(lines: Lines<'_, F>, direct: &LaneDirect) -> [F; LANES] {
    let mut likely = [-F::ONE; LANES];
    for class in 0..lines.classes() {
        let (x, class) = (lines.line(class), F::from_f64(class as f64));
        for i in 0..LANES {
            let is_largest = x[i].to_f64() == direct.largest[0][i];
            likely[i] = if is_largest & (direct.sums[0][i] < 2.0) { class } else { likely[i] };
        }
    }
    likely
}

/// How many classes take a step of a formula together.
const TOGETHER: usize = 4;

/// Σ (q − p − p·d) and Σ p·d of each pair of rows.
#[inline(always)]
fn sums<S: Isa, F: Real>(
    isa: S,
    [p_lines, q_lines]: [Lines<'_, F>; 2],
    [p_terms, q_terms]: [&[[F; LANES]]; 2],
    relations: &LaneRelations,
) -> [LaneSums; 2] {
    let [mut bends, mut slopes] = [LaneSums::ZERO; 2];
    // Step after step of some classes, as in `divergence.rs`.
    let [mut d, mut d_lost, mut tail, mut curve, mut curve_lost] = [[[0.0; LANES]; TOGETHER]; 5];
    for first in (0..p_lines.classes()).step_by(TOGETHER) {
        let count = TOGETHER.min(p_lines.classes() - first);
        for c in 0..count {
            let (x, y) = (p_lines.line(first + c), q_lines.line(first + c));
            for i in 0..LANES {
                let relation: Relation<F> = relations.of(i);
                let (log_ratio, _) = relation.log_ratio(x[i].to_f64(), y[i].to_f64());
                [d[c][i], d_lost[c][i]] = log_ratio.parts();
            }
        }
        // One loop over the numbers of all classes: of a loop over classes around one over lanes, LLVM would
        // unroll the inner one, and with AVX-512 run the outer one for four classes at once, by gathers and scatters.
        let numbers = count * LANES;
        let parts = d.as_flattened()[..numbers].iter().zip(&d_lost.as_flattened()[..numbers]);
        for (tail, (&d, &d_lost)) in tail.as_flattened_mut().iter_mut().zip(parts.clone()) {
            let x = F::Extended::of_parts([d, d_lost]).rounded();
            *tail = divergence::curve_tail::<S, F>(isa, x);
        }
        let curves = curve.as_flattened_mut().iter_mut().zip(curve_lost.as_flattened_mut());
        for ((curve, lost), ((&d, &d_lost), &tail)) in curves.zip(parts.zip(tail.as_flattened())) {
            let x = F::Extended::of_parts([d, d_lost]).rounded();
            [*curve, *lost] = divergence::curve::<S, F>(isa, tail, x).parts();
        }
        for c in 0..count {
            let (p_term, q_term) = (&p_terms[first + c], &q_terms[first + c]);
            for i in 0..LANES {
                let d = F::Extended::of_parts([d[c][i], d_lost[c][i]]);
                let curve = F::Extended::of_parts([curve[c][i], curve_lost[c][i]]);
                let k = relations.k.of(i);
                let q = F::Extended::new(q_term[i].to_f64()).mul(isa, k);
                let [bend, slope] = divergence::terms::<S, F>(isa, p_term[i].to_f64(), q, d, curve);
                let words = bend.words();
                bends.add::<F>(i, words[0]);
                if F::COMPENSATED {
                    bends.add::<F>(i, words[1]);
                }
                slopes.add::<F>(i, slope.rounded());
            }
        }
    }
    [bends, slopes]
}
