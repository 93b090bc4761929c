//! Losses of tables of probabilities: one entry of each row is read.

use nll_kernels::call::is_probability;
use nll_kernels::call::row_loss::{BLOCK_ROWS, RowLoss};
use nll_kernels::data::array::Array;
use nll_kernels::data::targets::Targets;
use nll_kernels::math::row;
use nll_simd::{CHUNK_LANES, Isa, Real};
use std::marker::PhantomData;
use std::ops::Range;

/// The loss in `F` of rows that are probabilities or log-probabilities: one entry of each row is
/// read.
pub(crate) struct Gather<'r, F> {
    pub(crate) array: &'r Array<'r>,
    pub(crate) classes: usize,
    /// Whether the entries are logarithms.
    pub(crate) logarithmic: bool,
    /// The least distance of a probability from 0 and 1; 0 for none.
    pub(crate) margin: f64,
    pub(crate) real: PhantomData<F>,
}

impl<F: Real> RowLoss for Gather<'_, F> {
    type Memory = ();

    const KNOWS_TOP1: bool = false;

    fn first_bad(&self, targets: Targets<'_>, mut rows: Range<usize>) -> Option<usize> {
        let Gather { array, classes, logarithmic, .. } = self;
        let is_bad = |row| {
            let class = targets.known(row, *classes);
            class.is_some_and(|class| !is_probability(array.entry(row, class)))
        };
        if *logarithmic { None } else { rows.find(|&row| is_bad(row)) }
    }

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        isa: S,
        targets: Targets<'_>,
        rows: Range<usize>,
        (): &mut (),
        loss: &mut [f64; BLOCK_ROWS],
        _is_top1: &mut [bool; BLOCK_ROWS],
    ) -> Option<usize> {
        // Only the vectors that hold rows, each of them whole: to compute all of `loss` would make one row as slow as a
        // block. Rows that are ignored, and what is behind the last one, have a probability that is allowed.
        let loss = &mut loss[..rows.len().next_multiple_of(CHUNK_LANES)];
        loss.fill(0.0);
        self.array.entries(rows.start, targets, &mut loss[..rows.len()]);
        if self.logarithmic {
            for loss in loss.iter_mut() {
                *loss = row::log_probability(*loss);
            }
        } else {
            // Without an end at the first, so that LLVM vectorises it.
            if loss.iter().fold(0, |bad, &p| bad | u32::from(!is_probability(p))) > 0 {
                return self.first_bad(targets, rows.clone()).or(Some(rows.start));
            }
            if self.margin > 0.0 {
                loss.iter_mut().for_each(|p| *p = p.clamp(self.margin, 1.0 - self.margin));
            }
            for loss in loss.iter_mut() {
                *loss = row::probability::<S, F>(isa, *loss);
            }
        }
        targets.weigh_classes(rows.start, &mut loss[..rows.len()]);
        None
    }
}
