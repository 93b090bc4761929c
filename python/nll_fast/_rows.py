"""Engine of the functions of rows: arguments to the binding, results to the user, shift and mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nll_fast._arrays import (
    as_array,
    as_int64,
    as_integer,
    as_mask,
    as_number,
    as_rows,
    as_targets,
    as_weight,
    check_out,
    dtype_name,
)
from nll_fast._core import Partial
from nll_fast._types import Array

REDUCTIONS = ("mean", "sum", "none", "partial")


def check_reduction(reduction: str, empty_mean: float = math.nan) -> None:
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use 'mean', 'sum', 'none' or 'partial'")
    if empty_mean is math.nan:  # The default, and the usual case.
        return
    if not math.isnan(as_number(empty_mean, "empty_mean")) and reduction != "mean":
        raise ValueError(f"empty_mean is of reduction='mean', not {reduction!r}")


def apply_reduction(
    each: Any, totals: Partial, reduction: str, empty_mean: float = math.nan, out: Array | None = None
) -> Any:
    """What the user gets of the losses and their totals. The loss of one row is a number, unless it is in ``out``."""
    if reduction == "mean":
        mean = totals.mean
        # The mean of nothing is NaN.
        return mean if mean == mean or totals.count else float(empty_mean)
    if reduction == "none":
        return each if each.ndim or out is not None else each[()]
    return totals.sum if reduction == "sum" else totals


def row_losses(
    call: Callable[..., Any],
    name: str,
    x: Any,
    target: Any,
    *,
    axis: int,
    weight: Any = None,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: Any = None,
    reduction: str = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
    **options: Any,
) -> Any:
    """The losses of the rows of ``x``, named ``name``, with a class as target, reduced."""
    check_reduction(reduction, empty_mean)
    if ignore_index is not None and (type(ignore_index) is not int or ignore_index != -100):
        ignore_index = as_integer(ignore_index, "ignore_index")
    given = (x, target, weight, mask)
    if shift != 0 or mask is not None:
        x, target, ignore_index = shift_and_mask(x, target, axis, shift, mask, ignore_index)
    x, target = as_rows(x, name, axis), as_targets(target)
    weight = None if weight is None else as_weight(weight)
    if out is not None:
        check_out(out, (*given, x, target))
    each, totals = call(x, target, weight, ignore_index, out, reduction == "none", **options)
    return apply_reduction(each, totals, reduction, empty_mean, out)


def row_quantity(
    call: Callable[..., Any],
    arrays: dict[str, Any],
    *,
    axis: int,
    reduction: str,
    out: Array | None = None,
    empty_mean: float = math.nan,
    shift: int = 0,
    mask: Any = None,
    **options: Any,
) -> Any:
    """A quantity of each row of one or two arrays of one shape, reduced."""
    check_reduction(reduction, empty_mean)
    inputs = {name: as_rows(x, name, axis) for name, x in arrays.items()}
    if out is not None:
        check_out(out, (*inputs.values(), options.get("weight"), mask))
    if "weight" in options:
        options["weight"] = as_weight(options["weight"])
    if mask is not None:
        mask, rows = as_mask(mask), next(iter(inputs.values())).shape[:-1]
        if mask.shape != rows:
            raise ValueError(f"mask has shape {mask.shape}, but the rows have {rows}")
    if shift != 0:
        shift = as_integer(shift, "shift")
        inputs = {name: shifted(x, name, axis, shift) for name, x in inputs.items()}
        mask = None if mask is None else mask[..., shift:]
    if mask is None:
        each, totals = call(**inputs, **options, out=out, each=reduction == "none")
    else:
        each, totals = _of_some_rows(call, inputs, mask, out, reduction == "none", options)
    return apply_reduction(each, totals, reduction, empty_mean, out)


def shifted(x: np.ndarray, name: str, axis: int, shift: int) -> np.ndarray:
    """Rows without the last ``shift`` positions; targets, which belong to earlier positions, without the first."""
    positions = shiftable(x, name, axis, shift)
    return x[..., shift:, :] if name == "target" else x[..., : positions - shift, :]


_GATHERED = 1 << 17
"""How many logits are gathered at once: enough for threads to share, and too few to be noticed in memory."""


def _of_some_rows(
    call: Callable[..., Any],
    inputs: dict[str, np.ndarray],
    mask: np.ndarray,
    out: Array | None,
    each: bool,
    options: dict[str, Any],
) -> tuple[Array | None, Partial]:
    """The results where ``mask`` is True, else 0, and the totals of these rows. Other rows are not read: a block of
    rows after the other is gathered, and their totals add up without rounding.
    """
    if len({x.shape for x in inputs.values()}) > 1:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in inputs.items())
        raise ValueError(f"the shapes must be equal: {shapes}")
    result = out
    if out is None and each:
        double = any(x.dtype == np.float64 for x in inputs.values())
        result = np.zeros(mask.shape, np.float64 if double else np.float32)
    if out is not None:
        if out.shape != mask.shape:
            raise ValueError(f"out has shape {out.shape}, but the result has {mask.shape}")
        out[...] = 0
    if not mask.ndim:  # One row.
        inputs = {name: x[np.newaxis] for name, x in inputs.items()}
    where = np.nonzero(np.atleast_1d(mask))
    places = None if result is None else np.atleast_1d(result)
    step = max(_GATHERED // next(iter(inputs.values())).shape[-1], 1)
    totals: Any = 0
    for start in range(0, max(len(where[0]), 1), step):
        rows = tuple(index[start : start + step] for index in where)
        block = None if places is None else np.empty(len(rows[0]), places.dtype)
        _, part = call(**{name: x[rows] for name, x in inputs.items()}, **options, out=block, each=False)
        totals = part + totals
        if places is not None:
            places[rows] = block
    return result, totals


def row_array(
    call: Callable[..., Any],
    rows: dict[str, Any],
    *,
    axis: int,
    out: Array | None = None,
    **options: Any,
) -> Array:
    """An array of results, one for each class, with its class axis at ``axis``."""
    arguments: dict[str, Any] = {name: x for name, x in rows.items() if name != "target"}
    ((name, x),) = arguments.items()
    arguments[name] = x = as_rows(x, name, axis)
    if "target" in rows:
        arguments["target"] = as_targets(rows["target"])
    if out is not None:
        check_out(out, (*rows.values(), x, options.get("weight")))
    if "weight" in options:
        options["weight"] = as_weight(options["weight"])
    result = call(**arguments, **options, out=out)
    if axis in (-1, x.ndim - 1):
        return result
    if out is not None:
        raise ValueError(f"out needs the class axis to be the last, not axis {axis}")
    return np.moveaxis(result, -1, axis)


def shift_and_mask(
    logits: Any, target: Any, axis: int, shift: int, mask: Any, ignore_index: int | None
) -> tuple[Any, Any, int | None]:
    """Logits, targets and ignore_index for ``target[..., t + shift]`` at the logits of position t, where ``mask``
    allows it. The logits are a view; the targets are copied only for a mask.
    """
    shift = as_integer(shift, "shift")
    mask = None if mask is None else as_mask(mask)
    if shift:
        logits, target = as_array(logits, "logits"), as_array(target, "target")
        positions = shiftable(logits, "logits", axis, shift)
        if target.shape != logits.shape[:-1]:
            raise ValueError(
                f"target has shape {target.shape}, but logits of shape {logits.shape} need {logits.shape[:-1]}"
            )
        logits, target = logits[..., : positions - shift, :], target[..., shift:]
        mask = mask if mask is None else mask[..., shift:]
    if mask is None:
        return logits, target, ignore_index
    target = as_array(target, "target")
    dtype = dtype_name(target)
    if target.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(f"mask needs integer targets, or a distribution for each row, not {dtype}")
    if mask.shape != target.shape:
        raise ValueError(f"mask has shape {mask.shape}, but target has {target.shape}")
    ignored = np.iinfo(np.int64).min if ignore_index is None else ignore_index
    return logits, np.where(mask, as_int64(target), ignored), ignored


def shiftable(logits: np.ndarray, name: str, axis: int, shift: int) -> int:
    """The number of positions of logits that can be shifted."""
    if axis not in (-1, logits.ndim - 1) or logits.ndim < 2:
        raise ValueError(f"shift needs positions before a last class axis, not axis {axis} of {logits.shape}")
    positions = logits.shape[-2]
    if not 0 < shift <= positions:
        raise ValueError(f"shift is {shift}; with {positions} positions it must lie in [0, {positions}]")
    return positions
