//! The losses of single observations, one function each.

use crate::arrays::{Input, Output, places};
use crate::errors::raise;
use crate::signals::run;
use crate::totals::Partial;
use nll_kernels::call::{
    Clamp, Elements, Hessian, Loss, Outputs, PreferenceOptions, Spread, choose, exactly_one,
};
use nll_kernels::math::preference::PreferenceKind;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Which results of a call are wanted.
#[pyclass(frozen, module = "nll_fast._core")]
pub(crate) struct Wanted {
    weight: Option<Py<PyAny>>,
    out: Option<Py<PyAny>>,
    /// Whether each loss is wanted, in a new array if there is no `out`.
    each: bool,
    /// Whether the totals are wanted.
    total: bool,
    grad: bool,
    hess: Option<Hessian>,
    /// Whether the derivatives are those of the mean.
    mean: bool,
}

#[pymethods]
impl Wanted {
    #[new]
    #[pyo3(signature = (*, weight=None, out=None, each, total, grad=false, hess=None, mean=false))]
    fn new(
        weight: Option<Py<PyAny>>,
        out: Option<Py<PyAny>>,
        each: bool,
        total: bool,
        grad: bool,
        hess: Option<Bound<'_, PyAny>>,
        mean: bool,
    ) -> PyResult<Self> {
        let hess = hess.map(|hess| chosen("hess", &hess, &Hessian::NAMES)).transpose()?;
        Ok(Wanted { weight, out, each, total, grad, hess, mean })
    }
}

/// Losses, gradient, second derivatives and totals; None for what was not wanted.
type Results<'py> =
    (Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, Option<Bound<'py, PyAny>>, Partial);

fn elements<'py>(py: Python<'py>, loss: Loss<'_>, wanted: &Wanted) -> PyResult<Results<'py>> {
    let weight = wanted.weight.as_ref().map(|weight| weight.bind(py).extract::<Input<'_>>());
    let weight = weight.transpose()?;
    let weight = weight.as_ref().map(Input::array);
    let call = Elements::new(loss, weight, wanted.out.is_some()).map_err(raise)?;
    let hess = wanted.hess;
    let (shape, order) = (call.shape(), call.order());
    let new =
        |wanted: bool| wanted.then(|| Output::new(py, shape, order, call.is_double())).transpose();
    let mut value = match &wanted.out {
        Some(out) => Some(Output::given(out.bind(py), shape)?),
        None => new(wanted.each)?,
    };
    let (mut gradient, mut hessian) = (new(wanted.grad || hess.is_some())?, new(hess.is_some())?);
    let outputs = Outputs {
        value: places(&mut value)?,
        gradient: places(&mut gradient)?,
        hessian: places(&mut hessian)?,
        hess,
        mean: wanted.mean,
        total: wanted.total,
    };
    let totals = run(py, shape.iter().product(), |exec| call.run(exec, outputs))?;
    let [value, gradient, hessian] =
        [value, gradient, hessian].map(|output| output.map(|output| output.array));
    Ok((value, gradient, hessian, Partial { totals }))
}

/// The choice with the name that `given` holds.
fn chosen<T: Copy>(argument: &str, given: &Bound<'_, PyAny>, names: &[(&str, T)]) -> PyResult<T> {
    // A string that UTF-8 cannot hold is no name that is known.
    let name = given.cast::<PyString>().ok().and_then(|name| name.to_cow().ok());
    choose(argument, name.as_deref(), &given.repr()?.to_string(), names).map_err(raise)
}

/// Adds the functions below to the module.
pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Wanted>()?;
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

#[pyfunction]
fn softplus<'py>(py: Python<'py>, x: Input<'py>, wanted: &Wanted) -> PyResult<Results<'py>> {
    elements(py, Loss::Softplus { x: x.array() }, wanted)
}

#[pyfunction]
fn log_sigmoid<'py>(py: Python<'py>, x: Input<'py>, wanted: &Wanted) -> PyResult<Results<'py>> {
    elements(py, Loss::LogSigmoid { x: x.array() }, wanted)
}

#[pyfunction]
fn binary_cross_entropy_with_logits<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    target: Input<'py>,
    pos_weight: Input<'py>,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    let (logits, target, pos_weight) = (logits.array(), target.array(), pos_weight.array());
    elements(py, Loss::BinaryWithLogits { logits, target, pos_weight }, wanted)
}

#[pyfunction]
fn binary_cross_entropy<'py>(
    py: Python<'py>,
    probs: Input<'py>,
    target: Input<'py>,
    clamp: Option<Bound<'py, PyAny>>,
    validate: bool,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    let clamp = match clamp {
        Some(clamp) => chosen("clamp", &clamp, &Clamp::NAMES)?,
        None => Clamp::Never,
    };
    let (probs, target) = (probs.array(), target.array());
    elements(py, Loss::Binary { probs, target, clamp, validate }, wanted)
}

