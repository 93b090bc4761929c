"""The oracle: every public loss in NumPy float64, written to be read. Checks nothing; slow on purpose.

All logits pass through float64, rows are looped over, and the target is taken against the rest, so the
losses of certain tokens keep their digits here too. What each function computes, with limits and sources, is
said where the function of the same name is documented in ``nll_fast`` itself.
"""

import math
from types import SimpleNamespace

import numpy as np


def _rows(x, target, axis):
    x = np.moveaxis(np.asarray(x), axis, -1).astype(np.float64)
    return x.reshape(-1, x.shape[-1]), np.asarray(target).reshape(-1)


def _reduce(losses, weights, counted, shape, reduction, empty_mean=math.nan):
    losses = np.where(counted, losses, 0.0)
    if reduction == "none":
        return losses.reshape(shape)
    total = math.fsum(losses) if np.isfinite(losses).all() else float(np.sum(losses))
    weight = math.fsum(np.where(counted, weights, 0.0))
    if reduction == "sum":
        return total
    return total / weight if weight else math.nan if counted.any() else empty_mean


def _log_sum_exp(x, sign=1.0):
    m = np.max(x, initial=-np.inf)
    m = m if np.isfinite(m) else 0.0
    return m + np.log(np.sum(sign * np.exp(x - m)))


def _loss(x, t):
    """log(1 + Σ_{j≠t} e^{x_j} / e^{x_t}): softplus of the rest against the target."""
    rest = np.delete(x, t)
    m = np.max(rest, initial=-np.inf)
    if np.isnan(x).any() or np.isposinf(x).any() or (m == -np.inf and x[t] == -np.inf):
        return np.nan
    if m == -np.inf:
        return 0.0
    if x[t] == -np.inf:
        return np.inf
    s = np.sum(np.exp(rest - m))
    d = m - x[t]
    return d + np.log(s + np.exp(-d)) if d > 0 else np.log1p(s * np.exp(d))


def cross_entropy(
    logits,
    target,
    *,
    axis=-1,
    weight=None,
    sample_weight=None,
    ignore_index=-100,
    label_smoothing=0.0,
    shift=0,
    mask=None,
    reduction="mean",
    empty_mean=math.nan,
):
    """w·log(1 + Σ_{j≠t} e^(x_j − x_t)) of each row; smoothed, its mixture with the loss of every class."""
    if np.asarray(target).dtype.kind not in "iu":
        target = np.roll(target, -shift, -2) if shift else target
        soft = _expected_loss(log_softmax(logits, axis=axis), target, axis, weight, label_smoothing)
        return _reduce_some(soft, shift, mask, reduction, sample_weight)
    logits, target = _aligned(logits, target, shift, mask, ignore_index)
    x, t = _rows(logits, target, axis)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    losses, weights = np.zeros(len(t)), np.zeros(len(t))
    s = np.ones(len(t)) if sample_weight is None else np.ravel(np.asarray(sample_weight)[..., shift:])
    for i in np.flatnonzero(counted):
        weights[i] = w[t[i]]
        losses[i] = _times(weights[i], _loss(x[i], t[i]))
        if label_smoothing:
            every = np.array([w[c] * _loss(x[i], c) if w[c] else 0.0 for c in range(classes)])
            sharp = (1 - label_smoothing) * losses[i] if label_smoothing < 1 else 0.0
            losses[i] = sharp + label_smoothing / classes * every.sum()
    return _reduce(_times(s, losses), s * weights, counted, np.shape(target), reduction, empty_mean)


def cross_entropy_grad(
    logits,
    target,
    *,
    axis=-1,
    weight=None,
    sample_weight=None,
    ignore_index=-100,
    label_smoothing=0.0,
    reduction="mean",
):
    """Σa · softmax(x) − a, with a the weight that the loss gives to each class."""
    x, t = _rows(logits, target, axis)
    classes = x.shape[-1]
    w = np.ones(classes) if weight is None else np.asarray(weight, np.float64)
    s = np.ones(len(t)) if sample_weight is None else np.ravel(sample_weight)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    grad = np.zeros_like(x)
    for i in np.flatnonzero(counted):
        a = label_smoothing / classes * w + (1 - label_smoothing) * w[t[i]] * np.eye(classes)[t[i]]
        grad[i] = _times(s[i], _times(a.sum(), np.exp(log_softmax(x[i]))) - a)
    if reduction == "mean":
        grad /= (s * w[np.where(counted, t, 0)])[counted].sum()
    shape = np.moveaxis(np.asarray(logits), axis, -1).shape
    return np.moveaxis(grad.reshape(shape), -1, axis)


