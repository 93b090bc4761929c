//! Totals of a call, which are the same however its rows or elements are split.

use crate::data::drive::Merge;
use crate::data::exact_sum::ExactSum;
use nll_simd::{Isa, Real};

/// Which totals of a call are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Totaled {
    /// None.
    Nothing,
    /// The sums and counts.
    Sum,
    /// [`Moments`] too.
    Moments,
}

/// Exact sums of products, from which the standard error of the mean follows. With the weight w of a
/// loss, and v = w·loss as it was summed:
#[derive(Clone, Debug, Default)]
pub struct Moments {
    /// Σ v²
    pub squares: ExactSum,
    /// Σ w·v and Σ w²; None where every weight is 1.
    pub weighted: Option<Box<[ExactSum; 2]>>,
}

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
    /// The sums of products; None if they were not wanted.
    pub moments: Option<Box<Moments>>,
}

impl Totals {
    /// The sum of the weights.
    pub fn weight(&self) -> f64 {
        self.weight.as_ref().map_or(self.count as f64, |weight| weight.value())
    }

    /// The totals of no losses.
    #[inline]
    pub fn empty(weighted: bool, totaled: Totaled) -> Totals {
        let moments = (totaled == Totaled::Moments).then(|| {
            Box::new(Moments { weighted: weighted.then(Box::default), ..Moments::default() })
        });
        Totals { weight: weighted.then(Box::default), moments, ..Totals::default() }
    }

    /// Adds losses that were multiplied by their weights, if these are given.
    #[inline(always)]
    pub fn add_values<S: Isa, F: Real>(&mut self, isa: S, values: &[F], weights: Option<&[F]>) {
        self.sum.add_block(isa, values);
        if let (Some(sum), Some(weights)) = (&mut self.weight, weights) {
            sum.add_block(isa, weights);
        }
        if let Some(moments) = &mut self.moments {
            moments.squares.add_products(isa, values, values);
            if let (Some(sums), Some(weights)) = (&mut moments.weighted, weights) {
                let [products, squares] = &mut **sums;
                products.add_products(isa, weights, values);
                squares.add_products(isa, weights, weights);
            }
        }
    }

    /// Adds results, of which there are at most `MOST`, as they are about to be written: rounded to float32, unless
    /// they are `double`.
    #[inline(always)]
    pub fn add_results<S: Isa, const MOST: usize>(
        &mut self,
        isa: S,
        values: &mut [f64],
        weights: Option<&[f64]>,
        double: bool,
    ) {
        self.count += values.len() as u64;
        if double {
            return self.add_values(isa, values, weights);
        }
        let mut rounded = [0.0f32; MOST];
        let rounded = &mut rounded[..values.len()];
        for (value, rounded) in values.iter_mut().zip(&mut *rounded) {
            *rounded = *value as f32;
            *value = f64::from(*rounded);
        }
        // float32 numbers are added faster. With weights, which are float64, `add_values` needs both in one type.
        match weights {
            None => self.add_values(isa, rounded, None),
            Some(_) => self.add_values(isa, values, weights),
        }
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
        self.moments = Moments::of_both(&mut self, &other);
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

    /// Whether the sum is NaN.
    #[inline]
    pub fn is_nan(&self) -> bool {
        self.sum.special().is_nan()
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.count == 0 && self.ignored.is_none()
    }
}

impl Moments {
    /// The moments of both totals; None if one of them lacks them.
    fn of_both(totals: &mut Totals, others: &Totals) -> Option<Box<Moments>> {
        let (mut mine, theirs) = (totals.moments.take()?, others.moments.as_ref()?);
        mine.squares.merge(&theirs.squares);
        if mine.weighted.is_some() || theirs.weighted.is_some() {
            let with_weights = |moments: &Moments, totals: &Totals| {
                moments.weighted.clone().unwrap_or_else(|| {
                    // Each weight is 1.
                    Box::new([totals.sum.clone(), *plus_count(Box::default(), totals.count)])
                })
            };
            let (mut sums, more) = (with_weights(&mine, totals), with_weights(theirs, others));
            sums.iter_mut().zip(more.iter()).for_each(|(sum, more)| sum.merge(more));
            mine.weighted = Some(sums);
        }
        Some(mine)
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
