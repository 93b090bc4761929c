//! What can be wrong with a call. `Display` is the sentence the user reads.

use core::fmt;
use std::fmt::Write;

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Error {
    /// A target that is no class.
    Target {
        /// The target's value.
        value: i64,
        /// Where it is.
        index: Vec<usize>,
        /// How many classes there are.
        classes: usize,
    },
    /// A probability outside [0, 1] among the entries that were gathered.
    Probability {
        /// The value.
        value: f64,
        /// Its row.
        row: usize,
        /// Its class.
        class: usize,
    },
    /// An element outside the range of its argument.
    Element {
        /// The argument's name.
        argument: &'static str,
        /// The value.
        value: f64,
        /// Its index.
        index: Vec<usize>,
        /// What is allowed, or what to do.
        advice: &'static str,
    },
    /// A number outside the range of its argument.
    Number {
        /// The argument's name.
        argument: &'static str,
        /// The value.
        value: f64,
        /// What is allowed.
        allowed: String,
    },
    /// Arguments whose shapes do not fit together: the sentence itself.
    Shapes(String),
    /// A choice that does not exist, or cannot be combined with another: the sentence itself.
    Choice(String),
    /// Arguments that are missing, or exclude each other: the sentence itself.
    Arguments(String),
    /// Threads that could not be started.
    Threads {
        /// How many.
        threads: usize,
        /// What the system said.
        reason: String,
    },
    /// Memory that the system refused.
    Memory {
        /// How much, in bytes.
        bytes: usize,
        /// What for.
        what: &'static str,
    },
    /// Ctrl-C while the work was running.
    Interrupted,
    /// A panic: where it was, and what it said.
    Fault(String),
}

/// A shape as Python writes it.
pub fn shown(shape: &[usize]) -> String {
    match shape {
        [length] => format!("({length},)"),
        _ => {
            let lengths: Vec<_> = shape.iter().map(usize::to_string).collect();
            format!("({})", lengths.join(", "))
        }
    }
}

/// A number as Python writes it: a whole number with a decimal point.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Number(x) = self;
        match x {
            x if x.is_nan() => write!(f, "nan"),
            x if x.is_finite() && x.abs() >= 1e16 => {
                write!(f, "{}", format!("{x:?}").replace('e', "e+"))
            }
            x if x.is_finite() => write!(f, "{x:?}"),
            x => write!(f, "{x}"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Target { value, index, classes } => write!(
                f,
                "target {value} at {} is out of bounds for {classes} classes; valid targets are \
                 0 to {}, and ignore_index for rows to leave out",
                place(index),
                classes - 1
            ),
            Error::Probability { value, row, class } => write!(
                f,
                "probs is {} at row {row}, class {class}, outside [0, 1]; for logits use cross_entropy, \
                 for log-probabilities nll_loss",
                Number(*value)
            ),
            Error::Element { argument, value, index, advice } => {
                write!(f, "{argument} is {} at index {}; {advice}", Number(*value), shown(index))
            }
            Error::Number { argument, value, allowed } => {
                write!(f, "{argument} is {}; {allowed}", Number(*value))
            }
            Error::Shapes(sentence) | Error::Choice(sentence) | Error::Arguments(sentence) => {
                f.write_str(sentence)
            }
            Error::Threads { threads, reason } => {
                write!(f, "cannot start {threads} threads: {reason}")
            }
            Error::Memory { bytes, what } => {
                write!(f, "there is no memory of {bytes} bytes for {what}")
            }
            Error::Interrupted => f.write_str("interrupted"),
            Error::Fault(said) => write!(
                f,
                "a fault of nll_fast, or another thread has changed an argument during the call; please \
                 report it: {said}"
            ),
        }
    }
}

impl std::error::Error for Error {}

/// Names joined as in "a, b and c".
pub fn listed<T: fmt::Display>(items: &[T]) -> String {
    let mut text = String::new();
    for (i, item) in items.iter().enumerate() {
        let before = match i {
            0 => "",
            i if i + 1 == items.len() => " and ",
            _ => ", ",
        };
        let _ = write!(text, "{before}{item}");
    }
    text
}

/// Where a target stands: its row, or its index among several axes.
fn place(index: &[usize]) -> String {
    match index {
        [row] => format!("row {row}"),
        [] => "row 0".into(),
        index => format!("index {}", shown(index)),
    }
}
