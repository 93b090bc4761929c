//! IEEE half precision to f32, by integer operations.

/// The value of an IEEE half-precision bit pattern.
///
/// A subnormal half m·2^-24 is computed as (2^-14 + m·2^-24) − 2^-14. No intermediate result is a
/// subnormal f32, so the value survives if the caller has set the CPU's flush-to-zero mode.
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
