//! The functions of rows of classes: losses with a class as target, sums and shares. The class axis is
//! the last.

use crate::arrays::{Classes, Floats, Output, places};
use crate::elements::chosen;
use crate::quantities::{clips, weighted_sum};
use crate::signals::run;
use crate::totals::Partial;
use nll_calls::{Entries, Gradient, Hessian, Quantity, RowLosses};
use nll_kernels::Error;
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use nll_kernels::data::targets::Targets;
use nll_kernels::data::totals::Totaled;
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;

pub(crate) type Weight<'py> = Option<PyReadonlyArray1<'py, f64>>;
pub(crate) type RowWeight<'py> = Option<PyReadonlyArrayDyn<'py, f64>>;
pub(crate) type Given<'py> = Option<Bound<'py, PyAny>>;

/// The losses, None if they were not wanted, and the totals.
pub(crate) type Results<'py> = (Option<Bound<'py, PyAny>>, Partial);

/// Runs `work` with `out` as its output, or with a new array if `each` result is wanted.
pub(crate) fn rows<'py, R: Send>(
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
    Ok((output.map(Output::finish).transpose()?, result))
}

/// Results for each class of each row, and how they lie in memory.
pub(crate) struct PerClassOutput<'py> {
    output: Option<Output<'py>>,
    classes: usize,
    inner: Option<usize>,
}

impl<'py> PerClassOutput<'py> {
    /// `out`, or a new array whose axes lie in memory as those of the logits do if their classes are
    /// few.
    fn new(py: Python<'py>, logits: &Array<'_>, out: Given<'py>) -> PyResult<Self> {
        Self::typed(py, logits, out, logits.is_double() == Some(true))
    }

    /// [`new`](Self::new), of float64 if it is `double`.
    pub(crate) fn typed(
        py: Python<'py>,
        logits: &Array<'_>,
        out: Given<'py>,
        double: bool,
    ) -> PyResult<Self> {
        let shape = logits.shape();
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
    pub(crate) fn nothing(logits: &Array<'_>) -> Self {
        let classes = logits.shape().last().copied().unwrap_or(1);
        PerClassOutput { output: None, classes, inner: None }
    }

    pub(crate) fn place(&mut self) -> PyResult<PerClass<'_>> {
        Ok(PerClass::new(places(&mut self.output)?, self.classes, self.inner))
    }

    pub(crate) fn finish(self) -> PyResult<Given<'py>> {
        self.output.map(Output::finish).transpose()
    }
}

/// The shape of an array of rows without its class axis.
pub(crate) fn leading<'s>(array: &'s Array<'_>) -> &'s [usize] {
    array.shape().split_last().map_or(&[], |(_, leading)| leading)
}

pub(crate) fn size(array: &Array<'_>) -> usize {
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
    let (totaled, is_new) = (totaled(moments), out.is_none());
    let call = RowLosses { rows: array, entries, targets, negate, totaled, is_new };
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
    Ok(Targets { target, first: 0, shape, ignore_index, weight, row_weight })
}

/// Which totals a call of rows computes.
pub(crate) fn totaled(moments: bool) -> Totaled {
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
    let clip = clips(clamp)?;
    let targets = targets(&target, &weight, &row_weight, ignore_index)?;
    row_losses(
        py,
        &probs.array(),
        (Entries::Probabilities { clip }, false),
        targets,
        (out, each, moments),
    )
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
    Ok((slopes.finish()?, curves.finish()?, losses, Partial { totals }))
}
