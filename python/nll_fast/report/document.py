"""The HTML document: styles, script and data in one file, within a limit of bytes."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from typing import Any

from nll_fast.report.tokens import as_json, plain

LIMIT, LIMITED_TOKENS = 500_000, 10_000  # the bytes of a page, and of how many tokens; above, in proportion
# What is left out, step by step, until a page is within its limit: alternatives, and the length of strings.
STEPS = [(5, 200), (3, 200), (1, 200), (0, 200), (0, 48), (0, 12), (0, 4)]


def document(contents: Callable[[int, int], dict[str, Any]], tokens: int) -> str:
    """The page of ``contents(alternatives, clip)``, with as much as its limit allows."""
    limit = LIMIT * max(1, tokens / LIMITED_TOKENS)
    page = ""
    for alternatives, clip in STEPS:
        page = _page(contents(alternatives, clip))
        if len(page.encode()) <= limit:
            break
    return page


def _page(contents: dict[str, Any]) -> str:
    frame, style, script = _parts()
    filled = {"style": style, "script": script, "data": as_json(plain(contents))}
    # In one go: what is filled in may itself hold the words that are replaced.
    return re.sub("%(style|script|data)%", lambda match: filled[match[1]], frame)


@cache
def _parts() -> tuple[str, str, str]:
    """The frame of the page with the hashes of its style and script, which alone the browser may then use."""
    folder = files("nll_fast.report") / "page"
    style, script = (
        "\n".join((folder / name).read_text("utf-8") for name in names)
        for names in (
            ("style.css", "colours.css"),
            ("data.js", "text.js", "details.js", "charts.js", "tables.js", "page.js"),
        )
    )
    frame = (folder / "page.html").read_text("utf-8")
    for name, text in (("style", style), ("script", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        frame = frame.replace(f"%{name}-hash%", f"sha256-{digest}")
    return frame, style, script
