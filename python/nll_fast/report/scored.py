"""The contents of the page of a TokenScores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nll_fast._types import Array
from nll_fast.report.aggregates import by_position, calibration, calibration_error, histogram, largest
from nll_fast.report.head import about_rows, known_bytes, left_out, tokens_of
from nll_fast.report.tokens import WORST, Columns, Strings, Table, kept
from nll_fast.scores import TokenScores


def scored(
    scores: TokenScores, strings: Strings, about: Mapping[str, Any], alternatives: int, clip: int
) -> dict[str, Any]:
    """What the page of a TokenScores shows, with this many alternatives, and strings cut to ``clip`` characters."""
    surprisal = 0.0 - np.asarray(scores.log_prob, np.float64).reshape(-1)
    length = scores.target.shape[-1] if scores.target.ndim else 1
    worst = largest(surprisal, WORST)
    ranges = kept(worst, surprisal.size, length)
    computed = 0 if scores.top_k_ids is None else scores.top_k_ids.shape[-1]
    shown = min(alternatives, computed)
    summary, n_bytes = scores.summary(), known_bytes(about)
    bins = _calibration(scores)
    return {
        "kind": "score",
        "title": str(about.get("title") or about.get("logits") or "Scores of tokens"),
        "figures": _figures(summary, n_bytes, computed),
        "about": about_rows(scores, about, ("logits", "targets", "strings", "dtype", "bytes", "command")),
        "notes": [*left_out(surprisal.size, strings, clip), *_notes(summary, about, computed, shown)],
        "summary": summary,
        "tokens": tokens_of(ranges, surprisal.size, length, _columns(scores, surprisal, ranges, strings, shown, clip)),
        "worst": worst,
        "positions": by_position(surprisal, length),
        "histogram": histogram(surprisal),
        "marks": [[name, summary.get(f"nll_{key}")] for name, key in _MARKS],
        "calibration": bins,
        "calibration_error": calibration_error(bins),
    }


_MARKS = (("median", "median"), ("p90", "p90"), ("p99", "p99"))


def _columns(
    scores: TokenScores, surprisal: Array, ranges: list[list[int]], strings: Strings, shown: int, clip: int
) -> tuple[Table, Columns]:
    here = np.concatenate([np.arange(first, end) for first, end in ranges] or [np.arange(0)])
    table, columns = Table(strings, clip), Columns()

    def flat(name: str) -> Array:
        return np.asarray(getattr(scores, name)).reshape(-1)[here]

    columns.whole("ignored", np.where(flat("counted"), -1, 0))
    columns.whole("token", table.of_positions(here, flat("target")) - 1)
    columns.fixed("surprisal", surprisal[here])
    columns.fixed("entropy", flat("entropy"))
    columns.whole("rank", flat("rank"))
    columns.whole("ties", flat("ties"))
    # The most likely token is the first of the alternatives, where there are any.
    others = [(scores.argmax, scores.max_log_prob)]
    if shown and scores.top_k_ids is not None and scores.top_k_log_probs is not None:
        others = [(scores.top_k_ids[..., k], scores.top_k_log_probs[..., k]) for k in range(shown)]
    for k, (ids, log_probs) in enumerate(others):
        columns.whole(f"other{k}", table.of_ids(ids.reshape(-1)[here]) - 1)
        columns.fixed(f"other_surprisal{k}", 0.0 - log_probs.reshape(-1)[here])
    return table, columns


def _calibration(scores: TokenScores) -> list[dict[str, Any]]:
    """Of the tokens that count and whose row has no NaN."""
    known = scores.counted & ~np.isnan(scores.max_log_prob)
    return calibration(np.exp(scores.max_log_prob[known].astype(np.float64)), scores.is_greedy[known])


def _figures(summary: Mapping[str, Any], n_bytes: int | None, k: int) -> list[dict[str, Any]]:
    nll, error = summary.get("nll", math.nan), summary.get("nll_error", math.nan)
    tokens = summary.get("tokens", 0)
    per_byte = []
    if n_bytes is not None:
        bits = nll * tokens / math.log(2) / n_bytes
        per_byte = [{"label": "Bits per byte", "value": bits, "unit": f"of {n_bytes:,} bytes"}]
    return [
        {"label": "NLL", "value": nll, "error": error, "unit": "nats per token, ± standard error"},
        {"label": "Perplexity", "value": summary.get("perplexity", math.nan),
         "error": summary.get("perplexity_error", math.nan), "unit": "e to the NLL"},
        *per_byte,
        {"label": "Top-1", "value": summary.get("top1_accuracy", math.nan), "kind": "share",
         "unit": "of tokens were the most likely one"},
        {"label": "Tokens", "value": tokens, "kind": "whole"},
        {"label": "Ignored", "value": summary.get("ignored", 0), "kind": "whole"},
        {"label": "Not finite", "value": summary.get("nonfinite", 0), "kind": "whole"},
        {"label": "Bits per token", "value": summary.get("bits_per_token", math.nan)},
        *({"label": f"NLL, {name}", "value": summary.get(f"nll_{key}", math.nan)} for name, key in _MARKS),
        {"label": "Mean entropy", "value": summary.get("entropy", math.nan)},
        *({"label": f"Top-{k}", "value": share, "kind": "share"} for share in [summary.get("top_k_accuracy")] if k > 1),
    ]  # fmt: skip


def _notes(summary: Mapping[str, Any], about: Mapping[str, Any], computed: int, shown: int) -> list[str]:
    by_command = about.get("command") is not None  # else by a call of score_report
    notes = []
    if summary.get("nonfinite"):
        first = min(at for at in (summary.get("first_nan"), summary.get("first_infinite")) if at is not None)
        notes.append(
            f"{summary['nonfinite']:,} tokens have no finite log-probability: {summary.get('nan', 0):,} NaN, "
            f"{summary.get('infinite', 0):,} infinite; the first is token {first}."
        )
    if known_bytes(about) is None:
        adds = "--bytes N" if by_command else "about={'bytes': N}"
        notes.append(f"The bytes of the text were not given: {adds} adds bits per byte.")
    if not computed:
        adds = "--top-k 5" if by_command else "score(..., top_k=5)"
        notes.append(f"No alternatives were computed: only the most likely token is shown; {adds} adds 5.")
    elif shown < min(computed, 5):
        count = f"the first {shown} alternatives are" if shown > 1 else f"{'one' if shown else 'no'} alternative is"
        notes.append(f"To keep the page small, {count} in it, of {computed} that were computed.")
    return notes
