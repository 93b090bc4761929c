//! Prefetches and non-temporal stores, for arrays that are larger than the caches.
//!
//! Nothing here affects results, only speed:
//!
//! 1. [`Prefetch`] requests the cache lines that a loop will read next. The hardware prefetcher
//!    does so too. AMD's keeps up with a loop that reads steadily, and more requests cost time.
//!    Intel's falls behind a loop that computes, and stops at the end of each page. A loop that
//!    converts its elements reads in bursts, one block at a time, and no hardware prefetcher
//!    continues between two bursts, so such a loop prefetches on every CPU. Rows behind a gap, and single entries of
//!    rows, are fetched into L2: after a request for L1 a Zen 4 seems to fetch neighbouring lines too, which nobody
//!    needs.
//! 2. [`NonTemporal`] stores bypass the caches. A plain store to a line that is not cached first
//!    reads the line from memory, although all of it will be overwritten.
//!
//! Every x86-64 CPU has both. On other architectures stable Rust offers neither, and plain loads
//! and stores are used. The measurements are in `docs/performance.md`.

use crate::float::Float;
use core::any::TypeId;
use core::marker::PhantomData;

/// The size of a cache line in bytes, by its short name.
const LINE: usize = Prefetch::LINE;

/// The position of a loop in an array that it reads from start to end.
#[derive(Clone, Copy, Debug)]
pub struct Prefetch {
    /// The address of the element that the loop reads next.
    next: *const u8,
    /// The size of an element in bytes, or 0 if there is nothing to fetch.
    size: usize,
    ahead: Ahead,
}

/// What a loop fetches while it reads steadily.
///
/// As large as the fields beside it, so that a `Prefetch` has no gap at its end. LLVM copies a gap by loads that overlap two
/// stores, and such a load waits until both are in the cache.
#[derive(Clone, Copy, Debug)]
#[repr(usize)]
enum Ahead {
    /// Nothing: the CPU does.
    Nothing,
    /// What it reads some KiB later.
    Same,
    /// The elements at `next`, behind a gap, where the loop after this one begins: as many as it reads.
    Elsewhere,
}

impl Prefetch {
    /// The size of a cache line in bytes.
    pub const LINE: usize = 64;

    /// No prefetch.
    pub const NOTHING: Prefetch =
        Prefetch { next: core::ptr::null(), size: 0, ahead: Ahead::Nothing };

    /// For a loop that reads `elements`, then the memory behind them, and computes in `F`.
    /// `is_short`: it computes so little that a block is read in a burst.
    #[inline(always)]
    pub fn new<F: 'static, T: 'static>(elements: &[T], is_short: bool) -> Self {
        let converts = TypeId::of::<T>() != TypeId::of::<F>();
        let is_fetched = !converts && hardware_prefetch_suffices(is_short);
        let ahead = if is_fetched { Ahead::Nothing } else { Ahead::Same };
        Prefetch { next: elements.as_ptr().cast(), size: size_of::<T>(), ahead }
    }

    /// For a loop that reads `elements` and what lies at other places in one burst, before it
    /// computes: no hardware prefetcher continues between two bursts.
    #[inline(always)]
    pub fn burst<T>(elements: &[T]) -> Self {
        Prefetch { next: elements.as_ptr().cast(), size: size_of::<T>(), ahead: Ahead::Same }
    }

    /// For `elements` that lie behind a gap. Each step of the loop before them fetches as many as it reads itself.
    #[inline(always)]
    pub fn elsewhere<T>(elements: &[T]) -> Self {
        Prefetch { ahead: Ahead::Elsewhere, ..Prefetch::burst(elements) }
    }

    /// Whether the lines lie behind a gap and are fetched into L2. Elements of at most 16 bits are fetched into L1: they are
    /// converted in a burst, which would wait for L2.
    #[inline(always)]
    fn is_far(&self) -> bool {
        matches!(self.ahead, Ahead::Elsewhere) && self.size > size_of::<u16>()
    }

