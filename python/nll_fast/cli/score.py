"""``nll-fast score``: the summary of a language model's logits."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from typing import Any

import numpy as np

import nll_fast
from nll_fast import _files
from nll_fast.cli.inputs import Logits, read_logits, read_targets, split

_CHUNK = 1 << 28
"""The bytes of logits that are scored in one call."""


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Score the logits and return the summary."""
    start_time = time.perf_counter()
    _check(options)
    logits = read_logits(options)
    target = read_targets(options, logits)
    if not (target != options.ignore_index).any():
        why = f"all {target.size} targets are {options.ignore_index} or shifted out"
        raise ValueError(f"no tokens to score: {why if target.size else 'there are no rows'}")
    total, losses = _score_rows(logits, logits.flat(target), options.ignore_index)
    losses = logits.unflat(losses)
    seconds = time.perf_counter() - start_time
    if options.per_token is not None:
        _files.save(options.per_token, 0.0 - losses)
    summary = _summary(total, losses)
    summary |= {"seconds": seconds, "gb_per_s": logits.rows.nbytes / max(seconds, 1e-9) / 1e9}
    if options.bytes is not None:
        summary["bits_per_byte"] = summary["bits_per_token"] * summary["tokens"] / options.bytes
    return summary


def _score_rows(logits: Logits, target: np.ndarray, ignore_index: int) -> tuple[nll_fast.Partial, np.ndarray]:
    """The exact total of the losses, and each of them."""
    rows, step = len(target), logits.step(_CHUNK)
    total, losses = nll_fast.Partial(), np.empty(rows)
    shown = start_time = time.perf_counter()
    for start in range(0, rows, step):
        piece = slice(start, start + step)
        block, out = logits.block(piece), losses[piece]
        total += nll_fast.cross_entropy(block, target[piece], ignore_index=ignore_index, reduction="partial", out=out)
        now, done = time.perf_counter(), min(start + step, rows)
        if now - shown > 0.1 or done == rows:
            shown = now
            _show_progress(done, rows, now - start_time)
    return total, losses


def _check(options: argparse.Namespace) -> None:
    """Raise, before anything is computed, for a wrong option or an output that would replace an input."""
    if options.bytes is not None and options.bytes <= 0:
        raise ValueError(f"--bytes {options.bytes} must be positive")
    if not -(2**63) <= options.ignore_index < 2**63:
        raise ValueError(f"--ignore-index {options.ignore_index} does not fit in 64 bits")
    out = options.per_token
    if out is None:
        return
    if not out:
        raise ValueError("--per-token needs the name of a file to write")
    if not out.lower().endswith(".npy"):
        raise ValueError(f"--per-token {out} must end in .npy, which is what is written")
    for source in (options.logits, options.targets):
        path, _ = split(source)
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"--per-token {out} would overwrite the input {path}")
    _files.check_output(out)


def _summary(total: nll_fast.Partial, losses: np.ndarray) -> dict[str, Any]:
    """The summary of the losses, of which ``total`` is the exact total."""
    tokens, mean, error, perplexity = total.count, total.mean, total.standard_error, total.perplexity
    return {
        "tokens": tokens,
        "ignored": total.ignored,
        "mean_nll": mean,
        "standard_error": error,
        "perplexity": perplexity,
        # To first order: e^mean changes by e^mean for each nat.
        "perplexity_standard_error": perplexity * error if math.isfinite(perplexity) else math.nan,
        "bits_per_token": mean / math.log(2),
        "top1_accuracy": (total.top1 or 0) / tokens,
        **_rows_where(np.isnan(losses), "nan"),
        **_rows_where(np.isinf(losses), "infinite"),
    }


def _rows_where(wrong: np.ndarray, kind: str) -> dict[str, Any]:
    """How many rows are ``wrong``, and the first of them, counted from 0 as the file's indices count."""
    rows = int(np.count_nonzero(wrong))
    return {f"{kind}_rows": rows, f"first_{kind}_row": int(wrong.argmax()) if rows else None}


def _show_progress(done: int, rows: int, seconds: float) -> None:
    if seconds < 0.5 or not sys.stderr.isatty():
        return
    bar = "#" * (done * 40 // rows)
    left = seconds / done * (rows - done)
    end = "\n" if done == rows else ""
    print(f"\r[{bar:<40}] {done}/{rows} rows, {left:.0f} s left ", end=end, file=sys.stderr, flush=True)


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
        ("time", f"{s['seconds']:.3f} s{rate}"),
    ]
    if "bits_per_byte" in s:
        lines.insert(4, ("bits per byte", f"{s['bits_per_byte']:.4f}"))
    for kind, words in (("nan", "NaN rows"), ("infinite", "infinite rows")):
        if rows := s[f"{kind}_rows"]:
            lines.append((words, f"{rows}, the first of them row {s[f'first_{kind}_row']}, counted from 0"))
    return "\n".join(f"{label:<16}{text}" for label, text in lines)
