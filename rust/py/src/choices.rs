//! Options that Python gives by name.

use crate::errors::{raise, shown};
use nll_calls::choose;
use pyo3::prelude::*;
use pyo3::types::PyString;

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

/// Whether probabilities are clipped before a logarithm is taken.
pub(crate) fn clips(clamp: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    clamp.map_or(Ok(false), |clamp| chosen("clamp", &clamp, &[("eps", true)]))
}
