//! Totals as Python sees them: sum and mean are rounded when they are read, the fields are exact.

use crate::errors::{raise, shown};
use crate::fields::{FIELDS, SUMS, given_fields};
use crate::integers::{exact_sum, hex, integer, number, root};
use nll_kernels::data::exact_sum::{BYTES, ExactSum};
use nll_kernels::data::pool;
use nll_kernels::data::totals::{Moments, Totals};
use nll_kernels::in_default_environment;
use nll_kernels::math::row;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyFloat, PyInt, PyTuple, PyType};

/// The exact sum of some losses, as ``reduction="partial"`` returns it; ``+`` joins two.
///
/// Calls return one, and :meth:`Partial.of` makes one of losses from elsewhere, with weights that its
/// mean divides by. However the losses are split into calls, machines or days, the joined total is the same number,
/// rounded once, when ``sum`` or ``mean`` is read. It pickles; ``to_dict`` goes through JSON.
///
/// Parameters
/// ----------
/// total : int
///     The sum of the finite losses, in units of 2^-1074: every float64 is a whole number of them.
/// weights : int or None
///     The sum of the weights, in the same units; None where every weight is 1, or the mean divides by
///     the number of losses, as that of a binary cross entropy does. ``weights / 2**1074`` is a float.
/// count : int
///     How many losses were counted.
/// special : float
///     The sum of the infinite and NaN losses.
/// ignored : int or None
///     How many rows were ignored; None where no row can be.
/// top1 : int or None
///     How many rows have their largest entry (the first of equals) at the target; None if unknown.
/// squares : int or None
///     The sum of the squares of the finite losses, in the same units, as far as these go; None if
///     unknown. A loss counts as often as its weight says, here as in ``total``.
/// products, weight_squares : int or None
///     The sums of weight · loss and of the squares of the weights, in the same units; None where every
///     weight is 1, or ``squares`` is None.
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

