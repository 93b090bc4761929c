//! What can be wrong with the meaning of an input. `Display` is the sentence the user reads.

use core::fmt;

/// An input that has no answer, or a call that was stopped.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A target that names no class.
    Target {
        /// The target's value.
        value: i64,
        /// The first row that holds such a target, counted in C order.
        row: usize,
        /// How many classes there are.
        classes: usize,
    },
    /// A probability outside [0, 1].
    Probability {
        /// The value.
        value: f64,
        /// Its row.
        row: usize,
        /// Its class.
        class: usize,
    },
    /// A function that does not exist, or not with so many inputs: a mistake of ours.
    Function,
    /// Ctrl-C while the work was running.
    Interrupted,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Target { value, row, classes } => write!(
                f,
                "target {value} at row {row} is out of bounds for {classes} classes; valid targets are \
                 0 to {}, and ignore_index for rows to leave out",
                classes - 1
            ),
            Error::Probability { value, row, class } => write!(
                f,
                "probability {value} at row {row}, class {class} is outside [0, 1]; for logits use \
                 cross_entropy, for log-probabilities nll_loss"
            ),
            Error::Function => write!(f, "no such elementwise function; please report this"),
            Error::Interrupted => write!(f, "interrupted"),
        }
    }
}

impl std::error::Error for Error {}
