//! Quantities of rows in which each class has its part, and their gradients. The class axis is the
//! last.

use crate::arrays::Floats;
use crate::choices::clips;
use crate::errors::raise;
use crate::outputs::{Given, PerClassOutput, RowWeight, Weight, leading, rows, size};
use crate::reduction::{Reducing, Reduction, reduced};
use nll_calls::Quantity;
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::targets::Counted;
use numpy::PyReadonlyArrayDyn;
use pyo3::prelude::*;

type Mask<'py> = Option<PyReadonlyArrayDyn<'py, bool>>;

fn quantity<'py>(
    py: Python<'py>,
    array: &Array<'_>,
    quantity: Quantity<'_>,
    (mask, row_weight): (Mask<'py>, RowWeight<'py>),
    (out, reducing): (Given<'py>, Reducing),
) -> PyResult<Bound<'py, PyAny>> {
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let row_weight = row_weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let counted = Counted { mask, row_weight };
    let (double, size) = (quantity.is_double(), size(array));
    quantity.check().map_err(raise)?;
    let run = |exec: Exec<'_>, out: Out<'_>| quantity.run(exec, counted, reducing.0.totaled(), out);
    let (each, is_given) = (reducing.0.wants_each(), out.is_some());
    let (values, totals) = rows(py, leading(array), (out, each, double), size, run)?;
    reduced(py, reducing, (values, is_given), totals)
}

#[pyfunction]
pub(crate) fn soft_cross_entropy<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Floats<'py>,
    weight: Weight<'py>,
    label_smoothing: f64,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (logits, target) = (&logits.array(), &target.array());
    let soft_target = Quantity::SoftTarget { logits, target, weight, label_smoothing };
    quantity(py, logits, soft_target, (mask, row_weight), (out, (reduction, empty_mean)))
}

#[pyfunction]
pub(crate) fn entropy<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let logits = &logits.array();
    quantity(
        py,
        logits,
        Quantity::Entropy { logits },
        (mask, row_weight),
        (out, (reduction, empty_mean)),
    )
}

#[pyfunction]
pub(crate) fn kl_divergence<'py>(
    py: Python<'py>,
    p_logits: Floats<'py>,
    q_logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let (p_logits, q_logits) = (&p_logits.array(), &q_logits.array());
    let divergence = Quantity::Divergence { p_logits, q_logits };
    quantity(py, p_logits, divergence, (mask, row_weight), (out, (reduction, empty_mean)))
}

#[pyfunction]
pub(crate) fn expected_loss<'py>(
    py: Python<'py>,
    probs: Floats<'py>,
    target: Floats<'py>,
    weight: Weight<'py>,
    clamp: Option<Bound<'py, PyAny>>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
) -> PyResult<Bound<'py, PyAny>> {
    let clip = clips(clamp)?;
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (probs, target) = (&probs.array(), &target.array());
    let loss = Quantity::ExpectedLoss { probs, target, weight, clip };
    quantity(py, probs, loss, (mask, row_weight), (out, (reduction, empty_mean)))
}

/// The gradients of a quantity by its logits, by the first ones and by the second ones of a divergence, None for one that
/// was not wanted; and what [`quantity`] returns.
type Slopes<'py> = (Given<'py>, Given<'py>, Bound<'py, PyAny>);

fn slopes<'py>(
    py: Python<'py>,
    of: Quantity<'_>,
    (mask, row_weight): (Mask<'py>, RowWeight<'py>),
    (out, reducing): (Given<'py>, Reducing),
    (mean, wanted): (bool, [bool; 2]),
) -> PyResult<Slopes<'py>> {
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let row_weight = row_weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    of.check().map_err(raise)?;
    let counted = Counted { mask, row_weight };
    let call = nll_calls::Slopes { of, rows: counted, mean, totaled: reducing.0.totaled() };
    let (first, second, double) = (call.of.logits(), call.of.second(), call.of.is_double());
    let new = |logits: &Array<'_>, wanted: bool| match wanted {
        true => PerClassOutput::typed(py, logits, None, double),
        false => Ok(PerClassOutput::nothing(logits)),
    };
    let (mut by_first, mut by_second) = (new(first, wanted[0])?, new(second, wanted[1])?);
    let places = (by_first.place()?, by_second.place()?);
    let work = |exec: Exec<'_>, out: Out<'_>| call.run(exec, (places.0, places.1, out));
    let (each, is_given) = (reducing.0.wants_each(), out.is_some());
    let (values, totals) = rows(py, leading(first), (out, each, double), size(first), work)?;
    let value = reduced(py, reducing, (values, is_given), totals)?;
    Ok((by_first.finish()?, by_second.finish()?, value))
}

#[pyfunction]
pub(crate) fn entropy_grad<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
    mean: bool,
) -> PyResult<Slopes<'py>> {
    let (of, counted) = (Quantity::Entropy { logits: &logits.array() }, (mask, row_weight));
    slopes(py, of, counted, (out, (reduction, empty_mean)), (mean, [true, false]))
}

#[pyfunction]
pub(crate) fn soft_cross_entropy_grad<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Floats<'py>,
    weight: Weight<'py>,
    label_smoothing: f64,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
    mean: bool,
) -> PyResult<Slopes<'py>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (logits, target) = (&logits.array(), &target.array());
    let of = Quantity::SoftTarget { logits, target, weight, label_smoothing };
    slopes(py, of, (mask, row_weight), (out, (reduction, empty_mean)), (mean, [true, false]))
}

#[pyfunction]
pub(crate) fn kl_divergence_grad<'py>(
    py: Python<'py>,
    p_logits: Floats<'py>,
    q_logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    reduction: Reduction,
    empty_mean: f64,
    mean: bool,
    by_p: bool,
    by_q: bool,
) -> PyResult<Slopes<'py>> {
    let (p_logits, q_logits) = (&p_logits.array(), &q_logits.array());
    let of = Quantity::Divergence { p_logits, q_logits };
    slopes(py, of, (mask, row_weight), (out, (reduction, empty_mean)), (mean, [by_p, by_q]))
}