def _expected_loss(log_p, target, axis, weight, smoothing=0.0):
    """−Σ w·y·log p of each row."""
    y = np.moveaxis(np.asarray(target).astype(np.float64), axis, -1)
    y = ((1 - smoothing) * y + smoothing / y.shape[-1]) * (1.0 if weight is None else np.asarray(weight))
    log_p = np.moveaxis(log_p, axis, -1)
    return np.where(np.isnan(log_p).any(-1), np.nan, -np.sum(_times(y, log_p), -1))


def entropy(logits, *, axis=-1, shift=0, mask=None, reduction="none"):
    """−Σ p·log p of p = softmax(x)."""
    log_p = log_softmax(logits, axis=axis)
    return _reduce_some(-np.sum(_times(np.exp(log_p), log_p), axis), shift, mask, reduction)


def kl_divergence(p_logits, q_logits, *, axis=-1, shift=0, mask=None, reduction="mean"):
    """Σ p·(log p − log q) of two softmaxes."""
    log_p, log_q = log_softmax(p_logits, axis=axis), log_softmax(q_logits, axis=axis)
    with np.errstate(invalid="ignore"):
        return _reduce_some(np.sum(_times(np.exp(log_p), log_p - log_q), axis), shift, mask, reduction)


def _reduce_some(each, shift, mask, reduction, sample_weight=None):
    """Without the last ``shift`` positions, and without those that ``mask`` leaves out ``shift`` positions later."""
    each = np.asarray(each)
    counted = np.ones(each.shape, bool) if mask is None else np.asarray(mask, bool)
    if shift:
        each, counted = each[..., : each.shape[-1] - shift], counted[..., shift:]
    weights = np.ones(each.size) if sample_weight is None else np.ravel(np.asarray(sample_weight)[..., shift:])
    return _reduce(_times(weights, each.ravel()), weights, counted.ravel(), each.shape, reduction)


def _aligned(logits, target, shift, mask, ignore_index):
    logits, target = np.asarray(logits), np.asarray(target)
    target = target if mask is None else np.where(mask, target, ignore_index)
    return (logits[..., : logits.shape[-2] - shift, :], target[..., shift:]) if shift else (logits, target)


def token_log_probs(logits, target, *, axis=-1, ignore_index=-100, shift=0, mask=None):
    """log softmax(x)[t] of each row; 0 for ignored ones."""
    logits, target = _aligned(logits, target, shift, mask, ignore_index)
    return 0.0 - cross_entropy(logits, target, axis=axis, ignore_index=ignore_index, reduction="none")


def sequence_log_probs(logits, target, *, ignore_index=-100, shift=0, mask=None):
    """The sum of the log-probabilities of each text, and how many of its tokens count."""
    logits, target = _aligned(logits, target, shift, mask, ignore_index)
    return token_log_probs(logits, target, ignore_index=ignore_index).sum(-1), np.sum(target != ignore_index, -1)


def _mean_nll(logits, target, *, axis=-1, ignore_index=-100, shift=0, mask=None):
    logits, target = _aligned(logits, target, shift, mask, ignore_index)
    return cross_entropy(logits, target, axis=axis, ignore_index=ignore_index)


@np.errstate(over="ignore")
def perplexity(logits, target, **where):
    """exp of the mean loss of the tokens that count."""
    return float(np.exp(_mean_nll(logits, target, **where)))


def bits_per_token(logits, target, **where):
    """The mean loss of the tokens that count, over log 2."""
    return _mean_nll(logits, target, **where) / math.log(2)


