"""Tokens on a terminal: the text coloured by surprisal, and the most surprising tokens with what stands before them."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from nll_fast.cli.strings import Strings

CLASSES = (17, 18, 19, 238, 60, 242, 243, 244, 246, 247, 144, 179, 185, 221, 227, 230)
"""Background colours of the 256 that terminals have, for 0 to 15 bits of surprisal: from blue over grey to yellow, each
lighter than the one before, which readers with any kind of colour vision tell apart.
"""

_DARK = 6
"""As many of them need white letters."""

_BEFORE = 5
"""The tokens of context that are shown."""


def wants_colour(choice: str) -> bool:
    """Whether to colour: as ``--color`` says, or else on a terminal, unless NO_COLOR is set."""
    if choice != "auto":
        return choice == "always"
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and sys.stdout.isatty()


def visible(text: str) -> str:
    """``text`` with escapes for what would control the terminal; lines and tabs remain."""
    return "".join(sign if sign.isprintable() or sign in "\n\t" else repr(sign)[1:-1] for sign in text)


def quoted(text: str | None, token: int) -> str:
    """A token's string in quotes and on one line, or its id if it has no string."""
    if text is None:
        return f"#{token}"
    line = "".join(sign if sign.isprintable() and sign not in '"\\' else repr(sign)[1:-1] for sign in text)
    return f'"{line}"'


def coloured(scores: Any, strings: Strings | None, colour: bool) -> str:
    """The targets as a text, each with the colour of its surprisal; without strings, their ids."""
    target = scores.target
    before, texts = strings.of_targets(target, scores.counted) if strings else ("", [None] * target.size)
    pieces = [visible(before)]
    length = target.shape[-1] if target.ndim else 1
    rows = zip(texts, target.reshape(-1).tolist(), scores.log_prob.reshape(-1).tolist(), strict=True)
    for row, (text, token, log_prob) in enumerate(rows):
        if row and row % length == 0:
            pieces.append("\n\n")  # the next text
        shown = f"#{token} " if text is None and token >= 0 else visible(text or "")
        pieces.append(_in_class(shown, log_prob) if colour and not math.isnan(log_prob) else shown)
    return "".join(pieces).rstrip("\n") + (f"\n\n{_legend()}" if colour else "")


def _in_class(text: str, log_prob: float) -> str:
    bits = -log_prob / math.log(2)
    number = min(max(int(min(bits, 15.0)), 0), 15)
    start = f"\x1b[38;5;{15 if number < _DARK else 16};48;5;{CLASSES[number]}m"
    # A colour that goes on over the end of a line would fill the rest of it.
    return "\n".join(f"{start}{line}\x1b[0m" if line else "" for line in text.split("\n"))


def _legend() -> str:
    bits = "".join(_in_class(f" {n}{'+' if n == 15 else ''} ", -n * math.log(2) - 1e-9) for n in range(16))
    return f"surprisal in bits: {bits}"


def worst_tokens(scores: Any, strings: Strings | None, most: int, files: list[tuple[str, int]]) -> list[dict[str, Any]]:
    """The tokens with the least log-probabilities, the least first; those that are NaN are not among them.

    ``files`` has the name and the rows of each file; rows are counted in their file, and none has context of another.
    """
    target, log_prob = scores.target.reshape(-1), scores.log_prob.reshape(-1)
    _, texts = strings.of_targets(scores.target, scores.counted) if strings else ("", [None] * target.size)
    known = np.flatnonzero(scores.counted.reshape(-1) & ~np.isnan(log_prob))
    order = known[np.argsort(log_prob[known], kind="stable")[:most]]
    length = scores.target.shape[-1] if scores.target.ndim else 1
    rank, argmax = scores.rank.reshape(-1), scores.argmax.reshape(-1)
    starts = np.cumsum([0, *(rows for _, rows in files)])
    found = []
    for row in order.tolist():
        file = int(np.searchsorted(starts, row, "right")) - 1
        first = max(row - _BEFORE, row // length * length, int(starts[file]))
        found.append(
            {
                "file": files[file][0],
                "row": row - int(starts[file]),
                "target": int(target[row]),
                "text": texts[row],
                "log_prob": float(log_prob[row]),
                "rank": int(rank[row]),
                "argmax": int(argmax[row]),
                "argmax_text": strings.of(int(argmax[row])) if strings else None,
                "before": [int(token) for token in target[first:row]],
                "before_text": _text_before(texts[first:row]),
            }
        )
    return found


def _text_before(texts: Sequence[str | None]) -> str | None:
    """The context as one text, or None if a string of it is not known."""
    known = [text for text in texts if text is not None]
    return "".join(known) if known and len(known) == len(texts) else None


def worst_table(worst: list[dict[str, Any]]) -> str:
    """The most surprising tokens as lines of text."""
    several = len({each["file"] for each in worst}) > 1
    lines = [f"{'row':>8}  {'log-prob':>9}  {'rank':>7}  token"]
    for each in worst:
        before = " ".join(f"#{token}" for token in each["before"])
        if each["before_text"] is not None:
            before = quoted(each["before_text"], 0)
        likeliest = quoted(each["argmax_text"], each["argmax"])
        context = f"{before} → " if before else ""
        instead = f", where {likeliest} was likeliest" if each["rank"] != 1 else ""
        token, place = quoted(each["text"], each["target"]), f", in {visible(each['file'])}" if several else ""
        lines.append(f"{each['row']:>8}  {each['log_prob']:>9.4f}  {each['rank']:>7}  {context}{token}{instead}{place}")
    return "\n".join(lines)
