"""What users pass, as NumPy arrays of dtypes that the kernels read. Imports no framework; copies no logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from nll_fast._bfloat16 import BFloat16, as_float32, dtype_name, is_bfloat16
from nll_fast._foreign import as_numpy
from nll_fast._options import as_integer, as_number, shown, shown_dtype
from nll_fast._types import Array

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
_INT64, _UINT64 = np.dtype(np.int64), np.dtype(np.uint64)
_FLOATS = ("float64", "float32", "float16", "bfloat16")
_MOST = 2**60
_WIDER = {
    np.dtype(narrow): np.dtype(wide)
    for narrow, wide in (("i1", "i4"), ("i2", "i4"), ("u2", "i4"), ("u4", "i8"), ("u8", "i8"))
}
"""Integers that the kernels do not read, and the type that they become."""


def as_bfloat16(bits: Any) -> Array:
    """View uint16 bits as bfloat16, for every function of nll_fast.

    NumPy has no bfloat16: a BF16 tensor of a file comes as the upper half of each float32, and what ``np.save``
    wrote of an array of ml_dtypes comes back as two bytes without a meaning, the dtype V2. Arrays of ml_dtypes
    and tensors of torch know their dtype and need no such view.

    Parameters
    ----------
    bits : array_like of uint16 or V2
        Of any shape; not copied.

    Returns
    -------
    BFloat16
        A view, of which slices and reshaped views are bfloat16 too.

    Raises
    ------
    TypeError
        If the dtype is another.

    Examples
    --------
    >>> import numpy as np, nll_fast
    >>> nll_fast.logsumexp(as_bfloat16(np.array([0x3F80, 0x3F80], np.uint16))).round(4)  # two ones
    np.float32(1.6931)
    """
    bits = as_numpy(bits, "bits")
    if bits.dtype == np.dtype("V2"):
        bits = bits.view(np.uint16)
    if bits.dtype != np.uint16:
        raise TypeError(
            f"bits has dtype {shown_dtype(bits)}; bfloat16 is stored in uint16, in the byte order of this machine"
        )
    return bits.view(BFloat16)


def as_array(x: Any, name: str) -> np.ndarray:
    """``x`` as an array of real numbers without a copy; bfloat16 as :class:`BFloat16`."""
    if type(x) is not np.ndarray:
        x = as_numpy(x, name)
    if x.dtype.kind not in "fiub":
        if x.dtype == np.dtype("V2"):
            raise TypeError(
                f"{name} has dtype V2, two bytes without a meaning; if they are bfloat16 that np.save wrote, pass "
                f"nll_fast.as_bfloat16({name}) or {name}.view(ml_dtypes.bfloat16)"
            )
        if x.dtype.name != "bfloat16":
            if x.ndim == 0 and x.dtype == object:
                raise TypeError(f"{name} is {shown(x.item())}; pass real numbers")
            raise TypeError(f"{name} has dtype {shown_dtype(x)}; pass real numbers")
        if not x.dtype.isnative:
            raise TypeError(f"{name} is bfloat16 in foreign byte order; pass {name}.astype(ml_dtypes.bfloat16)")
        x = x.view(np.uint16).view(BFloat16)
    if x.ndim > 32:
        raise ValueError(f"{name} has {x.ndim} axes; at most 32 are supported: reshape it")
    if x.size >= _MOST:
        raise ValueError(f"{name} has shape {x.shape}, which is more elements than memory has addresses")
    return x


def as_floats(x: Any, name: str) -> np.ndarray:
    """A small float array by value: bfloat16 becomes float32, integers float64."""
    x = as_array(x, name)
    if is_bfloat16(x):
        return as_float32(x)
    return x.astype(np.float64 if x.dtype.kind in "iub" else np.result_type(x.dtype, np.float32))


def as_rows(x: Any, name: str, axis: int) -> np.ndarray:
    """Floating-point rows with the class axis last."""
    x = as_logits(x, name)
    if type(axis) is int and axis == -1 and x.ndim and x.shape[-1]:
        return x
    axis = as_integer(axis, "axis")
    if -x.ndim <= axis < x.ndim and x.shape[axis] == 0:
        raise ValueError(f"{name} has shape {x.shape}: no classes along axis {axis}")
    if not -x.ndim <= axis < x.ndim:
        if x.ndim == 0:
            raise ValueError(f"{name} is {shown(x)}, a scalar; it needs a class axis")
        raise ValueError(f"axis is {axis}, but {name} has shape {x.shape}: give one axis of it")
    return np.moveaxis(x, axis, -1)


def as_logits(x: Any, name: str) -> np.ndarray:
    """A floating-point array that the kernels read in its place: it may be larger than memory, and is never copied."""
    if type(x) is np.ndarray and (x.dtype is _FLOAT32 or x.dtype is _FLOAT64) and x.ndim <= 32 and x.flags.aligned:
        return x  # The usual case: the rest would take an eighth of a small call.
    x = as_array(x, name)
    if dtype_name(x) not in _FLOATS:
        if x.dtype.name == "uint16":
            raise TypeError(
                f"{name} has dtype uint16; if these are the bits of bfloat16, pass nll_fast.as_bfloat16({name})"
            )
        swapped = "; predictions come first, then the targets" if x.dtype.kind in "iub" else ""
        raise TypeError(
            f"{name} has dtype {x.dtype}; pass float64, float32, float16 or bfloat16, for example "
            f"np.asarray({name}, np.float32){swapped}"
        )
    if not x.dtype.isnative:
        raise TypeError(f"{name} has dtype {x.dtype}, in foreign byte order; pass {name}.astype(np.{x.dtype.name})")
    if not x.flags.aligned:
        raise ValueError(f"{name}, {shown(x)}, is not aligned in memory; pass np.require({name}, requirements='A')")
    return x


def as_input(x: Any, name: str) -> Any:
    """An elementwise input: a Python float, or an array of a dtype that the kernels read."""
    if type(x) is np.ndarray and (x.dtype is _FLOAT32 or x.dtype is _FLOAT64) and 0 < x.ndim <= 32 and x.flags.aligned:
        return x  # The usual case.
    if type(x) is float or type(x) is int:
        return as_number(x, name)
    x = as_array(x, name)
    if x.dtype.kind == "f" and x.dtype.name not in _FLOATS:
        raise TypeError(f"{name} has dtype {x.dtype}; pass floats, integers or booleans")
    if x.ndim == 0:
        return float(as_floats(x, name))
    dtype = x.dtype.newbyteorder("=")
    if is_bfloat16(x) or dtype not in _WIDER:
        # A call on elements may copy what rows would not: their results are as large.
        return x if x.dtype.isnative and x.flags.aligned else x.astype(dtype)
    if dtype == _UINT64 and x.size and x.max() > np.iinfo(np.int64).max:
        index = tuple(map(int, np.unravel_index(np.argmax(x), x.shape)))
        raise ValueError(f"{name} is {x[index]} at index {index}, which int64 does not hold; pass it as float64")
    return x.astype(_WIDER[dtype])


def is_distribution(target: Any, rows: Any) -> bool:
    """Whether ``target`` holds floats and has as many axes as ``rows``."""
    if type(target) is np.ndarray and target.dtype.kind == "i":
        return False
    target = as_array(target, "target")
    is_float = target.dtype.kind == "f" or is_bfloat16(target)
    return is_float and target.ndim == as_array(rows, "logits").ndim


def as_targets(target: Any) -> np.ndarray:
    """The classes of rows, in integers, booleans or whole floats, as C-contiguous int64."""
    if type(target) is np.ndarray and target.dtype is _INT64:
        flags = target.flags
        if flags.c_contiguous and flags.aligned:
            return target
    target = as_array(target, "target")
    if target.dtype.kind == "f" or is_bfloat16(target):
        target = _whole(as_floats(target, "target"), dtype_name(target))
    return np.require(as_int64(target), np.int64, ["C", "A"])


def _whole(target: np.ndarray, dtype: str) -> np.ndarray:
    """Labels in floats, as boosting libraries and tables have them, as integers."""
    with np.errstate(invalid="ignore"):
        whole = target.astype(np.int64)
    wrong = (whole != target) | (np.abs(target) >= 2.0**63)
    if wrong.any():
        index = tuple(map(int, np.unravel_index(np.argmax(wrong), wrong.shape)))
        raise TypeError(
            f"target has dtype {dtype} and shape {target.shape}, and is {target[index]} at index {index}; class "
            "indices are whole numbers, one for each row, and a distribution has the shape of the logits"
        )
    return whole


def as_int64(target: np.ndarray) -> np.ndarray:
    """Integers as int64; raises IndexError where one would become another."""
    if target.dtype.type is np.uint64 and target.size and target.max() > np.iinfo(np.int64).max:
        row = int(np.argmax(target.ravel() > np.iinfo(np.int64).max))
        raise IndexError(f"target {target.ravel()[row]} at row {row} is out of bounds for any number of classes")
    return target.astype(np.int64, copy=False)


def as_token_ids(token_ids: Any, rows: tuple[int, ...], shift: int, classes: int) -> Array:
    """The given classes, of shape (m,) or (..., m); none if there are none."""
    if token_ids is None:
        return np.empty(0, np.int64)
    ids = as_array(token_ids, "token_ids")
    if ids.size == 0:
        ids = ids.astype(np.int64)
    if ids.dtype.kind not in "iu" or is_bfloat16(ids):
        raise TypeError(f"token_ids is {shown(ids)}; pass integers")
    if shift and ids.ndim == len(rows) + 1 and ids.ndim > 1 and ids.shape[-2] == rows[-1] + shift:
        ids = ids[..., shift:, :]
    if ids.ndim != 1 and ids.shape[:-1] != rows:
        wanted = ", ".join(map(str, (*rows, "m")))
        raise ValueError(f"token_ids has shape {ids.shape}; give (m,) for all rows, or ({wanted}) for each of them")
    wrong = (ids < 0) | (ids >= classes)
    if wrong.any():
        index = tuple(map(int, np.unravel_index(np.argmax(wrong), wrong.shape)))
        raise IndexError(f"token_ids is {ids[index]} at index {index}, but there are {classes} classes")
    return np.require(ids, np.int64, ["C", "A"])


def as_mask(mask: Any) -> np.ndarray:
    """Booleans, True where a row counts."""
    mask = as_array(mask, "mask")
    if mask.dtype.kind not in "iub" or is_bfloat16(mask):
        raise TypeError(f"mask has dtype {dtype_name(mask)}; pass booleans, True where a target counts: mask != 0")
    if mask.dtype == np.bool_:
        return mask
    flags = mask.astype(bool)
    if mask.size and not (mask == flags).all():
        index = tuple(map(int, np.unravel_index(np.argmax(mask != flags), mask.shape)))
        raise ValueError(
            f"mask is {mask[index]} at index {index}; it must be True or 1 where a target counts, else False or 0"
        )
    return flags


def as_weight(weight: Any) -> np.ndarray | None:
    """Float64 weights, one for each class."""
    if weight is None:
        return None
    weight = np.require(as_floats(weight, "weight"), np.float64, ["C", "A"])
    if weight.ndim != 1:
        raise ValueError(f"weight has shape {weight.shape}; it needs one weight for each class")
    return weight


def as_row_weight(weight: Any, rows: tuple[int, ...], shift: int = 0, owner: str = "target") -> np.ndarray:
    """Float64 weights, one for each row of ``owner``, or for each target of rows that go by targets ``shift`` positions
    later.
    """
    weight = as_floats(weight, "sample_weight")
    given = weight.shape
    if shift and weight.ndim == len(rows) and weight.shape[-1] == rows[-1] + shift:
        weight = weight[..., shift:]
    if weight.shape != rows:
        raise ValueError(f"sample_weight has shape {given}, but the rows of {owner} have {rows}: give one for each row")
    return np.require(weight, np.float64, ["C", "A"])


def check_out(out: Any, inputs: tuple[Any, ...], shape: tuple[int, ...] | None = None) -> None:
    """Raise unless ``out`` can hold results, of a ``shape`` if that is given, while the inputs are read."""
    if isinstance(out, np.ma.MaskedArray):
        raise TypeError("out is a masked array, and would be written under its mask: pass out.data")
    # Whether a subclass says something else of itself is no matter.
    plain = np.asarray(out) if isinstance(out, np.ndarray) else None
    if plain is None or plain.dtype not in (np.float32, np.float64):
        raise TypeError(f"out is {shown(out)}; it must be a float32 or float64 NumPy array in native byte order")
    if not plain.flags.c_contiguous or not plain.flags.writeable or not plain.flags.aligned:
        fault = "not writable" if not plain.flags.writeable else "not C-contiguous"
        fault = fault if plain.flags.aligned else "not aligned"
        raise ValueError(f"out is {shown(plain)} that is {fault}; it must be C-contiguous, aligned and writable")
    if shape is not None and plain.shape != shape:
        raise ValueError(f"out has shape {plain.shape}, but the result has {shape}")
    if any(isinstance(x, np.ndarray) and np.may_share_memory(plain, x) for x in inputs):
        raise ValueError(
            f"out, {shown(plain)}, shares memory with an input, which would be overwritten while it is read"
        )
