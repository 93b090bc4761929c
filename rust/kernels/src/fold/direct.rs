//! The divergence of two rows of float32 by its definition, in one sweep and in float64.
//!
//! ```text
//! S = Σ e^a,  R = Σ e^b,  T = Σ e^a·(a − b),   a = x − x_m,  b = y − y_m
//! divergence  =  T/S + log(R/S)
//! ```
//!
//! x_m and y_m are the largest logits of the blocks so far. If there is a larger one, e^a and e^b become smaller by a
//! factor each, and a − b changes by the same for all classes.
//!
//! Two nearly equal rows have no digits left then ([`divergence::direct`] says which), and are computed again as
//! [`Divergence`](crate::fold::Divergence) says. So are the rare rows that the sums cannot represent.

use crate::data::rows::{BLOCK, Block};
use crate::data::scratch::Scratch;
use crate::fold::others::Others;
use crate::fold::{Fold, Related};
use crate::math::divergence;
use crate::math::terms::{NONE, max2, min2, position, range};
use nll_simd::math::exp_nonpositive;
use nll_simd::{Eights, Isa, LaneSum, PairSums, Prefetch, Real, SUM_LANES};

/// The sums by which a divergence is computed directly; of float32 alone.
pub struct Direct {
    /// x_m and y_m, …
    largest: [f64; 2],
    /// … and the first places where they stand.
    at: [usize; 2],
    /// S, R and T.
    sums: [LaneSum; 3],
    /// Whether the row is to be computed in the other way.
    is_given_up: bool,
}

/// Two rows differ by so little if their first classes do that the sums would be in vain.
const NEAR: f32 = 1.0 / 160.0;

/// How many first classes are looked at.
const LOOKED_AT: usize = 128;

/// Divergences below it may have lost digits: up to 64 small terms are added to the largest one's e^0 before rounding errors
/// are kept, and all may be rounded the same way.
const LEAST: f64 = 1.0 / 4_194_304.0;

/// How many classes are added in lanes before these are added with their rounding errors.
const PIECE: usize = 512;

/// How many classes of the next block are fetched at a time.
const FETCH: usize = 128;

impl Direct {
    /// Of no classes.
    #[inline(always)]
    pub fn empty() -> Self {
        Direct {
            largest: [f64::NEG_INFINITY; 2],
            at: [NONE; 2],
            sums: [LaneSum::ZERO; 3],
            is_given_up: false,
        }
    }

    /// Notes where the largest logits of a block stand, if they are larger than those before.
    #[cold]
    #[inline(never)]
    fn find<S: Isa>(&mut self, isa: S, first: usize, blocks: [(&[f32], f32); 2]) {
        isa.vectorize(
            #[inline(always)]
            || {
                for (k, (x, most)) in blocks.into_iter().enumerate() {
                    if f64::from(most) > self.largest[k] {
                        self.at[k] = position(x, most).map_or(NONE, |at| first + at);
                    }
                }
            },
        );
    }

    /// Brings the sums to larger logits.
    #[cold]
    #[inline(never)]
    fn raise<S: Isa>(&mut self, isa: S, largest: [f64; 2]) {
        isa.vectorize(
            #[inline(always)]
            || {
                let [by_x, by_y] = [0, 1].map(|k| largest[k] - self.largest[k]);
                // Before the first class the sums are 0.
                if by_x < f64::INFINITY && by_y < f64::INFINITY {
                    let [p_sum, q_sum, products] = self.sums;
                    let p_factor = exp_nonpositive(isa, -by_x);
                    let q_factor = exp_nonpositive(isa, -by_y);
                    let (p_sum, q_sum) = (p_sum.scaled(p_factor), q_sum.scaled(q_factor));
                    let products = products.scaled(p_factor);
                    let products = products.merge::<f64>(p_sum.scaled(by_y - by_x));
                    self.sums = [p_sum, q_sum, products];
                }
                self.largest = largest;
            },
        );
    }

    #[inline(always)]
    fn add<S: Isa>(&mut self, isa: S, numbers: [&[f32]; 2], ahead: ([Prefetch; 2], usize)) {
        let found = piece_sums(isa, numbers, self.largest, ahead);
        for (sum, found) in self.sums.iter_mut().zip(found) {
            *sum = sum.merge::<f64>(LaneSum::ZERO.add_f64::<f32>(found));
        }
    }

