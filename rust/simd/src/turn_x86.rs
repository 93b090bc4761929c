//! The transpositions of `turn` by AVX2 and AVX-512.

use crate::turn::{Line, RowsToTurn};
use crate::width::CHUNK_LANES;
use core::arch::x86_64::{__m256, __m256d};

/// [`turn_four`](crate::turn::turn_four) by AVX-512: 16 rows at a time, four numbers of each in one register.
#[target_feature(enable = "avx512f,avx512dq,avx2")]
#[inline]
pub(crate) fn turn_four_avx512(
    rows: &impl RowsToTurn<f32>,
    first: usize,
    lines: &mut [Line<f32>; 4],
) {
    use core::arch::x86_64::{
        _mm_loadu_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps128_ps512,
        _mm512_insertf32x4, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_unpackhi_pd,
        _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    // SAFETY: it loads four numbers, and loads need no alignment.
    let load = |row| unsafe { _mm_loadu_ps(rows.four(row, first).as_ptr()) };
    for half in [0, 16] {
        let mut four = [_mm512_setzero_ps(); 4];
        for (r, four) in four.iter_mut().enumerate() {
            *four = _mm512_castps128_ps512(load(half + r));
            *four = _mm512_insertf32x4::<1>(*four, load(half + r + 4));
            *four = _mm512_insertf32x4::<2>(*four, load(half + r + 8));
            *four = _mm512_insertf32x4::<3>(*four, load(half + r + 12));
        }
        let [a, b, c, d] = four;
        let low = [_mm512_unpacklo_ps(a, b), _mm512_unpacklo_ps(c, d)];
        let high = [_mm512_unpackhi_ps(a, b), _mm512_unpackhi_ps(c, d)];
        let [[ab, cd], [ab_high, cd_high]] = [
            [_mm512_castps_pd(low[0]), _mm512_castps_pd(low[1])],
            [_mm512_castps_pd(high[0]), _mm512_castps_pd(high[1])],
        ];
        let turned = [
            _mm512_unpacklo_pd(ab, cd),
            _mm512_unpackhi_pd(ab, cd),
            _mm512_unpacklo_pd(ab_high, cd_high),
            _mm512_unpackhi_pd(ab_high, cd_high),
        ];
        for (line, turned) in lines.iter_mut().zip(turned) {
            let to: &mut [f32] = &mut line[half..half + 16];
            // SAFETY: `to` is 64 writable bytes; stores need no alignment.
            unsafe { _mm512_storeu_ps(to.as_mut_ptr(), _mm512_castpd_ps(turned)) };
        }
    }
}

/// Four by four numbers transposed, in both halves of the registers. It is its own opposite.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose_avx2([a, b, c, d]: [__m256; 4]) -> [__m256; 4] {
    use core::arch::x86_64::{
        _mm256_castpd_ps, _mm256_castps_pd, _mm256_unpackhi_pd, _mm256_unpackhi_ps,
        _mm256_unpacklo_pd, _mm256_unpacklo_ps,
    };
    let low = [_mm256_unpacklo_ps(a, b), _mm256_unpacklo_ps(c, d)];
    let high = [_mm256_unpackhi_ps(a, b), _mm256_unpackhi_ps(c, d)];
    let [[ab, cd], [ab_high, cd_high]] = [
        [_mm256_castps_pd(low[0]), _mm256_castps_pd(low[1])],
        [_mm256_castps_pd(high[0]), _mm256_castps_pd(high[1])],
    ];
    [
        _mm256_castpd_ps(_mm256_unpacklo_pd(ab, cd)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(ab, cd)),
        _mm256_castpd_ps(_mm256_unpacklo_pd(ab_high, cd_high)),
        _mm256_castpd_ps(_mm256_unpackhi_pd(ab_high, cd_high)),
    ]
}

/// [`transpose_avx2`] of f64, of which a register has four.
#[target_feature(enable = "avx2")]
#[inline]
fn transpose_f64_avx2([a, b, c, d]: [__m256d; 4]) -> [__m256d; 4] {
    use core::arch::x86_64::{_mm256_permute2f128_pd, _mm256_unpackhi_pd, _mm256_unpacklo_pd};
    let (ab, cd) = (_mm256_unpacklo_pd(a, b), _mm256_unpacklo_pd(c, d));
    let (ab_odd, cd_odd) = (_mm256_unpackhi_pd(a, b), _mm256_unpackhi_pd(c, d));
    [
        _mm256_permute2f128_pd::<0x20>(ab, cd),
        _mm256_permute2f128_pd::<0x20>(ab_odd, cd_odd),
        _mm256_permute2f128_pd::<0x31>(ab, cd),
        _mm256_permute2f128_pd::<0x31>(ab_odd, cd_odd),
    ]
}

