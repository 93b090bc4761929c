//! What a loss of rows with a class as target is to the loop over all rows.

use nll_simd::Isa;
use std::ops::Range;

/// How many losses are added and written together.
pub(crate) const BLOCK_ROWS: usize = 256;

/// A loss of rows, a block at a time.
pub(crate) trait RowLoss: Sync {
    /// Scratch memory that a thread keeps from block to block.
    type Memory: Default + Send;

    /// Whether the target is compared with the other classes.
    const KNOWS_TOP1: bool;

    /// The first row of `rows` that counts and has an entry of which there is no loss.
    fn first_bad(&self, rows: Range<usize>) -> Option<usize>;

    /// Writes the loss of every row of `rows` that counts, and whether its target is the first
    /// largest class. Returns [`RowLoss::first_bad`], and losses only if there is none.
    fn losses<S: Isa>(
        &self,
        isa: S,
        rows: Range<usize>,
        memory: &mut Self::Memory,
        loss: &mut [f64; BLOCK_ROWS],
        is_top1: &mut [bool; BLOCK_ROWS],
    ) -> Option<usize>;
}
