//! The losses of single observations: what each is called, what it takes, and what its arguments may be.

use crate::Error;
use crate::call::check_range;
use crate::data::array::Array;
use crate::math::preference::{Preference, PreferenceKind};

/// A loss of single observations, with its arguments by name. Each has the name and the order of
/// arguments of the public function; `math` has the formulas.
#[expect(missing_docs, reason = "the arguments are those of the public functions")]
#[expect(clippy::large_enum_variant, reason = "a call has one, which lives on its stack")]
pub enum Loss<'a> {
    Softplus { x: Array<'a> },
    LogSigmoid { x: Array<'a> },
    BinaryWithLogits { logits: Array<'a>, target: Array<'a>, pos_weight: Array<'a> },
    Binary { probs: Array<'a>, target: Array<'a>, clamp: Clamp, validate: bool },
    Gaussian { mean: Array<'a>, target: Array<'a>, spread: Spread<'a>, eps: f64, full: bool },
    SquaredError { mean: Array<'a>, target: Array<'a> },
    Poisson { input: Array<'a>, target: Array<'a>, log_input: bool, full: bool, eps: f64 },
    BradleyTerry { chosen: Array<'a>, rejected: Array<'a>, margin: Array<'a> },
    Preference { log_probs: [Array<'a>; 4], options: PreferenceOptions },
    Entropy { p: Array<'a> },
    RelativeEntropy { p: Array<'a>, q: Array<'a> },
    KlDiv { input: Array<'a>, target: Array<'a>, log_target: bool },
}

/// How a certain mistake of a probability is kept finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// No logarithm is below −100, as in torch.
    Torch,
    /// The probability is clipped to [ε, 1 − ε] with the machine epsilon of its type, as in scikit-learn.
    Epsilon,
    /// It costs ∞.
    Never,
}

impl Clamp {
    /// The names that scikit-learn's and torch's users know; None is [`Clamp::Never`].
    pub const NAMES: [(&'static str, Clamp); 2] =
        [("torch", Clamp::Torch), ("eps", Clamp::Epsilon)];
}

/// Which second derivatives are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hessian {
    /// The second derivatives themselves.
    Exact,
    /// Their upper bounds over all first inputs.
    Upper,
}

impl Hessian {
    /// The names of the argument `hess`.
    pub const NAMES: [(&'static str, Hessian); 2] =
        [("exact", Hessian::Exact), ("upper", Hessian::Upper)];
}

/// The choice that `name` stands for among `names`. An error shows it as `shown`, in the front end's
/// spelling.
pub fn choose<T: Copy>(
    argument: &str,
    name: Option<&str>,
    shown: &str,
    names: &[(&str, T)],
) -> Result<T, Error> {
    let found = names.iter().find(|(known, _)| Some(*known) == name);
    found.map(|(_, choice)| *choice).ok_or_else(|| {
        let known: Vec<_> = names.iter().map(|(known, _)| format!("'{known}'")).collect();
        Error::Choice(format!("{argument} is {shown}; use one of {}", known.join(", ")))
    })
}

/// How the spread of a Gaussian is given.
pub enum Spread<'a> {
    /// The variance, which cannot be negative.
    Variance(Array<'a>),
    /// The logarithm of the variance.
    LogVariance(Array<'a>),
    /// The standard deviation, which cannot be negative.
    Sigma(Array<'a>),
}

/// The options of a preference loss.
#[derive(Clone, Copy, Debug)]
pub struct PreferenceOptions {
    /// Which loss.
    pub kind: PreferenceKind,
    /// β > 0
    pub beta: f64,
    /// ε
    pub label_smoothing: f64,
    /// δ
    pub reference_point: f64,
}

/// What the elements of an argument may be.
#[derive(Clone, Copy)]
pub(crate) struct Limit {
    /// The largest value; the smallest is 0.
    pub(crate) high: f64,
    /// Whether NaN is allowed.
    pub(crate) nan: bool,
    /// What to say of others.
    pub(crate) advice: &'static str,
}

const PROBABILITY: Limit = Limit {
    high: 1.0,
    nan: false,
    advice: "outside [0, 1]: pass validate=False to compute anyway, or use the form with logits",
};
const VARIANCE: Limit =
    Limit { high: f64::INFINITY, nan: true, advice: "a variance cannot be negative" };
const DEVIATION: Limit =
    Limit { high: f64::INFINITY, nan: true, advice: "a standard deviation cannot be negative" };

/// An array argument of a loss.
#[derive(Clone, Copy)]
pub(crate) struct Argument<'l> {
    pub(crate) name: &'static str,
    pub(crate) array: &'l Array<'l>,
    pub(crate) limit: Option<Limit>,
}

/// How the shapes of a loss's arrays must fit together.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shapes {
    /// The first `n` have one shape, or are numbers; the others broadcast to it. Broadcasting the first
    /// would turn the slip (n, 1) against (n,) into n² losses.
    Equal(usize),
    /// All broadcast together by NumPy's rules.
    Broadcast,
}

impl Loss<'_> {
    /// The array arguments, in the order of the formula's inputs.
    pub(crate) fn arguments(&self) -> Vec<Argument<'_>> {
        fn plain<'l>(name: &'static str, array: &'l Array<'l>) -> Argument<'l> {
            Argument { name, array, limit: None }
        }
        fn limited<'l>(name: &'static str, array: &'l Array<'l>, limit: Limit) -> Argument<'l> {
            Argument { name, array, limit: Some(limit) }
        }
        match self {
            Loss::Softplus { x } | Loss::LogSigmoid { x } => vec![plain("x", x)],
            Loss::BinaryWithLogits { logits, target, pos_weight } => vec![
                plain("logits", logits),
                plain("target", target),
                plain("pos_weight", pos_weight),
            ],
            Loss::Binary { probs, target, validate: true, .. } => {
                vec![limited("probs", probs, PROBABILITY), limited("target", target, PROBABILITY)]
            }
            Loss::Binary { probs, target, .. } => {
                vec![plain("probs", probs), plain("target", target)]
            }
            Loss::Gaussian { mean, target, spread, .. } => {
                let spread = match spread {
                    Spread::Variance(v) => limited("var", v, VARIANCE),
                    Spread::LogVariance(v) => plain("log_var", v),
                    Spread::Sigma(s) => limited("sigma", s, DEVIATION),
                };
                vec![plain("mean", mean), plain("target", target), spread]
            }
            Loss::SquaredError { mean, target } => {
                vec![plain("mean", mean), plain("target", target)]
            }
            Loss::Poisson { input, target, .. } | Loss::KlDiv { input, target, .. } => {
                vec![plain("input", input), plain("target", target)]
            }
            Loss::BradleyTerry { chosen, rejected, margin } => {
                vec![plain("chosen", chosen), plain("rejected", rejected), plain("margin", margin)]
            }
            Loss::Preference { log_probs, .. } => {
                const NAMES: [&str; 4] = [
                    "policy_chosen_logps",
                    "policy_rejected_logps",
                    "ref_chosen_logps",
                    "ref_rejected_logps",
                ];
                NAMES.into_iter().zip(log_probs).map(|(name, x)| plain(name, x)).collect()
            }
            Loss::Entropy { p } => vec![plain("p", p)],
            Loss::RelativeEntropy { p, q } => vec![plain("p", p), plain("q", q)],
        }
    }

    /// How the shapes of the arrays must fit together.
    pub(crate) fn shapes(&self) -> Shapes {
        match self {
            Loss::Gaussian { .. }
            | Loss::Poisson { .. }
            | Loss::RelativeEntropy { .. }
            | Loss::KlDiv { .. } => Shapes::Broadcast,
            Loss::Preference { .. } => Shapes::Equal(4),
            _ => Shapes::Equal(2),
        }
    }

    /// An error if an option is out of its range.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Loss::Gaussian { eps, .. } | Loss::Poisson { eps, .. } => {
                check_range("eps", *eps, [0.0, f64::INFINITY])
            }
            Loss::Preference { options, .. } => options.check(),
            _ => Ok(()),
        }
    }

    /// The same loss with the variance in the place of a standard deviation that is one number: its
    /// square is rounded in float64.
    pub(crate) fn with_variance(self) -> Self {
        match self {
            Loss::Gaussian { mean, target, spread: Spread::Sigma(Array::Scalar(s)), eps, full }
                if s >= 0.0 =>
            {
                let spread = Spread::Variance(Array::Scalar(s * s));
                Loss::Gaussian { mean, target, spread, eps, full }
            }
            loss => loss,
        }
    }

    /// Whether the loss is computed in float64 whatever its arrays are.
    pub(crate) fn is_always_double(&self) -> bool {
        matches!(self, Loss::Preference { .. })
    }
}

