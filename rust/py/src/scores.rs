//! Everything about a token from one read of its logits, and about two models from one read of both.

use crate::arrays::{Classes, Floats, Output, places};
use crate::errors::raise;
use crate::outputs::{leading, size};
use crate::signals::run;
use nll_calls::{Compare, CompareColumns, Given, Score, ScoreColumns};
use nll_kernels::data::array::Array;
use nll_kernels::data::changes::Change;
use nll_kernels::data::targets::Targets;
use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// New arrays of integers, which the front end made.
type Integers<'py, const N: usize> = [Bound<'py, PyArrayDyn<i64>>; N];

/// New arrays of results, as the front end made them.
type Numbers<'py, const N: usize> = [Bound<'py, PyAny>; N];

/// The logits divided by the temperature, and then capped.
fn prepared<'a>(logits: Array<'a>, temperature: f64, softcap: Option<f64>) -> Array<'a> {
    let divided = match temperature == 1.0 {
        true => logits,
        false => logits.changed(Change::Divide(temperature)),
    };
    match softcap {
        Some(cap) => divided.changed(Change::Cap(cap)),
        None => divided,
    }
}

/// Fills `numbers`: log p, log Σ e^x, entropy, log p of the largest, of the k largest, of given classes; and
/// `integers`: arg max, rank, ties, the k largest classes. `given` has the
/// classes that are wanted of every row, or those of the first row, then those of the second, and so on.
#[pyfunction]
pub(crate) fn score<'py>(
    py: Python<'py>,
    logits: Floats<'py>,
    target: Classes<'py>,
    ignore_index: Option<i64>,
    given: Classes<'py>,
    temperature: f64,
    softcap: Option<f64>,
    numbers: Numbers<'py, 6>,
    integers: Integers<'py, 4>,
) -> PyResult<()> {
    let logits = &prepared(logits.array(), temperature, softcap);
    let (rows, classes) = (leading(logits), given.classes()?);
    let given = match given.shape() {
        [_] => Given::Same(classes),
        shape => Given::Each(classes, shape.last().copied().unwrap_or(0)),
    };
    let top_k = integers[3].shape().last().copied().unwrap_or(0);
    let (target, shape) = (target.classes()?, target.shape());
    let targets = Targets { target, first: 0, shape, ignore_index, weight: None, row_weight: None };
    let call = Score { logits, targets, top_k, given };
    call.check().map_err(raise)?;
    let shapes = [None, None, None, None, Some(top_k), Some(given.count())]
        .map(|last| rows.iter().copied().chain(last).collect::<Vec<_>>());
    let mut outputs = Vec::new();
    for (array, shape) in numbers.iter().zip(&shapes) {
        outputs.push(Some(Output::given(array, shape)?));
    }
    let mut outs = Vec::new();
    for output in &mut outputs {
        outs.push(places(output)?);
    }
    let mut integers = integers.map(|array| array.readwrite());
    let [argmax, rank, ties, top_ids] = &mut integers;
    let outs: [_; 6] = outs.try_into().unwrap_or_else(|_| unreachable!("as many as numbers"));
    let [log_prob, logsumexp, entropy, max_log_prob, top_log_probs, given_log_probs] = outs;
    let columns = ScoreColumns {
        log_prob,
        logsumexp,
        entropy,
        max_log_prob,
        argmax: nll_calls::Classes(argmax.as_slice_mut()?),
        rank: nll_calls::Classes(rank.as_slice_mut()?),
        ties: nll_calls::Classes(ties.as_slice_mut()?),
        top: (top_k, nll_calls::Classes(top_ids.as_slice_mut()?), top_log_probs),
        given: (given.count(), given_log_probs),
    };
    run(py, size(logits), |exec| call.run(exec, columns))
}

/// Fills `numbers`: both divergences, that from their mean, the distance, p's entropy, log p of its largest class,
/// and of the target in p and in q; and `integers`: the largest class of both, how many of the first k they share,
/// and whether in order.
#[pyfunction]
pub(crate) fn compare<'py>(
    py: Python<'py>,
    p_logits: Floats<'py>,
    q_logits: Floats<'py>,
    target: Classes<'py>,
    ignore_index: Option<i64>,
    top_k: usize,
    temperature: f64,
    softcap: Option<f64>,
    numbers: Numbers<'py, 8>,
    integers: Integers<'py, 4>,
) -> PyResult<()> {
    let [p_logits, q_logits] =
        &[p_logits.array(), q_logits.array()].map(|x| prepared(x, temperature, softcap));
    let (target, shape) = (target.classes()?, target.shape());
    let targets = Targets { target, first: 0, shape, ignore_index, weight: None, row_weight: None };
    let call = Compare { p_logits, q_logits, targets, top_k };
    call.check().map_err(raise)?;
    let mut outputs = Vec::new();
    for array in &numbers {
        outputs.push(Some(Output::given(array, leading(p_logits))?));
    }
    let mut outs = Vec::new();
    for output in &mut outputs {
        outs.push(places(output)?);
    }
    let mut integers = integers.map(|array| array.readwrite());
    let mut classes = Vec::new();
    for array in &mut integers {
        classes.push(nll_calls::Classes(array.as_slice_mut()?));
    }
    let (Ok(numbers), Ok(classes)) = (outs.try_into(), classes.try_into()) else {
        unreachable!("as many as arrays")
    };
    let columns = CompareColumns { numbers, classes };
    run(py, 2 * size(p_logits), |exec| call.run(exec, columns))
}
