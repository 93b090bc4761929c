"""What becomes of losses: weighted, masked and reduced, and which target belongs to which row."""

import math

import numpy as np


def rows_of(x, target, axis):
    """Rows of classes in float64, one after another, and their targets."""
    x = np.moveaxis(np.asarray(x), axis, -1).astype(np.float64)
    return x.reshape(-1, x.shape[-1]), np.asarray(target).reshape(-1)


def aligned(logits, target, shift, mask, ignore_index):
    """Logits and targets without what ``shift`` leaves out; what ``mask`` leaves out is ignored."""
    logits, target = np.asarray(logits), np.asarray(target)
    target = target if mask is None else np.where(mask, target, ignore_index)
    return (logits[..., : logits.shape[-2] - shift, :], target[..., shift:]) if shift else (logits, target)


def reduced(losses, weights, counted, shape, reduction, empty_mean=math.nan):
    """The losses, already weighted, reduced; the mean divides by the sum of the weights."""
    losses = np.where(counted, losses, 0.0)
    if reduction == "none":
        return losses.reshape(shape)
    total = math.fsum(losses) if np.isfinite(losses).all() else float(np.sum(losses))
    weight = math.fsum(np.where(counted, weights, 0.0))
    if reduction == "sum":
        return total
    return total / weight if weight else math.nan if counted.any() else empty_mean


def reduced_where(each, shift, mask, reduction, sample_weight=None):
    """Without the last ``shift`` positions, and without those that ``mask`` leaves out ``shift`` positions later."""
    each = np.asarray(each)
    counted = np.ones(each.shape, bool) if mask is None else np.asarray(mask, bool)
    if shift:
        each, counted = each[..., : each.shape[-1] - shift], counted[..., shift:]
    weights = np.ones(each.size) if sample_weight is None else np.ravel(np.asarray(sample_weight)[..., shift:])
    return reduced(times(weights, each.ravel()), weights, counted.ravel(), each.shape, reduction)


def reduced_elements(losses, weight, mask, reduction, divides=False):
    """The losses, weighted and reduced; the mean divides by the sum of the weights if ``divides``."""
    counted = np.ones(losses.shape) if mask is None else fitted(mask, losses.shape)
    weights = counted if weight is None else times(counted, fitted(weight, losses.shape))
    losses = times(weights, losses)
    if reduction == "none":
        return losses
    return float(np.sum(losses)) / (float(np.sum(weights if divides else counted)) if reduction == "mean" else 1)


def fitted(x, shape):
    """x broadcast to a shape, or one number for each of its rows."""
    (x,) = arrays(x)
    return np.broadcast_to(x if x.shape != shape[:-1] or not x.ndim else x[..., None], shape)


def arrays(*arrays):
    """Each in float64."""
    return (np.asarray(x).astype(np.float64) for x in arrays)


@np.errstate(invalid="ignore")
def times(a, b):
    """a·b, but 0 where a is 0."""
    return np.where(a == 0, 0.0, a * b)
