//! The part of label smoothing that is linear in the logits.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use crate::fold::others::{PIECE, add_products};
use crate::math::row::finite;
use crate::math::terms::add_values;
use nll_simd::{Extended, Isa, LaneSum, Real, SUM_LANES, two_sum_error};

/// Σ_c w_c·(x_c − shift) and the shift: the first logit with a weight, so that a common offset
/// cancels before anything is rounded. A class of weight 0 adds 0, whatever its logit.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'w> {
    weight: Option<&'w [f64]>,
    shift: Option<f64>,
    total: LaneSum,
    /// The classes that are in, as their first and the one behind their last.
    classes: [usize; 2],
}

impl<'w> Linear<'w> {
    /// The sum over no classes, with a weight for each class of the row, or 1.
    #[inline(always)]
    pub fn empty(weight: Option<&'w [f64]>) -> Self {
        Linear { weight, shift: None, total: LaneSum::ZERO, classes: [0; 2] }
    }
}

/// w·(x − shift) rounded, and what that leaves where `F` is [`COMPENSATED`](nll_simd::Float::COMPENSATED).
#[inline(always)]
pub(crate) fn linear_term<S: Isa, F: Real>(isa: S, w: f64, [x, shift]: [f64; 2]) -> [f64; 2] {
    let d = x - shift;
    let product = w * d;
    if !F::COMPENSATED {
        return [product, 0.0];
    }
    let lost = two_sum_error(x, -shift, d);
    [product, finite(isa.mul_add(w, lost, isa.two_prod_error(w, d, product)))]
}

/// [`linear_term`] of every class; 0 of a class of weight 0, whatever its logit.
///
/// A function of its own: only as arguments are the slices known to be apart, without which the loop
/// is not vectorised.
#[inline(always)]
fn linear_terms<S: Isa, F: Real>(
    isa: S,
    (x, weight): (&[F], Option<&[f64]>),
    shift: f64,
    products: &mut [f64],
    lost: &mut [f64],
) {
    let Some(weight) = weight else {
        for i in 0..x.len() {
            [products[i], lost[i]] = linear_term::<S, F>(isa, 1.0, [x[i].to_f64(), shift]);
        }
        return;
    };
    for i in 0..x.len() {
        let [product, rest] = linear_term::<S, F>(isa, weight[i], [x[i].to_f64(), shift]);
        let counts = weight[i] != 0.0;
        products[i] = if counts { product } else { 0.0 };
        lost[i] = if counts { rest } else { 0.0 };
    }
}

impl<F: Real> Fold<F> for Linear<'_> {
    /// The sum, and the shift.
    type Row = (F::Extended, f64);

    #[inline(always)]
    fn push<S: Isa>(&mut self, isa: S, block: &Block<'_, F>, scratch: &mut Scratch<F>) {
        let [classes] = block.classes();
        let weight = self.weight.map(|w| &w[block.first..][..block.length]);
        if self.shift.is_none() {
            let first = (0..block.length).find(|&i| weight.is_none_or(|w| w[i] != 0.0));
            let x = first.map(|first| classes[first].to_f64());
            self.shift = x.map(|x| if x.is_finite() { x } else { 0.0 });
        }
        let shift = self.shift.unwrap_or(0.0);
        let (products, lost) = (scratch.rounded.first(PIECE, 0.0), scratch.lost.first(PIECE, 0.0));
        for start in (0..classes.len()).step_by(PIECE) {
            let end = classes.len().min(start + PIECE);
            let (x, weight) = (&classes[start..end], weight.map(|w| &w[start..end]));
            let whole = x.len().next_multiple_of(SUM_LANES);
            products[x.len()..whole].fill(0.0);
            linear_terms(isa, (x, weight), shift, &mut products[..x.len()], &mut lost[..x.len()]);
            if F::COMPENSATED {
                let words = [&products[..x.len()], &lost[..x.len()]];
                add_products::<S, F>(isa, words, &mut self.total);
            } else {
                for &eight in products[..whole].as_chunks().0 {
                    self.total = self.total.add_f64::<F>(eight);
                }
            }
        }
        let end = block.first + block.length;
        self.classes = [if self.classes[1] == 0 { block.first } else { self.classes[0] }, end];
    }

    /// Brings the later sum to this shift: Σ w·(x − a) = Σ w·(x − b) + (b − a)·Σ w.
    #[inline(always)]
    fn merge<S: Isa>(&mut self, isa: S, later: Self) {
        let (Some(mine), Some(theirs)) = (self.shift, later.shift) else {
            *self = if self.shift.is_none() { later } else { *self };
            return;
        };
        let [first, end] = later.classes;
        let weights = later.weight.map_or(F::Extended::new((end - first) as f64), |w| {
            let mut sum = LaneSum::ZERO;
            add_values::<S, F, _>(isa, &mut sum, &w[first..end]);
            sum.extended::<F>()
        });
        let moved = F::Extended::sum(theirs, -mine).mul(isa, weights);
        let mut sum = [0.0; SUM_LANES];
        [sum[0], sum[2]] = later.total.extended::<F>().words();
        [sum[1], sum[3]] = moved.words();
        self.total = self.total.add_f64::<F>(sum);
        self.classes[1] = end;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> (F::Extended, f64) {
        (self.total.extended::<F>(), self.shift.unwrap_or(0.0))
    }
}
