//! The trait that kernels are generic over: a [`Float`] together with its [`Extended`] precision.

use crate::double_word::{DoubleWord, Extended};
use crate::float::Float;
use crate::isa::Isa;
use crate::log_gamma::LogFactorial;
use crate::math::{exp_nonpositive, log1p_exp_neg_abs, log1p_unit};
use crate::turn::{RowsToTurn, turn_back_by_fours, turn_by_fours};
use crate::width::{CHUNK, CHUNK_LANES};

/// f32 or f64: the type that a kernel computes in.
pub trait Real: Float + LogFactorial {
    /// A number type with about twice the digits.
    type Extended: Extended;

    /// log(1 + e^−|x|) of each x.   0 → log 2, ±∞ → 0, NaN → NaN.
    fn log1p_exp_neg_abs<S: Isa>(isa: S, x: &[Self; CHUNK], g: &mut [Self; CHUNK]);

    /// Turns 32 rows of a few classes into lines of one class each: `lines[c][r]` is class c of row r.
    fn turn<S: Isa>(isa: S, rows: &impl RowsToTurn<Self>, lines: &mut [[Self; CHUNK_LANES]]);

    /// The opposite of [`Real::turn`], of rows one behind the other: `rows[r · classes + c] = lines[c][r]`.
    fn turn_back<S: Isa>(isa: S, lines: &[[Self; CHUNK_LANES]], rows: &mut [Self]);

    /// Four classes of 32 rows whose first classes lie `pitch` apart: `rows[r · pitch + c] =
    /// lines[c][r]`.
    fn turn_four_back<S: Isa>(
        isa: S,
        lines: [&[Self; CHUNK_LANES]; 4],
        rows: &mut [Self],
        pitch: usize,
    );
}

impl Real for f32 {
    type Extended = f64;

    #[inline(always)]
    fn log1p_exp_neg_abs<S: Isa>(isa: S, x: &[f32; CHUNK], g: &mut [f32; CHUNK]) {
        log1p_exp_neg_abs(isa, x, g);
    }

    #[inline(always)]
    fn turn<S: Isa>(isa: S, rows: &impl RowsToTurn<f32>, lines: &mut [[f32; CHUNK_LANES]]) {
        turn_by_fours(
            rows,
            lines,
            #[inline(always)]
            |first, four| isa.turn_four(rows, first, four),
        );
    }

    #[inline(always)]
    fn turn_back<S: Isa>(isa: S, lines: &[[f32; CHUNK_LANES]], rows: &mut [f32]) {
        turn_back_by_fours(
            lines,
            rows,
            #[inline(always)]
            |four, rows, classes| isa.turn_four_back(four, rows, classes),
        );
    }

    #[inline(always)]
    fn turn_four_back<S: Isa>(
        isa: S,
        lines: [&[f32; CHUNK_LANES]; 4],
        rows: &mut [f32],
        pitch: usize,
    ) {
        isa.turn_four_back(lines, rows, pitch);
    }
}

impl Real for f64 {
    type Extended = DoubleWord<f64>;

    #[inline(always)]
    fn log1p_exp_neg_abs<S: Isa>(isa: S, x: &[f64; CHUNK], g: &mut [f64; CHUNK]) {
        for (g, x) in g.iter_mut().zip(x) {
            *g = log1p_unit(isa, exp_nonpositive(isa, -x.abs()));
        }
    }

    #[inline(always)]
    fn turn<S: Isa>(isa: S, rows: &impl RowsToTurn<f64>, lines: &mut [[f64; CHUNK_LANES]]) {
        turn_by_fours(
            rows,
            lines,
            #[inline(always)]
            |first, four| isa.turn_four_f64(rows, first, four),
        );
    }

    #[inline(always)]
    fn turn_back<S: Isa>(isa: S, lines: &[[f64; CHUNK_LANES]], rows: &mut [f64]) {
        turn_back_by_fours(
            lines,
            rows,
            #[inline(always)]
            |four, rows, classes| isa.turn_four_back_f64(four, rows, classes),
        );
    }

    #[inline(always)]
    fn turn_four_back<S: Isa>(
        isa: S,
        lines: [&[f64; CHUNK_LANES]; 4],
        rows: &mut [f64],
        pitch: usize,
    ) {
        isa.turn_four_back_f64(lines, rows, pitch);
    }
}
