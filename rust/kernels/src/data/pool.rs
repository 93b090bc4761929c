//! The instruction set and the threads of a call, which the environment or the program chooses.
//!
//! The pool belongs to this crate alone and is built at the first large call. A forked child
//! inherits the memory of its parent's pool but none of its threads, and waiting for them would
//! never end. The pool is therefore kept with the id of the process that built it; a child forgets
//! its parent's pool, because dropping it would wait too, and builds its own. The lock is tried and
//! never waited for: a child may have inherited it locked, and then builds a pool for each call.

use crate::Error;
use crate::data::drive::{Exec, Helpers, Par, Team};
use nll_simd::{Level, in_default_environment};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Below this many classes or elements (two tasks) the calling thread works alone.
pub const USE_POOL: usize = 1 << 17;
/// How long an answer of the system to the number of cores is used. Asking takes 45 µs, as long as a loss of 131072
/// elements: Rust's standard library reads the limits of every control group that the process belongs to.
const CORES_ARE_KNOWN: Duration = Duration::from_secs(1);
/// More threads than this take seconds to start and must be a mistake.
const MOST_THREADS: usize = 1024;

struct Owned {
    process: u32,
    threads: usize,
    /// None where the system refused to start them. It is not asked again for the same number of threads.
    helpers: Option<Arc<Helpers>>,
}

static POOL: Mutex<Option<Owned>> = Mutex::new(None);
/// Why threads were refused, until somebody is told.
static REFUSED: Mutex<Option<Error>> = Mutex::new(None);
/// 0 until `set_num_threads` is called.
static CHOSEN: AtomicUsize = AtomicUsize::new(0);

/// The widest level, or the one that `NLL_FAST_SIMD` names.
pub fn level() -> Result<Level, Error> {
    static CHOSEN: OnceLock<Result<Level, Error>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let available = Level::available();
        let widest = available.last().copied();
        let Ok(name) = std::env::var("NLL_FAST_SIMD") else {
            return widest.ok_or_else(|| Error::Choice("this CPU offers no level".into()));
        };
        available.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|level| level.name()).collect();
            let names = names.join(", ");
            Error::Choice(format!("NLL_FAST_SIMD is {name:?}, but this CPU offers {names}"))
        })
    });
    chosen.clone()
}

/// The number given to `set_num_threads`; else that of the first of three environment variables
/// that is set; else the number of cores that the process may use.
pub fn num_threads() -> Result<usize, Error> {
    Ok(chosen_threads()?.unwrap_or_else(|| cores(Duration::ZERO)))
}

/// The number of cores that the process may use, as the system said at most `age` ago.
fn cores(age: Duration) -> usize {
    static KNOWN: Mutex<Option<(Instant, usize)>> = Mutex::new(None);
    // `try_lock`, because a fork copies a lock that another thread holds, and nobody opens it in the child.
    let known = KNOWN.try_lock().ok().and_then(|known| *known);
    if let Some((_, cores)) = known.filter(|(asked, _)| asked.elapsed() < age) {
        return cores;
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if let Ok(mut known) = KNOWN.try_lock() {
        *known = Some((Instant::now(), cores));
    }
    cores
}

/// The number of threads that the program or the environment chooses, if either does.
fn chosen_threads() -> Result<Option<usize>, Error> {
    let chosen = CHOSEN.load(Ordering::Relaxed);
    if chosen > 0 {
        return Ok(Some(chosen));
    }
    let valid = |n: &usize| (1..=MOST_THREADS).contains(n);
    // Containers pass variables that are not set as empty ones.
    let given = std::env::var("NLL_FAST_NUM_THREADS").ok();
    if let Some(text) = given.filter(|text| !text.trim().is_empty()) {
        return text.trim().parse().ok().filter(valid).map(Some).ok_or_else(|| {
            Error::Choice(format!(
                "NLL_FAST_NUM_THREADS is {text:?}; set it to a whole number from 1 to \
                 {MOST_THREADS} or unset it"
            ))
        });
    }
    // OMP_NUM_THREADS may be a list, one number for each nesting level.
    Ok(["RAYON_NUM_THREADS", "OMP_NUM_THREADS"].into_iter().find_map(|name| {
        std::env::var(name).ok()?.split(',').next()?.trim().parse().ok().filter(valid)
    }))
}

/// Sets how many threads large calls use; 0 goes back to the environment's choice. Threads that
/// were refused are asked for again.
pub fn set_num_threads(threads: usize) {
    CHOSEN.store(threads, Ordering::Relaxed);
    if let Ok(mut guard) = POOL.try_lock() {
        guard.take_if(|owned| owned.helpers.is_none());
    }
}

/// Why the last call worked alone, if the system refused to start its threads; told once.
pub fn refused() -> Option<Error> {
    REFUSED.try_lock().ok()?.take()
}

/// The threads that help, or None if the system refuses to start `threads` of them.
fn helpers(threads: usize) -> Option<Arc<Helpers>> {
    let process = std::process::id();
    let fits = |owned: &&Owned| owned.process == process && owned.threads == threads;
    if let Ok(guard) = POOL.try_lock()
        && let Some(owned) = guard.as_ref().filter(fits)
    {
        return owned.helpers.clone();
    }
    // Built outside the lock, so that the lock is held for nanoseconds only.
    let helpers = match Helpers::start(threads) {
        Ok(helpers) => Some(Arc::new(helpers)),
        Err(error) => {
            if let Ok(mut guard) = REFUSED.try_lock() {
                *guard = Some(error);
            }
            None
        }
    };
    if let Ok(mut guard) = POOL.try_lock() {
        let before = guard.replace(Owned { process, threads, helpers: helpers.clone() });
        drop(guard);
        if let Some(owned) = before
            && owned.process != process
        {
            std::mem::forget(owned.helpers);
        }
    }
    helpers
}

/// Runs `work` on the calling thread, in the default floating-point environment.
pub fn here<R>(work: impl FnOnce(Exec<'_>) -> Result<R, Error>) -> Result<R, Error> {
    let exec = Exec { level: level()?, par: Par::Here };
    in_default_environment(|| work(exec))
}

/// Runs `work` with the pool's help, or alone if it is `refused`, until `interrupted` says to stop.
pub fn team<R>(
    interrupted: &dyn Fn() -> bool,
    work: impl FnOnce(Exec<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let level = level()?;
    let threads = chosen_threads()?.unwrap_or_else(|| cores(CORES_ARE_KNOWN));
    let helpers = if threads > 1 { helpers(threads - 1) } else { None };
    let team = Team { helpers: helpers.as_deref(), interrupted };
    in_default_environment(|| work(Exec { level, par: Par::Team(team) }))
}
