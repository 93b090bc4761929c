"""The numbers that ``nll-fast score`` prints."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

import nll_fast
from nll_fast.cli.terminal import visible


def summarise(total: nll_fast.Partial, losses: np.ndarray) -> dict[str, Any]:
    """The summary of the losses, of which ``total`` is the exact total."""
    tokens, mean, perplexity = total.count, total.mean, total.perplexity
    error = total.standard_error if tokens else math.nan
    return {
        "tokens": tokens,
        "ignored": total.ignored,
        "mean_nll": mean,
        "standard_error": error,
        "perplexity": perplexity,
        # To first order: e^mean changes by e^mean for each nat.
        "perplexity_standard_error": perplexity * error if math.isfinite(perplexity) else math.nan,
        "bits_per_token": mean / math.log(2),
        "top1_accuracy": (total.top1 or 0) / max(tokens, 1),
        **_rows_where(np.isnan(losses), "nan"),
        **_rows_where(np.isinf(losses), "infinite"),
    }


def _rows_where(wrong: np.ndarray, kind: str) -> dict[str, Any]:
    """How many rows are ``wrong``, and the first of them, counted from 0 as the file's indices count."""
    rows = int(np.count_nonzero(wrong))
    return {f"{kind}_rows": rows, f"first_{kind}_row": int(wrong.argmax()) if rows else None}


def table(summary: dict[str, Any]) -> str:
    """The summary as lines of text, without the rate of a small file, which would measure the start only."""
    s = summary
    rate = f", {s['gb_per_s']:.1f} GB/s" if s["gb_per_s"] * s["seconds"] > 0.1 else ""
    error, of_perplexity = s["standard_error"], s["perplexity_standard_error"]
    error = "" if math.isnan(error) else f" ± {error:.6f} (standard error)"
    of_perplexity = "" if math.isnan(of_perplexity) else f" ± {of_perplexity:.4f}"
    lines = [
        ("tokens", f"{s['tokens']} ({s['ignored']} ignored)"),
        ("mean NLL", f"{s['mean_nll']:.6f} nats{error}"),
        ("perplexity", f"{s['perplexity']:.4f}{of_perplexity}"),
        ("bits per token", f"{s['bits_per_token']:.4f}"),
        ("top-1 accuracy", f"{s['top1_accuracy']:.1%}"),
        *_lines_of_columns(s),
        ("time", f"{s['seconds']:.3f} s{rate}"),
    ]
    if "bits_per_byte" in s:
        lines.insert(4, ("bits per byte", f"{s['bits_per_byte']:.4f}"))
    for kind, words in (("nan", "NaN rows"), ("infinite", "infinite rows")):
        if rows := s[f"{kind}_rows"]:
            lines.append((words, f"{rows}, the first of them row {s[f'first_{kind}_row']}, counted from 0"))
    text = "\n".join(f"{label:<16}{text}" for label, text in lines)
    return f"{_table_of_files(s['files'])}\n\n{text}" if "files" in s else text


def _lines_of_columns(s: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known where more than the losses was computed."""
    lines = []
    if "top_k_accuracy" in s:
        lines.append((f"top-{s['top_k']} accuracy", f"{s['top_k_accuracy']:.1%}"))
    if "median_nll" in s:
        lines.append(("median NLL", f"{s['median_nll']:.6f}, p90 {s['p90_nll']:.6f}, p99 {s['p99_nll']:.6f}"))
        lines.append(("mean entropy", f"{s['mean_entropy']:.6f} nats"))
    lines += changes(s)
    if s.get("without_string"):
        lines.append(("strings", f"none for {s['without_string']} of the {s['tokens']} tokens"))
    if "storage" in s:
        lines.append(("storage", f"{s['storage']}: log-probabilities are known to about 1e-4"))
    return lines


def changes(s: dict[str, Any]) -> list[tuple[str, str]]:
    """What was done to the logits before everything else."""
    lines = []
    if s.get("temperature", 1.0) != 1.0:
        lines.append(("temperature", f"{s['temperature']:g}"))
    if s.get("softcap") is not None:
        lines.append(("softcap", f"{s['softcap']:g}"))
    return lines


def _table_of_files(files: list[dict[str, Any]]) -> str:
    """A line for each file."""
    width = max(len("file"), *(len(visible(each["file"])) for each in files))
    lines = [f"{'file':<{width}}  {'tokens':>9}  {'mean NLL':>10}  {'perplexity':>12}  {'top-1':>6}"]
    for each in files:
        numbers = f"{each['tokens']:>9}  {each['mean_nll']:>10.6f}  {each['perplexity']:>12.4f}"
        lines.append(f"{visible(each['file']):<{width}}  {numbers}  {each['top1_accuracy']:>6.1%}")
    return "\n".join(lines)
