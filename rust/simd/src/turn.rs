//! Rows turned into lines, and back: the transposition of 32 rows of a few classes.

use crate::width::CHUNK_LANES;
#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::{__m256, __m256d};

/// One class of each row.
pub(crate) type Line<F> = [F; CHUNK_LANES];

/// `lines[c][r] = rows[r · classes + c]` of one, two or three classes: as many as there are lines.
#[inline(always)]
fn turn<F: Copy>(rows: &[F], lines: &mut [Line<F>]) {
    // Shuffles whose pattern LLVM knows.
    match lines {
        [a] => *a = *rows.first_chunk().expect("32 rows"),
        [a, b] => {
            let rows: &[F; 2 * CHUNK_LANES] = rows.first_chunk().expect("32 rows");
            for r in 0..CHUNK_LANES {
                (a[r], b[r]) = (rows[2 * r], rows[2 * r + 1]);
            }
        }
        [a, b, c] => {
            let rows: &[F; 3 * CHUNK_LANES] = rows.first_chunk().expect("32 rows");
            for r in 0..CHUNK_LANES {
                (a[r], b[r], c[r]) = (rows[3 * r], rows[3 * r + 1], rows[3 * r + 2]);
            }
        }
        _ => unreachable!("four classes and more are turned by fours"),
    }
}

/// The opposite of [`turn`].
#[inline(always)]
fn turn_back<F: Copy>(lines: &[Line<F>], rows: &mut [F]) {
    match lines {
        [a] => rows[..CHUNK_LANES].copy_from_slice(a),
        [a, b] => {
            let rows: &mut [F; 2 * CHUNK_LANES] = rows.first_chunk_mut().expect("32 rows");
            for r in 0..CHUNK_LANES {
                (rows[2 * r], rows[2 * r + 1]) = (a[r], b[r]);
            }
        }
        [a, b, c] => {
            let rows: &mut [F; 3 * CHUNK_LANES] = rows.first_chunk_mut().expect("32 rows");
            for r in 0..CHUNK_LANES {
                (rows[3 * r], rows[3 * r + 1], rows[3 * r + 2]) = (a[r], b[r], c[r]);
            }
        }
        _ => unreachable!("four classes and more are turned by fours"),
    }
}

/// The first classes of groups of four that cover `classes` classes, at least four. The last four
/// overlap those before, if the number of classes is no multiple of four.
fn fours(classes: usize) -> impl Iterator<Item = usize> {
    (0..classes.div_ceil(4)).map(move |four| (4 * four).min(classes - 4))
}

/// `lines[c][r] = rows[r · classes + c]`, with as many classes as there are lines. `four` is
/// [`turn_four`] or does what it does.
#[inline(always)]
pub(crate) fn turn_by_fours<F: Copy>(
    rows: &[F],
    lines: &mut [Line<F>],
    four: impl Fn(&[F], usize, &mut [Line<F>; 4]),
) {
    let classes = lines.len();
    if classes < 4 {
        return turn(rows, lines);
    }
    for first in fours(classes) {
        four(&rows[first..], classes, lines[first..].first_chunk_mut().expect("four classes"));
    }
}

/// `rows[r · classes + c] = lines[c][r]`, with as many classes as there are lines. `four` is
/// [`turn_four_back`] or does what it does.
#[inline(always)]
pub(crate) fn turn_back_by_fours<F: Copy>(
    lines: &[Line<F>],
    rows: &mut [F],
    four: impl Fn([&Line<F>; 4], &mut [F], usize),
) {
    let classes = lines.len();
    if classes < 4 {
        return turn_back(lines, rows);
    }
    for first in fours(classes) {
        let lines = [0, 1, 2, 3].map(|c| &lines[first + c]);
        four(lines, &mut rows[first..], classes);
    }
}

/// Four lines as four classes of 32 rows, whose first class lies `classes` behind that of the row
/// before.
#[inline(always)]
pub(crate) fn turn_four_back<F: Copy>(lines: [&Line<F>; 4], rows: &mut [F], classes: usize) {
    for (r, row) in rows.chunks_mut(classes).enumerate().take(CHUNK_LANES) {
        let four: &mut [F; 4] = row.first_chunk_mut().expect("four classes");
        for (x, line) in four.iter_mut().zip(&lines) {
            *x = line[r];
        }
    }
}

