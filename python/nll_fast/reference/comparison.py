"""Everything about two models, row by row."""

from types import SimpleNamespace

import numpy as np

from nll_fast.reference.distributions import entropy, kl_divergence
from nll_fast.reference.normalization import log_softmax, loss_of_row
from nll_fast.reference.reductions import aligned, rows_of
from nll_fast.reference.scores import prepared


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
    both = [aligned(x, t, shift, mask, -100 if ignore_index is None else ignore_index) for x in (p_logits, q_logits)]
    t = both[0][1]
    xs = [rows_of(prepared(x, temperature, softcap), t, axis)[0][:, :classes] for x, _ in both]
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
            "p_max_log_prob": 0.0 - loss_of_row(x, first[0]),
            "p_log_prob": 0.0 - loss_of_row(x, target_of) if counts else np.nan,
            "q_log_prob": 0.0 - loss_of_row(y, target_of) if counts else np.nan,
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
