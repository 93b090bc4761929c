"""What users pass by mistake, and what nobody passes: each entry makes one thing from a generator of numbers."""

import collections
import contextlib
import decimal
import fractions
import os

import nll_fast
import numpy as np

from . import drawing


class Subclass(np.ndarray):
    pass


class LyingShape(np.ndarray):
    shape = property(lambda self: (3, 7))
    size = property(lambda self: 10**9)
    ndim = property(lambda self: 2)


class LyingDtype(np.ndarray):
    dtype = property(lambda self: np.dtype(np.float32))


class LyingStrides(np.ndarray):
    strides = property(lambda self: (2**40,) * 2)
    flags = property(lambda self: np.zeros(3).flags)
    ctypes = property(lambda self: None)


class Raising:
    """Answers every question about itself with an error."""

    def __array__(self, *_, **__):
        raise ValueError("no array")

    def __index__(self):
        raise ValueError("no index")

    def __float__(self):
        raise ValueError("no number")

    def __len__(self):
        raise ValueError("no length")

    def __bool__(self):
        raise ValueError("neither true nor false")

    def __repr__(self):
        raise ValueError("no text")


class WrongArray:
    """Says that it is an array, and is none."""

    def __array__(self, *_, **__):
        return [1, 2, 3]


class Chameleon:
    """Another array each time that it is asked for."""

    def __init__(self, r):
        self.sizes = [int(n) for n in r.integers(0, 50, 8)]

    def __array__(self, dtype=None, copy=None):
        self.sizes.append(self.sizes.pop(0))
        return np.zeros(self.sizes[0], dtype or np.float64)


class WrongInterface:
    """Memory that is not there. NumPy believes it and reads it too. AddressSanitizer would end the process for that, so
    it is given enough memory.
    """

    data = bytes(24) if "ASAN_OPTIONS" in os.environ else b"short"
    __array_interface__ = {"shape": (3,), "typestr": "<f8", "version": 3, "data": data}  # noqa: RUF012


class Sneaky(str):
    """A text that is equal to every other."""

    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


def _itself():
    x = []
    x.append(x)
    return x


def _ragged(r):
    return [[1.0], [2.0, 3.0], 4.0][: int(r.integers(1, 4))]


def _numbers(r):
    shape = drawing.shape(r)
    dtype = r.choice(
        ["f8", "f4", "f2", "i8", "u1", "?", "c8", "g", "M8[s]", "U3", "S2", "V8", "V2", "O", "i4,f4", "u2"]
    )
    with np.errstate(all="ignore"):
        return np.ones(shape, np.int8).astype(dtype) if dtype not in ("V8", "V2", "i4,f4") else np.zeros(shape, dtype)


def _view(r):
    dtype = r.choice(["f8", "f4", "f2", "i8", "i4", "?", "u1"])
    return drawing.laid_out(np.ones(drawing.shape(r), dtype), r)[0]


def _many_axes(r):
    return np.ones((1,) * int(r.choice([32, 33, 64])), r.choice(["f4", "f8", "i8"]))


def _huge(r):
    sides = [2**40, 2**59, 2**31, 2**33, 3, 1]
    shape = tuple(int(n) for n in r.choice(sides, int(r.integers(1, 4))))
    with contextlib.suppress(ValueError):
        return np.broadcast_to(np.ones((), r.choice(["f4", "f8", "i8", "f2", "?"])), shape)
    return np.ones(3)


def _subclass(r):
    kind = [Subclass, LyingShape, LyingDtype, LyingStrides, np.matrix, np.ma.MaskedArray, np.recarray][r.integers(7)]
    x = np.ones((3, 7) if r.random() < 0.5 else (3,), r.choice(["f8", "f4", "i8", "u2"]))
    return x.view(kind) if kind is not np.matrix else np.matrix(np.ones((3, 7)))


def _bits(r):
    return nll_fast.as_bfloat16(np.full(drawing.shape(r), 0x3F80, np.uint16))


def _integer(r):
    return [0, 1, -1, 2, 7, -7, 10**400, -(10**400), 2**31, 2**32, 2**63 - 1, 2**63, 2**64, -(2**63), -(2**63) - 1][
        r.integers(15)
    ]


def _real(r):
    return [0.0, -0.0, 1.0, -1.0, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"), 0.5, 1.5][r.integers(11)]


PALETTE = [
    lambda r: None, lambda r: True, lambda r: False, lambda r: ..., lambda r: NotImplemented, lambda r: object(),
    lambda r: "", lambda r: "mean", lambda r: "none", lambda r: "é\0" * 3, lambda r: "\ud800", lambda r: Sneaky("mean"),
    lambda r: b"", lambda r: bytearray(b"abc"), lambda r: memoryview(b"12345678"), lambda r: range(3),
    lambda r: 1j, lambda r: fractions.Fraction(1, 3), lambda r: decimal.Decimal("NaN"), lambda r: np.datetime64("NaT"),
    lambda r: [], lambda r: (), lambda r: {}, lambda r: {1.0}, lambda r: {"a": 1}, lambda r: (x for x in range(3)),
    lambda r: _itself(), _ragged, lambda r: [None], lambda r: [[[]]], lambda r: ["1.0"], lambda r: [np.zeros(2), 1.0],
    lambda r: type, lambda r: len, lambda r: np, lambda r: slice(3), lambda r: np.float32, lambda r: np.dtype("f4"),
    lambda r: Raising(), lambda r: WrongArray(), Chameleon, lambda r: WrongInterface(), lambda r: nll_fast.Partial(),
    lambda r: np.float16(1), lambda r: np.longdouble(1), lambda r: np.int8(-1), lambda r: np.bool_(True),
    lambda r: collections.UserList([1.0, 2.0]), lambda r: np.nditer(np.zeros(2)), lambda r: np.random.default_rng(),
    _integer, _integer, _integer, _real, _real, _numbers, _numbers, _numbers, _view, _view, _view, _many_axes, _huge,
    _subclass, _subclass, _bits,
]  # fmt: skip


def unusable(r, arguments):
    """What stands for ``out``: overlapping an input, read-only, strided, of another shape or order."""
    arrays = [x for x in arguments.values() if type(x) is np.ndarray and 0 < x.ndim < 9]
    x = arrays[r.integers(len(arrays))] if arrays else np.zeros(3)
    x = x if x.size < 10**6 else np.zeros(3)
    shape = x.shape[:-1] if r.random() < 0.5 else x.shape
    out = np.zeros(shape, r.choice(["f4", "f8", "f4", "f8", "f2", "i8", ">f4"]))
    choices = [
        lambda: out,
        lambda: x,
        lambda: x[..., 0],
        lambda: drawing.laid_out(out, r)[0],
        lambda: out.view(LyingShape),
        lambda: np.broadcast_to(np.float32(0), shape),
        lambda: x.reshape(-1)[: out.size].reshape(shape),
        lambda: x.T,
    ]
    return choices[r.integers(len(choices))]() if x.size else out
