"""``nll-fast score``: the summary of a language model's logits, and what is said of each token."""

from __future__ import annotations

import argparse
import threading
import time
from typing import Any, NamedTuple

import numpy as np

import nll_fast
from nll_fast._statistics import BY_COLUMNS, describe_losses, total_of
from nll_fast.cli import terminal
from nll_fast.cli.arguments import check_changes
from nll_fast.cli.blocks import Progress, in_blocks
from nll_fast.cli.columns import ENDINGS, Columns, flat_columns, joined, write
from nll_fast.cli.outputs import check_outputs, write_page
from nll_fast.cli.shards import Shard, expand, read_shards
from nll_fast.cli.strings import Strings, read_strings


class Scored(NamedTuple):
    """What a file comes to: the exact total, and in the order of its indices each loss and, if wanted, all columns."""

    total: nll_fast.Partial
    losses: np.ndarray
    scores: nll_fast.TokenScores | None


def score(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Score the logits and return the summary, and what is to be shown beside it."""
    start_time = time.perf_counter()
    _check(options)
    strings = None if options.strings is None else read_strings(options.strings)
    shards, of_one_text = read_shards(options)
    _check_rows(shards, options)
    if of_one_text:
        _check_page(shards, options)
    progress = Progress(sum(shard.logits.rows for shard in shards))
    wants_columns = _wants_columns(options, shards)
    scored = [_score_file(shard, options, wants_columns, progress) for shard in shards]
    whole = _joined(scored)
    seconds = time.perf_counter() - start_time
    summary = {} if of_one_text else _summary(whole, options)
    if len(shards) > 1:
        summary["files"] = [
            {"file": shard.argument, "targets": shard.targets, **_summary(each, options if of_one_text else None)}
            for shard, each in zip(shards, scored, strict=True)
        ]
    summary |= {
        "top_k": options.top_k,
        "temperature": options.temperature,
        "softcap": options.softcap,
        "storage": [shard.logits.dtype_name for shard in shards],
        "seconds": seconds,
        "gb_per_s": sum(shard.logits.nbytes for shard in shards) / max(seconds, 1e-9) / 1e9,
    }
    scores = whole.scores
    if options.per_token is not None:
        columns = {} if scores is None else _table(scores, shards, strings)
        write(options.per_token, 0.0 - whole.losses, columns)
    if scores is not None and strings is not None:
        summary["without_string"] = strings.unknown(scores.target, scores.counted)
    shown = "" if scores is None else _show(scores, strings, shards, summary, options)
    if options.html is not None and scores is not None:
        write_page(options.html, _page(scores, strings, shards, options))
    return summary, shown


def _joined(scored: list[Scored]) -> Scored:
    """What all files come to together, their rows one after another."""
    total = sum((each.total for each in scored), nll_fast.Partial())
    losses = np.concatenate([each.losses for each in scored])
    columns = [each.scores for each in scored if each.scores is not None]
    return Scored(total, losses, joined(columns) if columns else None)


def _summary(scored: Scored, options: argparse.Namespace | None) -> dict[str, Any]:
    """The numbers of :meth:`TokenScores.summary`, and bits per byte where ``options`` have the bytes of this text."""
    if scored.scores is not None:
        summary: dict[str, Any] = scored.scores.summary()
    else:
        summary = describe_losses(scored.total, scored.losses) | dict.fromkeys(BY_COLUMNS)
    if options is not None and options.bytes is not None:
        summary["bits_per_byte"] = summary["bits_per_token"] * summary["tokens"] / options.bytes
    return summary


def _score_file(shard: Shard, options: argparse.Namespace, wants_columns: bool, progress: Progress) -> Scored:
    logits, target = shard.logits, shard.logits.flat(shard.target)
    losses, turn = np.empty(logits.rows), threading.Lock()
    columns = Columns(logits) if wants_columns else None
    total = nll_fast.Partial()

    def score_block(piece: slice, block: Any) -> None:
        nonlocal total
        if columns is None:
            part = nll_fast.cross_entropy(
                block, target[piece], ignore_index=options.ignore_index, reduction="partial", out=losses[piece]
            )
        else:
            scores = _scores(block, target[piece], options)
            columns.put(piece, scores)
            part = total_of(scores.log_prob, scores.counted, scores.is_greedy)
            losses[piece] = np.where(scores.counted, 0.0 - scores.log_prob, 0.0)
        with turn:
            total += part

    if logits.rows:
        in_blocks([logits], score_block, progress)
    elif columns is not None:  # columns without rows have a dtype too
        columns.put(slice(0), _scores(np.zeros((0, logits.classes), np.float16), target, options))
    return Scored(total, logits.unflat(losses), None if columns is None else columns.result())


def _scores(block: Any, target: np.ndarray, options: argparse.Namespace) -> nll_fast.TokenScores:
    return nll_fast.score(
        block,
        target,
        ignore_index=options.ignore_index,
        top_k=options.top_k,
        token_ids=options.token_ids,
        temperature=options.temperature,
        softcap=options.softcap,
    )


def _wants_columns(options: argparse.Namespace, shards: list[Shard]) -> bool:
    """Whether more is wanted of the tokens than their losses, which alone are read in the shortest time."""
    more = options.top_k or options.token_ids or options.temperature != 1.0 or options.softcap is not None
    more = more or _writes_a_table(options) or _shows_tokens(options)
    return bool(more or any(shard.logits.coded for shard in shards))


def _writes_a_table(options: argparse.Namespace) -> bool:
    return options.per_token is not None and not options.per_token.lower().endswith(".npy")


def _shows_tokens(options: argparse.Namespace) -> bool:
    return options.show or options.worst > 0 or options.html is not None


def _check(options: argparse.Namespace) -> None:
    """Raise, before anything is computed, for a wrong option or an output that would replace an input."""
    if options.bytes is not None and not 0 < options.bytes < 2**63:
        raise ValueError(f"--bytes {options.bytes} must be positive, and fit in 64 bits")
    if not -(2**63) <= options.ignore_index < 2**63:
        raise ValueError(f"--ignore-index {options.ignore_index} does not fit in 64 bits")
    check_changes(options)
    for option, count in (("--top-k", options.top_k), ("--worst", options.worst)):
        if not 0 <= count < 2**63:
            raise ValueError(f"{option} {count} must not be negative, and fit in 64 bits")
    if options.strings is not None and not (_writes_a_table(options) or _shows_tokens(options)):
        raise ValueError(f"--strings {options.strings} is for --show, --worst, --html or a table of --per-token")
    sources = [*expand(options.logits), *expand(options.targets or []), *filter(None, [options.strings])]
    check_outputs({"--per-token": (options.per_token, ENDINGS), "--html": (options.html, (".html", ".htm"))}, sources)


def _check_rows(shards: list[Shard], options: argparse.Namespace) -> None:
    """Raise for what can be seen to fail before minutes of reading."""
    size = sum(shard.target.size for shard in shards)
    if not any((shard.target != options.ignore_index).any() for shard in shards):
        why = f"all {size} targets are {options.ignore_index} or shifted out" if size else "there are no rows"
        raise ValueError(f"no tokens to score: {why}")
    for file, logits, *_ in shards:
        if options.top_k > logits.classes:
            raise ValueError(f"--top-k {options.top_k} is more than the {logits.classes} classes of {file}")
        for token in options.token_ids or ():
            if not 0 <= token < logits.classes:
                raise ValueError(f"--token-ids has {token}, which is none of the {logits.classes} classes of {file}")


def _check_page(shards: list[Shard], options: argparse.Namespace) -> None:
    """Raise ValueError for what shows one text as one model sees it, where the files are those of several models."""
    wanted = "--html" if options.html is not None else "--show" if options.show else None
    if wanted is not None:
        raise ValueError(
            f"{wanted} shows a text as one model sees it, but {shards[0].argument} and {shards[1].argument} are of one "
            "text: give one file of logits, or two of them to `nll-fast compare`"
        )


def _table(scores: nll_fast.TokenScores, shards: list[Shard], strings: Strings | None) -> dict[str, np.ndarray]:
    """The columns to write, with the row of each and, of several files, the number of its file."""
    columns = flat_columns(scores)
    rows = [np.arange(shard.target.size) for shard in shards]
    first = {"row": np.concatenate(rows)}
    if len(shards) > 1:
        first = {"shard": np.repeat(np.arange(len(shards)), [len(each) for each in rows]), **first}
    if strings is not None:
        _, texts = strings.of_targets(scores.target, scores.counted)
        first["text"] = np.array([text or "" for text in texts], dtype=np.str_)
    return first | columns


def _page(
    scores: nll_fast.TokenScores, strings: Strings | None, shards: list[Shard], options: argparse.Namespace
) -> str:
    from nll_fast.report import score_report

    about = {
        "logits": ", ".join(shard.argument for shard in shards),
        "targets": ", ".join(dict.fromkeys(shard.targets for shard in shards)),
        "strings": options.strings,
        "dtype": ", ".join(dict.fromkeys(shard.logits.dtype_name for shard in shards)),
        "bytes": options.bytes,
        "command": options.command_line,
    }
    texts = None if strings is None else strings.known_texts(scores.target, scores.counted)
    by_id = None if strings is None else strings.by_id
    return score_report(scores, strings=by_id, target_strings=texts, about=about)


def _show(
    scores: nll_fast.TokenScores,
    strings: Strings | None,
    shards: list[Shard],
    summary: dict[str, Any],
    options: argparse.Namespace,
) -> str:
    """Add the most surprising tokens to the summary, and return what is shown of single tokens."""
    shown = []
    if options.show:
        shown.append(terminal.coloured(scores, strings, terminal.wants_colour(options.color)))
    if options.worst:
        files = [(shard.argument, shard.target.size) for shard in shards]
        summary["worst"] = terminal.worst_tokens(scores, strings, options.worst, files)
        shown.append(terminal.worst_table(summary["worst"]))
    return "\n\n".join(shown)
