"""The oracle once more in 80-bit numbers, and what not even these can know.

:mod:`nll_fast.reference` is read again with another NumPy under it, whose float64 is ``longdouble``: no formula is
written twice, and what the oracle rounds is seen by 11 bits more.
"""

import importlib
import math
import sys
import types

import nll_fast.reference
import numpy as np

from ..cases import mp

Long = np.longdouble
ENOUGH = np.finfo(Long).nmant >= 63
"""Whether ``longdouble`` is wider than float64 on this machine."""


class _LongNumPy:
    """NumPy with longdouble in the place of float64, also as the default dtype of new arrays."""

    float64 = Long
    pi = Long(mp.nstr(mp.pi, 40))

    def __getattr__(self, name):
        return getattr(np, name)

    @staticmethod
    def zeros(shape, dtype=Long):
        return np.zeros(shape, dtype)

    @staticmethod
    def ones(shape, dtype=Long):
        return np.ones(shape, dtype)

    @staticmethod
    def exp(x, dtype=None):
        return np.exp(np.asarray(x).astype(Long))


def _log_factorial(y):
    if not np.isfinite(y) or y == 0:
        return abs(y) if y == y and y != 0 else y + Long(np.inf)
    rounded = float(y)
    return Long(mp.nstr(mp.loggamma(mp.mpf(rounded) + float(y - Long(rounded))).real, 40))


def _long_oracle():
    """The modules of the oracle, imported once more, each with the other NumPy."""
    here = [name for name in sys.modules if f"{name}.".startswith("nll_fast.reference.")]
    kept = {name: sys.modules.pop(name) for name in here}
    try:
        module = importlib.import_module("nll_fast.reference")
        parts = {name: sys.modules[name] for name in here}
    finally:
        sys.modules.update(kept)
        nll_fast.reference = kept["nll_fast.reference"]
    slow = parts["nll_fast.reference.normalization"].log_sum_exp
    others = {
        "np": _LongNumPy(),
        "math": types.SimpleNamespace(
            nan=math.nan, prod=math.prod, lgamma=_log_factorial, log=lambda x: np.log(Long(x)), fsum=lambda x: np.sum(x)
        ),
        "log_softmax": log_softmax,
        "log_sum_exp": lambda x, sign=1.0: (
            x.max() + np.min(losses(x)) if len(x) and np.isfinite(x.max()) and np.all(sign == 1) else slow(x, sign)
        ),
    }
    for part in parts.values():
        for name in others.keys() & vars(part).keys():
            setattr(part, name, others[name])
    return module


def losses(x):
    """−log softmax of rows, each class against the sum of all others; the oracle loops over the classes of a row."""
    x = np.asarray(x).astype(Long)
    with np.errstate(all="ignore"):
        largest = x.max(-1, keepdims=True)
        e = np.exp(x - largest)
        before = np.cumsum(e, -1) - e
        others = before + (np.cumsum(e[..., ::-1], -1)[..., ::-1] - e)
        # The running sums have lost what lies beside the largest term: there, the others are added up without it.
        first = np.argmax(x, -1)[..., None]
        rest = e.copy()
        np.put_along_axis(rest, first, 0, -1)
        np.put_along_axis(others, first, rest.sum(-1, keepdims=True), -1)
        below = largest - x
        loss = np.where(below > 0, below + np.log(e.sum(-1, keepdims=True)), np.log1p(others))
        bad = np.isnan(x).any(-1, keepdims=True) | ~np.isfinite(largest)
        return np.where(bad, np.nan, loss)


def log_softmax(logits, *, axis=-1):
    x = np.asarray(logits)
    axes = tuple(range(x.ndim)) if axis is None else tuple(int(k) % x.ndim for k in np.atleast_1d(axis))
    last = range(x.ndim - len(axes), x.ndim)
    moved = np.moveaxis(x, axes, last)
    rows = moved.reshape(*moved.shape[: last.start], math.prod(moved.shape[last.start :]))
    log_p = -losses(rows) if rows.size else rows.astype(Long)
    return np.moveaxis(log_p.reshape(moved.shape), last, axes)


LONG = _long_oracle()


def largest_term(function, given, options):
    """What errors are measured by where terms cancel (docs/accuracy.md): an array, or 0 for a sum that does not."""
    a = {name: np.asarray(x).astype(Long) for name, x in given.items()}
    with np.errstate(all="ignore"):
        terms = _TERMS.get(function, lambda a, o: ())(a, options)
        size = Long(0)
        for term in terms:
            size = np.fmax(size, np.where(np.isinf(term), 0, np.abs(term)))
        return np.nan_to_num(size)


def _gaussian(a, o):
    d = a["target"] - a["mean"]
    if "log_var" in a:
        half, z = a["log_var"] / 2, d / np.exp(a["log_var"] / 2)
    elif "sigma" in a:
        half, z = np.log(a["sigma"]), d / a["sigma"]
    else:
        v = np.maximum(a["var"], o.get("eps", 1e-6))
        half, z = np.log(v) / 2, d / np.sqrt(v)
    return half, z * z / 2, Long(0.92) if o.get("full") else Long(0)


def _laplace(a, o):
    b = np.exp(a["log_scale"]) if "log_scale" in a else np.maximum(a["scale"], o.get("eps", 1e-6))
    return np.log(2 * b), (a["target"] - a["mean"]) / b, a.get("log_scale", Long(0))


def _poisson(a, o):
    x, y = a["input"] + a.get("log_offset", 0), a["target"]
    rate = np.exp(x) if o.get("log_input", True) else x
    log_rate = x if o.get("log_input", True) else np.log(x + o.get("eps", 1e-8))
    factorial = (y * np.log(y), np.log(2 * np.pi * y)) if o.get("full") else ()
    return rate, np.where(y == 0, 0, y * log_rate), *factorial


