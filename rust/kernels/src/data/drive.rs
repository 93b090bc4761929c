//! Work over threads: the only file that knows rayon.
//!
//! The thread that calls works too, and starts at once; helpers join as they wake up, which takes 5
//! to 50 µs. A call therefore hardly takes longer than with one thread, where a pool that does all
//! the work while the caller waits would cost that time.
//!
//! A helper belongs to one call at a time. Only idle helpers are asked, so whatever is asked starts
//! at once, and no call waits for another: a call that finds no idle helper works alone and asks
//! again before each of its tasks. (If a waiting helper took work from another call, the calls
//! would nest on its stack.)

use crate::Error;
use nll_simd::{Isa, Kernel, Level, in_default_environment};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// How a call runs: with which instructions, and on which threads.
#[derive(Clone, Copy)]
pub struct Exec<'a> {
    /// The instruction set.
    pub level: Level,
    /// The threads.
    pub par: Par<'a>,
}

/// On which threads a call runs.
#[derive(Clone, Copy)]
pub enum Par<'a> {
    /// On the calling thread, without a look at interrupts.
    Here,
    /// On the calling thread and on those that help.
    Team(Team<'a>),
}

/// Who works beside the calling thread, and what may stop them.
#[derive(Clone, Copy)]
pub struct Team<'a> {
    /// The threads that may help.
    pub helpers: Option<&'a Helpers>,
    /// Whether to stop; the calling thread asks before each of its tasks.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// Threads that help calling threads.
pub struct Helpers {
    pool: ThreadPool,
    idle: AtomicUsize,
}

impl Helpers {
    /// Starts `threads` threads.
    pub fn start(threads: usize) -> Result<Self, Error> {
        let builder =
            ThreadPoolBuilder::new().num_threads(threads).thread_name(|i| format!("nll_fast-{i}"));
        let failed = |error| Error::Threads { threads, reason: format!("{error}") };
        let pool = builder.build().map_err(failed)?;
        Ok(Helpers { pool, idle: AtomicUsize::new(threads) })
    }

    /// An idle helper, if one exists.
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

/// A computation over items (rows or elements) that may be cut into tasks. `O` is its outputs.
pub trait Work<O>: Sync {
    /// What the items add up to.
    type Total: Merge;
    /// Scratch memory that a thread keeps from task to task.
    type Memory: Default + Send;
    /// How many items there are.
    fn count(&self) -> usize;
    /// How many items a task should have.
    fn per_task(&self) -> usize;
    /// Computes the items `range`; `out` holds the places of their results.
    fn task<S: Isa>(
        &self,
        isa: S,
        range: Range<usize>,
        out: O,
        memory: &mut Self::Memory,
    ) -> Self::Total;
}

/// Totals of parts, which merge to the total of the whole in any order.
pub trait Merge: Send {
    /// The total of both.
    #[must_use]
    fn merge(self, other: Self) -> Self;
}

impl Merge for () {
    #[inline]
    fn merge(self, (): ()) {}
}

/// Places of results, a certain number for each item.
pub trait Split: Send + Sized {
    /// Takes off the places of the next `items` items.
    #[must_use]
    fn split_off(&mut self, items: usize) -> Self;
}

/// A task, ready to be compiled for each instruction set.
struct Task<'w, O, W: Work<O>> {
    work: &'w W,
    range: Range<usize>,
    out: O,
    memory: &'w mut W::Memory,
}

impl<O, W: Work<O>> Kernel for Task<'_, O, W> {
    type Output = W::Total;
    #[inline(always)]
    fn run<S: Isa>(self, isa: S) -> W::Total {
        self.work.task(isa, self.range, self.out, self.memory)
    }
}

/// Computes the items `range` of `work`, few ones, on the calling thread.
pub fn task<O, W: Work<O>>(level: Level, work: &W, range: Range<usize>, out: O) -> W::Total {
    level.run(Task { work, range, out, memory: &mut W::Memory::default() })
}

