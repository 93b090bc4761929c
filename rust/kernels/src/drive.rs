//! Work over threads: the only file of this crate that knows rayon.

use crate::Error;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Where work runs.
#[derive(Clone, Copy)]
pub enum Par<'a> {
    /// On the thread that calls.
    Here,
    /// On the rayon pool that the caller is in; `true` in the flag stops it between tasks.
    Pool(&'a AtomicBool),
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
    match par {
        Par::Here => Ok(tasks.into_iter().map(work).fold(R::default(), merge)),
        Par::Pool(stop) => {
            let done = tasks.into_par_iter().with_max_len(1).map(|task| {
                if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(work(task)) }
            });
            done.try_reduce(R::default, |a, b| Ok(merge(a, b)))
        }
    }
}

/// The first row that `find` has something to say about, whatever the thread count.
pub fn first<R: Send>(
    par: Par<'_>,
    rows: usize,
    find: impl Fn(usize) -> Option<R> + Send + Sync,
) -> Option<R> {
    match par {
        Par::Here => (0..rows).find_map(find),
        Par::Pool(_) => (0..rows).into_par_iter().with_min_len(4096).find_map_first(find),
    }
}

/// Row ranges of `per` rows each, the last one shorter.
pub fn ranges(rows: usize, per: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(per).map(move |start| start..(start + per).min(rows))
}
