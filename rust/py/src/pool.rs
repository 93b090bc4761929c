//! The thread pool: ours alone, built at the first large call, rebuilt in a forked child.
//!
//! A forked child inherits the memory of its parent's pool but none of its threads; waiting for it would
//! hang for ever. So the pool is kept with the id of the process that built it, and a child forgets it
//! (dropping would wait too) and builds its own. The lock around it is only ever tried: a child may have
//! inherited it locked, and then works with a pool of its own for that call.

use nll_kernels::Error;
use nll_kernels::drive::Par;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Below this many logits a call keeps the GIL: letting go costs about as much as the work.
const RELEASE_GIL: usize = 1 << 12;
/// Below this many logits the calling thread works alone: waking a pool takes some ten microseconds.
const USE_POOL: usize = 1 << 16;
/// More threads than this take seconds to start, and are a mistake.
const MOST_THREADS: usize = 1024;
/// How long a signal waits for an answer, beside the length of one task.
const TICK: Duration = Duration::from_millis(50);

struct Owned {
    process: u32,
    threads: usize,
    pool: Arc<ThreadPool>,
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

fn build(threads: usize) -> PyResult<Arc<ThreadPool>> {
    let builder =
        ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("nll_fast-{i}"));
    builder.build().map(Arc::new).map_err(|error| {
        PyRuntimeError::new_err(format!("cannot start {threads} threads: {error}"))
    })
}

fn pool() -> PyResult<Arc<ThreadPool>> {
    let (process, threads) = (std::process::id(), num_threads()?);
    let fits = |owned: &&Owned| owned.process == process && owned.threads == threads;
    if let Ok(guard) = POOL.try_lock()
        && let Some(owned) = guard.as_ref().filter(fits)
    {
        return Ok(owned.pool.clone());
    }
    // Built outside the lock, so that the lock is held for nanoseconds only.
    let pool = build(threads)?;
    if let Ok(mut guard) = POOL.try_lock() {
        let before = guard.replace(Owned { process, threads, pool: pool.clone() });
        drop(guard);
        if let Some(owned) = before
            && owned.process != process
        {
            std::mem::forget(owned.pool);
        }
    }
    Ok(pool)
}

/// Runs `work` over `size` logits: here while it is small, else on the pool while this thread waits for
/// it and answers signals.
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
    let pool = pool()?;
    let stop = AtomicBool::new(false);
    let (done, finished) = (Mutex::new(None), Condvar::new());
    let signal = py.detach(|| {
        pool.in_place_scope(|scope| {
            scope.spawn(|_| {
                let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                    work(Par::Pool(&stop))
                }));
                if let Ok(mut slot) = done.lock() {
                    *slot = Some(result);
                }
                finished.notify_all();
            });
            let mut signal = Ok(());
            let Ok(mut slot) = done.lock() else { return signal };
            while slot.is_none() {
                let Ok((guard, wait)) = finished.wait_timeout(slot, TICK) else { return signal };
                slot = guard;
                if slot.is_none() && wait.timed_out() && signal.is_ok() {
                    drop(slot);
                    signal = Python::attach(|py| py.check_signals());
                    stop.store(signal.is_err(), Ordering::Relaxed);
                    let Ok(guard) = done.lock() else { return signal };
                    slot = guard;
                }
            }
            signal
        })
    });
    signal?;
    match done.into_inner().ok().flatten() {
        Some(Ok(result)) => result.map_err(crate::errors::raise),
        Some(Err(panic)) => std::panic::resume_unwind(panic),
        None => Err(PyRuntimeError::new_err("the worker ended without a result")),
    }
}
