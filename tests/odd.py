"""Odd things that somebody may pass as an argument, each with a plain thing that means the same if it is taken."""

import datetime
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from nll_fast import Partial


class Odd(NamedTuple):
    """``make`` returns it anew for each call, as a generator serves once; ``plain`` what it means."""

    make: Callable[[], Any]
    plain: Callable[[], Any] | None = None


class Liar(np.ndarray):
    """An array that says of itself what is not so."""

    shape = property(lambda self: (7, 7))
    ndim = property(lambda self: 2)
    size = property(lambda self: 49)
    dtype = property(lambda self: np.dtype(np.float64))
    flags = property(lambda self: np.zeros(1).flags)


class Silent:
    """An object that fails whatever is asked of it."""

    __module__ = None

    def _fail(self, *_, **__):
        raise RuntimeError("no answer\nat all")

    __repr__ = __str__ = __bool__ = __eq__ = __len__ = __iter__ = __index__ = __float__ = __array__ = __hash__ = _fail


class Compares:
    """An object that is equal to everything, element by element."""

    def __eq__(self, other):
        return np.array([True, True])

    __hash__ = None


def deep(levels: int) -> list[Any]:
    """A list in a list in a list."""
    x: list[Any] = []
    for _ in range(levels):
        x = [x]
    return x


def endless() -> list[Any]:
    """A list that holds itself."""
    x: list[Any] = []
    x.append(x)
    return x


def read_only(x: np.ndarray) -> np.ndarray:
    x.flags.writeable = False
    return x


def unaligned(x: np.ndarray) -> np.ndarray:
    bits = np.zeros(x.nbytes + 1, np.uint8)[1:]
    view = bits.view(x.dtype).reshape(x.shape)
    view[...] = x
    return view


LONG = 10**400
FLOATS = [0.25, 0.5, 1.0]

