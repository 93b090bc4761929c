"""What both pages say of themselves: what was given, what is missing, and which tokens they hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nll_fast
from nll_fast._options import as_integer
from nll_fast.comparison import Comparison
from nll_fast.report.tokens import CONTEXT, MOST_TOKENS, WORST, Columns, Strings, Table
from nll_fast.scores import TokenScores

LABELS = {
    "logits": "Logits", "p": "P, the base", "q": "Q, the other", "targets": "Targets", "strings": "Token strings",
    "dtype": "Dtype", "bytes": "Bytes of the text", "command": "Command",
}  # fmt: skip


def known_bytes(about: Mapping[str, Any]) -> int | None:
    """The bytes of the text, if they are given."""
    n_bytes = about.get("bytes")
    return None if n_bytes is None else as_integer(n_bytes, "about['bytes']", 1)


def about_rows(
    result: TokenScores | Comparison, about: Mapping[str, Any], names: tuple[str, ...]
) -> list[list[str | None]]:
    """Names and what was given for each; None for what was not."""
    rows: list[list[str | None]] = [[LABELS[name], _text(about.get(name))] for name in names]
    rows += [[str(name), _text(about[name])] for name in sorted(about) if name not in (*names, "title")]
    rows.append(["Temperature", f"{result.temperature:g}"])
    rows.append(["Softcap", "none" if result.softcap is None else f"{result.softcap:g}"])
    rows.append(["Shape of the targets", " × ".join(map(str, result.counted.shape)) or "one token"])
    rows.append(["Version", f"nll_fast {nll_fast.__version__}"])
    return rows


def _text(value: Any) -> str | None:
    return None if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def left_out(size: int, strings: Strings, clip: int) -> list[str]:
    """Sentences on what a reader may miss."""
    notes = []
    if not strings.given:
        notes.append("No strings were given: token ids are shown.")
    elif clip < 200:
        notes.append(f"To keep the page small, strings are cut after {clip} characters.")
    if size > MOST_TOKENS:
        notes.append(
            f"These are {size:,} tokens. A page holds at most {MOST_TOKENS:,}: of this one, the {WORST} worst with "
            f"{CONTEXT} tokens before and after each. Numbers and figures are of all tokens."
        )
    return notes


def tokens_of(ranges: list[list[int]], size: int, length: int, packed: tuple[Table, Columns]) -> dict[str, Any]:
    """The tokens of the page, for its script."""
    table, columns = packed
    return {
        "ranges": ranges, "size": size, "length": length, "columns": columns.described,
        "planes": columns.packed(), "strings": table.packed(),
    }  # fmt: skip
