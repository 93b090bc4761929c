//! The trait that kernels are generic over: a [`Float`] together with its [`Extended`] precision.

use crate::double_word::{DoubleWord, Extended};
use crate::float::Float;
use crate::isa::Isa;
use crate::turn::turn_by_fours;
use crate::width::CHUNK_LANES;

/// f32 or f64: the type that a kernel computes in.
pub trait Real: Float {
    /// A number type with about twice the digits.
    type Extended: Extended;

    /// Turns 32 rows of a few classes, one behind the other, into lines of one class each:
    /// `lines[c][r] = rows[r · classes + c]`.
    fn turn<S: Isa>(isa: S, rows: &[Self], lines: &mut [[Self; CHUNK_LANES]]);
}

impl Real for f32 {
    type Extended = f64;

    #[inline(always)]
    fn turn<S: Isa>(isa: S, rows: &[f32], lines: &mut [[f32; CHUNK_LANES]]) {
        turn_by_fours(
            rows,
            lines,
            #[inline(always)]
            |rows, classes, four| isa.turn_four(rows, classes, four),
        );
    }
}

impl Real for f64 {
    type Extended = DoubleWord<f64>;

    #[inline(always)]
    fn turn<S: Isa>(isa: S, rows: &[f64], lines: &mut [[f64; CHUNK_LANES]]) {
        turn_by_fours(
            rows,
            lines,
            #[inline(always)]
            |rows, classes, four| isa.turn_four_f64(rows, classes, four),
        );
    }
}
