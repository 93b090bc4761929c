"""What describes many tokens together: means with their errors, quantiles, and the statistics of llama.cpp."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._core import Partial
from nll_fast._types import Array


def quantiles(x: Array, shares: tuple[float, ...]) -> list[float]:
    """The quantiles of numbers, interpolated; NaN of none."""
    if not x.size:
        return [math.nan] * len(shares)
    with np.errstate(invalid="ignore"):  # between two infinite ones
        return [float(q) for q in np.quantile(x.astype(np.float64), shares)]


def share(flags: Array) -> float:
    """How large a part of some booleans are True; NaN of none."""
    return float(np.count_nonzero(flags) / flags.size) if flags.size else math.nan


def describe(x: Array) -> dict[str, float]:
    """The mean, rounded once, its standard error, quantiles and the largest."""
    mean, (median, p90, p99) = Partial.of(x), quantiles(x, (0.5, 0.9, 0.99))
    most = float(x.max()) if x.size else math.nan
    return {"mean": mean.mean, "error": mean.standard_error, "median": median, "p90": p90, "p99": p99, "max": most}


def finite_rows(comparison: Any) -> Array:
    """The rows of a :class:`Comparison` of which its numbers are: those that count, with every divergence and every
    log-probability of the target finite.
    """
    used = (comparison.kl_pq, comparison.kl_qp, comparison.p_log_prob, comparison.q_log_prob)
    finite = np.all([np.isfinite(x) for x in used if x is not None], axis=0)
    return np.asarray(comparison.counted & finite)


_BUCKETS = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
"""The bounds of p's largest probability between which divergences are averaged, as in exllamav3."""


def by_confidence(max_log_prob: Array, kl: Array) -> list[dict[str, Any]]:
    """The mean divergence of the rows in which the largest probability lies between two bounds, with its error."""
    confidence = np.exp(max_log_prob.astype(np.float64))
    at = np.clip(np.searchsorted(_BUCKETS, confidence, "right") - 1, 0, len(_BUCKETS) - 2)
    parts = [Partial.of(kl[at == i]) for i in range(len(_BUCKETS) - 1)]
    return [
        {"low": low, "high": high, "count": part.count, "kl_pq": part.mean, "kl_pq_error": part.standard_error}
        for (low, high), part in zip(pairwise(_BUCKETS), parts, strict=True)
    ]


BY_COLUMNS = ("nll_median", "nll_p90", "nll_p99", "top_k_accuracy", "entropy")
"""What a summary of tokens has beside what their losses alone give; None where these were all that was computed."""


def total_of(log_prob: Array, counted: Array, is_greedy: Array) -> Partial:
    """The exact total of the losses of tokens, with the numbers that ``cross_entropy`` counts."""
    total = Partial.of(0.0 - log_prob[counted]).to_dict()
    counts = {"ignored": int(np.count_nonzero(~counted)), "top1": int(np.count_nonzero(is_greedy[counted]))}
    return Partial.from_dict(total | counts)


def describe_losses(total: Partial, losses: Array) -> dict[str, Any]:
    """What the losses of tokens give to their summary: the exact ``total`` of those that count, and where those of all
    tokens in a row, 0 where one does not count, are not finite.
    """
    tokens, perplexity = total.count, total.perplexity
    error = total.standard_error if tokens else math.nan
    (nan, first_nan), (infinite, first_infinite) = (_places(wrong(losses)) for wrong in (np.isnan, np.isinf))
    return {
        "tokens": tokens,
        "ignored": total.ignored,
        "nonfinite": nan + infinite,
        "nan": nan,
        "first_nan": first_nan,
        "infinite": infinite,
        "first_infinite": first_infinite,
        "nll": total.mean,
        "nll_error": error,
        "perplexity": perplexity,
        # To first order: e^mean changes by e^mean for each nat.
        "perplexity_error": perplexity * error if math.isfinite(perplexity) else math.nan,
        "bits_per_token": total.mean / math.log(2),
        "top1_accuracy": (total.top1 or 0) / tokens if tokens else math.nan,
    }


