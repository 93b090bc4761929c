"""``nll-fast score``: the summary of a language model's logits."""

from __future__ import annotations

import argparse
import math
import os
import sys
import time

import numpy as np

from nll_fast import _core, files
from nll_fast._arrays import as_rows, as_targets

_CHUNK = 1 << 28
"""How many bytes of logits are scored between two looks at the clock."""


def _load(argument: str) -> tuple[np.ndarray, str]:
    if os.path.exists(argument) or ":" not in argument:
        return files.load(argument)
    path, _, name = argument.rpartition(":")
    return files.load(path, name)


def _check_output(options: argparse.Namespace) -> None:
    """Refuses, before anything is computed, to write over an input."""
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


def score(options: argparse.Namespace) -> dict[str, float]:
    """What the options ask for."""
    _check_output(options)
    if options.bytes is not None and options.bytes <= 0:
        raise ValueError(f"--bytes {options.bytes} must be positive")
    if not -(2**63) <= options.ignore_index < 2**63:
        raise ValueError(f"--ignore-index {options.ignore_index} does not fit in 64 bits")
    logits, dtype = _load(options.logits)
    if options.dtype == "bfloat16" and dtype != "bfloat16":
        if logits.dtype not in (np.dtype("V2"), np.dtype(np.uint16)):
            raise ValueError(f"--dtype bfloat16 is for raw 2-byte values, but {options.logits} holds {dtype}")
        logits, dtype = logits.view(np.uint16), "bfloat16"
    elif logits.dtype == np.dtype("V2") or dtype == "uint16":
        raise TypeError(f"{options.logits} holds raw 2-byte values; if they are bfloat16, add --dtype bfloat16")
    if dtype == "bfloat16":
        rows = logits
        if not rows.ndim or not rows.shape[-1]:
            raise ValueError(f"logits has shape {rows.shape}: no classes along the last axis")
    else:
        rows, dtype = as_rows(logits, "logits", -1)
    target = _shifted(as_targets(_load(options.targets)[0], rows), rows.shape[:-1], options)
    rows = rows.reshape(-1, rows.shape[-1])
    log_probs = np.empty(len(rows))
    step = max(1, _CHUNK // max(1, rows.shape[-1] * rows.itemsize))
    parts = []
    start_time = time.perf_counter()
    for start in range(0, len(rows), step):
        piece = slice(start, start + step)
        try:
            totals = _core.row_losses(
                "logits",
                (rows[piece], dtype),
                target[piece],
                (options.ignore_index, None, 0.0),
                (log_probs[piece], -1.0),
            )
        except IndexError as error:
            raise IndexError(f"rows from {start} on: {error}" if start else str(error)) from None
        parts.append(totals)
        _progress(min(start + step, len(rows)), len(rows), time.perf_counter() - start_time)
    seconds = time.perf_counter() - start_time
    if not any(part.count for part in parts):
        why = f"all {len(rows)} targets are {options.ignore_index} or shifted out" if len(rows) else "there are no rows"
        raise ValueError(f"no tokens to score: {why}")
    if options.per_token is not None:
        files.save(options.per_token, log_probs)
    summary = _summary(log_probs, parts, rows.nbytes, seconds)
    if options.bytes is not None:
        summary["bits_per_byte"] = summary["bits_per_token"] * summary["tokens"] / options.bytes
    return summary


def _shifted(target: np.ndarray, shape: tuple[int, ...], options: argparse.Namespace) -> np.ndarray:
    """The target of each position is the one ``--shift`` later; the last positions of a text have none."""
    if not options.shift:
        return target
    positions = shape[-1] if shape else 0
    if not 0 < options.shift <= positions:
        raise ValueError(f"--shift {options.shift} must lie in [0, {positions}]: there are {positions} positions")
    later = np.full(shape, options.ignore_index)
    later[..., : positions - options.shift] = target.reshape(shape)[..., options.shift :]
    return later.reshape(-1)


def _summary(log_probs, parts, size, seconds):
    tokens, ignored, greedy = (sum(getattr(part, name) for part in parts) for name in ("count", "ignored", "greedy"))
    finite = np.isfinite(log_probs).all()
    # fsum is exact, as the kernel's sums are: the split into pieces leaves no trace.
    total = -math.fsum(log_probs) if finite else -float(np.sum(log_probs))
    mean = total / tokens
    error = math.nan
    if tokens > 1 and finite:
        squares = math.fsum(log_probs * log_probs)
        error = math.sqrt(max(0.0, squares - total * mean) / (tokens - 1) / tokens)
    return {
        "tokens": tokens,
        "ignored": ignored,
        "mean_nll": mean,
        "standard_error": error,
        "perplexity": _core.exp(mean),
        "bits_per_token": mean / math.log(2),
        "top1_accuracy": greedy / tokens,
        "seconds": seconds,
        "gb_per_s": size / max(seconds, 1e-9) / 1e9,
    }


def _progress(done: int, rows: int, seconds: float) -> None:
    if seconds < 0.5 or not sys.stderr.isatty():
        return
    bar = "#" * (done * 40 // rows)
    left = seconds / done * (rows - done)
    end = "\n" if done == rows else ""
    print(f"\r[{bar:<40}] {done}/{rows} rows, {left:.0f} s left ", end=end, file=sys.stderr, flush=True)


def table(s: dict[str, float]) -> str:
    """The summary for a reader. Of a small file, a rate would say how long starting takes."""
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
