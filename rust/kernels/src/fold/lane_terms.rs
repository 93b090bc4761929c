//! Terms relative to the largest logit, of rows side by side: entropy, cross entropy with a
//! distribution, divergence, gradient. The formulas are those of `others.rs`, `entropy.rs`, `soft_target.rs` and `divergence.rs`,
//! with a lane for each row.

use crate::data::lines::{LANES, Lines, Next};
use crate::fold::lanes::{LaneScales, LaneSums, hide_largest, max};
use crate::fold::others::lifted_exp;
use crate::fold::{Largest, Weighting};
use crate::math::row::{self, divergence_terms};
use crate::math::terms::lift;
use nll_simd::{Extended, Isa, Real};

/// The largest logit of each row, the scale of its sums, and its term.
pub struct LaneMax<F: Real> {
    /// The largest logit.
    pub x: [F; LANES],
    /// The first place where it stands.
    pub at: [F; LANES],
    scales: LaneScales<F>,
    /// Its term.
    pub term: [F::Extended; LANES],
    /// Without the term's [`lift`].
    log_term: [F::Extended; LANES],
    next: Next,
}

impl<F: Real> LaneMax<F> {
    /// Finds the largest logits, and copies the others to `held`, −∞ in their place.
    ///
    /// Out of line, as the other sums that several quantities begin with: their code would be
    /// compiled once for each.
    #[inline(never)]
    pub fn new<S: Isa>(isa: S, lines: Lines<'_, F>, held: &mut [[F; LANES]]) -> Self {
        isa.vectorize(
            #[inline(always)]
            || Self::new_here(isa, lines, held),
        )
    }

    #[inline(always)]
    fn new_here<S: Isa>(isa: S, lines: Lines<'_, F>, held: &mut [[F; LANES]]) -> Self {
        let x = max(lines);
        let [_, at] = hide_largest(lines, x, held);
        // The largest term is about 2^60, times the lift: the others' keep their digits far below it.
        let lift = f64::from(lift::<F>());
        let scales = LaneScales::at(&x, F::from_f64(60.0 + lift));
        let [mut term, mut log_term] = [[F::Extended::new(0.0); LANES]; 2];
        for i in 0..LANES {
            // A row with +∞ is NaN throughout.
            let x = if x[i] == F::INFINITY { F::NAN } else { x[i] };
            let above = F::Extended::sum(x.to_f64(), -scales.center[i].to_f64());
            let exponent = F::Extended::ln_2_times(-(scales.exponent[i].to_f64() + lift));
            log_term[i] = above.add(exponent).renormalize();
            term[i] = lifted_exp::<S, F>(isa, log_term[i]);
        }
        LaneMax { x, at, scales, term, log_term, next: lines.next() }
    }

    /// Calls `take(class, terms)` with the terms of each class of `held`, and adds them.
    #[inline(always)]
    pub fn others<S: Isa>(
        &self,
        isa: S,
        held: &[[F; LANES]],
        mut take: impl FnMut(usize, &[F; LANES]),
    ) -> LaneSums {
        let mut rest = LaneSums::ZERO;
        self.scales.terms::<S, true>(
            isa,
            Lines::dense(held, self.next),
            #[inline(always)]
            |class, terms| {
                rest.add_line(terms);
                take(class, terms);
            },
        );
        rest
    }

    /// −log p of the largest of row i, `rest` being the sum of the others' terms.
    #[inline(always)]
    pub fn loss<S: Isa>(&self, isa: S, i: usize, rest: F::Extended) -> F::Extended {
        rest.div(isa, self.term[i]).log1p(isa)
    }

    /// Adds factor·(x_m − x) of every row, 0 where the factor is 0: x may be −∞ there.
    #[inline(always)]
    fn add_below<S: Isa, V: Real>(
        &self,
        isa: S,
        (factors, x): (&[V; LANES], &[F; LANES]),
        sums: &mut LaneSums,
    ) {
        for i in 0..LANES {
            let d = F::Extended::sum(self.x[i].to_f64(), -x[i].to_f64());
            let d = if factors[i] == V::ZERO { F::Extended::new(0.0) } else { d };
            let words = F::Extended::new(factors[i].to_f64()).mul(isa, d).words();
            sums.add::<F>(i, words[0]);
            if F::COMPENSATED {
                sums.add::<F>(i, words[1]);
            }
        }
    }
}