def _places(wrong: Array) -> tuple[int, int | None]:
    """How many are ``wrong``, and the place of the first."""
    count = int(np.count_nonzero(wrong))
    return count, int(wrong.argmax()) if count else None


def uncertain(x: Array) -> tuple[float, float]:
    """The mean and its standard error as llama.cpp has it, which is 0 up to ten values."""
    if not x.size:
        return math.nan, math.nan
    return float(x.mean()), math.sqrt(x.var() / (x.size - 1)) if x.size > 10 else 0.0


def perplexities(base: Array, other: Array) -> dict[str, Any]:
    """llama.cpp's statistics of the losses of two models."""
    (b, b_error), (o, o_error) = uncertain(base), uncertain(other)
    covariance = float(((base - b) * (other - o)).mean() / (base.size - 1)) if base.size > 10 else 0.0
    spread = b_error * o_error
    ratio_error = math.sqrt(max(b_error**2 + o_error**2 - 2 * covariance, 0.0))
    ppl, ppl_base = _core.exp(o), _core.exp(b)
    error = (ppl * o_error) ** 2 + (ppl_base * b_error) ** 2 - 2 * ppl * ppl_base * covariance
    return {
        "Mean PPL(Q)": (ppl, ppl * o_error),
        "Mean PPL(base)": (ppl_base, ppl_base * b_error),
        "Cor(ln(PPL(Q)), ln(PPL(base)))": covariance / spread if spread else math.nan,
        "Mean ln(PPL(Q)/PPL(base))": (o - b, ratio_error),
        "Mean PPL(Q)/PPL(base)": (_core.exp(o - b), _core.exp(o - b) * ratio_error),
        "Mean PPL(Q)-PPL(base)": (ppl - ppl_base, math.sqrt(max(error, 0.0))),
    }


TAILS = (99.9, 99.0, 95.0, 90.0)


def divergences(kl: Array) -> dict[str, Any]:
    """llama.cpp's statistics of divergences."""
    result: dict[str, Any] = {"Mean KLD": uncertain(kl)}
    result["Maximum KLD"] = float(kl.max()) if kl.size else math.nan
    shares = (*TAILS, 50.0, *(round(100 - tail, 1) for tail in reversed(TAILS)))
    for percent, value in zip(shares, quantiles(kl, tuple(p / 100 for p in shares)), strict=True):
        result["Median KLD" if percent == 50 else f"{percent:.1f}% KLD"] = value
    result["Minimum KLD"] = float(kl.min()) if kl.size else math.nan
    return result


def changes(change: Array) -> dict[str, Any]:
    """Of the change of the target's probability, in percent."""
    result: dict[str, Any] = {"Mean Δp": in_percent(uncertain(change))}
    result["Maximum Δp"] = 100 * float(change.max()) if change.size else math.nan
    shares = (*TAILS, 75.0, 50.0, 25.0, *(round(100 - tail, 1) for tail in reversed(TAILS)))
    for percent, value in zip(shares, quantiles(change, tuple(p / 100 for p in shares)), strict=True):
        result["Median Δp" if percent == 50 else f"{percent:.1f}% Δp"] = 100 * value
    result["Minimum Δp"] = 100 * float(change.min()) if change.size else math.nan
    square, error = uncertain(change**2)
    root = math.sqrt(square) if square >= 0 else math.nan
    result["RMS Δp"] = in_percent((root, 0.5 / root * error if root else 0.0))
    return result


def in_percent(pair: tuple[float, float]) -> tuple[float, float]:
    return 100 * pair[0], 100 * pair[1]


def same_top(same: Array) -> tuple[float, float]:
    """The share of rows with one arg max, in percent."""
    p = share(same)
    return in_percent((p, math.sqrt(p * (1 - p) / (same.size - 1)) if same.size > 1 else math.nan))
