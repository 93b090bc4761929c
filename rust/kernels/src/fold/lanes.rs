//! Sums of rows side by side: a lane for each row, class after class.
//!
//! The plain algorithm, for 32 rows at once:
//!
//! ```text
//! m = max(x);  s = Σ exp(x − m)
//! ```
//!
//! What we do instead, and why:
//!
//! 1. **The scale is a power of two**, as in [`LogSum`](crate::fold::LogSum), here one for each
//!    lane. All classes of the rows are in L1, so the maximum is taken in a sweep of its own.
//! 2. **Every term is added in f64**, in the order of the classes, and as a double-double where the
//!    terms are f64. A row's bits do not depend on the rows beside it.
//! 3. **The loops go over lanes, not classes,** with all that happens to a class in one body. Loops
//!    of one statement over 32 lanes are unrolled by LLVM before they are vectorised, and the lanes
//!    become 32 scalars. For the same reason what a loop over classes writes is a local variable.

use crate::data::lines::{LANES, Lines, Next};
use crate::fold::lane_scales::LaneScales;
use crate::fold::{Rank, linear_term};
use crate::math::side_by_side::Steps;
use crate::math::terms::{NONE, max2};
use nll_simd::{Extended, Isa, Real, SUM_LANES, two_sum_error};

/// The largest class of each row; anything of a row with a NaN.
///
/// Four classes at a time: one after the other, each would wait for the maximum before it.
#[inline(always)]
pub fn max<F: Real>(lines: Lines<'_, F>) -> [F; LANES] {
    let mut max = [F::NEG_INFINITY; LANES];
    let last = lines.classes() - 1;
    for class in (0..lines.classes()).step_by(4) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| lines.line((class + i).min(last)));
        for i in 0..LANES {
            max[i] = max2(max2(max2(a[i], b[i]), max2(c[i], d[i])), max[i]);
        }
    }
    max
}

/// x, or −∞ if it is hidden. A NaN stays.
///
/// As a minimum: of a choice between the two, LLVM makes a store of x and then a masked store of −∞,
/// which is slow on AMD's CPUs without AVX-512. For the same reason [`find_targets`] adds 0 of all classes but the target.
#[inline(always)]
fn hidden<F: Real>(x: F, is_hidden: bool) -> F {
    let most = if is_hidden { F::NEG_INFINITY } else { F::INFINITY };
    if most < x { most } else { x }
}

/// Copies the classes to `held`, −∞ in the first place where each row's `largest` stands. Returns that place, −1 if
/// there is none.
#[inline(always)]
pub fn hide_largest<F: Real>(
    lines: Lines<'_, F>,
    largest: [F; LANES],
    held: &mut [[F; LANES]],
) -> [F; LANES] {
    let mut at = [-F::ONE; LANES];
    for (class, held) in held.iter_mut().enumerate() {
        let (x, class) = (*lines.line(class), F::from_f64(class as f64));
        let mut others = [F::ZERO; LANES];
        for i in 0..LANES {
            let is_first = (x[i] == largest[i]) & (at[i] < F::ZERO);
            at[i] = if is_first { class } else { at[i] };
            others[i] = hidden(x[i], is_first);
        }
        *held = others;
    }
    at
}

/// The first place of each row's `largest`, −1 if it has none.
///
/// From the last class to the first: an earlier place replaces a later one without a look at it.
#[inline(always)]
fn first_places<F: Real>(lines: &Lines<'_, F>, largest: &[F; LANES]) -> [F; LANES] {
    let mut at = [-F::ONE; LANES];
    for class in (0..lines.classes()).rev() {
        let (x, class) = (lines.line(class), F::from_f64(class as f64));
        for i in 0..LANES {
            at[i] = if x[i] == largest[i] { class } else { at[i] };
        }
    }
    at
}

/// Makes the first largest class of each row its target, and sets that logit and the sum of the other classes. `held` has
/// as many lines.
///
/// A row with NaN may have no target: [`max`] may be −∞ then, though no class is. The sum of the other classes is NaN all
/// the same, and so is the loss.
#[inline(always)]
pub fn sum_below_largest<S: Isa, F: Real>(
    isa: S,
    lines: &Lines<'_, F>,
    held: &mut [[F; LANES]],
    steps: &mut Steps<F, LANES>,
) {
    let largest = max(*lines);
    if lines.classes() > SEARCHED {
        steps.target = hide_largest(*lines, largest, held);
        steps.rest.max = max(Lines::dense(held, Next::NOTHING));
        log_sums::<S, F, true>(isa, &Lines::dense(held, lines.next()), steps);
    } else {
        steps.target = first_places(lines, &largest);
        find_targets(lines, steps);
        log_sums::<S, F, false>(isa, lines, steps);
    }
    steps.x_t = largest;
}

