//! The sums of `pair_sums.rs` by AVX2 and AVX-512.

use crate::pair_sums::{
    EXP, Eights, FOURTH, FOURTHS, LARGE_POWERS, POWERS, PairSums, SHIFTER, TermLines,
};
use crate::width::SUM_LANES;
use core::arch::x86_64::{__m256d, __m512d};

/// [`Isa::add_pair_sums`](crate::Isa::add_pair_sums) by AVX-512.
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn add_avx512<const REST: bool>(pairs: [Eights<'_>; 2], sums: &mut PairSums) {
    each_avx512::<REST>(pairs, sums, &POWERS, |_, _| ());
}

/// [`Isa::add_pair_terms`](crate::Isa::add_pair_terms) by AVX-512.
#[target_feature(enable = "avx512f")]
#[inline]
pub(crate) fn add_terms_avx512(
    pairs: [Eights<'_>; 2],
    (lines, first): TermLines<'_>,
    sums: &mut PairSums,
) {
    use core::arch::x86_64::{_mm256_storeu_ps, _mm512_cvtpd_ps};
    each_avx512::<true>(pairs, sums, &LARGE_POWERS, |step, terms| {
        for (k, term) in terms.into_iter().enumerate() {
            let to: &mut [f32] = &mut lines[k][step][first..first + SUM_LANES];
            // SAFETY: `to` is 32 writable bytes; stores need no alignment.
            unsafe { _mm256_storeu_ps(to.as_mut_ptr(), _mm512_cvtpd_ps(term)) };
        }
    });
}

/// Adds the sums, with exponentials times the power of 2 that makes `powers` of [`POWERS`], and calls `take` with the step and
/// its e^a and e^b.
#[target_feature(enable = "avx512f")]
#[inline]
fn each_avx512<const REST: bool>(
    [x, y]: [Eights<'_>; 2],
    sums: &mut PairSums,
    powers: &[u64; 8],
    mut take: impl FnMut(usize, [__m512d; 2]),
) {
    use core::arch::x86_64::{
        _CMP_LT_OQ, _mm256_loadu_ps, _mm512_add_pd, _mm512_cmp_pd_mask, _mm512_cvtps_pd,
        _mm512_fmadd_pd, _mm512_loadu_pd, _mm512_mask_add_pd, _mm512_setzero_pd, _mm512_storeu_pd,
        _mm512_sub_pd,
    };
    // SAFETY: eight numbers are 64 bytes; loads need no alignment.
    let load = |eight: &[f64; SUM_LANES]| unsafe { _mm512_loadu_pd(eight.as_ptr()) };
    let (x_m, y_m) = (load(x.largest), load(y.largest));
    let [mut p_sum, mut q_sum, mut products, mut p_rest, mut q_rest] = sums.each_ref().map(load);
    let begun = |step: usize| {
        let below = |x: Eights<'_>, x_m| {
            // SAFETY: eight numbers are 32 bytes; loads need no alignment.
            let x = unsafe { _mm256_loadu_ps(x.get(step).as_ptr()) };
            _mm512_sub_pd(_mm512_cvtps_pd(x), x_m)
        };
        let (a, b) = (below(x, x_m), below(y, y_m));
        let zero = _mm512_setzero_pd();
        let is_below = [a, b].map(|a| _mm512_cmp_pd_mask::<_CMP_LT_OQ>(a, zero));
        (_mm512_sub_pd(a, b), is_below, reduced_avx512(a, powers), reduced_avx512(b, powers))
    };
    let mut now = begun(0);
    for step in 1..=x.count {
        let next = begun(step.min(x.count - 1));
        let (difference, [p_is_below, q_is_below], p, q) = now;
        let (p, q) = (exp_avx512(p), exp_avx512(q));
        take(step - 1, [p, q]);
        if REST {
            p_rest = _mm512_mask_add_pd(p_rest, p_is_below, p_rest, p);
            q_rest = _mm512_mask_add_pd(q_rest, q_is_below, q_rest, q);
        }
        p_sum = _mm512_add_pd(p_sum, p);
        q_sum = _mm512_add_pd(q_sum, q);
        products = _mm512_fmadd_pd(p, difference, products);
        now = next;
    }
    for (to, sum) in sums.iter_mut().zip([p_sum, q_sum, products, p_rest, q_rest]) {
        // SAFETY: `to` is 64 writable bytes; stores need no alignment.
        unsafe { _mm512_storeu_pd(to.as_mut_ptr(), sum) };
    }
}

/// r and 2^(n/4).
#[target_feature(enable = "avx512f")]
#[inline]
fn reduced_avx512(a: __m512d, powers: &[u64; 8]) -> [__m512d; 2] {
    use core::arch::x86_64::{
        _mm512_add_epi64, _mm512_castpd_si512, _mm512_castsi512_pd, _mm512_fmadd_pd,
        _mm512_fnmadd_pd, _mm512_loadu_epi64, _mm512_permutexvar_epi64, _mm512_set1_pd,
        _mm512_slli_epi64, _mm512_sub_pd,
    };
    let shifter = _mm512_set1_pd(SHIFTER);
    let shifted = _mm512_fmadd_pd(a, _mm512_set1_pd(FOURTHS), shifter);
    let r = _mm512_fnmadd_pd(_mm512_sub_pd(shifted, shifter), _mm512_set1_pd(FOURTH), a);
    let n = _mm512_castpd_si512(shifted);
    // SAFETY: it is 64 bytes; loads need no alignment.
    let powers = unsafe { _mm512_loadu_epi64(powers.as_ptr().cast()) };
    let power = _mm512_permutexvar_epi64(n, powers);
    [r, _mm512_castsi512_pd(_mm512_add_epi64(power, _mm512_slli_epi64::<50>(n)))]
}

/// 2^(n/4)·e^r
#[target_feature(enable = "avx512f")]
#[inline]
fn exp_avx512([r, power]: [__m512d; 2]) -> __m512d {
    use core::arch::x86_64::{_mm512_fmadd_pd, _mm512_mul_pd, _mm512_set1_pd};
    let mut value = _mm512_set1_pd(EXP[7]);
    for c in [EXP[6], EXP[5], EXP[4], EXP[3], EXP[2], EXP[1], EXP[0]] {
        value = _mm512_fmadd_pd(value, r, _mm512_set1_pd(c));
    }
    _mm512_mul_pd(value, power)
}

/// [`Isa::add_pair_sums`](crate::Isa::add_pair_sums) by AVX2.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(crate) fn add_avx2<const REST: bool>(pairs: [Eights<'_>; 2], sums: &mut PairSums) {
    each_avx2::<REST>(pairs, sums, &POWERS, |_, _, _| ());
}

/// [`Isa::add_pair_terms`](crate::Isa::add_pair_terms) by AVX2.
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(crate) fn add_terms_avx2(
    pairs: [Eights<'_>; 2],
    (lines, first): TermLines<'_>,
    sums: &mut PairSums,
) {
    use core::arch::x86_64::{_mm_storeu_ps, _mm256_cvtpd_ps};
    each_avx2::<true>(pairs, sums, &LARGE_POWERS, |step, half, terms| {
        for (k, term) in terms.into_iter().enumerate() {
            let to: &mut [f32] = &mut lines[k][step][first + half..first + half + 4];
            // SAFETY: `to` is 16 writable bytes; stores need no alignment.
            unsafe { _mm_storeu_ps(to.as_mut_ptr(), _mm256_cvtpd_ps(term)) };
        }
    });
}

/// [`each_avx512`] by AVX2: four lanes, then the other four. `take` also has the number of the first of them.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn each_avx2<const REST: bool>(
    [x, y]: [Eights<'_>; 2],
    sums: &mut PairSums,
    powers: &[u64; 8],
    mut take: impl FnMut(usize, usize, [__m256d; 2]),
) {
    use core::arch::x86_64::{
        _CMP_LT_OQ, _mm_loadu_ps, _mm256_add_pd, _mm256_and_pd, _mm256_cmp_pd, _mm256_cvtps_pd,
        _mm256_fmadd_pd, _mm256_loadu_pd, _mm256_setzero_pd, _mm256_storeu_pd, _mm256_sub_pd,
    };
    // SAFETY: four numbers are 32 bytes; loads need no alignment.
    let load = |four: &[f64]| unsafe { _mm256_loadu_pd(four[..4].as_ptr()) };
    for half in [0, 4] {
        let (x_m, y_m) = (load(&x.largest[half..]), load(&y.largest[half..]));
        let [mut p_sum, mut q_sum, mut products, mut p_rest, mut q_rest] =
            sums.each_ref().map(|sum| load(&sum[half..]));
        let begun = |step: usize| {
            let below = |x: Eights<'_>, x_m| {
                // SAFETY: four numbers are 16 bytes; loads need no alignment.
                let x = unsafe { _mm_loadu_ps(x.get(step)[half..].as_ptr()) };
                _mm256_sub_pd(_mm256_cvtps_pd(x), x_m)
            };
            let (a, b) = (below(x, x_m), below(y, y_m));
            (_mm256_sub_pd(a, b), [a, b], reduced_avx2(a, powers), reduced_avx2(b, powers))
        };
        let mut now = begun(0);
        for step in 1..=x.count {
            let next = begun(step.min(x.count - 1));
            let (difference, [a, b], p, q) = now;
            let (p, q) = (exp_avx2(p), exp_avx2(q));
            take(step - 1, half, [p, q]);
            if REST {
                let zero = _mm256_setzero_pd();
                let below = |a, term| _mm256_and_pd(_mm256_cmp_pd::<_CMP_LT_OQ>(a, zero), term);
                p_rest = _mm256_add_pd(p_rest, below(a, p));
                q_rest = _mm256_add_pd(q_rest, below(b, q));
            }
            p_sum = _mm256_add_pd(p_sum, p);
            q_sum = _mm256_add_pd(q_sum, q);
            products = _mm256_fmadd_pd(p, difference, products);
            now = next;
        }
        for (to, sum) in sums.iter_mut().zip([p_sum, q_sum, products, p_rest, q_rest]) {
            // SAFETY: four numbers are 32 writable bytes; stores need no alignment.
            unsafe { _mm256_storeu_pd(to[half..half + 4].as_mut_ptr(), sum) };
        }
    }
}

/// r and 2^(n/4). The permutation by variable indices is one of 32-bit numbers: of the two halves of each power.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn reduced_avx2(a: __m256d, powers: &[u64; 8]) -> [__m256d; 2] {
    use core::arch::x86_64::{
        _mm256_add_epi32, _mm256_add_epi64, _mm256_castpd_si256, _mm256_castsi256_pd,
        _mm256_fmadd_pd, _mm256_fnmadd_pd, _mm256_loadu_si256, _mm256_permutevar8x32_epi32,
        _mm256_set1_epi64x, _mm256_set1_pd, _mm256_shuffle_epi32, _mm256_slli_epi64, _mm256_sub_pd,
    };
    let shifter = _mm256_set1_pd(SHIFTER);
    let shifted = _mm256_fmadd_pd(a, _mm256_set1_pd(FOURTHS), shifter);
    let r = _mm256_fnmadd_pd(_mm256_sub_pd(shifted, shifter), _mm256_set1_pd(FOURTH), a);
    let n = _mm256_castpd_si256(shifted);
    // SAFETY: the first four are 32 bytes; loads need no alignment.
    let powers = unsafe { _mm256_loadu_si256(powers.as_ptr().cast()) };
    // The index of a low half is 2n, that of a high half 2n + 1; of either, three bits count.
    let n_twice = _mm256_shuffle_epi32::<0b10_10_00_00>(n);
    let halves = _mm256_add_epi32(_mm256_add_epi32(n_twice, n_twice), _mm256_set1_epi64x(1 << 32));
    let power = _mm256_permutevar8x32_epi32(powers, halves);
    [r, _mm256_castsi256_pd(_mm256_add_epi64(power, _mm256_slli_epi64::<50>(n)))]
}

/// 2^(n/4)·e^r
#[target_feature(enable = "avx2,fma")]
#[inline]
fn exp_avx2([r, power]: [__m256d; 2]) -> __m256d {
    use core::arch::x86_64::{_mm256_fmadd_pd, _mm256_mul_pd, _mm256_set1_pd};
    let mut value = _mm256_set1_pd(EXP[7]);
    for c in [EXP[6], EXP[5], EXP[4], EXP[3], EXP[2], EXP[1], EXP[0]] {
        value = _mm256_fmadd_pd(value, r, _mm256_set1_pd(c));
    }
    _mm256_mul_pd(value, power)
}
