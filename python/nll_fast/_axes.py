"""Engine of the functions that SciPy has too: over one, several or all axes, which are merged to one class axis."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nll_fast._arrays import as_array, as_logits, check_out
from nll_fast._options import as_flag, as_integer, as_number, shown
from nll_fast._types import Array


def log_sums(call: Callable[..., Any], logits: Any, axis: Any, b: Any, out: Array | None, keepdims: bool) -> Array:
    """One number for all classes along ``axis``: without any, that of an empty sum, −∞."""
    x = _numbers(logits)
    factor = None if b is None else _factors(b, x)
    if factor is not None:
        x, factor = _broadcast(x, factor)
    axes, keepdims = as_axes(axis, x), as_flag(keepdims, "keepdims")
    rows = merged(x, axes)
    if out is not None:
        check_out(out, (logits, x, b, factor), rows.shape[:-1])
    if rows.shape[-1]:
        result = call(rows, out=out, b=None if factor is None else merged(factor, axes))
    else:
        result = _empty(rows.shape[:-1], x, factor) if out is None else out
        np.asarray(result)[...] = -np.inf
    if keepdims:
        result = np.expand_dims(result, axes)
    return result if result.ndim or out is not None else result[()]


def log_shares(call: Callable[..., Any], logits: Any, axis: Any, out: Array | None) -> Array:
    """One number for each class, in the shape of the logits."""
    x = _numbers(logits)
    axes = as_axes(axis, x)
    if out is not None:
        check_out(out, (logits, x))
    if axes == (x.ndim - 1,) and x.shape[-1]:
        return call(x, out=out)
    order, rows = _last(x, axes), merged(x, axes)
    if out is not None:
        if order != list(range(x.ndim)):
            raise ValueError(f"out needs the class axis to be the last, not axis {axis}")
        check_out(out, (), x.shape)
        call(rows, out=np.asarray(out).reshape(rows.shape))
        return out
    result = call(rows, out=None) if rows.shape[-1] else _empty(rows.shape, x)
    result = result.reshape([x.shape[k] for k in order])
    if order != sorted(order):
        result = result.transpose(np.argsort(order))
    return result if result.ndim else result[()]


def _numbers(logits: Any, name: str = "logits") -> np.ndarray:
    """Logits, or the float64 copy of integers: SciPy takes these, where there is no target to be mistaken for logits.
    uint16 is refused, as it may be the bits of bfloat16.
    """
    if type(logits) is not np.ndarray or logits.dtype.kind in "iub":
        logits = as_array(logits, name)
        if logits.dtype.kind in "iub" and logits.dtype.name != "uint16":
            return logits.astype(np.float64)
    return as_logits(logits, name)


def _factors(b: Any, x: np.ndarray) -> np.ndarray:
    """Factors of terms; a Python number that float32 holds does not widen the logits, as in NumPy."""
    if type(b) in (int, float):
        b = as_number(b, "b")
        narrow = x.dtype != np.float64 and (b == 0 or not np.isfinite(b) or 1e-37 < abs(b) < 3e38)
        return np.asarray(b, np.float32 if narrow else np.float64)
    return _numbers(b, "b")


def _broadcast(x: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Views of one shape of logits and factors."""
    try:
        shape = np.broadcast_shapes(x.shape, b.shape)
    except ValueError:
        raise ValueError(f"b has shape {b.shape}, which does not broadcast to that of the logits, {x.shape}") from None
    return np.broadcast_to(x, shape, subok=True), np.broadcast_to(b, shape, subok=True)


def _empty(shape: tuple[int, ...], *inputs: np.ndarray | None) -> Array:
    double = any(x is not None and x.dtype == np.float64 for x in inputs)
    return np.empty(shape, np.float64 if double else np.float32)


def as_axes(axis: Any, x: np.ndarray) -> tuple[int, ...]:
    """The axes that ``axis`` names, in ascending order. A number without axes is a row of one class."""
    if type(axis) is int and axis == -1 and x.ndim:
        return (x.ndim - 1,)
    if axis is None:
        return tuple(range(x.ndim))
    several = isinstance(axis, (tuple, list))
    try:
        given = [as_integer(one, "axis") for one in (axis if several else (axis,))]
    except (TypeError, ValueError) as error:
        raise type(error)(f"axis is {shown(axis)}; give an integer, several in a tuple, or None") from None
    size = max(x.ndim, 1)
    if not all(-size <= one < size for one in given):
        raise ValueError(f"axis is {shown(axis)}, but logits has shape {x.shape}: give axes of it")
    axes = sorted(one % size for one in given)
    if len(set(axes)) < len(axes):
        raise ValueError(f"axis is {shown(axis)}, which names one of the axes of shape {x.shape} twice")
    return tuple(axes) if x.ndim else ()


def _last(x: np.ndarray, axes: tuple[int, ...]) -> list[int]:
    return [k for k in range(x.ndim) if k not in axes] + list(axes)


def merged(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """``x`` with all ``axes`` as one last axis: a view, but a copy of logits whose strides cannot be merged."""
    if axes == (x.ndim - 1,):
        return x
    order = _last(x, axes)
    shape = [x.shape[k] for k in order[: x.ndim - len(axes)]]
    return x.transpose(order).reshape(*shape, math.prod(x.shape[k] for k in axes))
