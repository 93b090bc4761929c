//! Errors of the kernels as Python exceptions: their sentences, in classes chosen here; and values as
//! sentences show them.

use nll_kernels::Error;
use pyo3::exceptions::{
    PyIndexError, PyKeyboardInterrupt, PyMemoryError, PyRuntimeError, PyTypeError, PyValueError,
};
use pyo3::prelude::*;

pub(crate) fn raise(error: Error) -> PyErr {
    let sentence = error.to_string();
    match error {
        Error::Target { .. } => PyIndexError::new_err(sentence),
        Error::Interrupted => PyKeyboardInterrupt::new_err(sentence),
        Error::Threads { .. } | Error::Fault(_) => PyRuntimeError::new_err(sentence),
        Error::Memory { .. } => PyMemoryError::new_err(sentence),
        Error::Arguments(_) => PyTypeError::new_err(sentence),
        _ => PyValueError::new_err(sentence),
    }
}

/// A value in a sentence, on one line and not too long.
pub(crate) fn shown(value: &Bound<'_, PyAny>) -> PyResult<String> {
    let options = value.py().import("nll_fast._options")?;
    options.getattr("shown")?.call1((value,))?.extract()
}
