"""Engine of the functions of rows: arguments to the binding, results to the user, shift and mask."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nll_fast._arrays import (
    as_array,
    as_integer,
    as_mask,
    as_number,
    as_row_weight,
    as_rows,
    as_targets,
    as_weight,
    check_out,
)
from nll_fast._core import Partial
from nll_fast._types import Array

REDUCTIONS = ("mean", "sum", "none", "partial")


def check_reduction(reduction: str, empty_mean: float = math.nan) -> None:
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
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


def usual_losses(
    call: Callable[..., Any], x: Any, target: Any, ignore_index: int | None, reduction: str, **options: Any
) -> Any:
    """The losses of rows of a call that gives little more than arrays which the kernels read as they are; None if this
    is another. Looking at the arguments here would take a third of the time of a small call.
    """
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        return None
    try:
        each, totals = call(
            x, target, None, None, ignore_index, None, reduction == "none", reduction == "partial", **options
        )
    except (TypeError, OverflowError):
        return None  # An argument is converted or refused where each is looked at.
    return apply_reduction(each, totals, reduction)


def row_losses(
    call: Callable[..., Any],
    name: str,
    x: Any,
    target: Any,
    *,
    axis: int,
    weight: Any = None,
    sample_weight: Any = None,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: Any = None,
    reduction: str = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
    grad: bool = False,
    hess: str | None = None,
    **options: Any,
) -> Any:
    """The losses of the rows of ``x``, named ``name``, with a class as target, reduced; for ``grad`` and ``hess`` of
    ``call`` with the derivatives by ``x``.
    """
    check_reduction(reduction, empty_mean)
    if ignore_index is not None and (type(ignore_index) is not int or ignore_index != -100):
        ignore_index = as_integer(ignore_index, "ignore_index")
    given = (x, target, weight, sample_weight, mask)
    wanted, moments = reduction == "none", reduction == "partial"
    if grad or hess is not None:
        slopes, curves, each, totals = row_gradient(
            call, x, target, axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index,
            shift=shift, mask=mask, hess=hess, mean=reduction == "mean",
            losses=out, each=wanted, total=True, moments=moments, **options,
        )  # fmt: skip
        loss = apply_reduction(each, totals, reduction, empty_mean, out)
        return (loss, slopes) if hess is None else (loss, slopes, curves)
    if shift != 0 or mask is not None:
        x, target, ignore_index = shift_and_mask(x, target, axis, shift, mask, ignore_index)
    x, target = as_rows(x, name, axis), as_targets(target)
    weight = None if weight is None else as_weight(weight)
    if sample_weight is not None:
        sample_weight = as_row_weight(sample_weight, target.shape, as_integer(shift, "shift"))
    if out is not None:
        check_out(out, (*given, x, target))
    each, totals = call(x, target, weight, sample_weight, ignore_index, out, wanted, moments, **options)
    return apply_reduction(each, totals, reduction, empty_mean, out)


def row_gradient(
    call: Callable[..., Any],
    logits: Any,
    target: Any,
    *,
    axis: int,
    weight: Any,
    sample_weight: Any,
    ignore_index: int | None,
    shift: int,
    mask: Any,
    out: Array | None = None,
    losses: Array | None = None,
    **options: Any,
) -> tuple[Array, Array | None, Array | None, Partial]:
    """The gradient by all logits, in ``out`` if that is given, the second derivatives, the losses, in ``losses`` if
    that is given, and their totals.
    """
    given = (logits, target, weight, sample_weight, mask)
    x, shift = as_rows(logits, "logits", axis), as_integer(shift, "shift")
    if shift != 0 or mask is not None:
        _, target, ignore_index = shift_and_mask(logits, target, axis, shift, mask, ignore_index)
    target = as_targets(target)
    if sample_weight is not None:
        sample_weight = as_row_weight(sample_weight, target.shape, shift)
    if shift:
        if losses is not None:
            raise ValueError("out needs a loss for each position; with shift and a gradient, leave it out")
        # The last positions have no target; an ignored one gives them the gradient 0.
        ignore_index = np.iinfo(np.int64).min if ignore_index is None else ignore_index
        behind = [(0, 0)] * (target.ndim - 1) + [(0, shift)]
        target = np.pad(target, behind, constant_values=ignore_index)
        sample_weight = None if sample_weight is None else np.pad(sample_weight, behind)
    for given_out in (out, losses):
        if given_out is not None:
            check_out(given_out, (*given, x, target))
    weight = None if weight is None else as_weight(weight)
    slopes, curves, each, totals = call(
        x, target, weight, sample_weight, ignore_index, grad_out=out, out=losses, **options
    )
    if shift:
        each = None if each is None else each[..., :-shift]
        totals = without_ignored(totals, target.size // target.shape[-1] * shift)
    if axis not in (-1, x.ndim - 1):
        if out is not None:
            raise ValueError(f"out needs the class axis to be the last, not axis {axis}")
        slopes, curves = (x if x is None else np.moveaxis(x, -1, axis) for x in (slopes, curves))
    return slopes, curves, each, totals


def without_ignored(totals: Partial, rows: int) -> Partial:
    """The same totals of so many rows less, which were ignored."""
    if not totals.ignored:
        return totals
    fields = {**totals.to_dict(), "ignored": totals.ignored - rows}
    return Partial.from_dict(fields)


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
    sample_weight: Any = None,
    **options: Any,
) -> Any:
    """A quantity of each row of one or two arrays of one shape, reduced."""
    check_reduction(reduction, empty_mean)
    inputs = {name: as_rows(x, name, axis) for name, x in arrays.items()}
    if out is not None:
        check_out(out, (*inputs.values(), options.get("weight"), mask, sample_weight))
    if "weight" in options:
        options["weight"] = as_weight(options["weight"])
    rows = next(iter(inputs.values())).shape[:-1]
    if mask is not None:
        mask = as_mask(mask)
        if mask.shape != rows:
            raise ValueError(f"mask has shape {mask.shape}, but the rows have {rows}")
    if shift != 0:
        shift = as_integer(shift, "shift")
        inputs = {name: shifted(x, name, axis, shift) for name, x in inputs.items()}
        mask = None if mask is None else mask[..., shift:]
        rows = next(iter(inputs.values())).shape[:-1]
    each, totals = call(
        **inputs,
        **options,
        mask=None if mask is None else np.require(mask, requirements=["C", "A"]),
        row_weight=None if sample_weight is None else as_row_weight(sample_weight, rows, shift),
        out=out,
        each=reduction == "none",
        moments=reduction == "partial",
    )
    return apply_reduction(each, totals, reduction, empty_mean, out)


def shifted(x: np.ndarray, name: str, axis: int, shift: int) -> np.ndarray:
    """Rows without the last ``shift`` positions; targets, which belong to earlier positions, without the first."""
    positions = shiftable(x, name, axis, shift)
    return x[..., shift:, :] if name == "target" else x[..., : positions - shift, :]


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
    if mask.shape != target.shape:
        raise ValueError(f"mask has shape {mask.shape}, but target has {target.shape}")
    ignored = np.iinfo(np.int64).min if ignore_index is None else ignore_index
    # What is masked may be no class, or not even a whole number.
    target = np.where(mask, target, target.dtype.type(0))
    return logits, np.where(mask, as_targets(target), ignored), ignored


def shiftable(logits: np.ndarray, name: str, axis: int, shift: int) -> int:
    """The number of positions of logits that can be shifted."""
    if axis not in (-1, logits.ndim - 1) or logits.ndim < 2:
        raise ValueError(f"shift needs positions before a last class axis, not axis {axis} of {logits.shape}")
    positions = logits.shape[-2]
    if not 0 < shift <= positions:
        raise ValueError(f"shift is {shift}; with {positions} positions it must lie in [0, {positions}]")
    return positions
