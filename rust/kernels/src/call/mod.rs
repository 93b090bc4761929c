//! Floor 4, what its crates share. A typed call checks the meaning of every argument, once, by the
//! functions here, and an [`Error`] says what is wrong with it; a front end only translates types.

pub mod cross_entropy;
mod few_classes;
mod hessian;
pub mod long_rows;
mod plain_row;
pub mod row_loss;
pub mod row_sweeps;
mod two_classes;

pub use hessian::Hessian;
pub use plain_row::{HugePair, expected_loss_of_huge};

use crate::Error;
use crate::data::array::Array;
use crate::data::targets::Targets;
use crate::error::shown;

/// An error unless `value` lies in [`low`, `high`].
pub fn check_range(argument: &'static str, value: f64, [low, high]: [f64; 2]) -> Result<(), Error> {
    if value >= low && value <= high {
        return Ok(());
    }
    let allowed = format!("it must lie in [{low}, {high}]");
    Err(Error::Number { argument, value, allowed })
}

/// An error unless a label smoothing lies in [0, 1].
pub fn check_smoothing(label_smoothing: f64) -> Result<(), Error> {
    check_range("label_smoothing", label_smoothing, [0.0, 1.0])
}

/// An error unless there are `classes` weights, all finite.
pub fn check_weight(weight: Option<&[f64]>, classes: usize) -> Result<(), Error> {
    let Some(weight) = weight else { return Ok(()) };
    if let Some((class, value)) = weight.iter().enumerate().find(|(_, w)| !w.is_finite()) {
        let sentence = format!("weight has entries that are not finite: {value} of class {class}");
        return Err(Error::Choice(sentence));
    }
    if weight.len() != classes {
        let (given, needed) = (shown(&[weight.len()]), shown(&[classes]));
        let sentence = format!("weight has shape {given}, but {classes} classes need {needed}");
        return Err(Error::Shapes(sentence));
    }
    Ok(())
}

/// Whether a product with a float32 number keeps its digits: 0, infinite, NaN, or a normal float32.
#[inline(always)]
pub fn fits_float32(weight: f64) -> bool {
    let size = weight.abs();
    let is_normal = (size >= f64::from(f32::MIN_POSITIVE)) & (size <= f64::from(f32::MAX));
    is_normal | (size == 0.0) | (size == f64::INFINITY) | weight.is_nan()
}

/// Whether a number is a probability; NaN is none.
#[inline(always)]
pub fn is_probability(p: f64) -> bool {
    (0.0..=1.0).contains(&p)
}

/// The error of a weight that float32 does not hold.
pub fn too_far_for_float32(argument: &str, weight: f64) -> Error {
    Error::Choice(format!(
        "{argument} holds {weight:e}, which float32, the type of the losses, does not hold: scale the \
         weights, or pass float64"
    ))
}

/// An error unless losses of the type of `rows` can be multiplied by the weights.
pub fn check_range_of_weights(
    argument: &str,
    weights: Option<&[f64]>,
    double: bool,
) -> Result<(), Error> {
    let mut weights = weights.unwrap_or(&[]).iter().copied();
    let narrow = weights.find(|&weight| !double && !fits_float32(weight));
    narrow.map_or(Ok(()), |weight| Err(too_far_for_float32(argument, weight)))
}

/// An error unless there are `rows` weights of rows, all finite.
pub fn check_row_weight(row_weight: Option<&[f64]>, rows: usize) -> Result<(), Error> {
    let Some(weights) = row_weight else { return Ok(()) };
    if weights.len() != rows {
        let sentence =
            format!("sample_weight has {} weights, but there are {rows} rows", weights.len());
        return Err(Error::Shapes(sentence));
    }
    match weights.iter().enumerate().find(|(_, w)| !w.is_finite()) {
        None => Ok(()),
        Some((row, value)) => Err(Error::Choice(format!(
            "sample_weight has entries that are not finite: {value} of row {row}"
        ))),
    }
}

/// An error unless the last axis, the class axis, exists and has at least one class.
pub fn check_classes(argument: &str, logits: &Array<'_>) -> Result<(), Error> {
    match logits.shape().last() {
        None => Err(Error::Shapes(format!("{argument} is a scalar; it needs a class axis"))),
        Some(0) => Err(Error::Shapes(format!(
            "{argument} has shape {}, class axis last: no classes",
            shown(logits.shape())
        ))),
        Some(_) => Ok(()),
    }
}

/// An error unless all arrays have the same shape, whose last axis has at least one class.
pub fn check_equal_shapes(arrays: &[(&'static str, &Array<'_>)]) -> Result<(), Error> {
    for (argument, array) in arrays {
        check_classes(argument, array)?;
    }
    let shape = arrays[0].1.shape();
    if arrays.iter().all(|(_, array)| array.shape() == shape) {
        return Ok(());
    }
    let shapes: Vec<_> =
        arrays.iter().map(|(name, array)| format!("{name} {}", shown(array.shape()))).collect();
    let shapes = shapes.join(", ");
    let advice = "nothing is broadcast here: use np.broadcast_to";
    Err(Error::Shapes(format!("the shapes must be equal: {shapes}; {advice}")))
}

/// What targets of another shape are likely to be.
fn advice_on_targets(rows: &[usize], targets: &[usize]) -> &'static str {
    let without_axis_1 = rows.iter().take(1).chain(rows.iter().skip(2));
    if rows.len() == 1 && rows == targets {
        ": rows of one class each? for yes or no, use binary_cross_entropy"
    } else if rows == targets {
        ": of one-hot rows, target.argmax(-1)"
    } else if rows.len() > 2 && without_axis_1.eq(targets) {
        ": for classes on axis 1, as in torch, axis=1"
    } else {
        ""
    }
}

/// An error unless each row has a target.
pub fn check_targets(
    (argument, rows): (&str, &Array<'_>),
    targets: &Targets<'_>,
) -> Result<(), Error> {
    check_classes(argument, rows)?;
    let (&classes, leading) = rows.shape().split_last().unwrap_or((&1, &[]));
    if targets.shape != leading || targets.target.len() != leading.iter().product() {
        let (given, whole, needed) = (shown(targets.shape), shown(rows.shape()), shown(leading));
        let advice = advice_on_targets(rows.shape(), targets.shape);
        return Err(Error::Shapes(format!(
            "target has shape {given}, but {argument} of shape {whole} (class axis last) needs one \
             class index for each row, shape {needed}{advice}"
        )));
    }
    check_row_weight(targets.row_weight, targets.target.len())?;
    let double = rows.is_double() == Some(true);
    check_range_of_weights("sample_weight", targets.row_weight, double)?;
    check_range_of_weights("weight", targets.weight, double)?;
    check_weight(targets.weight, classes)
}
