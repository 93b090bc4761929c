//! −log p(the chosen answer is preferred): Bradley-Terry from two scores, DPO and its relatives
//! from log-probabilities.

use crate::math::density::{
    Density, Derivatives, Logistic, SecondDerivatives, clamp_min, exp_neg_abs, mul_or_zero,
    sigmoids,
};
use crate::math::row::finite;
use nll_simd::math::{exp_nonpositive_of_words, log, log1p_unit, mul_exp};
use nll_simd::{DoubleWord, Extended, Isa, Real};

/// e^−|x|; in f32 that of the leading word alone, because [`softplus_of_words`] corrects the value
/// for the trailing word, and derivatives need no more.
#[inline(always)]
fn exp_neg_abs_of_words<S: Isa, F: Real>(isa: S, x: DoubleWord<F>) -> F {
    if !F::COMPENSATED {
        return exp_neg_abs(isa, x.hi);
    }
    let x = if x.hi > F::ZERO { x.neg() } else { x };
    exp_nonpositive_of_words(isa, [x.hi, x.lo])
}

/// log(1 + e^x) of a double-double x, given log(1 + e^−|x|); in f32 that of the leading word alone.
#[inline(always)]
fn softplus_of_words<S: Isa, F: Real>(isa: S, x: DoubleWord<F>, log1p_exp: F) -> F {
    let above = x.hi > F::ZERO;
    let mut part = log1p_exp;
    if !F::COMPENSATED {
        // The slope is σ(−|x|) = 1 − e^−g for g = log(1 + e^−|x|). Four terms of its series are
        // within 0.2 %, and what they are multiplied by is less than an ulp of x.
        let slope = isa.mul_add(part, F::from_f64(-1.0 / 24.0), F::from_f64(1.0 / 6.0));
        let slope = isa.mul_add(part, slope, -F::HALF);
        let slope = part * isa.mul_add(part, slope, F::ONE);
        part = isa.mul_add(slope, if above { -x.lo } else { x.lo }, part);
    }
    if above { x.hi + (part + x.lo) } else { part }
}

/// Bradley-Terry: −log σ(chosen − rejected − margin), the two-class cross entropy of two scores.
/// Without `MARGIN` the margin counts as 0, for the same bits from fewer instructions.
#[derive(Clone, Copy)]
pub struct BradleyTerry<const MARGIN: bool>;

impl<const MARGIN: bool> BradleyTerry<MARGIN> {
    /// rejected − chosen + margin as a double-double: the exponential magnifies its rounding error.
    #[inline(always)]
    fn words<F: Real>([chosen, rejected, margin]: [F; 3]) -> DoubleWord<F> {
        let gap = DoubleWord::sum(rejected, -chosen);
        if MARGIN {
            gap.add(DoubleWord::new(margin)).renormalize()
        } else {
            DoubleWord { lo: finite(gap.lo), ..gap }
        }
    }
}

impl<const MARGIN: bool> Logistic<3> for BradleyTerry<MARGIN> {
    const IS_OF_LOGIT: bool = false;

    #[inline(always)]
    fn gap<F: Real>(self, x: [F; 3]) -> F {
        Self::words(x).hi
    }
    #[inline(always)]
    fn exp_neg_abs<S: Isa, F: Real>(self, isa: S, x: [F; 3]) -> F {
        exp_neg_abs_of_words(isa, Self::words(x))
    }
    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 3], log1p_exp: F) -> F {
        softplus_of_words(isa, Self::words(x), log1p_exp)
    }
}

impl<const MARGIN: bool> Derivatives<3> for BradleyTerry<MARGIN> {
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, x: [F; 3], exp_neg_abs: F) -> [F; 3] {
        let words = Self::words(x);
        let (up, down) = sigmoids(isa, words.hi, exp_neg_abs);
        // In f32, e^−|x| is that of the leading word alone.
        let lost = if F::COMPENSATED { F::ZERO } else { finite(words.lo) };
        let up = isa.mul_add(up * down, lost, up);
        [-up, up, up]
    }
}

impl<const MARGIN: bool> SecondDerivatives<3> for BradleyTerry<MARGIN> {
    #[inline(always)]
    fn second<S: Isa, F: Real>(self, isa: S, x: [F; 3], exp_neg_abs: F) -> F {
        let words = Self::words(x);
        let (up, down) = sigmoids(isa, words.hi, exp_neg_abs);
        let lost = if F::COMPENSATED { F::ZERO } else { finite(words.lo) };
        isa.mul_add((up * down) * (down - up), lost, up * down)
    }

