//! Elementwise functions: one binding, one `match` from a name to a formula.

use crate::arrays::{Element, Output};
use crate::totals::Totals;
use crate::{level, pool};
use nll_kernels::Error;
use nll_kernels::distribution::{self, Distributions, Quantity};
use nll_kernels::elementwise::{Elementwise, Given, Limit, Outcome, Wanted, run};
use nll_kernels::gradient::{self, Gradient};
use nll_kernels::input::Input;
use nll_kernels::likelihood::{
    Bernoulli, BernoulliLogit, Entropy, Gaussian, KlDiv, LogSigmoid, Poisson, RelativeEntropy,
    Softplus, SquaredError, WeightedBernoulliLogit,
};
use nll_kernels::losses::Targets;
use nll_kernels::out::Run;
use nll_kernels::preference::{BradleyTerry, Preference, PreferenceKind};
use nll_kernels::reduce;
use numpy::PyReadonlyArray1;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// The order of `PREFERENCES` in `preference.py`.
const KINDS: [PreferenceKind; 11] = [
    PreferenceKind::Sigmoid,
    PreferenceKind::Robust,
    PreferenceKind::Hinge,
    PreferenceKind::Ipo,
    PreferenceKind::ExoPair,
    PreferenceKind::NcaPair,
    PreferenceKind::BcoPair,
    PreferenceKind::KtoPair,
    PreferenceKind::SppoHard,
    PreferenceKind::ApoZero,
    PreferenceKind::ApoDown,
];

/// Everything but the function.
struct Call<'t, 'a> {
    how: Run<'t>,
    double: bool,
    given: Given<'t, 'a, [Input<'a>]>,
    length: usize,
    wanted: Wanted<'t>,
}

impl Call<'_, '_> {
    fn of<const N: usize>(self, function: impl Elementwise<N>) -> Result<Outcome, Error> {
        if !self.double {
            let Call { how, given: Given { inputs, weight, limits }, length, wanted, .. } = self;
            let inputs = inputs.try_into().map_err(|_| Error::Function)?;
            return run::<f32, N>(how, function, Given { inputs, weight, limits }, length, wanted);
        }
        self.of_double(function)
    }

    /// A function of few numbers, computed in f64 only.
    fn of_double<const N: usize>(self, function: impl Elementwise<N>) -> Result<Outcome, Error> {
        let Call { how, given: Given { inputs, weight, limits }, length, wanted, .. } = self;
        let inputs = inputs.try_into().map_err(|_| Error::Function)?;
        run::<f64, N>(how, function, Given { inputs, weight, limits }, length, wanted)
    }