/// Sets the logit of each row's target, 0 if a row has none, and the largest of the other classes.
#[inline(always)]
pub(crate) fn find_targets<F: Real>(lines: &Lines<'_, F>, steps: &mut Steps<F, LANES>) {
    // Arrays of this function, which are registers in its loop.
    let (target, mut x_t, mut max) = (steps.target, [F::ZERO; LANES], [F::NEG_INFINITY; LANES]);
    for class in 0..lines.classes() {
        let (x, class) = (lines.line(class), F::from_f64(class as f64));
        for i in 0..LANES {
            let is_target = target[i] == class;
            x_t[i] = x_t[i] + if is_target { x[i] } else { F::ZERO };
            max[i] = max2(hidden(x[i], is_target), max[i]);
        }
    }
    (steps.x_t, steps.rest.max) = (x_t, max);
}

/// Up to so many classes, each is compared with the target as its term is added. With more classes it is faster to store −∞
/// in the place of the target first ([`take_targets`]). With few classes that is slower, because the line is loaded again
/// before the store has reached the cache.
pub(crate) const SEARCHED: usize = 16;

/// [`find_targets`] without a search: reads each target by itself, and leaves −∞ in its place.
#[inline(always)]
pub(crate) fn take_targets<F: Real>(held: &mut [[F; LANES]], steps: &mut Steps<F, LANES>) {
    let mut x_t = [F::ZERO; LANES];
    for (i, (x_t, target)) in x_t.iter_mut().zip(&steps.target).enumerate() {
        // A row without a target has no line.
        if let Some(line) = held.get_mut(target.to_f64() as i32 as usize) {
            *x_t = core::mem::replace(&mut line[i], F::NEG_INFINITY);
        }
    }
    (steps.x_t, steps.rest.max) = (x_t, max(Lines::dense(held, Next::NOTHING)));
}

/// Sums in f64 with their rounding errors where `F` is [`COMPENSATED`](nll_simd::Float::COMPENSATED).
#[derive(Clone, Copy)]
pub struct LaneSums {
    sum: [f64; LANES],
    error: [f64; LANES],
}

impl LaneSums {
    /// Empty sums.
    pub const ZERO: LaneSums = LaneSums { sum: [0.0; LANES], error: [0.0; LANES] };

    /// Sets eight of them, of float32.
    #[inline(always)]
    pub(crate) fn set_eight(&mut self, first: usize, sums: [f64; SUM_LANES]) {
        self.sum[first..first + SUM_LANES].copy_from_slice(&sums);
    }

    /// Adds to one of them.
    #[inline(always)]
    pub fn add<F: Real>(&mut self, i: usize, value: f64) {
        let sum = self.sum[i] + value;
        if F::COMPENSATED {
            self.error[i] += two_sum_error(self.sum[i], value, sum);
        }
        self.sum[i] = sum;
    }

    /// Adds to each of them.
    #[inline(always)]
    pub(crate) fn add_line<F: Real>(&mut self, values: &[F; LANES]) {
        self.add_line_of::<F, F>(values);
    }

    /// Adds numbers that were computed from numbers of type `F`.
    #[inline(always)]
    pub(crate) fn add_line_of<F: Real, V: Real>(&mut self, values: &[V; LANES]) {
        for i in 0..LANES {
            self.add::<F>(i, values[i].to_f64());
        }
    }

    /// One of them.
    #[inline(always)]
    pub fn value<F: Real>(&self, i: usize) -> F::Extended {
        if F::COMPENSATED {
            // If the sum is infinite or NaN, so is its rounding error: it must not be added.
            let error = if self.sum[i].is_finite() { self.error[i] } else { 0.0 };
            F::Extended::sum(self.sum[i], error)
        } else {
            F::Extended::new(self.sum[i])
        }
    }
}