    #[inline(always)]
    fn bound<F: Real>(self, _x: [F; 3], _inner: F) -> F {
        F::HALF * F::HALF
    }
}

/// The losses of direct preference optimization, by TRL's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

impl PreferenceKind {
    /// Every loss, with its name in TRL.
    pub const NAMES: [(&'static str, PreferenceKind); 11] = [
        ("sigmoid", PreferenceKind::Sigmoid),
        ("robust", PreferenceKind::Robust),
        ("hinge", PreferenceKind::Hinge),
        ("ipo", PreferenceKind::Ipo),
        ("exo_pair", PreferenceKind::ExoPair),
        ("nca_pair", PreferenceKind::NcaPair),
        ("bco_pair", PreferenceKind::BcoPair),
        ("kto_pair", PreferenceKind::KtoPair),
        ("sppo_hard", PreferenceKind::SppoHard),
        ("apo_zero", PreferenceKind::ApoZero),
        ("apo_down", PreferenceKind::ApoDown),
    ];
}

/// A preference loss, from the log-probabilities that policy and reference give to two answers.
/// With the log-ratios a and b, policy/reference, of the chosen and the rejected one and
/// h = β·(a − b), `kind` picks the formula.
#[derive(Clone, Copy)]
pub struct Preference {
    /// Which loss.
    pub kind: PreferenceKind,
    /// β, how strongly the policy is held to the reference.
    pub beta: f64,
    /// ε, the probability that a label is wrong.
    pub smoothing: f64,
    /// δ, the reward that BCO and KTO compare with.
    pub reference_point: f64,
}

impl Preference {
    /// a, b and a − b.
    #[inline(always)]
    fn ratios<F: Real>(x: [F; 4]) -> [DoubleWord<F>; 3] {
        let [chosen, rejected, ref_chosen, ref_rejected] = x;
        let (a, b) =
            (DoubleWord::sum(chosen, -ref_chosen), DoubleWord::sum(rejected, -ref_rejected));
        [a.renormalize(), b.renormalize(), less(a.renormalize(), b.renormalize())]
    }
}

/// a − b
#[inline(always)]
fn less<F: Real>(a: DoubleWord<F>, b: DoubleWord<F>) -> DoubleWord<F> {
    a.add(b.neg()).renormalize()
}

/// log(1 − ε) for ε in [0, 1), with its digits where ε is small.
#[inline(always)]
fn log_of_rest<S: Isa, F: Real>(isa: S, e: F) -> F {
    let rest = F::ONE - e;
    if e > F::HALF { log(isa, rest) } else { -log1p_unit(isa, e / rest) }
}

impl Density<4> for Preference {
    const INNER: bool = false;

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 4], _inner: F) -> F {
        let (beta, e) = (F::from_f64(self.beta), F::from_f64(self.smoothing));
        let point = F::from_f64(self.reference_point);
        let (one, half, point) = (F::ONE, F::HALF, DoubleWord::new(point));
        let [a, b, gap] = Self::ratios(x);
        let beta = DoubleWord::new(beta);
        let scaled = |ratio: DoubleWord<F>| ratio.mul(isa, beta).renormalize();
        let (win, lose, h) = (scaled(a), scaled(b), scaled(gap));
        // −log σ(x) and σ(x)
        let nll = |x: DoubleWord<F>| {
            softplus_of_words(isa, x.neg(), log1p_unit(isa, exp_neg_abs_of_words(isa, x)))
        };
        let sigmoid = |x: DoubleWord<F>| {
            let (up, down) = sigmoids(isa, x.hi, exp_neg_abs(isa, x.hi));
            up + up * down * x.lo
        };
        // (x − ½/β)²
        let square = |x: DoubleWord<F>| {
            let d = less(x, DoubleWord::new(half).div(isa, beta)).hi;
            d * d
        };
        match self.kind {
            PreferenceKind::Sigmoid => (one - e) * nll(h) + mul_or_zero(e, nll(h.neg())),
            PreferenceKind::Robust => {
                ((one - e) * nll(h) - mul_or_zero(e, nll(h.neg()))) / (one - e - e)
            }
            PreferenceKind::Hinge => clamp_min(less(DoubleWord::new(one), h).hi, F::ZERO),
            PreferenceKind::Ipo => square(gap),
            PreferenceKind::ExoPair => {
                let (right, wrong) = (nll(h), nll(h.neg()));
                mul_or_zero(sigmoid(h), -right - log_of_rest(isa, e))
                    + mul_or_zero(sigmoid(h.neg()), -wrong - log(isa, e))
            }
            PreferenceKind::NcaPair => nll(win) + half * nll(win.neg()) + half * nll(lose.neg()),
            PreferenceKind::BcoPair => nll(less(win, point)) + nll(less(point, lose)),
            PreferenceKind::KtoPair => sigmoid(less(point, win)) + sigmoid(less(lose, point)),
            PreferenceKind::SppoHard => square(a) + square(b.neg()),
            PreferenceKind::ApoZero => sigmoid(win.neg()) + sigmoid(lose),
            PreferenceKind::ApoDown => sigmoid(win) + sigmoid(h.neg()),
        }
    }
}

