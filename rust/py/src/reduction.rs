//! What the user gets of the losses of a call and of their totals.

use crate::outputs::Given;
use crate::totals::Partial;
use nll_kernels::data::totals::{Totaled, Totals};
use numpy::{PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyFloat, PyString};

/// The argument `reduction`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reduction {
    /// "mean": the sum of the losses, divided by that of their weights.
    Mean,
    /// "sum": the sum of the losses.
    Sum,
    /// "none": each loss.
    Each,
    /// "partial": the totals of the losses, as a [`Partial`].
    Partial,
}

impl<'py> FromPyObject<'_, 'py> for Reduction {
    type Error = PyErr;

    /// A name. Anything else is a `TypeError`, upon which `check_reduction` in `_rows.py` says what is wrong.
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let name = object.cast::<PyString>().ok();
        match name.as_ref().and_then(|name| name.to_str().ok()) {
            Some("mean") => Ok(Reduction::Mean),
            Some("sum") => Ok(Reduction::Sum),
            Some("none") => Ok(Reduction::Each),
            Some("partial") => Ok(Reduction::Partial),
            _ => Err(PyTypeError::new_err("no reduction has this name")),
        }
    }
}

impl Reduction {
    pub(crate) fn wants_each(self) -> bool {
        self == Reduction::Each
    }

    /// Which totals a call computes.
    pub(crate) fn totaled(self) -> Totaled {
        if self == Reduction::Partial { Totaled::Moments } else { Totaled::Sum }
    }
}

/// The reduction, and what the mean of no losses is.
pub(crate) type Reducing = (Reduction, f64);

/// What the user gets of the losses, if they were wanted, and of their totals. A loss without axes is a number, unless it
/// is in the user's array.
pub(crate) fn reduced<'py>(
    py: Python<'py>,
    (reduction, empty_mean): Reducing,
    (each, is_given): (Given<'py>, bool),
    totals: Totals,
) -> PyResult<Bound<'py, PyAny>> {
    let number = |x: f64| Ok(PyFloat::new(py, x).into_any());
    match reduction {
        Reduction::Mean if totals.count == 0 => number(empty_mean),
        Reduction::Mean => number(Partial { totals }.mean()),
        Reduction::Sum => number(Partial { totals }.sum()),
        Reduction::Partial => Ok(Bound::new(py, Partial { totals })?.into_any()),
        Reduction::Each => {
            let Some(each) = each else { return Ok(py.None().into_bound(py)) };
            let is_number = !is_given && each.cast::<PyUntypedArray>()?.ndim() == 0;
            if is_number { each.get_item(()) } else { Ok(each) }
        }
    }
}
