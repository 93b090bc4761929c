//! The trait that kernels are generic over: a [`Float`] together with its [`Extended`] precision.

use crate::double_word::{DoubleWord, Extended};
use crate::float::Float;

/// f32 or f64: the type that a kernel computes in.
pub trait Real: Float {
    /// A number type with about twice the digits.
    type Extended: Extended;
}

impl Real for f32 {
    type Extended = f64;
}

impl Real for f64 {
    type Extended = DoubleWord<f64>;
}
