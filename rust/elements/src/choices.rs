//! The options of losses of single observations: one of several arrays, one of several names.

use nll_kernels::Error;
use nll_kernels::data::array::Array;
use nll_kernels::error::listed;
use nll_kernels::math::preference::{Preference, PreferenceKind};

/// How the rate of a Poisson distribution is given.
#[expect(clippy::large_enum_variant, reason = "a call has one, which lives on its stack")]
pub enum Rate<'a> {
    /// λ itself; `eps` is added to it in its logarithm.
    Given,
    /// log λ
    Logarithm,
    /// log λ without the logarithm of an exposure, which is this array.
    Offset(Array<'a>),
}

/// What is added to a Poisson loss for log y!.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Factorial {
    /// Nothing.
    LeftOut,
    /// Stirling's approximation where y > 1, as in torch.
    Stirling,
    /// log y! itself.
    Exact,
}

/// The options of a Poisson loss.
#[derive(Clone, Copy, Debug)]
pub struct PoissonOptions {
    /// What is added for log y!.
    pub full: Factorial,
    /// What is added to a rate in its logarithm.
    pub eps: f64,
    /// Whether a negative count is an error.
    pub validate: bool,
}

impl Factorial {
    /// The values of the argument `full` that are names.
    pub const NAMES: [(&'static str, Factorial); 2] =
        [("stirling", Factorial::Stirling), ("exact", Factorial::Exact)];
}

/// How the loss of a wrong label with probability 1 is kept finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clamp {
    /// No logarithm is below −100, as in torch.
    Torch,
    /// The probability is clipped to [ε, 1 − ε], as in scikit-learn, with the epsilon of its type.
    Epsilon,
    /// Not at all: the loss is ∞.
    Never,
}

impl Clamp {
    /// The values of the argument `clamp`; no value means [`Clamp::Never`].
    pub const NAMES: [(&'static str, Clamp); 2] =
        [("torch", Clamp::Torch), ("eps", Clamp::Epsilon)];
}

/// The choice with this name. `shown` is what the front end shows of the value in an error.
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

impl<'a> Spread<'a> {
    /// The one argument that is given; an error if none is, or several.
    pub fn one_of(
        var: Option<Array<'a>>,
        log_var: Option<Array<'a>>,
        sigma: Option<Array<'a>>,
    ) -> Result<Self, Error> {
        Ok(match exactly_one([("var", var), ("log_var", log_var), ("sigma", sigma)])? {
            (0, var) => Spread::Variance(var),
            (1, log_var) => Spread::LogVariance(log_var),
            (_, sigma) => Spread::Sigma(sigma),
        })
    }
}

/// The one array that is given, and its place in the list.
pub fn exactly_one<'a, const N: usize>(
    arrays: [(&str, Option<Array<'a>>); N],
) -> Result<(usize, Array<'a>), Error> {
    let names = arrays.each_ref().map(|(name, _)| *name);
    let mut given = arrays.into_iter().enumerate().filter_map(|(k, (_, x))| Some((k, x?)));
    match (given.next(), given.count()) {
        (Some(one), 0) => Ok(one),
        (first, more) => {
            let names = listed(&names);
            let given = if first.is_some() { "several are given" } else { "none is given" };
            debug_assert!(first.is_none() || more > 0);
            Err(Error::Arguments(format!("give exactly one of {names}; {given}")))
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
    pub(crate) fn check(&self) -> Result<(), Error> {
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
