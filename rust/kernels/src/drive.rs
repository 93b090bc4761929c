//! Work over threads: the only file that knows rayon.
//!
//! The thread that calls works too, and starts at once; helpers join it as they wake up, which takes 5 to 50 µs. So
//! a call hardly takes longer than with one thread. (Two threads, after a rest of 1 ms: 64 Ki classes 105 → 24 µs,
//! 256 Ki 165 → 85 µs, 2 Mi 640 → 400 µs, beside waiting for a pool that does it.)
//!
//! A helper belongs to one call at a time. Only one that is idle is asked for help, so what is asked starts, and
//! no call waits for another's: a call that finds no helper idle works alone, and asks again after each task.
//! (Helpers that went from call to call while waiting stood on top of each other's stacks.)

use crate::Error;
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Where work runs.
#[derive(Clone, Copy)]
pub enum Par<'a> {
    /// On the thread that calls, which is not to be interrupted.
    Here,
    /// On the thread that calls and on those that help it.
    Team(Team<'a>),
}

/// Who works beside the thread that calls, and what may stop them.
#[derive(Clone, Copy)]
pub struct Team<'a> {
    /// The threads that may help.
    pub helpers: Option<&'a Helpers>,
    /// Whether to stop; the calling thread asks after each of its tasks.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// Threads that help those that call.
pub struct Helpers {
    pool: ThreadPool,
    idle: AtomicUsize,
}

impl Helpers {
    /// Starts so many threads; an error is a sentence's end.
    pub fn start(threads: usize) -> Result<Self, String> {
        let builder =
            ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("nll_fast-{i}"));
        let pool = builder.build().map_err(|error| format!("{threads} threads: {error}"))?;
        Ok(Helpers { pool, idle: AtomicUsize::new(threads) })
    }

    /// An idle helper, if there is one.
    fn take(&self) -> Option<Taken<'_>> {
        let less = |idle: usize| idle.checked_sub(1);
        self.idle.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Taken(self))
    }
}

/// A helper that is idle again when this is dropped.
struct Taken<'a>(&'a Helpers);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.idle.fetch_add(1, Ordering::Relaxed);
    }
}

/// How many rows a task has: a 256th of them, but between 64 Ki and 1 Mi classes, in multiples of the rows
/// that must be read `together`. A task is long beside its scheduling and its totals (2 µs), short beside
/// Ctrl-C, and there are enough of them for every thread.
pub fn rows_per_task(rows: usize, classes: usize, together: usize) -> usize {
    let [least, most] = [1 << 16, 1 << 20].map(|size: usize| (size / classes.max(1)).max(1));
    (rows / 256).clamp(least, most).min(rows.max(1)).next_multiple_of(together)
}

/// Runs `work` on every task and merges what it returns. The merge must not care about order.
pub fn run<I: Send, R: Default + Send>(
    par: Par<'_>,
    tasks: impl Iterator<Item = I> + Send,
    work: impl Fn(I) -> R + Sync,
    merge: impl Fn(R, R) -> R + Sync,
) -> Result<R, Error> {
    let Par::Team(Team { helpers, interrupted }) = par else {
        return Ok(tasks.map(work).fold(R::default(), merge));
    };
    let queue = Mutex::new(tasks);
    let locked = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    let next = || locked().next();
    let stop = AtomicBool::new(false);
    let take_part = &|before_each: &dyn Fn()| {
        let mut result = R::default();
        loop {
            before_each();
            if stop.load(Ordering::Relaxed) {
                return result;
            }
            let Some(task) = next() else { return result };
            result = merge(result, work(task));
        }
    };
    let gathered = Mutex::new(R::default());
    let gather = &|result: R| {
        let mut all = gathered.lock().unwrap_or_else(PoisonError::into_inner);
        *all = merge(std::mem::take(&mut *all), result);
    };
    let look_up = || stop.store(interrupted(), Ordering::Relaxed);
    match helpers {
        None => gather(take_part(&look_up)),
        Some(helpers) => helpers.pool.in_place_scope(|scope| {
            let lead = || {
                look_up();
                let others = locked().size_hint().1.map_or(0, |left| left.saturating_sub(1));
                for taken in std::iter::from_fn(|| helpers.take()).take(others) {
                    scope.spawn(move |_| {
                        gather(take_part(&|| ()));
                        drop(taken);
                    });
                }
            };
            gather(take_part(&lead));
        }),
    }
    if stop.into_inner() {
        return Err(Error::Interrupted);
    }
    Ok(gathered.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// The first row that `find` has something to say about, whatever the thread count.
pub fn first<R: Send>(
    par: Par<'_>,
    rows: usize,
    find: impl Fn(usize) -> Option<R> + Sync,
) -> Result<Option<R>, Error> {
    let tasks = ranges(rows, 1 << 16);
    let work = |rows: Range<usize>| rows.into_iter().find_map(|row| Some((row, find(row)?)));
    let earlier = |a: Option<(usize, R)>, b: Option<(usize, R)>| {
        [a, b].into_iter().flatten().min_by_key(|(row, _)| *row)
    };
    Ok(run(par, tasks, work, earlier)?.map(|(_, found)| found))
}

/// Row ranges of `per` rows each, the last one shorter.
pub fn ranges(rows: usize, per: usize) -> impl Iterator<Item = Range<usize>> + Send + use<> {
    (0..rows).step_by(per).map(move |start| start..(start + per).min(rows))
}
