//! The binding: arrays, typed calls, results. No other crate knows Python.
#![deny(unsafe_code)]
#![expect(
    clippy::too_many_arguments,
    reason = "Python's functions have many arguments, and they are given by name"
)]

mod arrays;
mod choices;
mod elements;
mod errors;
mod fields;
mod integers;
mod outputs;
mod quantities;
mod reduction;
mod rows;
mod scores;
mod signals;
mod totals;
mod wanted;

use errors::raise;
use nll_kernels::data::pool;
use nll_kernels::math::row;
use nll_kernels::{Level, in_default_environment};
use pyo3::prelude::*;

/// e^x without an exception where it overflows.
#[pyfunction]
fn exp(x: f64) -> PyResult<f64> {
    let level = pool::level().map_err(raise)?;
    Ok(in_default_environment(|| row::perplexity(level, x)))
}

/// How many threads large calls use.
#[pyfunction]
fn get_num_threads() -> PyResult<usize> {
    pool::num_threads().map_err(raise)
}

/// Sets how many threads large calls use; 0 goes back to the environment's choice.
#[pyfunction]
fn set_num_threads(threads: usize) {
    pool::set_num_threads(threads);
}

/// The instruction set in use.
#[pyfunction]
fn simd_level() -> PyResult<&'static str> {
    Ok(pool::level().map_err(raise)?.name())
}

/// The instruction sets that this CPU has.
#[pyfunction]
fn simd_levels() -> Vec<&'static str> {
    Level::available().into_iter().map(Level::name).collect()
}

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::quantities::{
        entropy, entropy_grad, expected_loss, kl_divergence, kl_divergence_grad,
        soft_cross_entropy, soft_cross_entropy_grad,
    };
    #[pymodule_export]
    use super::rows::{
        categorical_nll, cross_entropy, cross_entropy_grad, log_softmax, logsumexp, nll_loss,
    };
    #[pymodule_export]
    use super::scores::{compare, score};
    #[pymodule_export]
    use super::totals::Partial;
    #[pymodule_export]
    use super::{exp, get_num_threads, set_num_threads, simd_level, simd_levels};

    #[pymodule_init]
    fn init(module: &pyo3::Bound<'_, pyo3::types::PyModule>) -> pyo3::PyResult<()> {
        super::signals::set_up(module.py())?;
        super::elements::add_to(module)
    }
}
