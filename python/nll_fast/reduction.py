"""What is made of many losses: one vocabulary for every function."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import as_number
from nll_fast.partial import Partial

Loss = Any
"""A float for "mean" and "sum", an array for "none", a :class:`Partial` for "partial"; a tuple where derivatives or
rewards are asked for as well. Any to a type checker, which cannot tell from the call which of them it is."""

_REDUCTIONS = ("mean", "sum", "none", "partial")


def check_reduction(reduction: str, out: np.ndarray | None, empty_mean: float = math.nan) -> None:
    if reduction not in _REDUCTIONS:
        raise ValueError(f"reduction is {reduction!r}; use 'mean', 'sum', 'none' or 'partial'")
    if out is not None and reduction != "none":
        raise ValueError(f"out holds one loss each: it needs reduction='none', not {reduction!r}")
    if empty_mean is not math.nan and not math.isnan(as_number(empty_mean, "empty_mean")) and reduction != "mean":
        raise ValueError(f"empty_mean is of reduction='mean', not {reduction!r}")


def reduced(totals: _core.Totals, reduction: str, empty_mean: float = math.nan) -> float | Partial:
    """The total as the user wants it. The mean of no losses is ``empty_mean``, of losses without weight NaN."""
    if reduction == "mean":
        weight = totals.weight
        if not weight and not totals.count:
            return float(empty_mean)
        return totals.sum / weight if weight else math.nan
    return totals.sum if reduction == "sum" else Partial._of(totals)
