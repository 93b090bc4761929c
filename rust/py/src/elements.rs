//! The losses of single observations, one function each.

use crate::arrays::{Input, Output, places};
use crate::choices::chosen;
use crate::errors::raise;
use crate::reduction::{Reduction, reduced};
use crate::signals::run;
use crate::wanted::{Request, Wanted};
use nll_calls::{
    Clamp, Elements, Factorial, Loss, Options, Outputs, PoissonOptions, PreferenceOptions, Rate,
    Spread, exactly_one,
};
use nll_kernels::data::totals::Totaled;
use nll_kernels::math::preference::PreferenceKind;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBool;

/// The losses, reduced; if derivatives are wanted, these in a list behind them: the second one, then those by the
/// arguments.
type Results<'py> = Bound<'py, PyAny>;

fn elements<'py>(
    py: Python<'py>,
    loss: Loss<'_>,
    request: &Request<'py>,
) -> PyResult<Results<'py>> {
    let wanted = request.wanted();
    let reduction = wanted.reduction;
    let input = |given: &Option<Py<PyAny>>| {
        given.as_ref().map(|given| given.bind(py).extract::<Input<'_>>()).transpose()
    };
    let (weight, mask) = (input(&wanted.weight)?, input(&wanted.mask)?);
    let options = Options {
        weight: weight.as_ref().map(Input::array),
        mask: mask.as_ref().map(Input::array),
        wrt: wanted.wrt.clone(),
        hess: wanted.hess,
        c_order: wanted.out.is_some(),
    };
    let call = Elements::new(loss, options).map_err(raise)?;
    let (shape, order) = (call.shape(), call.order());
    let is_new = reduction.wants_each() && wanted.out.is_none();
    let count = call.derivatives() + usize::from(is_new);
    let mut new = Output::several(py, count, shape, order, call.is_double())?.into_iter();
    let mut value = match &wanted.out {
        Some(out) => Some(Output::given(out.bind(py), shape)?),
        None if is_new => new.next(),
        None => None,
    };
    let mut derivatives: Vec<_> = new.collect();
    let outputs = Outputs {
        value: places(&mut value)?,
        derivatives: derivatives.iter_mut().map(Output::out).collect::<PyResult<_>>()?,
        mean: reduction == Reduction::Mean,
        totaled: if reduction.wants_each() { Totaled::Nothing } else { reduction.totaled() },
    };
    let totals = run(py, shape.iter().product(), |exec| call.run(exec, outputs))?;
    let losses = (value.map(Output::finish).transpose()?, wanted.out.is_some());
    let loss = reduced(py, (reduction, f64::NAN), losses, totals)?;
    if derivatives.is_empty() {
        return Ok(loss);
    }
    let derivatives = derivatives.into_iter().map(Output::finish).collect::<Result<Vec<_>, _>>()?;
    Ok((loss, derivatives).into_pyobject(py)?.into_any())
}

/// Adds the functions below to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Wanted>()?;
    module.add_function(wrap_pyfunction!(known_losses, module)?)?;
    module.add_function(wrap_pyfunction!(softplus, module)?)?;
    module.add_function(wrap_pyfunction!(log_sigmoid, module)?)?;
    module.add_function(wrap_pyfunction!(binary_cross_entropy_with_logits, module)?)?;
    module.add_function(wrap_pyfunction!(binary_cross_entropy, module)?)?;
    module.add_function(wrap_pyfunction!(gaussian_nll_loss, module)?)?;
    module.add_function(wrap_pyfunction!(laplace_nll_loss, module)?)?;
    module.add_function(wrap_pyfunction!(mse_loss, module)?)?;
    module.add_function(wrap_pyfunction!(poisson_nll_loss, module)?)?;
    module.add_function(wrap_pyfunction!(bradley_terry_loss, module)?)?;
    module.add_function(wrap_pyfunction!(dpo_loss, module)?)?;
    module.add_function(wrap_pyfunction!(entr, module)?)?;
    module.add_function(wrap_pyfunction!(rel_entr, module)?)?;
    module.add_function(wrap_pyfunction!(kl_div, module)?)
}

/// The totals of losses from elsewhere.
#[pyfunction]
fn known_losses<'py>(
    py: Python<'py>,
    losses: Input<'py>,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    elements(py, Loss::Known { losses: losses.array() }, &wanted)
}

#[pyfunction]
fn softplus<'py>(py: Python<'py>, x: Input<'py>, wanted: Request<'py>) -> PyResult<Results<'py>> {
    elements(py, Loss::Softplus { x: x.array() }, &wanted)
}

#[pyfunction]
fn log_sigmoid<'py>(
    py: Python<'py>,
    x: Input<'py>,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    elements(py, Loss::LogSigmoid { x: x.array() }, &wanted)
}

#[pyfunction]
fn binary_cross_entropy_with_logits<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    target: Input<'py>,
    pos_weight: Input<'py>,
    validate: bool,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let (logits, target, pos_weight) = (logits.array(), target.array(), pos_weight.array());
    elements(py, Loss::BinaryWithLogits { logits, target, pos_weight, validate }, &wanted)
}

