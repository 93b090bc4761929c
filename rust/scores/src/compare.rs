//! How two arrays of logits differ, row by row, from one read of both: the call.

use crate::score_columns::Classes;
use nll_kernels::Error;
use nll_kernels::call::{check_equal_shapes, check_targets};
use nll_kernels::data::array::Array;
use nll_kernels::data::drive::Split;
use nll_kernels::data::out::Out;
use nll_kernels::data::targets::Targets;

/// How two arrays of logits differ.
pub struct Compare<'a> {
    /// The logits of p; the last axis is the class axis.
    pub p_logits: &'a Array<'a>,
    /// The logits of q.
    pub q_logits: &'a Array<'a>,
    /// What happened in each row, and which rows count.
    pub targets: Targets<'a>,
    /// How many of the largest classes are compared.
    pub top_k: usize,
}

/// The arrays that [`Compare`] writes, a number for each row.
pub struct CompareColumns<'a> {
    /// In this order: KL(p‖q), KL(q‖p), the Jensen-Shannon divergence, the total variation, the entropy
    /// of p, log p of p's largest class, log p of the target, and log q of the target.
    pub numbers: [Out<'a>; 8],
    /// In this order: the largest class of p, and of q; how many of p's first k classes are among q's
    /// first k; and 1 if these are the same in the same order, else 0.
    pub classes: [Classes<'a>; 4],
}

impl Split for CompareColumns<'_> {
    fn split_off(&mut self, items: usize) -> Self {
        CompareColumns {
            numbers: self.numbers.split_off(items),
            classes: self.classes.split_off(items),
        }
    }
}

impl Compare<'_> {
    /// An error if the shapes do not fit.
    pub fn check(&self) -> Result<(), Error> {
        let arrays = [("p_logits", self.p_logits), ("q_logits", self.q_logits)];
        check_equal_shapes(&arrays)?;
        check_targets(arrays[0], &self.targets)
    }
}
