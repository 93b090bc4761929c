"""One workload: drawn, checked against float64, timed in turn with its peers and the machine's bandwidth."""

from __future__ import annotations

import importlib
import math
import time
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

import nll_fast
from nll_fast.cli.bench.peers import NUMPY, TABLES

_CACHE = 1 << 25
"""Workloads of fewer bytes may stay in the cache, so they are not compared with the memory's bandwidth."""


@dataclass(frozen=True)
class Workload:
    """A table of ``workloads.toml``."""

    name: str
    function: str
    inputs: dict[str, str]
    shape: list[int]
    dtype: str = "float32"
    order: Literal["C", "F", "columns"] = "C"
    keywords: dict[str, Any] = field(default_factory=dict)

    @property
    def formula(self) -> str:
        """The key of what is computed in the tables of ``peers.py``."""
        by = self.keywords.get("wrt", "its input")
        return f"{self.function}, gradient by {by}" if self.keywords.get("grad") else self.function

    def sizes(self, most: int) -> list[Workload]:
        """The same with 10 rows, 100, and so on, and last with as many as make ``most`` bytes of inputs."""
        classes = math.prod(self.shape[1:])
        number = 2 if self.dtype in ("float16", "bfloat16") else np.dtype(self.dtype).itemsize
        row = sum(8 if kind == "class" else classes * number for kind in self.inputs.values())
        largest = max(10, most // row)
        counts = [10**k for k in range(1, 12) if 10**k < largest / 2] + [largest]
        return [replace(self, shape=[count, *self.shape[1:]]) for count in counts]


@dataclass
class Result:
    """The measurements of a workload. Each time is the best of several rounds, in seconds."""

    workload: Workload
    bytes: int
    seconds: float
    error: float
    """The largest relative error (see ``_error``), against NumPy's formula in float64."""
    bound: float | None
    """The time to read as many bytes, or to copy them if losses are written. None for data in the cache."""
    peers: dict[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"gb_per_s": self.bytes / self.seconds / 1e9}


def load(path: Path | None) -> list[Workload]:
    """The workloads of a file, by default ``workloads.toml`` beside this module."""
    try:
        text = (path or Path(__file__).with_name("workloads.toml")).read_text("utf-8")
        workloads = [Workload(**table) for table in tomllib.loads(text)["workload"]]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ValueError(f"cannot read {path}: no file of this system can have such a name") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is not a list of workloads: {error}") from None
    for w in workloads:
        if w.formula not in NUMPY:
            raise ValueError(f"{w.name} is of {w.formula}; there are {', '.join(NUMPY)}")
    return workloads


def draw(kind: str, workload: Workload) -> np.ndarray:
    """An input of a kind named in ``workloads.toml``: the same numbers in every run."""
    rng = np.random.default_rng(1 if kind.startswith("other ") else 0)
    shape = tuple(workload.shape)
    if kind == "class":
        return rng.integers(0, shape[-1], shape[:-1])
    if kind.endswith("normal"):
        x = rng.standard_normal(shape, np.float32) * 3
        if kind == "near normal":  # a tenth from those called "normal": another quantisation of the same model
            x += rng.standard_normal(shape, np.float32) * np.float32(0.1)
    elif kind == "count":
        x = rng.poisson(2, 1 << 16).astype(np.float32)
        x = np.resize(x, shape)
    else:
        x = rng.random(shape, np.float32)
    if kind == "label":
        x = np.less(x, 0.5, out=x, casting="unsafe")
    elif kind == "positive":
        x += np.float32(0.5)
    elif kind == "probability":
        x = np.clip(x, np.float32(1e-6), np.float32(1 - 1e-6), out=x)
    elif kind == "distribution":
        x /= x.sum(-1, keepdims=True)
    if workload.dtype == "bfloat16":
        return x.astype(importlib.import_module("ml_dtypes").bfloat16)  # NumPy's bfloat16
    return x.astype(workload.dtype, copy=False)


def laid_out(x: np.ndarray, order: Literal["C", "F", "columns"]) -> np.ndarray:
    """The same numbers as they shall lie in memory."""
    if order == "columns":
        return x if x.ndim == 1 else np.concatenate([x, x], axis=-1)[..., : x.shape[-1]]
    return np.asarray(x, order=order)


def measure(workload: Workload, peers: dict[str, Callable[..., Any]], rounds: int) -> Result:
    """Check the answers, then time all calls in turn, so that a change of the machine's speed meets all."""
    arrays = [laid_out(draw(kind, workload), workload.order) for kind in workload.inputs.values()]
    table, with_gradient = TABLES.get(workload.function), workload.formula != workload.function
    reduction = "none" if table or with_gradient else workload.keywords.get("reduction", "mean")
    keywords = dict(workload.keywords)
    if workload.function in ("log_sigmoid", "softplus", "log_softmax"):
        keywords.pop("reduction", None)  # these take no reduction
    if workload.function == "cross_entropy_grad" or with_gradient:
        keywords["reduction"] = "sum"  # each row's gradient alone
    if workload.function == "entropy":
        keywords["reduction"] = reduction
    out = None
    if reduction == "none" and not table and not with_gradient:
        out = keywords["out"] = np.empty(workload.shape, np.result_type(arrays[0], np.float32))
    function = getattr(nll_fast, workload.function)
    call = lambda: function(*arrays, **keywords)  # noqa: E731
    answer = np.stack([getattr(call(), name) for name in table], -1) if table else call()
    answer = answer[1] if with_gradient else np.asarray(answer)
    error = _error(answer, _oracle(workload.formula, arrays, reduction), of_row=with_gradient)
    if not error <= 1e-6:
        raise ValueError(f"{workload.name}: the answer is off by {error:.1e} of itself")
    calls: dict[str, Callable[[], Any]] = {"nll_fast": call}
    for name, prepare in peers.items():
        peer = prepare(workload.formula, arrays, reduction)
        if peer is not None:
            # This only confirms that the peer computes the same loss; its precision is not judged.
            bound = 1e-3 if workload.dtype == "float32" else 0.1
            if not np.allclose(peer(), answer, rtol=bound, atol=bound):
                raise ValueError(f"{workload.name}: {name} gives another answer")
            calls[name] = peer
    written = answer.nbytes if out is not None or with_gradient else 0
    size = sum(a.nbytes for a in arrays) + written
    if size >= _CACHE:
        calls["bound"] = _copying(size) if written else _reading(arrays)
    best = dict.fromkeys(calls, math.inf)
    for _ in range(rounds):
        for name, timed in calls.items():
            best[name] = min(best[name], _seconds(timed))
    timed_peers = {name: best.get(name) for name in peers}
    return Result(workload, size, best["nll_fast"], error, best.get("bound"), timed_peers)


def _seconds(call: Callable[[], Any]) -> float:
    """The shortest time of one call, from calls that together take a twentieth of a second, or from one."""
    time.sleep(0.05)  # the threads of the library that ran before may still spin
    best, spent, repeats = math.inf, 0.0, 1
    while spent < 0.05:
        start = time.perf_counter()
        for _ in range(repeats):
            call()
        seconds = time.perf_counter() - start
        best, spent = min(best, seconds / repeats), spent + seconds
        repeats = int(1e-3 / best) + 1  # reading the clock takes a fraction of a microsecond
    return best


def _oracle(formula: str, arrays: list[np.ndarray], reduction: str) -> np.ndarray:
    """The result of NumPy's formula in float64, computed on one part of the rows at a time."""
    size = max(1, (1 << 21) * len(arrays[0]) // arrays[0].size)
    parts = []
    for start in range(0, len(arrays[0]), size):
        part = [a[start : start + size] for a in arrays]
        parts.append(NUMPY[formula](*(a if a.dtype.kind in "iu" else a.astype(np.float64) for a in part)))
    losses = np.concatenate(parts)
    return losses if reduction == "none" else losses.mean()


def _error(got: np.ndarray, want: np.ndarray, of_row: bool) -> float:
    """The largest relative error; for ``of_row`` as a share of the largest number of its row, because slopes that are
    near 0 are differences.
    """
    size = np.abs(want)
    size = size.max(-1, keepdims=True) if of_row else size
    return float(np.max(np.abs(got - want) / size.clip(1e-30)))


def _reading(arrays: list[np.ndarray]) -> Callable[[], Any]:
    """A call that reads the same memory with all threads: NumPy's maximum, which is fastest for float32."""
    flat = [a.ravel("K").view(np.float32) for a in arrays if a.nbytes % 4 == 0]
    return _in_threads(np.max, [flat])


def _copying(size: int) -> Callable[[], Any]:
    """A call that reads and writes ``size`` bytes in total with all threads."""
    source = np.ones(size // 8, np.float32)
    return _in_threads(np.copyto, [[np.empty_like(source)], [source]])


def _in_threads(function: Callable[..., Any], arguments: list[list[np.ndarray]]) -> Callable[[], Any]:
    """A call of ``function`` on the parts of its arguments, four for each thread."""
    threads = nll_fast.get_num_threads()
    pool = ThreadPoolExecutor(threads)
    parts = [[part for a in arrays for part in np.array_split(a, 4 * threads)] for arrays in arguments]
    return lambda: list(pool.map(function, *parts))
