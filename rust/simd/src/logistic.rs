//! log(1 + e^−a) of float32 by a table, for a ≥ 0: the part that all logistic losses have in common.
//!
//! The plain algorithm: `log1p(exp(-a))`, two polynomials and a division. Instead, each of 32
//! intervals of width ½ (the first has ¼) has a polynomial of its own, of degree 5:
//!
//! ```text
//! j = round(2a);  r = a − b_j;  g = c_j0 + r·(c_j1 + r·(c_j2 + …))
//! ```
//!
//! 1. **b_j is not the middle of the interval** but a number near it at which log(1 + e^−b) is almost
//!    a float32 (Gal 1986), so that c_j0 adds no error of its own. a − b_j is exact.
//! 2. **The coefficients are rounded one after the other**, and those that are left are fitted again
//!    each time. The error was at most 1.08 ulp over all float32 numbers when the table was made, and
//!    g never rises; the tests try every 509th number. `benches/logistic_table.py` prints the table.
//! 3. **From 15.75 on**, where the table ends, `math` takes log(1 + z) = z − z²/2 with z = e^−a.

use crate::aligned::Aligned;
use crate::width::CHUNK;

/// Numbers from here on are not in the table.
pub(crate) const LIMIT: f32 = 15.75;

/// 1.5 · 2^23. The low bits of 2a + `SHIFTER` are the number of the interval.
const SHIFTER: f32 = 12_582_912.0;

/// How many intervals there are.
const INTERVALS: usize = 32;

