"""Gradients of the functions of rows, by the logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from nll_fast._arrays import as_row_weight, as_rows, as_targets, as_weight, check_out
from nll_fast._core import Partial
from nll_fast._options import as_integer, shown
from nll_fast._shift import named_targets, shift_and_mask
from nll_fast._types import Array


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
) -> tuple[Array, Array | None, Any]:
    """The gradient by all logits, in ``out`` if that is given, the second derivatives, and the reduced loss, with each
    loss in ``losses`` if that is given.
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
            raise ValueError(
                f"out is {shown(losses)}, which needs a loss for each position; with shift and a gradient, leave it out"
            )
        # The last positions have no target; an ignored one gives them the gradient 0.
        ignore_index = np.iinfo(np.int64).min if ignore_index is None else ignore_index
        behind = [(0, 0)] * (target.ndim - 1) + [(0, shift)]
        target = np.pad(target, behind, constant_values=ignore_index)
        sample_weight = None if sample_weight is None else np.pad(sample_weight, behind)
    for given_out in (out, losses):
        if given_out is not None:
            check_out(given_out, (*given, x, target))
    weight = None if weight is None else as_weight(weight)
    with named_targets(shift):
        slopes, curves, loss = call(x, target, weight, sample_weight, ignore_index, grad_out=out, out=losses, **options)
    if shift:
        if isinstance(loss, np.ndarray):
            loss = loss[..., :-shift]
        elif isinstance(loss, Partial):
            loss = without_ignored(loss, target.size // target.shape[-1] * shift)
    if axis not in (-1, x.ndim - 1):
        if out is not None:
            raise ValueError(f"out needs the class axis to be the last, not axis {axis}")
        slopes, curves = (x if x is None else np.moveaxis(x, -1, axis) for x in (slopes, curves))
    return slopes, curves, loss


def without_ignored(totals: Partial, rows: int) -> Partial:
    """The same totals with ``rows`` fewer ignored rows."""
    if not totals.ignored:
        return totals
    fields = {**totals.to_dict(), "ignored": totals.ignored - rows}
    return Partial.from_dict(fields)


def quantity_gradients(
    call: Callable[..., Any], given: dict[str, Any], names: list[str], shift: int, axis: int
) -> tuple[tuple[Array, ...], Any]:
    """The results of ``call`` with the arguments ``given``: gradients by the arrays ``names``, in the shapes of these,
    and the reduced value.
    """
    which = {"by_p": "p_logits" in names, "by_q": "q_logits" in names} if "q_logits" in given else {}
    *found, loss = call(**given, **which)
    by_name = dict(zip((name for name in given if name.endswith("logits")), found, strict=False))
    return tuple(_as_given(by_name[name], shift, axis) for name in names), loss


def _as_given(gradient: np.ndarray, shift: int, axis: int) -> np.ndarray:
    """A gradient with its class axis at ``axis``, and 0 at the last ``shift`` positions."""
    if shift:
        return np.pad(gradient, [(0, 0)] * (gradient.ndim - 2) + [(0, shift), (0, 0)])
    return gradient if axis in (-1, gradient.ndim - 1) else np.moveaxis(gradient, -1, axis)