    /// Adds classes of which some may be out of reach.
    #[cold]
    #[inline(never)]
    fn add_far<S: Isa>(&mut self, isa: S, [x, y]: [&[f32]; 2]) {
        for (x, y) in x.chunks(PIECE).zip(y.chunks(PIECE)) {
            let mut within = [[0.0; PIECE]; 2];
            self.is_given_up |= write_within(isa, [x, y], self.largest, &mut within);
            let [x, y] = within.each_ref().map(|within| &within[..x.len()]);
            self.add_all(isa, [x, y], ([Prefetch::NOTHING; 2], 0));
        }
    }

    /// Adds classes, the last of them with others that count as nothing.
    #[inline(always)]
    fn add_all<S: Isa>(
        &mut self,
        isa: S,
        [x, y]: [&[f32]; 2],
        (prefetch, start): ([Prefetch; 2], usize),
    ) {
        let full = x.len() - x.len() % SUM_LANES;
        for first in (0..full).step_by(PIECE) {
            let piece = first..(first + PIECE).min(full);
            self.add(isa, [&x[piece.clone()], &y[piece]], (prefetch, start + first));
        }
        if full < x.len() {
            let mut last =
                self.largest.map(|largest| [(largest - Eights::REACH) as f32; SUM_LANES]);
            for (last, x) in last.iter_mut().zip([x, y]) {
                last[..x.len() - full].copy_from_slice(&x[full..]);
            }
            self.add(isa, [&last[0], &last[1]], ([Prefetch::NOTHING; 2], 0));
        }
    }
}

/// Two logits of a class, each raised to what is in reach of its largest, and whether that may change the divergence: if
/// that of y is raised and that of x is not, or q is 0 and p is not.
#[inline(always)]
pub(super) fn within_reach([x, y]: [f32; 2], [x_m, y_m]: [f64; 2]) -> ([f32; 2], bool) {
    let [x_least, y_least] = [x_m - Eights::REACH, y_m - Eights::REACH];
    let [x_is_far, y_is_far] = [f64::from(x) < x_least, f64::from(y) < y_least];
    let is_impossible = (y == f32::NEG_INFINITY) & (x > f32::NEG_INFINITY);
    let x = if x_is_far { x_least as f32 } else { x };
    let y = if y_is_far { y_least as f32 } else { y };
    ([x, y], (y_is_far & !x_is_far) | is_impossible)
}

/// Whether float32 has too few numbers near one of the largest logits for another to be raised to what is in reach.
#[inline(always)]
pub(super) fn are_coarse([x_m, y_m]: [f64; 2]) -> bool {
    const COARSE: f64 = 16384.0;
    (x_m.abs() > COARSE) | (y_m.abs() > COARSE)
}

/// Writes classes [`within_reach`], and returns whether that changes the divergence.
#[inline(never)]
fn write_within<S: Isa>(
    isa: S,
    [x, y]: [&[f32]; 2],
    largest: [f64; 2],
    [x_to, y_to]: &mut [[f32; PIECE]; 2],
) -> bool {
    isa.vectorize(
        #[inline(always)]
        || {
            let mut any = 0;
            for ((x, y), (x_to, y_to)) in x.iter().zip(y).zip(x_to.iter_mut().zip(y_to)) {
                let ([x, y], is_cut_off) = within_reach([*x, *y], largest);
                (*x_to, *y_to) = (x, y);
                any |= u32::from(is_cut_off);
            }
            any != 0
        },
    )
}

/// Whether the differences of some classes all are nearly the same.
#[inline(never)]
fn are_near<S: Isa>(isa: S, [x, y]: [&[f32]; 2]) -> bool {
    isa.vectorize(
        #[inline(always)]
        || {
            let [mut most, mut least] =
                [[f32::NEG_INFINITY; SUM_LANES], [f32::INFINITY; SUM_LANES]];
            let [x, y] = [x, y].map(|x| x.as_chunks::<SUM_LANES>().0);
            for (x, y) in x.iter().zip(y) {
                for i in 0..SUM_LANES {
                    let d = x[i] - y[i];
                    most[i] = max2(d, most[i]);
                    least[i] = min2(d, least[i]);
                }
            }
            let ([_, most], [least, _]) = (range(&most), range(&least));
            // Without a number among them, it is −∞.
            (0.0..NEAR).contains(&(most - least))
        },
    )
}