impl<'a> Spread<'a> {
    /// The one of three that is given.
    pub fn one_of(
        var: Option<Array<'a>>,
        log_var: Option<Array<'a>>,
        sigma: Option<Array<'a>>,
    ) -> Result<Self, Error> {
        match (var, log_var, sigma) {
            (Some(v), None, None) => Ok(Spread::Variance(v)),
            (None, Some(v), None) => Ok(Spread::LogVariance(v)),
            (None, None, Some(s)) => Ok(Spread::Sigma(s)),
            (v, l, s) => {
                let given = [v, l, s].iter().flatten().count();
                let sentence = format!("give exactly one of var, log_var and sigma, not {given}");
                Err(Error::Arguments(sentence))
            }
        }
    }
}

impl From<PreferenceOptions> for Preference {
    fn from(options: PreferenceOptions) -> Self {
        let PreferenceOptions { kind, beta, label_smoothing: smoothing, reference_point } = options;
        Preference { kind, beta, smoothing, reference_point }
    }
}

impl PreferenceOptions {
    fn check(&self) -> Result<(), Error> {
        let PreferenceOptions { kind, beta, label_smoothing: smoothing, .. } = *self;
        if !(beta > 0.0 && beta < f64::INFINITY) {
            let allowed = "it must be positive and finite".to_string();
            return Err(Error::Number { argument: "beta", value: beta, allowed });
        }
        let (fits, range) = match kind {
            PreferenceKind::Robust => ((0.0..0.5).contains(&smoothing), "[0, 0.5)"),
            PreferenceKind::ExoPair => (smoothing > 0.0 && smoothing < 1.0, "(0, 1)"),
            _ => ((0.0..1.0).contains(&smoothing), "[0, 1)"),
        };
        if fits {
            return Ok(());
        }
        let named = PreferenceKind::NAMES.iter().find(|(_, other)| *other == kind);
        let allowed = format!("{} needs it in {range}", named.map_or("it", |(name, _)| name));
        Err(Error::Number { argument: "label_smoothing", value: smoothing, allowed })
    }
}
