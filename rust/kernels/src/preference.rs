//! −log p(the chosen answer is preferred): Bradley-Terry from two scores, DPO and its kin from log-probabilities.

use crate::elementwise::Elementwise;
use crate::formula::finite;
use crate::likelihood::{at_least, decay, sigmoids, times};
use nll_simd::math::{exp_nonpositive_of_two, log, log1p_unit};
use nll_simd::{Isa, Real, Wide, Words};

/// e^−|x|; in f32 of the first word, and [`softplus_of_words`] puts the second in, where it is known anyway
/// (1.26 → 0.9 ns).
#[inline(always)]
fn decay_of_words<S: Isa, F: Real>(isa: S, x: Words<F>) -> F {
    if !F::COMPENSATED {
        return decay(isa, x.hi);
    }
    exp_nonpositive_of_two(isa, if x.hi > F::ZERO { x.negative() } else { x })
}

/// log(1 + e^x), with the [`decay_of_words`] of x.
#[inline(always)]
fn softplus_of_words<S: Isa, F: Real>(isa: S, x: Words<F>, decay: F) -> F {
    let above = x.hi > F::ZERO;
    let rest = if above { -x.lo } else { x.lo };
    let decay = if F::COMPENSATED { decay } else { isa.mul_add(decay, rest, decay) };
    let part = log1p_unit(isa, decay);
    if above { x.hi + (part + x.lo) } else { part }
}

/// Bradley-Terry: −log σ(chosen − rejected − margin), the two-class cross entropy of the two scores. Without `MARGIN`,
/// that is 0 (1.2 → 0.9 ns, the same bits).
#[derive(Clone, Copy)]
pub struct BradleyTerry<const MARGIN: bool>;

impl<const MARGIN: bool> BradleyTerry<MARGIN> {
    /// rejected − chosen + margin in two words: e^d keeps its digits where |d| is large.
    #[inline(always)]
    fn gap<F: Real>([chosen, rejected, margin]: [F; 3]) -> Words<F> {
        let gap = Words::sum(rejected, -chosen);
        if MARGIN {
            gap.plus(Words::of(margin)).normal()
        } else {
            Words { lo: finite(gap.lo), ..gap }
        }
    }
}

impl<const MARGIN: bool> Elementwise<3> for BradleyTerry<MARGIN> {
    #[inline(always)]
    fn inner<S: Isa, F: Real>(self, isa: S, x: [F; 3]) -> F {
        decay_of_words(isa, Self::gap(x))
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 3], decay: F) -> F {
        softplus_of_words(isa, Self::gap(x), decay)
    }
    #[inline(always)]
    fn derivatives<F: Real>(self, x: [F; 3], decay: F) -> [F; 2] {
        let (up, down) = sigmoids(Self::gap(x).hi, decay);
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

impl Preference {
    /// The log-ratios policy/reference of the two, and their difference.
    #[inline(always)]
    fn ratios<F: Real>(x: [F; 4]) -> [Words<F>; 3] {
        let [chosen, rejected, ref_chosen, ref_rejected] = x;
        let (a, b) = (Words::sum(chosen, -ref_chosen), Words::sum(rejected, -ref_rejected));
        [a.normal(), b.normal(), less(a.normal(), b.normal())]
    }
}

/// a − b
#[inline(always)]
fn less<F: Real>(a: Words<F>, b: Words<F>) -> Words<F> {
    a.plus(b.negative()).normal()
}

impl Elementwise<4> for Preference {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 4], _inner: F) -> F {
        let [beta, e, point] = [self.beta, self.smoothing, self.reference_point].map(F::from_f64);
        let (one, half, point) = (F::ONE, F::HALF, Words::of(point));
        let [a, b, gap] = Self::ratios(x);
        let beta = Words::of(beta);
        let [win, lose, h] = [a, b, gap].map(|ratio| ratio.times(isa, beta).normal());
        // −log σ(x) and σ(x)
        let nll = |x: Words<F>| softplus_of_words(isa, x.negative(), decay_of_words(isa, x));
        let sigmoid = |x: Words<F>| {
            let (up, down) = sigmoids(x.hi, decay(isa, x.hi));
            up + up * down * x.lo
        };
        // (x − ½/β)²
        let square = |x: Words<F>| {
            let d = less(x, Words::of(half).over(isa, beta)).hi;
            d * d
        };
        match self.kind {
            PreferenceKind::Sigmoid => (one - e) * nll(h) + times(e, nll(h.negative())),
            PreferenceKind::Robust => {
                ((one - e) * nll(h) - times(e, nll(h.negative()))) / (one - e - e)
            }
            PreferenceKind::Hinge => at_least(less(Words::of(one), h).hi, F::ZERO),
            PreferenceKind::Ipo => square(gap),
            PreferenceKind::ExoPair => {
                let (right, wrong) = (nll(h), nll(h.negative()));
                times(sigmoid(h), -right - log(isa, one - e))
                    + times(sigmoid(h.negative()), -wrong - log(isa, e))
            }
            PreferenceKind::NcaPair => {
                nll(win) + half * nll(win.negative()) + half * nll(lose.negative())
            }
            PreferenceKind::BcoPair => nll(less(win, point)) + nll(less(point, lose)),
            PreferenceKind::KtoPair => sigmoid(less(point, win)) + sigmoid(less(lose, point)),
            PreferenceKind::SppoHard => square(a) + square(b.negative()),
            PreferenceKind::ApoZero => sigmoid(win.negative()) + sigmoid(lose),
            PreferenceKind::ApoDown => sigmoid(win) + sigmoid(h.negative()),
        }
    }
}