/// The sums of some classes, a multiple of eight.
#[inline(never)]
fn piece_sums<S: Isa>(
    isa: S,
    [x, y]: [&[f32]; 2],
    largest: [f64; 2],
    (prefetch, first): ([Prefetch; 2], usize),
) -> PairSums {
    isa.vectorize(
        #[inline(always)]
        || {
            let mut sums = [[0.0; SUM_LANES]; 5];
            let [x_m, y_m] = largest.map(|largest| [largest; SUM_LANES]);
            for (i, (x, y)) in x.chunks(FETCH).zip(y.chunks(FETCH)).enumerate() {
                for prefetch in prefetch {
                    prefetch.fetch_behind(first + i * FETCH, BLOCK / 2, x.len());
                }
                let shape = [SUM_LANES, x.len() / SUM_LANES];
                let pairs = [Eights::new(x, shape, &x_m), Eights::new(y, shape, &y_m)];
                isa.add_pair_sums::<false>(pairs, &mut sums);
            }
            sums
        },
    )
}

/// What is known of two rows by their sums.
#[derive(Clone, Copy)]
pub struct DirectRow {
    /// The divergence.
    pub value: f64,
    log_ratio: f64,
    largest: [f64; 2],
    at: [usize; 2],
    /// S and R.
    sums: [f64; 2],
}

impl DirectRow {
    /// The largest logit of each row, and the sum of the others' terms.
    #[inline(always)]
    pub fn sides<S: Isa, F: Real>(&self, isa: S) -> [Others<F>; 2] {
        [0, 1].map(|k| Others::of_sum(isa, F::from_f64(self.largest[k]), self.at[k], self.sums[k]))
    }

    /// What the slopes of the divergence need; `sides` are those of these rows.
    #[inline(always)]
    pub fn related<S: Isa, F: Real>(&self, isa: S, sides: &[Others<F>; 2]) -> Related<F> {
        Related::of_direct(isa, sides.each_ref(), [self.value, self.log_ratio])
    }
}

impl<F: Real> Fold<F, 2> for Direct {
    /// None if the row is to be computed in the other way, as all that is not float32.
    type Row = Option<DirectRow>;

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F, 2>, _scratch: &mut Scratch<F>) {
        let [Some(x), Some(y)] = block.classes().map(F::same::<f32>) else { return };
        let y = &y[..x.len()];
        let looked_at = LOOKED_AT.min(x.len());
        if self.is_given_up
            || (block.first == 0 && are_near(isa, [&x[..looked_at], &y[..looked_at]]))
        {
            self.is_given_up = true;
            return;
        }
        let ([x_least, x_most], [y_least, y_most]) = (range(x), range(y));
        let largest =
            [max2(f64::from(x_most), self.largest[0]), max2(f64::from(y_most), self.largest[1])];
        if largest != self.largest {
            self.find(isa, block.first, [(x, x_most), (y, y_most)]);
            self.raise(isa, largest);
        }
        if are_coarse(largest) {
            self.is_given_up = true;
            return;
        }
        let [x_reach, y_reach] = largest.map(|largest| largest - Eights::REACH);
        if f64::from(x_least) >= x_reach && f64::from(y_least) >= y_reach {
            self.add_all(isa, [x, y], (block.prefetch, 0));
        } else {
            self.add_far(isa, [x, y]);
        }
    }

    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, mut later: Self) {
        let [x_m, y_m] = [0, 1].map(|k| max2(later.largest[k], self.largest[k]));
        for k in 0..2 {
            let is_later = later.largest[k] > self.largest[k];
            self.at[k] = if is_later { later.at[k] } else { self.at[k] };
        }
        for state in [&mut *self, &mut later] {
            state.raise(isa, [x_m, y_m]);
        }
        for (sum, later) in self.sums.iter_mut().zip(later.sums) {
            *sum = sum.merge::<f64>(later);
        }
        self.is_given_up |= later.is_given_up;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, isa: S) -> Option<DirectRow> {
        if self.is_given_up || F::COMPENSATED {
            return None;
        }
        let sums = self.sums.map(|sum| sum.value::<f64>());
        let [p_rest, q_rest] = [sums[0], sums[1]].map(|sum| (sum - 1.0).max(f64::EPSILON));
        let [p_sum, q_sum, products] = sums;
        let all = [p_sum, q_sum, products, p_rest, q_rest];
        let [value, log_ratio] = divergence::direct(isa, all);
        let Direct { largest, at, .. } = *self;
        let row = DirectRow { value, log_ratio, largest, at, sums: [sums[0], sums[1]] };
        (value > LEAST).then_some(row)
    }
}
