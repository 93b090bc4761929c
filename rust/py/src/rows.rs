//! The functions of rows of classes. The class axis is the last.

use crate::arrays::{Input, Output, places};
use crate::errors::raise;
use crate::signals::run;
use crate::totals::Partial;
use nll_kernels::Error;
use nll_kernels::call::{self, Entries, Gradient, Quantity, RowLosses};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::targets::Targets;
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn, PyUntypedArrayMethods};
use pyo3::prelude::*;

type Target<'py> = PyReadonlyArrayDyn<'py, i64>;
type Weight<'py> = Option<PyReadonlyArray1<'py, f64>>;
type Given<'py> = Option<Bound<'py, PyAny>>;

/// The losses, None if they were not wanted, and the totals.
type Results<'py> = (Option<Bound<'py, PyAny>>, Partial);

/// Runs `work` with `out` as its output, or with a new array if `each` result is wanted.
fn rows<'py, R: Send>(
    py: Python<'py>,
    shape: &[usize],
    (out, each, double): (Given<'py>, bool, bool),
    size: usize,
    work: impl FnOnce(Exec<'_>, Out<'_>) -> Result<R, Error> + Send,
) -> PyResult<(Option<Bound<'py, PyAny>>, R)> {
    let order: Vec<_> = (0..shape.len()).collect();
    let mut output = match &out {
        Some(out) => Some(Output::given(out, shape)?),
        None => each.then(|| Output::new(py, shape, &order, double)).transpose()?,
    };
    let place = places(&mut output)?;
    let result = run(py, size, |exec| work(exec, place))?;
    Ok((output.map(|output| output.array), result))
}

/// Runs `work` with `out` as its output, or with a new array whose axes lie in memory as those of
/// the logits do if their classes are few.
fn per_class<'py>(
    py: Python<'py>,
    logits: &Array<'_>,
    out: Given<'py>,
    work: impl FnOnce(Exec<'_>, PerClass<'_>) -> Result<(), Error> + Send,
) -> PyResult<Given<'py>> {
    let (shape, double) = (logits.shape(), logits.is_double() == Some(true));
    let (output, inner) = match &out {
        Some(out) => (Output::given(out, shape)?, None),
        None => {
            let (order, inner) = PerClass::layout(logits);
            (Output::new(py, shape, &order, double)?, inner)
        }
    };
    let mut output = Some(output);
    let classes = shape.last().copied().unwrap_or(1);
    let place = PerClass::new(places(&mut output)?, classes, inner);
    run(py, size(logits), |exec| work(exec, place))?;
    Ok(output.map(|output| output.array))
}

/// The shape of an array of rows without its class axis.
fn leading<'s>(array: &'s Array<'_>) -> &'s [usize] {
    array.shape().split_last().map_or(&[], |(_, leading)| leading)
}

fn size(array: &Array<'_>) -> usize {
    array.shape().iter().product()
}

fn row_losses<'py>(
    py: Python<'py>,
    array: &Array<'_>,
    (entries, negate): (Entries, bool),
    targets: Targets<'_>,
    (out, each): (Given<'py>, bool),
) -> PyResult<Results<'py>> {
    let size = match entries {
        Entries::Logits { .. } => size(array),
        _ => targets.target.len(),
    };
    let double = array.is_double() == Some(true);
    let call = RowLosses { rows: array, entries, targets, negate };
    let run = |exec: Exec<'_>, out: Out<'_>| call.run(exec, out);
    let (losses, totals) = rows(py, leading(array), (out, each, double), size, run)?;
    Ok((losses, Partial { totals }))
}

/// The targets of rows as views of Python's arrays.
fn targets<'a>(
    target: &'a Target<'_>,
    weight: &'a Weight<'_>,
    ignore_index: Option<i64>,
) -> PyResult<Targets<'a>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    Ok(Targets { target: target.as_slice()?, shape: target.shape(), ignore_index, weight })
}