#[pyfunction]
#[pyo3(signature = (mean, target, eps, full, wanted, var=None, log_var=None, sigma=None))]
fn gaussian_nll_loss<'py>(
    py: Python<'py>,
    mean: Input<'py>,
    target: Input<'py>,
    eps: f64,
    full: bool,
    wanted: &Wanted,
    var: Option<Input<'py>>,
    log_var: Option<Input<'py>>,
    sigma: Option<Input<'py>>,
) -> PyResult<Results<'py>> {
    let [var, log_var, sigma] = [&var, &log_var, &sigma].map(|x| x.as_ref().map(Input::array));
    let spread = Spread::one_of(var, log_var, sigma).map_err(raise)?;
    let (mean, target) = (mean.array(), target.array());
    elements(py, Loss::Gaussian { mean, target, spread, eps, full }, wanted)
}

#[pyfunction]
#[pyo3(signature = (mean, target, eps, wanted, scale=None, log_scale=None))]
fn laplace_nll_loss<'py>(
    py: Python<'py>,
    mean: Input<'py>,
    target: Input<'py>,
    eps: f64,
    wanted: &Wanted,
    scale: Option<Input<'py>>,
    log_scale: Option<Input<'py>>,
) -> PyResult<Results<'py>> {
    let [b, log_b] = [&scale, &log_scale].map(|x| x.as_ref().map(Input::array));
    let (k, scale) = exactly_one([("scale", b), ("log_scale", log_b)]).map_err(raise)?;
    let (mean, target, log_scale) = (mean.array(), target.array(), k == 1);
    elements(py, Loss::Laplace { mean, target, scale, log_scale, eps }, wanted)
}

#[pyfunction]
fn mse_loss<'py>(
    py: Python<'py>,
    mean: Input<'py>,
    target: Input<'py>,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    elements(py, Loss::SquaredError { mean: mean.array(), target: target.array() }, wanted)
}

#[pyfunction]
fn poisson_nll_loss<'py>(
    py: Python<'py>,
    input: Input<'py>,
    target: Input<'py>,
    log_input: bool,
    full: bool,
    eps: f64,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    let (input, target) = (input.array(), target.array());
    elements(py, Loss::Poisson { input, target, log_input, full, eps }, wanted)
}

#[pyfunction]
fn bradley_terry_loss<'py>(
    py: Python<'py>,
    chosen: Input<'py>,
    rejected: Input<'py>,
    margin: Input<'py>,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    let (chosen, rejected, margin) = (chosen.array(), rejected.array(), margin.array());
    elements(py, Loss::BradleyTerry { chosen, rejected, margin }, wanted)
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
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    let kind = chosen("loss_type", &loss_type, &PreferenceKind::NAMES)?;
    let options = PreferenceOptions { kind, beta, label_smoothing, reference_point };
    let policy = [&policy_chosen_logps, &policy_rejected_logps].map(Input::array);
    let reference = [&ref_chosen_logps, &ref_rejected_logps].map(Input::array);
    let ([pc, pr], [rc, rr]) = (policy, reference);
    elements(py, Loss::Preference { log_probs: [pc, pr, rc, rr], options }, wanted)
}

#[pyfunction]
fn entr<'py>(py: Python<'py>, p: Input<'py>, wanted: &Wanted) -> PyResult<Results<'py>> {
    elements(py, Loss::Entropy { p: p.array() }, wanted)
}

#[pyfunction]
fn rel_entr<'py>(
    py: Python<'py>,
    p: Input<'py>,
    q: Input<'py>,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    elements(py, Loss::RelativeEntropy { p: p.array(), q: q.array() }, wanted)
}

#[pyfunction]
fn kl_div<'py>(
    py: Python<'py>,
    input: Input<'py>,
    target: Input<'py>,
    log_target: bool,
    wanted: &Wanted,
) -> PyResult<Results<'py>> {
    let (input, target) = (input.array(), target.array());
    elements(py, Loss::KlDiv { input, target, log_target }, wanted)
}
