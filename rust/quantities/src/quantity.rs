//! Quantities of rows of classes, in which each class has its part, and what their arguments may be.

use nll_kernels::Error;
use nll_kernels::call::{
    check_equal_shapes, check_range_of_weights, check_row_weight, check_smoothing, check_weight,
};
use nll_kernels::data::array::Array;
use nll_kernels::data::rows::Rows;
use nll_kernels::data::targets::Counted;
use nll_kernels::fold::Weighting;

/// A quantity of each row; of logits x with p = softmax(x).
pub enum Quantity<'a> {
    /// −Σ p·log p
    Entropy {
        /// x
        logits: &'a Array<'a>,
    },
    /// −Σ_c w_c·((1 − ε)·y_c + ε/C)·log p_c
    SoftTarget {
        /// x
        logits: &'a Array<'a>,
        /// y
        target: &'a Array<'a>,
        /// w; None for a weight of 1 each.
        weight: Option<&'a [f64]>,
        /// ε
        label_smoothing: f64,
    },
    /// Σ p·(log p − log q), with q the softmax of other logits.
    Divergence {
        /// x
        p_logits: &'a Array<'a>,
        /// The logits of q.
        q_logits: &'a Array<'a>,
    },
    /// −Σ_c w_c·y_c·log p_c, with p as given.
    ExpectedLoss {
        /// p
        probs: &'a Array<'a>,
        /// y
        target: &'a Array<'a>,
        /// w; None for a weight of 1 each.
        weight: Option<&'a [f64]>,
        /// Whether p is first clipped to [ε, 1 − ε], with the machine epsilon of its type.
        clip: bool,
    },
    /// log Σ_c b_c·e^{x_c}
    WeightedSum {
        /// x
        logits: &'a Array<'a>,
        /// b
        factor: &'a Array<'a>,
    },
}

impl Quantity<'_> {
    /// Whether it is computed in float64: if any of its arrays is.
    pub fn is_double(&self) -> bool {
        let [first, second] = self.arrays();
        [first, second].iter().any(|(_, array)| array.is_double() == Some(true))
    }

    /// The logits, of a divergence those of p.
    pub fn logits(&self) -> &Array<'_> {
        self.arrays()[0].1
    }

    /// The other array: that of q, of targets or of factors; the logits again if there is none.
    pub fn second(&self) -> &Array<'_> {
        self.arrays()[1].1
    }

    pub(crate) fn arrays(&self) -> [(&'static str, &Array<'_>); 2] {
        match self {
            Quantity::Entropy { logits } => [("logits", logits); 2],
            Quantity::SoftTarget { logits, target, .. } => [("logits", logits), ("target", target)],
            Quantity::Divergence { p_logits, q_logits } => {
                [("p_logits", p_logits), ("q_logits", q_logits)]
            }
            Quantity::ExpectedLoss { probs, target, .. } => [("probs", probs), ("target", target)],
            Quantity::WeightedSum { logits, factor } => [("logits", logits), ("b", factor)],
        }
    }

    /// How the targets of a cross entropy are weighted; as they are, of anything else.
    pub(crate) fn weighting(&self) -> Weighting<'_> {
        let classes = Rows::new([self.logits()]).classes();
        match self {
            Quantity::SoftTarget { weight, label_smoothing: smoothing, .. } => {
                Weighting { weight: *weight, smoothing: *smoothing, classes }
            }
            _ => Weighting { weight: None, smoothing: 0.0, classes },
        }
    }

    /// An error if shapes or options do not fit.
    pub fn check(&self) -> Result<(), Error> {
        check_equal_shapes(&self.arrays())?;
        let weight = match self {
            Quantity::SoftTarget { weight, label_smoothing, .. } => {
                check_smoothing(*label_smoothing)?;
                *weight
            }
            Quantity::ExpectedLoss { weight, .. } => *weight,
            _ => None,
        };
        check_weight(weight, Rows::new([self.logits()]).classes())?;
        check_range_of_weights("weight", weight, self.is_double())
    }

    /// An error if shapes, options, or what says which rows count do not fit.
    pub(crate) fn check_rows(&self, rows: Counted<'_>) -> Result<(), Error> {
        self.check()?;
        let count = Rows::new([self.arrays()[0].1]).count();
        check_row_weight(rows.row_weight, count)?;
        check_range_of_weights("sample_weight", rows.row_weight, self.is_double())?;
        if let Some(mask) = rows.mask.filter(|mask| mask.len() != count) {
            let sentence = format!("mask has {} values, but there are {count} rows", mask.len());
            return Err(Error::Shapes(sentence));
        }
        Ok(())
    }
}
