"""Calls with wrong kinds of every argument: none may crash, hang, or raise what is no error of a user's."""

import contextlib
import inspect
import os
import resource
import signal
import threading
import time

import nll_fast
import numpy as np

from .. import cases
from .wrong import PALETTE, unusable

ORDINARY = (ValueError, TypeError, IndexError, MemoryError)
LIMIT = 5.0  # seconds that a call of a few numbers may take
ROOM = 6 << 30  # bytes of address space, so that what asks for more gets a MemoryError at once


class Interrupted(Exception):
    """Raised by the alarm in a call that takes too long."""


TABLES = {"Comparison", "TokenScores", "TokenSegments"}
PUBLIC = [
    name for name in nll_fast.__all__ if name not in {"reference", "Partial", "simd_level", "get_num_threads", *TABLES}
]
OTHER = {
    "Partial": lambda *a: nll_fast.Partial(*a),
    "Partial.of": lambda *a: nll_fast.Partial.of(*a),
    "Partial.from_dict": lambda *a: nll_fast.Partial.from_dict(*a),
    "Partial.__add__": lambda a, *_: nll_fast.Partial.of([1.0]) + a,
    "Partial.__eq__": lambda a, *_: nll_fast.Partial.of([1.0]) == a,
}
KEYS = {name: list(inspect.signature(getattr(nll_fast, name)).parameters) for name in PUBLIC}
TABLE = {}
for a_case in cases.CASES.values():
    TABLE.setdefault(a_case.function, []).append(a_case)
for a_name in PUBLIC:
    TABLE.setdefault(a_name, TABLE["token_log_probs"])


def hostile(seed, number, only=None, show=False, restless=0.0):
    """Make one hostile call: what came of it, or None if ``only`` names another function. Raises what must not be.
    In a share ``restless`` of them, the arrays change during the call.
    """
    r = np.random.default_rng([seed, number, 1])
    name = str(r.choice([*PUBLIC, *OTHER]))
    if only not in (None, name):
        return None
    function, positional, arguments = _draw(r, name)
    if show:
        print(f"nll_fast.{name}:")
        for key, x in [*enumerate(positional), *arguments.items()]:
            print(f"  {key} = {_shown(x)}")
    if "ASAN_OPTIONS" not in os.environ:  # AddressSanitizer needs more address space, and has a limit of its own there
        resource.setrlimit(resource.RLIMIT_AS, (ROOM, resource.getrlimit(resource.RLIMIT_AS)[1]))
    arrays = [x for x in [*positional, *arguments.values()] if isinstance(x, np.ndarray)]
    many = any(np.ndarray.size.__get__(x) > 10**6 for x in arrays)
    changing = _restless(r, arguments) if r.random() < restless else contextlib.nullcontext()
    start = time.process_time()
    try:
        with changing, np.errstate(all="ignore"), _alarm(0.3 if many else LIMIT):
            function(*positional, **arguments)
        outcome = "returned"
    except Interrupted:
        assert many, f"{name} did not return in {LIMIT} s"
        outcome = "interrupted, of 10^6 numbers or more"
    except (*ORDINARY, OverflowError) as error:  # The last is none of this library's words, and counted apart.
        outcome = type(error).__name__
    except BaseException as error:
        raise AssertionError(f"{name} raised {type(error).__name__}: {error}") from error
    finally:
        nll_fast.set_num_threads(1)
    took = time.process_time() - start
    assert many or took < LIMIT, f"{name} took {took:.1f} s"
    return outcome


@contextlib.contextmanager
def _alarm(seconds):
    """Raise Interrupted in what takes longer."""
    previous = signal.signal(signal.SIGALRM, _interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def _shown(x):
    try:
        return f"{type(x).__name__} {x!r:.300}" + (
            f" {x.dtype.str} strides {x.strides}" if type(x) is np.ndarray else ""
        )
    except Exception as error:
        return f"{type(x).__name__}, of which there is no text: {error}"


def _interrupt(*_):
    raise Interrupted


def _draw(r, name):
    """(function, positional arguments, named ones): a valid call in which some arguments are replaced."""
    if name in OTHER:
        return OTHER[name], [PALETTE[r.integers(len(PALETTE))](r) for _ in range(r.integers(1, 3))], {}
    function, case = getattr(nll_fast, name), TABLE[name][r.integers(len(TABLE[name]))]
    if name in ("as_bfloat16", "set_num_threads"):
        return function, [PALETTE[r.integers(len(PALETTE))](r)], {}
    arguments = {**case.draw(str(r.choice(list(cases.DTYPES))), int(r.integers(1, 20)), int(r.integers(1, 20)))}
    arguments = {key: np.array(x) for key, x in arguments.items()} | case.keywords
    if name == "bits_per_byte":
        arguments["n_bytes"] = 3
    if "reduction" in KEYS[name] and name != "cross_entropy_grad":
        arguments["reduction"] = str(r.choice(["none", "mean", "sum", "partial"]))
    for key in r.choice(KEYS[name], int(r.integers(1, 4))):
        key = str(key)
        if key == "out" and r.random() < 0.8:
            arguments[key] = unusable(r, arguments)
        else:
            arguments[key] = PALETTE[r.integers(len(PALETTE))](r)
    return function, [], arguments


@contextlib.contextmanager
def _restless(r, arguments):
    """The arrays change in another thread for as long as the call runs, which is repeated rows of what was drawn."""
    for key, x in arguments.items():
        if type(x) is np.ndarray and x.ndim and x.dtype.kind in "fi" and np.ndim(x) and len(x) < 100:
            arguments[key] = np.tile(x, (2000, *(1,) * (x.ndim - 1)))
    done = threading.Event()
    arrays = [x for x in arguments.values() if type(x) is np.ndarray and x.flags.writeable and x.dtype.kind in "fi"]
    wrong = [99, -(2**31), 1, 0, 2**31 - 1, -100]

    def change():
        while not done.is_set():
            for x in arrays:
                with contextlib.suppress(Exception):
                    x[...] = wrong[0]
                    x[..., -1:] = wrong[1]
                wrong.append(wrong.pop(0))

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
