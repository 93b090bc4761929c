"""Where a file says that an array of it lies, and what every format checks before anything acts on that."""

from __future__ import annotations

import math
from typing import IO, NamedTuple

import numpy as np

AXES = 32 if np.__version__.startswith("1.") else 64
"""The most axes that an array of this NumPy has."""


class Layout(NamedTuple):
    """An array in a file: its first byte, and what the bytes from there on are. All of them are in the file."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool = False
    bfloat16: bool = False

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def excerpt(text: object, most: int = 60) -> str:
    """``text`` on one line and cut: a message must not become a page because a name in a file is one."""
    line = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text)[: most + 1])
    return line if len(line) <= most else f"{line[:most]}…"


def pick(names: list[str], name: str | None, path: str) -> str:
    """The only one of ``names``, or the one that ``name`` asks for."""
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        wrong = "" if name is None else f"there is no {excerpt(repr(name), 40)} in it; "
        raise ValueError(f"{wrong}it holds {_some(names)}: name one of them, as {excerpt(path, 40)}:NAME")
    return name


def _some(names: list[str], most: int = 100) -> str:
    """The first of ``names``, as many as ``most`` characters have room for, and how many more there are."""
    some = ""
    for number, name in enumerate(names):
        longer = f"{some}, {excerpt(name)}" if number else excerpt(name)
        if number and len(longer) > most:
            return f"{some} and {len(names) - number} more"
        some = longer
    return some if names else "no arrays"


def refuse_twice(names: list[str], why: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{why} {excerpt(repr(name))}")
        seen.add(name)


def check_shape(shape: tuple[int, ...], dtype: np.dtype) -> None:
    """Raise ValueError for an array that no NumPy has."""
    claims = f"its header claims an array of shape {excerpt(shape)} and dtype {dtype}"
    if min(shape, default=0) < 0:
        raise ValueError(f"{claims}, with a negative length")
    if dtype.itemsize < 1:  # below zero where the size overflows in NumPy 1
        raise ValueError(f"{claims}, whose items have no bytes")
    if len(shape) > AXES:
        raise ValueError(f"its header claims an array of {len(shape)} axes; NumPy has no more than {AXES}")
    # NumPy multiplies the lengths that are not zero, even where another one is.
    if math.prod(length for length in shape if length) * dtype.itemsize >= 2**63:
        raise ValueError(f"{claims}, which is beyond what memory can address")


def exactly(file: IO[bytes], count: int) -> bytes:
    """The next ``count`` bytes."""
    data = file.read(count)
    if len(data) < count:
        raise ValueError(f"it ends within its header, {count - len(data)} bytes too early")
    return data
