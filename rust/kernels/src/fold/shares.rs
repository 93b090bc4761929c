//! What the classes of two rows of float32 add to the sums of a comparison.
//!
//! Some numbers, each for a class of a pair of rows, take one step of the formulas after the other: in one loop, a number would
//! be one chain of operations about as long as what a CPU looks ahead. Numbers come in groups of 32: of one pair, or four
//! classes of eight pairs. Those of a group take the cheaper formulas if all are near; a number adds the same bits either way.

use crate::fold::pair::Relation;
use crate::math::comparison::{SUMS, UNSURE};
pub(super) use crate::math::share::NUMBERS;
use crate::math::share::{self, HUGE, NEAR, Steps, curves, lost};
use nll_simd::{Extended, Isa, LaneSum, Real, SUM_LANES};

/// How many numbers are looked at together to see whether all are near.
pub(super) const GROUP: usize = 32;

/// What relates the two rows that a number is of.
#[derive(Clone, Copy)]
pub(super) struct Related {
    pub(super) x_m: f64,
    pub(super) y_m: f64,
    /// ℓ_p − ℓ_q
    pub(super) losses: f64,
    /// The factor that brings a term of q to the unit of the terms of p.
    pub(super) k: f64,
    /// The same, rounded to float32.
    pub(super) near_k: f32,
}

impl Related {
    #[inline(always)]
    pub(super) fn new<F: Real>(relation: &Relation<F>) -> Self {
        let Relation { x_m, y_m, .. } = *relation;
        let [losses, k] = [relation.losses, relation.k].map(Extended::rounded);
        Related { x_m, y_m, losses, k, near_k: k as f32 }
    }
}

/// The sums in eight lanes: those of bend, excess, (q − p)·d, distance, lean and middle, and Σ p·(x_m − x).
pub(super) type Sums = [[f64; SUM_LANES]; SUMS];

/// Whether there may be numbers that have to be looked at one by one.
#[derive(Clone, Copy)]
pub(super) struct Odd {
    /// Whether some |d| are below [`UNSURE`].
    pub(super) are_unsure: bool,
    /// Whether some are [`HUGE`], or infinite.
    pub(super) are_huge: bool,
}

impl Odd {
    pub(super) const NOTHING: Odd = Odd { are_unsure: false, are_huge: false };

    #[inline(always)]
    pub(super) fn or(self, other: Self) -> Self {
        Odd {
            are_unsure: self.are_unsure | other.are_unsure,
            are_huge: self.are_huge | other.are_huge,
        }
    }
}

/// Whether any of these numbers is [`NEAR`] or larger, or NaN.
///
/// Read as integers, the bits of positive numbers have the order of the numbers, and NaN comes last: the highest bit of a
/// difference tells which of two is larger. Integers may be joined in any order, so this is vectorised.
#[inline(always)]
fn are_far<const G: usize>(rounded: &[f32; G]) -> bool {
    let mut far = 0;
    for d in rounded {
        far |= (NEAR.to_bits() - 1).wrapping_sub(d.abs().to_bits());
    }
    far >> 31 != 0
}

/// The first steps.
#[inline(always)]
fn write<S: Isa, const N: usize>(
    steps: &mut Steps,
    isa: S,
    of: impl Fn(usize) -> Related,
    x: &[f32; N],
    y: &[f32; N],
) -> Odd {
    for i in 0..N {
        let Related { x_m, y_m, losses, .. } = of(i);
        let below = x_m - f64::from(x[i]);
        let d = (f64::from(y[i]) - y_m) + below + losses;
        (steps.below[i], steps.d[i], steps.rounded[i]) = (below, d, d as f32);
    }
    const HUGE_BITS: u32 = (HUGE as f32).to_bits();
    let (mut unsure, mut huge) = (0, 0);
    for i in 0..N {
        let d = steps.rounded[i];
        let curves = curves(isa, d);
        (steps.tail[i], steps.middle[i]) = (curves[0], curves[1]);
        let bits = d.abs().to_bits();
        // d is rounded here: this may find too many, never too few.
        unsure |= bits.wrapping_sub((UNSURE as f32).to_bits() + 1);
        // From HUGE to infinity, but no NaN.
        let above = bits.wrapping_sub(HUGE_BITS);
        huge |= above.wrapping_sub(f32::INFINITY.to_bits() - HUGE_BITS + 1) & !above;
    }
    Odd { are_unsure: unsure >> 31 != 0, are_huge: huge >> 31 != 0 }
}

