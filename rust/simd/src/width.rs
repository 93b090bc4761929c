//! The two widths that every kernel is written for, on every CPU.

/// The virtual width: the number of classes that a kernel handles at a time.
pub const CHUNK_LANES: usize = 32;
/// The number of running sums: the f64 lanes of one AVX-512 register.
pub const SUM_LANES: usize = 8;
/// How many elements the loops of an elementwise loss process at a time. With a whole block, the
/// memory would be idle while the second loop runs over what the first has brought into cache.
pub const CHUNK: usize = 128;
