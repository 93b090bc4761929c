"""Losses of real numbers and of counts."""

import math

import numpy as np

from nll_fast.reference.reductions import arrays, fitted, reduced_elements, times


@np.errstate(all="ignore")
def gaussian_nll_loss(
    mean,
    target,
    var=None,
    *,
    log_var=None,
    sigma=None,
    full=False,
    eps=1e-6,
    weight=None,
    mask=None,
    reduction="mean",
):
    """½·(log v + (y − μ)²/v), and ½·log 2π if full."""
    mean, target = arrays(mean, target)
    shape = np.broadcast_shapes(mean.shape, target.shape) or np.shape(
        next(x for x in (var, log_var, sigma) if x is not None)
    )
    d = target - mean
    if log_var is not None:
        half_log_v, z = fitted(log_var, shape) / 2, d / np.exp(fitted(log_var, shape) / 2)
    elif sigma is not None:
        half_log_v, z = np.log(fitted(sigma, shape)), d / fitted(sigma, shape)
    else:
        v = np.maximum(fitted(var, shape), eps)
        half_log_v, z = np.log(v) / 2, d / np.sqrt(v)
    losses = half_log_v + z * z / 2 + (0.5 * np.log(2 * np.pi) if full else 0)
    return reduced_elements(losses, weight, mask, reduction, True)


@np.errstate(all="ignore")
def laplace_nll_loss(mean, target, scale=None, *, log_scale=None, eps=1e-6, weight=None, mask=None, reduction="mean"):
    """log 2b + |y − μ|/b."""
    mean, target, b = arrays(mean, target, log_scale if scale is None else scale)
    d = np.abs(target - mean)
    b = fitted(b, d.shape)
    log_2b, b = (np.log(2) + b, np.exp(b)) if scale is None else (np.log(2 * np.maximum(b, eps)), np.maximum(b, eps))
    return reduced_elements(log_2b + d / b, weight, mask, reduction, True)


def mse_loss(mean, target, *, weight=None, mask=None, reduction="mean"):
    """(y − μ)²."""
    mean, target = arrays(mean, target)
    return reduced_elements((target - mean) ** 2, weight, mask, reduction, True)


@np.errstate(all="ignore")
def poisson_nll_loss(
    input,
    target,
    *,
    log_input=True,
    log_offset=0.0,
    full=False,
    eps=1e-8,
    weight=None,
    mask=None,
    reduction="mean",
):
    """λ − y·log λ, and log y! or Stirling's formula for it where y > 1 if full."""
    x, y = arrays(input, target)
    x = x + (fitted(log_offset, x.shape) if np.ndim(log_offset) else log_offset)
    loss = np.exp(x) - times(y, x) if log_input else x - times(y, np.log(x + eps))
    if full == "exact":
        loss = loss + np.vectorize(math.lgamma)(y + 1)
    elif full:
        loss = loss + np.where(y > 1, y * np.log(y) - y + 0.5 * np.log(2 * np.pi * y), 0)
    return reduced_elements(loss, weight, mask, reduction, True)
