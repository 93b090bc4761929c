//! Formulas of a row: branch-free scalar functions, each like its line in the package `nll_fast.reference`.

use nll_simd::math::{exp, horner, log};
use nll_simd::{Baseline, Extended, Float, Isa, Level, Real};

/// Σ e^x over some classes as `sum · 2^exponent · e^(center + correction)`, which
/// stays in range.
#[derive(Clone, Copy, Debug, Default)]
pub struct ScaledSum {
    /// An exponent of e: 0, but for huge logits.
    pub center: f64,
    /// A small one: what the rounding of ln 2, and in float64 that of the sum, has taken.
    pub correction: f64,
    /// A whole number.
    pub exponent: f64,
    /// 0 if no class is above −∞, else at least 0.7: log(sum) and sum − 1 keep their digits.
    pub sum: f64,
    /// The largest x, −∞ for no classes. A NaN is skipped or counts as +∞; it makes the sum NaN.
    pub max: f64,
}

/// log Σ e^x = center + correction + exponent · ln 2 + log sum.   No classes → −∞, NaN → NaN.
#[inline(always)]
pub fn log_sum_exp<S: Isa, F: Real>(isa: S, all: ScaledSum) -> f64 {
    log_sum_exp_above::<S, F>(isa, all, 0.0).rounded()
}

/// log Σ e^x − x_0, of which a common offset cancels before anything is rounded.
#[inline(always)]
pub fn log_sum_exp_above<S: Isa, F: Real>(isa: S, all: ScaledSum, x_0: f64) -> F::Extended {
    let center = F::Extended::sum(all.center, -x_0).add(F::Extended::new(all.correction));
    let reference = center.add(F::Extended::ln_2_times(all.exponent));
    reference.add(F::Extended::log(isa, all.sum))
}

/// Whether b·e^x is a finite number other than 0, of numbers that may be out of range.
#[inline(always)]
pub fn is_ordinary<F: Real>(x: F, b: F) -> bool {
    (x.abs() < F::INFINITY) & (b.abs() < F::INFINITY) & (b != F::ZERO)
}

/// b·e^x where it is 0, infinite or NaN.   b = 0 → 0, whatever x.
#[inline(always)]
pub fn edge_term<F: Real>(x: F, b: F) -> f64 {
    let exp = if x == F::NEG_INFINITY { F::ZERO } else { x };
    let exp = if x.abs() < F::INFINITY { F::ONE } else { exp };
    if b == F::ZERO { 0.0 } else { b.to_f64() * exp.to_f64() }
}

/// log(sum·2^exponent·e^center).   0 → −∞, +∞ → +∞, below 0 and NaN → NaN.
#[inline(always)]
pub fn log_of_scaled<S: Isa, F: Real>(
    isa: S,
    sum: F::Extended,
    [center, exponent]: [f64; 2],
) -> f64 {
    let [sum, lost] = sum.words();
    // Near 1 the logarithm keeps its digits.
    let (k, m) = f64::split(sum);
    let value = F::Extended::new(center)
        .add(F::Extended::ln_2_times(exponent + k))
        .add(F::Extended::log(isa, m).add(F::Extended::new(lost / sum)))
        .rounded();
    let limit = if sum == 0.0 { f64::NEG_INFINITY } else { sum };
    let limit = if sum < 0.0 { f64::NAN } else { limit };
    if (sum > 0.0) & (sum < f64::INFINITY) { value } else { limit }
}

/// log Σ e^x = x_m + log(1 + Σ_{j≠m} e^{x_j − x_m}), the largest against the rest: near 0 it has the
/// digits that its two terms have.   All −∞ → −∞, NaN → NaN.
#[inline(always)]
pub fn log_sum_exp_of_rest<S: Isa, F: Real>(isa: S, rest: ScaledSum, x_m: f64) -> f64 {
    let value = F::Extended::new(x_m).add(log_one_plus_ratio::<S, F>(isa, rest, x_m)).rounded();
    if rest.sum == 0.0 { x_m } else { value }
}

