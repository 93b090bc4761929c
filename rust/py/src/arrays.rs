//! NumPy arrays as typed views, and arrays of results.

use crate::signals::is_forked;
use nll_kernels::data::array::Array;
use nll_kernels::data::changes::Change;
use nll_kernels::data::out::Out;
use numpy::{
    PyArrayDescrMethods, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn, PyReadwriteArrayDyn,
    PyUntypedArray, PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyMemoryError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyFloat, PyTuple};

/// An input: a number or an array.
pub(crate) enum Input<'py> {
    Scalar(f64),
    F32(PyReadonlyArrayDyn<'py, f32>),
    F64(PyReadonlyArrayDyn<'py, f64>),
    F16(PyReadonlyArrayDyn<'py, u16>),
    BF16(PyReadonlyArrayDyn<'py, u16>),
    U8(PyReadonlyArrayDyn<'py, u8>),
    I32(PyReadonlyArrayDyn<'py, i32>),
    I64(PyReadonlyArrayDyn<'py, i64>),
    /// Codes, and what each row's are decoded with: scale and offset.
    Coded(PyReadonlyArrayDyn<'py, u16>, [PyReadonlyArrayDyn<'py, f32>; 2]),
}

/// The most axes that ndarray's views have.
const MAX_AXES: usize = 32;

fn readonly<'py, T: numpy::Element>(
    array: &Bound<'py, PyAny>,
) -> PyResult<PyReadonlyArrayDyn<'py, T>> {
    match array.cast::<PyArrayDyn<T>>()?.try_readonly() {
        Ok(array) => Ok(array),
        Err(_) if is_forked() => {
            Ok(array.call_method1(intern!(array.py(), "copy"), ("K",))?.cast_into()?.readonly())
        }
        Err(_) => {
            Err(PyValueError::new_err("an input is the out of another call that is not done yet"))
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Input<'py> {
    type Error = PyErr;

    /// A float or an array that the kernels read as it is. Anything else is a `TypeError`, upon which
    /// `_elements.py` tries again with what `_arrays.py` makes of it.
    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(number) = object.cast::<PyFloat>() {
            return Ok(Input::Scalar(number.extract()?));
        }
        let (py, object) = (object.py(), &*object);
        let unread = || PyTypeError::new_err("no kernel reads this type");
        let array = object.cast::<PyUntypedArray>().map_err(|_| unread())?;
        let dtype = array.dtype();
        let (kind, size) = (dtype.kind(), dtype.itemsize());
        let is_bfloat16 = kind == b'u' && size == 2 && array.is_instance(bfloat16(py)?)?;
        // Other subclasses mean more than their numbers: a mask, a unit.
        let is_plain = array.get_type().is(py.get_type::<PyUntypedArray>()) || is_bfloat16;
        let is_read = array.is_aligned() && dtype.is_native_byteorder() != Some(false);
        if !(is_plain && is_read && (1..=MAX_AXES).contains(&array.ndim())) {
            return Err(unread());
        }
        let view = |dtype| object.call_method1(intern!(py, "view"), (dtype,));
        match (kind, size) {
            (b'f', 4) => Ok(Input::F32(readonly(object)?)),
            (b'f', 8) => Ok(Input::F64(readonly(object)?)),
            (b'f', 2) => Ok(Input::F16(readonly(&view("u2")?)?)),
            (b'b', 1) => Ok(Input::U8(readonly(&view("u1")?)?)),
            (b'u', 2) if is_bfloat16 => Ok(Input::BF16(readonly(object)?)),
            (b'u', 1) => Ok(Input::U8(readonly(object)?)),
            (b'i', 4) => Ok(Input::I32(readonly(object)?)),
            (b'i', 8) => Ok(Input::I64(readonly(object)?)),
            _ => Err(unread()),
        }
    }
}

/// Codes, scale and offset.
type Coded<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>);

/// An array of floating-point numbers, or the codes of them in a tuple: logits or probabilities. Anything else is a `TypeError`, upon
/// which `_rows.py` tries again.
pub(crate) struct Floats<'py>(Input<'py>);

impl<'py> FromPyObject<'_, 'py> for Floats<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(parts) = object.cast::<PyTuple>() {
            let unread = |_| PyTypeError::new_err("no kernel reads this tuple");
            let (codes, scale, offset) = parts.extract::<Coded<'py>>().map_err(unread)?;
            let [scale, offset] = [readonly(&scale)?, readonly(&offset)?];
            return Ok(Floats(Input::Coded(readonly(&codes)?, [scale, offset])));
        }
        let input = object.extract::<Input<'py>>()?;
        match input {
            Input::F32(_) | Input::F64(_) | Input::F16(_) | Input::BF16(_) => Ok(Floats(input)),
            _ => Err(PyTypeError::new_err("no kernel reads rows of this type")),
        }
    }
}

