"""shift and mask: which target belongs to which position, and which of them count."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np

from nll_fast._arrays import as_array, as_mask, as_targets
from nll_fast._llama import CodedLogits
from nll_fast._options import as_integer


def shifted(x: Any, name: str, axis: int, shift: int) -> Any:
    """Rows without the last ``shift`` positions; targets, which belong to earlier positions, without the first."""
    positions = shiftable(x, name, axis, shift)
    return x[..., shift:, :] if name == "target" else x[..., : positions - shift, :]


_UNCHANGED_ERRORS = nullcontext()


def named_targets(shift: int) -> AbstractContextManager[None]:
    """Says of the index in an error about a target that ``shift`` has left out the first ones."""
    return _named_targets(shift) if shift else _UNCHANGED_ERRORS


@contextmanager
def _named_targets(shift: int) -> Iterator[None]:
    try:
        yield
    except IndexError as error:
        raise IndexError(
            f"{error} (counted without the first {shift} of each text, which no logits belong to)"
        ) from None


def shift_and_mask(
    logits: Any, target: Any, axis: int, shift: int, mask: Any, ignore_index: int | None
) -> tuple[Any, Any, int | None]:
    """Logits, targets and ignore_index for ``target[..., t + shift]`` at the logits of position t, where ``mask``
    allows it. The logits are a view; the targets are copied only for a mask.
    """
    shift, axis = as_integer(shift, "shift"), as_integer(axis, "axis")
    mask = None if mask is None else as_mask(mask)
    target = as_array(target, "target") if mask is not None else target
    if mask is not None and mask.shape != target.shape:
        whole = logits.shape if isinstance(logits, CodedLogits) else as_array(logits, "logits").shape
        raise ValueError(f"mask has shape {mask.shape}, but target has {target.shape}, and logits have {whole}")
    if shift:
        logits = logits if isinstance(logits, CodedLogits) else as_array(logits, "logits")
        target = as_array(target, "target")
        positions = shiftable(logits, "logits", axis, shift)
        if target.shape != logits.shape[:-1]:
            raise ValueError(
                f"target has shape {target.shape}, but logits of shape {logits.shape} need {logits.shape[:-1]}"
            )
        logits, target = logits[..., : positions - shift, :], target[..., shift:]
        mask = mask if mask is None else mask[..., shift:]
    if mask is None:
        return logits, target, ignore_index
    ignored = np.iinfo(np.int64).min if ignore_index is None else ignore_index
    # What is masked may be no class, or not even a whole number.
    if target.dtype.kind == "f" or target.dtype == np.uint64:
        target = np.where(mask, target, target.dtype.type(0))
    return logits, np.where(mask, as_targets(target), ignored), ignored


def shiftable(logits: Any, name: str, axis: int, shift: int) -> int:
    """The number of positions of logits that can be shifted."""
    axis = as_integer(axis, "axis")
    if axis not in (-1, logits.ndim - 1) or logits.ndim < 2:
        raise ValueError(
            f"shift is {shift}, which needs positions before a last class axis, not axis {axis} of {name} of shape "
            f"{logits.shape}"
        )
    positions = int(logits.shape[-2])
    if not 0 < shift <= positions:
        raise ValueError(f"shift is {shift}; it must lie in [0, {positions}] with {name} of shape {logits.shape}")
    return positions