/// −log softmax(x)_t = log(1 + Σ_{j≠t} e^{x_j} / e^{x_t}): the target against the rest.
///
/// All of the rest −∞: 0 if x_t is finite, else NaN.   x_t = −∞ → +∞.   x_t = +∞, or +∞ in the
/// rest, or a NaN → NaN.
#[inline(always)]
pub fn target_against_rest<S: Isa, F: Real>(isa: S, rest: ScaledSum, x_t: f64) -> f64 {
    unrounded_loss::<S, F>(isa, rest, x_t).rounded()
}

/// [`target_against_rest`], of which [`smoothed`] makes a result that is rounded once.
#[inline(always)]
pub fn unrounded_loss<S: Isa, F: Real>(isa: S, rest: ScaledSum, x_t: f64) -> F::Extended {
    loss_or_alone(log_one_plus_ratio::<S, F>(isa, rest, x_t), rest.sum, x_t)
}

/// `loss`; but if all of the rest is −∞, or the target +∞: 0 where x_t is finite, else NaN.
#[inline(always)]
pub(super) fn loss_or_alone<E: Extended>(loss: E, rest: f64, x_t: f64) -> E {
    #[expect(clippy::eq_op, reason = "0 if it is finite, else NaN")]
    let alone = E::new(x_t - x_t);
    if rest == 0.0 || x_t == f64::INFINITY { alone } else { loss }
}

/// log(1 + Σ e^x / e^{x_t}), the sum being `rest`, of finite numbers.
#[inline(always)]
fn log_one_plus_ratio<S: Isa, F: Real>(isa: S, rest: ScaledSum, x_t: f64) -> F::Extended {
    log_one_plus_scaled_exp::<S, F>(isa, rest.sum, gap::<F>(rest, x_t))
}

/// log(Σ e^x / e^{x_t}) without the logarithm of `rest.sum`.
#[inline(always)]
pub(super) fn gap<F: Real>(rest: ScaledSum, x_t: f64) -> F::Extended {
    F::Extended::sum(rest.center, -x_t)
        .add(F::Extended::ln_2_times(rest.exponent))
        .add(F::Extended::new(rest.correction))
}

/// What is known of a row from its target t and the rest.
#[derive(Clone, Copy)]
pub struct TargetAndRest<E> {
    /// −log p_t
    pub loss: f64,
    /// −log p_m, of the largest logit.
    pub largest: E,
    /// −Σ p·log p
    pub entropy: f64,
    /// Whether the last two have their digits.
    pub is_sure: bool,
}

/// −log p_t, −log p_m and the entropy of a row, with g = x_m − x_t and `below` = Σ_{j≠t} e^{x_j}·(x_m − x_j) /
/// Σ_{j≠t} e^{x_j}:
///
/// ```text
/// −log p_m  =  −log p_t − g
/// entropy   =  −log p_m + p_t·g + (1 − p_t)·below
/// ```
///
/// If the target is not the largest, the first difference cancels where p_m is nearly 1. With −log p_m ≥ 1/2
/// it has all its digits; below that, where g is so large that −log p_t does not hold −log p_m beside it, and
/// where a logit is not finite, the row is not sure.
#[inline(always)]
pub fn target_and_rest<S: Isa, F: Real>(
    isa: S,
    (rest, below): (ScaledSum, F::Extended),
    [x_t, x_m]: [f64; 2],
) -> TargetAndRest<F::Extended> {
    let (most, one) = (F::Extended::new(512.0), F::Extended::new(1.0));
    let gap = gap::<F>(rest, x_t);
    let gap = if gap.rounded() > 512.0 { most } else { gap };
    let ratio = gap.mul_exp(isa, rest.sum);
    let others = ratio.div(isa, one.add(ratio));
    let further = F::Extended::sum(x_m, -x_t);
    let largest = log_one_plus_ratio::<S, F>(isa, rest, x_t).add(further.neg());
    let share = further.mul(isa, one.add(others.neg()));
    let entropy = largest.add(share).add(others.mul(isa, below)).rounded();
    let least = if x_m > x_t { 0.5 } else { 0.0 };
    let holds_both = further.rounded() < if F::COMPENSATED { 1e14 } else { 1e7 };
    let is_sure = largest.rounded() >= least && holds_both && entropy < f64::INFINITY;
    let loss = target_against_rest::<S, F>(isa, rest, x_t);
    TargetAndRest { loss, largest, entropy, is_sure }
}

