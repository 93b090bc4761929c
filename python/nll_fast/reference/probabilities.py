"""Losses of probabilities and of log-probabilities."""

import math

import numpy as np

from nll_fast.reference.losses import expected_loss
from nll_fast.reference.reductions import reduced, reduced_where, rows_of, times


def nll_loss(
    log_probs,
    target,
    *,
    axis=-1,
    weight=None,
    sample_weight=None,
    ignore_index=-100,
    reduction="mean",
    empty_mean=math.nan,
):
    """−w[t]·x[t] of log-probabilities x."""
    return _gather(log_probs, target, axis, weight, sample_weight, ignore_index, reduction, empty_mean)


def categorical_nll(
    probs,
    target,
    *,
    axis=-1,
    weight=None,
    sample_weight=None,
    ignore_index=-100,
    clamp=None,
    reduction="mean",
    empty_mean=math.nan,
):
    """−w[t]·log p[t] of probabilities p, or −Σ w·y·log p of distributions y."""
    eps = epsilon(probs) if clamp == "eps" else 0.0
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.clip(np.asarray(probs).astype(np.float64), eps, 1 - eps))
    if np.ndim(target) == log_probs.ndim:
        losses = expected_loss(log_probs, target, axis, weight)
        return reduced_where(losses, 0, None, reduction, sample_weight)
    return _gather(log_probs, target, axis, weight, sample_weight, ignore_index, reduction, empty_mean)


def _gather(entries, target, axis, weight, sample_weight, ignore_index, reduction, empty_mean):
    x, t = rows_of(entries, target, axis)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    safe = np.where(counted, t, 0)
    w = np.ones(x.shape[-1]) if weight is None else np.asarray(weight, np.float64)
    w = w[safe] * (1.0 if sample_weight is None else np.ravel(sample_weight))
    losses = times(w, 0.0 - x[np.arange(len(t)), safe])
    return reduced(losses, w, counted, np.shape(target), reduction, empty_mean)


def epsilon(probs, target=0.0):
    """The distance from 1 to the next number of the dtype; what is no array of floats has that of the labels."""
    is_narrow = np.asarray(target).dtype.name in ("float32", "float16", "bfloat16")
    if is_narrow and (np.ndim(probs) == 0 or np.asarray(probs).dtype.kind in "iub"):
        return 2.0**-23
    return {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}.get(np.asarray(probs).dtype.name, 2.0**-52)
