//! Totals as Python sees them: rounded where one looks, exact where one asks.

use nll_kernels::reduce;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What many rows or elements come to.
#[pyclass(frozen, module = "nll_fast._core")]
pub(crate) struct Totals {
    pub(crate) totals: reduce::Totals,
    pub(crate) weighted: bool,
}

#[pymethods]
impl Totals {
    /// Σ loss, rounded once.
    #[getter]
    fn sum(&self) -> f64 {
        self.totals.sum.value()
    }

    /// Σ weight, or the count.
    #[getter]
    fn weight(&self) -> f64 {
        if self.weighted { self.totals.weight.value() } else { self.totals.rows as f64 }
    }

    /// How many were counted.
    #[getter]
    fn count(&self) -> u64 {
        self.totals.rows
    }

    /// How many were left out.
    #[getter]
    fn ignored(&self) -> u64 {
        self.totals.ignored
    }

    /// How many rows have the first largest class as target.
    #[getter]
    fn greedy(&self) -> u64 {
        self.totals.greedy
    }

    /// (Σ loss, Σ weight if weighted) as little-endian signed numbers of 2^−1074ths, and the sum of the
    /// losses that are not finite.
    fn digits<'py>(
        &self,
        py: Python<'py>,
    ) -> (Bound<'py, PyBytes>, Option<Bound<'py, PyBytes>>, f64) {
        let (sum, special) = self.totals.sum.to_bytes();
        let weight = self.weighted.then(|| PyBytes::new(py, &self.totals.weight.to_bytes().0));
        (PyBytes::new(py, &sum), weight, special)
    }
}
