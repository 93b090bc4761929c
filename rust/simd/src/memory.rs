//! Reading and writing arrays that no cache holds.
//!
//! A loop over memory needs nothing of this to be right. It is as fast as memory by two means:
//!
//! 1. **Asking for what comes next**, [`Prefetch`]. The CPU guesses it. AMD's guesses keep up with a loop that reads
//!    steadily, and asking besides makes it slower (two cores of Zen 4: cross entropy of 128256 classes 3.7 → 4.7 ms,
//!    Gaussian 11.6 → 16). Intel's are too few while we compute, and end at the end of a page (two of a Xeon with 300
//!    MiB of L3: cross entropy 8.4 → 6.0 ms, of 1000 classes 12.5 → 6.8, BCE no slower; a prefetch that bypasses L2
//!    makes them slower). What is converted is read a block at a time, between which no CPU goes on reading by itself
//!    (BCE of bfloat16 on Zen 4: 13.5 → 10.4 ms).
//! 2. **Writing past the caches**, [`NonTemporal`]. A plain store first reads the cache line that it will overwrite. (Two
//!    cores of Granite Rapids write 18 GB/s by plain stores, by `memcpy` of blocks, and by `rep movsb`, but 46 GB/s past the
//!    caches.)
//!
//! Every x86-64 CPU has these instructions. Elsewhere stable Rust lacks them, and plain loads and stores remain.

use crate::real::Real;
use core::any::TypeId;
use core::marker::PhantomData;

/// The bytes of a cache line.
const LINE: usize = 64;

/// Where a loop reads.
#[derive(Clone, Copy, Debug)]
pub struct Prefetch {
    next: *const u8,
    size: usize,
}

impl Prefetch {
    /// A loop that needs nothing.
    pub const NOTHING: Prefetch = Prefetch { next: core::ptr::null(), size: 0 };

    /// A loop that reads these elements, and what lies behind them next, and computes in `F`.
    #[inline(always)]
    pub fn new<F: 'static, T: 'static>(elements: &[T]) -> Self {
        let converts = TypeId::of::<T>() != TypeId::of::<F>();
        if !converts && hardware_prefetch_suffices() {
            return Prefetch::NOTHING;
        }
        Prefetch { next: elements.as_ptr().cast(), size: size_of::<T>() }
    }

    /// Called before the next `count` elements are read, by a loop that reads several arrays.
    #[inline(always)]
    pub fn step(&mut self, count: usize) {
        self.lines(count, |line| fetch_line::<1>(line.wrapping_add(2048)));
    }

    /// The same, by a loop that reads one array: it has room for two steps, and reads 20 % faster by them.
    #[inline(always)]
    pub fn step_alone(&mut self, count: usize) {
        self.lines(count, |line| {
            fetch_line::<1>(line.wrapping_add(1024));
            fetch_line::<2>(line.wrapping_add(4096));
        });
    }

    #[inline(always)]
    fn lines(&mut self, count: usize, fetch: impl Fn(*const u8)) {
        let bytes = count * self.size;
        for line in 0..bytes / LINE {
            fetch(self.next.wrapping_add(line * LINE));
        }
        self.next = self.next.wrapping_add(bytes);
    }
}

/// Whether the CPU's own guesses keep up with a loop that reads steadily: whether it is AMD's.
#[inline(always)]
fn hardware_prefetch_suffices() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("sse4a");
    #[cfg(not(target_arch = "x86_64"))]
    true
}

/// Starts to fetch the cache line at an address, which need not be one of ours, into that cache: 1 is L1, 2 is L2, to
/// which more lines can be on their way.
#[inline(always)]
fn fetch_line<const CACHE: u8>(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the instruction takes any address, and changes nothing.
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

/// NonTemporal past the caches, by one thread, during [`with_non_temporal`].
///
/// Nobody may look at what they wrote before a fence. So what they write to is borrowed for all of `'scope`, which
/// ends after the fence; `'env` is whatever outlives that, as in [`std::thread::scope`].
#[derive(Debug)]
pub struct NonTemporal<'scope, 'env: 'scope> {
    scope: PhantomData<&'scope mut &'scope ()>,
    env: PhantomData<&'env mut &'env ()>,
    /// The fence is this thread's.
    thread: PhantomData<*const ()>,
}

/// Runs `f`, which may store past the caches.
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
    // Dropped if `f` panics, too.
    let _fence = Fence;
    f(&NonTemporal { scope: PhantomData, env: PhantomData, thread: PhantomData })
}

impl<'scope> NonTemporal<'scope, '_> {
    /// Copies `from` to `to`, which is as long.
    #[inline(always)]
    pub fn copy<F: Real>(&self, to: &'scope mut [F], from: &[F]) {
        let per_line = LINE / size_of::<F>();
        // What shares its line with others' results, which may be stored elsewise.
        let first = to.as_ptr().align_offset(LINE).min(to.len());
        let whole = (to.len() - first) / per_line * per_line;
        let (to_first, to) = to.split_at_mut(first);
        let (to_whole, to_last) = to.split_at_mut(whole);
        let (from_first, from) = from.split_at(first);
        let (from_whole, from_last) = from.split_at(whole);
        // NonTemporal keep their order: without it all that follow wait for this line.
        fetch_line::<1>(to_last.as_ptr().cast());
        to_first.copy_from_slice(from_first);
        #[cfg(target_arch = "x86_64")]
        for (to, from) in to_whole.chunks_exact_mut(per_line).zip(from_whole.chunks_exact(per_line))
        {
            // SAFETY: both are 64 bytes of f32 or f64, the only types that are `Real`, and `to` starts at a multiple
            // of 16. It is borrowed until `with_non_temporal` has seen to a fence, on this thread.
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