ODD: dict[str, Odd] = {
    "None": Odd(lambda: None),
    "an object": Odd(object),
    "a class": Odd(lambda: float),
    "a dtype class": Odd(lambda: np.float64),
    "a function": Odd(lambda: len),
    "an ellipsis": Odd(lambda: ...),
    "a slice": Odd(lambda: slice(None)),
    "a Partial": Odd(lambda: Partial(count=1)),
    "a date": Odd(lambda: datetime.date(2020, 1, 1)),
    "a path": Odd(lambda: Path("x.npy")),
    "an object that fails": Odd(Silent),
    "an object equal to all": Odd(Compares),
    # numbers
    "True": Odd(lambda: True),
    "False": Odd(lambda: False),
    "np.True_": Odd(lambda: np.True_, lambda: True),
    "zero": Odd(lambda: 0),
    "one": Odd(lambda: 1),
    "-1.0": Odd(lambda: -1.0),
    "0.5": Odd(lambda: 0.5),
    "np.float64(-1)": Odd(lambda: np.float64(-1), lambda: -1.0),
    "np.int8(-1)": Odd(lambda: np.int8(-1), lambda: -1),
    "a decimal": Odd(lambda: Decimal("0.5"), lambda: 0.5),
    "a fraction": Odd(lambda: Fraction(1, 2), lambda: 0.5),
    "a complex number": Odd(lambda: 1j),
    "np.complex64": Odd(lambda: np.complex64(1)),
    "nan": Odd(lambda: np.nan),
    "inf": Odd(lambda: np.inf),
    "-inf": Odd(lambda: -np.inf),
    "10**400": Odd(lambda: LONG),
    "-10**400": Odd(lambda: -LONG),
    "10**5000": Odd(lambda: 10**5000),
    "2**63": Odd(lambda: 2**63),
    "-5": Odd(lambda: -5),
    # texts
    "a letter": Odd(lambda: "a"),
    "no letter": Odd(lambda: ""),
    "'False'": Odd(lambda: "False"),
    "'0.5'": Odd(lambda: "0.5"),
    "np.str_": Odd(lambda: np.str_("1")),
    "bytes": Odd(lambda: b"1"),
    "a bytearray": Odd(lambda: bytearray(b"1")),
    "a long text": Odd(lambda: "a\nb" * 5000),
    "half a character": Odd(lambda: "\ud800"),
    # collections
    "no list": Odd(list),
    "no tuple": Odd(tuple),
    "a ragged list": Odd(lambda: [[1.0], [1.0, 2.0]]),
    "a list that holds itself": Odd(endless),
    "a deep list": Odd(lambda: deep(100)),
    "a bottomless list": Odd(lambda: deep(2000)),
    "None in a list": Odd(lambda: [None, None, None]),
    "a long number in a list": Odd(lambda: [LONG, LONG, LONG]),
    "a text in a list": Odd(lambda: ["a", "b", "c"]),
    "an array in a list": Odd(lambda: [np.zeros(2), 1.0, 2.0]),
    "an axis twice": Odd(lambda: (0, 0)),
    "a float axis in a tuple": Odd(lambda: (-1.0,)),
    "a dict": Odd(lambda: {"a": 1}),
    "a set": Odd(lambda: {1.0, 2.0}),
    "a generator": Odd(lambda: (x for x in FLOATS)),
    "a range": Odd(lambda: range(3), lambda: np.arange(3)),
    # arrays
    "no number": Odd(lambda: np.zeros(0)),
    "no row": Odd(lambda: np.zeros((0, 4), np.float32)),
    "floats": Odd(lambda: np.array(FLOATS)),
    "0-d": Odd(lambda: np.array(0.5), lambda: 0.5),
    "0-d int": Odd(lambda: np.array(-1), lambda: -1),
    "0-d text": Odd(lambda: np.array("a")),
    "0-d object": Odd(lambda: np.array(None)),
    "one float": Odd(lambda: np.array([0.5])),
    "complex numbers": Odd(lambda: np.array(FLOATS) + 1j),
    "booleans": Odd(lambda: np.array([True, False, True]), lambda: [1, 0, 1]),
    "texts": Odd(lambda: np.array(["a", "b", "c"])),
    "objects": Odd(lambda: np.array(FLOATS, object)),
    "objects without a number": Odd(lambda: np.array([None, {}, len])),
    "dates": Odd(lambda: np.array(["2020-01-01"] * 3, "M8[D]")),
    "durations": Odd(lambda: np.array([1, 2, 3], "m8[s]")),
    "records": Odd(lambda: np.zeros(3, [("a", "f4"), ("b", "i8")])),
    "long records": Odd(lambda: np.zeros(3, [(f"field{i}", "f4") for i in range(100)])),
    "two bytes": Odd(lambda: np.zeros(3, "V2")),
    "long doubles": Odd(lambda: np.array(FLOATS, np.longdouble)),
    "foreign floats": Odd(lambda: np.array(FLOATS, ">f8"), lambda: np.array(FLOATS)),
    "unaligned floats": Odd(lambda: unaligned(np.array(FLOATS)), lambda: np.array(FLOATS)),
    "masked floats": Odd(lambda: np.ma.array(FLOATS, mask=[1, 0, 0])),
    "masked": Odd(lambda: np.ma.masked),
    "a matrix": Odd(lambda: np.array([FLOATS]).view(np.matrix), lambda: np.array([FLOATS])),
    "a memoryview": Odd(lambda: memoryview(np.array(FLOATS)), lambda: np.array(FLOATS)),
    "read-only floats": Odd(lambda: read_only(np.array(FLOATS)), lambda: np.array(FLOATS)),
    "a liar": Odd(lambda: np.array(FLOATS).view(Liar), lambda: np.array(FLOATS)),
    "large integers": Odd(lambda: np.full(3, 2**64 - 1, np.uint64)),
    "33 axes": Odd(lambda: np.zeros((1,) * 33, np.float32)),
    "huge": Odd(lambda: np.broadcast_to(np.float32(0), (2**50, 3))),
    "huge booleans": Odd(lambda: np.broadcast_to(np.True_, (2**30, 2**30))),
    "huge integers": Odd(lambda: np.broadcast_to(np.int64(0), (2**30, 2**28))),
    "nan in an array": Odd(lambda: np.array([0.5, np.nan, 1.0])),
    "inf in an array": Odd(lambda: np.array([0.5, np.inf, 1.0])),
    "minus in an array": Odd(lambda: np.array([0.5, -1.0, 1.0])),
}
"""By what it is called in the report of a test."""


OUTS: dict[str, Callable[[tuple[int, ...]], Any]] = {
    "a list": lambda shape: np.zeros(shape).tolist(),
    "integers": lambda shape: np.zeros(shape, int),
    "halves": lambda shape: np.zeros(shape, np.float16),
    "foreign order": lambda shape: np.zeros(shape, ">f8"),
    "read-only": lambda shape: read_only(np.zeros(shape)),
    "read-only, and hides it": lambda shape: read_only(np.zeros(shape)).view(Liar),
    "every other": lambda shape: np.zeros((*shape, 2))[..., 0],
    "unaligned": lambda shape: unaligned(np.zeros(shape)),
    "masked": lambda shape: np.ma.masked_array(np.zeros(shape), mask=np.ones(shape, bool)),
    "too large": lambda shape: np.zeros((*shape, 1)),
    "too small": lambda shape: np.zeros((2,)),
    "too small, and hides it": lambda shape: np.zeros((2,)).view(Liar),
    "broadcast": lambda shape: np.broadcast_to(np.float64(0), (2, *shape))[0],
}
"""Arrays for results of a shape, each with one fault."""
