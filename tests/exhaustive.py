"""Functions of one argument at every float32, float16 and bfloat16, measured against formulas in float64.

python -m tests.exhaustive                        all 2^32 float32, on every level of this CPU
python -m tests.exhaustive --step 1001            every 1001st of them, and all halves
python -m tests.exhaustive --only softplus        one function
python -m tests.exhaustive --level baseline       one level, which may be given several times, as may a function

Prints a row for each function, level and dtype: the inputs, the worst error in ulps of the result and the input where
it is, at how many inputs NaN, ∞ or the sign of the result is another one, and a checksum of the bits of all results.
The exit code is 1 if an error is above 2 ulp, 3 without fused multiply-add, or one of these inputs is found.

A binary cross entropy has one argument if its label is 0 or 1, and so has −log of a single class's probability. Of
``poisson_nll_loss`` it is the constant term log y!, at λ = 1: 1 + log y!. The formulas in float64 are good to 1e-13,
and half a float32 ulp of a result is at least 3e-8 of it. A step is odd, so that the inputs have every mantissa.
"""

import argparse
import multiprocessing
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple
from unittest import mock

import nll_fast
import numpy as np
from nll_fast import _core

from .cases import DTYPES
from .test_accuracy import PROMISE

PART = 1 << 24  # inputs of one task
CHUNK = 1 << 13  # of them at once: larger temporaries would be new pages from the system each time


