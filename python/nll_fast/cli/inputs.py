"""The logits and the targets that the arguments of ``nll-fast score`` name."""

from __future__ import annotations

import argparse
import os

import numpy as np

import nll_fast
from nll_fast import _files
from nll_fast._arrays import dtype_name

_BLOCK = 1 << 20
"""The bytes of logits that are copied at a time where they cannot be read in their place. A block stays in the
cache until it is scored."""


class Logits:
    """The logits of a file as rows, in the order in which they lie in it, so that nothing is copied whole.

    In Fortran order the rows of ``[texts, positions]`` lie text beside text, not position after position:
    ``flat`` brings what belongs to the rows into their order, and ``unflat`` back.
    """

    def __init__(self, array: np.ndarray, bfloat16: bool) -> None:
        self.shape = array.shape[:-1]
        self.bfloat16 = bfloat16
        self._axes = sorted(range(len(self.shape)), key=lambda axis: -array.strides[axis])
        self.rows = array.transpose(*self._axes, -1).reshape(-1, array.shape[-1])
        self._native = array.dtype.newbyteorder("=")
        self._in_place = array.dtype == self._native and array.flags.aligned

    def step(self, most: int) -> int:
        """How many rows to score in one call: ``most`` bytes of them, or fewer if they must be copied."""
        return max(1, (most if self._in_place else _BLOCK) // (self.rows.shape[-1] * self.rows.itemsize))

    def block(self, piece: slice) -> np.ndarray:
        """Some rows, as the library takes them: a copy where the byte order is foreign or the data not aligned."""
        rows = self.rows[piece]
        if not self._in_place:
            rows = np.asarray(rows).astype(self._native, order="K")
        return nll_fast.as_bfloat16(rows) if self.bfloat16 else rows

    def flat(self, each: np.ndarray) -> np.ndarray:
        """What has one element for each row, in the order of the rows."""
        return each.transpose(self._axes).reshape(-1)

    def unflat(self, each: np.ndarray) -> np.ndarray:
        """What ``flat`` returned or is computed of it, in the order of the file's indices."""
        return each.reshape([self.shape[axis] for axis in self._axes]).transpose(np.argsort(self._axes)).reshape(-1)


def read_logits(options: argparse.Namespace) -> Logits:
    """The logits that ``options`` name."""
    logits = _load(options.logits)
    dtype = dtype_name(logits)
    bfloat16, raw = dtype == "bfloat16", dtype in ("void16", "uint16")
    if options.dtype == "bfloat16" and not bfloat16:
        if not raw:
            raise ValueError(f"--dtype bfloat16 is for raw 2-byte values, but {options.logits} holds {dtype}")
        bfloat16 = True
        logits = logits.view(np.uint16) if dtype == "void16" else logits  # only the latter has a byte order
    elif raw:
        raise TypeError(f"{options.logits} holds raw 2-byte values; if they are bfloat16, add --dtype bfloat16")
    elif not bfloat16 and dtype not in ("float64", "float32", "float16"):
        raise TypeError(f"{options.logits} holds {dtype}; logits must be float64, float32, float16 or bfloat16")
    if not logits.ndim or not logits.shape[-1]:
        raise ValueError(f"logits has shape {logits.shape}: no classes along the last axis")
    return Logits(logits, bfloat16)


def read_targets(options: argparse.Namespace, logits: Logits) -> np.ndarray:
    """The class of each row as native int64, of the shape of the logits without their classes.

    With ``--shift N`` the class of a position is the target N positions later; the last N of a text have
    none and hold the ignored index.
    """
    given, shape, classes = _load(options.targets), logits.shape, logits.rows.shape[-1]
    if given.dtype.kind not in "iu" or dtype_name(given) == "bfloat16":
        raise TypeError(
            f"target has dtype {dtype_name(given)}; class indices must be integers, one for each row: of whole "
            "numbers, target.astype(np.int64)"
        )
    if given.shape != shape:
        advice = "; of one-hot rows, target.argmax(-1)" if given.shape[:-1] == shape else ""
        raise ValueError(f"target has shape {given.shape}, but the logits need one class a row: {shape}{advice}")
    positions = shape[-1] if shape else 0
    if not 0 <= options.shift <= positions:
        raise ValueError(f"--shift {options.shift} must lie in [0, {positions}]: there are {positions} positions")
    target = np.full(shape, options.ignore_index, np.int64)
    here = (..., slice(positions - options.shift)) if options.shift else ...
    later = given[..., options.shift :] if options.shift else given
    wrong = np.zeros(shape, bool)
    wrong[here] = ((later < 0) | (later >= classes)) & (later != options.ignore_index)
    if wrong.any():  # said before minutes of reading, and of the row's number in the file
        raise IndexError(
            f"target {later[wrong[here]][0]} at row {wrong.argmax()} is out of bounds for {classes} classes; valid "
            f"targets are 0 to {classes - 1}, and --ignore-index for rows to leave out"
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


def _load(argument: str) -> np.ndarray:
    return _files.load(*split(argument))
