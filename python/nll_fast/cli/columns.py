"""What is said of every token, gathered from blocks, joined over files, and written as a table."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from nll_fast import _writing
from nll_fast.cli.inputs import Logits

ENDINGS = (".npy", ".npz", ".parquet", ".jsonl")
_FOR_ALL = ("token_ids",)
"""Arrays that are the same for all rows."""


class Columns:
    """The results of calls on blocks of rows, dataclasses of one type, as the result of one call."""

    def __init__(self, logits: Logits) -> None:
        self._logits, self._turn = logits, threading.Lock()
        self._arrays: dict[str, np.ndarray] = {}
        self._part: Any = None

    def put(self, piece: slice, part: Any) -> None:
        """Take in the result of the rows ``piece``. Threads may do so at the same time."""
        with self._turn:
            if self._part is None:
                self._part = part
                for name, value in _columns(part).items():
                    self._arrays[name] = np.empty((self._logits.rows, *value.shape[1:]), value.dtype)
        for name, value in _columns(part).items():
            self._arrays[name][piece] = value

    def result(self) -> Any:
        """The result of all rows, in the order of the file's indices and of the shape of the targets."""
        arrays = {name: self._logits.unflat(each) for name, each in self._arrays.items()}
        shaped = {name: each.reshape((*self._logits.shape, *each.shape[1:])) for name, each in arrays.items()}
        return dataclasses.replace(self._part, **shaped)


def _columns(part: Any) -> dict[str, np.ndarray]:
    """The arrays of a result that have an entry for each row."""
    fields = {field.name: getattr(part, field.name) for field in dataclasses.fields(part) if field.init}
    return {name: x for name, x in fields.items() if isinstance(x, np.ndarray) and name not in _FOR_ALL}


def flat_columns(result: Any) -> dict[str, np.ndarray]:
    """The arrays of a result with the rows one after another."""
    axes = result.counted.ndim
    return {name: x.reshape((-1, *x.shape[axes:])) for name, x in _columns(result).items()}


def joined(results: list[Any]) -> Any:
    """The results of several files as one, with the rows of one file after those of another."""
    if len(results) == 1:
        return results[0]
    parts = [_columns(result) for result in results]
    if len({result.counted.shape[1:] for result in results}) > 1 or not results[0].counted.ndim:
        parts = [flat_columns(result) for result in results]
    whole: dict[str, Any] = {name: np.concatenate([each[name] for each in parts]) for name in parts[0]}
    return dataclasses.replace(results[0], **whole)


def write(path: str, log_prob: np.ndarray, columns: dict[str, np.ndarray]) -> None:
    """Write the table: log-probabilities alone, in float64, to an .npy file, and all columns to others."""
    ending = path.lower()
    if ending.endswith(".npy"):
        _writing.save(path, log_prob)
    elif ending.endswith(".npz"):
        arrays: dict[str, Any] = {**columns}
        _writing.write(path, lambda file: np.savez(file, **arrays))
    elif ending.endswith(".jsonl"):
        _writing.write(path, lambda file: _write_lines(file, columns))
    else:
        table = _arrow(columns)
        import pyarrow.parquet

        _writing.write(path, lambda file: pyarrow.parquet.write_table(table, file))


def check_parquet(option: str, path: str) -> None:
    """Raise ValueError, before anything is computed, if Parquet cannot be written."""
    if path.lower().endswith(".parquet"):
        try:
            import pyarrow.parquet  # noqa: F401
        except ImportError:
            raise ValueError(
                f"{option} {path}: Parquet is written by pyarrow, which is not installed (pip install "
                "'nll-fast[parquet]'); .npz and .jsonl hold the same columns"
            ) from None


def _arrow(columns: dict[str, np.ndarray]) -> Any:
    import pyarrow

    arrays = {}
    for name, x in columns.items():
        values = [plain(text) for text in x.tolist()] if x.dtype.kind == "U" else np.ascontiguousarray(x).reshape(-1)
        array = pyarrow.array(values)
        arrays[name] = array if x.ndim == 1 else pyarrow.FixedSizeListArray.from_arrays(array, x.shape[1])
    return pyarrow.table(arrays)


def plain(text: str) -> str:
    """``text`` without the halves of characters that UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()


def _write_lines(file: BinaryIO, columns: dict[str, np.ndarray]) -> None:
    for line in _lines(columns):
        file.write(line.encode() + b"\n")


def _lines(columns: dict[str, np.ndarray], together: int = 4096) -> Iterator[str]:
    """One JSON object a row, with null for what is not finite."""
    rows = len(next(iter(columns.values())))
    for start in range(0, rows, together):
        some = [x[start : start + together].tolist() for x in columns.values()]
        for values in zip(*some, strict=True):
            yield json.dumps(dict(zip(columns, map(_finite, values), strict=True)))


def _finite(x: Any) -> Any:
    if isinstance(x, list):
        return [_finite(each) for each in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x
