//! Which results of a loss of single observations are wanted.

use crate::choices::chosen;
use crate::reduction::Reduction;
use nll_calls::Hessian;
use pyo3::prelude::*;

/// Which results of a call are wanted.
#[pyclass(frozen, module = "nll_fast._core")]
pub(crate) struct Wanted {
    pub(crate) weight: Option<Py<PyAny>>,
    pub(crate) mask: Option<Py<PyAny>>,
    pub(crate) out: Option<Py<PyAny>>,
    pub(crate) reduction: Reduction,
    /// The arguments by which derivatives are wanted. The derivatives are those of the mean, if that is the reduction, else
    /// those of the sum.
    pub(crate) wrt: Vec<String>,
    pub(crate) hess: Option<Hessian>,
}

#[pymethods]
impl Wanted {
    #[new]
    #[pyo3(signature = (*, reduction, weight=None, mask=None, out=None, wrt=None, hess=None))]
    fn new(
        reduction: Reduction,
        weight: Option<Py<PyAny>>,
        mask: Option<Py<PyAny>>,
        out: Option<Py<PyAny>>,
        wrt: Option<Vec<String>>,
        hess: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let hess = hess.map(|hess| chosen("hess", &hess, &Hessian::NAMES)).transpose()?;
        Ok(Wanted { weight, mask, out, reduction, wrt: wrt.unwrap_or_default(), hess })
    }
}

/// The argument `wanted`: a [`Wanted`], or the name of a reduction for the reduced losses alone.
pub(crate) enum Request<'py> {
    Losses(Wanted),
    All(Bound<'py, Wanted>),
}

impl<'py> FromPyObject<'_, 'py> for Request<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(wanted) = object.cast::<Wanted>() {
            return Ok(Request::All(wanted.to_owned()));
        }
        let (weight, mask, out) = (None, None, None);
        let reduction = object.extract()?;
        Ok(Request::Losses(Wanted { weight, mask, out, reduction, wrt: Vec::new(), hess: None }))
    }
}

impl Request<'_> {
    pub(crate) fn wanted(&self) -> &Wanted {
        match self {
            Request::Losses(wanted) => wanted,
            Request::All(wanted) => wanted.get(),
        }
    }
}
