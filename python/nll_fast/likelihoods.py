"""Losses of single observations: yes or no, a real number, a count."""

from __future__ import annotations

from typing import Literal

from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_number
from nll_fast._elements import elements, given
from nll_fast._types import Array, Hessian, Loss, Reduction, mean_by_default


@mean_by_default
def binary_cross_entropy_with_logits(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    pos_weight: ArrayLike = 1.0,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    hess: Hessian | None = None,
) -> Loss:
    """pos_weight·y·softplus(−x) + (1 − y)·softplus(x): −log p of a yes/no label, in nats.

    Follows ``torch.nn.functional.binary_cross_entropy_with_logits``.

    Parameters
    ----------
    logits : array_like
        The log-odds x of "yes". Floats, integers or booleans, of any shape and strides.
    target : array_like
        The label y: 0, 1 or a probability, of any such dtype, and not checked. It has the shape of
        ``logits``, or one of the two is a single number: (n, 1) beside (n,) is an error and not broadcast.
    weight : array_like, optional
        A factor for each loss; broadcasts to the shape of the losses.
    pos_weight : array_like
        A factor for the positive term; broadcasts to the shape of the losses.
    reduction : {"mean", "sum", "none", "partial"}
        The mean over all elements (also with ``weight``), their sum, the loss of each element, or a
        :class:`nll_fast.Partial`: a total that adds up over several calls without rounding.
    out : ndarray, optional
        Receives each loss, whatever the reduction: a float32 or float64 NumPy array of the losses' shape,
        C-contiguous, sharing no memory with an input.
    grad : bool
        Also return the gradient of the reduced loss by the first argument, an array of the losses' shape.
    hess : {"exact", "upper"}, optional
        Also return the gradient and the second derivatives, or upper bounds of these over all values of the
        first argument; here the bound is (pos_weight·y + 1 − y)/4, which never vanishes.

    Returns
    -------
    float, ndarray or Partial
        A float for "mean" and "sum", from the exact sum of the losses, rounded once; the mean of nothing is
        NaN. For "none" an array in the memory order of the inputs, or ``out``: float32 if a float input is
        narrower than float64 and none is float64, else float64. A NumPy number if all inputs are numbers.
    tuple
        (loss, gradient) with ``grad=True``, (loss, gradient, hessian) with ``hess``.

    Raises
    ------
    TypeError, ValueError
        If a dtype, a shape or an option is wrong.

    Notes
    -----
    A certain logit, ±∞, costs 0 or ∞ and never NaN. A NaN costs NaN.

    Examples
    --------
    >>> round(binary_cross_entropy_with_logits([0.0, 2.0], [0, 1]), 6)
    0.410038
    >>> binary_cross_entropy_with_logits([0.0, 0.0], [0, 1], reduction="sum", grad=True)[1]
    array([ 0.5, -0.5])
    """
    return elements(
        _core.binary_cross_entropy_with_logits,
        {"logits": logits, "target": target, "pos_weight": pos_weight},
        weight=weight, reduction=reduction, out=out, grad=grad, hess=hess,
    )  # fmt: skip


@mean_by_default
def binary_cross_entropy(
    probs: ArrayLike,
    target: ArrayLike,
    *,
    weight: ArrayLike | None = None,
    clamp: Literal["torch", "eps"] | None = "torch",
    validate: bool = True,
    reduction: Reduction = "mean",
    out: Array | None = None,
) -> Loss:
    """−y·log p − (1 − y)·log(1 − p): −log p of a yes/no label, in nats, from probabilities.

    Follows ``torch.nn.functional.binary_cross_entropy``. Results and other errors are those of
    :func:`binary_cross_entropy_with_logits`. Prefer that function: a p near 1 has lost the digits of 1 − p.

    Parameters
    ----------
    probs : array_like
        The probability p of "yes".
    target : array_like
        The label y, 0, 1 or a probability; of the shape of ``probs``, or one of the two is a single number.
    clamp : {"torch", "eps"} or None
        "torch" lets no logarithm fall below −100. "eps" clips p to [ε, 1 − ε] like scikit-learn's
        ``log_loss``, with the machine epsilon of the dtype of ``probs``. None: a certain mistake costs ∞.
    validate : bool
        Raise if a probability or a label lies outside [0, 1] or is NaN.
    weight, reduction, out
        As in :func:`binary_cross_entropy_with_logits`.

    Returns
    -------
    float, ndarray, Partial or tuple
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    ValueError
        If ``validate`` finds such a value. It and its index are named; ``out`` may have been written to.

    Examples
    --------
    >>> round(binary_cross_entropy([0.9, 0.2], [1, 0]), 6)
    0.164252
    """
    return elements(
        _core.binary_cross_entropy,
        {"probs": probs, "target": target},
        weight=weight, reduction=reduction, out=out, clamp=clamp, validate=bool(validate),
    )  # fmt: skip


def log_sigmoid(x: ArrayLike, *, out: Array | None = None) -> Array:
    """log(1/(1 + e^−x)) of each element, as in ``torch.nn.functional.logsigmoid`` and SciPy's ``log_expit``.

    Parameters
    ----------
    x : array_like
        Floats, integers or booleans.
    out : ndarray, optional
        As in :func:`binary_cross_entropy_with_logits`.

    Returns
    -------
    ndarray
        float32 for floats narrower than float64, else float64, in the memory order of ``x``. −∞ → −∞, +∞ → 0,
        NaN → NaN; subnormal results are kept.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> log_sigmoid(np.array([0.0, 40.0]))
    array([-6.93147181e-01, -4.24835426e-18])
    """
    return elements(_core.log_sigmoid, {"x": x}, out=out)


