//! The losses of single observations: their names, their arguments, and what these may be.

use crate::choices::{Clamp, Factorial, PoissonOptions, PreferenceOptions, Rate, Spread};
use crate::evaluation::Limit;
use crate::formula::{Differentiable, Formula, OnceDifferentiable, Plain};
use nll_kernels::Error;
use nll_kernels::call::{Hessian, check_range};
use nll_kernels::data::array::Array;
use nll_kernels::math::bernoulli::{
    Bernoulli, BernoulliLogit, LogSigmoid, Softplus, WeightedBernoulliLogit,
};
use nll_kernels::math::bradley_terry::BradleyTerry;
use nll_kernels::math::density::Known;
use nll_kernels::math::entropy::{Entropy, KlDiv, KlDivLog, RelativeEntropy};
use nll_kernels::math::gaussian::{Gaussian, GaussianLogVar, GaussianSigma, SquaredError};
use nll_kernels::math::laplace::{Laplace, LaplaceLogScale};
use nll_kernels::math::poisson::{
    Constant, Exact, LeftOut, Poisson, PoissonLog, PoissonOffset, Stirling,
};
use nll_kernels::math::preference::Preference;
use std::marker::PhantomData;

/// A loss of single observations and its arguments, which have the names and the order of those of
/// the public function. The formulas are in `math`.
#[expect(missing_docs, reason = "the arguments are those of the public functions")]
#[expect(clippy::large_enum_variant, reason = "a call has one, which lives on its stack")]
pub enum Loss<'a> {
    Softplus { x: Array<'a> },
    LogSigmoid { x: Array<'a> },
    BinaryWithLogits { logits: Array<'a>, target: Array<'a>, pos_weight: Array<'a>, validate: bool },
    Binary { probs: Array<'a>, target: Array<'a>, clamp: Clamp, validate: bool },
    Gaussian { mean: Array<'a>, target: Array<'a>, spread: Spread<'a>, eps: f64, full: bool },
    Laplace { mean: Array<'a>, target: Array<'a>, scale: Array<'a>, log_scale: bool, eps: f64 },
    SquaredError { mean: Array<'a>, target: Array<'a> },
    Poisson { input: Array<'a>, target: Array<'a>, rate: Rate<'a>, options: PoissonOptions },
    BradleyTerry { chosen: Array<'a>, rejected: Array<'a>, margin: Array<'a> },
    Preference { log_probs: [Array<'a>; 4], options: PreferenceOptions },
    Known { losses: Array<'a> },
    Entropy { p: Array<'a> },
    RelativeEntropy { p: Array<'a>, q: Array<'a> },
    KlDiv { input: Array<'a>, target: Array<'a>, log_target: bool },
}

const PROBABILITY: Limit = Limit {
    high: 1.0,
    nan: false,
    advice: "outside [0, 1]: pass validate=False to compute anyway, or use the form with logits",
};
const LABEL: Limit = Limit {
    high: 1.0,
    nan: true,
    advice: "outside [0, 1], which is no label: predictions come first, labels of 0 and 255 are \
             divided by 255, and validate=False computes anyway",
};
const VARIANCE: Limit = Limit {
    high: f64::INFINITY,
    nan: true,
    advice: "a variance cannot be negative; its logarithm is log_var=",
};
const COUNT: Limit = Limit {
    high: f64::INFINITY,
    nan: true,
    advice: "a count cannot be negative: predictions come first, and validate=False computes anyway",
};
const SCALE: Limit = Limit {
    high: f64::INFINITY,
    nan: true,
    advice: "a scale cannot be negative; its logarithm is log_scale=",
};
const DEVIATION: Limit =
    Limit { high: f64::INFINITY, nan: true, advice: "a standard deviation cannot be negative" };

/// An array argument of a loss.
#[derive(Clone, Copy)]
pub(crate) struct Argument<'l> {
    pub(crate) name: &'static str,
    pub(crate) array: &'l Array<'l>,
    pub(crate) limit: Option<Limit>,
    /// How it fits the shape of the losses.
    pub(crate) fit: Fit,
    /// Whether the loss has a derivative by it.
    pub(crate) differentiable: bool,
}

/// An observation or a prediction, of any value.
fn any<'l>(name: &'static str, array: &'l Array<'_>) -> Argument<'l> {
    Argument { name, array, limit: None, fit: Fit::Equal, differentiable: true }
}

/// The spread of a distribution, or a weight.
pub(crate) fn spread<'l>(
    name: &'static str,
    array: &'l Array<'_>,
    limit: Option<Limit>,
) -> Argument<'l> {
    Argument { name, array, limit, fit: Fit::Rows, differentiable: true }
}

/// How an array fits the shape of the losses. A number always does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It has the shape. If observations and predictions were broadcast, the mistake (n, 1) against
    /// (n,) would give n² losses.
    Equal,
    /// It broadcasts to the shape by NumPy's rules.
    Broadcast,
    /// It broadcasts, or it holds one number for each row: (n,) beside (n, d), as a variance in
    /// torch. If both are possible and differ, it is an error.
    Rows,
}

/// What is done with a loss once its arguments and its formula are known.
pub(crate) trait Visitor: Sized {
    /// The outcome.
    type Output;

    /// Receives the arguments in the order of the formula's inputs, and the formula.
    fn visit<const N: usize>(
        self,
        arguments: [Argument<'_>; N],
        formula: impl Formula<N>,
    ) -> Self::Output;
}

const HALF_LOG_TWO_PI: f64 = 0.918_938_533_204_672_8;

impl Loss<'_> {
    /// Shows the visitor this loss: the one place where a formula meets its arguments.
    pub(crate) fn visit<V: Visitor>(&self, v: V) -> V::Output {
        match self {
            Loss::Softplus { x } => v.visit([any("x", x)], Plain(Softplus)),
            Loss::LogSigmoid { x } => v.visit([any("x", x)], Plain(LogSigmoid)),
            Loss::BinaryWithLogits { logits, target, pos_weight, validate } => {
                let [x, y] = [any("logits", logits), any("target", target)];
                let y = Argument { limit: validate.then_some(LABEL), ..y };
                if let Array::Scalar(1.0) = pos_weight {
                    return v.visit([x, y], Differentiable(BernoulliLogit));
                }
                let w = Argument { fit: Fit::Broadcast, ..any("pos_weight", pos_weight) };
                v.visit([x, y, w], Differentiable(WeightedBernoulliLogit))
            }
            Loss::Binary { probs, target, clamp, validate } => {
                let limit = validate.then_some(PROBABILITY);
                let label = validate.then_some(Limit { nan: false, ..LABEL });
                let arguments = [
                    Argument { limit, ..any("probs", probs) },
                    Argument { limit: label, ..any("target", target) },
                ];
                let floor = if *clamp == Clamp::Torch { -100.0 } else { f64::NEG_INFINITY };
                if *clamp == Clamp::Epsilon {
                    // Probabilities in integers, and a number, are computed in the type of the labels.
                    let in_f32 = (probs.is_double(), target.is_double()) == (None, Some(false));
                    let margin = if in_f32 { f64::from(f32::EPSILON) } else { probs.epsilon() };
                    let formula = Bernoulli::<true> { floor, margin };
                    return v.visit(arguments, Plain(formula));
                }
                v.visit(arguments, Plain(Bernoulli::<false> { floor, margin: 0.0 }))
            }
            Loss::Gaussian { mean, target, spread: given, eps, full } => {
                let [mean, y] = [any("mean", mean), any("target", target)];
                let (eps, constant) = (*eps, if *full { HALF_LOG_TWO_PI } else { 0.0 });
                match given {
                    Spread::LogVariance(array) => {
                        let log_var = spread("log_var", array, None);
                        v.visit([mean, y, log_var], Differentiable(GaussianLogVar { constant }))
                    }
                    Spread::Sigma(array) => {
                        let sigma = spread("sigma", array, Some(DEVIATION));
                        v.visit([mean, y, sigma], Differentiable(GaussianSigma { constant }))
                    }
                    Spread::Variance(array) => {
                        let var = spread("var", array, Some(VARIANCE));
                        if eps < f64::from(f32::MIN_POSITIVE) {
                            let formula = Gaussian::<false> { eps, constant };
                            return v.visit([mean, y, var], Differentiable(formula));
                        }
                        let formula = Gaussian::<true> { eps, constant };
                        v.visit([mean, y, var], Differentiable(formula))
                    }
                }
            }
            Loss::Laplace { mean, target, scale, log_scale, eps } => {
                let [mean, y] = [any("mean", mean), any("target", target)];
                if *log_scale {
                    let log_scale = spread("log_scale", scale, None);
                    return v.visit([mean, y, log_scale], Differentiable(LaplaceLogScale));
                }
                let scale = spread("scale", scale, Some(SCALE));
                v.visit([mean, y, scale], Differentiable(Laplace { eps: *eps }))
            }
            Loss::SquaredError { mean, target } => {
                v.visit([any("mean", mean), any("target", target)], Differentiable(SquaredError))
            }
            Loss::Poisson { input, target, rate, options } => {
                let PoissonOptions { full, eps, validate } = options;
                let limit = validate.then_some(COUNT);
                let arguments = [any("input", input), Argument { limit, ..any("target", target) }];
                match full {
                    Factorial::LeftOut => poisson::<V, LeftOut>(v, arguments, (rate, *eps)),
                    Factorial::Stirling => poisson::<V, Stirling>(v, arguments, (rate, *eps)),
                    Factorial::Exact => poisson::<V, Exact>(v, arguments, (rate, *eps)),
                }
            }
            Loss::BradleyTerry { chosen, rejected, margin } => {
                let margin_of_pair = Argument { fit: Fit::Broadcast, ..any("margin", margin) };
                let arguments = [any("chosen", chosen), any("rejected", rejected), margin_of_pair];
                match margin {
                    Array::Scalar(0.0) => v.visit(arguments, Differentiable(BradleyTerry::<false>)),
                    _ => v.visit(arguments, Differentiable(BradleyTerry::<true>)),
                }
            }
            Loss::Preference { log_probs: [pc, pr, rc, rr], options } => {
                let policy = [any("policy_chosen_logps", pc), any("policy_rejected_logps", pr)];
                let reference = [any("ref_chosen_logps", rc), any("ref_rejected_logps", rr)];
                let ([pc, pr], [rc, rr]) = (policy, reference);
                v.visit([pc, pr, rc, rr], OnceDifferentiable(Preference::from(*options)))
            }
            Loss::Known { losses } => v.visit([any("losses", losses)], Plain(Known)),
            Loss::Entropy { p } => v.visit([any("p", p)], Plain(Entropy)),
            Loss::RelativeEntropy { p, q } => {
                v.visit([any("p", p), any("q", q)], Plain(RelativeEntropy))
            }
            Loss::KlDiv { input, target, log_target } => {
                let arguments = [any("input", input), any("target", target)];
                match log_target {
                    true => v.visit(arguments, Plain(KlDivLog)),
                    false => v.visit(arguments, Plain(KlDiv)),
                }
            }
        }
    }

    /// What the weights are called.
    pub(crate) fn weight_name(&self) -> &'static str {
        if matches!(self, Loss::Known { .. }) { "weights" } else { "weight" }
    }

    /// Whether a mean is divided by the sum of the weights. Those of the losses of yes or no follow
    /// torch, which divides by the number of elements.
    pub(crate) fn divides_by_weights(&self) -> bool {
        use Loss::{Gaussian, Known, Laplace, Poisson, SquaredError};
        matches!(
            self,
            Gaussian { .. } | Known { .. } | Laplace { .. } | Poisson { .. } | SquaredError { .. }
        )
    }

    /// An error if an option is out of its range, or the Hessian that is wanted does not exist.
    pub(crate) fn check(&self, hessian: Option<Hessian>) -> Result<(), Error> {
        match self {
            Loss::Poisson { .. } if hessian == Some(Hessian::Upper) => {
                let sentence = "hess='upper': the second derivative of the Poisson loss has no upper \
                                bound; use 'exact'";
                Err(Error::Choice(sentence.into()))
            }
            Loss::Gaussian { eps, .. }
            | Loss::Laplace { eps, .. }
            | Loss::Poisson { options: PoissonOptions { eps, .. }, .. } => {
                check_range("eps", *eps, [0.0, f64::INFINITY])
            }
            Loss::Preference { options, .. } => options.check(),
            Loss::Binary { probs, target, validate: true, .. }
                if probs.holds_integers() && target.is_double().is_some() =>
            {
                let sentence = "probs holds integers and target holds floats: probabilities come first, \
                                and labels second; pass validate=False to compute anyway";
                Err(Error::Choice(sentence.into()))
            }
            _ => Ok(()),
        }
    }
}

/// Shows the visitor a Poisson loss in which `C` stands for log y!.
fn poisson<V: Visitor, C: Constant>(
    v: V,
    [input, target]: [Argument<'_>; 2],
    (rate, eps): (&Rate<'_>, f64),
) -> V::Output {
    let target = Argument { differentiable: C::HAS_SLOPE, ..target };
    let constant = PhantomData::<C>;
    match rate {
        Rate::Given => v.visit([input, target], Differentiable(Poisson { eps, constant })),
        Rate::Logarithm => v.visit([input, target], Differentiable(PoissonLog { constant })),
        Rate::Offset(array) => {
            let offset = spread("log_offset", array, None);
            v.visit([input, target, offset], Differentiable(PoissonOffset { constant }))
        }
    }
}
