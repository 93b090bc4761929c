"""The contents of the page of a Comparison."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from nll_fast._statistics import finite_rows
from nll_fast._types import Array
from nll_fast.comparison import Comparison
from nll_fast.report.aggregates import by_position, histogram, largest
from nll_fast.report.head import about_rows, left_out, tokens_of
from nll_fast.report.tokens import WORST, Columns, Strings, Table, kept

MARKS = ("median", "p90", "p99")


def compared(comparison: Comparison, strings: Strings, about: Mapping[str, Any], clip: int) -> dict[str, Any]:
    """Everything that the page of a Comparison shows, with strings of at most ``clip`` characters."""
    finite = finite_rows(comparison)
    divergence = np.where(finite, comparison.kl_pq, np.nan).astype(np.float64).reshape(-1)
    length = comparison.kl_pq.shape[-1] if comparison.kl_pq.ndim else 1
    worst = largest(divergence, WORST)
    ranges = kept(worst, divergence.size, length)
    names = {"p": about.get("p") or "P", "q": about.get("q") or "Q"}
    summary = comparison.summary()
    return {
        "kind": "compare",
        "title": str(about.get("title") or f"{names['q']} against {names['p']}"),
        "figures": _figures(comparison, summary),
        "about": about_rows(comparison, about, ("p", "q", "targets", "strings", "dtype", "command")),
        "notes": [*left_out(divergence.size, strings, clip), *_notes(comparison, summary)],
        "summary": summary,
        "tokens": tokens_of(ranges, divergence.size, length, _columns(comparison, ranges, strings, clip)),
        "worst": worst,
        "positions": by_position(divergence, length),
        "histogram": histogram(divergence, logarithmic=True),
        "marks": [[name, summary["kl_pq"][name]] for name in MARKS],
        "zeros": int((divergence == 0).sum()),
        "top_k": comparison.top_k,
    }


def _columns(comparison: Comparison, ranges: list[list[int]], strings: Strings, clip: int) -> tuple[Table, Columns]:
    here = np.concatenate([np.arange(first, end) for first, end in ranges] or [np.arange(0)])
    table, columns = Table(strings, clip), Columns()

    def flat(name: str) -> Array:
        return np.asarray(getattr(comparison, name)).reshape(-1)[here]

    columns.whole("ignored", np.where(flat("counted"), -1, 0))
    # Without targets, the text is what p finds most likely, unless its strings are given.
    columns.whole("token", table.of_positions(here, flat("p_argmax" if comparison.target is None else "target")) - 1)
    columns.whole("p_argmax", table.of_ids(flat("p_argmax")) - 1)
    columns.whole("q_argmax", table.of_ids(flat("q_argmax")) - 1)
    for name in ("kl_pq", "kl_qp", "js", "total_variation"):
        columns.ratio(name, flat(name))
    columns.fixed("entropy", flat("p_entropy"))
    columns.fixed("p_max_surprisal", 0.0 - flat("p_max_log_prob"))
    columns.whole("overlap", flat("top_k_overlap"))
    columns.whole("in_order", np.where(flat("top_k_in_order"), 1, 0))
    if comparison.target is not None:
        for name in ("p", "q"):
            columns.fixed(f"{name}_surprisal", 0.0 - flat(f"{name}_log_prob"))
    return table, columns


def _figures(comparison: Comparison, summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    kl, (same, same_error) = summary["kl_pq"], summary["Same top p"]
    return [
        {"label": "KL(P‖Q)", "value": kl["mean"], "error": kl["error"], "unit": "nats per token, ± standard error"},
        {"label": "Same top token", "value": same / 100, "error": same_error / 100, "kind": "share",
         "unit": "± standard error"},
        *(_without_targets(summary) if comparison.target is None else _of_targets(summary)),
        {"label": "Tokens", "value": summary["tokens"], "kind": "whole"},
        {"label": "Ignored", "value": summary["ignored"], "kind": "whole"},
        {"label": "Not finite", "value": summary["nonfinite"], "kind": "whole"},
        {"label": "KL(Q‖P)", "value": summary["kl_qp"]["mean"]},
        *({"label": f"KL, {name}", "value": kl[name]} for name in MARKS),
        {"label": "KL, largest", "value": kl["max"]},
    ]  # fmt: skip


def _of_targets(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    (ratio, ratio_error), (change, change_error) = summary["Mean PPL(Q)/PPL(base)"], summary["Mean Δp"]
    of_q, of_p = summary["Mean PPL(Q)"][0], summary["Mean PPL(base)"][0]
    return [
        {"label": "Perplexity Q ÷ P", "value": ratio, "error": ratio_error, "unit": f"{of_q:.4g} ÷ {of_p:.4g}"},
        {"label": "Δp of targets", "value": change, "error": change_error,
         "unit": "percentage points, ± standard error"},
    ]  # fmt: skip


def _without_targets(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"label": "Entropy of P", "value": summary["p_entropy"], "unit": "nats per token"},
        {"label": "Total variation", "value": summary["total_variation"], "unit": "mean, from 0 to 1"},
    ]


def _notes(comparison: Comparison, summary: Mapping[str, Any]) -> list[str]:
    notes = []
    if comparison.target is None:
        notes.append("No targets were given: the text is what P finds most likely, and there is no Δ log-probability.")
    if summary["nonfinite"]:
        notes.append(
            f"{summary['nonfinite']:,} tokens are not finite in one of the two, and are left out of all means."
        )
    return notes
