//! Totals as Python sees them: sum and mean are rounded when they are read, the fields are exact.

use nll_kernels::data::exact_sum::{BYTES, ExactSum};
use nll_kernels::data::totals::Totals;
use nll_kernels::in_default_environment;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyFloat, PyInt, PyTuple, PyType};

/// The exact sum of some losses, as ``reduction="partial"`` returns it; ``+`` joins two.
///
/// However the losses are split into calls, machines or days, the joined total is the same number,
/// rounded once, when ``sum`` or ``mean`` is read. It pickles; ``to_dict`` goes through JSON.
///
/// Parameters
/// ----------
/// total : int
///     The sum of the finite losses, in units of 2^-1074: every float64 is a whole number of them.
/// weights : int or None
///     The sum of the weights, in the same units; None where every weight is 1.
/// count : int
///     How many losses were counted.
/// special : float
///     The sum of the infinite and NaN losses.
/// ignored : int or None
///     How many rows were ignored; None where no row can be.
/// top1 : int or None
///     How many rows have their largest entry (the first of equals) at the target; None if unknown.
///
/// Examples
/// --------
/// >>> import numpy as np, nll_fast
/// >>> logits, target = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 1.0]]), np.array([0, 1, 1])
/// >>> rows = zip(logits[:, None], target[:, None])
/// >>> parts = [nll_fast.cross_entropy(x, t, reduction="partial") for x, t in rows]
/// >>> sum(parts).mean == nll_fast.cross_entropy(logits, target)
/// True
#[pyclass(frozen, name = "Partial", module = "nll_fast")]
pub(crate) struct Partial {
    pub(crate) totals: Totals,
}

/// The fields of a Partial in the order of its parameters.
const FIELDS: [&str; 6] = ["total", "weights", "count", "special", "ignored", "top1"];

#[pymethods]
impl Partial {
    #[new]
    #[pyo3(signature = (total=None, weights=None, count=None, special=None, ignored=None, top1=None))]
    fn new(
        total: Option<Bound<'_, PyAny>>,
        weights: Option<Bound<'_, PyAny>>,
        count: Option<Bound<'_, PyAny>>,
        special: Option<Bound<'_, PyAny>>,
        ignored: Option<Bound<'_, PyAny>>,
        top1: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let special = match special {
            Some(x) => x
                .extract()
                .map_err(|_| PyTypeError::new_err(format!("special is {x}; it must be a float")))?,
            None => 0.0,
        };
        let sum = match total {
            Some(total) => exact_sum("total", &total, special)?,
            None => ExactSum::from_bytes(&[0; BYTES], special),
        };
        let weight = weights.map(|weights| exact_sum("weights", &weights, 0.0)).transpose()?;
        let number = |name, x: Option<Bound<'_, PyAny>>| x.map(|x| number(name, &x)).transpose();
        let count = number("count", count)?.unwrap_or(0);
        let (ignored, top1) = (number("ignored", ignored)?, number("top1", top1)?);
        let weight = weight.map(Box::new);
        Ok(Partial { totals: Totals { sum, weight, count, ignored, top1 } })
    }

    /// The sum, rounded once; 0 for no losses.
    #[getter]
    fn sum(&self) -> f64 {
        in_default_environment(|| self.totals.sum.value())
    }

    /// ``sum`` over the sum of the weights; NaN for no losses, or weights of 0.
    #[getter]
    fn mean(&self) -> f64 {
        in_default_environment(|| {
            let (sum, weight) = (self.totals.sum.value(), self.totals.weight());
            if weight == 0.0 { f64::NAN } else { sum / weight }
        })
    }

