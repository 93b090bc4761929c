//! Where the results of rows go, and what all functions of rows share.

use crate::arrays::{Output, places};
use crate::signals::run;
use nll_kernels::Error;
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::out::Out;
use nll_kernels::data::per_class::PerClass;
use numpy::{PyReadonlyArray1, PyReadonlyArrayDyn};
use pyo3::prelude::*;

pub(crate) type Weight<'py> = Option<PyReadonlyArray1<'py, f64>>;
pub(crate) type RowWeight<'py> = Option<PyReadonlyArrayDyn<'py, f64>>;
pub(crate) type Given<'py> = Option<Bound<'py, PyAny>>;

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
    pub(crate) fn new(py: Python<'py>, logits: &Array<'_>, out: Given<'py>) -> PyResult<Self> {
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

    /// New arrays for the gradient and the second derivatives, or `out` for the gradient.
    pub(crate) fn slopes_and_curves(
        py: Python<'py>,
        logits: &Array<'_>,
        out: Given<'py>,
    ) -> PyResult<[Self; 2]> {
        if out.is_some() {
            return Ok([Self::new(py, logits, out)?, Self::new(py, logits, None)?]);
        }
        let ((order, inner), shape) = (PerClass::layout(logits), logits.shape());
        let double = logits.is_double() == Some(true);
        let classes = shape.last().copied().unwrap_or(1);
        let outputs = Output::several(py, 2, shape, &order, double)?;
        let mut outputs =
            outputs.into_iter().map(|o| PerClassOutput { output: Some(o), classes, inner });
        Ok([outputs.next(), outputs.next()].map(|output| output.expect("two outputs")))
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
