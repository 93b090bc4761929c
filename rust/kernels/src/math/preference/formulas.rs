//! The formulas of the preference losses, in float64, which are the table in the documentation of `nll_fast.dpo_loss`,
//! and those of their derivatives.

use super::{Preference, PreferenceKind};
use crate::math::density::{clamp_min, mul_or_zero};
use crate::math::logistic_words::{
    bell, both_sigmoids, both_sigmoids_of_exp, exp_neg_abs_of_words, nll, nll_of_exp, sigmoid,
};
use nll_simd::math::{log, log1p_unit};
use nll_simd::{DoubleWord, Extended, Isa};

/// A number of the formulas.
pub(super) type Words = DoubleWord<f64>;

/// a − b
#[inline(always)]
fn less(a: Words, b: Words) -> Words {
    a.add(b.neg()).renormalize()
}

/// The numbers of a pair that the formulas are made of.
pub(super) struct Numbers {
    /// a
    a: Words,
    /// b
    b: Words,
    /// a − b
    gap: Words,
    /// β·a
    win: Words,
    /// β·b
    lose: Words,
    /// β·(a − b)
    pub(super) h: Words,
    beta: f64,
    /// 1/(2β)
    middle: Words,
    /// δ
    point: Words,
    /// ε
    e: f64,
}

impl Preference {
    #[inline(always)]
    pub(super) fn numbers<S: Isa>(self, isa: S, x: [f64; 4]) -> Numbers {
        let [chosen, rejected, ref_chosen, ref_rejected] = x;
        // Where a sum is infinite, or nearly so, its trailing word may be NaN. Every number that is computed from these
        // sums is renormalized, which replaces such a word by 0.
        let a = DoubleWord::sum(chosen, -ref_chosen);
        let b = DoubleWord::sum(rejected, -ref_rejected);
        let gap = less(a, b);
        let factor = DoubleWord::new(self.beta);
        let [win, lose] = [a.mul(isa, factor).renormalize(), b.mul(isa, factor).renormalize()];
        let h = gap.mul(isa, factor).renormalize();
        let middle = DoubleWord::new(0.5).div(isa, factor);
        let point = DoubleWord::new(self.reference_point);
        Numbers { a, b, gap, win, lose, h, beta: self.beta, middle, point, e: self.smoothing }
    }
}

/// (x − ½/β)²
#[inline(always)]
fn square(of: &Numbers, x: Words) -> f64 {
    let d = less(x, of.middle).hi;
    d * d
}

/// The derivative of (x − ½/β)², over β.
#[inline(always)]
fn pull(of: &Numbers, x: Words) -> f64 {
    let d = less(x, of.middle).hi;
    (d + d) / of.beta
}

/// log(1 − ε) for ε in [0, 1), with its digits where ε is small.
#[inline(always)]
fn log_of_rest<S: Isa>(isa: S, e: f64) -> f64 {
    let rest = 1.0 - e;
    if e > 0.5 { log(isa, rest) } else { -log1p_unit(isa, e / rest) }
}

impl Preference {
    /// Whether the formula of this loss contains e^−|h|.
    #[inline(always)]
    pub(super) fn contains_exp(self) -> bool {
        use PreferenceKind::{ExoPair, Robust, Sigmoid};
        matches!(self.kind, Sigmoid | Robust | ExoPair)
    }

    /// The value of a loss whose formula contains e^−|h|, given h and this exponential.
    #[inline(always)]
    pub(super) fn value_of_exp<S: Isa>(self, isa: S, h: Words, exp_neg_abs: f64) -> f64 {
        let e = self.smoothing;
        let right = nll_of_exp(isa, h, exp_neg_abs);
        let wrong = nll_of_exp(isa, h.neg(), exp_neg_abs);
        match self.kind {
            PreferenceKind::Sigmoid => (1.0 - e) * right + mul_or_zero(e, wrong),
            PreferenceKind::Robust => ((1.0 - e) * right - mul_or_zero(e, wrong)) / (1.0 - e - e),
            // `ExoPair`, the only other loss whose formula contains the exponential.
            _ => {
                mul_or_zero(sigmoid(isa, h), -right - log_of_rest(isa, e))
                    + mul_or_zero(sigmoid(isa, h.neg()), -wrong - log(isa, e))
            }
        }
    }

