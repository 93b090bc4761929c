//! How well a policy prefers the chosen answer, from log-probabilities: DPO and its relatives.

use crate::math::density::{CHUNK, Density, Derivatives, clamp_min, element, mul_or_zero};
use crate::math::logistic_words::{
    bell, both_sigmoids, both_sigmoids_of_exp, exp_neg_abs_of_words, nll, nll_of_exp, sigmoid,
};
use nll_simd::math::{log, log1p_unit};
use nll_simd::{Aligned, DoubleWord, Extended, Isa, Real};

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

/// a − b
#[inline(always)]
fn less<F: Real>(a: DoubleWord<F>, b: DoubleWord<F>) -> DoubleWord<F> {
    a.add(b.neg()).renormalize()
}

/// The numbers of a pair that the formulas are made of.
struct Numbers<F> {
    /// a
    a: DoubleWord<F>,
    /// b
    b: DoubleWord<F>,
    /// a − b
    gap: DoubleWord<F>,
    /// β·a
    win: DoubleWord<F>,
    /// β·b
    lose: DoubleWord<F>,
    /// β·(a − b)
    h: DoubleWord<F>,
    beta: F,
    /// 1/(2β)
    middle: DoubleWord<F>,
    /// δ
    point: DoubleWord<F>,
    /// ε
    e: F,
}

impl Preference {
    #[inline(always)]
    fn numbers<S: Isa, F: Real>(self, isa: S, x: [F; 4]) -> Numbers<F> {
        let [chosen, rejected, ref_chosen, ref_rejected] = x;
        // Where a sum is infinite, or nearly so, its trailing word may be NaN. Every number that is computed from these
        // sums is renormalized, which replaces such a word by 0.
        let a = DoubleWord::sum(chosen, -ref_chosen);
        let b = DoubleWord::sum(rejected, -ref_rejected);
        let gap = less(a, b);
        let beta = F::from_f64(self.beta);
        let factor = DoubleWord::new(beta);
        let [win, lose] = [a.mul(isa, factor).renormalize(), b.mul(isa, factor).renormalize()];
        let h = gap.mul(isa, factor).renormalize();
        let middle = DoubleWord::new(F::HALF).div(isa, factor);
        let point = DoubleWord::new(F::from_f64(self.reference_point));
        let e = F::from_f64(self.smoothing);
        Numbers { a, b, gap, win, lose, h, beta, middle, point, e }
    }
}

/// (x − ½/β)²
#[inline(always)]
fn square<F: Real>(of: &Numbers<F>, x: DoubleWord<F>) -> F {
    let d = less(x, of.middle).hi;
    d * d
}

/// The derivative of (x − ½/β)², over β.
#[inline(always)]
fn pull<F: Real>(of: &Numbers<F>, x: DoubleWord<F>) -> F {
    let d = less(x, of.middle).hi;
    (d + d) / of.beta
}

/// log(1 − ε) for ε in [0, 1), with its digits where ε is small.
#[inline(always)]
fn log_of_rest<S: Isa, F: Real>(isa: S, e: F) -> F {
    let rest = F::ONE - e;
    if e > F::HALF { log(isa, rest) } else { -log1p_unit(isa, e / rest) }
}

impl Preference {
    /// Whether the formula of this loss contains e^−|h|.
    #[inline(always)]
    fn contains_exp(self) -> bool {
        use PreferenceKind::{ExoPair, Robust, Sigmoid};
        matches!(self.kind, Sigmoid | Robust | ExoPair)
    }

    /// The value of a loss whose formula contains e^−|h|, given h and this exponential.
    #[inline(always)]
    fn value_of_exp<S: Isa, F: Real>(self, isa: S, h: DoubleWord<F>, exp_neg_abs: F) -> F {
        let (one, e) = (F::ONE, F::from_f64(self.smoothing));
        let right = nll_of_exp(isa, h, exp_neg_abs);
        let wrong = nll_of_exp(isa, h.neg(), exp_neg_abs);
        match self.kind {
            PreferenceKind::Sigmoid => (one - e) * right + mul_or_zero(e, wrong),
            PreferenceKind::Robust => ((one - e) * right - mul_or_zero(e, wrong)) / (one - e - e),
            // `ExoPair`, the only other loss whose formula contains the exponential.
            _ => {
                mul_or_zero(sigmoid(isa, h), -right - log_of_rest(isa, e))
                    + mul_or_zero(sigmoid(isa, h.neg()), -wrong - log(isa, e))
            }
        }
    }
}

impl Density<4> for Preference {
    #[inline(always)]
    fn with_constants(self, loops: impl FnOnce(Self)) {
        use PreferenceKind as Kind;
        match self.kind {
            // Without smoothing, half of the formula is 0.
            Kind::Sigmoid if self.smoothing == 0.0 => {
                loops(Preference { kind: Kind::Sigmoid, smoothing: 0.0, ..self });
            }
            Kind::Sigmoid => loops(Preference { kind: Kind::Sigmoid, ..self }),
            Kind::Robust => loops(Preference { kind: Kind::Robust, ..self }),
            Kind::Hinge => loops(Preference { kind: Kind::Hinge, ..self }),
            Kind::Ipo => loops(Preference { kind: Kind::Ipo, ..self }),
            Kind::ExoPair => loops(Preference { kind: Kind::ExoPair, ..self }),
            Kind::NcaPair => loops(Preference { kind: Kind::NcaPair, ..self }),
            Kind::BcoPair => loops(Preference { kind: Kind::BcoPair, ..self }),
            Kind::KtoPair => loops(Preference { kind: Kind::KtoPair, ..self }),
            Kind::SppoHard => loops(Preference { kind: Kind::SppoHard, ..self }),
            Kind::ApoZero => loops(Preference { kind: Kind::ApoZero, ..self }),
            Kind::ApoDown => loops(Preference { kind: Kind::ApoDown, ..self }),
        }
    }

