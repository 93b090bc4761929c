"""Losses of real numbers and counts, whose mean or rate is predicted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._elements import elements
from nll_fast._options import as_flag, as_number
from nll_fast._types import Array, Hessian, Loss, Reduction, mean_by_default


@mean_by_default
def gaussian_nll_loss(
    mean: ArrayLike,
    target: ArrayLike,
    var: ArrayLike | None = None,
    *,
    log_var: ArrayLike | None = None,
    sigma: ArrayLike | None = None,
    full: bool = False,
    eps: float = 1e-6,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: Hessian | None = None,
) -> Loss:
    """½·(log var + (target − mean)²/var): −log of the normal density but for a constant, in nats.

    Follows ``torch.nn.functional.gaussian_nll_loss``, with the results and errors of
    :func:`binary_cross_entropy_with_logits`. ``mean`` and ``target`` have one shape, or one of them is a number.

    Parameters
    ----------
    mean, target : array_like
        The predicted mean and the observation.
    var, log_var, sigma : array_like, exactly one of them
        The variance, its logarithm, or the standard deviation. ``var`` counts as ``eps`` if it is less; the other
        two are used as they are. It broadcasts to the shape of the losses, or holds one number for each row, of
        shape (n,) beside (n, d), as in torch. Where both are possible, beside (n, n), it is an error: write
        ``var[None, :]`` or ``var[:, None]``.
    full : bool
        Add the constant ½·log 2π.
    eps : float
        The least ``var``, at least 0.
    weight : array_like, optional
        A finite factor for each loss; the mean divides by the sum of the weights that count. Broadcasts to the shape of
        the losses, or holds one number for each row, as ``var`` does.
    mask, reduction, out, grad, wrt, hess
        As in :func:`binary_cross_entropy_with_logits`; ``wrt`` names "mean", "target", and "var", "log_var" or
        "sigma". Both kinds of ``hess`` are 1/var. As in torch, the gradient by a ``var`` below ``eps`` is that at
        ``eps``, so that it can grow again.

    Returns
    -------
    float, ndarray, Partial or tuple
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If a variance or a standard deviation is negative; it and its index are named.
    TypeError
        Unless exactly one of ``var``, ``log_var`` and ``sigma`` is given.

    Notes
    -----
    An infinite variance costs ∞, a NaN NaN; a ``sigma`` of 0 costs −∞ where mean and target are equal, else ∞. The
    error is at most 2 ulp of the larger of the two terms, which may cancel. Of a ``log_var`` beyond ±80 in float32, or
    ±560 in float64, the second term may be infinite or missing where distance/var leaves the range of the dtype.

    Examples
    --------
    >>> gaussian_nll_loss([0.0, 1.0], [1.0, 1.0], 1.0)
    0.25
    >>> mean, target, log_var = [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]
    >>> gaussian_nll_loss(mean, target, log_var=log_var, reduction="sum", grad=True, wrt=("mean", "log_var"))
    (0.5, (array([-1.,  0.]), array([0. , 0.5])))
    """
    eps, full = as_number(eps, "eps"), as_flag(full, "full")
    if weight is mask is out is wrt is hess is None and grad is False:
        try:
            return _core.gaussian_nll_loss(mean, target, var, log_var, sigma, eps, full, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.gaussian_nll_loss,
        {"mean": mean, "target": target, "var": var, "log_var": log_var, "sigma": sigma}, eps, full,
        optional=("var", "log_var", "sigma"),
        weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt, hess=hess,
    )  # fmt: skip


@mean_by_default
def laplace_nll_loss(
    mean: ArrayLike,
    target: ArrayLike,
    scale: ArrayLike | None = None,
    *,
    log_scale: ArrayLike | None = None,
    eps: float = 1e-6,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: Hessian | None = None,
) -> Loss:
    """log 2b + |target − mean|/b, in nats: −log of the density of ``torch.distributions.Laplace``.

    Results and errors are those of :func:`gaussian_nll_loss`.

    Parameters
    ----------
    mean, target : array_like
        The predicted mean and the observation.
    scale, log_scale : array_like, exactly one of them
        The scale b or its logarithm, with the shapes of a variance in :func:`gaussian_nll_loss`. ``scale`` counts as
        ``eps`` if it is less; ``log_scale`` is used as it is.
    eps : float
        The least scale, at least 0.
    weight : array_like, optional
        A finite factor for each loss; the mean divides by the sum of the weights that count. Broadcasts to the shape of
        the losses, or holds one number for each row, as ``scale`` does.
    mask, reduction, out, grad, wrt, hess
        As in :func:`binary_cross_entropy_with_logits`; ``wrt`` names "mean", "target", and "scale" or "log_scale".
        The second derivative is 0, and its "upper" bound is 1/(b·|target − mean|), that of the parabola which touches
        the loss here and lies above it everywhere.

    Returns
    -------
    float, ndarray, Partial or tuple
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If a scale is negative; it and its index are named.
    TypeError
        Unless exactly one of ``scale`` and ``log_scale`` is given.

    Examples
    --------
    >>> laplace_nll_loss([0.0, 1.0], [1.0, 1.0], 0.5)
    1.0
    """
    eps = as_number(eps, "eps")
    if weight is mask is out is wrt is hess is None and grad is False:
        try:
            return _core.laplace_nll_loss(mean, target, scale, log_scale, eps, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.laplace_nll_loss,
        {"mean": mean, "target": target, "scale": scale, "log_scale": log_scale}, eps,
        optional=("scale", "log_scale"),
        weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt, hess=hess,
    )  # fmt: skip


@mean_by_default
def mse_loss(
    mean: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: Hessian | None = None,
) -> Loss:
    """(target − mean)²: twice the Gaussian loss with variance 1.

    Follows ``torch.nn.functional.mse_loss``, with the results and errors of
    :func:`binary_cross_entropy_with_logits`.

    Parameters
    ----------
    mean, target : array_like
        The prediction and the observation, of one shape, or one of them is a single number.
    weight : array_like, optional
        A finite factor for each loss; the mean divides by the sum of the weights that count. Broadcasts to the shape of
        the losses, or holds one number for each row, as the variance of a Gaussian does.
    mask, reduction, out, grad, wrt, hess
        As in :func:`binary_cross_entropy_with_logits`; ``wrt`` names "mean" or "target". Both kinds of ``hess`` are 2.

    Returns
    -------
    float, ndarray, Partial or tuple
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    TypeError, ValueError
        As by :func:`binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> mse_loss([0.0, 1.0], [1.0, 3.0])
    2.5
    """
    if weight is mask is out is wrt is hess is None and grad is False:
        try:
            return _core.mse_loss(mean, target, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.mse_loss, {"mean": mean, "target": target},
        weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt, hess=hess,
    )  # fmt: skip


@mean_by_default
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    log_offset: ArrayLike | None = None,
    full: bool | Literal["stirling", "exact"] = False,
    eps: float = 1e-8,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    validate: bool = True,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: Hessian | None = None,
) -> Loss:
    """λ − target·log λ: −log of the Poisson probability but for log target!, in nats.

    Follows ``torch.nn.functional.poisson_nll_loss``, with the results and errors of
    :func:`binary_cross_entropy_with_logits`.

    Parameters
    ----------
    input : array_like
        log λ, or λ itself if ``log_input=False``; a negative λ gives NaN.
    target : array_like
        The count, from 0, which is not checked to be whole; a count of 0 costs λ. It has the shape of ``input``, or
        one of the two is a single number.
    log_input : bool
        Whether ``input`` is log λ.
    log_offset : array_like, optional
        The logarithm of an exposure (a time, a population) that λ is proportional to: the logarithm of the rate is
        ``input + log_offset``. With the shapes of a variance in :func:`gaussian_nll_loss`; with ``log_input=True``.
    full : {False, True, "stirling", "exact"}
        Add log target!: "exact", or True and "stirling" Stirling's target·log target − target + ½·log(2π·target) where
        target > 1, which is torch's and 6 % less at 2.
    eps : float
        At least 0; without ``log_input`` the logarithm is that of λ + ``eps``.
    weight : array_like, optional
        A finite factor for each loss; the mean divides by the sum of the weights that count. Broadcasts to the shape of
        the losses, or holds one number for each row, as ``log_offset`` does.
    validate : bool
        Raise if a count that counts is negative, as those of swapped arguments are.
    mask, reduction, out, grad, wrt, hess
        As in :func:`binary_cross_entropy_with_logits`; ``wrt`` names "input", "target" (not with ``full="exact"``) or
        "log_offset". The second derivative has no upper bound, so ``hess="upper"`` is refused.

    Returns
    -------
    float, ndarray, Partial or tuple
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If ``validate`` finds such a count. It and its index are named; ``out`` may have been written to.
    TypeError, ValueError
        As by :func:`binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> poisson_nll_loss([0.0], [3])
    1.0
    """
    log_input = log_input is True or as_flag(log_input, "log_input")
    full = full if full is False or isinstance(full, str) else as_flag(full, "full")
    eps, validate = as_number(eps, "eps"), validate is True or as_flag(validate, "validate")
    if weight is mask is out is wrt is hess is None and grad is False:
        try:
            return _core.poisson_nll_loss(input, target, log_offset, log_input, full, eps, validate, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.poisson_nll_loss,
        {"input": input, "target": target, "log_offset": log_offset}, log_input, full, eps, validate,
        optional=("log_offset",),
        weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt, hess=hess,
    )  # fmt: skip
