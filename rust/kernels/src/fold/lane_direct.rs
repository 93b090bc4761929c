//! The divergence of rows side by side by its definition, as in `direct.rs`, with a lane for each of 32 pairs.

use crate::data::lines::{LANES, Lines};
use crate::fold::direct::{are_coarse, within_reach};
use crate::math::divergence;
use crate::math::terms::{max2, min2};
use nll_simd::{Eights, Isa, LARGEST_TERM, Real, SUM_LANES};

/// What [`divergence::direct`] finds of each pair, and from what.
pub(super) struct LaneDirect {
    /// The divergence, NaN where it has to be computed in the other way.
    pub(super) value: [f64; LANES],
    /// log(R/S)
    pub(super) log_ratio: [f64; LANES],
    /// x_m and y_m.
    pub(super) largest: [[f64; LANES]; 2],
    /// S and R.
    pub(super) sums: [[f64; LANES]; 2],
}

/// Lines of both rows: where the terms e^a and e^b go, times [`LARGEST_TERM`], or memory.
type PairLines<'t, F> = [&'t mut [[F; LANES]]; 2];

/// How many classes are looked at to see whether two rows are nearly equal, …
const LOOKED_AT: usize = 4;

/// … which they are if their differences differ by less.
const NEAR: f32 = 1.0 / 512.0;

/// How many classes rows must have: of fewer, the sums take as long as the other way.
const LEAST_CLASSES: usize = 5;

impl LaneDirect {
    /// Of pairs that are computed in the other way.
    const NOTHING: LaneDirect = LaneDirect {
        value: [f64::NAN; LANES],
        log_ratio: [f64::NAN; LANES],
        largest: [[f64::NAN; LANES]; 2],
        sums: [[f64::NAN; LANES]; 2],
    };