impl Floats<'_> {
    pub(crate) fn array(&self) -> Array<'_> {
        self.0.array()
    }
}

/// The class of each row: a plain int64 array in C order. Anything else is a `TypeError`, upon which
/// `_rows.py` tries again.
pub(crate) struct Classes<'py>(PyReadonlyArrayDyn<'py, i64>);

impl<'py> FromPyObject<'_, 'py> for Classes<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let unread = || PyTypeError::new_err("no kernel reads targets of this type");
        let array = object.cast::<PyArrayDyn<i64>>().map_err(|_| unread())?;
        // A subclass means more than its numbers: a mask, a unit.
        let is_plain = array.get_type().is(object.py().get_type::<PyUntypedArray>());
        if !(is_plain && array.is_c_contiguous() && array.is_aligned()) {
            return Err(unread());
        }
        Ok(Classes(readonly(&object)?))
    }
}

impl Classes<'_> {
    pub(crate) fn classes(&self) -> PyResult<&[i64]> {
        Ok(self.0.as_slice()?)
    }

    pub(crate) fn shape(&self) -> &[usize] {
        self.0.shape()
    }
}

/// The class of arrays of the bits of bfloat16.
fn bfloat16(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static CLASS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let import = || py.import("nll_fast._arrays")?.getattr("BFloat16").map(Bound::unbind);
    Ok(CLASS.get_or_try_init(py, import)?.bind(py))
}

impl Input<'_> {
    pub(crate) fn array(&self) -> Array<'_> {
        match self {
            Input::Scalar(x) => Array::Scalar(*x),
            Input::F32(a) => Array::F32(a.as_array().into()),
            Input::F64(a) => Array::F64(a.as_array().into()),
            Input::F16(a) => Array::F16(a.as_array().into()),
            Input::BF16(a) => Array::BF16(a.as_array().into()),
            Input::U8(a) => Array::U8(a.as_array().into()),
            Input::I32(a) => Array::I32(a.as_array().into()),
            Input::I64(a) => Array::I64(a.as_array().into()),
            Input::Coded(codes, parts) => {
                let [scale, offset] = parts.each_ref().map(|x| x.as_slice().unwrap_or_default());
                Array::U16(codes.as_array().into()).changed(Change::Decode { scale, offset })
            }
        }
    }
}

/// An array of results: the user's, or a new one.
///
/// rust-numpy keeps a list of the arrays that calls are using. A fork copies the list with the calls of
/// threads that the child does not have, and there those arrays are in use for ever. The child reads a
/// copy of such an array, and has its results in a new array, from where they are copied.
pub(crate) struct Output<'py> {
    array: Bound<'py, PyAny>,
    borrow: Borrow<'py>,
    /// The user's array, if the results are to be copied to it.
    given: Option<Bound<'py, PyAny>>,
}