    /// Fetches `count` elements from number `start` on, which the loop will read in a burst, into L1 if they are `near` and
    /// not behind a gap, else into L2.
    #[inline(always)]
    pub fn fetch(mut self, start: usize, count: usize, near: bool) {
        self.next = self.next.wrapping_add(start * self.size);
        if near && !self.is_far() {
            self.lines(count, fetch_line::<1>);
        } else {
            self.lines(count, fetch_line::<2>);
        }
    }

    /// Fetches the cache line of element `index`, which may lie outside the array, into L2, if it is `wanted`. If not, the
    /// line of this `Prefetch` is requested, which L1 holds: the CPU would mispredict a branch.
    #[inline(always)]
    pub fn fetch_at(&self, index: usize, wanted: bool) {
        let line = self.next.wrapping_add(index.wrapping_mul(self.size));
        fetch_line::<2>(if wanted { line } else { core::ptr::from_ref(self).cast() });
    }

    /// Fetches the `count` elements from number `start` + `distance` on into L1, or for [`Prefetch::elsewhere`] those
    /// from number `start` on. Rows behind gaps go to L1 as well, because the loops that call this spend so much time on
    /// arithmetic that reading the gaps too does not delay them.
    #[inline(always)]
    pub fn fetch_behind(mut self, start: usize, distance: usize, count: usize) {
        let distance = if matches!(self.ahead, Ahead::Elsewhere) { 0 } else { distance };
        self.next = self.next.wrapping_add((start + distance) * self.size);
        self.lines(count, fetch_line::<1>);
    }

    /// Call before the loop reads the next `count` elements, if it reads several arrays at once.
    #[inline(always)]
    pub fn step(&mut self, count: usize) {
        match self.ahead {
            Ahead::Nothing => {}
            Ahead::Same => self.lines(count, |line| fetch_line::<1>(line.wrapping_add(2048))),
            Ahead::Elsewhere => self.elsewhere_lines(count),
        }
    }

    /// [`Prefetch::step`] for a loop that reads one array. The CPU limits the number of requests in
    /// flight; one array leaves enough of them for a second, more distant request per line.
    #[inline(always)]
    pub fn step_alone(&mut self, count: usize) {
        match self.ahead {
            Ahead::Nothing => {}
            Ahead::Same => self.lines(count, |line| {
                fetch_line::<1>(line.wrapping_add(1024));
                fetch_line::<2>(line.wrapping_add(4096));
            }),
            Ahead::Elsewhere => self.elsewhere_lines(count),
        }
    }

    /// Fetches the next `count` elements, and a cache line more, because they begin anywhere in one.
    #[inline(always)]
    fn elsewhere_lines(&mut self, count: usize) {
        let (next, count_and_line) = (*self, count + LINE / self.size.max(1));
        next.fetch(0, count_and_line, true);
        self.next = self.next.wrapping_add(count * self.size);
    }

    /// Calls `fetch` with the address of each cache line in the next `count` elements.
    #[inline(always)]
    fn lines(&mut self, count: usize, fetch: impl Fn(*const u8)) {
        let bytes = count * self.size;
        for line in 0..bytes / LINE {
            fetch(self.next.wrapping_add(line * LINE));
        }
        self.next = self.next.wrapping_add(bytes);
    }
}

/// Whether the hardware prefetcher keeps up with a loop that reads steadily, as AMD's does. With a short
/// loop that of Zen 4 keeps up, and that of Zen 5 does not.
#[inline(always)]
fn hardware_prefetch_suffices(is_short: bool) -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_amd() && !(is_short && has_vp2intersect())
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = is_short;
        true
    }
}

/// Whether a CPU with AVX-512 is a Zen 4, or a Zen 5 whose VP2INTERSECT a virtual machine hides.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(crate) fn is_zen_4() -> bool {
    is_amd() && !has_vp2intersect()
}

/// Whether the CPU is one of AMD's: no Intel CPU has SSE4a.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn is_amd() -> bool {
    std::arch::is_x86_feature_detected!("sse4a")
}

