//! How the shapes of the arrays of an elementwise loss fit together.

use crate::loss::{Argument, Fit};
use nll_kernels::Error;
use nll_kernels::data::array::Array;
use nll_kernels::error::{listed, shown};

/// The shape of the losses: that of the observations and predictions, which is one shape; a number
/// goes with any.
pub(crate) fn common_shape(arguments: &[Argument<'_>]) -> Result<Vec<usize>, Error> {
    let is_equal = |a: &&Argument<'_>| a.fit == Fit::Equal && !a.array.is_scalar();
    let arrays: Vec<_> = arguments.iter().filter(is_equal).collect();
    let Some(first) = arrays.first() else {
        // Predictions and observations are numbers: the spread decides.
        let others = arguments.iter().map(|a| a.array.shape()).max_by_key(|shape| shape.len());
        return Ok(others.unwrap_or(&[]).to_vec());
    };
    if arrays.iter().all(|a| a.array.shape() == first.array.shape()) {
        return Ok(first.array.shape().to_vec());
    }
    let shapes: Vec<_> =
        arrays.iter().map(|a| format!("{} of shape {}", a.name, shown(a.array.shape()))).collect();
    Err(Error::Shapes(format!(
        "{} differ; nothing is broadcast here: reshape one of them, or use np.broadcast_to",
        listed(&shapes)
    )))
}

/// An error unless the argument fits `shape`.
pub(crate) fn check_fit(argument: &Argument<'_>, shape: &[usize]) -> Result<(), Error> {
    let Argument { name, array, fit, .. } = *argument;
    let given = array.shape();
    let by_rows = fit == Fit::Rows && holds_rows(given, shape);
    match (array.is_scalar() || broadcasts(given, shape), by_rows) {
        (true, true) if given.iter().any(|&length| length > 1) => {
            let all = vec![":"; given.len()].join(", ");
            Err(Error::Shapes(format!(
                "{name} has shape {}, which beside {} may mean one value for each column or one for \
                 each row: write {name}[None, {all}] or {name}[{all}, None]",
                shown(given),
                shown(shape)
            )))
        }
        (false, false) => Err(Error::Shapes(format!(
            "{name} has shape {}, which does not broadcast to {}",
            shown(given),
            shown(shape)
        ))),
        _ => Ok(()),
    }
}

/// The array broadcast to `shape`, which it fits, with its axes in `order`; None if it already has
/// both, or is a scalar.
pub(crate) fn fitted<'v>(
    array: &'v Array<'_>,
    shape: &[usize],
    order: &[usize],
) -> Option<Array<'v>> {
    if array.is_scalar() || (order.is_sorted() && array.shape() == shape) {
        return None;
    }
    if broadcasts(array.shape(), shape) {
        return array.broadcast(shape, order);
    }
    // One number for each row: NumPy's rules would add a first axis. So the last axis of the shape is
    // put first, the array is broadcast, and the order of the visit brings that axis back.
    let (columns, rows) = shape.split_last()?;
    let turned: Vec<_> = core::iter::once(columns).chain(rows).copied().collect();
    let order: Vec<_> = order.iter().map(|axis| (axis + 1) % shape.len()).collect();
    array.broadcast(&turned, &order)
}

/// Whether an array of shape `from` has one number for each row of `to`.
fn holds_rows(from: &[usize], to: &[usize]) -> bool {
    to.split_last().is_some_and(|(_, rows)| !rows.is_empty() && from == rows)
}

/// Whether an array of shape `from` broadcasts to `to` by NumPy's rules.
fn broadcasts(from: &[usize], to: &[usize]) -> bool {
    let extra = to.len().checked_sub(from.len());
    extra.is_some_and(|extra| from.iter().zip(&to[extra..]).all(|(a, b)| a == b || *a == 1))
}
