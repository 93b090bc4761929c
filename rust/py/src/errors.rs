//! Errors of the kernels as Python exceptions: their sentences, in classes chosen here.

use nll_kernels::Error;
use pyo3::PyErr;
use pyo3::exceptions::{
    PyIndexError, PyKeyboardInterrupt, PyRuntimeError, PyTypeError, PyValueError,
};

pub(crate) fn raise(error: Error) -> PyErr {
    let sentence = error.to_string();
    match error {
        Error::Target { .. } => PyIndexError::new_err(sentence),
        Error::Interrupted => PyKeyboardInterrupt::new_err(sentence),
        Error::Threads { .. } => PyRuntimeError::new_err(sentence),
        Error::Arguments(_) => PyTypeError::new_err(sentence),
        _ => PyValueError::new_err(sentence),
    }
}
