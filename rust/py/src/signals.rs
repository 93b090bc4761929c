//! How a call runs beside Python: when the GIL is released, and how Ctrl-C is answered.

use crate::errors::raise;
use nll_kernels::Error;
use nll_kernels::data::drive::Exec;
use nll_kernels::data::pool;
use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::Cell;
use std::ffi::CString;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Below this many classes or elements a call keeps the GIL: releasing it costs as much time.
const RELEASE_GIL: usize = 1 << 12;
/// The interval between checks for signals. An answer is late by at most this plus one task.
const TICK: Duration = Duration::from_millis(50);

/// A process, and its main thread, the one that answers signals.
static MAIN: Mutex<(u32, u64)> = Mutex::new((0, 0));

/// Whether this is Python's main thread. In a forked child that is the thread that forked, so it is asked
/// for once in each process. Not at each call: Python code can give up the GIL, and a daemon thread that
/// wants it back while the interpreter ends is ended there.
fn answers_signals(py: Python<'_>) -> PyResult<bool> {
    static GET_IDENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let import = || py.import("_thread")?.getattr("get_ident").map(Bound::unbind);
    let this: u64 = GET_IDENT.get_or_try_init(py, import)?.bind(py).call0()?.extract()?;
    let here = std::process::id();
    let (process, main) = *MAIN.lock().unwrap_or_else(PoisonError::into_inner);
    if process == here {
        return Ok(this == main);
    }
    let thread = py.import("threading")?.call_method0("main_thread")?;
    let main = thread.getattr("ident")?.extract()?;
    *MAIN.lock().unwrap_or_else(PoisonError::into_inner) = (here, main);
    Ok(this == main)
}

/// Where the last panic was and what it said, instead of on stderr.
static PANIC: Mutex<Option<String>> = Mutex::new(None);

/// The process that loaded the library.
static LOADED: OnceLock<u32> = OnceLock::new();

/// Whether this process is a fork of the one that loaded the library.
pub(crate) fn is_forked() -> bool {
    LOADED.get().is_some_and(|&process| process != std::process::id())
}

/// Asks for the main thread, and has panics of this library kept to be raised. It is linked with
/// a copy of Rust's standard library of its own, so the hook sees no others.
pub(crate) fn set_up(py: Python<'_>) -> PyResult<()> {
    std::panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic.to_string());
    }));
    LOADED.get_or_init(std::process::id);
    answers_signals(py).map(|_| ())
}

/// Runs `work`; a panic in it, which is a fault of ours, becomes a `RuntimeError`: an exception that
/// programs expect, unlike PyO3's own.
fn without_panic<R>(work: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        let said = PANIC.lock().unwrap_or_else(PoisonError::into_inner).take();
        Err(Error::Fault(said.unwrap_or_default().replace('\n', " ")))
    })
}

/// Runs `work` on `size` classes or elements: on this thread if they are few, else with the help of
/// the pool while signals are answered.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    size: usize,
    work: impl FnOnce(Exec<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    if size < RELEASE_GIL {
        return without_panic(|| pool::here(work)).map_err(raise);
    }
    if size < pool::USE_POOL {
        return py.detach(|| without_panic(|| pool::here(work))).map_err(raise);
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
        let result = without_panic(|| pool::team(&interrupted, work));
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