/// b, c_0, …, c_5 and nothing of each interval, as bits.
const BITS: [[u32; 8]; INTERVALS] = [
    [0x3de5_a000, 0x3f23_7f06, 0xbef1_a9d8, 0x3dff_324b, 0xbb18_7265, 0xbba7_a6dd, 0x394e_8625, 0],
    [0x3f13_1a00, 0x3ee4_a314, 0xbeb8_6889, 0x3deb_faa6, 0xbc2f_ed41, 0xbb70_b392, 0x3a64_3382, 0],
    [0x3f86_8500, 0x3e99_818c, 0xbe84_a1a7, 0x3dc4_8c3d, 0xbc7c_98e7, 0xba9f_9f7e, 0x3a85_f207, 0],
    [0x3fbc_e700, 0x3e52_d019, 0xbe3e_873a, 0x3d9b_1415, 0xbc81_d033, 0x3a13_d67b, 0x3a22_6f9c, 0],
    [0x4009_a840, 0x3de1_7793, 0xbdd5_7fd2, 0x3d3f_3dd1, 0xbc49_cff0, 0x3ae3_6741, 0x3930_6cc9, 0],
    [0x4024_d080, 0x3d96_46e8, 0xbd90_e55a, 0x3d06_a4fa, 0xbc1a_23b4, 0x3ad9_655b, 0xb8a1_3764, 0],
    [0x403e_7d00, 0x3d4b_a77c, 0xbd46_ac9b, 0x3cbd_09a9, 0xbbe3_9927, 0x3ab6_2ce1, 0xb922_baff, 0],
    [0x4069_9ac0, 0x3cd2_2f4e, 0xbccf_82e5, 0x3c4a_4152, 0xbb80_018d, 0x3a65_3f68, 0xb918_fd9c, 0],
    [0x4082_6180, 0x3c8a_1cd9, 0xbc88_f479, 0x3c06_aa57, 0xbb2d_8862, 0x3a21_e332, 0xb8ea_c59a, 0],
    [0x408f_32a0, 0x3c39_9357, 0xbc38_874c, 0x3bb6_732a, 0xbaed_cdde, 0x39e3_6775, 0xb8a0_85e9, 0],
    [0x40a1_a140, 0x3bd1_27f4, 0xbbd0_7d71, 0x3b4f_29bd, 0xba88_563f, 0x3985_14ff, 0xb852_b23a, 0],
    [0x40b2_5340, 0x3b78_966e, 0xbb78_1de7, 0x3af7_2d6c, 0xba23_834d, 0x3921_29e0, 0xb805_6ba2, 0],
    [0x40c2_6020, 0x3b16_a6dd, 0xbb16_7a94, 0x3a96_2220, 0xb9c7_3a63, 0x38c5_8cf9, 0xb7a5_fc5d, 0],
    [0x40cf_32c0, 0x3ac9_e722, 0xbac9_bf56, 0x3a49_6fae, 0xb985_e3a5, 0x3885_5e52, 0xb74c_5e97, 0],
    [0x40e3_3fa0, 0x3a57_e12c, 0xba57_ca6e, 0x39d7_9d22, 0xb90f_7c67, 0x380e_d1b7, 0xb6f9_a547, 0],
    [0x40f2_6b40, 0x3a06_65ba, 0xba06_5ceb, 0x3986_4b4c, 0xb8b2_d84e, 0x37b2_9bb6, 0xb698_f45c, 0],
    [0x40ff_3020, 0x39b4_5e3c, 0xb9b4_5649, 0x3934_4641, 0xb870_38fc, 0x3770_7554, 0xb639_e750, 0],
    [0x4108_cfb0, 0x394a_c8bc, 0xb94a_c3ba, 0x38ca_b993, 0xb807_1471, 0x3707_3c6d, 0xb5e2_f0de, 0],
    [0x4110_ced0, 0x38f6_0d2e, 0xb8f6_097f, 0x3876_01ef, 0xb7a3_f275, 0x36a4_3642, 0xb589_5a06, 0],
    [0x411a_6a60, 0x3886_f98d, 0xb886_f86f, 0x3806_f674, 0xb733_f0f8, 0x3632_6622, 0xb526_650d, 0],
    [0x411f_9fe0, 0x3842_f030, 0xb842_ef05, 0x37c2_ec87, 0xb701_f2ef, 0x3602_3d9a, 0xb4ca_17aa, 0],
    [0x4129_3680, 0x37d6_205f, 0xb7d6_1fb0, 0x3756_1e45, 0xb68e_b6b2, 0x358e_d57a, 0xb475_3211, 0],
    [0x4131_2e90, 0x3782_2078, 0xb782_2038, 0x3702_1fb4, 0xb62d_76f5, 0x352d_9921, 0xb414_fddb, 0],
    [0x4137_9830, 0x372e_50ff, 0xb72e_50c2, 0x36ae_5024, 0xb5e8_6ec2, 0x34e8_fbea, 0xb3b4_d99b, 0],
    [0x4140_cd60, 0x36c4_1528, 0xb6c4_1505, 0x3644_1498, 0xb582_b3dd, 0x3482_f821, 0xb35b_884f, 0],
    [0x4149_3720, 0x3667_cc50, 0xb667_cc3a, 0x35e7_cc07, 0xb51a_80fe, 0x341a_9f4b, 0xb304_f641, 0],
    [0x4151_3070, 0x360c_d28e, 0xb60c_d287, 0x358c_d26f, 0xb4bb_bad8, 0x33bb_eb5f, 0xb2a1_22c6, 0],
    [0x4158_cae0, 0x35af_1d74, 0xb5af_1d6f, 0x352f_1d43, 0xb469_747e, 0x3369_edb1, 0xb244_4678, 0],
    [0x415f_9a70, 0x3564_d0c7, 0xb564_d0be, 0x34e4_d080, 0xb418_8ea3, 0x3318_eb4a, 0xb1ec_f9cc, 0],
    [0x4169_3150, 0x34fb_5209, 0xb4fb_520a, 0x347b_5203, 0xb3a7_847d, 0x32a7_a85c, 0xb190_2134, 0],
    [0x416f_99d0, 0x34a8_60f9, 0xb4a8_60f6, 0x3428_60cd, 0xb360_8596, 0x3261_0fc8, 0xb12e_f230, 0],
    [0x4177_8f90, 0x344c_c3fe, 0xb44c_c3fb, 0x33cc_c3cd, 0xb308_8588, 0x3208_d70a, 0xb0d4_2e41, 0],
];

