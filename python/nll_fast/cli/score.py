"""``nll-fast score``: the summary of a language model's logits."""

from __future__ import annotations

import argparse
import math
import os
import sys
import threading
import time
from collections import deque
from typing import Any

import numpy as np

import nll_fast
from nll_fast import _files
from nll_fast.cli.inputs import Logits, read_logits, read_targets, split

_READERS = 8
"""The threads that read and score blocks, at most: each has the memory of a block."""


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
    summary |= {"seconds": seconds, "gb_per_s": logits.nbytes / max(seconds, 1e-9) / 1e9}
    if options.bytes is not None:
        summary["bits_per_byte"] = summary["bits_per_token"] * summary["tokens"] / options.bytes
    return summary


def _score_rows(logits: Logits, target: np.ndarray, ignore_index: int) -> tuple[nll_fast.Partial, np.ndarray]:
    """The exact total of the losses, and each of them."""
    rows, losses = len(target), np.empty(len(target))
    step, readers = logits.step(min(nll_fast.get_num_threads(), _READERS))
    starts, progress = deque(range(0, rows, step)), _Progress(rows)

    def score_blocks() -> nll_fast.Partial:
        total = nll_fast.Partial()
        try:
            for piece, block in logits.blocks(starts, step):
                out, classes = losses[piece], target[piece]
                total += nll_fast.cross_entropy(block, classes, ignore_index=ignore_index, reduction="partial", out=out)
                progress.add(len(out))
        except BaseException:
            starts.clear()  # so that no thread begins another block
            raise
        return total

    if readers == 1:
        return score_blocks(), losses
    from concurrent.futures import ThreadPoolExecutor  # which small files need not wait for

    total = nll_fast.Partial()
    with ThreadPoolExecutor(readers) as pool:
        try:
            for part in [pool.submit(score_blocks) for _ in range(readers)]:
                total += part.result()
        except BaseException:
            starts.clear()
            raise
    return total, losses


def _check(options: argparse.Namespace) -> None:
    """Raise, before anything is computed, for a wrong option or an output that would replace an input."""
    if options.bytes is not None and not 0 < options.bytes < 2**63:
        raise ValueError(f"--bytes {options.bytes} must be positive, and fit in 64 bits")
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


class _Progress:
    """How many of the rows are scored, shown on a terminal, for threads that all score some of them."""

    def __init__(self, rows: int) -> None:
        self._rows, self._done, self._turn = rows, 0, threading.Lock()
        self._start = self._shown = time.perf_counter()

    def add(self, rows: int) -> None:
        with self._turn:
            now, self._done = time.perf_counter(), self._done + rows
            if now - self._shown > 0.1 or self._done == self._rows:
                self._shown = now
                _show_progress(self._done, self._rows, now - self._start)


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
