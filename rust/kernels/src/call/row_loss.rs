//! What a loss of rows with a class as target is to the loop over all rows.

use crate::data::rows::GROUP;
use crate::data::targets::Targets;
use nll_simd::Isa;
use std::ops::Range;

/// How many losses are added and written together.
pub const BLOCK_ROWS: usize = 256;

/// A loss of rows, a block at a time.
pub trait RowLoss: Sync {
    /// Scratch memory that a thread keeps from block to block.
    type Memory: Default + Send;

    /// Whether the target is compared with the other classes.
    const KNOWS_TOP1: bool;

    /// The first row of `rows` that counts and has an entry of which there is no loss.
    fn first_bad(&self, targets: Targets<'_>, rows: Range<usize>) -> Option<usize>;

    /// Writes the loss of every row of `rows` that counts, and whether its target is the first
    /// largest class. Returns [`RowLoss::first_bad`], and losses only if there is none. The targets
    /// are a copy, in which those that count have been [checked](Targets::read_checked).
    fn losses<S: Isa>(
        &self,
        isa: S,
        targets: Targets<'_>,
        rows: Range<usize>,
        memory: &mut Self::Memory,
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) -> Option<usize>;
}

/// Losses of a group of rows that are known already.
pub struct KnownLosses {
    /// The first row.
    first: usize,
    /// The loss of each row.
    pub loss: [f64; GROUP],
    /// Whether its target is the first largest class.
    pub is_top1: [bool; GROUP],
}

impl KnownLosses {
    /// The losses of the rows from `first` on, 0 until they are computed.
    pub fn of(first: usize) -> Self {
        KnownLosses { first, loss: [0.0; GROUP], is_top1: [false; GROUP] }
    }
}

impl RowLoss for KnownLosses {
    type Memory = ();

    const KNOWS_TOP1: bool = true;

    fn first_bad(&self, _targets: Targets<'_>, _rows: Range<usize>) -> Option<usize> {
        None
    }

    #[inline(always)]
    fn losses<S: Isa>(
        &self,
        _isa: S,
        _targets: Targets<'_>,
        rows: Range<usize>,
        (): &mut (),
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) -> Option<usize> {
        let rows = rows.start - self.first..rows.end - self.first;
        loss[..rows.len()].copy_from_slice(&self.loss[rows.clone()]);
        is_top1[..rows.len()].copy_from_slice(&self.is_top1[rows]);
        None
    }
}
