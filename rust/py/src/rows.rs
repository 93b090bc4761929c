//! The functions of rows of classes. The class axis is the last.

use crate::arrays::{Classes, Floats, Output, places};
use crate::elements::chosen;
use crate::errors::raise;
use crate::signals::run;
use crate::totals::Partial;
use nll_kernels::Error;
use nll_kernels::call::{self, Entries, Gradient, Hessian, Quantity, RowLosses, Slopes};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::targets::{Counted, Targets};
use nll_kernels::data::totals::Totaled;
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;

type Weight<'py> = Option<PyReadonlyArray1<'py, f64>>;
type RowWeight<'py> = Option<PyReadonlyArrayDyn<'py, f64>>;
type Mask<'py> = Option<PyReadonlyArrayDyn<'py, bool>>;
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

/// Results for each class of each row, and how they lie in memory.
struct PerClassOutput<'py> {
    output: Option<Output<'py>>,
    classes: usize,
    inner: Option<usize>,
}

impl<'py> PerClassOutput<'py> {
    /// `out`, or a new array whose axes lie in memory as those of the logits do if their classes are
    /// few.
    fn new(py: Python<'py>, logits: &Array<'_>, out: Given<'py>) -> PyResult<Self> {
        let (shape, double) = (logits.shape(), logits.is_double() == Some(true));
        let (output, inner) = match &out {
            Some(out) => (Output::given(out, shape)?, None),
            None => {
                let (order, inner) = PerClass::layout(logits);
                (Output::new(py, shape, &order, double)?, inner)
            }
        };
        let classes = shape.last().copied().unwrap_or(1);
        Ok(PerClassOutput { output: Some(output), classes, inner })
    }

    /// No results.
    fn nothing(logits: &Array<'_>) -> Self {
        let classes = logits.shape().last().copied().unwrap_or(1);
        PerClassOutput { output: None, classes, inner: None }
    }

    fn place(&mut self) -> PyResult<PerClass<'_>> {
        Ok(PerClass::new(places(&mut self.output)?, self.classes, self.inner))
    }

    fn array(self) -> Given<'py> {
        self.output.map(|output| output.array)
    }
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
    (out, each, moments): (Given<'py>, bool, bool),
) -> PyResult<Results<'py>> {
    let size = match entries {
        Entries::Logits { .. } => size(array),
        _ => targets.target.len(),
    };
    let double = array.is_double() == Some(true);
    let totaled = totaled(moments);
    let call = RowLosses { rows: array, entries, targets, negate, totaled };
    let run = |exec: Exec<'_>, out: Out<'_>| call.run(exec, out);
    let (losses, totals) = rows(py, leading(array), (out, each, double), size, run)?;
    Ok((losses, Partial { totals }))
}

/// The targets of rows as views of Python's arrays.
fn targets<'a>(
    target: &'a Classes<'_>,
    weight: &'a Weight<'_>,
    row_weight: &'a RowWeight<'_>,
    ignore_index: Option<i64>,
) -> PyResult<Targets<'a>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let row_weight = row_weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (target, shape) = (target.classes()?, target.shape());
    Ok(Targets { target, shape, ignore_index, weight, row_weight })
}

/// Which totals a call of rows computes.
fn totaled(moments: bool) -> Totaled {
    if moments { Totaled::Moments } else { Totaled::Sum }
}

#[pyfunction]
#[pyo3(signature = (
    logits, target, weight, row_weight, ignore_index, out, each, moments, label_smoothing=0.0, negate=false
))]
pub(crate) fn cross_entropy<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<i64>,
    out: Given<'py>,
    each: bool,
    moments: bool,
    label_smoothing: f64,
    negate: bool,
) -> PyResult<Results<'py>> {
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    let entries = Entries::Logits { label_smoothing };
    row_losses(py, &logits.array(), (entries, negate), targets, (out, each, moments))
}

#[pyfunction]
pub(crate) fn nll_loss<'py>(
    py: Python<'py>,
    log_probs: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<i64>,
    out: Given<'py>,
    each: bool,
    moments: bool,
) -> PyResult<Results<'py>> {
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    row_losses(
        py,
        &log_probs.array(),
        (Entries::LogProbabilities, false),
        targets,
        (out, each, moments),
    )
}

#[pyfunction]
#[pyo3(signature = (
    probs, target, weight, row_weight, ignore_index, out, each, moments, clamp=None
))]
pub(crate) fn categorical_nll<'py>(
    py: Python<'py>,
    probs: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<i64>,
    out: Given<'py>,
    each: bool,
    moments: bool,
    clamp: Option<Bound<'py, PyAny>>,
) -> PyResult<Results<'py>> {
    let clip = match clamp {
        Some(clamp) => chosen("clamp", &clamp, &[("eps", true)])?,
        None => false,
    };
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    row_losses(
        py,
        &probs.array(),
        (Entries::Probabilities { clip }, false),
        targets,
        (out, each, moments),
    )
}

fn quantity<'py>(
    py: Python<'py>,
    array: &Array<'_>,
    quantity: Quantity<'_>,
    (mask, row_weight): (Mask<'py>, RowWeight<'py>),
    (out, each, moments): (Given<'py>, bool, bool),
) -> PyResult<Results<'py>> {
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let row_weight = row_weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let counted = Counted { mask, row_weight };
    let (double, size) = (quantity.is_double(), size(array));
    quantity.check().map_err(raise)?;
    let run = |exec: Exec<'_>, out: Out<'_>| quantity.run(exec, counted, totaled(moments), out);
    let (values, totals) = rows(py, leading(array), (out, each, double), size, run)?;
    Ok((values, Partial { totals }))
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
    each: bool,
    moments: bool,
) -> PyResult<Results<'py>> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (logits, target) = (&logits.array(), &target.array());
    let soft_target = Quantity::SoftTarget { logits, target, weight, label_smoothing };
    quantity(py, logits, soft_target, (mask, row_weight), (out, each, moments))
}

