"""What users pass, as NumPy arrays and a dtype name. Imports no framework; copies no logits."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

# What the kernels read, and the dtype of what they return.
RESULT = {"float32": "float32", "float64": "float64", "float16": "float32", "bfloat16": "float32"}
# ``dtype.name`` is a Python function of two microseconds; half a small call would be spent in it.
_NAME = {np.dtype(name): name for name in ("float32", "float64", "float16", "int64", "int32")}
_INT64 = np.dtype(np.int64)
_FLOAT32 = np.dtype(np.float32)


def as_number(x: Any, name: str, lowest: float = -math.inf, highest: float = math.inf) -> float:
    """One real number in [lowest, highest], NaN only where there are no limits."""
    if type(x) is float and lowest <= x <= highest:
        return x
    if isinstance(x, (str, bytes)) or np.ndim(x) != 0:
        raise TypeError(f"{name} is {_shown(x)}; it must be one number")
    try:
        number = float(x)
    except (TypeError, ValueError, OverflowError):
        raise TypeError(f"{name} is {_shown(x)}; it must be one number") from None
    if not lowest <= number <= highest and (lowest, highest) != (-math.inf, math.inf):
        raise ValueError(f"{name} is {number}; it must lie in [{lowest:g}, {highest:g}]")
    return number


def as_integer(x: Any, name: str, lowest: int = -(2**63), highest: int = 2**63 - 1) -> int:
    """One integer in [lowest, highest], by default what fits in 64 bits."""
    if type(x) is int and lowest <= x <= highest:
        return x
    try:
        number = operator.index(x)
    except TypeError:
        raise TypeError(f"{name} is {_shown(x)}; it must be an integer") from None
    if not lowest <= number <= highest:
        raise ValueError(f"{name} is {number}; it must lie in [{lowest}, {highest}]")
    return number


def _shown(x: Any) -> str:
    return f"an array of shape {np.shape(x)}" if np.ndim(x) else repr(x)


def as_array(x: Any, name: str) -> tuple[np.ndarray, str]:
    """``x`` as an array without a copy, and the name of its dtype. bfloat16 comes as uint16 bits."""
    if type(x) is not np.ndarray:
        if type(x).__module__.partition(".")[0] == "torch":
            if x.device.type != "cpu":
                raise ValueError(f"{name} is on {x.device}; nll_fast runs on CPU: pass {name}.cpu()")
            x = x.detach()
            if str(x.dtype) == "torch.bfloat16":
                import sys

                x = x.view(sys.modules["torch"].uint16).numpy()
                return _checked(x, "bfloat16", name)
        if isinstance(x, np.ma.MaskedArray):
            raise TypeError(f"{name} is a masked array; its mask would be lost: pass {name}.filled(...)")
        x = np.asarray(x)
    return _checked(x, _NAME.get(x.dtype) or x.dtype.name, name)


def _checked(x: np.ndarray, dtype: str, name: str) -> tuple[np.ndarray, str]:
    if x.dtype.kind not in "fiubV":
        raise TypeError(f"{name} has dtype {x.dtype}; pass real numbers")
    if x.ndim > 32:
        raise ValueError(f"{name} has {x.ndim} axes; at most 32 are supported: reshape it")
    return x, dtype


def as_floats(x: Any, name: str) -> np.ndarray:
    """A small float array by value: bfloat16 bits become float32, integers float64."""
    x, dtype = as_array(x, name)
    if dtype == "bfloat16" and x.dtype == np.uint16:
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float64 if x.dtype.kind in "iub" else np.result_type(x.dtype, np.float32))


def as_rows(x: Any, name: str, axis: int) -> tuple[np.ndarray, str]:
    """Floating-point rows with the class axis last; halves as their bits."""
    usual = type(x) is np.ndarray and x.dtype is _FLOAT32 and axis == -1 and x.size
    if usual and 0 < x.ndim <= 32 and x.flags.aligned:
        return x, "float32"  # what follows takes an eighth of a small call
    x, dtype = as_array(x, name)
    if dtype not in RESULT:
        raise TypeError(
            f"{name} has dtype {dtype}; pass float64, float32, float16 or bfloat16, "
            f"for example np.asarray({name}, np.float32)"
        )
    if x.ndim == 0:
        raise ValueError(f"{name} is a scalar; it needs a class axis")
    if not (x.flags.aligned and x.dtype.isnative):
        readable(x, dtype, name)
    if axis != -1:
        if not isinstance(axis, (int, np.integer)) or not -x.ndim <= axis < x.ndim:
            raise ValueError(f"axis is {axis!r}, but {name} has shape {x.shape}: give one axis of it")
        x = np.moveaxis(x, axis, -1)
    if x.shape[-1] == 0:
        raise ValueError(f"{name} has shape {x.shape}: no classes along axis {axis}")
    if dtype == "float16" or (dtype == "bfloat16" and x.dtype != np.uint16):
        x = x.view(np.uint16)
    return x, dtype


def readable(x: np.ndarray, dtype: str, name: str) -> None:
    """Raises if the kernels cannot read ``x`` where it lies."""
    if not x.dtype.isnative:
        raise TypeError(f"{name} is in foreign byte order; pass {name}.astype(np.{dtype})")
    if not x.flags.aligned:
        raise ValueError(f"{name} is not aligned in memory; pass np.require({name}, requirements='A')")


# How an elementwise input is read: bits as they lie, small integers as the next type the kernels know.
_VIEW = {"float16": np.uint16, "bfloat16": np.uint16, "bool": np.uint8}
_WIDEN = {"int8": np.int32, "int16": np.int32, "uint16": np.int32, "uint32": np.int64, "uint64": np.float64}
_READ = {"float64", "float32", "uint8", "int32", "int64"}


def as_element(x: Any, name: str) -> tuple[Any, str]:
    """An elementwise input: a Python float and "scalar", or an array and what its bits are."""
    if type(x) is float or type(x) is int:
        return float(x), "scalar"
    if type(x) is np.ndarray and x.dtype is _FLOAT32 and 0 < x.ndim <= 32 and x.flags.aligned:
        return x, "float32"  # the usual case at once
    x, dtype = as_array(x, name)
    if dtype in _WIDEN:
        x, dtype = x.astype(_WIDEN[dtype]), np.dtype(_WIDEN[dtype]).name
    if dtype not in _READ and dtype not in _VIEW:
        raise TypeError(f"{name} has dtype {dtype}; pass floats, integers or booleans")
    if x.ndim == 0:
        return float(x), "scalar"
    readable(x, dtype, name)
    if dtype in _VIEW and x.dtype != np.uint16:
        x = x.view(_VIEW[dtype])
    return x, "uint8" if dtype == "bool" else dtype


def as_targets(target: Any, rows: np.ndarray) -> np.ndarray:
    """Integer targets, one for each row, flat and int64."""
    if type(target) is np.ndarray and target.dtype is _INT64 and target.shape == rows.shape[:-1]:
        flags = target.flags
        if flags.c_contiguous and flags.aligned:
            return target if target.ndim == 1 else target.reshape(-1)
    target, dtype = as_array(target, "target")
    if target.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(
            f"target has dtype {dtype} and shape {target.shape}; class indices must be integers, one for each row, of "
            f"shape {rows.shape[:-1]}: {_whole(target, rows)}"
        )
    if target.shape != rows.shape[:-1]:
        raise ValueError(
            f"target has shape {target.shape}, but rows of shape {rows.shape} (class axis last) "
            f"need one class index each, shape {rows.shape[:-1]}"
            + (f": {_whole(target, rows)}" if target.shape == rows.shape else "")
        )
    return np.require(as_int64(target), np.int64, ["C", "A"]).reshape(-1)


def _whole(target: np.ndarray, rows: np.ndarray) -> str:
    """How to make class indices of a target."""
    one_hot = target.shape == rows.shape
    return "of one-hot rows, target.argmax(-1)" if one_hot else "of whole numbers, target.astype(np.int64)"


def as_int64(target: np.ndarray) -> np.ndarray:
    """Integers as int64, in which none may become another."""
    if target.dtype.type is np.uint64 and target.size and target.max() > np.iinfo(np.int64).max:
        row = int(np.argmax(target.ravel() > np.iinfo(np.int64).max))
        raise IndexError(f"target {target.ravel()[row]} at row {row} is out of bounds for any number of classes")
    return target.astype(np.int64, copy=False)


def as_weight(weight: Any, classes: int) -> np.ndarray | None:
    """One float64 weight for each class."""
    if weight is None:
        return None
    weight = np.require(as_floats(weight, "weight"), np.float64, ["C", "A"])
    if not np.isfinite(weight).all():
        raise ValueError("weight has entries that are not finite")
    if weight.shape != (classes,):
        raise ValueError(f"weight has shape {weight.shape}, but {classes} classes need ({classes},)")
    return weight


def as_out(out: Any, shape: tuple[int, ...], dtype: str, inputs: tuple[Any, ...]) -> np.ndarray:
    """``out`` if it will do, a new array if it is None."""
    if out is None:
        return np.empty(shape, RESULT[dtype])
    if not isinstance(out, np.ndarray) or out.dtype not in (np.float32, np.float64):
        raise TypeError("out must be a float32 or float64 NumPy array in native byte order")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, but the result has {shape}")
    if not out.flags.c_contiguous or not out.flags.writeable or not out.flags.aligned:
        raise ValueError("out must be C-contiguous, aligned and writable")
    if any(np.may_share_memory(out, x) for x in inputs):
        raise ValueError("out shares memory with an input, which would be overwritten while it is read")
    return out


def aligned(
    logits: Any, target: Any, axis: int, shift: int, mask: Any, ignore_index: int | None
) -> tuple[Any, Any, int | None]:
    """Logits, targets and ignore_index for ``target[..., t + shift]`` at the logits of position t, where ``mask``
    allows it. The logits are a view; the targets are copied only for a mask.
    """
    if shift:
        logits, target = (x if hasattr(x, "shape") else np.asarray(x) for x in (logits, target))
        if axis not in (-1, logits.ndim - 1) or logits.ndim < 2:
            raise ValueError(f"shift needs positions before a last class axis, not axis {axis} of {logits.shape}")
        positions = logits.shape[-2]
        if not 0 < as_integer(shift, "shift") <= positions:
            raise ValueError(f"shift is {shift}; with {positions} positions it must lie in [0, {positions}]")
        if target.shape[: logits.ndim - 1] != logits.shape[:-1]:
            raise ValueError(
                f"target has shape {target.shape}, but logits of shape {logits.shape} need {logits.shape[:-1]}"
            )
        after = (slice(shift, None),) if target.ndim < logits.ndim else (slice(shift, None), slice(None))
        logits, target = logits[..., : positions - shift, :], target[(..., *after)]
        mask = mask if mask is None else np.asarray(mask)[..., shift:]
    if mask is None:
        return logits, target, ignore_index
    mask, (target, dtype) = np.asarray(mask), as_array(target, "target")
    if mask.dtype != np.bool_:
        raise TypeError(f"mask has dtype {mask.dtype}; pass booleans, True where a target counts: mask != 0")
    if target.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(f"mask needs integer targets, not {dtype}; select rows instead: logits[mask], target[mask]")
    if mask.shape != target.shape:
        raise ValueError(f"mask has shape {mask.shape}, but target has {target.shape}")
    ignored = np.iinfo(np.int64).min if ignore_index is None else ignore_index
    return logits, np.where(mask, as_int64(target), ignored), ignored
