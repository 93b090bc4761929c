"""The numbers that ``nll-fast score`` prints."""

from __future__ import annotations

import math
from typing import Any

from nll_fast.cli.terminal import visible


def table(summary: dict[str, Any]) -> str:
    """The summary as lines of text, without the rate of a small file, which would measure the start only."""
    s = summary
    rate = f", {s['gb_per_s']:.1f} GB/s" if s["gb_per_s"] * s["seconds"] > 0.1 else ""
    lines = _lines_of_tokens(s) if "tokens" in s else [("total", "none, as these files are of one text")]
    lines += changes(s)
    if s.get("without_string"):
        tokens = sum(each["tokens"] for each in ([s] if "tokens" in s else s["files"]))
        lines.append(("strings", f"none for {s['without_string']} of the {tokens} tokens"))
    if any("codes" in each for each in s["storage"]):
        lines.append(("storage", "16-bit codes of llama.cpp: log-probabilities are known to about 1e-4"))
    lines.append(("time", f"{s['seconds']:.3f} s{rate}"))
    lines += _not_finite(s)
    text = "\n".join(f"{label:<16}{text}" for label, text in lines)
    return f"{_table_of_files(s['files'], s['top_k'])}\n\n{text}" if "files" in s else text


def _lines_of_tokens(s: dict[str, Any]) -> list[tuple[str, str]]:
    """The numbers of all tokens together, of which some are known only where more than the losses was computed."""
    error = "" if math.isnan(s["nll_error"]) else f" ± {s['nll_error']:.6f} (standard error)"
    of_perplexity = "" if math.isnan(s["perplexity_error"]) else f" ± {s['perplexity_error']:.4f}"
    lines = [
        ("tokens", f"{s['tokens']} ({s['ignored']} ignored)"),
        ("mean NLL", f"{s['nll']:.6f} nats{error}"),
        ("perplexity", f"{s['perplexity']:.4f}{of_perplexity}"),
        ("bits per token", f"{s['bits_per_token']:.4f}"),
        ("top-1 accuracy", f"{s['top1_accuracy']:.1%}"),
    ]
    if "bits_per_byte" in s:
        lines.insert(4, ("bits per byte", f"{s['bits_per_byte']:.4f}"))
    if s["top_k_accuracy"] is not None:
        lines.append((f"top-{s['top_k']} accuracy", f"{s['top_k_accuracy']:.1%}"))
    if s["nll_median"] is not None:
        lines.append(("median NLL", f"{s['nll_median']:.6f}, p90 {s['nll_p90']:.6f}, p99 {s['nll_p99']:.6f}"))
        lines.append(("mean entropy", f"{s['entropy']:.6f} nats"))
    return lines


def _not_finite(s: dict[str, Any]) -> list[tuple[str, str]]:
    """How many rows are NaN and infinite, and the first of them, counted from 0 as the file's indices count."""
    lines = []
    for each in [s] if "tokens" in s else s["files"]:
        place = "" if each is s else f" of {visible(each['file'])}"
        for kind, words in (("nan", "NaN rows"), ("infinite", "infinite rows")):
            if rows := each[kind]:
                lines.append((words, f"{rows}, the first of them row {each[f'first_{kind}']}{place}, counted from 0"))
    return lines


def changes(s: dict[str, Any]) -> list[tuple[str, str]]:
    """What was done to the logits before everything else."""
    lines = []
    if s.get("temperature", 1.0) != 1.0:
        lines.append(("temperature", f"{s['temperature']:g}"))
    if s.get("softcap") is not None:
        lines.append(("softcap", f"{s['softcap']:g}"))
    return lines


def _table_of_files(files: list[dict[str, Any]], top_k: int) -> str:
    """A line for each file."""
    names = [visible(each["file"]) for each in files]
    columns = [
        ("tokens", 9, [str(each["tokens"]) for each in files]),
        ("mean NLL", 10, [f"{each['nll']:.6f}" for each in files]),
        ("perplexity", 12, [f"{each['perplexity']:.4f}" for each in files]),
        ("top-1", 6, [f"{each['top1_accuracy']:.1%}" for each in files]),
    ]
    if all(each["top_k_accuracy"] is not None for each in files):
        columns.append((f"top-{top_k}", 6, [f"{each['top_k_accuracy']:.1%}" for each in files]))
    if all("bits_per_byte" in each for each in files):
        columns.append(("bits per byte", 13, [f"{each['bits_per_byte']:.4f}" for each in files]))
    width = max(len("file"), *map(len, names))
    lines = [[f"{head:<{width}}" for head in ("file", *names)]]
    lines += [[f"{text:>{wide}}" for text in (head, *texts)] for head, wide, texts in columns]
    return "\n".join("  ".join(row) for row in zip(*lines, strict=True))