    fn named(self, function: &str, options: &[f64]) -> Result<Outcome, Error> {
        let option = |i: usize| options.get(i).copied().unwrap_or(0.0);
        let flag = |i: usize| option(i) != 0.0;
        match function {
            "softplus" => self.of(Softplus),
            "log_sigmoid" => self.of(LogSigmoid),
            "bernoulli_logit" => match self.given.inputs {
                [_, _, Input::Scalar(1.0)] => {
                    let given = Given { inputs: &self.given.inputs[..2], ..self.given };
                    Call { given, ..self }.of(BernoulliLogit)
                }
                _ => self.of(WeightedBernoulliLogit),
            },
            "bernoulli" if flag(1) => {
                self.of(Bernoulli::<true> { floor: option(0), margin: option(1) })
            }
            "bernoulli" => self.of(Bernoulli::<false> { floor: option(0), margin: 0.0 }),
            "gaussian" => {
                let (eps, constant) = (option(0), option(2));
                match (flag(1), eps >= f64::from(f32::MIN_POSITIVE)) {
                    (true, _) => self.of(Gaussian::<true, false> { eps, constant }),
                    (false, false) => self.of(Gaussian::<false, false> { eps, constant }),
                    (false, true) => self.of(Gaussian::<false, true> { eps, constant }),
                }
            }
            "squared_error" => self.of(SquaredError),
            "poisson" => {
                let eps = option(2);
                match (flag(0), flag(1)) {
                    (false, false) => self.of(Poisson::<false, false> { eps }),
                    (false, true) => self.of(Poisson::<false, true> { eps }),
                    (true, false) => self.of(Poisson::<true, false> { eps }),
                    (true, true) => self.of(Poisson::<true, true> { eps }),
                }
            }
            "bradley_terry" => match self.given.inputs {
                [_, _, Input::Scalar(0.0)] => self.of(BradleyTerry::<false>),
                _ => self.of(BradleyTerry::<true>),
            },
            "entropy" => self.of(Entropy),
            "relative_entropy" => self.of(RelativeEntropy),
            "preference" => {
                let kind = KINDS.get(option(0) as usize).ok_or(Error::Function)?;
                let (beta, smoothing, reference_point) = (option(1), option(2), option(3));
                self.of_double(Preference { kind: *kind, beta, smoothing, reference_point })
            }
            "kl_div" if flag(0) => self.of(KlDiv::<true>),
            "kl_div" => self.of(KlDiv::<false>),
            _ => Err(Error::Function),
        }
    }
}

/// (input, the highest value of those from 0 on, whether NaN is allowed)
type Limits = Vec<(usize, f64, bool)>;

/// (input, index, value)
type Place = (usize, usize, f64);

/// The values of `function`, computed in float64 if `double`, else in float32, into `outs` (value, first
/// and second derivative); returns their exact sum, and the first element beyond the limits.
#[pyfunction]
pub(crate) fn elementwise(
    py: Python<'_>,
    function: (String, Vec<f64>, bool, bool),
    inputs: Vec<(Bound<'_, PyAny>, String)>,
    weight: Option<(Bound<'_, PyAny>, String)>,
    elements: (usize, Limits),
    wanted: (Vec<Option<Bound<'_, PyAny>>>, f64, bool),
) -> PyResult<(Totals, Option<Place>)> {
    let ((name, options, double, upper), (outs, scale, total)) = (function, wanted);
    let (length, limits) = elements;
    let level = level()?;
    let arrays: Vec<_> =
        inputs.iter().map(|(a, dtype)| Element::new(a, dtype)).collect::<PyResult<_>>()?;
    let inputs: Vec<_> = arrays.iter().map(Element::input).collect();
    let weight = weight.map(|(a, dtype)| Element::new(&a, &dtype)).transpose()?;
    let weight = weight.as_ref().map(Element::input);
    let limit = |(input, high, nan)| Limit { input, high, nan };
    let limits: Vec<_> = limits.into_iter().map(limit).collect();
    let mut outs: Vec<_> =
        outs.iter().map(|out| Output::new(out.as_ref())).collect::<PyResult<_>>()?;
    let [value, gradient, hessian] = outs.as_mut_slice() else {
        return Err(PyTypeError::new_err("three outputs, some of them None"));
    };
    let (value, gradient, hessian) = (value.out()?, gradient.out()?, hessian.out()?);
    let wanted = Wanted { value, gradient, hessian, upper, scale, total };
    let outcome = pool::run(py, length, |par| {
        let how = Run { level, par };
        let given = Given { inputs: inputs.as_slice(), weight: weight.as_ref(), limits: &limits };
        Call { how, double, given, length, wanted }.named(&name, &options)
    })?;
    let sum = outcome.total;
    let totals = reduce::Totals { sum, rows: length as u64, ..Default::default() };
    let outside = outcome.outside.map(|outside| (outside.input, outside.index, outside.value));
    Ok((Totals { totals, weighted: false }, outside))
}

/// The `quantity` "entropy", "cross_entropy" or "divergence" of every row of `classes` logits, into `out`,
/// computed in float64 if the last option says so.
#[pyfunction]
pub(crate) fn distributions(
    py: Python<'_>,
    quantity: &str,
    logits: (Bound<'_, PyAny>, String),
    second: Option<(Bound<'_, PyAny>, String)>,
    shape: (usize, usize),
    options: (Option<PyReadonlyArray1<'_, f64>>, f64, bool),
    out: Option<Bound<'_, PyAny>>,
) -> PyResult<Totals> {
    let (level, (rows, classes), (weight, smoothing, double)) = (level()?, shape, options);
    let weight = weight.as_ref().map(|w| w.as_slice()).transpose()?;
    let quantity = match quantity {
        "entropy" => Quantity::Entropy,
        "cross_entropy" => Quantity::CrossEntropy,
        "divergence" => Quantity::Divergence,
        _ => return Err(PyTypeError::new_err(format!("no quantity is {quantity}"))),
    };
    let logits = Element::new(&logits.0, &logits.1)?;
    let second = second.map(|(array, dtype)| Element::new(&array, &dtype)).transpose()?;
    let (logits, second) = (logits.input(), second.as_ref().map(Element::input));
    let of = Distributions { logits, second, rows, classes, quantity, weight, smoothing };
    let mut out = Output::new(out.as_ref())?;
    let out = out.out()?;
    let totals = pool::run(py, rows * classes, |par| match double {
        true => distribution::each::<f64>(Run { level, par }, &of, out),
        false => distribution::each::<f32>(Run { level, par }, &of, out),
    })?;
    Ok(Totals { totals, weighted: false })
}

/// The gradient of the cross entropy by the logits, of the mean or else the sum, into `out`.
#[pyfunction]
pub(crate) fn cross_entropy_grad(
    py: Python<'_>,
    logits: (Bound<'_, PyAny>, String),
    target: PyReadonlyArray1<'_, i64>,
    classes: usize,
    options: (Option<i64>, Option<PyReadonlyArray1<'_, f64>>, f64, bool),
    out: Bound<'_, PyAny>,
) -> PyResult<()> {
    let (level, (ignore_index, weight, smoothing, mean)) = (level()?, options);
    let weight = weight.as_ref().map(|w| w.as_slice()).transpose()?;
    let targets = Targets { target: target.as_slice()?, ignore_index, weight };
    let logits = Element::new(&logits.0, &logits.1)?;
    let logits = logits.input();
    let of = Gradient { logits, targets, classes, smoothing, mean };
    let mut out = Output::new(Some(&out))?;
    let (size, out) = (targets.target.len() * classes, out.out()?);
    pool::run(py, size, |par| match of.logits {
        Input::F64(_) => gradient::each::<f64>(Run { level, par }, &of, out),
        _ => gradient::each::<f32>(Run { level, par }, &of, out),
    })
}
