//! Terms relative to the largest logit, of rows side by side: entropy, cross entropy with a
//! distribution, gradient. The formulas are those of `others.rs`, `entropy.rs` and `soft_target.rs`, with a
//! lane for each row.

use crate::data::lines::{LANES, Lines, Next};
use crate::fold::lane_scales::LaneScales;
use crate::fold::lanes::{LaneSums, hide_largest, max};
use crate::fold::others::lifted_exp;
use crate::fold::{Largest, Weighting};
use crate::math::side_by_side::Words;
use crate::math::terms::lift;
use nll_simd::{Extended, Isa, Real};

/// The largest logit of each row, the scale of its sums, and its term.
///
/// Aligned to a cache line, which aligns the stack of its owner too: loops over rows side by side cannot keep all their
/// numbers in registers, and a register of 64 bytes whose place lies in two cache lines takes two accesses.
#[repr(align(64))]
pub struct LaneMax<F: Real> {
    /// The largest logit.
    pub x: [F; LANES],
    /// The first place where it stands.
    pub at: [F; LANES],
    scales: LaneScales<F>,
    /// Its term.
    pub term: [F::Extended; LANES],
    next: Next,
}

impl<F: Real> LaneMax<F> {
    /// Finds the largest logits, and copies the others to `held`, −∞ in their place.
    ///
    /// In f64, the term is a double-double if the row is `PAIRED` with another one: their probabilities may differ by
    /// less than the rounding error of one f64. Else the term is within 0.1 ulp, which takes a third of the
    /// instructions.
    ///
    /// Out of line, as the other sums that several quantities begin with: their code would be
    /// compiled once for each.
    #[inline(never)]
    pub fn new<S: Isa, const PAIRED: bool>(
        isa: S,
        lines: Lines<'_, F>,
        held: &mut [[F; LANES]],
    ) -> Self {
        isa.vectorize(
            #[inline(always)]
            || Self::new_here::<S, PAIRED>(isa, lines, held),
        )
    }

    #[inline(always)]
    fn new_here<S: Isa, const PAIRED: bool>(
        isa: S,
        lines: Lines<'_, F>,
        held: &mut [[F; LANES]],
    ) -> Self {
        let x = max(lines);
        let at = hide_largest(lines, x, held);
        // The largest term is about 2^60, times the lift: the others' keep their digits far below it.
        let scales = LaneScales::at(&x, F::from_f64(60.0 + f64::from(lift::<F>())));
        let (of_lines, mut term) = (scales.of_lines(), [F::Extended::new(0.0); LANES]);
        for i in 0..LANES {
            term[i] = if F::COMPENSATED && !PAIRED {
                let [word, rest] = of_lines.term_in_words(isa, i, x[i]);
                F::Extended::sum(word.to_f64(), rest.to_f64())
            } else {
                lifted_exp::<S, F>(isa, log_term(&scales, i, x[i]))
            };
        }
        LaneMax { x, at, scales, term, next: lines.next() }
    }

    /// The term of the largest of row i.
    #[inline(always)]
    pub(super) fn term(&self, i: usize) -> F::Extended {
        self.term[i]
    }

