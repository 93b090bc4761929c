"""The logits and the targets that the arguments of ``nll-fast score`` and ``compare`` name."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import nll_fast
from nll_fast import _files
from nll_fast._arrays import as_targets
from nll_fast._llama import CodedLogits

_BLOCK = 1 << 22
"""The bytes of logits that a thread reads at a time, at most. They stay in its cache until they are scored."""

_LEAST = 1 << 18
"""The same, at least: smaller blocks cost more to begin than to score."""

_TOGETHER = 1 << 30
"""The same of all threads, at most, unless one row has more."""

_APART = 1 << 27
"""The same, at most, where each class of some rows is a read of its own."""

_NEAR = 1 << 15
"""As many bytes take as long to read, and to leave aside, as it takes to begin another read."""


class Logits:
    """The logits of a file as rows, in the order in which they lie in it, read in blocks into memory used again.

    In Fortran order the rows of ``[texts, positions]`` lie text beside text, not position after position:
    ``flat`` brings what belongs to the rows into their order, and ``unflat`` back. There a block is a sixteenth of
    the logits, and each of its classes is read from another place.
    """

    def __init__(self, stored: _files.Stored, dtype: np.dtype, bfloat16: bool) -> None:
        self.shape, self.nbytes, self.classes = stored.shape[:-1], stored.nbytes, stored.shape[-1]
        self.coded = isinstance(stored, _files.StoredCodes)
        self._stored, self._dtype, self._bfloat16 = stored, dtype, bfloat16
        self._axes = sorted(range(len(self.shape)), reverse=stored.fortran)
        self.rows = math.prod(self.shape)
        self._width = stored.width if isinstance(stored, _files.StoredCodes) else self.classes
        self._row = self._width * dtype.itemsize
        self._apart = stored.fortran and self.rows > 1  # whether the classes of a row do not lie side by side

    @property
    def dtype_name(self) -> str:
        """What a number is in the file."""
        return "bfloat16" if self._bfloat16 else self._stored.dtype_name

    @property
    def order(self) -> list[int]:
        """The axes of the rows, of which the last varies fastest; those of a single entry are left out."""
        return [axis for axis in self._axes if self.shape[axis] > 1]

    def targets(self) -> np.ndarray | None:
        """The targets that the file itself has beside the logits."""
        return self._stored.targets() if isinstance(self._stored, _files.StoredCodes) else None

    def step(self, readers: int) -> tuple[int, int]:
        """How many rows make a block, and how many threads are to read, ``readers`` or fewer."""
        # Where classes lie apart, more threads would wait for one another to begin reads; and long rows take memory.
        readers = 1 if self._apart else max(1, min(readers, _TOGETHER // self._row))
        size = min(max(self.nbytes // (16 * readers), _LEAST), _APART if self._apart else _BLOCK)
        step = max(1, min(size // self._row, self.rows))
        return step, min(readers, -(-self.rows // step))

    def blocks(self, starts: deque[int], step: int) -> Iterator[tuple[slice, Any]]:
        """Take from ``starts`` while there are any: which rows begin there, and their logits as the library takes them.

        The next block takes the place of the one before. Threads may share ``starts``, and each has its own blocks.
        """
        return ((piece, block) for piece, (block,) in side_by_side([self], starts, step))

    def reader(self, step: int) -> Callable[[slice], Any]:
        """A call that reads up to ``step`` rows into memory that it uses again."""
        buffer = np.empty(step * self._row, np.uint8)
        return lambda piece: self._read(buffer[: (piece.stop - piece.start) * self._row], piece.start)

    def _read(self, data: np.ndarray, start: int) -> Any:
        """The rows from ``start`` on, read into ``data``."""
        numbers, count = data.view(self._dtype), len(data) // self._row
        if self._apart and count < self.rows:
            self._read_apart(numbers.reshape(self.classes, count), start)
        else:
            self._stored.fill(data.data, start * self._row)
        if not self._dtype.isnative:
            numbers = numbers.byteswap(inplace=True).view(self._dtype.newbyteorder("="))
        rows = numbers.reshape(self.classes, count).T if self._apart else numbers.reshape(count, self._width)
        if self.coded:
            return CodedLogits(rows, self.classes)
        return nll_fast.as_bfloat16(rows) if self._bfloat16 else rows

    def _read_apart(self, out: np.ndarray, start: int) -> None:
        """Read ``[classes, rows]``, the rows from ``start`` on, of a file in which all rows of a class lie together."""
        item, count = self._dtype.itemsize, out.shape[1]
        stride = self.rows * item
        if stride > _NEAR:
            for number, each in enumerate(out):
                self._stored.fill(each.view(np.uint8).data, number * stride + start * item)
            return
        together = _LEAST // stride
        buffer = np.empty(together * stride, np.uint8)
        for first in range(0, self.classes, together):
            classes = out[first : first + together]
            data = buffer[: len(classes) * stride]
            self._stored.fill(data.data, first * stride)
            classes[:] = data.view(self._dtype).reshape(-1, self.rows)[:, start : start + count]

    def flat(self, each: np.ndarray) -> np.ndarray:
        """What has one element for each row, in the order of the rows."""
        return each.transpose(self._axes).reshape(-1)

    def unflat(self, each: np.ndarray) -> np.ndarray:
        """What ``flat`` returned or is computed of it, in the order of the file's indices.

        It may have one more axis, such as the k largest classes of each row.
        """
        more, last = each.shape[1:], len(self.shape)
        axes = [*np.argsort(self._axes), *range(last, last + len(more))]
        return each.reshape([*(self.shape[axis] for axis in self._axes), *more]).transpose(axes).reshape(-1, *more)


def side_by_side(files: list[Logits], starts: deque[int], step: int) -> Iterator[tuple[slice, list[Any]]]:
    """Take from ``starts`` as :meth:`Logits.blocks` does, and give the same rows of each of the files."""
    readers, rows = [file.reader(step) for file in files], files[0].rows
    while True:
        try:
            start = starts.popleft()
        except IndexError:
            return
        piece = slice(start, min(start + step, rows))
        yield piece, [read(piece) for read in readers]


def read_logits(argument: str, dtype_wanted: str | None) -> Logits:
    """The logits that an argument names; ``dtype_wanted`` says what raw values of 2 bytes are."""
    logits = load(argument)
    name, dtype, bfloat16 = logits.dtype_name, logits.dtype, logits.bfloat16
    if isinstance(logits, _files.StoredCodes):
        return Logits(logits, dtype, bfloat16=False)
    if dtype_wanted == "bfloat16" and not bfloat16:
        if name not in ("void16", "uint16"):
            raise ValueError(f"--dtype bfloat16 is for raw 2-byte values, but {argument} holds {name}")
        bfloat16 = True
        dtype = np.dtype(np.uint16) if name == "void16" else dtype  # only the latter has a byte order
    elif name in ("void16", "uint16"):
        raise TypeError(f"{argument} holds raw 2-byte values; if they are bfloat16, add --dtype bfloat16")
    elif not bfloat16 and name not in ("float64", "float32", "float16"):
        advice = "; if these are the class of each row, give them by --targets" if dtype.kind in "iu" else ""
        raise TypeError(f"{argument} holds {name}; logits must be float64, float32, float16 or bfloat16{advice}")
    if not logits.shape or not logits.shape[-1]:
        raise ValueError(f"logits has shape {logits.shape}: no classes along the last axis")
    return Logits(logits, dtype, bfloat16)


def read_targets(argument: str, shape: tuple[int, ...], classes: int, shift: int, ignore_index: int) -> np.ndarray:
    """The class of each row as native int64, of the shape of the logits without their classes. In the file they may
    have any type that the functions of the library take.

    With ``shift`` s, the class at position t is the target at t + s. The last s positions of a text have no target
    and hold the ignored index.
    """
    stored = load(argument)
    if stored.shape != shape:
        advice = "; of one-hot rows, target.argmax(-1)" if shape and stored.shape[:-1] == shape else ""
        advice = advice or ("" if shape else ": they are a single row")
        raise ValueError(f"target has shape {stored.shape}, but the logits need one class a row: {shape}{advice}")
    positions = shape[-1] if shape else 0
    if not 0 <= shift <= positions:
        raise ValueError(f"--shift {shift} must lie in [0, {positions}]: there are {positions} positions")
    given = as_targets(stored.whole())
    target = np.full(shape, ignore_index, np.int64)
    here = (..., slice(positions - shift)) if shift else ...
    later = given[..., shift:] if shift else given
    wrong = np.zeros(shape, bool)
    wrong[here] = ((later < 0) | (later >= classes)) & (later != ignore_index)
    if wrong.any():  # said before minutes of reading, and of the row's number in the file
        raise IndexError(
            f"target {later[wrong[here]][0]} at row {wrong.argmax()} is out of bounds for {classes} classes; valid "
            f"targets are 0 to {classes - 1}, and that of --ignore-index for rows to leave out"
        )
    target[here] = later
    return target


def split(argument: str) -> tuple[str, str | None]:
    """The path and the name in the argument FILE or FILE:NAME. Both may have colons: what exists decides."""
    if os.path.exists(argument):
        return argument, None
    path = argument
    while ":" in path:
        path = path.rpartition(":")[0]
        if os.path.isfile(path):
            return path, argument[len(path) + 1 :]
    return argument, None


def load(argument: str) -> _files.Stored:
    """The array that an argument names, of which only the header is read."""
    return _files.load(*split(argument))