/// Adds N numbers, at most [`NUMBERS`] and a multiple of G, to the sums; one that stands for no class has p = q = 0. `of`
/// knows what relates the rows of number i.
#[inline(always)]
pub(super) fn add<S: Isa, const N: usize, const G: usize>(
    isa: S,
    of: impl Fn(usize) -> Related + Copy,
    [x, y, p, q]: [&[f32; N]; 4],
    steps: &mut Steps,
    sums: &mut Sums,
) -> Odd {
    let odd = write(steps, isa, of, x, y);
    for first in (0..N).step_by(G) {
        let group = steps.rounded[first..].first_chunk::<G>().expect("a group");
        if are_far(group) {
            add_any::<S, N, G>(isa, of, first, p, q, steps, sums);
        } else {
            add_near::<S, N, G>(isa, first, p, steps, sums);
        }
    }
    odd
}

#[inline(always)]
fn add_near<S: Isa, const N: usize, const G: usize>(
    isa: S,
    first: usize,
    p: &[f32; N],
    steps: &Steps,
    sums: &mut Sums,
) {
    let [mut bends, mut excess, mut products, mut distances, mut leans, mut middles, mut further] =
        *sums;
    for start in (first..first + G).step_by(SUM_LANES) {
        for i in 0..SUM_LANES {
            let at = start + i;
            let (p, curves) = (f64::from(p[at]), [steps.tail[at], steps.middle[at]]);
            let before = share::Sums { bend: bends[i], product: products[i], middle: middles[i] };
            let (sums, apart) = before.with_near(isa, p, steps.d[at], curves);
            (bends[i], products[i], middles[i]) = (sums.bend, sums.product, sums.middle);
            excess[i] += apart;
            distances[i] += apart.abs();
            leans[i] += p.copysign(apart);
            further[i] = isa.mul_add(p, steps.below[at], further[i]);
        }
    }
    *sums = [bends, excess, products, distances, leans, middles, further];
}

#[inline(always)]
fn add_any<S: Isa, const N: usize, const G: usize>(
    isa: S,
    of: impl Fn(usize) -> Related,
    first: usize,
    p: &[f32; N],
    q: &[f32; N],
    steps: &mut Steps,
    sums: &mut Sums,
) {
    for i in first..first + G {
        steps.lost[i] = lost(isa, p[i], q[i] * of(i).near_k);
    }
    let [mut bends, mut excess, mut products, mut distances, mut leans, mut middles, mut further] =
        *sums;
    for start in (first..first + G).step_by(SUM_LANES) {
        for i in 0..SUM_LANES {
            let at = start + i;
            let (p, d) = (f64::from(p[at]), steps.d[at]);
            let q = f64::from(q[at]) * of(at).k;
            let before = share::Sums { bend: bends[i], product: products[i], middle: middles[i] };
            let curves = [steps.tail[at], steps.middle[at]];
            let (near, near_apart) = before.with_near(isa, p, d, curves);
            let (far, far_apart) = before.with_far(isa, p, q, d, steps.lost[at]);
            let is_near = steps.rounded[at].abs() < NEAR;
            let apart = if is_near { near_apart } else { far_apart };
            bends[i] = if is_near { near.bend } else { far.bend };
            products[i] = if is_near { near.product } else { far.product };
            middles[i] = if is_near { near.middle } else { far.middle };
            excess[i] += apart;
            distances[i] += apart.abs();
            leans[i] += p.copysign(apart);
            // x may be −∞ where p is 0.
            let below = steps.below[at];
            let below = if below < f64::MAX { below } else { f64::MAX };
            further[i] = isa.mul_add(p, below, further[i]);
        }
    }
    *sums = [bends, excess, products, distances, leans, middles, further];
}

