//! How a call runs beside Python: when the GIL is released, and how Ctrl-C is answered.

use crate::errors::raise;
use nll_kernels::Error;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::pool;
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::Cell;
use std::ffi::CString;
use std::time::{Duration, Instant};

/// Below this many classes or elements a call keeps the GIL: releasing it costs as much time.
const RELEASE_GIL: usize = 1 << 12;
/// The interval between checks for signals. An answer is late by at most this plus one task.
const TICK: Duration = Duration::from_millis(50);

/// Whether this is Python's main thread, the one that answers signals. Not cached: in a forked
/// child, the thread that forked is the main thread.
fn answers_signals(py: Python<'_>) -> PyResult<bool> {
    static THREADING: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let threading = THREADING.get_or_try_init(py, || py.import("threading").map(Bound::unbind))?;
    let threading = threading.bind(py);
    let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
    threading.call_method0(intern!(py, "get_ident"))?.eq(main)
}

/// Runs `work` on `size` classes or elements: on this thread if they are few, else with the help of
/// the pool while signals are answered.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    size: usize,
    work: impl FnOnce(Exec<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    if size < RELEASE_GIL {
        return pool::here(work).map_err(raise);
    }
    if size < pool::USE_POOL {
        return py.detach(|| pool::here(work)).map_err(raise);
    }
    let answers_signals = answers_signals(py)?;
    let (result, signal) = py.detach(|| {
        let (asked, signal) = (Cell::new(Instant::now()), Cell::new(None));
        let interrupted = || {
            // Other threads do not call Python: it may have ended while they, daemons, still run.
            if !answers_signals || asked.get().elapsed() < TICK {
                return false;
            }
            asked.set(Instant::now());
            let raised = Python::attach(|py| py.check_signals()).err();
            let stop = raised.is_some();
            signal.set(raised);
            stop
        };
        let result = pool::team(&interrupted, work);
        (result, signal.into_inner())
    });
    if let Some(refused) = pool::refused() {
        let sentence =
            format!("{refused}; large calls work on one, until set_num_threads is called");
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &CString::new(sentence)?, 1)?;
    }
    match signal {
        Some(signal) => Err(signal),
        None => result.map_err(raise),
    }
}