def bits_per_byte(logits, target, n_bytes, **where):
    """The summed loss of the tokens that count, over log 2 and the number of bytes."""
    return -float(np.sum(token_log_probs(logits, target, **where))) / np.log(2) / n_bytes


def _prepared(logits, temperature, softcap):
    """x/temperature, rounded to the type of the computation, and then c·tanh(x/c)."""
    double = np.asarray(logits).dtype == np.float64
    x = np.asarray(logits).astype(np.float64 if double else np.float32)
    x = x / x.dtype.type(temperature)
    return x if softcap is None else (softcap * np.tanh(x.astype(np.float64) / softcap)).astype(x.dtype)


def score(
    logits,
    target,
    *,
    axis=-1,
    ignore_index=-100,
    shift=0,
    mask=None,
    top_k=0,
    token_ids=None,
    temperature=1.0,
    softcap=None,
):
    """log p and rank of the target, arg max, entropy, the k largest classes; NaN or −1 for ignored rows."""
    logits, target = _aligned(logits, target, shift, mask, ignore_index)
    x, t = _rows(_prepared(logits, temperature, softcap), target, axis)
    ids = np.asarray([] if token_ids is None else token_ids, int)
    ids = np.broadcast_to(ids, (*target.shape, ids.shape[-1])).reshape(len(t), ids.shape[-1])
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    rows = [_score_row(*row, top_k) for row in zip(x, t, ids, counted & ~np.isnan(x).any(-1), strict=True)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return SimpleNamespace(**{name: x.reshape((*target.shape, *x.shape[1:])) for name, x in columns.items()})


def _score_row(x, t, ids, counts, top_k):
    order = np.argsort(-x, kind="stable")
    every = range(len(x))
    log_p = {c: 0.0 - _loss(x, c) if counts else np.nan for c in every if c in {t, order[0], *ids, *order[:top_k]}}
    x_t = x[t] if counts else np.nan
    return {
        "log_prob": log_p.get(t, np.nan),
        "logsumexp": _log_sum_exp(x) if counts else np.nan,
        "entropy": entropy(x) if counts else np.nan,
        "argmax": order[0] if counts else -1,
        "max_log_prob": log_p[order[0]],
        "is_greedy": counts and order[0] == t,
        "rank": 1 + np.sum(x > x_t) if counts else -1,
        "ties": np.sum(x == x_t) - 1 if counts else -1,
        "top_k_ids": order[:top_k] if counts else np.full(top_k, -1),
        "top_k_log_probs": [log_p[c] for c in order[:top_k]],
        "token_ids_log_probs": [log_p[c] for c in ids],
    }


def compare(
    p_logits,
    q_logits,
    target=None,
    *,
    axis=-1,
    ignore_index=-100,
    shift=0,
    mask=None,
    classes=None,
    top_k=None,
    temperature=1.0,
    softcap=None,
):
    """Σ p·log(p/q), Σ q·log(q/p), the mean of both from (p + q)/2, Σ|p − q|/2, the first k of both; NaN or −1 for
    ignored rows.
    """
    t = np.zeros(np.moveaxis(np.asarray(p_logits), axis, -1).shape[:-1], int) if target is None else target
    both = [_aligned(x, t, shift, mask, -100 if ignore_index is None else ignore_index) for x in (p_logits, q_logits)]
    t = both[0][1]
    xs = [_rows(_prepared(x, temperature, softcap), t, axis)[0][:, :classes] for x, _ in both]
    rows = []
    for x, y, target_of in zip(*xs, np.ravel(t), strict=True):
        counts = ignore_index is None or target_of != ignore_index
        counts = counts and np.isfinite(x).any() and not (np.isnan(x + y) | np.isposinf(x) | np.isposinf(y)).any()
        p, q = (np.exp(log_softmax(row)) if counts else row for row in (x, y))
        mean = (p + q) / 2
        middle = (np.sum(_excess(p, mean)) + np.sum(_excess(q, mean))) / 2
        first, second = (np.argsort(-row, kind="stable") for row in (x, y))
        k = min(5, len(x)) if top_k is None else top_k
        numbers = {
            "kl_pq": kl_divergence(x, y, reduction="none") if counts else np.nan,
            "kl_qp": kl_divergence(y, x, reduction="none") if counts else np.nan,
            "js": middle,
            "total_variation": np.sum(np.abs(p - q)) / 2,
            "p_entropy": entropy(x) if counts else np.nan,
            "p_max_log_prob": 0.0 - _loss(x, first[0]),
            "p_log_prob": 0.0 - _loss(x, target_of) if counts else np.nan,
            "q_log_prob": 0.0 - _loss(y, target_of) if counts else np.nan,
        }
        integers = {
            "p_argmax": first[0],
            "q_argmax": second[0],
            "top_k_overlap": len(set(first[:k]) & set(second[:k])),
        }
        rows.append(
            {
                **{name: float(x) if counts else np.nan for name, x in numbers.items()},
                **{name: int(x) if counts else -1 for name, x in integers.items()},
                "same_top": bool(counts and first[0] == second[0]),
                "top_k_in_order": bool(counts and (first[:k] == second[:k]).all()),
            }
        )
    return SimpleNamespace(**{name: np.array([row[name] for row in rows]).reshape(np.shape(t)) for name in rows[0]})


def _excess(p, q):
    """p·log(p/q) − p + q, whose sum over two distributions is that of p·log(p/q)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        d = np.where(p == 0, 0.0, (q - p) / p)
        return np.where(p == 0, q, p * (d - np.log1p(d)))


def _gather(entries, target, axis, weight, sample_weight, ignore_index, reduction, empty_mean):
    x, t = _rows(entries, target, axis)
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    safe = np.where(counted, t, 0)
    w = np.ones(x.shape[-1]) if weight is None else np.asarray(weight, np.float64)
    w = w[safe] * (1.0 if sample_weight is None else np.ravel(sample_weight))
    losses = _times(w, 0.0 - x[np.arange(len(t)), safe])
    return _reduce(losses, w, counted, np.shape(target), reduction, empty_mean)


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
    eps = _epsilon(probs) if clamp == "eps" else 0.0
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.clip(np.asarray(probs).astype(np.float64), eps, 1 - eps))
    if np.ndim(target) == log_probs.ndim:
        losses = _expected_loss(log_probs, target, axis, weight)
        return _reduce_some(losses, 0, None, reduction, sample_weight)
    return _gather(log_probs, target, axis, weight, sample_weight, ignore_index, reduction, empty_mean)


def _epsilon(probs, target=0.0):
    """The distance from 1 to the next number of the dtype; what is no array of floats has that of the labels."""
    is_narrow = np.asarray(target).dtype.name in ("float32", "float16", "bfloat16")
    if is_narrow and (np.ndim(probs) == 0 or np.asarray(probs).dtype.kind in "iub"):
        return 2.0**-23
    return {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}.get(np.asarray(probs).dtype.name, 2.0**-52)


def _along(function, x, axis):
    """``function`` of each row, and the axes that a row has: one, several or, for None, all of them."""
    x = np.asarray(x).astype(np.float64)
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % max(x.ndim, 1)
    axes = tuple(int(k) for k in axes)[: x.ndim]
    moved = np.moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    shape = moved.shape[: x.ndim - len(axes)]
    rows = moved.reshape(math.prod(shape), math.prod(moved.shape[len(shape) :]))
    return np.array([function(row) for row in rows]), shape, moved.shape, axes


def logsumexp(logits, *, axis=-1, b=None, keepdims=False):
    """log Σ b·e^x = log Σ ±e^(x + log |b|), counted from the largest exponent."""
    with np.errstate(divide="ignore", invalid="ignore"):
        if b is not None:
            logits, b = np.broadcast_arrays(*(np.asarray(x).astype(np.float64) for x in (logits, b)))
            logits = np.where(b == 0, -np.inf, logits + np.log(np.abs(b)))
        signs = iter(_along(np.sign, np.ones_like(logits) if b is None else b, axis)[0])
        sums, shape, _, axes = _along(lambda row: _log_sum_exp(row, next(signs)), logits, axis)
    return np.expand_dims(sums.reshape(shape), axes) if keepdims else sums.reshape(shape)


def log_softmax(logits, *, axis=-1):
    """x − logsumexp(x), as the negative loss of each class."""
    log_p, shape, moved, axes = _along(lambda r: [-_loss(r, c) for c in range(len(r))], logits, axis)
    return np.moveaxis(log_p.reshape(moved), range(len(shape), len(moved)), axes)


def _mean(losses, weight, mask, reduction, divides=False):
    """The losses, weighted and reduced; the mean divides by the sum of the weights if ``divides``."""
    counted = np.ones(losses.shape) if mask is None else _fitted(mask, losses.shape)
    weights = counted if weight is None else _times(counted, _fitted(weight, losses.shape))
    losses = _times(weights, losses)
    if reduction == "none":
        return losses
    return float(np.sum(losses)) / (float(np.sum(weights if divides else counted)) if reduction == "mean" else 1)


def _fitted(x, shape):
    """x broadcast to a shape, or one number for each of its rows."""
    (x,) = _arrays(x)
    return np.broadcast_to(x if x.shape != shape[:-1] or not x.ndim else x[..., None], shape)


def _arrays(*arrays):
    return (np.asarray(x).astype(np.float64) for x in arrays)


@np.errstate(invalid="ignore")
def _times(a, b):
    """a·b, but 0 where a is 0."""
    return np.where(a == 0, 0.0, a * b)


def softplus(x):
    """log(1 + e^x), with an exponential of a negative number only."""
    (x,) = _arrays(x)
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def log_sigmoid(x):
    """−softplus(−x)."""
    return -softplus(-np.asarray(x, np.float64))


@np.errstate(all="ignore")
def binary_cross_entropy_with_logits(logits, target, *, weight=None, pos_weight=1.0, mask=None, reduction="mean"):
    """w·y·softplus(−x) + (1 − y)·softplus(x)."""
    x, y, w = _arrays(logits, target, pos_weight)
    return _mean(_times(w * y, softplus(-x)) + _times(1 - y, softplus(x)), weight, mask, reduction)


@np.errstate(all="ignore")
def binary_cross_entropy(probs, target, *, weight=None, mask=None, clamp="torch", reduction="mean"):
    """−y·log p − (1 − y)·log(1 − p), with p or the logarithms clamped."""
    p, y = _arrays(probs, target)
    floor = -100 if clamp == "torch" else -np.inf
    eps = _epsilon(probs, target)
    p = np.clip(p, eps, 1 - eps) if clamp == "eps" else p
    log_p, log_q = np.maximum(np.log(p), floor), np.maximum(np.log1p(-p), floor)
    return _mean(-(_times(y, log_p) + _times(1 - y, log_q)), weight, mask, reduction)


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
    mean, target = _arrays(mean, target)
    shape = np.broadcast_shapes(mean.shape, target.shape) or np.shape(
        next(x for x in (var, log_var, sigma) if x is not None)
    )
    d = target - mean
    if log_var is not None:
        half_log_v, z = _fitted(log_var, shape) / 2, d / np.exp(_fitted(log_var, shape) / 2)
    elif sigma is not None:
        half_log_v, z = np.log(_fitted(sigma, shape)), d / _fitted(sigma, shape)
    else:
        v = np.maximum(_fitted(var, shape), eps)
        half_log_v, z = np.log(v) / 2, d / np.sqrt(v)
    return _mean(half_log_v + z * z / 2 + (0.5 * np.log(2 * np.pi) if full else 0), weight, mask, reduction, True)


@np.errstate(all="ignore")
def laplace_nll_loss(mean, target, scale=None, *, log_scale=None, eps=1e-6, weight=None, mask=None, reduction="mean"):
    """log 2b + |y − μ|/b."""
    mean, target, b = _arrays(mean, target, log_scale if scale is None else scale)
    d = np.abs(target - mean)
    b = _fitted(b, d.shape)
    log_2b, b = (np.log(2) + b, np.exp(b)) if scale is None else (np.log(2 * np.maximum(b, eps)), np.maximum(b, eps))
    return _mean(log_2b + d / b, weight, mask, reduction, True)


def mse_loss(mean, target, *, weight=None, mask=None, reduction="mean"):
    """(y − μ)²."""
    mean, target = _arrays(mean, target)
    return _mean((target - mean) ** 2, weight, mask, reduction, True)


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
    x, y = _arrays(input, target)
    x = x + (_fitted(log_offset, x.shape) if np.ndim(log_offset) else log_offset)
    loss = np.exp(x) - _times(y, x) if log_input else x - _times(y, np.log(x + eps))
    if full == "exact":
        loss = loss + np.vectorize(math.lgamma)(y + 1)
    elif full:
        loss = loss + np.where(y > 1, y * np.log(y) - y + 0.5 * np.log(2 * np.pi * y), 0)
    return _mean(loss, weight, mask, reduction, True)


def bradley_terry_loss(chosen, rejected, *, margin=0.0, weight=None, mask=None, reduction="mean"):
    """softplus(rejected − chosen + margin)."""
    chosen, rejected, margin = _arrays(chosen, rejected, margin)
    return _mean(softplus(rejected - chosen + margin), weight, mask, reduction)


def dpo_loss(
    policy_chosen_logps,
    policy_rejected_logps,
    ref_chosen_logps=0.0,
    ref_rejected_logps=0.0,
    *,
    beta=0.1,
    label_smoothing=0.0,
    loss_type="sigmoid",
    reference_point=0.0,
    weight=None,
    mask=None,
    reduction="mean",
):
    """The loss of the log-ratios a and b of two answers, by one of the formulas of ``nll_fast.dpo_loss``."""
    pc, pr, rc, rr = _arrays(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    a, b, e, point = pc - rc, pr - rr, label_smoothing, reference_point
    h = beta * (a - b)
    nll, sigmoid = (lambda x: softplus(-x)), (lambda x: np.exp(-softplus(-x)))
    if loss_type == "sigmoid":
        loss = (1 - e) * nll(h) + e * nll(-h)
    elif loss_type == "robust":
        loss = ((1 - e) * nll(h) - e * nll(-h)) / (1 - 2 * e)
    elif loss_type == "hinge":
        loss = np.maximum(0, 1 - h)
    elif loss_type == "ipo":
        loss = (a - b - 1 / (2 * beta)) ** 2
    elif loss_type == "exo_pair":
        loss = sigmoid(h) * (-nll(h) - np.log(1 - e)) + sigmoid(-h) * (-nll(-h) - np.log(e))
    elif loss_type == "nca_pair":
        loss = nll(beta * a) + 0.5 * nll(-beta * a) + 0.5 * nll(-beta * b)
    elif loss_type == "bco_pair":
        loss = nll(beta * a - point) + nll(point - beta * b)
    elif loss_type == "kto_pair":
        loss = 1 - sigmoid(beta * a - point) + 1 - sigmoid(point - beta * b)
    elif loss_type == "sppo_hard":
        loss = (a - 0.5 / beta) ** 2 + (b + 0.5 / beta) ** 2
    elif loss_type == "apo_zero":
        loss = 1 - sigmoid(beta * a) + sigmoid(beta * b)
    elif loss_type == "apo_down":
        loss = sigmoid(beta * a) + 1 - sigmoid(h)
    return _mean(loss, weight, mask, reduction)


@np.errstate(all="ignore")
def entr(p):
    """−p·log p; −∞ for a negative p."""
    (p,) = _arrays(p)
    return np.where(p < 0, -np.inf, -_times(p, np.log(p)))


@np.errstate(all="ignore")
def rel_entr(p, q):
    """p·(log p − log q); ∞ for a negative p or q."""
    p, q = _arrays(p, q)
    value = np.where((p < 0) | (q < 0), np.inf, _times(p, np.log(p) - np.log(q)))
    return np.where(np.isnan(p) | np.isnan(q), np.nan, value)


@np.errstate(all="ignore")
def kl_div(input, target, *, log_target=False, reduction="mean"):
    """p·(log p − x) of log-probabilities x."""
    x, t = _arrays(input, target)
    p, log_p = (np.exp(t), t) if log_target else (t, np.log(t))
    loss = _times(p, log_p - x)
    return float(np.sum(loss)) / len(x) if reduction == "batchmean" else _mean(loss, None, None, reduction)