def softplus(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def entr(p):
    return np.where(p == 0, 0, np.where(p < 0, -np.inf, -p * np.log(p)))


def log_factorial(y):
    """Stirling's series at y ≥ 16; below, of y + 16, less the logarithm of (y + 1)···(y + 16)."""
    small = y < 16
    z = np.where(small, y + 16, y)
    product = np.ones_like(z)
    for k in range(1, 17):
        product = np.where(small, product * (y + k), 1)
    square = z * z
    series = (1 / 12 - (1 / 360 - (1 / 1260 - 1 / 1680 / square) / square) / square) / z
    return z * (np.log(z) - 1) + np.log(2 * np.pi * z) / 2 + series - np.log(product)


class Function(NamedTuple):
    call: Callable
    exact: Callable  # the same in float64, where nothing cancels
    domain: tuple[float, float] | None = None  # None: every input there is, infinities and NaN too


def bce_with_logits(y):
    return lambda x: nll_fast.binary_cross_entropy_with_logits(x, np.full_like(x, y), reduction="none")


def bce(y):
    return lambda p: nll_fast.binary_cross_entropy(p, np.full_like(p, y), clamp=None, reduction="none")


def nll_of_one_class(p):
    return nll_fast.categorical_nll(p[:, None], np.zeros(len(p), np.int64), reduction="none")


def poisson(y):
    return nll_fast.poisson_nll_loss(np.zeros_like(y), y, full="exact", reduction="none")


FUNCTIONS = {
    "softplus": Function(nll_fast.softplus, softplus),
    "log_sigmoid": Function(nll_fast.log_sigmoid, lambda x: -softplus(-x)),
    "binary_cross_entropy_with_logits, y = 0": Function(bce_with_logits(0), softplus),
    "binary_cross_entropy_with_logits, y = 1": Function(bce_with_logits(1), lambda x: softplus(-x)),
    "binary_cross_entropy, y = 0": Function(bce(0), lambda p: -np.log1p(-p), (0, 1)),
    "binary_cross_entropy, y = 1": Function(bce(1), lambda p: -np.log(p), (0, 1)),
    "categorical_nll, one class": Function(nll_of_one_class, lambda p: -np.log(p), (0, 1)),
    "entr": Function(nll_fast.entr, entr),
    "poisson_nll_loss, exact": Function(poisson, lambda y: 1 + log_factorial(y), (0, float(np.finfo("f4").max))),
}


class Found(NamedTuple):
    level: str
    inputs: int = 0
    ulps: float = 0.0
    at: float = np.nan  # the first input that is as bad as this
    differing: int = 0  # inputs where NaN, ∞ or the sign of a result other than 0 is not that of the formula
    bits: int = 0  # a checksum of the results

    def join(self, later: "Found") -> "Found":
        worse = self if self.ulps >= later.ulps else later
        joined = zlib.crc32(later.bits.to_bytes(4, "little"), self.bits)
        inputs, differing = self.inputs + later.inputs, self.differing + later.differing
        return Found(self.level, inputs, worse.ulps, worse.at, differing, joined)

    @property
    def is_promised(self) -> bool:
        return not self.differing and self.ulps <= PROMISE + (self.level == "baseline")


def compare(function: Function, x: np.ndarray) -> Found:
    """The results of ``x`` and the formula's."""
    level = nll_fast.simd_level()
    with np.errstate(all="ignore"):
        wide = x.astype(np.float64)
        if function.domain:
            inside = (wide >= function.domain[0]) & (wide <= function.domain[1])
            x, wide = x[inside], wide[inside]
        if not len(x):
            return Found(level)
        got, want = function.call(x), function.exact(wide)
        assert got.dtype == np.float32
        rounded = want.astype(np.float32)
        ulps = np.abs(got - want) / np.abs(np.spacing(rounded))
        differs = (np.signbit(got) != np.signbit(rounded)) & (got != 0) & ~np.isnan(got)
        special = ~np.isfinite(ulps)
        differs |= special & (got != rounded) & ~(np.isnan(got) & np.isnan(rounded))
        ulps[special] = 0
        got[np.isnan(got)] = np.nan  # whose sign and payload mean nothing
    worst = int(ulps.argmax())
    return Found(level, len(x), float(ulps[worst]), float(wide[worst]), int(differs.sum()), zlib.crc32(got))


def patterns(dtype: str) -> int:
    return 1 << 8 * np.dtype(DTYPES[dtype]).itemsize


def compare_part(name: str, dtype: str, step: int, part: int) -> Found:
    """The inputs of one task: those whose bits are step times PART·part, PART·part + 1 and so on."""
    unsigned = {"float32": np.uint32}.get(dtype, np.uint16)
    last = min((part + 1) * PART * step, patterns(dtype))
    found = Found(nll_fast.simd_level())
    for start in range(part * PART * step, last, CHUNK * step):
        bits = np.arange(start, min(start + CHUNK * step, last), step).astype(unsigned)
        found = found.join(compare(FUNCTIONS[name], bits.view(DTYPES[dtype])))
    return found


@contextmanager
def processes(level: str, count: int | None = None) -> Iterator[Executor]:
    """Processes that compute at ``level``, one thread each: NumPy's own formulas take most of the time."""
    with (
        mock.patch.dict(os.environ, NLL_FAST_SIMD=level),
        ProcessPoolExecutor(
            count, multiprocessing.get_context("spawn"), initializer=nll_fast.set_num_threads, initargs=(1,)
        ) as pool,
    ):
        yield pool


def measure(pool: Executor, level: str, name: str, dtype: str, step: int) -> Found:
    """Shows how far it is on standard error, if that is a terminal."""
    parts = -(-patterns(dtype) // (PART * step))
    found = Found(level)
    more = pool.map(compare_part, [name] * parts, [dtype] * parts, [step] * parts, range(parts))
    for done, part in enumerate(more, 1):
        assert part.level == level
        found = found.join(part)
        if sys.stderr.isatty():
            line = f"{name}, {dtype}, {level}: {done / parts:.0%}, {found.ulps:.2f} ulp"
            print(f"\r\33[K{line}", end="" if done < parts else "\r\33[K", file=sys.stderr, flush=True)
    return found


def odd(text: str) -> int:
    step = int(text)
    if step < 1 or step % 2 == 0:
        raise argparse.ArgumentTypeError(f"{text} is not an odd number above 0: inputs would lack mantissas")
    return step


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.exhaustive", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted({part for name in FUNCTIONS for part in (name, name.partition(",")[0])})
    parser.add_argument("--step", type=odd, default=1, help="which float32 are taken; an odd number")
    parser.add_argument("--only", action="append", choices=names, metavar="NAME", help="; ".join(names))
    parser.add_argument("--level", action="append", choices=_core.simd_levels(), help="by default all of this CPU")
    given = parser.parse_args()
    promised = True
    print("| function | dtype | level | inputs | worst ulp | at | NaN, ∞ or sign differ | checksum |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for level in given.level or reversed(_core.simd_levels()):
        with processes(level) as pool:
            for name in FUNCTIONS:
                if given.only and not {name, name.partition(",")[0]} & {*given.only}:
                    continue
                for dtype in ("float32", "float16", "bfloat16"):
                    found = measure(pool, level, name, dtype, given.step if dtype == "float32" else 1)
                    promised &= found.is_promised
                    at = np.float32(found.at)  # which holds every half
                    row = f"{found.inputs} | {found.ulps:.4f} | {at!s} | {found.differing} | {found.bits:08x}"
                    print(f"| `{name}` | {dtype} | {level} | {row} |", flush=True)
    return 0 if promised else 1


if __name__ == "__main__":
    sys.exit(main())
