//! Options that Python gives by name.

use crate::errors::{raise, shown};
use nll_calls::choose;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

/// The choice with the name that `given` holds.
pub(crate) fn chosen<T: Copy>(
    argument: &str,
    given: &Bound<'_, PyAny>,
    names: &[(&str, T)],
) -> PyResult<T> {
    // A string that UTF-8 cannot hold is no name that is known.
    let name = given.cast::<PyString>().ok().and_then(|name| name.to_cow().ok());
    if let Some((_, choice)) = names.iter().find(|(known, _)| Some(*known) == name.as_deref()) {
        return Ok(*choice);
    }
    choose(argument, None, &shown(given)?, names).map_err(raise)
}

/// An argument that is an `int` of Python and fits in 64 bits. Anything else, also `True`, is a `TypeError`, upon which
/// `_rows.py` converts it or says what is wrong.
pub(crate) struct Integer(pub(crate) i64);

impl<'py> FromPyObject<'_, 'py> for Integer {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let number = object.is_exact_instance_of::<PyInt>().then(|| object.extract().ok());
        number
            .flatten()
            .map(Integer)
            .ok_or_else(|| PyTypeError::new_err("this is no int of 64 bits"))
    }
}

/// Whether probabilities are clipped before a logarithm is taken.
pub(crate) fn clips(clamp: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    clamp.map_or(Ok(false), |clamp| chosen("clamp", &clamp, &[("eps", true)]))
}
