//! Work over threads: the only file of this crate that knows rayon.
//!
//! The thread that calls works too, and starts at once; the threads of the pool join it as they wake up, which
//! takes 5 to 50 µs. So a call never takes longer than with one thread. (Two threads, after a rest of 1 ms:
//! 64 Ki classes 105 → 24 µs, 256 Ki 165 → 85 µs, 2 Mi 640 → 400 µs, beside waiting for a pool that does it.)

use crate::Error;
use rayon::ThreadPool;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
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
    /// The threads that help.
    pub helpers: Option<&'a ThreadPool>,
    /// Whether to stop; the calling thread asks after each of its tasks.
    pub interrupted: &'a dyn Fn() -> bool,
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
    tasks: Vec<I>,
    work: impl Fn(I) -> R + Sync,
    merge: impl Fn(R, R) -> R + Sync,
) -> Result<R, Error> {
    let Par::Team(Team { helpers, interrupted }) = par else {
        return Ok(tasks.into_iter().map(work).fold(R::default(), merge));
    };
    let others = tasks.len().saturating_sub(1);
    let queue = Mutex::new(tasks.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let stop = AtomicBool::new(false);
    let take_part = &|between: &dyn Fn()| {
        let mut result = R::default();
        while !stop.load(Ordering::Relaxed)
            && let Some(task) = next()
        {
            result = merge(result, work(task));
            between();
        }
        result
    };
    let lead = || take_part(&|| stop.store(interrupted(), Ordering::Relaxed));
    let gathered = Mutex::new(R::default());
    let gather = &|result: R| {
        let mut all = gathered.lock().unwrap_or_else(PoisonError::into_inner);
        *all = merge(std::mem::take(&mut *all), result);
    };
    match helpers {
        None => gather(lead()),
        Some(pool) => pool.in_place_scope(|scope| {
            for _ in 0..pool.current_num_threads().min(others) {
                // Between two tasks a helper goes to those who called meanwhile: they wait for it.
                let yield_now = || {
                    rayon::yield_now();
                };
                scope.spawn(move |_| gather(take_part(&yield_now)));
            }
            gather(lead());
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
    let tasks = ranges(rows, 1 << 16).collect();
    let work = |rows: Range<usize>| rows.into_iter().find_map(|row| Some((row, find(row)?)));
    let earlier = |a: Option<(usize, R)>, b: Option<(usize, R)>| {
        [a, b].into_iter().flatten().min_by_key(|(row, _)| *row)
    };
    Ok(run(par, tasks, work, earlier)?.map(|(_, found)| found))
}

/// Row ranges of `per` rows each, the last one shorter.
pub fn ranges(rows: usize, per: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(per).map(move |start| start..(start + per).min(rows))
}
