//! −log p(the chosen answer is preferred): Bradley-Terry from two scores, DPO and its kin from log-probabilities.

use crate::elementwise::Elementwise;
use crate::formula::finite;
use crate::likelihood::{at_least, decay, sigmoids, times};
use nll_simd::math::{exp_nonpositive_of_two, log, log1p_unit};
use nll_simd::{Isa, Real, two_sum_error};

/// A number in two words: log-probabilities of whole answers are large beside their differences, and
/// exponentials magnify what rounding takes.
type Two<F> = [F; 2];

/// The same number with the second word small beside the first: it is not where a difference has cancelled.
#[inline(always)]
fn sorted<F: Real>([x, lost]: Two<F>) -> Two<F> {
    let sum = x + lost;
    [sum, finite((x - sum) + lost)]
}

/// e^−|x|, x in two words; in f32 of the first, and [`softplus_of_two`] puts the second in, where it is known anyway
/// (1.26 → 0.9 ns).
#[inline(always)]
fn decay_of_two<S: Isa, F: Real>(isa: S, [x, lost]: Two<F>) -> F {
    if !F::COMPENSATED {
        return decay(isa, x);
    }
    exp_nonpositive_of_two(isa, if x > F::ZERO { [-x, -lost] } else { [x, lost] })
}

/// log(1 + e^x), x in two words and with its [`decay_of_two`].
#[inline(always)]
fn softplus_of_two<S: Isa, F: Real>(isa: S, [x, lost]: Two<F>, decay: F) -> F {
    let above = x > F::ZERO;
    let rest = if above { -lost } else { lost };
    let decay = if F::COMPENSATED { decay } else { isa.mul_add(decay, rest, decay) };
    let part = log1p_unit(isa, decay);
    if above { x + (part + lost) } else { part }
}

/// Bradley-Terry: −log σ(chosen − rejected − margin), the two-class cross entropy of the two scores. Without `MARGIN`,
/// that is 0 (1.2 → 0.9 ns, the same bits).
#[derive(Clone, Copy)]
pub struct BradleyTerry<const MARGIN: bool>;

impl<const MARGIN: bool> BradleyTerry<MARGIN> {
    /// rejected − chosen + margin in two words: e^d keeps its digits where |d| is large.
    #[inline(always)]
    fn gap<F: Real>([chosen, rejected, margin]: [F; 3]) -> Two<F> {
        let gap = rejected - chosen;
        let lost = two_sum_error(rejected, -chosen, gap);
        if !MARGIN {
            return [gap, finite(lost)];
        }
        let d = gap + margin;
        sorted([d, finite(two_sum_error(gap, margin, d) + lost)])
    }
}

impl<const MARGIN: bool> Elementwise<3> for BradleyTerry<MARGIN> {
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, x: [F; 3]) -> F {
        decay_of_two(isa, Self::gap(x))
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 3], decay: F) -> F {
        softplus_of_two(isa, Self::gap(x), decay)
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, x: [F; 3], decay: F) -> [F; 2] {
        let (up, down) = sigmoids(Self::gap(x)[0], decay);
        [-up, up * down]
    }
    #[inline(always)]
    fn curvature<F: Real>(self, _x: [F; 3]) -> F {
        F::HALF * F::HALF
    }
}

/// The losses of direct preference optimization, by TRL's names.
#[derive(Clone, Copy)]
#[expect(missing_docs, reason = "the formulas stand in `Preference::value`")]
pub enum PreferenceKind {
    Sigmoid,
    Robust,
    Hinge,
    Ipo,
    ExoPair,
    NcaPair,
    BcoPair,
    KtoPair,
    SppoHard,
    ApoZero,
    ApoDown,
}

/// Preferences from log-probabilities: policy and reference, chosen and rejected. With a and b the
/// log-ratios policy/reference of the two and h = β·(a − b); `kind` picks the formula.
#[derive(Clone, Copy)]
pub struct Preference {
    /// Which loss.
    pub kind: PreferenceKind,
    /// How far the policy may go from the reference.
    pub beta: f64,
    /// ε, how often the labels are wrong.
    pub smoothing: f64,
    /// What BCO and KTO compare rewards with.
    pub reference_point: f64,
}

#[inline(always)]
fn minus<F: Real>([a, a_lost]: Two<F>, [b, b_lost]: Two<F>) -> Two<F> {
    let d = a - b;
    sorted([d, finite(two_sum_error(a, -b, d)) + (a_lost - b_lost)])
}

#[inline(always)]
fn scaled<S: Isa, F: Real>(isa: S, by: F, [a, a_lost]: Two<F>) -> Two<F> {
    let product = by * a;
    [product, finite(isa.product_error(by, a, product)) + by * a_lost]
}

#[inline(always)]
fn negative<F: Real>([a, a_lost]: Two<F>) -> Two<F> {
    [-a, -a_lost]
}

impl Preference {
    /// β times the two log-ratios, and the difference of those
    #[inline(always)]
    fn rewards<S: Isa, F: Real>(self, isa: S, x: [F; 4]) -> [Two<F>; 3] {
        let [chosen, rejected, ref_chosen, ref_rejected] = x.map(|x| [x, F::ZERO]);
        let (a, b) = (minus(chosen, ref_chosen), minus(rejected, ref_rejected));
        [a, b, minus(a, b)].map(|ratio| scaled(isa, F::from_f64(self.beta), ratio))
    }
}

impl Elementwise<4> for Preference {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 4], _inner: F) -> F {
        let [chosen, rejected, ref_chosen, ref_rejected] = x;
        let [beta, e, point] = [self.beta, self.smoothing, self.reference_point].map(F::from_f64);
        let (one, half, point) = (F::ONE, F::HALF, [point, F::ZERO]);
        let (a, b) = (chosen - ref_chosen, rejected - ref_rejected);
        let [win, lose, h] = self.rewards(isa, x);
        // −log σ(x) and σ(x)
        let nll = |x: Two<F>| softplus_of_two(isa, negative(x), decay_of_two(isa, x));
        let sigmoid = |[x, lost]: Two<F>| {
            let (up, down) = sigmoids(x, decay(isa, x));
            up + up * down * lost
        };
        match self.kind {
            PreferenceKind::Sigmoid => (one - e) * nll(h) + times(e, nll(negative(h))),
            PreferenceKind::Robust => {
                ((one - e) * nll(h) - times(e, nll(negative(h)))) / (one - e - e)
            }
            PreferenceKind::Hinge => at_least((one - h[0]) - h[1], F::ZERO),
            PreferenceKind::Ipo => {
                let gap = (a - b) - half / beta;
                gap * gap
            }
            PreferenceKind::ExoPair => {
                let (right, wrong) = (nll(h), nll(negative(h)));
                times(sigmoid(h), -right - log(isa, one - e))
                    + times(sigmoid(negative(h)), -wrong - log(isa, e))
            }
            PreferenceKind::NcaPair => {
                nll(win) + half * nll(negative(win)) + half * nll(negative(lose))
            }
            PreferenceKind::BcoPair => nll(minus(win, point)) + nll(minus(point, lose)),
            PreferenceKind::KtoPair => sigmoid(minus(point, win)) + sigmoid(minus(lose, point)),
            PreferenceKind::SppoHard => {
                let (win, lose) = (a - half / beta, b + half / beta);
                win * win + lose * lose
            }
            PreferenceKind::ApoZero => sigmoid(negative(win)) + sigmoid(lose),
            PreferenceKind::ApoDown => sigmoid(win) + sigmoid(negative(h)),
        }
    }
}