/// Sets `rest`, the sum of all classes but `target`, whose largest is in `rest.max` already. `TAKEN`: the lines hold −∞ in
/// the place of the target. Else they hold its logit.
#[inline(never)]
pub fn log_sums<S: Isa, F: Real, const TAKEN: bool>(
    isa: S,
    lines: &Lines<'_, F>,
    steps: &mut Steps<F, LANES>,
) {
    isa.vectorize(
        #[inline(always)]
        || log_sums_here::<S, F, TAKEN>(isa, lines, steps),
    );
}

#[inline(always)]
fn log_sums_here<S: Isa, F: Real, const TAKEN: bool>(
    isa: S,
    lines: &Lines<'_, F>,
    steps: &mut Steps<F, LANES>,
) {
    let scales = LaneScales::at(&steps.rest.max, F::ZERO);
    // Arrays of this function: LLVM does not know whether `steps` is apart from the lines, and would not keep these in
    // registers.
    let (mut sums, target) = (LaneSums::ZERO, steps.target);
    scales.terms::<S, false>(
        isa,
        *lines,
        #[inline(always)]
        |class, terms| {
            let (class, mut others) = (F::from_f64(class as f64), [F::ZERO; LANES]);
            for i in 0..LANES {
                others[i] = if !TAKEN && target[i] == class { F::ZERO } else { terms[i] };
            }
            sums.add_line(&others);
        },
    );
    let rest = &mut steps.rest;
    (rest.center, rest.exponent) = (scales.center, scales.exponent);
    for i in 0..LANES {
        let [value, lost] = sums.value::<F>(i).words();
        rest.sum[i] = value;
        if F::COMPENSATED {
            rest.lost[i] = lost;
        }
    }
}

/// Σ_c w_c·(x_c − shift) of each row in two words, and the shift: what [`Linear`](crate::fold::Linear)
/// comes to.
#[inline(never)]
pub(crate) fn linear<S: Isa, F: Real>(
    isa: S,
    lines: Lines<'_, F>,
    weight: Option<&[f64]>,
) -> [[f64; LANES]; 3] {
    isa.vectorize(
        #[inline(always)]
        || linear_here(isa, lines, weight),
    )
}

#[inline(always)]
fn linear_here<S: Isa, F: Real>(
    isa: S,
    lines: Lines<'_, F>,
    weight: Option<&[f64]>,
) -> [[f64; LANES]; 3] {
    let weight = |class: usize| weight.map_or(1.0, |weight| weight[class]);
    let (mut shift, mut sums) = ([0.0; LANES], LaneSums::ZERO);
    let mut classes = (0..lines.classes()).filter(|&class| weight(class) != 0.0).peekable();
    if let Some(&first) = classes.peek() {
        let x = lines.line(first);
        for i in 0..LANES {
            shift[i] = if x[i].abs() < F::INFINITY { x[i].to_f64() } else { 0.0 };
        }
    }
    for class in classes {
        let (x, w) = (lines.line(class), weight(class));
        for i in 0..LANES {
            let [product, lost] = linear_term::<S, F>(isa, w, [x[i].to_f64(), shift[i]]);
            sums.add::<F>(i, product);
            if F::COMPENSATED {
                sums.error[i] += lost;
            }
        }
    }
    let [mut sum, mut lost] = [[0.0; LANES]; 2];
    for i in 0..LANES {
        [sum[i], lost[i]] = sums.value::<F>(i).words();
    }
    [sum, lost, shift]
}

/// How the target of each row stands among its classes, as a [`Rank`] says.
pub struct Ranks {
    above: [u32; LANES],
    equal: [u32; LANES],
    nan: [u32; LANES],
}

impl Ranks {
    /// How the target of row `row` stands.
    #[inline(always)]
    pub fn of(&self, row: usize) -> Rank {
        let [above, equal, nan] = [&self.above, &self.equal, &self.nan].map(|counts| counts[row]);
        Rank { above: above.into(), equal: equal.into(), first: NONE, has_nan: nan > 0 }
    }
}

/// The ranks of targets with the logits `x_t`.
#[inline(always)]
pub fn ranks<F: Real>(lines: Lines<'_, F>, x_t: &[F; LANES]) -> Ranks {
    let [mut above, mut equal, mut nan] = [[0; LANES]; 3];
    for class in 0..lines.classes() {
        let line = lines.line(class);
        for i in 0..LANES {
            above[i] += u32::from(line[i] > x_t[i]);
            equal[i] += u32::from(line[i] == x_t[i]);
            nan[i] += u32::from(line[i].is_nan());
        }
    }
    Ranks { above, equal, nan }
}
