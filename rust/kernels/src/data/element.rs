//! The types of the numbers that an array may hold.

use nll_simd::{BF16, Buffer, Dtype, F16, Isa, Real};

/// How an array stores a number, and how a block of them becomes `F`.
pub trait Element: Copy + Send + Sync + 'static {
    /// One number in memory.
    type Storage: Copy + Default + Send + Sync + 'static;

    /// One number, exactly (but for an int64 beyond 2^53).
    fn value(x: Self::Storage) -> f64;

    /// The block itself, if `F` is how its numbers are stored.
    #[inline(always)]
    fn in_place<F: Real>(_block: &[Self::Storage]) -> Option<&[F]> {
        None
    }

    /// `halves`, if numbers are copied there before they are converted, a block at a time. Numbers
    /// of other types are converted one by one as they are copied.
    #[inline(always)]
    fn copies(_halves: &mut Buffer<u16>) -> Option<&mut Buffer<Self::Storage>> {
        None
    }

    /// The block as `F`, in `values`.
    #[inline(always)]
    fn convert<'s, S: Isa, F: Real>(
        _isa: S,
        block: &'s [Self::Storage],
        values: &'s mut Buffer<F>,
        _singles: &'s mut Buffer<f32>,
    ) -> &'s [F] {
        let values = values.first(block.len(), F::ZERO);
        for (to, &x) in values.iter_mut().zip(block) {
            *to = F::from_f64(Self::value(x));
        }
        values
    }
}

impl Element for f32 {
    type Storage = f32;
    #[inline(always)]
    fn value(x: f32) -> f64 {
        f64::from(x)
    }
    #[inline(always)]
    fn in_place<F: Real>(block: &[f32]) -> Option<&[F]> {
        F::of_f32(block)
    }
}

impl Element for f64 {
    type Storage = f64;
    #[inline(always)]
    fn value(x: f64) -> f64 {
        x
    }
    #[inline(always)]
    fn in_place<F: Real>(block: &[f64]) -> Option<&[F]> {
        F::of_f64(block)
    }
}

impl Element for u8 {
    type Storage = u8;
    #[inline(always)]
    fn value(x: u8) -> f64 {
        f64::from(x)
    }
}

impl Element for u16 {
    type Storage = u16;
    #[inline(always)]
    fn value(x: u16) -> f64 {
        f64::from(x)
    }
}

impl Element for i32 {
    type Storage = i32;
    #[inline(always)]
    fn value(x: i32) -> f64 {
        f64::from(x)
    }
}

impl Element for i64 {
    type Storage = i64;
    #[inline(always)]
    fn value(x: i64) -> f64 {
        x as f64
    }
}

/// A number of 16 bits.
trait Half: Dtype<Storage = u16, Real = f32> {}

impl Half for F16 {}

impl Half for BF16 {}

impl<H: Half> Element for H {
    type Storage = u16;
    #[inline(always)]
    fn value(x: u16) -> f64 {
        <H as Dtype>::value(x)
    }
    #[inline(always)]
    fn copies(halves: &mut Buffer<u16>) -> Option<&mut Buffer<u16>> {
        Some(halves)
    }
    #[inline(always)]
    fn convert<'s, S: Isa, F: Real>(
        isa: S,
        block: &'s [u16],
        values: &'s mut Buffer<F>,
        singles: &'s mut Buffer<f32>,
    ) -> &'s [F] {
        // As float32, and from there as float64 where `F` is that.
        let singles = H::read(isa, block, singles);
        if let Some(same) = F::of_f32(singles) {
            return same;
        }
        let values = values.first(block.len(), F::ZERO);
        for (to, &x) in values.iter_mut().zip(singles) {
            *to = F::from_f64(f64::from(x));
        }
        values
    }
}
