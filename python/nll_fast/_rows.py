"""Engine of the functions of rows: arguments to the binding, results to the user, shift and mask."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nll_fast._arrays import (
    as_mask,
    as_row_weight,
    as_rows,
    as_targets,
    as_weight,
    check_out,
)
from nll_fast._gradients import quantity_gradients, row_gradient
from nll_fast._llama import CodedLogits
from nll_fast._options import as_integer, as_names, as_number, shown
from nll_fast._shift import named_targets, shift_and_mask, shifted
from nll_fast._types import Array

REDUCTIONS = ("mean", "sum", "none", "partial")


def rows_or_codes(x: Any, name: str, axis: int) -> Any:
    """Floating-point rows with the class axis last, or those of llama.cpp as they are stored."""
    if isinstance(x, CodedLogits) and as_integer(axis, "axis") in (-1, x.ndim - 1):
        return x
    return as_rows(x, name, axis)


def stored(rows: Any) -> Any:
    """Rows as the kernels take them."""
    return rows.parts() if isinstance(rows, CodedLogits) else rows


def rows_of_one_size(p: Any, q: Any, classes: int | None) -> tuple[Any, Any]:
    """The rows of both models, cut to the same number of classes."""
    shapes = f"p_logits have shape {p.shape}, class axis last, and q_logits {q.shape}"
    fewest = min(p.shape[-1], q.shape[-1])
    if p.shape[:-1] != q.shape[:-1]:
        raise ValueError(f"{shapes}; their rows must be the same")
    if classes is not None:
        if classes > fewest:
            raise ValueError(f"classes is {classes}, but {shapes}")
        return _first_classes(p, classes), _first_classes(q, classes)
    if p.shape != q.shape:
        raise ValueError(f"{shapes}; where a vocabulary is padded, pass classes={fewest} or the number of true classes")
    return p, q


def _first_classes(x: Any, classes: int) -> Any:
    """The first classes of each row."""
    return x.of_classes(classes) if isinstance(x, CodedLogits) else x[..., :classes]


def check_reduction(reduction: str, empty_mean: float = math.nan) -> float:
    """``empty_mean`` as a float."""
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"reduction is {shown(reduction)}; use 'mean', 'sum', 'none' or 'partial'")
    if empty_mean is math.nan:  # The default, and the usual case.
        return empty_mean
    empty_mean = as_number(empty_mean, "empty_mean")
    if not math.isnan(empty_mean) and reduction != "mean":
        raise ValueError(f"empty_mean is {empty_mean}, but only reduction='mean' has one, not {reduction!r}")
    return empty_mean


def check_unused(ignore_index: int | None) -> None:
    if ignore_index is not None and as_integer(ignore_index, "ignore_index") != -100:
        raise ValueError(
            f"ignore_index={shown(ignore_index)} means nothing to a target that is a distribution for each row: leave "
            "it out, and leave out rows by slicing"
        )


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
    empty_mean = check_reduction(reduction, empty_mean)
    shift = as_integer(shift, "shift")
    if ignore_index is not None and (type(ignore_index) is not int or ignore_index != -100):
        ignore_index = as_integer(ignore_index, "ignore_index")
    given = (x, target, weight, sample_weight, mask)
    if grad or hess is not None:
        slopes, curves, loss = row_gradient(
            call, x, target, axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index,
            shift=shift, mask=mask, hess=hess, mean=reduction == "mean",
            losses=out, reduction=reduction, empty_mean=empty_mean, **options,
        )  # fmt: skip
        return (loss, slopes) if hess is None else (loss, slopes, curves)
    if shift != 0 or mask is not None:
        x, target, ignore_index = shift_and_mask(x, target, axis, shift, mask, ignore_index)
    x, target = as_rows(x, name, axis), as_targets(target)
    weight = None if weight is None else as_weight(weight)
    if sample_weight is not None:
        sample_weight = as_row_weight(sample_weight, target.shape, shift)
    if out is not None:
        check_out(out, (*given, x, target))
    with named_targets(shift):
        return call(x, target, weight, sample_weight, ignore_index, out, reduction, empty_mean, **options)


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
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    **options: Any,
) -> Any:
    """A quantity of each row of one or two arrays of one shape, reduced. If ``call`` computes gradients too, ``grad``
    is true, and they come with it: by the arrays ``wrt``, or by the first one.
    """
    is_usual = type(axis) is int and axis == -1 and type(shift) is int and shift == 0 and empty_mean is math.nan
    if is_usual and not grad and all(x is None for x in (out, mask, sample_weight, options.get("weight"))):
        try:
            return _usual_quantity(call, arrays, reduction, options)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    empty_mean, shift = check_reduction(reduction, empty_mean), as_integer(shift, "shift")
    names = as_names(wrt, [name for name in arrays if name != "target"]) if grad else []
    inputs = {name: as_rows(x, name, axis) for name, x in arrays.items()}
    if out is not None:
        check_out(out, (*inputs.values(), options.get("weight"), mask, sample_weight))
    if "weight" in options:
        options["weight"] = as_weight(options["weight"])
    if len({x.shape for x in inputs.values()}) > 1:
        shapes = ", ".join(f"{name} {np.moveaxis(x, -1, axis).shape}" for name, x in inputs.items())
        raise ValueError(f"the shapes must be equal: {shapes}; nothing is broadcast here: use np.broadcast_to")
    rows = next(iter(inputs.values())).shape[:-1]
    if mask is not None:
        mask = as_mask(mask)
        if mask.shape != rows:
            name, x = next(iter(inputs.items()))
            raise ValueError(
                f"mask has shape {mask.shape}, but {name} of shape {x.shape}, class axis last, needs {rows}"
            )
    if shift != 0:
        inputs = {name: shifted(x, name, axis, shift) for name, x in inputs.items()}
        mask = None if mask is None else mask[..., shift:]
        rows = next(iter(inputs.values())).shape[:-1]
    given = {**inputs, **options, "mask": None if mask is None else np.require(mask, requirements=["C", "A"])}
    given["row_weight"] = None if sample_weight is None else as_row_weight(sample_weight, rows, shift, "logits")
    given |= {"out": out, "reduction": reduction, "empty_mean": empty_mean}
    if not grad:
        return call(**given)
    given["mean"] = reduction == "mean"
    gradients, loss = quantity_gradients(call, given, names, shift, axis)
    return loss, gradients[0] if wrt is None or isinstance(wrt, str) else gradients


def _usual_quantity(call: Callable[..., Any], arrays: dict[str, Any], reduction: str, options: dict[str, Any]) -> Any:
    """The reduced values of a call that gives little more than non-empty arrays which the kernels read as they are;
    TypeError for another. Empty arrays go the long way, which words the errors.
    """
    if not all(type(x) is np.ndarray and x.size for x in arrays.values()):
        raise TypeError
    return call(**arrays, **options, mask=None, row_weight=None, out=None, reduction=reduction, empty_mean=math.nan)
