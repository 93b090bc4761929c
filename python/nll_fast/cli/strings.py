"""The strings of tokens, from a JSON file."""

from __future__ import annotations

import json
from typing import Any

import numpy as np


class Strings:
    """What tokens look like: by their ids, and by their places where a text is given with its ids.

    Attributes
    ----------
    by_id : the string of each id that is known
    """

    def __init__(self, by_id: dict[int, str], text_ids: list[int], text: list[str]) -> None:
        self.by_id, self._ids, self._text = by_id, np.array(text_ids, np.int64), text

    def of(self, token: int) -> str | None:
        """The string of an id."""
        return self.by_id.get(token)

    def of_targets(self, target: np.ndarray, counted: np.ndarray) -> tuple[str, list[str | None]]:
        """What stands before the first target, if that is known, and the string of each target, those left out too."""
        target, counted = target.reshape(-1), counted.reshape(-1)
        for skipped in (1, 0):  # a text's first token is no target of a model that predicts the next
            ids, text = self._ids[skipped:][: len(target)], self._text[skipped:][: len(target)]
            known = len(ids)
            if known and (ids == target[:known])[counted[:known]].all() and not counted[known:].any():
                return "".join(self._text[:skipped]), [*text, *[""] * (len(target) - known)]
        rows = zip(target.tolist(), counted.tolist(), strict=True)
        return "", [self.of(token) if use else None for token, use in rows]

    def unknown(self, target: np.ndarray, counted: np.ndarray) -> int:
        """How many of the targets that count have no string."""
        _, texts = self.of_targets(target, counted)
        return sum(text is None for text, use in zip(texts, counted.reshape(-1).tolist(), strict=True) if use)

    def known_texts(self, target: np.ndarray, counted: np.ndarray) -> list[str] | None:
        """The string of each target, if all of them are known."""
        _, texts = self.of_targets(target, counted)
        return None if None in texts else [text or "" for text in texts]


def read_strings(path: str) -> Strings:
    """The strings of a file: an object of ``token_ids`` and ``token_text``, those of a text in its order, or a list
    with the string of each id.
    """
    try:
        with open(path, encoding="utf-8") as file:
            given = json.load(file)
    except OSError as error:
        raise ValueError(f"cannot read --strings {path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        why = str(error) if isinstance(error, json.JSONDecodeError) else "it is no JSON in UTF-8"
        raise ValueError(f"cannot read --strings {path}: {why}") from None
    if _are(given, str):
        return Strings(dict(enumerate(given)), [], [])
    ids: Any = given.get("token_ids") if isinstance(given, dict) else None
    text: Any = given.get("token_text") if isinstance(given, dict) else None
    if not _are(ids, int) or not _are(text, str) or len(ids) != len(text):
        raise ValueError(
            f"cannot read --strings {path}: it must be a list of texts, one for each token id, or an object of "
            "token_ids and token_text, lists of the same length"
        )
    if any(not -(2**63) <= each < 2**63 for each in ids):
        raise ValueError(f"cannot read --strings {path}: its token_ids hold a number beyond 64 bits")
    return Strings(dict(zip(ids, text, strict=True)), ids, text)


def _are(x: Any, kind: type) -> bool:
    return isinstance(x, list) and all(type(each) is kind for each in x)
