//! NumPy arrays as typed views: rows by [`with_rows`], elementwise inputs by [`Element`].

use nll_kernels::input::Input;
use nll_kernels::out::Out;
use numpy::{PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// Logits of one of the four dtypes. Half precision comes as its `uint16` bits.
pub(crate) enum Array<'py> {
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
    F16(PyReadonlyArrayDyn<'py, u16>),
    BF16(PyReadonlyArrayDyn<'py, u16>),
}

fn readonly<'py, T: numpy::Element>(
    array: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    let busy =
        |_| PyValueError::new_err("an input is the out of another call that is not done yet");
    array.cast::<PyArrayDyn<T>>()?.try_readonly().map_err(busy)
}

impl<'py> Array<'py> {
    pub(crate) fn new(array: &Bound<'py, PyAny>, dtype: &str) -> PyResult<Self> {
        Ok(match dtype {
            "float32" => Array::F32(readonly(array)?),
            "float64" => Array::F64(readonly(array)?),
            "float16" => Array::F16(readonly(array)?),
            "bfloat16" => Array::BF16(readonly(array)?),
            _ => return Err(PyTypeError::new_err(format!("no kernel reads {dtype}"))),
        })
    }
}

/// Binds `$rows` to the typed [`nll_kernels::rows::Rows`] of `$array` and `$T` to its dtype.
macro_rules! with_rows {
    ($array:expr, |$rows:ident: $T:ident| $body:expr) => {
        match &$array {
            Array::F32(a) => {
                type $T = f32;
                let $rows = Rows::<$T>::new(a.as_array());
                $body
            }
            Array::F64(a) => {
                type $T = f64;
                let $rows = Rows::<$T>::new(a.as_array());
                $body
            }
            Array::F16(a) => {
                type $T = F16;
                let $rows = Rows::<$T>::new(a.as_array());
                $body
            }
            Array::BF16(a) => {
                type $T = BF16;
                let $rows = Rows::<$T>::new(a.as_array());
                $body
            }
        }
    };
}
pub(crate) use with_rows;

/// One input of an elementwise function.
pub(crate) enum Element<'py> {
    Scalar(f64),
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
    F16(PyReadonlyArrayDyn<'py, u16>),
    BF16(PyReadonlyArrayDyn<'py, u16>),
    U8(PyReadonlyArrayDyn<'py, u8>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
}

impl<'py> Element<'py> {
    pub(crate) fn new(array: &Bound<'py, PyAny>, dtype: &str) -> PyResult<Self> {
        Ok(match dtype {
            "scalar" => Element::Scalar(array.extract()?),
            "float32" => Element::F32(readonly(array)?),
            "float64" => Element::F64(readonly(array)?),
            "float16" => Element::F16(readonly(array)?),
            "bfloat16" => Element::BF16(readonly(array)?),
            "uint8" => Element::U8(readonly(array)?),
            "int32" => Element::I32(readonly(array)?),
            "int64" => Element::I64(readonly(array)?),
            _ => return Err(PyTypeError::new_err(format!("no kernel reads {dtype}"))),
        })
    }

    pub(crate) fn input(&self) -> Input<'_> {
        match self {
            Element::Scalar(x) => Input::Scalar(*x),
            Element::F32(a) => Input::F32(a.as_array().into()),
            Element::F64(a) => Input::F64(a.as_array().into()),
            Element::F16(a) => Input::F16(a.as_array().into()),
            Element::BF16(a) => Input::BF16(a.as_array().into()),
            Element::U8(a) => Input::U8(a.as_array().into()),
            Element::I32(a) => Input::I32(a.as_array().into()),
            Element::I64(a) => Input::I64(a.as_array().into()),
        }
    }
}

/// A C-contiguous array to write into.
pub(crate) enum Output<'py> {
    Nothing,
    F32(PyReadwriteArrayDyn<'py, f32>),
    F64(PyReadwriteArrayDyn<'py, f64>),
}

impl<'py> Output<'py> {
    pub(crate) fn new(out: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(out) = out else { return Ok(Output::Nothing) };
        let busy = || PyValueError::new_err("out is being read or written by another call");
        if let Ok(array) = out.cast::<PyArrayDyn<f32>>() {
            return Ok(Output::F32(array.try_readwrite().map_err(|_| busy())?));
        }
        let array = out.cast::<PyArrayDyn<f64>>()?;
        Ok(Output::F64(array.try_readwrite().map_err(|_| busy())?))
    }

    pub(crate) fn out(&mut self) -> PyResult<Out<'_>> {
        Ok(match self {
            Output::Nothing => Out::Nothing,
            Output::F32(array) => Out::F32(array.as_slice_mut()?),
            Output::F64(array) => Out::F64(array.as_slice_mut()?),
        })
    }
}
