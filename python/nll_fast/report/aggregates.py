"""What a page draws of all tokens together: over positions, as a histogram, and by confidence."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from nll_fast._types import Array


def mean_and_error(values: Array) -> tuple[float, float]:
    """The mean and its standard error, which takes two values; NaN where there are too few."""
    mean = float(values.mean()) if values.size else math.nan
    error = float(values.std(ddof=1)) / math.sqrt(values.size) if values.size > 1 else math.nan
    return mean, error


def by_position(values: Array, length: int) -> list[dict[str, Any]]:
    """Means with standard errors over at most 64 stretches of positions, of all texts of ``length`` tokens together.

    What is not finite is left out. A stretch holds 4 tokens on average, unless there are fewer.
    """
    values = values.reshape(-1, length) if length else values.reshape(0, 1)
    finite = int(np.isfinite(values).sum())
    edges = np.linspace(0, length, min(64, max(1, finite // 4), max(1, length)) + 1).astype(int)
    stretches = []
    for first, end in pairwise(edges.tolist()):
        here = values[:, first:end]
        here = here[np.isfinite(here)]
        mean, error = mean_and_error(here)
        stretches.append({"first": first, "end": end, "count": here.size, "mean": mean, "error": error})
    return stretches


def histogram(values: Array, logarithmic: bool = False) -> dict[str, Any]:
    """How many of the finite values lie in each of at most 50 steps, equal ones or equal ratios."""
    values = values[np.isfinite(values)]
    if logarithmic:
        values = np.log10(values[values > 0])
    if not values.size:
        return {"edges": [], "counts": []}
    low, high = (float(values.min()) if logarithmic else 0.0), float(values.max())
    step = _round_step((high - low) / 40)
    first = math.floor(low / step)
    edges = step * np.arange(first, max(math.ceil(high / step), first + 1) + 1)
    places = np.clip(np.floor(values / step).astype(int) - first, 0, len(edges) - 2)
    counts = np.bincount(places, minlength=len(edges) - 1)
    return {"edges": 10**edges if logarithmic else edges, "counts": counts}


def _round_step(step: float) -> float:
    """The least of 1, 2, 2.5 and 5 times a power of ten that is at least ``step``."""
    if step <= 1e-12:
        return 0.1
    power = 10.0 ** math.floor(math.log10(step))
    return next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= step * (1 - 1e-9))


def calibration(confidence: Array, right: Array) -> list[dict[str, Any]]:
    """Ten equal bins of the predicted probability of the arg max: how often it was right, beside what was said."""
    bins = np.minimum((confidence * 10).astype(int), 9)
    rows = []
    for k in range(10):
        here = bins == k
        count = int(here.sum())
        said = float(confidence[here].mean()) if count else None
        share = float(right[here].mean()) if count else None
        rows.append({"low": k / 10, "high": (k + 1) / 10, "count": count, "confidence": said, "right": share})
    return rows


def calibration_error(rows: list[dict[str, Any]]) -> float:
    """The mean distance of what was said from what was right, over bins weighted by their counts."""
    total = sum(row["count"] for row in rows)
    off = sum(row["count"] * abs(row["confidence"] - row["right"]) for row in rows if row["count"])
    return float(off / total) if total else math.nan


def largest(values: Array, most: int) -> Array:
    """Where the largest values are, of equal ones the first; NaN is none of them."""
    order = np.argsort(-np.where(np.isnan(values), -np.inf, values), kind="stable")[:most]
    return order[~np.isnan(values[order])]
