"""The floating-point environment of the calling thread changes no bit, and a call leaves it as it was.

Libraries that are linked with -ffast-math set flush-to-zero for the thread that loads them.
"""

import ctypes
import math
import platform
import sys
from contextlib import contextmanager

import nll_fast
import numpy as np
import pytest

from .cases import CASES, DTYPES

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or sys.platform != "linux" or platform.libc_ver()[0] != "glibc",
    reason="the control register is set by glibc's fesetenv on x86-64",
)
NEAREST, DOWN, UP, TO_ZERO, FLUSH = 0, 1 << 13, 2 << 13, 3 << 13, 0x8040
MODES = {"down": DOWN, "up": UP, "to zero": TO_ZERO, "flush to zero": FLUSH, "all": FLUSH | TO_ZERO}
CONTROL = 28  # where glibc's fenv_t holds the control register


def control():
    state = (ctypes.c_uint8 * 32)()
    ctypes.CDLL(None).fegetenv(state)
    return int.from_bytes(bytes(state)[CONTROL:], "little")


def set_control(value):
    state = (ctypes.c_uint8 * 32)()
    library = ctypes.CDLL(None)
    library.fegetenv(state)
    state[CONTROL:] = value.to_bytes(4, "little")
    library.fesetenv(state)


@contextmanager
def environment(mode):
    before = control()
    set_control(before | mode)
    try:
        yield
        left = control()
    finally:
        set_control(before)
    assert left & ~0x3F == (before | mode) & ~0x3F


def bits(result):
    parts = result if isinstance(result, tuple) else (result,)
    return [np.asarray(part).tobytes() if not isinstance(part, nll_fast.Partial) else part for part in parts]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_every_function_gives_the_same_bits(name, dtype):
    case = CASES[name]
    arguments = case.draw(dtype, 500)
    want = bits(case.call(arguments))
    for mode in MODES.values():
        with environment(mode):
            got = case.call(arguments)
        assert bits(got) == want
    if case.reduces:
        want = case.call(arguments, reduction="mean"), case.call(arguments, reduction="partial")
        for mode in MODES.values():
            with environment(mode):
                mean, partial = case.call(arguments, reduction="mean"), case.call(arguments, reduction="partial")
                read = partial.mean, partial.sum
            assert bits((mean, partial)) == bits(want)
            assert read == (want[1].mean, want[1].sum) or math.isnan(want[1].mean)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("threads", [1, 2])
def test_all_threads_of_a_large_call_keep_subnormal_results(mode, threads):
    x = np.full(1 << 19, 95.0, np.float32)
    nll_fast.set_num_threads(threads)
    try:
        want = nll_fast.log_sigmoid(x)
        for _ in range(3):
            with environment(MODES[mode]):
                got = nll_fast.log_sigmoid(x)
            assert np.array_equal(got, want)
            assert np.all(got == np.float32(-5.521082e-42))
    finally:
        nll_fast.set_num_threads(0)


@pytest.mark.parametrize("mode", MODES)
def test_a_pool_that_starts_in_another_environment_computes_in_the_default(mode):
    """Threads inherit the environment of the thread that starts them."""
    x = np.full(1 << 19, 95.0, np.float32)
    nll_fast.set_num_threads(1)
    want = nll_fast.log_sigmoid(x)
    try:
        with environment(MODES[mode]):
            nll_fast.set_num_threads(3)
            got = [nll_fast.log_sigmoid(x) for _ in range(3)]
        assert all(np.array_equal(each, want) for each in got)
    finally:
        nll_fast.set_num_threads(0)