impl Derivatives<4> for Preference {
    /// β times the derivatives by β·a and β·b, with both signs.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, x: [F; 4], _inner: F) -> [F; 4] {
        let (beta, e) = (F::from_f64(self.beta), F::from_f64(self.smoothing));
        let (one, half) = (F::ONE, F::HALF);
        let point = DoubleWord::new(F::from_f64(self.reference_point));
        let [a, b, gap] = Self::ratios(x);
        let factor = DoubleWord::new(beta);
        let scaled = |ratio: DoubleWord<F>| ratio.mul(isa, factor).renormalize();
        let (win, lose, h) = (scaled(a), scaled(b), scaled(gap));
        // (σ(x), σ(−x))
        let sigmoids = |x: DoubleWord<F>| {
            let above = x.hi > F::ZERO;
            let (up, down) = sigmoids(isa, x.hi, exp_neg_abs_of_words(isa, x));
            let low = if above { x.neg() } else { x };
            // e^−|x| is not rounded before it is multiplied by the larger one.
            let small = mul_exp(isa, if above { up } else { down }, [low.hi, low.lo]);
            if above { (up, small) } else { (small, down) }
        };
        // σ'(x)
        let bell = |x: DoubleWord<F>| {
            let (up, down) = sigmoids(x);
            up * down
        };
        // The derivative of (x − ½/β)², over β.
        let pull = |x: DoubleWord<F>| {
            let d = less(x, DoubleWord::new(half).div(isa, factor)).hi;
            (d + d) / beta
        };
        // A loss of h alone: by β·b it changes as by β·a, the other way.
        let of_gap = |slope: F| [slope, -slope];
        let (up, down) = sigmoids(h);
        let [by_win, by_lose] = match self.kind {
            PreferenceKind::Sigmoid => of_gap(mul_or_zero(e, up) - (one - e) * down),
            PreferenceKind::Robust => {
                of_gap(-((one - e) * down + mul_or_zero(e, up)) / (one - e - e))
            }
            PreferenceKind::Hinge if h.hi.is_nan() => of_gap(h.hi),
            PreferenceKind::Hinge => of_gap(if h.hi < one { -one } else { F::ZERO }),
            PreferenceKind::Ipo => of_gap(pull(gap)),
            PreferenceKind::ExoPair => {
                of_gap(mul_or_zero(up * down, h.hi - log_of_rest(isa, e) + log(isa, e)))
            }
            PreferenceKind::NcaPair => {
                let (up, down) = sigmoids(win);
                [half * up - down, half * sigmoids(lose).0]
            }
            PreferenceKind::BcoPair => {
                [-sigmoids(less(point, win)).0, sigmoids(less(lose, point)).0]
            }
            PreferenceKind::KtoPair => [-bell(less(point, win)), bell(less(lose, point))],
            PreferenceKind::SppoHard => [pull(a), -pull(b.neg())],
            PreferenceKind::ApoZero => [-bell(win), bell(lose)],
            PreferenceKind::ApoDown => [bell(win) - bell(h), bell(h)],
        };
        let (by_a, by_b) = (beta * by_win, beta * by_lose);
        [by_a, by_b, -by_a, -by_b]
    }
}
