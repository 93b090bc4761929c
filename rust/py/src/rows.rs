//! The functions of rows of classes: losses with a class as target, sums and shares. The class axis is
//! the last.

use crate::arrays::{Classes, Floats};
use crate::choices::{Integer, chosen, clips};
use crate::errors::raise;
use crate::outputs::{Given, PerClassOutput, RowWeight, Weight, leading, rows, size};
use crate::reduction::{Reducing, Reduction, reduced};
use crate::signals::run;
use nll_calls::{Entries, Gradient, Hessian, Quantity, RowLosses};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::targets::{Counted, Targets};
use nll_kernels::data::totals::Totaled;
use pyo3::prelude::*;

fn row_losses<'py>(
    py: Python<'py>,
    array: &Array<'_>,
    (entries, negate): (Entries, bool),
    targets: Targets<'_>,
    (out, reducing): (Given<'py>, Reducing),
) -> PyResult<Bound<'py, PyAny>> {
    let size = match entries {
        Entries::Logits { .. } => size(array),
        _ => targets.target.len(),
    };
    let double = array.is_double() == Some(true);
    let (totaled, is_new, each) = (reducing.0.totaled(), out.is_none(), reducing.0.wants_each());
    let call = RowLosses { rows: array, entries, targets, negate, totaled, is_new };
    let run = |exec: Exec<'_>, out: Out<'_>| call.run(exec, out);
    let (losses, totals) = rows(py, leading(array), (out, each, double), size, run)?;
    reduced(py, reducing, (losses, !is_new), totals)
}

/// The targets of rows as views of Python's arrays.
fn targets<'a>(
    target: &'a Classes<'_>,
    weight: &'a Weight<'_>,
    row_weight: &'a RowWeight<'_>,
    ignore_index: Option<Integer>,
) -> PyResult<Targets<'a>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let row_weight = row_weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (target, shape) = (target.classes()?, target.shape());
    let ignore_index = ignore_index.map(|Integer(class)| class);
    Ok(Targets { target, first: 0, shape, ignore_index, weight, row_weight })
}

#[pyfunction]
#[pyo3(signature = (
    logits, target, weight, row_weight, ignore_index, out, reduction, empty_mean, label_smoothing=0.0, negate=false
))]
pub(crate) fn cross_entropy<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<Integer>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
    label_smoothing: f64,
    negate: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    let entries = Entries::Logits { label_smoothing };
    row_losses(py, &logits.array(), (entries, negate), targets, (out, (reduction, empty_mean)))
}

#[pyfunction]
pub(crate) fn nll_loss<'py>(
    py: Python<'py>,
    log_probs: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<Integer>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    row_losses(
        py,
        &log_probs.array(),
        (Entries::LogProbabilities, false),
        targets,
        (out, (reduction, empty_mean)),
    )
}

#[pyfunction]
#[pyo3(signature = (
    probs, target, weight, row_weight, ignore_index, out, reduction, empty_mean, clamp=None
))]
pub(crate) fn categorical_nll<'py>(
    py: Python<'py>,
    probs: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<Integer>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
    clamp: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let clip = clips(clamp)?;
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    row_losses(
        py,
        &probs.array(),
        (Entries::Probabilities { clip }, false),
        targets,
        (out, (reduction, empty_mean)),
    )
}

/// The results of a quantity without totals.
fn weighted_sum<'py>(py: Python<'py>, sum: Quantity<'_>, out: Given<'py>) -> PyResult<Given<'py>> {
    sum.check().map_err(raise)?;
    let (all, logits) = (Counted { mask: None, row_weight: None }, sum.logits());
    let run = |exec: Exec<'_>, out: Out<'_>| sum.run(exec, all, Totaled::Nothing, out);
    Ok(rows(py, leading(logits), (out, true, sum.is_double()), size(logits), run)?.0)
}

#[pyfunction]
#[pyo3(signature = (logits, out, b=None))]
pub(crate) fn logsumexp<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    out: Given<'py>,
    b: Option<Floats<'py>>,
) -> PyResult<Given<'py>> {
    let logits = &logits.array();
    if let Some(factor) = b {
        return weighted_sum(py, Quantity::WeightedSum { logits, factor: &factor.array() }, out);
    }
    let run = |exec: Exec<'_>, out: Out<'_>| nll_calls::log_sum_exp(exec, logits, out);
    let double = logits.is_double() == Some(true);
    Ok(rows(py, leading(logits), (out, true, double), size(logits), run)?.0)
}

#[pyfunction]
pub(crate) fn log_softmax<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    out: Given<'py>,
) -> PyResult<Given<'py>> {
    let logits = &logits.array();
    let mut output = PerClassOutput::new(py, logits, out)?;
    let place = output.place()?;
    run(py, size(logits), |exec| nll_calls::log_softmax(exec, logits, place))?;
    output.finish()
}

/// Gradient, second derivatives and the reduced loss; None for what was not wanted.
type Derivatives<'py> = (Given<'py>, Given<'py>, Given<'py>);

#[pyfunction]
#[pyo3(signature = (
    logits, target, weight, row_weight, ignore_index, label_smoothing, mean, grad_out=None, *,
    hess=None, out=None, reduction=None, empty_mean=f64::NAN
))]
pub(crate) fn cross_entropy_grad<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<Integer>,
    label_smoothing: f64,
    mean: bool,
    grad_out: Given<'py>,
    hess: Option<Bound<'py, PyAny>>,
    out: Given<'py>,
    reduction: Option<Reduction>,
    empty_mean: f64,
) -> PyResult<Derivatives<'py>> {
    let logits = &logits.array();
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    let hess = hess.map(|hess| chosen("hess", &hess, &Hessian::NAMES)).transpose()?;
    let totaled = reduction.map_or(Totaled::Nothing, Reduction::totaled);
    let (each, is_given) = (reduction.is_some_and(Reduction::wants_each), out.is_some());
    let call = Gradient { logits, targets, label_smoothing, mean, hess, totaled };
    let [mut slopes, mut curves] = match hess {
        Some(_) => PerClassOutput::slopes_and_curves(py, logits, grad_out)?,
        None => [PerClassOutput::new(py, logits, grad_out)?, PerClassOutput::nothing(logits)],
    };
    let places = (slopes.place()?, curves.place()?);
    let double = logits.is_double() == Some(true);
    let work = |exec: Exec<'_>, out: Out<'_>| call.run(exec, (places.0, places.1, out));
    let (losses, totals) = rows(py, leading(logits), (out, each, double), size(logits), work)?;
    let loss = reduction.map(|how| reduced(py, (how, empty_mean), (losses, is_given), totals));
    Ok((slopes.finish()?, curves.finish()?, loss.transpose()?))
}