#[pymethods]
impl Partial {
    #[new]
    #[pyo3(signature = (
        total=None, weights=None, count=None, special=None, ignored=None, top1=None, squares=None,
        products=None, weight_squares=None
    ))]
    fn new(
        total: Option<Bound<'_, PyAny>>,
        weights: Option<Bound<'_, PyAny>>,
        count: Option<Bound<'_, PyAny>>,
        special: Option<Bound<'_, PyAny>>,
        ignored: Option<Bound<'_, PyAny>>,
        top1: Option<Bound<'_, PyAny>>,
        squares: Option<Bound<'_, PyAny>>,
        products: Option<Bound<'_, PyAny>>,
        weight_squares: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let given = special;
        let special = match &given {
            Some(x) => {
                let options = x.py().import("nll_fast._options")?;
                options.getattr("as_number")?.call1((x, "special"))?.extract()?
            }
            None => 0.0,
        };
        if let Some(x) = given.filter(|_| special != 0.0 && f64::is_finite(special)) {
            let sentence = format!("special is {}; it must be 0, infinite or NaN", shown(&x)?);
            return Err(PyValueError::new_err(sentence));
        }
        let sum = match total {
            Some(total) => exact_sum("total", &total, special)?,
            None => ExactSum::from_bytes(&[0; BYTES], special),
        };
        let weight = weights.map(|weights| exact_sum("weights", &weights, 0.0)).transpose()?;
        let number = |name, x: Option<Bound<'_, PyAny>>| x.map(|x| number(name, &x)).transpose();
        let count = number("count", count)?.unwrap_or(0);
        let (ignored, top1) = (number("ignored", ignored)?, number("top1", top1)?);
        let units =
            |name, x: Option<Bound<'_, PyAny>>| x.map(|x| exact_sum(name, &x, 0.0)).transpose();
        for (name, sum) in [("squares", &squares), ("weight_squares", &weight_squares)] {
            if let Some(sum) = sum.as_ref().filter(|sum| matches!(sum.lt(0), Ok(true))) {
                let sentence = format!("{name} is {}; no square is negative", shown(sum)?);
                return Err(PyValueError::new_err(sentence));
            }
        }
        if let Some(top1) = top1.filter(|&top1| top1 > count) {
            let sentence =
                format!("top1 is {top1}, but count is {count}: these are some of the rows");
            return Err(PyValueError::new_err(sentence));
        }
        let products = units("products", products)?;
        let weight_squares = units("weight_squares", weight_squares)?;
        let weighted = products.zip(weight_squares).map(|(a, b)| Box::new([a, b]));
        let moments = units("squares", squares)?;
        // Weighted losses whose products are unknown have no error.
        let moments = moments.filter(|_| weight.is_some() == weighted.is_some());
        let moments = moments.map(|squares| Box::new(Moments { squares, weighted }));
        let weight = weight.map(Box::new);
        Ok(Partial { totals: Totals { sum, weight, count, ignored, top1, moments } })
    }

    /// The Partial of losses from elsewhere, each times its weight.
    ///
    /// Parameters
    /// ----------
    /// losses : array_like
    ///     The losses, of any shape.
    /// weights : array_like, optional
    ///     What each loss counts, finite; broadcasts to the shape of the losses.
    ///
    /// Returns
    /// -------
    /// Partial
    ///     Its ``mean`` is Σ weight · loss / Σ weight.
    ///
    /// Examples
    /// --------
    /// >>> from nll_fast import Partial
    /// >>> Partial.of([1.0, 2.0, 6.0])
    /// Partial(sum=9.0, mean=3.0, count=3)
    #[classmethod]
    #[pyo3(signature = (losses, weights=None))]
    fn of<'py>(
        cls: &Bound<'py, PyType>,
        losses: Bound<'py, PyAny>,
        weights: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let engine = cls.py().import("nll_fast._elements")?;
        engine.getattr("partial_of")?.call1((losses, weights))
    }

    /// The standard error of ``mean``, s/√n for losses of weight 1. With weights it is that of the
    /// ratio Σ weight · loss / Σ weight (the linearisation of sampling theory). Computed from exact
    /// sums of the losses as they were added, weighted ones rounded once: of weighted losses that
    /// differ by 1e-12 of their size it has three digits. Squares count down to 2^-1074, so losses
    /// should be larger than 1e-150. NaN for less than two losses and for infinite ones; a ValueError
    /// if the squares are unknown or beyond float64.
    ///
    /// Examples
    /// --------
    /// >>> from nll_fast import Partial
    /// >>> Partial.of([1.0, 2.0, 6.0]).standard_error
    /// 1.5275252316519468
    #[getter]
    fn standard_error(&self, py: Python<'_>) -> PyResult<f64> {
        let Totals { sum, count, .. } = &self.totals;
        let Some(moments) = self.moments() else {
            let sentence = "this Partial has no sum of squares: it comes from a call or a dict without, or a \
                            square is beyond float64";
            return Err(PyValueError::new_err(sentence));
        };
        if *count < 2 || sum.special() != 0.0 || sum.special().is_nan() {
            return Ok(f64::NAN);
        }
        let one = 1u8.into_pyobject(py)?.lshift(1074)?;
        let (n, total) = (count.into_pyobject(py)?, integer(py, sum)?);
        let weights = match &self.totals.weight {
            Some(weight) => integer(py, weight)?,
            None => n.mul(&one)?,
        };
        let [products, weight_squares] = match &moments.weighted {
            Some(sums) => [integer(py, &sums[0])?, integer(py, &sums[1])?],
            None => [total.clone(), weights.clone()],
        };
        // Σ (w·loss − w·mean)² · (Σ w)², of whole numbers of units.
        let spread = integer(py, &moments.squares)?.mul(&weights)?.mul(&weights)?;
        let spread = spread.sub(total.mul(&weights)?.mul(products)?.mul(2)?)?;
        let spread = spread.add(total.mul(&total)?.mul(weight_squares)?)?;
        let square = weights.mul(&weights)?;
        root(spread.mul(n)?.mul(one)?, square.mul(&square)?.mul(count - 1)?)
    }

    /// e^``mean``, the perplexity of losses in nats.
    #[getter]
    fn perplexity(&self) -> PyResult<f64> {
        let (mean, level) = (self.mean(), pool::level().map_err(raise)?);
        Ok(in_default_environment(|| row::perplexity(level, mean)))
    }

    /// The sum of the squares of the finite losses, in units of 2^-1074; None if unknown, or a square
    /// is beyond float64.
    #[getter]
    fn squares<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.moments().map(|moments| integer(py, &moments.squares)).transpose()
    }

    /// The sum of weight · loss, each loss times its weight already, in units of 2^-1074.
    #[getter]
    fn products<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.weighted(0).map(|sum| integer(py, sum)).transpose()
    }

    /// The sum of the squares of the weights, in units of 2^-1074.
    #[getter]
    fn weight_squares<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.weighted(1).map(|sum| integer(py, sum)).transpose()
    }

    /// The sum, rounded once; 0 for no losses.
    #[getter]
    pub(crate) fn sum(&self) -> f64 {
        in_default_environment(|| self.totals.sum.value())
    }

    /// ``sum`` over the sum of the weights; NaN for no losses, or weights of 0.
    #[getter]
    pub(crate) fn mean(&self) -> f64 {
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

    /// The fields by name, for JSON, a database or a table. Sums have a thousand bits, which few of
    /// these hold as an integer: they are strings of hexadecimal digits.
    fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        for (name, value) in FIELDS.iter().zip(self.fields(py)?.iter()) {
            let is_sum = SUMS.contains(name) && !value.is_none();
            let value = if is_sum { hex(&value)? } else { value };
            fields.set_item(name, value)?;
        }
        Ok(fields)
    }

    /// The Partial whose ``to_dict`` this is. Fields behind ``special`` may be missing, and sums may be
    /// integers.
    #[classmethod]
    fn from_dict<'py>(
        cls: &Bound<'py, PyType>,
        fields: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        cls.call((), Some(&given_fields(fields)?))
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
            self.squares(py)?,
            self.products(py)?,
            self.weight_squares(py)?,
        )
            .into_pyobject(py)
    }

    /// The sum of products with weights that has this number.
    fn weighted(&self, number: usize) -> Option<&ExactSum> {
        Some(&self.moments()?.weighted.as_ref()?[number])
    }

    /// The sums of products, if they are known and all of them are finite.
    fn moments(&self) -> Option<&Moments> {
        let moments = self.totals.moments.as_deref()?;
        let weighted = moments.weighted.iter().flat_map(|sums| sums.iter());
        let mut sums = core::iter::once(&moments.squares).chain(weighted);
        sums.all(|sum| sum.special() == 0.0).then_some(moments)
    }
}