    /// A loss whose formula contains e^−|h| is computed in three loops over a chunk: the first writes h, the second
    /// the exponential to `inner`, the third the value. In a single loop, each pair would be a chain of operations
    /// about as long as a CPU looks ahead, and few pairs would be computed at the same time.
    #[inline(always)]
    fn values<S: Isa, F: Real>(
        self,
        isa: S,
        x: [&[F; CHUNK]; 4],
        (inner, _keeps_inner): (&mut [F; CHUNK], bool),
        values: &mut [F; CHUNK],
    ) {
        self.with_constants(
            #[inline(always)]
            |loss| {
                if !loss.contains_exp() {
                    for (i, value) in values.iter_mut().enumerate() {
                        *value = loss.value(isa, element(x, i), F::ZERO);
                    }
                    return;
                }
                let [Aligned(mut hi), Aligned(mut lo)] = [Aligned([F::ZERO; CHUNK]); 2];
                for i in 0..CHUNK {
                    let h = loss.numbers(isa, element(x, i)).h;
                    [hi[i], lo[i]] = h.parts();
                }
                for i in 0..CHUNK {
                    inner[i] = exp_neg_abs_of_words(isa, DoubleWord::of_parts([hi[i], lo[i]]));
                }
                for i in 0..CHUNK {
                    let h = DoubleWord::of_parts([hi[i], lo[i]]);
                    values[i] = loss.value_of_exp(isa, h, inner[i]);
                }
            },
        );
    }

    #[inline(always)]
    fn value<S: Isa, F: Real>(self, isa: S, x: [F; 4], inner: F) -> F {
        let of = self.numbers(isa, x);
        let Numbers { a, b, gap, win, lose, h, point, .. } = of;
        let (one, half) = (F::ONE, F::HALF);
        match self.kind {
            PreferenceKind::Sigmoid | PreferenceKind::Robust | PreferenceKind::ExoPair => {
                self.value_of_exp(isa, h, inner)
            }
            PreferenceKind::Hinge => clamp_min(less(DoubleWord::new(one), h).hi, F::ZERO),
            PreferenceKind::Ipo => square(&of, gap),
            PreferenceKind::NcaPair => {
                let exp = exp_neg_abs_of_words(isa, win);
                let (good, bad) = (nll_of_exp(isa, win, exp), nll_of_exp(isa, win.neg(), exp));
                good + half * bad + half * nll(isa, lose.neg())
            }
            PreferenceKind::BcoPair => nll(isa, less(win, point)) + nll(isa, less(point, lose)),
            PreferenceKind::KtoPair => {
                sigmoid(isa, less(point, win)) + sigmoid(isa, less(lose, point))
            }
            PreferenceKind::SppoHard => square(&of, a) + square(&of, b.neg()),
            PreferenceKind::ApoZero => sigmoid(isa, win.neg()) + sigmoid(isa, lose),
            PreferenceKind::ApoDown => sigmoid(isa, win) + sigmoid(isa, h.neg()),
        }
    }
}

impl Derivatives<4> for Preference {
    /// β times the derivatives by β·a and β·b, with both signs.
    #[inline(always)]
    fn gradient<S: Isa, F: Real>(self, isa: S, x: [F; 4], inner: F) -> [F; 4] {
        let of = self.numbers(isa, x);
        let Numbers { a, b, gap, win, lose, h, beta, point, e, .. } = of;
        let (one, half) = (F::ONE, F::HALF);
        let [by_win, by_lose] = match self.kind {
            PreferenceKind::Sigmoid => {
                let (up, down) = both_sigmoids_of_exp(isa, h, inner);
                of_gap(mul_or_zero(e, up) - (one - e) * down)
            }
            PreferenceKind::Robust => {
                let (up, down) = both_sigmoids_of_exp(isa, h, inner);
                of_gap(-((one - e) * down + mul_or_zero(e, up)) / (one - e - e))
            }
            PreferenceKind::Hinge => {
                let slope = if h.hi < one { -one } else { F::ZERO };
                of_gap(if h.hi.is_nan() { h.hi } else { slope })
            }
            PreferenceKind::Ipo => of_gap(pull(&of, gap)),
            PreferenceKind::ExoPair => {
                let logs = h.hi - log_of_rest(isa, e) + log(isa, e);
                let (up, down) = both_sigmoids_of_exp(isa, h, inner);
                of_gap(mul_or_zero(up * down, logs))
            }
            PreferenceKind::NcaPair => {
                let (up, down) = both_sigmoids(isa, win);
                [half * up - down, half * both_sigmoids(isa, lose).0]
            }
            PreferenceKind::BcoPair => {
                [-both_sigmoids(isa, less(point, win)).0, both_sigmoids(isa, less(lose, point)).0]
            }
            PreferenceKind::KtoPair => [-bell(isa, less(point, win)), bell(isa, less(lose, point))],
            PreferenceKind::SppoHard => [pull(&of, a), -pull(&of, b.neg())],
            PreferenceKind::ApoZero => [-bell(isa, win), bell(isa, lose)],
            PreferenceKind::ApoDown => [bell(isa, win) - bell(isa, h), bell(isa, h)],
        };
        let (by_a, by_b) = (beta * by_win, beta * by_lose);
        [by_a, by_b, -by_a, -by_b]
    }
}

/// The derivatives of a loss of h alone: by β·b it changes as by β·a, the other way.
#[inline(always)]
fn of_gap<F: Real>(slope: F) -> [F; 2] {
    [slope, -slope]
}