/// Runs all of `work`. This is the one skeleton of every call: a small one is one task on the
/// calling thread, a large one is cut into tasks, whose outputs are pieces of `out`.
pub fn run<O: Split, W: Work<O>>(exec: Exec<'_>, work: &W, out: O) -> Result<W::Total, Error> {
    let (count, per_task) = (work.count(), work.per_task());
    let task = |range, out, memory: &mut _| exec.level.run(Task { work, range, out, memory });
    let Par::Team(team) = exec.par else {
        return Ok(task(0..count, out, &mut W::Memory::default()));
    };
    let places = Mutex::new((0, out));
    let total = Mutex::new(None::<W::Total>);
    // The memory of threads between two tasks. Memory that every task asked the system for anew
    // would come as empty pages, which cost more than the rows of a divergence.
    let idle = Mutex::new(Vec::<W::Memory>::new());
    let next = || {
        let mut guard = lock(&places);
        let start = guard.0;
        let end = count.min(start + per_task);
        guard.0 = end;
        let out = guard.1.split_off(end - start);
        drop(guard);
        if start < end {
            let mut memory = lock(&idle).pop().unwrap_or_default();
            let done = task(start..end, out, &mut memory);
            lock(&idle).push(memory);
            let mut total = lock(&total);
            *total = Some(match total.take() {
                Some(before) => before.merge(done),
                None => done,
            });
        }
        start < end
    };
    team.work(count.div_ceil(per_task.max(1)), &next)?;
    let total = total.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (_, rest) = places.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(total.unwrap_or_else(|| task(0..0, rest, &mut W::Memory::default())))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Team<'_> {
    /// Calls `next`, on all threads, until it has nothing left to do. `tasks` is how often it has.
    fn work(self, tasks: usize, next: &(dyn Fn() -> bool + Sync)) -> Result<(), Error> {
        let stop = AtomicBool::new(false);
        let left = AtomicUsize::new(tasks);
        let step = &|| {
            left.fetch_sub(1, Ordering::Relaxed);
            !stop.load(Ordering::Relaxed) && next()
        };
        let ask = || stop.store((self.interrupted)(), Ordering::Relaxed);
        match self.helpers {
            None => {
                ask();
                while step() {
                    ask();
                }
            }
            Some(helpers) => helpers.pool.in_place_scope(|scope| {
                let lead = || {
                    ask();
                    let others = (left.load(Ordering::Relaxed) as isize - 1).max(0) as usize;
                    for taken in std::iter::from_fn(|| helpers.take()).take(others) {
                        scope.spawn(move |_| {
                            let _idle_afterwards = taken;
                            in_default_environment(|| while step() {});
                        });
                    }
                };
                lead();
                while step() {
                    lead();
                }
            }),
        }
        if stop.into_inner() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// How many rows a task has: a 256th of them, but between 64 Ki and 1 Mi classes, in multiples of
/// `least`. A task is long beside its scheduling and its totals (2 µs) and short beside the answer
/// to Ctrl-C, and there are enough of them for every thread.
pub(crate) fn rows_per_task(rows: usize, classes: usize, least: usize) -> usize {
    let [low, high] = [1 << 16, 1 << 20].map(|size: usize| (size / classes.max(1)).max(1));
    (rows / 256).clamp(low, high).min(rows.max(1)).next_multiple_of(least)
}

/// Ranges of `size` items each, the last one shorter.
#[inline]
pub fn ranges(range: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = range.end;
    range.step_by(size).map(move |start| start..(start + size).min(end))
}

/// The first of `count` items that are searched for; `find` searches in a range of them.
pub fn first(
    exec: Exec<'_>,
    count: usize,
    find: impl Fn(Range<usize>) -> Option<usize> + Sync,
) -> Result<Option<usize>, Error> {
    struct First(Option<usize>);
    impl Merge for First {
        fn merge(self, other: Self) -> Self {
            First([self.0, other.0].into_iter().flatten().min())
        }
    }
    struct Search<T> {
        count: usize,
        find: T,
    }
    impl<T: Fn(Range<usize>) -> Option<usize> + Sync> Work<()> for Search<T> {
        type Total = First;
        type Memory = ();
        fn count(&self) -> usize {
            self.count
        }
        fn per_task(&self) -> usize {
            1 << 16
        }
        #[inline(always)]
        fn task<S: Isa>(&self, _: S, range: Range<usize>, (): (), (): &mut ()) -> First {
            First((self.find)(range))
        }
    }
    Ok(run(exec, &Search { count, find }, ())?.0)
}

impl Split for () {
    #[inline]
    fn split_off(&mut self, _items: usize) {}
}

impl<T: Split, const N: usize> Split for [T; N] {
    fn split_off(&mut self, items: usize) -> Self {
        self.each_mut().map(|places| places.split_off(items))
    }
}