    /// The value, given e^−|h| if the formula contains it.
    #[inline(always)]
    pub(super) fn value_of<S: Isa>(self, isa: S, x: [f64; 4], exp: f64) -> f64 {
        let of = self.numbers(isa, x);
        let Numbers { a, b, gap, win, lose, h, point, .. } = of;
        match self.kind {
            PreferenceKind::Sigmoid | PreferenceKind::Robust | PreferenceKind::ExoPair => {
                self.value_of_exp(isa, h, exp)
            }
            PreferenceKind::Hinge => clamp_min(less(Words::new(1.0), h).hi, 0.0),
            PreferenceKind::Ipo => square(&of, gap),
            PreferenceKind::NcaPair => {
                let exp = exp_neg_abs_of_words(isa, win);
                let (good, bad) = (nll_of_exp(isa, win, exp), nll_of_exp(isa, win.neg(), exp));
                good + 0.5 * bad + 0.5 * nll(isa, lose.neg())
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

    /// The derivatives by a and b. `exp` is e^−|h|, if the formula contains it; None if the results will be rounded to
    /// float32: then it is computed here, to 32 bits where these are enough.
    #[inline(always)]
    pub(super) fn slopes<S: Isa>(self, isa: S, x: [f64; 4], exp: Option<f64>) -> [f64; 2] {
        let of = self.numbers(isa, x);
        let Numbers { a, b, gap, win, lose, h, beta, point, e, .. } = of;
        // With smoothing, the difference of two sigmoids may cancel.
        let exp = match exp {
            None if self.kind == PreferenceKind::Sigmoid && self.smoothing != 0.0 => {
                Some(exp_neg_abs_of_words(isa, h))
            }
            exp => exp,
        };
        let [by_win, by_lose] = match self.kind {
            PreferenceKind::Sigmoid => {
                let (up, down) = sigmoids_of_gap(isa, h, exp);
                of_gap(mul_or_zero(e, up) - (1.0 - e) * down)
            }
            PreferenceKind::Robust => {
                let (up, down) = sigmoids_of_gap(isa, h, exp);
                of_gap(-((1.0 - e) * down + mul_or_zero(e, up)) / (1.0 - e - e))
            }
            PreferenceKind::Hinge => {
                let slope = if h.hi < 1.0 { -1.0 } else { 0.0 };
                of_gap(if h.hi.is_nan() { h.hi } else { slope })
            }
            PreferenceKind::Ipo => of_gap(pull(&of, gap)),
            PreferenceKind::ExoPair => {
                let logs = h.hi - log_of_rest(isa, e) + log(isa, e);
                let (up, down) = sigmoids_of_gap(isa, h, exp);
                of_gap(mul_or_zero(up * down, logs))
            }
            PreferenceKind::NcaPair => {
                let (up, down) = both_sigmoids(isa, win);
                [0.5 * up - down, 0.5 * both_sigmoids(isa, lose).0]
            }
            PreferenceKind::BcoPair => {
                [-both_sigmoids(isa, less(point, win)).0, both_sigmoids(isa, less(lose, point)).0]
            }
            PreferenceKind::KtoPair => [-bell(isa, less(point, win)), bell(isa, less(lose, point))],
            PreferenceKind::SppoHard => [pull(&of, a), -pull(&of, b.neg())],
            PreferenceKind::ApoZero => [-bell(isa, win), bell(isa, lose)],
            PreferenceKind::ApoDown => [bell(isa, win) - bell(isa, h), bell(isa, h)],
        };
        [beta * by_win, beta * by_lose]
    }
}

/// (σ(h), σ(−h)), given e^−|h|; without it to about 32 bits.
#[inline(always)]
fn sigmoids_of_gap<S: Isa>(isa: S, h: Words, exp: Option<f64>) -> (f64, f64) {
    let Some(exp) = exp else {
        let exp = Extended::mul_exp(-h.hi.abs(), isa, 1.0);
        let large = 1.0 / (1.0 + exp);
        let small = exp * large;
        return if h.hi > 0.0 { (large, small) } else { (small, large) };
    };
    both_sigmoids_of_exp(isa, h, exp)
}

/// The derivatives of a loss of h alone: by β·b it changes as by β·a, the other way.
#[inline(always)]
fn of_gap(slope: f64) -> [f64; 2] {
    [slope, -slope]
}