    /// Of two rows in each lane; nothing of very few classes or of what is not float32. Writes the terms to `terms` if these are given, anything of
    /// pairs that are computed in the other way. `memory` has as many lines.
    #[inline(always)]
    pub(super) fn new<S: Isa, F: Real>(
        isa: S,
        lines: [Lines<'_, F>; 2],
        terms: Option<PairLines<'_, F>>,
        memory: PairLines<'_, F>,
    ) -> Self {
        if lines[0].classes() < LEAST_CLASSES {
            return LaneDirect::NOTHING;
        }
        let lines = lines.map(|lines| lines.typed(F::same::<f32>));
        match (terms.map(of_float32), of_float32(memory)) {
            (Some([Some(p), Some(q)]), [Some(x), Some(y)]) => {
                direct(isa, lines, Some([p, q]), [x, y])
            }
            (None, [Some(x), Some(y)]) => direct(isa, lines, None, [x, y]),
            _ => LaneDirect::NOTHING,
        }
    }

    /// Whether no pair was computed.
    #[inline(always)]
    pub(super) fn is_nothing(&self) -> bool {
        self.value.iter().fold(true, |all, value| all & value.is_nan())
    }

    /// Whether the divergences of the first `count` pairs are known.
    #[inline(always)]
    pub(super) fn is_complete(&self, count: usize) -> bool {
        self.value[..count].iter().fold(true, |all, value| all & !value.is_nan())
    }
}

/// The lines if they are of float32.
#[inline(always)]
fn of_float32<F: Real>(lines: PairLines<'_, F>) -> [Option<&mut [[f32; LANES]]>; 2] {
    lines.map(|lines| Some(F::as_f32_mut(lines.as_flattened_mut())?.as_chunks_mut().0))
}

#[inline(never)]
fn direct<S: Isa>(
    isa: S,
    lines: [Lines<'_, f32>; 2],
    terms: Option<PairLines<'_, f32>>,
    memory: PairLines<'_, f32>,
) -> LaneDirect {
    isa.vectorize(
        #[inline(always)]
        || direct_here(isa, lines, terms, memory),
    )
}

#[inline(always)]
fn direct_here<S: Isa>(
    isa: S,
    lines: [Lines<'_, f32>; 2],
    terms: Option<PairLines<'_, f32>>,
    [x_memory, y_memory]: PairLines<'_, f32>,
) -> LaneDirect {
    let ([x_least, x_m], [y_least, y_m]) = (range(lines[0]), range(lines[1]));
    let (mut is_excluded, largest, mut are_far) = (are_near(lines), [x_m, y_m], 0);
    for i in 0..LANES {
        is_excluded[i] |= u32::from(are_coarse([x_m[i], y_m[i]]));
        let x_is_far = x_least[i] < x_m[i] - Eights::REACH;
        are_far |= u32::from(x_is_far | (y_least[i] < y_m[i] - Eights::REACH));
    }
    if is_excluded.iter().fold(true, |all, excluded| all & (*excluded != 0)) {
        return LaneDirect::NOTHING;
    }
    let [p_sum, q_sum, products, p_rest, q_rest] = if are_far == 0 {
        lane_sums(isa, lines, &largest, terms)
    } else {
        let memory = [&mut *x_memory, &mut *y_memory];
        within(isa, lines, &largest, (memory, &mut is_excluded));
        let next = lines.map(|lines| lines.next());
        let within = [Lines::dense(x_memory, next[0]), Lines::dense(y_memory, next[1])];
        lane_sums(isa, within, &largest, terms)
    };
    let [mut value, mut log_ratio] = [[0.0; LANES]; 2];
    for i in 0..LANES {
        let sums = [p_sum[i], q_sum[i], products[i], p_rest[i], q_rest[i]];
        let found = divergence::direct(isa, sums);
        value[i] = if is_excluded[i] != 0 { f64::NAN } else { found[0] };
        log_ratio[i] = found[1];
    }
    LaneDirect { value, log_ratio, largest, sums: [p_sum, q_sum] }
}

/// Copies the classes to `memory`, each in reach of its largest, and excludes the rows where that changes something.
#[inline(never)]
fn within<S: Isa>(
    isa: S,
    lines: [Lines<'_, f32>; 2],
    [x_m, y_m]: &[[f64; LANES]; 2],
    ([x_memory, y_memory], is_excluded): (PairLines<'_, f32>, &mut [u32; LANES]),
) {
    isa.vectorize(
        #[inline(always)]
        || {
            let mut excluded = *is_excluded;
            for (class, (x_to, y_to)) in x_memory.iter_mut().zip(y_memory).enumerate() {
                let [x, y] = lines.map(|lines| lines.line(class));
                let [mut x_within, mut y_within] = [[0.0; LANES]; 2];
                for i in 0..LANES {
                    let (pair, is_cut_off) = within_reach([x[i], y[i]], [x_m[i], y_m[i]]);
                    [x_within[i], y_within[i]] = pair;
                    excluded[i] |= u32::from(is_cut_off);
                }
                (*x_to, *y_to) = (x_within, y_within);
            }
            *is_excluded = excluded;
        },
    );
}

/// The sums of rows all of whose classes are in reach of the largest, as [`divergence::direct`] takes them.
#[inline(always)]
fn lane_sums<S: Isa>(
    isa: S,
    lines: [Lines<'_, f32>; 2],
    largest: &[[f64; LANES]; 2],
    mut terms: Option<PairLines<'_, f32>>,
) -> [[f64; LANES]; 5] {
    let [mut p_sum, mut q_sum, mut products, mut p_rest, mut q_rest] = [[0.0; LANES]; 5];
    for (quarter, first) in (0..LANES).step_by(SUM_LANES).enumerate() {
        let mut sums = [[0.0; SUM_LANES]; 5];
        let [x, y] = &lines;
        let pairs = [x.eights(first, &largest[0]), y.eights(first, &largest[1])];
        match &mut terms {
            None => isa.add_pair_sums::<true>(pairs, &mut sums),
            Some([p, q]) => {
                isa.add_pair_terms(pairs, ([&mut **p, &mut **q], first), &mut sums);
                // Exact.
                sums = sums.map(|sums| sums.map(|sum| sum * (1.0 / LARGEST_TERM)));
            }
        }
        let all = [&mut p_sum, &mut q_sum, &mut products, &mut p_rest, &mut q_rest];
        for (all, sums) in all.into_iter().zip(sums) {
            all[first..][..SUM_LANES].copy_from_slice(&sums);
        }
        for lines in lines {
            lines.fetch_quarter(quarter);
        }
    }
    [p_sum, q_sum, products, p_rest, q_rest]
}

/// 1 for each pair whose first classes all differ by nearly the same.
#[inline(always)]
fn are_near([x_lines, y_lines]: [Lines<'_, f32>; 2]) -> [u32; LANES] {
    let [mut most, mut least] = [[f32::NEG_INFINITY; LANES], [f32::INFINITY; LANES]];
    let (mut are_numbers, mut is_near) = ([1; LANES], [0; LANES]);
    for class in 0..LOOKED_AT.min(x_lines.classes()) {
        let (x, y) = (x_lines.line(class), y_lines.line(class));
        for i in 0..LANES {
            let d = x[i] - y[i];
            most[i] = max2(d, most[i]);
            least[i] = min2(d, least[i]);
            // Of two classes at −∞ it is NaN, and tells nothing.
            are_numbers[i] &= u32::from(!d.is_nan());
        }
    }
    for i in 0..LANES {
        is_near[i] = are_numbers[i] & u32::from(most[i] - least[i] < NEAR);
    }
    is_near
}

/// The smallest and the largest class of each row.
#[inline(always)]
fn range(lines: Lines<'_, f32>) -> [[f64; LANES]; 2] {
    let [mut least, mut most] = [[f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]];
    let last = lines.classes() - 1;
    for class in (0..lines.classes()).step_by(4) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|i| lines.line((class + i).min(last)));
        for i in 0..LANES {
            most[i] = max2(max2(max2(a[i], b[i]), max2(c[i], d[i])), most[i]);
            least[i] = min2(min2(min2(a[i], b[i]), min2(c[i], d[i])), least[i]);
        }
    }
    let mut wide = [[0.0; LANES]; 2];
    for i in 0..LANES {
        [wide[0][i], wide[1][i]] = [f64::from(least[i]), f64::from(most[i])];
    }
    wide
}