def _kl_div(a, o):
    t = a["target"]
    p, log_p = (np.exp(t), t) if o.get("log_target") else (t, np.log(t))
    return np.where(p == 0, 0, p * log_p), np.where(p == 0, 0, p * a["input"])


def _dpo(a, o):
    """The sizes of the margins, as far as the loss feels them, which for squares is as the root."""
    size = sum(np.abs(x) for x in a.values())
    kind, beta = o.get("loss_type", "sigmoid"), o.get("beta", 0.1)
    if kind in ("ipo", "sppo_hard"):
        return ((size + 1 / beta) ** 2,)
    return (Long(0) if kind == "sigmoid" else np.where(np.isfinite(size), beta * size, 0) + 1,)


_TERMS = {
    "gaussian_nll_loss": _gaussian,
    "laplace_nll_loss": _laplace,
    "poisson_nll_loss": _poisson,
    "kl_div": _kl_div,
    "dpo_loss": _dpo,
}


def beyond(function, given, options, size, dtype):
    """Where a term of the formula, or a factor, comes so near the ends of the type that the kernels, which work in it,
    overflow although the result does not; and where their exponentials of numbers far below 0 stop falling.
    """
    end, a = np.finfo(dtype).max / 8, {name: np.asarray(x).astype(Long) for name, x in given.items()}
    with np.errstate(all="ignore"):
        far = size > end
        if function == "kl_div" and options.get("log_target"):
            lowest = -130 if dtype == np.float32 else -1000
            far = far | (np.abs(a["input"]) > end) | (np.abs(a["target"]) > end) | (a["target"] < lowest)
        if function == "kl_divergence" or (function == "cross_entropy" and dtype == np.float64):
            for x in (a[name] for name in ("logits", "p_logits", "q_logits") if name in a):
                far = far | ((np.abs(x) > end) & np.isfinite(x)).any(-1)
        if "var" in a:
            far = far | (np.fmax(a["var"], options.get("eps", 1e-6)) < 1 / end)
        if "pos_weight" in a:
            far = far | (a["pos_weight"] > end)
            # The weight and the label are multiplied first, to a number that may be subnormal.
            far = far | (np.abs(a["pos_weight"] * a["target"]) < 8 / end)
        if function == "dpo_loss":
            # The difference, and its product with beta, which may bring it back below the end.
            far = far | (sum(np.abs(x) for x in a.values()) * max(options.get("beta", 0.1), 1) > end)
        if "mean" in a:
            far = far | (np.abs(a["target"] - a["mean"]) > end)
        return far


def own_error(function, given, want):
    """Of the 80-bit oracle, where its terms cancel and the function's own formula has none."""
    with np.errstate(all="ignore"):
        a = [np.asarray(x).astype(Long) for x in given.values()]
        if function == "rel_entr":
            return (
                np.nan_to_num(np.abs(a[0]) * (np.abs(np.log(a[0])) + np.abs(np.log(a[1]))), posinf=0) * Long(2) ** -62
            )
        if function == "kl_divergence":
            p, q = losses(a[0]), losses(a[1])
            own = np.nan_to_num(np.where(p < 12000, np.exp(-p) * (p + q), 0), posinf=0).sum(-1) * Long(2) ** -60
            # Where p underflows but q is 0, the sum is ∞, which the oracle does not see.
            return np.where((np.isinf(q) & (p > 700) & np.isfinite(p)).any(-1), np.inf, own)
        if function == "logsumexp" and "b" in given:  # Where the terms cancel, the sum is what its rounding left.
            x, b = np.asarray(given["logits"]).astype(Long), np.asarray(given["b"]).astype(Long)
            terms = np.where(b == 0, 0, b * np.exp(x - np.max(np.where(np.isfinite(x), x, -np.inf), -1, keepdims=True)))
            share = np.abs(terms).sum(-1) / np.abs(terms.sum(-1)) * Long(2) ** -58
            own = np.where(share > 0.5, np.inf, np.where(np.isnan(share), 0, share))
            return own + Long(2) ** -60 * np.nan_to_num(np.abs(want), posinf=0)
        if function in ("dpo_loss", "bradley_terry_loss"):  # The arguments are subtracted from one another.
            want = want * (1 + sum(np.where(np.isfinite(x), np.abs(x), 0) for x in a))
        return Long(2) ** -60 * np.nan_to_num(np.abs(want), posinf=0)


def distance(got, want, size, own):
    """How far results are from the exact ones, in ulps of their dtype; ∞ where one is NaN or ∞ and should not be."""
    dtype, want = got.dtype, np.asarray(want, Long)
    with np.errstate(all="ignore"):
        near = want.astype(dtype)
        unit = np.spacing(np.fmin(np.fmax(np.abs(want), size), np.finfo(dtype).max).astype(dtype))
        far = np.fmax(np.abs(got.astype(Long) - want) - own, 0) / unit
        same = (got == near) | (np.isnan(got) & np.isnan(near))
        # Beyond the largest number of the type, rounding decides between it and ∞.
        edge = np.isinf(got) & (np.abs(want) > Long(np.finfo(dtype).max) * (1 - Long(2) ** -20)) & (got * want > 0)
        edge |= np.isinf(near) & np.isfinite(want) & (got * want > 0) & (np.abs(got) > np.finfo(dtype).max / 1.0001)
        odd = ~np.isfinite(got) | ~np.isfinite(want)
        return np.where(same | edge | np.isinf(own), 0, np.where(odd, np.inf, far)).astype(np.float64)