static ROWS: Aligned<[[f32; 8]; INTERVALS]> = Aligned({
    let mut rows = [[0.0; 8]; INTERVALS];
    let mut at = 0;
    while at < 8 * INTERVALS {
        rows[at / 8][at % 8] = f32::from_bits(BITS[at / 8][at % 8]);
        at += 1;
    }
    rows
});

/// The same numbers, those of all intervals together.
#[cfg(target_arch = "x86_64")]
static COLUMNS: Aligned<[[f32; INTERVALS]; 7]> = Aligned({
    let mut columns = [[0.0; INTERVALS]; 7];
    let mut at = 0;
    while at < 7 * INTERVALS {
        columns[at / INTERVALS][at % INTERVALS] = ROWS.0[at % INTERVALS][at / INTERVALS];
        at += 1;
    }
    columns
});

/// The largest magnitude of numbers in the table, as bits: those of NaN are larger.
const LARGEST: u32 = LIMIT.to_bits() - 1;

/// Writes log(1 + e^−|x|) of each x in the table, and anything for the others. Whether there are
/// others. `mul_add(a, b, c)` is a · b + c.
#[inline(always)]
pub(crate) fn table(
    x: &[f32; CHUNK],
    g: &mut [f32; CHUNK],
    mul_add: impl Fn(f32, f32, f32) -> f32,
) -> bool {
    let mut largest = 0;
    for (g, &x) in g.iter_mut().zip(x) {
        let a = x.abs();
        let interval = (a * 2.0 + SHIFTER).to_bits() as usize % INTERVALS;
        let [b, c0, c1, c2, c3, c4, c5, _] = ROWS.0[interval];
        let r = a - b;
        let mut value = c5;
        for c in [c4, c3, c2, c1, c0] {
            value = mul_add(value, r, c);
        }
        *g = value;
        largest = a.to_bits().max(largest);
    }
    largest > LARGEST
}

/// [`table`] by AVX-512: a column of the table is two registers, from which 16 numbers are picked
/// at once, by the lowest five bits of each index.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512dq")]
#[inline]
pub(crate) fn table_avx512(x: &[f32; CHUNK], g: &mut [f32; CHUNK]) -> bool {
    use core::arch::x86_64::{
        __m512, _mm512_abs_ps, _mm512_castps_si512, _mm512_fmadd_ps, _mm512_loadu_ps,
        _mm512_max_epu32, _mm512_permutex2var_ps, _mm512_reduce_max_epu32, _mm512_set1_ps,
        _mm512_setzero_si512, _mm512_storeu_ps, _mm512_sub_ps,
    };
    // SAFETY: 16 numbers are 64 bytes; loads need no alignment.
    let load = |numbers: &[f32; 16]| unsafe { _mm512_loadu_ps(numbers.as_ptr()) };
    let mut columns: [[__m512; 2]; 7] = [[_mm512_set1_ps(0.0); 2]; 7];
    for (to, column) in columns.iter_mut().zip(&COLUMNS.0) {
        let [low, high] = column.as_chunks::<16>().0 else { unreachable!("32 intervals") };
        *to = [load(low), load(high)];
    }
    let mut largest = _mm512_setzero_si512();
    for (x, g) in x.as_chunks::<16>().0.iter().zip(g.as_chunks_mut::<16>().0) {
        let a = _mm512_abs_ps(load(x));
        let shifted = _mm512_fmadd_ps(a, _mm512_set1_ps(2.0), _mm512_set1_ps(SHIFTER));
        let interval = _mm512_castps_si512(shifted);
        let mut picked = [_mm512_set1_ps(0.0); 7];
        for (picked, [low, high]) in picked.iter_mut().zip(columns) {
            *picked = _mm512_permutex2var_ps(low, interval, high);
        }
        let [b, c0, c1, c2, c3, c4, c5] = picked;
        let r = _mm512_sub_ps(a, b);
        let mut value = c5;
        for c in [c4, c3, c2, c1, c0] {
            value = _mm512_fmadd_ps(value, r, c);
        }
        // SAFETY: `g` is 64 writable bytes; stores need no alignment.
        unsafe { _mm512_storeu_ps(g.as_mut_ptr(), value) };
        largest = _mm512_max_epu32(largest, _mm512_castps_si512(a));
    }
    _mm512_reduce_max_epu32(largest) > LARGEST
}