#[pyfunction]
fn binary_cross_entropy<'py>(
    py: Python<'py>,
    probs: Input<'py>,
    target: Input<'py>,
    clamp: Option<Bound<'py, PyAny>>,
    validate: bool,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let clamp = match clamp {
        Some(clamp) => chosen("clamp", &clamp, &Clamp::NAMES)?,
        None => Clamp::Never,
    };
    let (probs, target) = (probs.array(), target.array());
    elements(py, Loss::Binary { probs, target, clamp, validate }, &wanted)
}

#[pyfunction]
fn gaussian_nll_loss<'py>(
    py: Python<'py>,
    mean: Input<'py>,
    target: Input<'py>,
    var: Option<Input<'py>>,
    log_var: Option<Input<'py>>,
    sigma: Option<Input<'py>>,
    eps: f64,
    full: bool,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let [var, log_var, sigma] = [&var, &log_var, &sigma].map(|x| x.as_ref().map(Input::array));
    let spread = Spread::one_of(var, log_var, sigma).map_err(raise)?;
    let (mean, target) = (mean.array(), target.array());
    elements(py, Loss::Gaussian { mean, target, spread, eps, full }, &wanted)
}

#[pyfunction]
fn laplace_nll_loss<'py>(
    py: Python<'py>,
    mean: Input<'py>,
    target: Input<'py>,
    scale: Option<Input<'py>>,
    log_scale: Option<Input<'py>>,
    eps: f64,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let [b, log_b] = [&scale, &log_scale].map(|x| x.as_ref().map(Input::array));
    let (k, scale) = exactly_one([("scale", b), ("log_scale", log_b)]).map_err(raise)?;
    let (mean, target, log_scale) = (mean.array(), target.array(), k == 1);
    elements(py, Loss::Laplace { mean, target, scale, log_scale, eps }, &wanted)
}

#[pyfunction]
fn mse_loss<'py>(
    py: Python<'py>,
    mean: Input<'py>,
    target: Input<'py>,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    elements(py, Loss::SquaredError { mean: mean.array(), target: target.array() }, &wanted)
}

#[pyfunction]
fn poisson_nll_loss<'py>(
    py: Python<'py>,
    input: Input<'py>,
    target: Input<'py>,
    log_offset: Option<Input<'py>>,
    log_input: bool,
    full: Bound<'py, PyAny>,
    eps: f64,
    validate: bool,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let full = match full.cast::<PyBool>() {
        Ok(full) if full.is_true() => Factorial::Stirling,
        Ok(_) => Factorial::LeftOut,
        Err(_) => chosen("full", &full, &Factorial::NAMES)?,
    };
    let rate = match log_offset.as_ref().map(Input::array) {
        Some(offset) if log_input => Rate::Offset(offset),
        None if log_input => Rate::Logarithm,
        None => Rate::Given,
        Some(_) => {
            let sentence = "log_offset is added to a log rate; with log_input=False, multiply the rate \
                            by the exposure";
            return Err(PyValueError::new_err(sentence));
        }
    };
    let (input, target) = (input.array(), target.array());
    let options = PoissonOptions { full, eps, validate };
    elements(py, Loss::Poisson { input, target, rate, options }, &wanted)
}

#[pyfunction]
fn bradley_terry_loss<'py>(
    py: Python<'py>,
    chosen: Input<'py>,
    rejected: Input<'py>,
    margin: Input<'py>,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let (chosen, rejected, margin) = (chosen.array(), rejected.array(), margin.array());
    elements(py, Loss::BradleyTerry { chosen, rejected, margin }, &wanted)
}

#[pyfunction]
fn dpo_loss<'py>(
    py: Python<'py>,
    policy_chosen_logps: Input<'py>,
    policy_rejected_logps: Input<'py>,
    ref_chosen_logps: Input<'py>,
    ref_rejected_logps: Input<'py>,
    beta: f64,
    label_smoothing: f64,
    loss_type: Bound<'py, PyAny>,
    reference_point: f64,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let kind = chosen("loss_type", &loss_type, &PreferenceKind::NAMES)?;
    let options = PreferenceOptions { kind, beta, label_smoothing, reference_point };
    let policy = [&policy_chosen_logps, &policy_rejected_logps].map(Input::array);
    let reference = [&ref_chosen_logps, &ref_rejected_logps].map(Input::array);
    let ([pc, pr], [rc, rr]) = (policy, reference);
    elements(py, Loss::Preference { log_probs: [pc, pr, rc, rr], options }, &wanted)
}

#[pyfunction]
fn entr<'py>(py: Python<'py>, p: Input<'py>, wanted: Request<'py>) -> PyResult<Results<'py>> {
    elements(py, Loss::Entropy { p: p.array() }, &wanted)
}

#[pyfunction]
fn rel_entr<'py>(
    py: Python<'py>,
    p: Input<'py>,
    q: Input<'py>,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    elements(py, Loss::RelativeEntropy { p: p.array(), q: q.array() }, &wanted)
}

#[pyfunction]
fn kl_div<'py>(
    py: Python<'py>,
    input: Input<'py>,
    target: Input<'py>,
    log_target: bool,
    wanted: Request<'py>,
) -> PyResult<Results<'py>> {
    let (input, target) = (input.array(), target.array());
    elements(py, Loss::KlDiv { input, target, log_target }, &wanted)
}