/// −Σ p·log p of each row, and its largest logit.
pub struct LaneEntropies<F: Real> {
    /// The entropy.
    pub value: [f64; LANES],
    x: [F; LANES],
    at: [F; LANES],
    loss: [F::Extended; LANES],
}

impl<F: Real> LaneEntropies<F> {
    /// The largest logit of row i.
    pub fn largest(&self, i: usize) -> Largest<F> {
        // Of a row without a class above −∞, the first is the largest.
        let at = self.at[i].to_f64().max(0.0) as usize;
        Largest { x: self.x[i], at, loss: self.loss[i] }
    }
}

/// −Σ p·log p of each row, and its largest logit.
#[inline(always)]
pub fn entropies<S: Isa, F: Real>(
    isa: S,
    lines: Lines<'_, F>,
    held: &mut [[F; LANES]],
) -> LaneEntropies<F> {
    let max = LaneMax::new(isa, lines, held);
    let mut below = LaneSums::ZERO;
    let rest = max.others(
        isa,
        held,
        #[inline(always)]
        |class, terms| max.add_below(isa, (terms, lines.line(class)), &mut below),
    );
    let (mut value, mut losses) = ([0.0; LANES], [F::Extended::new(0.0); LANES]);
    for i in 0..LANES {
        let rest = rest.value::<F>(i);
        let below = below.value::<F>(i).div(isa, max.term[i].add(rest));
        losses[i] = max.loss(isa, i, rest);
        value[i] = losses[i].add(below).rounded();
    }
    LaneEntropies { value, x: max.x, at: max.at, loss: losses }
}