/// [`table`] by AVX2: the rows of eight numbers are loaded and turned into columns. (A permutation
/// picks from eight numbers only; four of them and three blends are slower.) On AVX2 the table costs
/// a fifth more than the exponential and logarithm that it replaces: what AVX-512 gains needs it
/// everywhere, because all sets give the same bits.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
#[inline]
pub(crate) fn table_avx2(x: &[f32; CHUNK], g: &mut [f32; CHUNK]) -> bool {
    use core::arch::x86_64::{
        __m256, _mm_loadu_ps, _mm256_andnot_ps, _mm256_castps128_ps256, _mm256_fmadd_ps,
        _mm256_insertf128_ps, _mm256_loadu_ps, _mm256_set1_ps, _mm256_shuffle_ps, _mm256_storeu_ps,
        _mm256_sub_ps,
    };
    /// Four numbers of each row, from `first` on, as columns. Shuffles, because Intel's CPUs have
    /// two ports for these and one for `unpck`.
    #[target_feature(enable = "avx2,fma")]
    #[inline]
    fn columns(offsets: &[u32; 8], first: usize) -> [__m256; 4] {
        let mut pairs = [_mm256_set1_ps(0.0); 4];
        let table: *const f32 = ROWS.0.as_flattened().as_ptr();
        for (i, pair) in pairs.iter_mut().enumerate() {
            // SAFETY: `first` is 0 or 4, and an offset is that of a row of eight numbers; loads need
            // no alignment.
            unsafe {
                let row = table.add(offsets[i] as usize + first);
                *pair = _mm256_castps128_ps256(_mm_loadu_ps(row));
                let row = table.add(offsets[i + 4] as usize + first);
                *pair = _mm256_insertf128_ps::<1>(*pair, _mm_loadu_ps(row));
            }
        }
        let [a, b, c, d] = pairs;
        let even = [_mm256_shuffle_ps::<0x88>(a, b), _mm256_shuffle_ps::<0x88>(c, d)];
        let odd = [_mm256_shuffle_ps::<0xdd>(a, b), _mm256_shuffle_ps::<0xdd>(c, d)];
        [
            _mm256_shuffle_ps::<0x88>(even[0], even[1]),
            _mm256_shuffle_ps::<0x88>(odd[0], odd[1]),
            _mm256_shuffle_ps::<0xdd>(even[0], even[1]),
            _mm256_shuffle_ps::<0xdd>(odd[0], odd[1]),
        ]
    }
    let (mut offsets, mut largest) = ([0; CHUNK], 0);
    for (offset, x) in offsets.iter_mut().zip(x) {
        *offset = (x.abs() * 2.0 + SHIFTER).to_bits() % INTERVALS as u32 * 8;
        largest = x.abs().to_bits().max(largest);
    }
    let groups = x.as_chunks::<8>().0.iter().zip(g.as_chunks_mut::<8>().0);
    for ((x, g), offsets) in groups.zip(offsets.as_chunks::<8>().0) {
        let ([b, c0, c1, c2], [c3, c4, c5, _]) = (columns(offsets, 0), columns(offsets, 4));
        // SAFETY: `x` and `g` are 32 bytes each; loads and stores need no alignment.
        unsafe {
            let a = _mm256_andnot_ps(_mm256_set1_ps(-0.0), _mm256_loadu_ps(x.as_ptr()));
            let r = _mm256_sub_ps(a, b);
            let mut value = c5;
            for c in [c4, c3, c2, c1, c0] {
                value = _mm256_fmadd_ps(value, r, c);
            }
            _mm256_storeu_ps(g.as_mut_ptr(), value);
        }
    }
    largest > LARGEST
}