/// [`turn_four`] by AVX2: 8 rows at a time, four numbers of two rows in one register.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn turn_four_avx2(
    rows: &impl RowsToTurn<f32>,
    first: usize,
    lines: &mut [Line<f32>; 4],
) {
    use core::arch::x86_64::{
        _mm_loadu_ps, _mm256_castps128_ps256, _mm256_insertf128_ps, _mm256_setzero_ps,
        _mm256_storeu_ps,
    };
    // SAFETY: it loads four numbers, and loads need no alignment.
    let load = |row| unsafe { _mm_loadu_ps(rows.four(row, first).as_ptr()) };
    for quarter in [0, 8, 16, 24] {
        let mut four = [_mm256_setzero_ps(); 4];
        for (r, four) in four.iter_mut().enumerate() {
            *four = _mm256_castps128_ps256(load(quarter + r));
            *four = _mm256_insertf128_ps::<1>(*four, load(quarter + r + 4));
        }
        for (line, turned) in lines.iter_mut().zip(transpose_avx2(four)) {
            let to: &mut [f32] = &mut line[quarter..quarter + 8];
            // SAFETY: `to` is 32 writable bytes; stores need no alignment.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), turned) };
        }
    }
}

/// [`turn_four`] of f64 by AVX2: 4 rows at a time, four numbers of each in one register.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn turn_four_f64_avx2(
    rows: &impl RowsToTurn<f64>,
    first: usize,
    lines: &mut [Line<f64>; 4],
) {
    use core::arch::x86_64::{_mm256_loadu_pd, _mm256_setzero_pd, _mm256_storeu_pd};
    for part in (0..CHUNK_LANES).step_by(4) {
        let mut four = [_mm256_setzero_pd(); 4];
        for (r, four) in four.iter_mut().enumerate() {
            // SAFETY: it loads four numbers, and loads need no alignment.
            *four = unsafe { _mm256_loadu_pd(rows.four(part + r, first).as_ptr()) };
        }
        for (line, turned) in lines.iter_mut().zip(transpose_f64_avx2(four)) {
            let to: &mut [f64] = &mut line[part..part + 4];
            // SAFETY: `to` is 32 writable bytes; stores need no alignment.
            unsafe { _mm256_storeu_pd(to.as_mut_ptr(), turned) };
        }
    }
}

/// [`turn_four_back`] by AVX2: 8 rows at a time, four numbers of two rows in one register.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn turn_four_back_avx2(lines: [&Line<f32>; 4], rows: &mut [f32], classes: usize) {
    use core::arch::x86_64::{
        _mm_storeu_ps, _mm256_castps256_ps128, _mm256_extractf128_ps, _mm256_loadu_ps,
    };
    assert!(rows.len() >= 4 && (rows.len() - 4) / (CHUNK_LANES - 1) >= classes);
    for quarter in [0, 8, 16, 24] {
        // SAFETY: `quarter` + 8 is at most 32; loads need no alignment.
        let load = |line: &Line<f32>| unsafe { _mm256_loadu_ps(line[quarter..].as_ptr()) };
        let four = [load(lines[0]), load(lines[1]), load(lines[2]), load(lines[3])];
        for (r, two) in transpose_avx2(four).into_iter().enumerate() {
            let row = rows[(quarter + r) * classes..].as_mut_ptr();
            // SAFETY: the rows `quarter + r` and + 4 are below 32, and by the assertion the first
            // four numbers of each are in `rows`; stores need no alignment.
            unsafe {
                _mm_storeu_ps(row, _mm256_castps256_ps128(two));
                _mm_storeu_ps(row.add(4 * classes), _mm256_extractf128_ps::<1>(two));
            }
        }
    }
}

/// [`turn_four_back`] of f64 by AVX2: 4 rows at a time, four numbers of each in one register.
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn turn_four_back_f64_avx2(lines: [&Line<f64>; 4], rows: &mut [f64], classes: usize) {
    use core::arch::x86_64::{_mm256_loadu_pd, _mm256_storeu_pd};
    assert!(rows.len() >= 4 && (rows.len() - 4) / (CHUNK_LANES - 1) >= classes);
    for part in (0..CHUNK_LANES).step_by(4) {
        // SAFETY: `part` + 4 is at most 32; loads need no alignment.
        let load = |line: &Line<f64>| unsafe { _mm256_loadu_pd(line[part..].as_ptr()) };
        let four = [load(lines[0]), load(lines[1]), load(lines[2]), load(lines[3])];
        for (r, turned) in transpose_f64_avx2(four).into_iter().enumerate() {
            let row = &mut rows[(part + r) * classes..];
            // SAFETY: row `part + r` is below 32, and by the assertion its first four numbers are
            // in `rows`; stores need no alignment.
            unsafe { _mm256_storeu_pd(row.as_mut_ptr(), turned) };
        }
    }
}
