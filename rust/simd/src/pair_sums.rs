//! Σ e^a, Σ e^b and Σ e^a·(a − b) of pairs of float32, in float64, in one read of both arrays.
//!
//! ```text
//! e^a  =  2^(n/4) · e^r,   n = round(4a·log2 e),   r = a − n·(ln 2)/4
//! ```
//!
//! The addition of `SHIFTER` rounds to n and leaves it in the last bits of the sum. The last two of these choose one of the
//! [`POWERS`] 2^0 to 2^(3/4), the others are added to its exponent field. e^r is a polynomial.
//!
//! By intrinsics, because of a choice among four numbers LLVM makes a gather. As written, an exponential is a chain of
//! some 15 operations, each of which waits for the one before, and a CPU holds too few operations to have several steps
//! of the loop under way. So a step begins with the exponentials of the next one: half of the chain.

use crate::width::{CHUNK_LANES, SUM_LANES};

pub(crate) const FOURTHS: f64 = 4.0 * core::f64::consts::LOG2_E;
pub(crate) const FOURTH: f64 = 0.25 * core::f64::consts::LN_2;
/// The ulp of a sum with it is 1.
pub(crate) const SHIFTER: f64 = 6_755_399_441_055_744.0;
/// e^r for |r| ≤ (ln 2)/8, from `benches/exp_coefficients.py`: relative error 2^−49.4, none at 0.
pub(crate) const EXP: [f64; 8] = [
    1.0,
    1.0,
    0.5000000000011485,
    0.16666666666679428,
    0.04166666544300315,
    0.008333333197374072,
    0.0013892148160989887,
    0.00019844891186049444,
];
/// The bits of 2^(j/4) for j from 0 to 3, less the j·2^50 that the shifted n adds to them beside its exponent. Twice,
/// because a register of AVX-512 has eight.
pub(crate) const POWERS: [u64; 8] = {
    let powers: [f64; 4] = [1.0, 1.189207115002721, core::f64::consts::SQRT_2, 1.681792830507429];
    let mut bits = [0; 8];
    let mut i = 0;
    while i < 8 {
        bits[i] = powers[i % 4].to_bits() - ((i as u64 % 4) << 50);
        i += 1;
    }
    bits
};

/// Some float32 in each of eight lanes, eight neighbours in memory at a time. None is more than [`REACH`](Eights::REACH) below
/// the largest of its lane.
#[derive(Clone, Copy)]
pub struct Eights<'s> {
    memory: &'s [f32],
    stride: usize,
    /// How many there are in a lane.
    pub(crate) count: usize,
    /// The largest of each lane.
    pub(crate) largest: &'s [f64; SUM_LANES],
}

impl<'s> Eights<'s> {
    /// How far below the largest a number may be for its exponential to be a normal number. e^−700 is nothing beside e^0.
    pub const REACH: f64 = 700.0;

    /// `count` times eight numbers, at least once, that begin `stride` apart, and the largest of each lane.
    #[inline(always)]
    pub fn new(
        memory: &'s [f32],
        [stride, count]: [usize; 2],
        largest: &'s [f64; SUM_LANES],
    ) -> Self {
        Eights { memory, stride, count, largest }
    }

    #[inline(always)]
    pub(crate) fn get(&self, step: usize) -> &'s [f32; SUM_LANES] {
        self.memory[step * self.stride..].first_chunk().expect("eight numbers")
    }
}

/// Σ e^a, Σ e^b and Σ e^a·(a − b) of each of eight lanes, and if wanted Σ e^a and Σ e^b of the numbers below the largest:
/// beside e^0, the digits of small ones are lost.
pub type PairSums = [[f64; SUM_LANES]; 5];

/// Where terms go: to eight lanes from number `.1` on, a line of all lanes for each step.
pub type TermLines<'t> = ([&'t mut [[f32; CHUNK_LANES]]; 2], usize);

/// 2^90: the term of the largest number, if terms are kept as float32. Those far below keep their digits.
pub const LARGEST_TERM: f64 = f64::from_bits((1023 + 90) << 52);

/// [`POWERS`] times [`LARGEST_TERM`].
pub(crate) const LARGE_POWERS: [u64; 8] = {
    let mut bits = POWERS;
    let mut i = 0;
    while i < 8 {
        bits[i] += 90 << 52;
        i += 1;
    }
    bits
};

/// a·b + c and c − a·b of an instruction set: a module that all sets need can import none.
pub(crate) trait Arithmetic: Copy {
    fn product_plus(self, a: f64, b: f64, c: f64) -> f64;
    fn less_product(self, c: f64, a: f64, b: f64) -> f64;
}

/// [`Isa::add_pair_sums`](crate::Isa::add_pair_sums) and [`Isa::add_pair_terms`](crate::Isa::add_pair_terms) as text, with
/// what to do with each e^a and e^b of a step.
#[inline(always)]
pub(crate) fn add<const REST: bool>(
    by: impl Arithmetic,
    [x, y]: [Eights<'_>; 2],
    sums: &mut PairSums,
    powers: &[u64; 8],
    mut take: impl FnMut(usize, [&[f64; SUM_LANES]; 2]),
) {
    let [mut p_sum, mut q_sum, mut products, mut p_rest, mut q_rest] = *sums;
    let (x_m, y_m) = (x.largest, y.largest);
    for step in 0..x.count {
        let (x, y, [mut p, mut q]) = (x.get(step), y.get(step), [[0.0; SUM_LANES]; 2]);
        for i in 0..SUM_LANES {
            let [a, b] = [f64::from(x[i]) - x_m[i], f64::from(y[i]) - y_m[i]];
            [p[i], q[i]] = [exp(by, a, powers), exp(by, b, powers)];
            p_sum[i] += p[i];
            q_sum[i] += q[i];
            products[i] = by.product_plus(p[i], a - b, products[i]);
            if REST {
                p_rest[i] += if a < 0.0 { p[i] } else { 0.0 };
                q_rest[i] += if b < 0.0 { q[i] } else { 0.0 };
            }
        }
        take(step, [&p, &q]);
    }
    *sums = [p_sum, q_sum, products, p_rest, q_rest];
}

#[inline(always)]
fn exp(by: impl Arithmetic, a: f64, powers: &[u64; 8]) -> f64 {
    let shifted = by.product_plus(a, FOURTHS, SHIFTER);
    let r = by.less_product(a, shifted - SHIFTER, FOURTH);
    let n = shifted.to_bits();
    let power = f64::from_bits(powers[n as usize % 4].wrapping_add(n << 50));
    let mut value = EXP[7];
    for c in [EXP[6], EXP[5], EXP[4], EXP[3], EXP[2], EXP[1], EXP[0]] {
        value = by.product_plus(value, r, c);
    }
    value * power
}

/// [`Isa::add_pair_terms`](crate::Isa::add_pair_terms) as text.
#[inline(always)]
pub(crate) fn add_terms(
    by: impl Arithmetic,
    pairs: [Eights<'_>; 2],
    (lines, first): TermLines<'_>,
    sums: &mut PairSums,
) {
    let [p_lines, q_lines] = lines;
    add::<true>(
        by,
        pairs,
        sums,
        &LARGE_POWERS,
        #[inline(always)]
        |step, [p, q]| {
            for i in 0..SUM_LANES {
                p_lines[step][first + i] = p[i] as f32;
                q_lines[step][first + i] = q[i] as f32;
            }
        },
    );
}
