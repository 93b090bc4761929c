//! The four element types of the arrays that kernels read.
//!
//! Half precision is a *load*, never a compute type. [`F16`] and [`BF16`] name two ways to read
//! `u16` storage, so an array of raw bits can be read without a conversion and without `unsafe`.

use crate::aligned::Buffer;
use crate::float::Float;
use crate::half::f16_to_f32;
use crate::isa::Isa;
use crate::real::Real;
use crate::width::CHUNK_LANES;

/// The type of an array's elements in memory, and the type in which kernels compute with them.
pub trait Dtype: Copy + Send + Sync + 'static {
    /// One element in memory.
    type Storage: Copy + Send + Sync + 'static;
    /// The type that kernels compute in.
    type Real: Real;
    /// −∞ in storage, which fills padded and masked lanes.
    const NEG_INFINITY: Self::Storage;
    /// The values of `block`: `block` itself, or its elements converted into `scratch`.
    fn read<'a, S: Isa>(
        isa: S,
        block: &'a [Self::Storage],
        scratch: &'a mut Buffer<Self::Real>,
    ) -> &'a [Self::Real];
    /// The value of one element, exactly.
    fn value(element: Self::Storage) -> f64;
}

/// f32 and f64 are stored as they are computed.
impl<F: Real> Dtype for F {
    type Storage = F;
    type Real = F;
    const NEG_INFINITY: F = <F as Float>::NEG_INFINITY;
    #[inline(always)]
    fn read<'a, S: Isa>(_isa: S, block: &'a [F], _scratch: &'a mut Buffer<F>) -> &'a [F] {
        block
    }
    #[inline(always)]
    fn value(element: F) -> f64 {
        element.to_f64()
    }
}

/// IEEE half precision in `u16` storage.
#[derive(Clone, Copy, Debug)]
pub struct F16;

impl Dtype for F16 {
    type Storage = u16;
    type Real = f32;
    const NEG_INFINITY: u16 = 0xfc00;
    #[inline(always)]
    fn read<'a, S: Isa>(isa: S, block: &'a [u16], scratch: &'a mut Buffer<f32>) -> &'a [f32] {
        let scratch = scratch.first(block.len(), 0.0);
        let (chunks, tail) = block.as_chunks::<CHUNK_LANES>();
        let (to, tail_to) = scratch.as_chunks_mut::<CHUNK_LANES>();
        for (to, chunk) in to.iter_mut().zip(chunks) {
            *to = isa.widen_f16(chunk);
        }
        for (to, &bits) in tail_to.iter_mut().zip(tail) {
            *to = f16_to_f32(bits);
        }
        scratch
    }
    #[inline(always)]
    fn value(element: u16) -> f64 {
        f64::from(f16_to_f32(element))
    }
}

/// bfloat16, the upper half of an f32, in `u16` storage.
#[derive(Clone, Copy, Debug)]
pub struct BF16;

impl Dtype for BF16 {
    type Storage = u16;
    type Real = f32;
    const NEG_INFINITY: u16 = 0xff80;
    #[inline(always)]
    fn read<'a, S: Isa>(_isa: S, block: &'a [u16], scratch: &'a mut Buffer<f32>) -> &'a [f32] {
        let scratch = scratch.first(block.len(), 0.0);
        for (to, &bits) in scratch.iter_mut().zip(block) {
            *to = f32::from_bits(u32::from(bits) << 16);
        }
        scratch
    }
    #[inline(always)]
    fn value(element: u16) -> f64 {
        f64::from(f32::from_bits(u32::from(element) << 16))
    }
}
