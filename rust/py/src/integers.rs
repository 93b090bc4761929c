//! Exact sums as Python's integers, of units of 2^−1074, and these as strings and numbers.

use crate::errors::shown;
use nll_kernels::data::exact_sum::{BYTES, ExactSum};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt};

/// A Python integer as hexadecimal digits, such as -0x1f.
pub(crate) fn hex<'py>(number: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    number.py().import("builtins")?.getattr("hex")?.call1((number,))
}

/// The integer of which these are the hexadecimal digits.
pub(crate) fn from_hex<'py>(name: &str, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    text.py().get_type::<PyInt>().call1((text, 16)).map_err(|_| {
        let text = shown(text).unwrap_or_default();
        let sentence = format!("{name} is {text}; it must be an int, or its hexadecimal digits");
        PyValueError::new_err(sentence)
    })
}

/// An exact sum as a Python integer.
pub(crate) fn integer<'py>(py: Python<'py>, sum: &ExactSum) -> PyResult<Bound<'py, PyAny>> {
    let signed = PyDict::new(py);
    signed.set_item("signed", true)?;
    let bytes = PyBytes::new(py, &sum.to_bytes());
    py.get_type::<PyInt>().call_method("from_bytes", (bytes, "little"), Some(&signed))
}

/// A Python integer of units as an exact sum. 2^64 losses of the largest float64 come to less than
/// 2^2162 units, and that many such sums can be added without an overflow.
pub(crate) fn exact_sum(name: &str, units: &Bound<'_, PyAny>, special: f64) -> PyResult<ExactSum> {
    let units = whole(name, units)?;
    if units.call_method0("bit_length")?.extract::<u64>()? > 2162 {
        let units = shown(&units)?;
        let sentence =
            format!("{name} is {units}, in units of 2^-1074 larger than any sum of float64s");
        return Err(PyValueError::new_err(sentence));
    }
    let signed = PyDict::new(units.py());
    signed.set_item("signed", true)?;
    let bytes = units.call_method("to_bytes", (BYTES, "little"), Some(&signed))?;
    Ok(ExactSum::from_bytes(bytes.cast::<PyBytes>()?.as_bytes().try_into()?, special))
}

/// The square root of a quotient of two integers, NaN if it is not positive or the divisor is 0.
pub(crate) fn root(number: Bound<'_, PyAny>, divisor: Bound<'_, PyAny>) -> PyResult<f64> {
    let py = number.py();
    if divisor.eq(0)? {
        return Ok(f64::NAN);
    }
    if number.le(0)? {
        return Ok(0.0);
    }
    let bits = |x: &Bound<'_, PyAny>| x.call_method0("bit_length")?.extract::<i64>();
    // The quotient in units of 2^−2n has about 130 bits, its root in units of 2^−n 65.
    let n = (130 - (bits(&number)? - bits(&divisor)?)) / 2;
    let (up, down) = (2 * n.max(0), 2 * (-n).max(0));
    let quotient = number.lshift(up)?.floor_div(divisor.lshift(down)?)?;
    let math = py.import("math")?;
    let root = math.getattr("isqrt")?.call1((quotient,))?;
    math.getattr("ldexp")?.call1((root, -n))?.extract()
}

/// A count as a Python integer.
pub(crate) fn number(name: &str, x: &Bound<'_, PyAny>) -> PyResult<u64> {
    let number = whole(name, x)?;
    number.extract().or_else(|_| {
        let sentence = format!("{name} is {}; it must lie in [0, 2^64 - 1]", shown(&number)?);
        Err(PyValueError::new_err(sentence))
    })
}

/// A whole number of any size as a Python integer.
fn whole<'py>(name: &str, x: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    if x.is_exact_instance_of::<PyInt>() {
        return Ok(x.clone());
    }
    x.py().import("nll_fast._options")?.getattr("as_whole")?.call1((x, name))
}
