//! Losses of single observations, as typed calls: what their arguments may be, how their shapes fit
//! together, and how blocks of them go through memory.
#![forbid(unsafe_code)]

mod choices;
mod elements;
mod evaluation;
mod formula;
mod loss;
mod shapes;
mod stream;
mod weigh;

pub use choices::{
    Clamp, Factorial, PoissonOptions, PreferenceOptions, Rate, Spread, choose, exactly_one,
};
pub use elements::{Elements, Options, Outputs};
pub use loss::Loss;
