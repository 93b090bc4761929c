//! The part of label smoothing that is linear in the logits.

use crate::data::rows::Block;
use crate::data::scratch::Scratch;
use crate::fold::Fold;
use nll_simd::{Isa, LaneSum, Real, SUM_LANES, zip};

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

impl<F: Real> Fold<F> for Linear<'_> {
    /// The sum, and the shift.
    type Row = [f64; 2];

    #[inline(always)]
    fn push<S: Isa>(&mut self, _isa: S, block: &Block<'_, F>, _scratch: &mut Scratch<F>) {
        let [classes] = block.classes();
        let weight = self.weight.map(|w| &w[block.first..][..block.length]).unwrap_or(&[]);
        if self.shift.is_none() {
            let first = (0..block.length).find(|&i| weight.get(i) != Some(&0.0));
            let x = first.map(|first| classes[first].to_f64());
            self.shift = x.map(|x| if x.is_finite() { x } else { 0.0 });
        }
        let shift = self.shift.unwrap_or(0.0);
        let term = |x: f64, w: f64| if w == 0.0 { 0.0 } else { w * (x - shift) };
        let (x, x_tail) = classes.as_chunks::<SUM_LANES>();
        let (w, w_tail) = weight.as_chunks::<SUM_LANES>();
        for (i, &x) in x.iter().enumerate() {
            let w = w.get(i).copied().unwrap_or([1.0; SUM_LANES]);
            self.total = self.total.add_f64::<F>(zip(F::widen(x), w, term));
        }
        let mut terms = [0.0; SUM_LANES];
        for (i, (to, &x)) in terms.iter_mut().zip(x_tail).enumerate() {
            *to = term(x.to_f64(), w_tail.get(i).copied().unwrap_or(1.0));
        }
        self.total = self.total.add_f64::<F>(terms);
        let end = block.first + block.length;
        self.classes = [if self.classes[1] == 0 { block.first } else { self.classes[0] }, end];
    }

    /// Brings the later sum to this shift: Σ w·(x − a) = Σ w·(x − b) + (b − a)·Σ w.
    #[inline(always)]
    fn merge<S: Isa>(&mut self, _isa: S, later: Self) {
        let (Some(mine), Some(theirs)) = (self.shift, later.shift) else {
            *self = if self.shift.is_none() { later } else { *self };
            return;
        };
        let [first, end] = later.classes;
        let weights = later.weight.map_or((end - first) as f64, |w| w[first..end].iter().sum());
        let mut sum = [0.0; SUM_LANES];
        [sum[0], sum[1]] = [later.total.value::<f64>(), (theirs - mine) * weights];
        self.total = self.total.add_f64::<F>(sum);
        self.classes[1] = end;
    }

    #[inline(always)]
    fn finish<S: Isa>(&self, _isa: S) -> [f64; 2] {
        [self.total.value::<f64>(), self.shift.unwrap_or(0.0)]
    }
}