/// −Σ y·log p of each row, with weighted y.
#[inline(always)]
pub fn soft_target<S: Isa, F: Real>(
    isa: S,
    [lines, targets]: [Lines<'_, F>; 2],
    held: &mut [[F; LANES]],
    weighting: Weighting<'_>,
) -> [f64; LANES] {
    let max = LaneMax::new(isa, lines, held);
    let [mut sum, mut below] = [LaneSums::ZERO; 2];
    let rest = max.others(
        isa,
        held,
        #[inline(always)]
        |class, _| {
            let (y, x) = (targets.line(class), lines.line(class));
            targets.fetch_next(class);
            let (weighted, loses) = weighting.line(class, y);
            if loses {
                let kept = weighting.kept_line(class, y);
                for i in 0..LANES {
                    sum.add::<F>(i, kept[i]);
                }
                return max.add_below(isa, (&kept, x), &mut below);
            }
            sum.add_line(&weighted);
            max.add_below(isa, (&weighted, x), &mut below);
        },
    );
    let mut value = [0.0; LANES];
    for i in 0..LANES {
        let loss = max.loss(isa, i, rest.value::<F>(i));
        value[i] = sum.value::<F>(i).mul(isa, loss).add(below.value::<F>(i)).rounded();
    }
    value
}

/// The terms of all classes, that of the largest included, and the sum of the others'.
pub struct LaneTerms<F: Real> {
    /// The largest logit of each row.
    pub max: LaneMax<F>,
    /// The sum of the other terms.
    pub rest: LaneSums,
}

impl<F: Real> LaneTerms<F> {
    /// Writes the terms to `terms`.
    #[inline(never)]
    pub fn new<S: Isa>(isa: S, lines: Lines<'_, F>, terms: &mut [[F; LANES]]) -> Self {
        isa.vectorize(
            #[inline(always)]
            || Self::new_here(isa, lines, terms),
        )
    }

    #[inline(always)]
    fn new_here<S: Isa>(isa: S, lines: Lines<'_, F>, terms: &mut [[F; LANES]]) -> Self {
        let max = LaneMax::new(isa, lines, terms);
        let mut largest = [F::ZERO; LANES];
        for i in 0..LANES {
            largest[i] = F::from_f64(max.term[i].rounded());
        }
        let mut rest = LaneSums::ZERO;
        for (class, line) in terms.iter_mut().enumerate() {
            let mut here = [F::ZERO; LANES];
            lines.fetch_next(class);
            max.scales.terms::<S, true>(
                isa,
                Lines::dense(core::slice::from_ref(line), Next::NOTHING),
                #[inline(always)]
                |_, terms| here = *terms,
            );
            rest.add_line(&here);
            let class = F::from_f64(class as f64);
            for i in 0..LANES {
                // The term of the hidden class, −∞, is 0, so that of the largest can be added. LLVM would
                // make masked stores of a choice, which are slow on AMD's CPUs without AVX-512.
                here[i] = here[i] + if max.at[i] == class { largest[i] } else { F::ZERO };
            }
            *line = here;
        }
        LaneTerms { max, rest }
    }
}

/// How many classes take a step of a formula together.
const TOGETHER: usize = 4;

/// Σ p·(log p − log q) of each row, as [`Divergence`](crate::fold::Divergence) explains.
#[inline(always)]
pub fn divergence<S: Isa, F: Real>(
    isa: S,
    [p_lines, q_lines]: [Lines<'_, F>; 2],
    [p_terms, q_terms]: [&mut [[F; LANES]]; 2],
) -> [f64; LANES] {
    let p = LaneTerms::new(isa, p_lines, p_terms);
    let q = LaneTerms::new(isa, q_lines, q_terms);
    let [mut losses, mut k] = [[F::Extended::new(0.0); LANES]; 2];
    for i in 0..LANES {
        let q_loss = q.max.loss(isa, i, q.rest.value::<F>(i));
        losses[i] = p.max.loss(isa, i, p.rest.value::<F>(i)).add(q_loss.neg());
        let log_k = p.max.log_term[i].add(q.max.log_term[i].neg()).add(losses[i]);
        k[i] = log_k.renormalize().mul_exp(isa, 1.0);
    }
    let [mut bends, mut slopes] = [LaneSums::ZERO; 2];
    // Step after step of some classes, as in `divergence.rs`.
    let [mut d, mut d_lost, mut tail, mut curve, mut curve_lost] = [[[0.0; LANES]; TOGETHER]; 5];
    for first in (0..p_lines.classes()).step_by(TOGETHER) {
        let count = TOGETHER.min(p_lines.classes() - first);
        for c in 0..count {
            let (x, y) = (p_lines.line(first + c), q_lines.line(first + c));
            for i in 0..LANES {
                let above = F::Extended::sum(y[i].to_f64(), -q.max.x[i].to_f64());
                let below = F::Extended::sum(p.max.x[i].to_f64(), -x[i].to_f64());
                [d[c][i], d_lost[c][i]] = above.add(below).add(losses[i]).renormalize().parts();
            }
        }
        for c in 0..count {
            for i in 0..LANES {
                let x = F::Extended::of_parts([d[c][i], d_lost[c][i]]).rounded();
                tail[c][i] = row::curve_tail::<S, F>(isa, x);
            }
        }
        for c in 0..count {
            for i in 0..LANES {
                let x = F::Extended::of_parts([d[c][i], d_lost[c][i]]).rounded();
                let of_class = row::curve::<S, F>(isa, tail[c][i], x);
                [curve[c][i], curve_lost[c][i]] = of_class.parts();
            }
        }
        for c in 0..count {
            let (p_term, q_term) = (&p_terms[first + c], &q_terms[first + c]);
            for i in 0..LANES {
                let d = F::Extended::of_parts([d[c][i], d_lost[c][i]]);
                let curve = F::Extended::of_parts([curve[c][i], curve_lost[c][i]]);
                let q = F::Extended::new(q_term[i].to_f64()).mul(isa, k[i]);
                let [bend, slope] = divergence_terms::<S, F>(isa, p_term[i].to_f64(), q, d, curve);
                let words = bend.words();
                bends.add::<F>(i, words[0]);
                if F::COMPENSATED {
                    bends.add::<F>(i, words[1]);
                }
                slopes.add::<F>(i, slope.rounded());
            }
        }
    }
    let mut value = [0.0; LANES];
    for i in 0..LANES {
        let sum = p.max.term[i].add(p.rest.value::<F>(i));
        let [bends, slopes] = [&bends, &slopes].map(|sums| sums.value::<F>(i));
        value[i] = row::divergence::<S, F>(isa, bends, slopes, sum);
    }
    value
}