def softplus(x: ArrayLike, *, out: Array | None = None) -> Array:
    """log(1 + e^x) of each element, as in ``torch.nn.functional.softplus``.

    Parameters
    ----------
    x, out
        As in :func:`log_sigmoid`.

    Returns
    -------
    ndarray
        The negative of :func:`log_sigmoid` at −x, of the same dtype. −∞ → 0, +∞ → +∞, NaN → NaN.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit.

    Examples
    --------
    >>> import numpy as np
    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return elements(_core.softplus, {"x": x}, out=out)


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
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    hess: Hessian | None = None,
) -> Loss:
    """½·(log var + (target − mean)²/var): −log of the normal density but for a constant, in nats.

    Follows ``torch.nn.functional.gaussian_nll_loss``, with the results and errors of
    :func:`binary_cross_entropy_with_logits`. All arrays broadcast by NumPy's rules. PyTorch instead lets a
    ``var`` of shape (n,) broadcast over the *first* axis of (n, d): write ``var[:, None]`` for that.

    Parameters
    ----------
    mean, target : array_like
        The predicted mean and the observation.
    var, log_var, sigma : array_like, exactly one of them
        The variance, its logarithm, or the standard deviation. A variance given by ``var`` or ``sigma``
        counts as ``eps`` if it is less; ``log_var`` is used as it is.
    full : bool
        Add the constant ½·log 2π.
    eps : float
        The least variance, at least 0.
    reduction, out, grad, hess
        As in :func:`binary_cross_entropy_with_logits`; the derivatives are with respect to ``mean``, and both
        kinds of ``hess`` are 1/var.

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
    An infinite variance costs ∞, a NaN NaN. The error is at most 2 ulp of the larger of the two terms, which
    may cancel.

    Examples
    --------
    >>> gaussian_nll_loss([0.0, 1.0], [1.0, 1.0], 1.0)
    0.25
    """
    return elements(
        _core.gaussian_nll_loss,
        {"mean": mean, "target": target, **given(var=var, log_var=log_var, sigma=sigma)},
        reduction=reduction, out=out, grad=grad, hess=hess, eps=as_number(eps, "eps"), full=bool(full),
    )  # fmt: skip


@mean_by_default
def laplace_nll_loss(
    mean: ArrayLike,
    target: ArrayLike,
    scale: ArrayLike | None = None,
    *,
    log_scale: ArrayLike | None = None,
    eps: float = 1e-6,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    hess: Hessian | None = None,
) -> Loss:
    """log 2b + |target − mean|/b, in nats: −log of the density of ``torch.distributions.Laplace``.

    Results and errors are those of :func:`gaussian_nll_loss`.

    Parameters
    ----------
    mean, target : array_like
        The predicted mean and the observation.
    scale, log_scale : array_like, exactly one of them
        The scale b or its logarithm. ``scale`` counts as ``eps`` if it is less; ``log_scale`` is used as it is.
    eps : float
        The least scale, at least 0.
    reduction, out, grad, hess
        As in :func:`binary_cross_entropy_with_logits`; the derivatives are with respect to ``mean``. The second
        one is 0, and its "upper" bound is 1/(b·|target − mean|), that of the parabola which touches the loss
        here and lies above it everywhere.

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
    return elements(
        _core.laplace_nll_loss,
        {"mean": mean, "target": target, **given(scale=scale, log_scale=log_scale)},
        reduction=reduction, out=out, grad=grad, hess=hess, eps=as_number(eps, "eps"),
    )  # fmt: skip


@mean_by_default
def mse_loss(
    mean: ArrayLike,
    target: ArrayLike,
    *,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    hess: Hessian | None = None,
) -> Loss:
    """(target − mean)²: twice the Gaussian loss with variance 1.

    Follows ``torch.nn.functional.mse_loss``, with the results and errors of
    :func:`binary_cross_entropy_with_logits`.

    Parameters
    ----------
    mean, target : array_like
        The prediction and the observation, of one shape, or one of them is a single number.
    reduction, out, grad, hess
        As in :func:`binary_cross_entropy_with_logits`; both kinds of ``hess`` are 2.

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
    arrays = {"mean": mean, "target": target}
    return elements(_core.mse_loss, arrays, reduction=reduction, out=out, grad=grad, hess=hess)


@mean_by_default
def poisson_nll_loss(
    input: ArrayLike,
    target: ArrayLike,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
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
        The count, which is not checked to be whole; a count of 0 costs λ. The two arrays broadcast.
    log_input : bool
        Whether ``input`` is log λ.
    full : bool
        Add Stirling's target·log target − target + ½·log(2π·target) where target > 1.
    eps : float
        At least 0; without ``log_input`` the logarithm is that of λ + ``eps``.
    reduction, out, grad, hess
        As in :func:`binary_cross_entropy_with_logits`; the derivatives are with respect to ``input``. The
        second one has no upper bound, so ``hess="upper"`` is refused.

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
    >>> poisson_nll_loss([0.0], [3])
    1.0
    """
    return elements(
        _core.poisson_nll_loss,
        {"input": input, "target": target},
        reduction=reduction, out=out, grad=grad, hess=hess,
        log_input=bool(log_input), full=bool(full), eps=as_number(eps, "eps"),
    )  # fmt: skip