    /// The logarithm of the term, without its [`lift`].
    #[inline(always)]
    pub(super) fn log_term(&self, i: usize) -> F::Extended {
        log_term(&self.scales, i, self.x[i])
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

    /// The largest logit of row i, and its loss, which is given.
    #[inline(always)]
    pub(super) fn largest(&self, i: usize, loss: F::Extended) -> Largest<F> {
        // Of a row without a class above −∞, the first is the largest.
        let at = self.at[i].to_f64().max(0.0) as usize;
        Largest { x: self.x[i], at, loss }
    }

    /// Adds factor·(x_m − x) of every row, 0 where the factor is 0: x may be −∞ there.
    #[inline(always)]
    pub fn add_below<S: Isa, V: Real>(
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

/// The logarithm of the term of the largest logit x of row i, without its [`lift`].
#[inline(always)]
fn log_term<F: Real>(scales: &LaneScales<F>, i: usize, x: F) -> F::Extended {
    // A row with +∞ is NaN throughout.
    let x = if x == F::INFINITY { F::NAN } else { x };
    let above = F::Extended::sum(x.to_f64(), -scales.center[i].to_f64());
    let exponent = scales.exponent[i].to_f64() + f64::from(lift::<F>());
    above.add(F::Extended::ln_2_times(-exponent)).renormalize()
}

/// −Σ p·log p of each row, and its largest logit.
pub struct LaneEntropies<F: Real> {
    /// The entropy.
    pub value: [f64; LANES],
    max: LaneMax<F>,
    loss: [F::Extended; LANES],
}

impl<F: Real> LaneEntropies<F> {
    /// The largest logit of row i.
    pub fn largest(&self, i: usize) -> Largest<F> {
        self.max.largest(i, self.loss[i])
    }
}

/// −Σ p·log p of each row, and its largest logit.
#[inline(always)]
pub fn entropies<S: Isa, F: Real>(
    isa: S,
    lines: Lines<'_, F>,
    held: &mut [[F; LANES]],
) -> LaneEntropies<F> {
    let max = LaneMax::new::<S, false>(isa, lines, held);
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
    LaneEntropies { value, max, loss: losses }
}

/// −Σ y·log p of each row, with weighted y.
#[inline(always)]
pub fn soft_target<S: Isa, F: Real>(
    isa: S,
    lines: [Lines<'_, F>; 2],
    held: &mut [[F; LANES]],
    weighting: Weighting<'_>,
) -> [f64; LANES] {
    let max = LaneMax::new::<S, false>(isa, lines[0], held);
    let mut sums = LaneTargets::ZERO;
    let rest = max.others(
        isa,
        held,
        #[inline(always)]
        |class, _| sums.add(isa, &max, &lines, (class, weighting)),
    );
    sums.values(isa, &max, &rest)
}

/// Two sums of each row, from which −Σ y·log p is computed: Σ y and Σ y·(x_m − x), with weighted y.
///
/// The lines are no field of it: `Next::fetch` takes their address, and LLVM would not keep sums in registers
/// that lie in the same structure.
struct LaneTargets {
    sum: LaneSums,
    below: LaneSums,
}

impl LaneTargets {
    const ZERO: LaneTargets = LaneTargets { sum: LaneSums::ZERO, below: LaneSums::ZERO };

    #[inline(always)]
    fn add<S: Isa, F: Real>(
        &mut self,
        isa: S,
        max: &LaneMax<F>,
        [lines, targets]: &[Lines<'_, F>; 2],
        (class, weighting): (usize, Weighting<'_>),
    ) {
        let (y, x) = (targets.line(class), lines.line(class));
        targets.fetch_next(class);
        let (weighted, loses) = weighting.line(class, y);
        if loses {
            let kept = weighting.kept_line(class, y);
            for i in 0..LANES {
                self.sum.add::<F>(i, kept[i]);
            }
            return max.add_below(isa, (&kept, x), &mut self.below);
        }
        self.sum.add_line(&weighted);
        max.add_below(isa, (&weighted, x), &mut self.below);
    }

    /// −Σ y·log p, `rest` being the sum of the terms of all but the largest.
    #[inline(always)]
    fn values<S: Isa, F: Real>(&self, isa: S, max: &LaneMax<F>, rest: &LaneSums) -> [f64; LANES] {
        let mut value = [0.0; LANES];
        for i in 0..LANES {
            let (sum, below) = (self.sum.value::<F>(i), self.below.value::<F>(i));
            let loss = max.loss(isa, i, rest.value::<F>(i));
            value[i] = sum.mul(isa, loss).add(below).rounded();
        }
        value
    }
}

/// The terms of all classes, that of the largest included, and the sum of the others'.
pub struct LaneTerms<F: Real> {
    /// The largest logit of each row.
    pub max: LaneMax<F>,
    /// The sum of the other terms.
    pub rest: LaneSums,
}

impl<F: Real> LaneTerms<F> {
    /// Writes the terms to `terms`. `PAIRED` is that of [`LaneMax::new`].
    #[inline(never)]
    pub fn new<S: Isa, const PAIRED: bool>(
        isa: S,
        lines: Lines<'_, F>,
        terms: &mut [[F; LANES]],
    ) -> Self {
        isa.vectorize(
            #[inline(always)]
            || Self::new_here::<S, PAIRED>(isa, lines, terms),
        )
    }

    #[inline(always)]
    fn new_here<S: Isa, const PAIRED: bool>(
        isa: S,
        lines: Lines<'_, F>,
        terms: &mut [[F; LANES]],
    ) -> Self {
        let max = LaneMax::new::<S, PAIRED>(isa, lines, terms);
        let mut largest = [F::ZERO; LANES];
        for i in 0..LANES {
            largest[i] = F::from_f64(max.term[i].rounded());
        }
        let (scales, mut rest) = (max.scales.of_lines(), LaneSums::ZERO);
        for (class, line) in terms.iter_mut().enumerate() {
            lines.fetch_next(class);
            let mut here = scales.terms::<S, true>(isa, line);
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

    /// [`soft_target`] of the rows `lines`, of which these are the terms.
    #[inline(always)]
    pub fn soft_target<S: Isa>(
        &self,
        isa: S,
        lines: [Lines<'_, F>; 2],
        weighting: Weighting<'_>,
    ) -> [f64; LANES] {
        let mut sums = LaneTargets::ZERO;
        (0..lines[0].classes()).for_each(
            #[inline(always)]
            |class| sums.add(isa, &self.max, &lines, (class, weighting)),
        );
        sums.values(isa, &self.max, &self.rest)
    }

    /// The class of each row that has more than half of the sum of all terms, −1 if none has.
    #[inline(always)]
    pub fn likely(&self) -> [F; LANES] {
        let mut likely = [-F::ONE; LANES];
        for i in 0..LANES {
            let is_likely = self.max.term[i].rounded() > self.rest.value::<F>(i).rounded();
            likely[i] = if is_likely { self.max.at[i] } else { -F::ONE };
        }
        likely
    }

    /// The largest logits.
    #[inline(always)]
    pub(super) fn largest<S: Isa>(&self, isa: S) -> [Largest<F>; LANES] {
        let mut losses = Words::<LANES>::ZERO;
        for i in 0..LANES {
            losses.set(i, self.loss(isa, i));
        }
        core::array::from_fn(
            #[inline(always)]
            |i| self.max.largest(i, losses.of(i)),
        )
    }

    /// −log p of the largest of row i.
    #[inline(always)]
    pub(super) fn loss<S: Isa>(&self, isa: S, i: usize) -> F::Extended {
        self.max.loss(isa, i, self.rest.value::<F>(i))
    }
}
