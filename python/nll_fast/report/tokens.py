"""The tokens of a page: which of them it holds, their strings, and their numbers as quantised integers."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nll_fast._types import Array

MOST_TOKENS = 50_000  # Above it, a page holds WORST tokens with CONTEXT on both sides.
WORST, CONTEXT = 200, 12
NAN, INFINITE, MINUS_INFINITE = 65535, 65534, 65533  # the codes of what is no finite number
LARGEST = MINUS_INFINITE - 1
LEAST_RATIO, STEPS_PER_DECADE = 1e-16, 3000

# What may not stand in a script of HTML, what UTF-8 does not have, and what HTML does not allow.
_ESCAPED = re.compile("[<>&\x7f-\x9f\u2028\u2029\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")


def as_json(x: Any) -> str:
    """JSON that is safe within a ``<script>`` of HTML. It holds no NaN and no infinity: see :func:`plain`."""
    text = json.dumps(x, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return _ESCAPED.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def plain(x: Any) -> Any:
    """``x`` of numbers that JSON holds: NumPy's as Python's, and those that are not finite as "NaN" or "Infinity"."""
    if isinstance(x, Mapping):
        return {str(key): plain(each) for key, each in x.items()}
    if isinstance(x, np.ndarray):
        x = x.tolist()
    if isinstance(x, (list, tuple)):
        return [plain(each) for each in x]
    if isinstance(x, np.generic):
        x = x.item()
    if isinstance(x, float) and not np.isfinite(x):
        return "NaN" if np.isnan(x) else "Infinity" if x > 0 else "-Infinity"
    return x if x is None or isinstance(x, (bool, int, float, str)) else str(x)


class Strings:
    """The strings of token ids, and those at each position where they are given."""

    def __init__(
        self,
        by_id: Sequence[str] | Mapping[int, str] | None,
        by_position: Sequence[str] | None,
        target: Array,
    ) -> None:
        if by_position is not None and len(by_position) != target.size:
            raise ValueError(
                f"target_strings has {len(by_position)} strings, but there are {target.size} targets of shape "
                f"{target.shape}; give one string for each, in their order"
            )
        self.by_id, self.by_position = by_id, by_position

    @property
    def given(self) -> bool:
        return self.by_id is not None or self.by_position is not None

    def of_id(self, token: int) -> str | None:
        """The string of an id, or None where there is none."""
        by_id = self.by_id
        if by_id is None or token < 0:
            return None
        if isinstance(by_id, Mapping):
            return _as_text(by_id.get(token))
        return _as_text(by_id[token]) if token < len(by_id) else None

    def at(self, position: int, token: int) -> str | None:
        """The string at a position of the flat targets, where a token of that id is."""
        return self.of_id(token) if self.by_position is None else _as_text(self.by_position[position])


def _as_text(string: Any) -> str | None:
    if isinstance(string, bytes):
        return string.decode("utf-8", "replace")
    return None if string is None else str(string)


class Table:
    """The distinct tokens of a page, each with its id and its string of at most ``clip`` characters."""

    def __init__(self, strings: Strings, clip: int) -> None:
        self.strings, self.clip = strings, clip
        self.numbers: dict[tuple[int, str | None], int] = {}

    def _number(self, token: int, text: str | None) -> int:
        if token < 0 and text is None:
            return 0
        if text is not None and len(text) > self.clip:
            text = text[: self.clip - 1] + "…"
        return self.numbers.setdefault((token, text), len(self.numbers) + 1)

    def of_ids(self, ids: Array) -> Array:
        """For each id its number in the table, from 1; 0 for no token."""
        distinct, where = np.unique(ids, return_inverse=True)
        found = [self._number(token, self.strings.of_id(token)) for token in distinct.tolist()]
        return np.array(found, np.int64)[where].reshape(ids.shape)

    def of_positions(self, positions: Array, ids: Array) -> Array:
        """As :meth:`of_ids` for the tokens of the text, which may have strings of their own."""
        if self.strings.by_position is None:
            return self.of_ids(ids)
        pairs = zip(positions.tolist(), ids.tolist(), strict=True)
        return np.array([self._number(token, self.strings.at(at, token)) for at, token in pairs], np.int64)

    def packed(self) -> str:
        """The table as it goes into the page: ids and strings by number."""
        ids, texts = zip(*self.numbers, strict=True) if self.numbers else ((), ())
        return _compressed(as_json([ids, texts]).encode())


def kept(worst: Array, size: int, length: int) -> list[list[int]]:
    """The tokens that a page holds, as [first, last + 1] of the flat targets, of texts of ``length`` tokens."""
    if size <= MOST_TOKENS:
        return [[0, size]] if size else []
    ranges: list[list[int]] = []
    for at in np.sort(worst).tolist():
        text = at // length * length
        first, end = max(text, at - CONTEXT), min(text + length, at + CONTEXT + 1)
        if ranges and first <= ranges[-1][1] and ranges[-1][1] > text:
            ranges[-1][1] = max(ranges[-1][1], end)
        else:
            ranges.append([first, end])
    return ranges


class Columns:
    """Numbers of tokens as integers of 1 to 4 bytes, byte plane after byte plane, which compress best."""

    def __init__(self) -> None:
        self.described: list[dict[str, Any]] = []
        self.planes: list[bytes] = []

    def _add(self, name: str, kind: str, codes: Array, **more: Any) -> None:
        highest = int(codes.max(initial=0))
        width = next(width for width in (1, 2, 3, 4) if highest < 256**width)
        planes = codes.astype("<u4").view(np.uint8).reshape(-1, 4)[:, :width].T
        self.described.append({"name": name, "kind": kind, "width": width, **more})
        self.planes.append(planes.tobytes())

    def whole(self, name: str, values: Array) -> None:
        """Integers from −1, which stands for none."""
        self._add(name, "whole", np.minimum(np.asarray(values, np.int64), 2**32 - 2) + 1)

    def fixed(self, name: str, values: Array) -> None:
        """Numbers of at least 0 to the third decimal, or to a decimal less for each factor of 10 above 65."""
        values = np.asarray(values, np.float64)
        highest, step = values[np.isfinite(values)].max(initial=0.0), 0.001
        while highest / step > LARGEST:
            step *= 10
        codes = np.rint(np.nan_to_num(np.maximum(values, 0), nan=0, posinf=0, neginf=0) / step)
        self._add(name, "fixed", _with_special(codes, values), step=step)

    def ratio(self, name: str, values: Array) -> None:
        """Numbers of at least 0 to 0.04 % from 1e-16 to 1e5."""
        values = np.asarray(values, np.float64)
        finite = np.where(np.isfinite(values), values, 0)
        above = np.log10(np.maximum(finite, LEAST_RATIO) / LEAST_RATIO)
        codes = np.where(finite < LEAST_RATIO, 0, np.minimum(1 + np.rint(STEPS_PER_DECADE * above), LARGEST))
        self._add(name, "ratio", _with_special(codes, values), least=LEAST_RATIO, steps=STEPS_PER_DECADE)

    def packed(self) -> str:
        """All planes, compressed."""
        return _compressed(b"".join(self.planes))


def _with_special(codes: Array, values: Array) -> Array:
    special = [(np.isnan(values), NAN), (values == np.inf, INFINITE), (values == -np.inf, MINUS_INFINITE)]
    return np.select([where for where, _ in special], [code for _, code in special], codes).astype(np.int64)


def _compressed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()