/// Of AMD's CPUs with AVX-512, Zen 5 has it, and Zen 4 has not.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn has_vp2intersect() -> bool {
    std::arch::is_x86_feature_detected!("avx512vp2intersect")
}

/// Requests the cache line at `address`, which may lie outside the array, into L1 (`CACHE` is 1) or
/// L2 (`CACHE` is 2), which can have more requests in flight.
#[inline(always)]
fn fetch_line<const CACHE: u8>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch never faults, whatever the address, and changes no memory.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _MM_HINT_T1, _mm_prefetch};
        if CACHE == 1 {
            _mm_prefetch::<_MM_HINT_T0>(address.cast());
        } else {
            _mm_prefetch::<_MM_HINT_T1>(address.cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// Permission to issue non-temporal stores from one thread, during [`with_non_temporal`].
///
/// Other threads may read the stored data only after a fence. Therefore every destination is
/// borrowed for `'scope`, which ends after the fence (compare [`std::thread::scope`]).
#[derive(Debug)]
pub struct NonTemporal<'scope, 'env: 'scope> {
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
    /// Makes the type `!Send`, because the fence orders the stores of its own thread only.
    thread: PhantomData<*const ()>,
}

/// Runs `f`, which may issue non-temporal stores, and then a fence.
#[inline(always)]
pub fn with_non_temporal<'env, R>(
    f: impl for<'scope> FnOnce(&'scope NonTemporal<'scope, 'env>) -> R,
) -> R {
    struct Fence;
    impl Drop for Fence {
        #[inline(always)]
        fn drop(&mut self) {
            // SAFETY: every x86-64 CPU has the instruction.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                core::arch::x86_64::_mm_sfence();
            }
        }
    }
    // The destructor runs if `f` panics, too.
    let _fence = Fence;
    f(&NonTemporal { scope: PhantomData, env: PhantomData, thread: PhantomData })
}

impl<'scope> NonTemporal<'scope, '_> {
    /// Copies `from` to `to`, which has the same length.
    #[inline(always)]
    pub fn copy<F: Float>(&self, to: &'scope mut [F], from: &[F]) {
        // The stores below copy whole lines, so numbers must fill a line without a rest.
        const { assert!(LINE.is_multiple_of(size_of::<F>())) };
        let per_line = LINE / size_of::<F>();
        // The first elements share a cache line with a neighbouring slice, which may be written by
        // plain stores. Only whole lines are stored past the caches.
        let first = to.as_ptr().align_offset(LINE).min(to.len());
        let whole = (to.len() - first) / per_line * per_line;
        let (to_first, to) = to.split_at_mut(first);
        let (to_whole, to_last) = to.split_at_mut(whole);
        let (from_first, from) = from.split_at(first);
        let (from_whole, from_last) = from.split_at(whole);
        // The store buffer drains in order. Without this prefetch all later stores would wait until
        // the last line, which is written by plain stores, has been read from memory.
        fetch_line::<1>(to_last.as_ptr().cast());
        to_first.copy_from_slice(from_first);
        #[cfg(target_arch = "x86_64")]
        for (to, from) in to_whole.chunks_exact_mut(per_line).zip(from_whole.chunks_exact(per_line))
        {
            // SAFETY: `Float` is sealed, so F is f32 or f64, and both chunks are 64 bytes without
            // padding. `to` starts at a multiple of 64 bytes; the store requires 16. It stays
            // borrowed until `with_non_temporal` has issued the fence on this thread.
            unsafe {
                use core::arch::x86_64::{_mm_loadu_ps, _mm_stream_ps};
                let (to, from) = (to.as_mut_ptr().cast::<f32>(), from.as_ptr().cast::<f32>());
                for at in [0, 4, 8, 12] {
                    _mm_stream_ps(to.add(at), _mm_loadu_ps(from.add(at)));
                }
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        to_whole.copy_from_slice(from_whole);
        to_last.copy_from_slice(from_last);
    }
}
