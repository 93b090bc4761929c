//! The thread pool: ours alone, built at the first large call, rebuilt in a forked child.
//!
//! A forked child inherits the memory of its parent's pool but none of its threads; waiting for it would
//! hang for ever. So the pool is kept with the id of the process that built it, and a child forgets it
//! (dropping would wait too) and builds its own. The lock around it is only ever tried: a child may have
//! inherited it locked, and then works with a pool of its own for that call.

use nll_kernels::Error;
use nll_kernels::drive::{Helpers, Par, Team};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Below this many logits a call keeps the GIL: letting go costs about as much as the work.
const RELEASE_GIL: usize = 1 << 12;
/// Below this many logits, two tasks, the calling thread works alone.
const USE_POOL: usize = 1 << 17;
/// More threads than this take seconds to start, and are a mistake.
const MOST_THREADS: usize = 1024;
/// How long a signal waits for an answer, beside the length of one task.
const TICK: Duration = Duration::from_millis(50);

struct Owned {
    process: u32,
    threads: usize,
    helpers: Arc<Helpers>,
}

static POOL: Mutex<Option<Owned>> = Mutex::new(None);
/// 0 until `set_num_threads` is called.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

/// `set_num_threads`, else the first of four environment variables that is set, else what the OS grants.
pub(crate) fn num_threads() -> PyResult<usize> {
    let chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen > 0 {
        return Ok(chosen);
    }
    if let Ok(text) = std::env::var("NLL_FAST_NUM_THREADS") {
        return match text.trim().parse() {
            Ok(n) if (1..=MOST_THREADS).contains(&n) => Ok(n),
            _ => Err(PyValueError::new_err(format!(
                "NLL_FAST_NUM_THREADS is {text:?}; set it to a whole number from 1 to {MOST_THREADS} or unset it"
            ))),
        };
    }
    // OMP_NUM_THREADS may be a list, one number for each nesting level.
    let foreign = ["RAYON_NUM_THREADS", "OMP_NUM_THREADS"].into_iter().find_map(|name| {
        std::env::var(name)
            .ok()?
            .split(',')
            .next()?
            .trim()
            .parse()
            .ok()
            .filter(|n| (1..=MOST_THREADS).contains(n))
    });
    Ok(foreign.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)))
}

pub(crate) fn set_num_threads(threads: usize) {
    CHOSEN.store(threads, Ordering::Relaxed);
}

fn helpers(threads: usize) -> PyResult<Arc<Helpers>> {
    let process = std::process::id();
    let fits = |owned: &&Owned| owned.process == process && owned.threads == threads;
    if let Ok(guard) = POOL.try_lock()
        && let Some(owned) = guard.as_ref().filter(fits)
    {
        return Ok(owned.helpers.clone());
    }
    // Built outside the lock, so that the lock is held for nanoseconds only.
    let helpers = Helpers::start(threads)
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start {error}")))?;
    let helpers = Arc::new(helpers);
    if let Ok(mut guard) = POOL.try_lock() {
        let before = guard.replace(Owned { process, threads, helpers: helpers.clone() });
        drop(guard);
        if let Some(owned) = before
            && owned.process != process
        {
            std::mem::forget(owned.helpers);
        }
    }
    Ok(helpers)
}

/// Whether this is Python's main thread, the one that answers signals. Asked anew each time: in a forked child it is
/// the thread that forked.
fn answers_signals(py: Python<'_>) -> PyResult<bool> {
    static THREADING: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let threading = THREADING.get_or_try_init(py, || py.import("threading").map(Bound::unbind))?;
    let threading = threading.bind(py);
    let main = threading.call_method0(intern!(py, "main_thread"))?.getattr(intern!(py, "ident"))?;
    threading.call_method0(intern!(py, "get_ident"))?.eq(main)
}

/// Runs `work` over `size` logits: on this thread while it is small, else with the pool's help, answering
/// signals.
pub(crate) fn run<R: Send>(
    py: Python<'_>,
    size: usize,
    work: impl FnOnce(Par<'_>) -> Result<R, Error> + Send,
) -> PyResult<R> {
    if size < RELEASE_GIL {
        return work(Par::Here).map_err(crate::errors::raise);
    }
    if size < USE_POOL {
        return py.detach(|| work(Par::Here)).map_err(crate::errors::raise);
    }
    let threads = num_threads()?;
    let helpers = if threads > 1 { Some(helpers(threads - 1)?) } else { None };
    let answers_signals = answers_signals(py)?;
    let (result, signal) = py.detach(|| {
        let (asked, signal) = (Cell::new(Instant::now()), Cell::new(None));
        let interrupted = || {
            // Other threads leave Python alone: it may have ended while they, as daemons, go on.
            if !answers_signals || asked.get().elapsed() < TICK {
                return false;
            }
            asked.set(Instant::now());
            let raised = Python::attach(|py| py.check_signals()).err();
            let stop = raised.is_some();
            signal.set(raised);
            stop
        };
        let team = Team { helpers: helpers.as_deref(), interrupted: &interrupted };
        let result = work(Par::Team(team));
        (result, signal.into_inner())
    });
    match signal {
        Some(signal) => Err(signal),
        None => result.map_err(crate::errors::raise),
    }
}
