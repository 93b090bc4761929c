"""Losses of rows of probabilities or log-probabilities, as a model or a table has them."""

from __future__ import annotations

import math
from typing import Literal

from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import is_distribution
from nll_fast._rows import check_unused, row_losses, row_quantity
from nll_fast._types import Array, Loss, Reduction, mean_by_default


@mean_by_default
def nll_loss(
    log_probs: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    reduction: Reduction = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
) -> Loss:
    """−weight[target]·log_probs[target], in nats, as in ``torch.nn.functional.nll_loss``.

    Results and errors are those of :func:`cross_entropy`.

    Parameters
    ----------
    log_probs : array_like, shape (..., C)
        Log-probabilities of the same dtypes. One entry of each row is read, and its sign is not checked.
    target : array_like of int
        The class of each row.
    axis, weight, sample_weight, ignore_index, reduction, empty_mean, out
        As in :func:`cross_entropy`.

    Returns
    -------
    float, ndarray or Partial
        As of :func:`cross_entropy`.

    Raises
    ------
    IndexError, TypeError, ValueError
        As by :func:`cross_entropy`.

    Examples
    --------
    >>> nll_loss([[-1.5, -0.25]], [1])
    0.25
    """
    if type(axis) is int and axis == -1 and empty_mean is math.nan and weight is sample_weight is out is None:
        try:
            return _core.nll_loss(log_probs, target, None, None, ignore_index, None, reduction, empty_mean)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return row_losses(
        _core.nll_loss,
        "log_probs", log_probs, target,
        axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index,
        reduction=reduction, empty_mean=empty_mean, out=out,
    )  # fmt: skip


@mean_by_default
def categorical_nll(
    probs: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    weight: ArrayLike | None = None,
    sample_weight: ArrayLike | None = None,
    ignore_index: int | None = -100,
    clamp: Literal["eps"] | None = None,
    reduction: Reduction = "mean",
    empty_mean: float = math.nan,
    out: Array | None = None,
) -> Loss:
    """−weight[target]·log probs[target], in nats; of distributions as targets −Σ weight·target·log probs.

    Results and other errors are those of :func:`cross_entropy`. With one-hot or other distributions this is
    scikit-learn's ``log_loss`` and Keras's ``categorical_crossentropy``.

    Parameters
    ----------
    probs : array_like, shape (..., C)
        Probabilities of the same dtypes, whose sum is not checked; a probability of 0 costs ∞. For class targets one
        entry of each row is read.
    target : array_like
        The class of each row, or a distribution over the classes for each row, as in :func:`cross_entropy`. A class
        with target 0 costs 0.
    clamp : "eps" or None
        "eps" clips the probability to [ε, 1 − ε] like scikit-learn's ``log_loss``, with the machine epsilon of the
        dtype of ``probs``: in float64 an impossible class costs 36 and not ∞.
    axis, weight, sample_weight, ignore_index, reduction, empty_mean, out
        As in :func:`cross_entropy`.

    Returns
    -------
    float, ndarray or Partial
        As of :func:`cross_entropy`.

    Raises
    ------
    ValueError
        If an entry that is read lies outside [0, 1]; its value, row and class are named.

    Examples
    --------
    >>> round(categorical_nll([[0.1, 0.7, 0.2]], [2]), 3)
    1.609
    >>> round(categorical_nll([[0.1, 0.7, 0.2]], [[0.0, 0.5, 0.5]]), 3)
    0.983
    """
    if type(axis) is int and axis == -1 and empty_mean is math.nan and weight is sample_weight is out is None:
        try:
            return _core.categorical_nll(probs, target, None, None, ignore_index, None, reduction, empty_mean, clamp)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    if is_distribution(target, probs):
        check_unused(ignore_index)
        return row_quantity(
            _core.expected_loss,
            {"probs": probs, "target": target},
            axis=axis, reduction=reduction, out=out, empty_mean=empty_mean,
            weight=weight, sample_weight=sample_weight, clamp=clamp,
        )  # fmt: skip
    return row_losses(
        _core.categorical_nll,
        "probs", probs, target,
        axis=axis, weight=weight, sample_weight=sample_weight, ignore_index=ignore_index,
        reduction=reduction, empty_mean=empty_mean, out=out, clamp=clamp,
    )  # fmt: skip
