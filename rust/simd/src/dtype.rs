//! The four number types we read.
//!
//! Half precision is a *load*, never a compute type. [`F16`] and [`BF16`] are names for a way to read
//! `u16` storage, so an array of raw bits needs no conversion and no `unsafe` to be read as one.

use crate::aligned::Buffer;
use crate::isa::Isa;
use crate::lanes::CHUNK_LANES;
use crate::real::Real;

/// How an array stores its numbers, and what they become when read.
pub trait Dtype: Copy + Send + Sync + 'static {
    /// One element in memory.
    type Storage: Copy + Send + Sync + 'static;
    /// What it is computed in.
    type Real: Real;
    /// −∞ in storage: the neutral element that pads and masks.
    const NEG_INFINITY: Self::Storage;
    /// The values of `block`: where they lie, or computed into `room`.
    fn read<'a, S: Isa>(
        isa: S,
        block: &'a [Self::Storage],
        room: &'a mut Buffer<Self::Real>,
    ) -> &'a [Self::Real];
    /// Reads one element, exactly.
    fn value(element: Self::Storage) -> f64;
}

impl Dtype for f32 {
    type Storage = f32;
    type Real = f32;
    const NEG_INFINITY: f32 = f32::NEG_INFINITY;
    #[inline(always)]
    fn read<'a, S: Isa>(_isa: S, block: &'a [f32], _room: &'a mut Buffer<f32>) -> &'a [f32] {
        block
    }
    #[inline(always)]
    fn value(element: f32) -> f64 {
        f64::from(element)
    }
}

impl Dtype for f64 {
    type Storage = f64;
    type Real = f64;
    const NEG_INFINITY: f64 = f64::NEG_INFINITY;
    #[inline(always)]
    fn read<'a, S: Isa>(_isa: S, block: &'a [f64], _room: &'a mut Buffer<f64>) -> &'a [f64] {
        block
    }
    #[inline(always)]
    fn value(element: f64) -> f64 {
        element
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
    fn read<'a, S: Isa>(isa: S, block: &'a [u16], room: &'a mut Buffer<f32>) -> &'a [f32] {
        let room = room.first(block.len(), 0.0);
        let (chunks, tail) = block.as_chunks::<CHUNK_LANES>();
        let (to, tail_to) = room.as_chunks_mut::<CHUNK_LANES>();
        for (to, chunk) in to.iter_mut().zip(chunks) {
            *to = isa.widen_f16(chunk);
        }
        for (to, &bits) in tail_to.iter_mut().zip(tail) {
            *to = f16_to_f32(bits);
        }
        room
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
    fn read<'a, S: Isa>(_isa: S, block: &'a [u16], room: &'a mut Buffer<f32>) -> &'a [f32] {
        let room = room.first(block.len(), 0.0);
        for (to, &bits) in room.iter_mut().zip(block) {
            *to = f32::from_bits(u32::from(bits) << 16);
        }
        room
    }
    #[inline(always)]
    fn value(element: u16) -> f64 {
        f64::from(f32::from_bits(u32::from(element) << 16))
    }
}

/// Half precision by integers. No intermediate is a subnormal f32, so a caller's flush-to-zero mode
/// cannot lose the subnormal halves: they are read as `2^-14 + m·2^-24`, then `2^-14` is taken off.
#[inline(always)]
pub(crate) fn f16_to_f32(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff) << 13;
    let normal = rest + (112 << 23);
    let subnormal = (f32::from_bits(rest + (113 << 23)) - f32::from_bits(113 << 23)).to_bits();
    let special = rest | 0x7f80_0000;
    let magnitude = match bits & 0x7c00 {
        0 => subnormal,
        0x7c00 => special,
        _ => normal,
    };
    f32::from_bits(sign | magnitude)
}
