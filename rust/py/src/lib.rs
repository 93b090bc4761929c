//! Floor 3: view, detach, kernel, array. The only crate that knows Python.
#![deny(unsafe_code)]

mod arrays;
mod elementwise;
mod errors;
mod pool;
mod totals;

use arrays::{Array, Output, with_rows};
use nll_kernels::formula;
use nll_kernels::losses::{self, CrossEntropy, Entry, Gather, Targets};
use nll_kernels::out::{Out, Run};
use nll_kernels::rows::Rows;
use nll_kernels::{BF16, F16, Level};
use numpy::PyReadonlyArray1;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use std::sync::OnceLock;
use totals::Totals;

/// The widest level, or the one that `NLL_FAST_SIMD` names.
fn level() -> PyResult<Level> {
    static CHOSEN: OnceLock<Result<Level, String>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let available = Level::available();
        let Ok(name) = std::env::var("NLL_FAST_SIMD") else {
            return available.last().copied().ok_or_else(|| "no level".to_string());
        };
        available.iter().copied().find(|level| level.name() == name).ok_or_else(|| {
            let names: Vec<_> = available.iter().map(|level| level.name()).collect();
            format!("NLL_FAST_SIMD is {name:?}, but this CPU offers {}", names.join(", "))
        })
    });
    chosen.clone().map_err(PyValueError::new_err)
}

/// The row losses of `kind` "logits", "probs" or "log_probs", times `sign`, into `out`.
#[pyfunction]
#[pyo3(signature = (kind, rows, target, options, out))]
fn row_losses(
    py: Python<'_>,
    kind: &str,
    rows: (Bound<'_, PyAny>, String),
    target: PyReadonlyArray1<'_, i64>,
    options: (Option<i64>, Option<PyReadonlyArray1<'_, f64>>, f64),
    out: (Option<Bound<'_, PyAny>>, f64),
) -> PyResult<Totals> {
    let ((rows, dtype), (ignore_index, weight, smoothing), (out, sign)) = (rows, options, out);
    let level = level()?;
    let array = Array::new(&rows, &dtype)?;
    let mut out = Output::new(out.as_ref())?;
    let out = out.out()?;
    let weight = weight.as_ref().map(|w| w.as_slice()).transpose()?;
    let targets = Targets { target: target.as_slice()?, ignore_index, weight };
    let entry = match kind {
        "logits" => None,
        "probs" => Some(Entry::Probability),
        "log_probs" => Some(Entry::LogProbability),
        _ => return Err(PyTypeError::new_err(format!("no rows are {kind}"))),
    };
    let totals = with_rows!(array, |rows: T| {
        let size = targets.target.len() * if entry.is_some() { 1 } else { rows.classes() };
        match entry {
            None => {
                let weights = targets.weight.map_or(rows.classes() as f64, |w| w.iter().sum());
                let loss = CrossEntropy::<T> { rows, targets, smoothing, weights };
                pool::run(py, size, |par| losses::each(Run { level, par }, &loss, (out, sign)))
            }
            Some(entry) => {
                let loss = Gather::<T> { rows, targets, entry };
                pool::run(py, size, |par| losses::each(Run { level, par }, &loss, (out, sign)))
            }
        }
    })?;
    Ok(Totals { totals, weighted: weight.is_some() })
}

/// log Σ e^x of every row, into `out`.
#[pyfunction]
fn logsumexp(
    py: Python<'_>,
    rows: &Bound<'_, PyAny>,
    dtype: &str,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let level = level()?;
    let array = Array::new(rows, dtype)?;
    let mut out = Output::new(Some(out))?;
    let out = out.out()?;
    with_rows!(array, |rows: T| {
        let size = rows.count() * rows.classes();
        pool::run(py, size, |par| {
            nll_kernels::log_softmax::log_sum_exp::<T>(Run { level, par }, &rows, out)
        })
    })
}

/// log softmax of every row, into `out`: float64 for float64 rows, else float32.
#[pyfunction]
fn log_softmax(
    py: Python<'_>,
    rows: &Bound<'_, PyAny>,
    dtype: &str,
    out: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let level = level()?;
    let array = Array::new(rows, dtype)?;
    let mut out = Output::new(Some(out))?;
    let wrong =
        || PyTypeError::new_err("out must be float64 for float64 logits and float32 for others");
    let (mut single, mut double) = (None, None);
    match out.out()? {
        Out::F32(out) => single = Some(out),
        Out::F64(out) => double = Some(out),
        Out::Nothing => {}
    }
    macro_rules! run {
        ($array:expr, $T:ty, $out:expr) => {{
            let (rows, out) = (Rows::<$T>::new($array.as_array()), $out.ok_or_else(wrong)?);
            let size = rows.count() * rows.classes();
            pool::run(py, size, |par| {
                nll_kernels::log_softmax::log_softmax::<$T>(Run { level, par }, &rows, out)
            })
        }};
    }
    match &array {
        Array::F32(a) => run!(a, f32, single),
        Array::F16(a) => run!(a, F16, single),
        Array::BF16(a) => run!(a, BF16, single),
        Array::F64(a) => run!(a, f64, double),
    }
}

/// e^x without an exception where it overflows.
#[pyfunction]
fn exp(x: f64) -> PyResult<f64> {
    Ok(formula::perplexity(level()?, x))
}

/// How many threads large calls use.
#[pyfunction]
fn get_num_threads() -> PyResult<usize> {
    pool::num_threads()
}

/// Sets how many threads large calls use; 0 goes back to the environment's choice.
#[pyfunction]
fn set_num_threads(threads: usize) {
    pool::set_num_threads(threads);
}

/// The instruction set in use.
#[pyfunction]
fn simd_level() -> PyResult<&'static str> {
    Ok(level()?.name())
}

/// The instruction sets this CPU offers.
#[pyfunction]
fn simd_levels() -> Vec<&'static str> {
    Level::available().into_iter().map(Level::name).collect()
}

#[pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use super::elementwise::{cross_entropy_grad, distributions, elementwise};
    #[pymodule_export]
    use super::totals::Totals;
    #[pymodule_export]
    use super::{
        exp, get_num_threads, log_softmax, logsumexp, row_losses, set_num_threads, simd_level,
        simd_levels,
    };
}