enum Borrow<'py> {
    F32(PyReadwriteArrayDyn<'py, f32>),
    F64(PyReadwriteArrayDyn<'py, f64>),
}

impl<'py> Output<'py> {
    /// The user's `out`, if it has the shape of the results.
    pub(crate) fn given(array: &Bound<'py, PyAny>, shape: &[usize]) -> PyResult<Self> {
        let py = array.py();
        let given = array.cast::<PyUntypedArray>()?.shape();
        if given != shape {
            let (given, shape) = (PyTuple::new(py, given)?, PyTuple::new(py, shape)?);
            let sentence = format!("out has shape {given}, but the result has {shape}");
            return Err(PyValueError::new_err(sentence));
        }
        let (borrow, double) = match array.cast::<PyArrayDyn<f32>>() {
            Ok(array) => (array.try_readwrite().map(Borrow::F32), false),
            Err(_) => (array.cast::<PyArrayDyn<f64>>()?.try_readwrite().map(Borrow::F64), true),
        };
        match borrow {
            Ok(borrow) => Ok(Output { array: array.clone(), borrow, given: None }),
            Err(_) if is_forked() => {
                let order: Vec<_> = (0..shape.len()).collect();
                let given = Some(array.clone());
                Ok(Output { given, ..Output::new(py, shape, &order, double)? })
            }
            Err(_) => Err(PyValueError::new_err("out is being read or written by another call")),
        }
    }

    /// The array with its results.
    pub(crate) fn finish(self) -> PyResult<Bound<'py, PyAny>> {
        let Some(given) = self.given else { return Ok(self.array) };
        let py = given.py();
        py.import("numpy")?.call_method1(intern!(py, "copyto"), (&given, self.array))?;
        Ok(given)
    }

    /// A new array, its axes in `order` in memory.
    pub(crate) fn new(
        py: Python<'py>,
        shape: &[usize],
        order: &[usize],
        double: bool,
    ) -> PyResult<Self> {
        let shape: Vec<_> = order.iter().map(|&axis| shape[axis]).collect();
        Output::of(empty(py, &shape, double)?, order, double)
    }

    /// `count` new arrays. If together they have a size in [`JOINED`], they are parts of one allocation.
    pub(crate) fn several(
        py: Python<'py>,
        count: usize,
        shape: &[usize],
        order: &[usize],
        double: bool,
    ) -> PyResult<Vec<Self>> {
        let each =
            shape.iter().try_fold(if double { 8 } else { 4 }, |n: usize, &m| n.checked_mul(m));
        let all = each.and_then(|each| each.checked_mul(count));
        if count < 2 || !all.is_some_and(|all| JOINED.contains(&all)) {
            return (0..count).map(|_| Output::new(py, shape, order, double)).collect();
        }
        let lengths = order.iter().map(|&axis| shape[axis]);
        let joined =
            empty(py, &core::iter::once(count).chain(lengths).collect::<Vec<_>>(), double)?;
        (0..count).map(|k| Output::of(joined.get_item(k)?, order, double)).collect()
    }

    /// A new array for results; its k-th axis in memory is axis `order[k]` of the results.
    fn of(array: Bound<'py, PyAny>, order: &[usize], double: bool) -> PyResult<Self> {
        let py = array.py();
        let borrow = match double {
            true => Borrow::F64(array.cast::<PyArrayDyn<f64>>()?.readwrite()),
            false => Borrow::F32(array.cast::<PyArrayDyn<f32>>()?.readwrite()),
        };
        if order.is_sorted() {
            return Ok(Output { array, borrow, given: None });
        }
        let mut axes = vec![0; order.len()];
        for (k, &axis) in order.iter().enumerate() {
            axes[axis] = k;
        }
        let array = array.call_method1(intern!(py, "transpose"), (axes,))?;
        Ok(Output { array, borrow, given: None })
    }

    pub(crate) fn out(&mut self) -> PyResult<Out<'_>> {
        Ok(match &mut self.borrow {
            Borrow::F32(array) => Out::F32(array.as_slice_mut()?),
            Borrow::F64(array) => Out::F64(array.as_slice_mut()?),
        })
    }
}

/// Several arrays of one call are parts of one allocation if that has so many bytes. glibc keeps freed memory up to twice the
/// size of the largest piece that it has freed. Two equal arrays that are freed together exceed that: each call would get new
/// pages, and the system takes ten times as long to make these as the call takes to write them. Of smaller sizes it keeps
/// more, and of larger ones nothing.
const JOINED: core::ops::RangeInclusive<usize> = (1 << 17)..=(1 << 25);

/// A new array in C order. NumPy's `empty` asks the system for large pages.
fn empty<'py>(py: Python<'py>, shape: &[usize], double: bool) -> PyResult<Bound<'py, PyAny>> {
    // Of more elements than that NumPy says ValueError, in words of its own.
    let most = isize::MAX as u128 / 8;
    if shape.iter().map(|&length| length as u128).product::<u128>() > most {
        let sentence = format!("no memory holds results of shape {shape:?}");
        return Err(PyMemoryError::new_err(sentence));
    }
    static EMPTY: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let import = || py.import("numpy")?.getattr("empty").map(Bound::unbind);
    let shape = PyTuple::new(py, shape)?;
    EMPTY.get_or_try_init(py, import)?.bind(py).call1((shape, if double { "f8" } else { "f4" }))
}

/// Where the results of an output go, if it is wanted.
pub(crate) fn places<'o>(output: &'o mut Option<Output<'_>>) -> PyResult<Out<'o>> {
    output.as_mut().map_or(Ok(Out::Nothing), Output::out)
}