/// Four classes of 32 rows, whose first class lies `classes` behind that of the row before.
#[inline(always)]
pub(crate) fn turn_four<F: Copy>(rows: &[F], classes: usize, lines: &mut [Line<F>; 4]) {
    for (r, row) in rows.chunks(classes).enumerate().take(CHUNK_LANES) {
        let four: &[F; 4] = row.first_chunk().expect("four classes");
        for (line, &x) in lines.iter_mut().zip(four) {
            line[r] = x;
        }
    }
}

/// [`turn_four`] by AVX-512: 16 rows at a time, four numbers of each in one register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq,avx2")]
#[inline]
pub(crate) fn turn_four_avx512(rows: &[f32], classes: usize, lines: &mut [Line<f32>; 4]) {
    use core::arch::x86_64::{
        _mm_loadu_ps, _mm512_castpd_ps, _mm512_castps_pd, _mm512_castps128_ps512,
        _mm512_insertf32x4, _mm512_setzero_ps, _mm512_storeu_ps, _mm512_unpackhi_pd,
        _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    assert!(rows.len() >= 4 && (rows.len() - 4) / (CHUNK_LANES - 1) >= classes);
    for half in [0, 16] {
        let mut four = [_mm512_setzero_ps(); 4];
        for (r, four) in four.iter_mut().enumerate() {
            let row = rows[(half + r) * classes..].as_ptr();
            // SAFETY: the last of the rows `half + r`, + 4, + 8 and + 12 is below 32, and by the
            // assertion the first four numbers of each are in `rows`; loads need no alignment.
            unsafe {
                *four = _mm512_castps128_ps512(_mm_loadu_ps(row));
                *four = _mm512_insertf32x4::<1>(*four, _mm_loadu_ps(row.add(4 * classes)));
                *four = _mm512_insertf32x4::<2>(*four, _mm_loadu_ps(row.add(8 * classes)));
                *four = _mm512_insertf32x4::<3>(*four, _mm_loadu_ps(row.add(12 * classes)));
            }
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
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn turn_four_avx2(rows: &[f32], classes: usize, lines: &mut [Line<f32>; 4]) {
    use core::arch::x86_64::{
        _mm_loadu_ps, _mm256_castps128_ps256, _mm256_insertf128_ps, _mm256_setzero_ps,
        _mm256_storeu_ps,
    };
    assert!(rows.len() >= 4 && (rows.len() - 4) / (CHUNK_LANES - 1) >= classes);
    for quarter in [0, 8, 16, 24] {
        let mut four = [_mm256_setzero_ps(); 4];
        for (r, four) in four.iter_mut().enumerate() {
            let row = rows[(quarter + r) * classes..].as_ptr();
            // SAFETY: the rows `quarter + r` and + 4 are below 32, and by the assertion the first
            // four numbers of each are in `rows`; loads need no alignment.
            unsafe {
                *four = _mm256_castps128_ps256(_mm_loadu_ps(row));
                *four = _mm256_insertf128_ps::<1>(*four, _mm_loadu_ps(row.add(4 * classes)));
            }
        }
        for (line, turned) in lines.iter_mut().zip(transpose_avx2(four)) {
            let to: &mut [f32] = &mut line[quarter..quarter + 8];
            // SAFETY: `to` is 32 writable bytes; stores need no alignment.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), turned) };
        }
    }
}

/// [`turn_four`] of f64 by AVX2: 4 rows at a time, four numbers of each in one register.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
pub(crate) fn turn_four_f64_avx2(rows: &[f64], classes: usize, lines: &mut [Line<f64>; 4]) {
    use core::arch::x86_64::{_mm256_loadu_pd, _mm256_setzero_pd, _mm256_storeu_pd};
    assert!(rows.len() >= 4 && (rows.len() - 4) / (CHUNK_LANES - 1) >= classes);
    for part in (0..CHUNK_LANES).step_by(4) {
        let mut four = [_mm256_setzero_pd(); 4];
        for (r, four) in four.iter_mut().enumerate() {
            // SAFETY: row `part + r` is below 32, and by the assertion its first four numbers are
            // in `rows`; loads need no alignment.
            *four = unsafe { _mm256_loadu_pd(rows[(part + r) * classes..].as_ptr()) };
        }
        for (line, turned) in lines.iter_mut().zip(transpose_f64_avx2(four)) {
            let to: &mut [f64] = &mut line[part..part + 4];
            // SAFETY: `to` is 32 writable bytes; stores need no alignment.
            unsafe { _mm256_storeu_pd(to.as_mut_ptr(), turned) };
        }
    }
}

/// [`turn_four_back`] by AVX2: 8 rows at a time, four numbers of two rows in one register.
#[cfg(target_arch = "x86_64")]
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
#[cfg(target_arch = "x86_64")]
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