    /// The sum of the finite losses, in units of 2^-1074.
    #[getter]
    fn total<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        integer(py, &self.totals.sum)
    }

    /// The sum of the weights, in units of 2^-1074; None where every weight is 1.
    #[getter]
    fn weights<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.totals.weight.as_ref().map(|weight| integer(py, weight)).transpose()
    }

    /// How many losses were counted.
    #[getter]
    fn count(&self) -> u64 {
        self.totals.count
    }

    /// The sum of the infinite and NaN losses.
    #[getter]
    fn special(&self) -> f64 {
        self.totals.sum.special()
    }

    /// How many rows were ignored; None where no row can be.
    #[getter]
    fn ignored(&self) -> Option<u64> {
        self.totals.ignored
    }

    /// How many rows have their largest entry (the first of equals) at the target; None if unknown.
    #[getter]
    fn top1(&self) -> Option<u64> {
        self.totals.top1
    }

    fn __add__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Ok(other) = other.cast::<Partial>() {
            let totals = slf.get().totals.clone().add(other.get().totals.clone());
            return Ok(Bound::new(py, Partial { totals })?.into_any());
        }
        // `sum` starts with 0.
        if other.cast::<PyInt>().is_ok() && other.eq(0)? {
            return Ok(slf.clone().into_any());
        }
        Ok(py.NotImplemented().into_bound(py))
    }

    fn __radd__<'py>(
        slf: &Bound<'py, Self>,
        other: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Self::__add__(slf, other)
    }

    fn __eq__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<bool> {
        match other.cast::<Partial>() {
            Ok(other) => self.fields(py)?.eq(other.get().fields(py)?),
            Err(_) => Ok(false),
        }
    }

    fn __hash__(&self, py: Python<'_>) -> PyResult<isize> {
        self.fields(py)?.hash()
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let [sum, mean] = [self.sum(), self.mean()].map(|x| PyFloat::new(py, x).repr());
        Ok(format!("Partial(sum={}, mean={}, count={})", sum?, mean?, self.totals.count))
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyType>, Bound<'py, PyTuple>)> {
        Ok((slf.get_type(), slf.get().fields(slf.py())?))
    }

    /// The fields by name, for JSON or a database.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        for (name, value) in FIELDS.iter().zip(self.fields(py)?.iter()) {
            fields.set_item(name, value)?;
        }
        Ok(fields)
    }

    /// The Partial whose ``to_dict`` this is; ``ignored`` and ``top1`` may be missing.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        fields: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let Ok(fields) = fields.cast::<PyDict>() else {
            let sentence = format!("fields is {}; it must be a dict", fields.repr()?);
            return Err(PyTypeError::new_err(sentence));
        };
        let names: Vec<String> = fields.keys().iter().map(|name| name.to_string()).collect();
        let has = |name: &&str| names.iter().any(|given| given == name);
        if !FIELDS[..4].iter().all(has) || names.iter().any(|name| !FIELDS.contains(&&name[..])) {
            let (given, known) = (names.join(", "), FIELDS.join(", "));
            let sentence = format!("a Partial has the fields {known}, not {given}");
            return Err(PyValueError::new_err(sentence));
        }
        cls.call((), Some(fields))
    }
}

impl Partial {
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        (
            self.total(py)?,
            self.weights(py)?,
            self.count(),
            self.special(),
            self.totals.ignored,
            self.totals.top1,
        )
            .into_pyobject(py)
    }
}

/// An exact sum as a Python integer.
fn integer<'py>(py: Python<'py>, sum: &ExactSum) -> PyResult<Bound<'py, PyAny>> {
    let signed = PyDict::new(py);
    signed.set_item("signed", true)?;
    let bytes = PyBytes::new(py, &sum.to_bytes());
    py.get_type::<PyInt>().call_method("from_bytes", (bytes, "little"), Some(&signed))
}

/// A Python integer of units as an exact sum. 2^64 losses of the largest float64 come to less than
/// 2^2162 units, and that many such sums can be added without an overflow.
fn exact_sum(name: &str, units: &Bound<'_, PyAny>, special: f64) -> PyResult<ExactSum> {
    let Ok(units) = units.call_method0("__index__") else {
        let units = units.repr()?;
        let sentence = format!("{name} is {units}; it must be an int, of units of 2^-1074");
        return Err(PyTypeError::new_err(sentence));
    };
    if units.call_method0("bit_length")?.extract::<u64>()? > 2162 {
        let sentence = format!("{name} is larger than any sum of float64s");
        return Err(PyValueError::new_err(sentence));
    }
    let signed = PyDict::new(units.py());
    signed.set_item("signed", true)?;
    let bytes = units.call_method("to_bytes", (BYTES, "little"), Some(&signed))?;
    Ok(ExactSum::from_bytes(bytes.cast::<PyBytes>()?.as_bytes().try_into()?, special))
}

/// A count as a Python integer.
fn number(name: &str, x: &Bound<'_, PyAny>) -> PyResult<u64> {
    let shown = x.repr()?;
    let Ok(index) = x.call_method0("__index__") else {
        let sentence = format!("{name} is {shown}; it must be an int");
        return Err(PyTypeError::new_err(sentence));
    };
    let sentence = format!("{name} is {shown}; it must lie in [0, 2^64 - 1]");
    index.extract().map_err(|_| PyValueError::new_err(sentence))
}
