"""``nll-fast compare``: how the predictions of two models differ, from the logits that each wrote to a file."""

from __future__ import annotations

import argparse
import time
from typing import Any

import numpy as np

import nll_fast
from nll_fast.cli.arguments import check_changes
from nll_fast.cli.blocks import Progress, in_blocks
from nll_fast.cli.columns import ENDINGS, Columns, flat_columns, write
from nll_fast.cli.inputs import Logits, read_logits, read_targets
from nll_fast.cli.outputs import check_outputs, write_page
from nll_fast.cli.strings import Strings, read_strings


def compare(options: argparse.Namespace) -> dict[str, Any]:
    """Compare the two files and return the summary."""
    start_time = time.perf_counter()
    _check(options)
    strings = None if options.strings is None else read_strings(options.strings)
    base, other = (read_logits(file, options.dtype) for file in (options.base, options.other))
    _same_rows((options.base, base), (options.other, other))
    classes = _classes(base, other, options)
    if options.top_k is not None and options.top_k > classes:
        raise ValueError(f"--top-k {options.top_k} is more than the {classes} classes that are compared")
    target = _targets(base, other, classes, options)
    if not base.rows or (target is not None and not (target != options.ignore_index).any()):
        why = f"all targets are {options.ignore_index} or shifted out" if base.rows else "there are no rows"
        raise ValueError(f"no rows to compare: {why}")
    comparison = _compare_rows(base, other, target, classes, options)
    seconds = time.perf_counter() - start_time
    bytes_read = base.nbytes + other.nbytes
    summary = {
        "p": options.base,
        "q": options.other,
        "classes": classes,
        "top_k": comparison.top_k,
        "temperature": comparison.temperature,
        "softcap": comparison.softcap,
        "storage": [base.dtype_name, other.dtype_name],
        **{key: list(x) if isinstance(x, tuple) else x for key, x in comparison.summary().items()},
        "seconds": seconds,
        "gb_per_s": bytes_read / max(seconds, 1e-9) / 1e9,
    }
    if options.per_token is not None:
        columns = {"row": np.arange(base.rows), **flat_columns(comparison)}
        write(options.per_token, comparison.kl_pq.reshape(-1).astype(np.float64), columns)
    if options.html is not None:
        write_page(options.html, _page(comparison, strings, base, other, options))
    return summary


def _compare_rows(
    base: Logits, other: Logits, target: np.ndarray | None, classes: int, options: argparse.Namespace
) -> nll_fast.Comparison:
    columns = Columns(base)
    known = None if target is None else base.flat(target)
    cut = None if classes == base.classes == other.classes else classes
    more: dict[str, Any] = {"ignore_index": options.ignore_index, "top_k": options.top_k}
    more |= {"temperature": options.temperature, "softcap": options.softcap}

    def compare_block(piece: slice, p: Any, q: Any) -> None:
        here = None if known is None else known[piece]
        columns.put(piece, nll_fast.compare(p, q, here, classes=cut, **more))

    in_blocks([base, other], compare_block, Progress(base.rows))
    comparison: nll_fast.Comparison = columns.result()
    return comparison


def _check(options: argparse.Namespace) -> None:
    """Raise, before anything is computed, for a wrong option or an output that would replace an input."""
    if not -(2**63) <= options.ignore_index < 2**63:
        raise ValueError(f"--ignore-index {options.ignore_index} does not fit in 64 bits")
    if options.top_k is not None and not 0 <= options.top_k < 2**63:
        raise ValueError(f"--top-k {options.top_k} must not be negative, and fit in 64 bits")
    check_changes(options)
    if options.shift and options.targets is None:
        raise ValueError(f"--shift {options.shift} is for --targets, which are missing")
    if options.strings is not None and options.html is None:
        raise ValueError(f"--strings {options.strings} is for --html, which is missing")
    sources = [options.base, options.other, *filter(None, [options.targets, options.strings])]
    check_outputs({"--per-token": (options.per_token, ENDINGS), "--html": (options.html, (".html", ".htm"))}, sources)


def _same_rows(first: tuple[str, Logits], second: tuple[str, Logits]) -> None:
    """Raise ValueError unless two files have the same rows, in the same order.

    Rows without chunks may be those of llama.cpp's chunks, one after another.
    """
    (p_name, p), (q_name, q) = first, second
    if (p.coded or q.coded) and p.rows == q.rows and 1 in (len(p.shape), len(q.shape)):
        return
    if p.shape != q.shape:
        shapes = f"{p_name} has shape {(*p.shape, p.classes)}, and {q_name} {(*q.shape, q.classes)}"
        raise ValueError(f"{shapes}: they must have the same rows, so all axes but the last must be equal")
    if p.order != q.order:
        raise ValueError(
            f"the rows of {p_name} and of {q_name} lie in different orders, as one is in Fortran order: save it again "
            "by numpy.save(FILE, numpy.ascontiguousarray(array))"
        )


def _classes(base: Logits, other: Logits, options: argparse.Namespace) -> int:
    """How many classes to compare: those of both, or as many as are asked for."""
    sizes = base.classes, other.classes
    if options.classes is None and sizes[0] != sizes[1]:
        raise ValueError(
            f"{options.base} has {sizes[0]} classes and {options.other} {sizes[1]}: where a vocabulary is padded, add "
            f"--classes {min(sizes)} or the number of true classes"
        )
    if options.classes is not None and not 1 <= options.classes <= min(sizes):
        raise ValueError(
            f"--classes {options.classes} must be at least 1, and at most the {sizes[0]} classes of {options.base} and "
            f"the {sizes[1]} of {options.other}"
        )
    return sizes[0] if options.classes is None else int(options.classes)


def _targets(base: Logits, other: Logits, classes: int, options: argparse.Namespace) -> np.ndarray | None:
    """The class of each row: as given, or as llama.cpp's files have it, which must be of one text."""
    inside = [(name, logits) for name, logits in ((options.base, base), (options.other, other)) if logits.coded]
    found = [logits.targets() for _, logits in inside]
    if len(found) == 2 and found[0] is not None and found[1] is not None and (found[0] != found[1]).any():
        row = int((found[0] != found[1]).argmax())
        tokens = " and ".join(f"{each.reshape(-1)[row]}" for each in found if each is not None)
        names = f"{options.base} and {options.other}"
        raise ValueError(f"{names} are not of the same text: at row {row} they predict the tokens {tokens}")
    if options.targets is not None:
        return read_targets(options.targets, base.shape, classes, options.shift, options.ignore_index)
    if not found or found[0] is None:
        return None
    target = found[0].reshape(base.shape)
    if (wrong := target >= classes).any():
        row = int(wrong.argmax())
        raise ValueError(
            f"--classes {classes} leaves out token {target.reshape(-1)[row]}, which {inside[0][0]} has at row {row}"
        )
    return target


def _page(
    comparison: nll_fast.Comparison, strings: Strings | None, base: Logits, other: Logits, options: argparse.Namespace
) -> str:
    from nll_fast.report import compare_report

    inside = [name for name, logits in ((options.base, base), (options.other, other)) if logits.coded]
    about = {
        "p": options.base,
        "q": options.other,
        "targets": options.targets if options.targets is not None else next(iter(inside), None),
        "strings": options.strings,
        "dtype": " and ".join(dict.fromkeys((base.dtype_name, other.dtype_name))),
        "command": options.command_line,
    }
    texts = None
    if strings is not None and comparison.target is not None:
        texts = strings.known_texts(comparison.target, comparison.counted)
    return compare_report(
        comparison, strings=None if strings is None else strings.by_id, target_strings=texts, about=about
    )
