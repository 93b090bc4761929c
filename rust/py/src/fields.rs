//! The fields of totals by name, as `Partial.to_dict` gives them and others give them back.

use crate::errors::shown;
use crate::integers::from_hex;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyString};

/// The fields of a Partial in the order of its parameters.
pub(crate) const FIELDS: [&str; 9] = [
    "total",
    "weights",
    "count",
    "special",
    "ignored",
    "top1",
    "squares",
    "products",
    "weight_squares",
];

/// The fields that are exact sums.
pub(crate) const SUMS: [&str; 5] = ["total", "weights", "squares", "products", "weight_squares"];

/// The arguments of a `Partial` from its fields, after a way through JSON, a database or a table.
pub(crate) fn given_fields<'py>(fields: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyDict>> {
    let Ok(fields) = fields.cast::<PyDict>() else {
        let sentence = format!("fields is {}; it must be a dict", shown(fields)?);
        return Err(PyTypeError::new_err(sentence));
    };
    let names: Vec<_> = fields.keys().iter().collect();
    let known = |name: &Bound<'_, PyAny>| {
        name.extract::<String>().is_ok_and(|name| FIELDS.contains(&&name[..]))
    };
    let shown_fields = || shown(fields.as_any());
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let (fields, name) = (shown_fields()?, shown(name)?);
        let sentence = format!("fields is {fields}; a Partial has no such fields: {name}");
        return Err(PyValueError::new_err(sentence));
    }
    let missing: Vec<_> =
        FIELDS[..4].iter().filter(|name| !matches!(fields.contains(name), Ok(true))).collect();
    if !missing.is_empty() {
        let missing: Vec<_> = missing.iter().map(|name| name.to_string()).collect();
        let (fields, missing) = (shown_fields()?, missing.join(", "));
        let sentence = format!("fields is {fields}; fields of a Partial are missing: {missing}");
        return Err(PyValueError::new_err(sentence));
    }
    let given = fields.copy()?;
    for name in SUMS {
        if let Some(text) = given.get_item(name)?.filter(|value| value.is_instance_of::<PyString>())
        {
            given.set_item(name, from_hex(name, &text)?)?;
        }
    }
    // A table of pandas has NaN for None, and then the counts beside it as floats.
    for name in FIELDS.iter().filter(|&&name| name != "special") {
        let value = given.get_item(name)?;
        match value.and_then(|value| Some(value.cast::<PyFloat>().ok()?.value())) {
            Some(x) if x.is_nan() => given.set_item(name, None::<u64>)?,
            Some(x) if x == x.trunc() && x.abs() < 2f64.powi(53) && !SUMS.contains(name) => {
                given.set_item(name, x as i64)?;
            }
            _ => {}
        }
    }
    Ok(given)
}
