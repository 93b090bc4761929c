"""Everything about a token, row by row."""

from types import SimpleNamespace

import numpy as np

from nll_fast.reference.distributions import entropy
from nll_fast.reference.normalization import log_sum_exp, loss_of_row
from nll_fast.reference.reductions import aligned, rows_of


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
    logits, target = aligned(logits, target, shift, mask, ignore_index)
    x, t = rows_of(prepared(logits, temperature, softcap), target, axis)
    ids = np.asarray([] if token_ids is None else token_ids, int)
    ids = np.broadcast_to(ids, (*target.shape, ids.shape[-1])).reshape(len(t), ids.shape[-1])
    counted = np.ones(len(t), bool) if ignore_index is None else t != ignore_index
    rows = [_score_row(*row, top_k) for row in zip(x, t, ids, counted & ~np.isnan(x).any(-1), strict=True)]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return SimpleNamespace(**{name: x.reshape((*target.shape, *x.shape[1:])) for name, x in columns.items()})


def _score_row(x, t, ids, counts, top_k):
    order = np.argsort(-x, kind="stable")
    wanted = {t, order[0], *ids, *order[:top_k]} & {*range(len(x))}
    log_p = {c: 0.0 - loss_of_row(x, c) if counts else np.nan for c in wanted}
    x_t = x[t] if counts else np.nan
    return {
        "log_prob": log_p.get(t, np.nan),
        "logsumexp": log_sum_exp(x) if counts else np.nan,
        "entropy": entropy(x) if counts else np.nan,
        "argmax": order[0] if counts else -1,
        "max_log_prob": log_p[order[0]],
        "is_greedy": counts and order[0] == t and not np.isnan(log_p[t]),
        "rank": 1 + np.sum(x > x_t) if counts else -1,
        "ties": np.sum(x == x_t) - 1 if counts else -1,
        "top_k_ids": order[:top_k] if counts else np.full(top_k, -1),
        "top_k_log_probs": [log_p[c] for c in order[:top_k]],
        "token_ids_log_probs": [log_p[c] for c in ids],
    }


def prepared(logits, temperature, softcap):
    """x/temperature, rounded to the type of the computation, and then c·tanh(x/c)."""
    double = np.asarray(logits).dtype == np.float64
    x = np.asarray(logits).astype(np.float64 if double else np.float32)
    x = x / x.dtype.type(temperature)
    return x if softcap is None else (softcap * np.tanh(x.astype(np.float64) / softcap)).astype(x.dtype)