#[pyfunction]
pub(crate) fn entropy<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    each: bool,
    moments: bool,
) -> PyResult<Results<'py>> {
    let logits = &logits.array();
    quantity(py, logits, Quantity::Entropy { logits }, (mask, row_weight), (out, each, moments))
}

#[pyfunction]
pub(crate) fn kl_divergence<'py>(
    py: Python<'py>,
    p_logits: Floats<'py>,
    q_logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    out: Given<'py>,
    each: bool,
    moments: bool,
) -> PyResult<Results<'py>> {
    let (p_logits, q_logits) = (&p_logits.array(), &q_logits.array());
    let divergence = Quantity::Divergence { p_logits, q_logits };
    quantity(py, p_logits, divergence, (mask, row_weight), (out, each, moments))
}

#[pyfunction]
pub(crate) fn logsumexp<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
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
    logits: Floats<'py>,
    out: Given<'py>,
) -> PyResult<Given<'py>> {
    let logits = &logits.array();
    let mut output = PerClassOutput::new(py, logits, out)?;
    let place = output.place()?;
    run(py, size(logits), |exec| call::log_softmax(exec, logits, place))?;
    Ok(output.array())
}

/// Gradient, second derivatives, losses and totals; None for what was not wanted.
type Derivatives<'py> = (Given<'py>, Given<'py>, Given<'py>, Partial);

#[pyfunction]
#[pyo3(signature = (
    logits, target, weight, row_weight, ignore_index, label_smoothing, mean, grad_out=None, *,
    hess=None, out=None, each=false, total=false, moments=false
))]
pub(crate) fn cross_entropy_grad<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Classes<'py>,
    weight: Weight<'py>,
    row_weight: RowWeight<'py>,
    ignore_index: Option<i64>,
    label_smoothing: f64,
    mean: bool,
    grad_out: Given<'py>,
    hess: Option<Bound<'py, PyAny>>,
    out: Given<'py>,
    each: bool,
    total: bool,
    moments: bool,
) -> PyResult<Derivatives<'py>> {
    let logits = &logits.array();
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    let hess = hess.map(|hess| chosen("hess", &hess, &Hessian::NAMES)).transpose()?;
    let totaled = if total { totaled(moments) } else { Totaled::Nothing };
    let call = Gradient { logits, targets, label_smoothing, mean, hess, totaled };
    let mut slopes = PerClassOutput::new(py, logits, grad_out)?;
    let mut curves = match hess {
        Some(_) => PerClassOutput::new(py, logits, None)?,
        None => PerClassOutput::nothing(logits),
    };
    let places = (slopes.place()?, curves.place()?);
    let double = logits.is_double() == Some(true);
    let work = |exec: Exec<'_>, out: Out<'_>| call.run(exec, (places.0, places.1, out));
    let (losses, totals) = rows(py, leading(logits), (out, each, double), size(logits), work)?;
    Ok((slopes.array(), curves.array(), losses, Partial { totals }))
}

/// The gradients of a quantity by its logits: by the first ones, and by the second ones of a divergence;
/// None for what was not wanted.
fn slopes<'py>(
    py: Python<'py>,
    of: Quantity<'_>,
    (mask, row_weight, scale): (Mask<'py>, RowWeight<'py>, f64),
    wanted: [bool; 2],
) -> PyResult<(Given<'py>, Given<'py>)> {
    let mask = mask.as_ref().map(|mask| mask.as_slice()).transpose()?;
    let row_weight = row_weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    of.check().map_err(raise)?;
    let (shape, double) = (of.logits().shape().to_vec(), of.is_double());
    let classes = shape.last().copied().unwrap_or(1);
    let order: Vec<_> = (0..shape.len()).collect();
    let new = |wanted: bool| wanted.then(|| Output::new(py, &shape, &order, double)).transpose();
    let [mut first, mut second] = [new(wanted[0])?, new(wanted[1])?];
    let outs = [places(&mut first)?, places(&mut second)?];
    let outs = outs.map(|out| PerClass::new(out, classes, None));
    let rows = Counted { mask, row_weight };
    let call = Slopes { of, rows, scale };
    run(py, shape.iter().product(), |exec| call.run(exec, outs))?;
    Ok((first.map(|output| output.array), second.map(|output| output.array)))
}

#[pyfunction]
pub(crate) fn entropy_grad<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    scale: f64,
) -> PyResult<(Given<'py>, Given<'py>)> {
    let logits = &logits.array();
    slopes(py, Quantity::Entropy { logits }, (mask, row_weight, scale), [true, false])
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
    scale: f64,
) -> PyResult<(Given<'py>, Given<'py>)> {
    let weight = weight.as_ref().map(|weight| weight.as_slice()).transpose()?;
    let (logits, target) = (&logits.array(), &target.array());
    let of = Quantity::SoftTarget { logits, target, weight, label_smoothing };
    slopes(py, of, (mask, row_weight, scale), [true, false])
}

#[pyfunction]
pub(crate) fn kl_divergence_grad<'py>(
    py: Python<'py>,
    p_logits: Floats<'py>,
    q_logits: Floats<'py>,
    mask: Mask<'py>,
    row_weight: RowWeight<'py>,
    scale: f64,
    by_p: bool,
    by_q: bool,
) -> PyResult<(Given<'py>, Given<'py>)> {
    let (p_logits, q_logits) = (&p_logits.array(), &q_logits.array());
    let of = Quantity::Divergence { p_logits, q_logits };
    slopes(py, of, (mask, row_weight, scale), [by_p, by_q])
}
