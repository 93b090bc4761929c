//! Totals of a call, which are the same however its rows or elements are split.

use crate::data::drive::Merge;
use crate::data::exact_sum::ExactSum;
use nll_simd::Isa;

/// The exact sums and counts of the losses of a call, or of several.
#[derive(Clone, Debug, Default)]
pub struct Totals {
    /// Σ loss
    pub sum: ExactSum,
    /// Σ weight; None where every weight is 1.
    pub weight: Option<Box<ExactSum>>,
    /// How many losses were counted.
    pub count: u64,
    /// How many rows were ignored; None where no row can be.
    pub ignored: Option<u64>,
    /// How many rows have their largest entry (the first of equals) at the target; None if unknown.
    pub top1: Option<u64>,
}

impl Totals {
    /// The sum of the weights.
    pub fn weight(&self) -> f64 {
        self.weight.as_ref().map_or(self.count as f64, |weight| weight.value())
    }

    /// Adds results as they are about to be written: rounded to float32, unless they are `double`.
    #[inline(always)]
    pub(crate) fn add_results<S: Isa>(&mut self, isa: S, values: &mut [f64], double: bool) {
        if !double {
            values.iter_mut().for_each(|value| *value = f64::from(*value as f32));
        }
        self.sum.add_block(isa, values);
        self.count += values.len() as u64;
    }

    /// The totals of both; a count that one of them lacks is unknown, unless that one is empty.
    #[must_use]
    #[expect(clippy::should_implement_trait, reason = "an operator would hide a merge of counts")]
    pub fn add(mut self, other: Totals) -> Totals {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        self.weight = match (self.weight, other.weight) {
            (None, None) => None,
            (Some(weight), None) => Some(plus_count(weight, other.count)),
            (None, Some(weight)) => Some(plus_count(weight, self.count)),
            (Some(mut weight), Some(others)) => {
                weight.merge(&others);
                Some(weight)
            }
        };
        self.sum.merge(&other.sum);
        self.count = self.count.saturating_add(other.count);
        self.ignored = self.ignored.zip(other.ignored).map(|(a, b)| a.saturating_add(b));
        self.top1 = self.top1.zip(other.top1).map(|(a, b)| a.saturating_add(b));
        self
    }

    fn is_empty(&self) -> bool {
        self.count == 0 && self.ignored.is_none()
    }
}

/// The sum of weights with `count` weights of 1 added.
fn plus_count(mut weight: Box<ExactSum>, count: u64) -> Box<ExactSum> {
    // Each half is a whole number that f64 holds exactly.
    let low = count & 0xffff_ffff;
    weight.add(low as f64);
    weight.add((count - low) as f64);
    weight
}

impl Merge for Totals {
    fn merge(self, other: Totals) -> Totals {
        self.add(other)
    }
}