/// log(1 + s·e^d); softplus(d) where s = 1.   d = −∞ → 0, d = +∞ → +∞, NaN → NaN.
///
/// Computed as log1p(s·e^c) + (d − c) with c = min(d, 512): it keeps its digits as it goes to 0,
/// and e^c cannot overflow. Beyond c the 1 does not count.
#[inline(always)]
pub fn log_one_plus_scaled_exp<S: Isa, F: Real>(isa: S, s: f64, d: F::Extended) -> F::Extended {
    let [near, beyond] = near_and_beyond(d);
    near.mul_exp(isa, s).log1p(isa).add(beyond)
}

/// c = min(d, 512) and d − c.
#[inline(always)]
pub(super) fn near_and_beyond<E: Extended>(d: E) -> [E; 2] {
    let (most, is_beyond) = (E::new(512.0), d.rounded() > 512.0);
    let beyond = if is_beyond { d.add(most.neg()) } else { E::new(0.0) };
    [if is_beyond { most } else { d }, beyond]
}

/// (1 − ε)·w_t·loss + ε/C · Σ_c w_c·(−log softmax(x)_c), torch's label smoothing.   A logit of −∞
/// whose class has a weight → +∞.
///
/// The sum is `weights·(lse − shift) − linear` with `linear = Σ_c w_c·(x_c − shift)`, which may cancel
/// where most logits are far above the shift: all numbers keep their second words until the end.
/// `above` is lse − shift, which is (x_t − shift) + loss unless x_t is −∞.
#[inline(always)]
pub fn smoothed<S: Isa, E: Extended>(
    isa: S,
    smoothing: Smoothing<E>,
    (loss, target_weight): (E, f64),
    [linear, above]: [E; 2],
) -> f64 {
    let Smoothing { sharp, share, weights } = smoothing;
    let uniform = weights.mul(isa, above.renormalize()).add(linear.neg()).renormalize();
    let is_impossible = linear.rounded() == f64::NEG_INFINITY && !loss.rounded().is_nan();
    let uniform = if is_impossible { E::new(f64::INFINITY) } else { uniform };
    let weight = sharp.mul(isa, E::new(target_weight));
    let sharp = if weight.rounded() == 0.0 { E::new(0.0) } else { weight.mul(isa, loss) };
    sharp.add(share.mul(isa, uniform)).rounded()
}

/// The loss times its weight; 0 for a weight of 0, whatever the loss.
#[inline(always)]
pub fn weighed(weight: f64, loss: f64) -> f64 {
    if weight == 0.0 { 0.0 } else { weight * loss }
}

/// What the rows of a call have in common for [`smoothed`].
#[derive(Clone, Copy, Debug)]
pub struct Smoothing<E> {
    /// 1 − ε
    pub sharp: E,
    /// ε/C
    pub share: E,
    /// Σ_c w_c
    pub weights: E,
}

impl<E: Extended> Smoothing<E> {
    /// Of C classes whose weights have this sum, rounded and what that leaves.
    pub fn new(epsilon: f64, classes: usize, [weights, lost]: [f64; 2]) -> Self {
        let share = E::new(epsilon).div(Baseline, E::new(classes as f64));
        Smoothing { sharp: E::sum(1.0, -epsilon), share, weights: E::sum(weights, lost) }
    }
}

/// −log p, for a result in `F`.   0 → +∞, 1 → 0, NaN → NaN.
#[inline(always)]
pub fn probability<S: Isa, F: Real>(isa: S, p: f64) -> f64 {
    // In f64 the logarithm itself is within 1 ulp, without a second word.
    0.0 - if F::COMPENSATED { log(isa, p) } else { F::Extended::log(isa, p).rounded() }
}