/// Adds some classes of a row, and the terms of those that are unsure.
#[inline(always)]
pub(super) fn add_row<S: Isa, F: Real>(
    isa: S,
    relation: &Relation<F>,
    numbers: [&[f32]; 4],
    steps: &mut Steps,
    sums: &mut [LaneSum; SUMS],
    unsure_sum: &mut f64,
) {
    let mut found = [[0.0; SUM_LANES]; SUMS];
    let mut huge = HugeClasses::default();
    let mut look_at = |Odd { are_unsure, are_huge }, [x, y, p, q]: [&[f32]; 4]| {
        if are_unsure {
            *unsure_sum += unsure(relation, [x, y, p]);
        }
        if are_huge {
            for ((x, y), (p, q)) in x.iter().zip(y).zip(p.iter().zip(q)) {
                huge.look_at(0, relation, [*x, *y, *p, *q]);
            }
        }
    };
    let whole = numbers.map(|numbers| numbers.as_chunks::<NUMBERS>());
    let [(x, _), (y, _), (p, _), (q, _)] = whole;
    for (((x, y), p), q) in x.iter().zip(y).zip(p).zip(q) {
        let odd = add_numbers(isa, relation, [x, y, p, q], steps, &mut found);
        look_at(odd, [x, y, p, q]);
    }
    let rest = whole.map(|(_, rest)| rest);
    for start in (0..rest[0].len()).step_by(GROUP) {
        let classes = rest.map(|rest| &rest[start..rest.len().min(start + GROUP)]);
        let mut group = [[0.0; GROUP]; 4];
        for (group, classes) in group.iter_mut().zip(classes) {
            group[..classes.len()].copy_from_slice(classes);
        }
        let odd = add_numbers(isa, relation, group.each_ref(), steps, &mut found);
        look_at(odd, classes);
    }
    for (sum, found) in sums.iter_mut().zip(finish(found, huge)) {
        *sum = sum.merge::<f64>(LaneSum::ZERO.add_f64::<f32>(found));
    }
}

#[inline(never)]
fn add_numbers<S: Isa, F: Real, const N: usize>(
    isa: S,
    relation: &Relation<F>,
    numbers: [&[f32; N]; 4],
    steps: &mut Steps,
    sums: &mut Sums,
) -> Odd {
    isa.vectorize(
        #[inline(always)]
        || {
            let related = Related::new(relation);
            add::<S, N, GROUP>(isa, |_| related, numbers, steps, sums)
        },
    )
}

/// The products of d with a term that classes with a d from ±[`HUGE`] on add to both divergences of eight lanes.
#[derive(Clone, Copy, Default)]
pub(super) struct HugeClasses([[f64; SUM_LANES]; 2]);

impl HugeClasses {
    /// Looks at a class, with the two logits x and y and the terms p and q. One that is impossible for q alone makes the first
    /// divergence infinite, for p alone the second.
    #[inline(always)]
    pub(super) fn look_at<F: Real>(
        &mut self,
        lane: usize,
        relation: &Relation<F>,
        [x, y, p, q]: [f32; 4],
    ) {
        let d = relation.log_ratio(x.into(), y.into()).0.rounded();
        let [divergences, backs] = &mut self.0;
        if d.is_infinite() {
            let infinite = if d < 0.0 { divergences } else { backs };
            infinite[lane] = f64::INFINITY;
        } else if d <= -HUGE {
            divergences[lane] -= f64::from(p) * d;
        } else if d >= HUGE {
            backs[lane] += f64::from(q) * relation.k.rounded() * d;
        }
    }
}

/// The sums that a comparison adds up, of those of all its classes: Σ (p − q + q·d) in the place of Σ (q − p)·d.
#[inline(always)]
pub(super) fn finish(mut sums: Sums, huge: HugeClasses) -> Sums {
    let HugeClasses([bends, backs]) = huge;
    for i in 0..SUM_LANES {
        sums[2][i] += backs[i] - sums[0][i];
        sums[0][i] += bends[i];
    }
    sums
}

/// Σ p of the unsure classes.
#[cold]
#[inline(never)]
fn unsure<F: Real>(relation: &Relation<F>, [x, y, p]: [&[f32]; 3]) -> f64 {
    let classes = x.iter().zip(y).zip(p);
    let d = |x: f32, y: f32| relation.log_ratio(x.into(), y.into()).0.rounded();
    let is_unsure = |x, y| d(x, y).abs() < UNSURE;
    classes.filter(|((x, y), _)| is_unsure(**x, **y)).map(|(_, p)| f64::from(*p)).sum()
}
