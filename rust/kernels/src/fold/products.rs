//! Σ factor·(x_m − x) over classes whose logits are float32 or were halves, in float64.
//!
//! Where the factor is 0, x may be −∞: then the product would be NaN, and has to count as 0. To look for such classes takes
//! up to a third of the time of the products, and most rows have none. So they are not looked for until a sum is NaN: its
//! chunks are then summed again, and the later ones the same way. (Of another factor, −∞ makes the sum infinite.)

use nll_simd::{CHUNK_LANES, Isa, Real, SUM_LANES, zip};

/// Some chunks of factors, and the classes that they belong to.
type Chunks<'c, F, V> = (&'c [[V; CHUNK_LANES]], &'c [[F; CHUNK_LANES]]);

/// Adds factor·(x_m − x) of some chunks to `sum`, lane by lane. `is_masked` says whether to look for −∞, and becomes true
/// where that turns out to be necessary.
#[inline(always)]
pub(super) fn add_products_below<S: Isa, F: Real, V: Real>(
    isa: S,
    x_m: f64,
    chunks: Chunks<'_, F, V>,
    sum: &mut [f64; CHUNK_LANES],
    is_masked: &mut bool,
) {
    if !*is_masked {
        let found = products::<S, F, V, false>(isa, x_m, chunks, *sum);
        let mut eight = [0.0; SUM_LANES];
        for sums in found.as_chunks().0 {
            eight = zip(eight, *sums, |a, b| a + b);
        }
        *is_masked = eight.iter().fold(false, |any, sum| any | sum.is_nan());
        if !*is_masked {
            *sum = found;
            return;
        }
    }
    add_masked(isa, x_m, chunks, sum);
}

/// [`add_products_below`] of the classes after the last full chunk, with a look for −∞.
#[inline(always)]
pub(super) fn add_rest<S: Isa, F: Real, V: Real>(
    isa: S,
    x_m: f64,
    (factors, x): (&[V], &[F]),
    sum: &mut [f64; CHUNK_LANES],
) {
    if !x.is_empty() {
        let (mut rest_factors, mut rest) = ([V::ZERO; CHUNK_LANES], [F::ZERO; CHUNK_LANES]);
        rest_factors[..x.len()].copy_from_slice(factors);
        rest[..x.len()].copy_from_slice(x);
        *sum = products::<S, F, V, true>(isa, x_m, (&[rest_factors], &[rest]), *sum);
    }
}

/// `sum` with the products of some chunks.
#[inline(always)]
fn products<S: Isa, F: Real, V: Real, const MASKED: bool>(
    isa: S,
    x_m: f64,
    (factors, x): Chunks<'_, F, V>,
    mut sum: [f64; CHUNK_LANES],
) -> [f64; CHUNK_LANES] {
    for (factors, x) in factors.iter().zip(x) {
        for i in 0..CHUNK_LANES {
            let (factor, below) = (factors[i].to_f64(), x_m - x[i].to_f64());
            let below = if MASKED && factor == 0.0 { 0.0 } else { below };
            sum[i] = isa.mul_add(factor, below, sum[i]);
        }
    }
    sum
}

/// [`products`] of chunks that may have a class at −∞.
///
/// Called, not inlined: the usual way has the registers for itself.
#[inline(never)]
fn add_masked<S: Isa, F: Real, V: Real>(
    isa: S,
    x_m: f64,
    chunks: Chunks<'_, F, V>,
    sum: &mut [f64; CHUNK_LANES],
) {
    isa.vectorize(
        #[inline(always)]
        || *sum = products::<S, F, V, true>(isa, x_m, chunks, *sum),
    );
}