/// −y·log p, with p first clipped to [margin, 1 − margin].   y = 0 → 0, p outside [0, 1] or NaN → NaN.
#[inline(always)]
pub fn expected_loss<S: Isa, F: Real>(isa: S, y: f64, p: f64, margin: f64) -> F::Extended {
    // Comparisons and choices of numbers that are there anyway: of branches, LLVM makes a loop over single classes.
    let is_probability = (0.0..=1.0).contains(&p);
    let most = 1.0 - margin;
    let clipped = if p < margin { margin } else { p };
    let clipped = if clipped > most { most } else { clipped };
    let loss = probability::<S, F>(isa, clipped);
    let loss = if y == 0.0 { 0.0 } else { loss };
    let product = F::Extended::new(y).mul(isa, F::Extended::new(loss));
    if is_probability { product } else { F::Extended::new(f64::NAN) }
}

/// −log p from log p.   0 → 0 (never −0), −∞ → +∞, NaN → NaN.
#[inline(always)]
pub fn log_probability(log_p: f64) -> f64 {
    0.0 - log_p
}

/// x, but 0 if it is infinite or NaN, as the rounding error of an infinite sum is.
#[inline(always)]
pub fn finite<F: Real>(x: F) -> F {
    if x.abs() < F::INFINITY { x } else { F::ZERO }
}

/// −log softmax(x) = (x_m − x) + loss of a class, with x_m the largest logit of its row and `loss` that of
/// its class.   −∞ → +∞, NaN or x_m infinite → NaN.
#[inline(always)]
pub fn below_largest<F: Real>(x: F, x_m: F, loss: F::Extended) -> f64 {
    let below = F::Extended::sum(x_m.to_f64(), -x.to_f64()).add(loss).rounded();
    if x == F::NEG_INFINITY && x_m > x { f64::INFINITY } else { below }
}

/// log p from −log p, rounded to `F` before it takes its sign: what rounds to 0 has the sign of 0 (never −0).
#[inline(always)]
pub fn log_prob<F: Real>(loss: f64) -> f64 {
    0.0 - F::from_f64(loss).to_f64()
}

/// c·tanh(x/c), which lies between −c and c.   ±∞ → ±c, 0 → 0, NaN → NaN.
///
/// tanh z = (e^{2z} − 1) / (e^{2z} + 1), whose numerator is a series near 0, where the difference
/// would cancel. Without fused multiply-add on every CPU: whoever reads one number by itself gets the
/// bits of a block.
#[inline(always)]
pub fn soft_capped<F: Real>(x: F, c: f64) -> F {
    let one = F::Extended::new(1.0);
    let size = F::Extended::new(x.abs().to_f64()).div(Baseline, F::Extended::new(c));
    // Beyond 22 the hyperbolic tangent rounds to 1.
    let is_beyond = size.rounded() >= 22.0;
    let d = if is_beyond { F::Extended::new(44.0) } else { size.add(size) };
    let rise = F::Extended::new(horner(Baseline, &F::EXPM1_TAIL[2..], d.rounded()))
        .mul_add(Baseline, d.rounded(), F::EXPM1_TAIL[1])
        .mul_add(Baseline, d.rounded(), F::EXPM1_TAIL[0])
        .mul(Baseline, d)
        .add(one);
    let near = d.mul(Baseline, rise);
    let far = d.mul_exp(Baseline, 1.0).add(one.neg());
    let above = if d.rounded() < 1.0 { near } else { far };
    let tanh = above.div(Baseline, above.add(F::Extended::new(2.0)));
    let capped = F::from_f64(tanh.mul(Baseline, F::Extended::new(c)).rounded());
    // So near 0 that it rounds to x, which the quotient may have lost.
    let is_tiny = size.rounded() < 1e-9;
    let capped = if is_tiny { x.abs() } else { capped };
    let capped = if x.is_nan() { x } else { capped };
    if x < F::ZERO { F::ZERO - capped } else { capped }
}

/// e^x of one number, as the perplexity of a mean, by the exponential that all losses use.
pub fn perplexity(level: Level, x: f64) -> f64 {
    struct Exp(f64);
    impl nll_simd::Kernel for Exp {
        type Output = f64;
        #[inline(always)]
        fn run<S: Isa>(self, isa: S) -> f64 {
            exp(isa, self.0)
        }
    }
    level.run(Exp(x))
}