#[pyfunction]
#[pyo3(signature = (logits, target, weight, ignore_index, out, each, label_smoothing=0.0, negate=false))]
pub(crate) fn cross_entropy<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    target: Target<'py>,
    weight: Weight<'py>,
    ignore_index: Option<i64>,
    out: Given<'py>,
    each: bool,
    label_smoothing: f64,
    negate: bool,
) -> PyResult<Results<'py>> {
    let targets = targets(&target, &weight, ignore_index)?;
    let entries = Entries::Logits { label_smoothing };
    row_losses(py, &logits.array(), (entries, negate), targets, (out, each))
}

#[pyfunction]
pub(crate) fn nll_loss<'py>(
    py: Python<'py>,
    log_probs: Input<'py>,
    target: Target<'py>,
    weight: Weight<'py>,
    ignore_index: Option<i64>,
    out: Given<'py>,
    each: bool,
) -> PyResult<Results<'py>> {
    let targets = targets(&target, &weight, ignore_index)?;
    row_losses(py, &log_probs.array(), (Entries::LogProbabilities, false), targets, (out, each))
}

#[pyfunction]
pub(crate) fn categorical_nll<'py>(
    py: Python<'py>,
    probs: Input<'py>,
    target: Target<'py>,
    weight: Weight<'py>,
    ignore_index: Option<i64>,
    out: Given<'py>,
    each: bool,
) -> PyResult<Results<'py>> {
    let targets = targets(&target, &weight, ignore_index)?;
    row_losses(py, &probs.array(), (Entries::Probabilities, false), targets, (out, each))
}

fn quantity<'py>(
    py: Python<'py>,
    array: &Array<'_>,
    quantity: Quantity<'_>,
    (out, each): (Given<'py>, bool),
) -> PyResult<Results<'py>> {
    let (double, size) = (quantity.is_double(), size(array));
    quantity.check().map_err(raise)?;
    let run = |exec: Exec<'_>, out: Out<'_>| quantity.run(exec, out);
    let (values, totals) = rows(py, leading(array), (out, each, double), size, run)?;
    Ok((values, Partial { totals }))
}

#[pyfunction]
pub(crate) fn soft_cross_entropy<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    target: Input<'py>,
    weight: Weight<'py>,
    label_smoothing: f64,
    out: Given<'py>,
    each: bool,
) -> PyResult<Results<'py>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (logits, target) = (&logits.array(), &target.array());
    let soft_target = Quantity::SoftTarget { logits, target, weight, label_smoothing };
    quantity(py, logits, soft_target, (out, each))
}

#[pyfunction]
pub(crate) fn entropy<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    out: Given<'py>,
    each: bool,
) -> PyResult<Results<'py>> {
    let logits = &logits.array();
    quantity(py, logits, Quantity::Entropy { logits }, (out, each))
}

#[pyfunction]
pub(crate) fn kl_divergence<'py>(
    py: Python<'py>,
    p_logits: Input<'py>,
    q_logits: Input<'py>,
    out: Given<'py>,
    each: bool,
) -> PyResult<Results<'py>> {
    let (p_logits, q_logits) = (&p_logits.array(), &q_logits.array());
    quantity(py, p_logits, Quantity::Divergence { p_logits, q_logits }, (out, each))
}

#[pyfunction]
pub(crate) fn logsumexp<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    out: Given<'py>,
) -> PyResult<Given<'py>> {
    let logits = &logits.array();
    let run = |exec: Exec<'_>, out: Out<'_>| call::log_sum_exp(exec, logits, out);
    let double = logits.is_double() == Some(true);
    Ok(rows(py, leading(logits), (out, true, double), size(logits), run)?.0)
}

#[pyfunction]
pub(crate) fn log_softmax<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    out: Given<'py>,
) -> PyResult<Given<'py>> {
    let logits = &logits.array();
    per_class(py, logits, out, |exec, out| call::log_softmax(exec, logits, out))
}

#[pyfunction]
pub(crate) fn cross_entropy_grad<'py>(
    py: Python<'py>,
    logits: Input<'py>,
    target: Target<'py>,
    weight: Weight<'py>,
    ignore_index: Option<i64>,
    label_smoothing: f64,
    mean: bool,
    out: Given<'py>,
) -> PyResult<Given<'py>> {
    let (logits, targets) = (&logits.array(), targets(&target, &weight, ignore_index)?);
    let call = Gradient { logits, targets, label_smoothing, mean };
    per_class(py, logits, out, |exec, out| call.run(exec, out))
}
