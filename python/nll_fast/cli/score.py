"""``nll-fast score``: the summary of a language model's logits."""

from __future__ import annotations

import argparse
import functools
import math
import operator
import os
import sys
import time
from typing import Any

import numpy as np

import nll_fast
from nll_fast import _files
from nll_fast._arrays import dtype_name

_CHUNK = 1 << 28
"""The bytes of logits that are scored between two reports of the progress."""


def score(options: argparse.Namespace) -> dict[str, Any]:
    """Score the logits and return the summary."""
    _check(options)
    logits = _logits(options)
    target, mask = _targets(options, logits.shape[:-1])
    rows = logits.reshape(-1, logits.shape[-1])
    losses = np.empty(len(rows))
    step = max(1, _CHUNK // (rows.shape[-1] * rows.itemsize))
    parts = []
    start_time = time.perf_counter()
    for start in range(0, len(rows), step):
        piece = slice(start, start + step)
        try:
            part = nll_fast.cross_entropy(
                rows[piece],
                target[piece],
                ignore_index=options.ignore_index,
                mask=None if mask is None else mask[piece],
                reduction="partial",
                out=losses[piece],
            )
        except IndexError as error:
            raise IndexError(f"rows from {start} on: {error}" if start else str(error)) from None
        parts.append(part)
        _show_progress(min(start + step, len(rows)), len(rows), time.perf_counter() - start_time)
    seconds = time.perf_counter() - start_time
    if not any(part.count for part in parts):
        why = f"all {len(rows)} targets are {options.ignore_index} or shifted out" if len(rows) else "there are no rows"
        raise ValueError(f"no tokens to score: {why}")
    if options.per_token is not None:
        _files.save(options.per_token, 0.0 - losses)
    counted = target != options.ignore_index
    if mask is not None:
        counted &= mask
    summary = _summary(functools.reduce(operator.add, parts), losses[counted])
    summary |= {"seconds": seconds, "gb_per_s": rows.nbytes / max(seconds, 1e-9) / 1e9}
    if options.bytes is not None:
        summary["bits_per_byte"] = summary["bits_per_token"] * summary["tokens"] / options.bytes
    return summary


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
    if not out.endswith(".npy"):
        raise ValueError(f"--per-token {out} must end in .npy, which is what is written")
    for source in (options.logits, options.targets):
        path = source if os.path.exists(source) else source.rpartition(":")[0]
        if os.path.exists(out) and os.path.exists(path) and os.path.samefile(out, path):
            raise ValueError(f"--per-token {out} would overwrite the input {path}")


def _load(argument: str) -> np.ndarray:
    """The array of the argument FILE or FILE:NAME."""
    if os.path.exists(argument) or ":" not in argument:
        return _files.load(argument)
    path, _, name = argument.rpartition(":")
    return _files.load(path, name)


def _logits(options: argparse.Namespace) -> np.ndarray:
    logits = _load(options.logits)
    dtype = dtype_name(logits)
    raw = dtype in ("void16", "uint16")
    if options.dtype == "bfloat16" and dtype != "bfloat16":
        if not raw:
            raise ValueError(f"--dtype bfloat16 is for raw 2-byte values, but {options.logits} holds {dtype}")
        logits = nll_fast.as_bfloat16(logits.view(np.uint16))
    elif raw:
        raise TypeError(f"{options.logits} holds raw 2-byte values; if they are bfloat16, add --dtype bfloat16")
    if not logits.ndim or not logits.shape[-1]:
        raise ValueError(f"logits has shape {logits.shape}: no classes along the last axis")
    return logits


def _targets(options: argparse.Namespace, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """The class of each row, flat, and which of them count; None if all do.

    With ``--shift N`` the class of a position is the target N positions later; the last N of a text have
    none.
    """
    target = _load(options.targets)
    dtype = dtype_name(target)
    if target.dtype.kind not in "iu" or dtype == "bfloat16":
        raise TypeError(
            f"target has dtype {dtype}; class indices must be integers, one for each row: of whole numbers, "
            "target.astype(np.int64)"
        )
    if target.shape != shape:
        advice = "; of one-hot rows, target.argmax(-1)" if target.shape[:-1] == shape else ""
        raise ValueError(f"target has shape {target.shape}, but the logits need one class a row: {shape}{advice}")
    if not options.shift:
        return target.reshape(-1), None
    positions = shape[-1] if shape else 0
    if not 0 < options.shift <= positions:
        raise ValueError(f"--shift {options.shift} must lie in [0, {positions}]: there are {positions} positions")
    last = positions - options.shift
    later, mask = np.zeros_like(target, order="C", subok=False), np.zeros(shape, bool)
    later[..., :last], mask[..., :last] = target[..., options.shift :], True
    return later.reshape(-1), mask.reshape(-1)


def _summary(total: nll_fast.Partial, losses: np.ndarray) -> dict[str, Any]:
    """The summary of the counted losses, of which ``total`` is the exact total."""
    tokens, mean = total.count, total.mean
    error = math.nan
    if tokens > 1 and math.isfinite(mean):
        error = math.sqrt(nll_fast.mse_loss(losses, mean, reduction="sum") / (tokens - 1) / tokens)
    try:
        perplexity = math.exp(mean)
    except OverflowError:
        perplexity = math.inf
    return {
        "tokens": tokens,
        "ignored": total.ignored,
        "mean_nll": mean,
        "standard_error": error,
        "perplexity": perplexity,
        "bits_per_token": mean / math.log(2),
        "top1_accuracy": (total.top1 or 0) / tokens,
    }


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
    error = "" if math.isnan(s["standard_error"]) else f" ± {s['standard_error']:.6f} (standard error)"
    lines = [
        ("tokens", f"{s['tokens']} ({s['ignored']} ignored)"),
        ("mean NLL", f"{s['mean_nll']:.6f} nats{error}"),
        ("perplexity", f"{s['perplexity']:.4f}"),
        ("bits per token", f"{s['bits_per_token']:.4f}"),
        ("top-1 accuracy", f"{s['top1_accuracy']:.1%}"),
        ("time", f"{s['seconds']:.3f} s{rate}"),
    ]
    if "bits_per_byte" in s:
        lines.insert(4, ("bits per byte", f"{s['bits_per_byte']:.4f}"))
    return "\n".join(f"{label:<16}{text}" for label, text in lines)
