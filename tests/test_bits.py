"""Equal means ==: threads, strides, batches and instruction sets change no bit of a result, nor of a total."""

import hashlib
import json
import math
import os
import subprocess
import sys

import nll_fast
import numpy as np
import pytest
from nll_fast import _core

from .cases import CASES, DTYPES
from .conftest import ROOT

ROWS = 70
ELEMENTS = (72, 300)  # of a row, where elements are drawn: a short one, and one that is read where it lies
CLASSES = (1, 2, 3, 4, 5, 10, 33, 127, 128, 129, 2100, 8200)  # few, which are read side by side, and many
every_case = pytest.mark.parametrize("name", CASES)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


def draw(name, dtype, classes=10, elements=72):
    """Arguments of ROWS rows, of classes or of elements."""
    case = CASES[name]
    arguments = case.draw(dtype, ROWS if case.rows else ROWS * elements, classes)
    return arguments if case.rows else {key: x.reshape(ROWS, elements) for key, x in arguments.items()}


def bits(result):
    return result.dtype, result.shape, result.tobytes()


def padded(x, axis=-1):
    """The same values as a view of an array that is longer along ``axis``."""
    return np.append(x, np.ones_like(x.take([0], axis)), axis).swapaxes(0, axis)[:-1].swapaxes(0, axis)


VIEWS = {
    "every second": lambda x: x.repeat(2, 0).repeat(2, 1)[::2, ::2],
    "Fortran": np.asfortranarray,
    "reversed": lambda x: np.flip(np.flip(x).copy()),
    "reversed rows": lambda x: np.flip(np.flip(x, -1).copy(), -1),
    "rows in reversed order": lambda x: np.flip(np.flip(x, 0).copy(), 0),
    "every third row": lambda x: x.repeat(3, 0)[::3],
    "every second class": lambda x: x.repeat(2, 1)[:, ::2],
    "padded rows": padded,
    "columns of a wide table": lambda x: np.tile(x, 9)[:, : x.shape[1]],
    "broadcast": lambda x: np.broadcast_to(x[:1], x.shape),
    "one position left out of a batch": lambda x: padded(x.reshape(2, ROWS // 2, -1), 1),
    "a crop of images": lambda x: padded(padded(x.reshape(2, 5, ROWS // 10, -1), 1), 2),
}


@every_dtype
@every_case
def test_any_strides_give_the_bits_of_a_contiguous_array(name, dtype):
    case = CASES[name]
    for length in CLASSES if case.rows else ELEMENTS:
        arguments = draw(name, dtype, length, length)
        for view in VIEWS.values():
            leading = view(np.empty((ROWS, 1))).shape[:-1]
            seen = {key: view(x) if x.ndim == 2 else x for key, x in arguments.items()}
            seen = {key: x.reshape(leading) if x.shape == (ROWS,) else x for key, x in seen.items()}
            plain = {key: x.copy("C") for key, x in seen.items()}
            for x in seen.values():
                x.flags.writeable = False
            assert bits(case.call(seen)) == bits(case.call(plain))
        if case.rows:
            turned = {key: x.T.copy() if x.ndim == 2 else x for key, x in arguments.items()}
            got = case.call(turned, axis=0)
            assert bits(got.T if case.wide else got) == bits(case.call(arguments))


@every_dtype
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.rows])
def test_inputs_that_lie_differently_give_the_bits_of_contiguous_ones(name, dtype):
    case = CASES[name]
    for elements in ELEMENTS:
        arguments = draw(name, dtype, elements=elements)
        want = bits(case.call(arguments))
        for view in ("Fortran", "rows in reversed order", "every second class", "padded rows"):
            for key in arguments:
                assert bits(case.call(arguments | {key: VIEWS[view](arguments[key])})) == want
    flat = {key: x.ravel() for key, x in arguments.items()}
    want = bits(case.call(flat))
    for view in (
        lambda x: x.repeat(3)[::3],
        lambda x: np.flip(np.flip(x).copy()),
        lambda x: np.tile(x, (2, 1)).T[:, 1],
    ):
        assert bits(case.call({key: view(x) for key, x in flat.items()})) == want


@every_dtype
@every_case
def test_any_number_of_threads_gives_the_same_bits_and_totals(name, dtype, threads):
    case = CASES[name]
    arguments = draw(name, dtype, 5003)
    if not case.rows:  # several tasks of them
        arguments = {key: np.tile(x, (40, 1)) for key, x in arguments.items()}
    seen = set()
    for n in (1, 2, 5):
        threads(n)
        assert nll_fast.get_num_threads() == n
        totals = [case.call(arguments, reduction=how) for how in ("sum", "mean")] if case.reduces else []
        seen.add((bits(case.call(arguments)), *totals))
    assert len(seen) == 1


@every_dtype
@every_case
def test_a_row_or_an_element_alone_is_what_it_is_among_others(name, dtype):
    case = CASES[name]
    for classes in (*CLASSES[:-1], 300) if case.rows else (0,):
        arguments = draw(name, dtype, classes)
        want = case.call(arguments)
        for i in range(0, ROWS, 7):
            part = (slice(i, i + 1),) if case.rows else (slice(i, i + 1), slice(i, i + 1))
            alone = {key: x[part] if x.shape[0] == ROWS else x for key, x in arguments.items()}
            assert bits(case.call(alone)) == bits(want[part])


@every_dtype
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reduces])
def test_a_sum_is_that_of_the_single_results_exact_and_rounded_once(name, dtype):
    case = CASES[name]
    for classes in (3, 33, 300) if case.rows else (0,):
        arguments = draw(name, dtype, classes)
        each = case.call(arguments)
        assert case.call(arguments, reduction="sum") == math.fsum(each.flat)
        if not {"weight", "sample_weight"} & set(arguments):
            target = arguments.get("target", each)
            counted = np.count_nonzero(target != -100) if case.rows and target.ndim == 1 else each.size
            counted = np.count_nonzero(arguments["mask"]) if "mask" in arguments else counted
            assert case.call(arguments, reduction="mean") == math.fsum(each.flat) / counted


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_sum_of_anything_is_exact(dtype):
    r, limits = np.random.default_rng(3), np.finfo(dtype)
    digits = int(np.log10(limits.max))
    values = (r.standard_normal(3000) * 10.0 ** r.integers(2 - digits, digits - 2, 3000)).astype(dtype)
    least, tiny, most = limits.smallest_subnormal, limits.tiny, limits.max / 2
    values[:9] = [least, -least, tiny, most, -most, 0.0, -0.0, 1.0, limits.epsneg]
    for n in (1, 2, 3, 9, 256, 257, 500, 3000):
        got = nll_fast.nll_loss(-values[:n, None], np.zeros(n, int), reduction="sum")
        assert got == math.fsum(values[:n])
    for group in values[:2], values[:3], values[5:7], values[5:9]:
        assert nll_fast.nll_loss(-group[:, None], np.zeros(len(group), int), reduction="sum") == math.fsum(group)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_results_that_no_cache_holds_are_those_of_their_parts(dtype):
    """From 32 MiB on, results are written past the caches: here, from the middle of a cache line on."""
    n = (33 << 20) // np.dtype(dtype).itemsize
    logits = (np.random.default_rng(4).standard_normal(n) * 8).astype(dtype)
    target = (logits > 1).astype(dtype)
    out = np.empty(n + 3, dtype)[3:]

    def bce(x, y, **more):
        return nll_fast.binary_cross_entropy_with_logits(x, y, reduction="none", hess="exact", **more)

    parts = [slice(start, start + 1_000_003) for start in range(0, n, 1_000_003)]
    whole = bce(logits, target)
    for k, pieces in enumerate(zip(*(bce(logits[part], target[part]) for part in parts), strict=True)):
        assert np.array_equal(whole[k], np.concatenate(pieces))
    assert nll_fast.log_sigmoid(logits, out=out) is out
    assert np.array_equal(out, np.concatenate([nll_fast.log_sigmoid(logits[part]) for part in parts]))
    rows, classes = n // 5003, 5003
    x, t = logits[: rows * classes].reshape(rows, classes), np.arange(rows) % classes
    t[::3] = -100
    rows = [slice(start, start + 500) for start in range(0, rows, 500)]
    grads = [nll_fast.cross_entropy_grad(x[part], t[part], reduction="sum") for part in rows]
    assert np.array_equal(nll_fast.cross_entropy_grad(x, t, reduction="sum"), np.concatenate(grads))


def digests():
    """Of every case in every dtype, at lengths with and without a remainder."""
    found = {}
    for name, dtype in ((name, dtype) for name in CASES for dtype in DTYPES):
        found[f"{name}, {dtype}"] = "".join(
            hashlib.sha256(CASES[name].call(draw(name, dtype, classes)).tobytes()).hexdigest()[:16]
            for classes in (3, 10, 2100)
        )
    return nll_fast.simd_level(), found


def on_level(level, script):
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "NLL_FAST_SIMD": level},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("classes", [16, 17, 24, 25])
def test_rows_beside_each_other_that_no_cache_holds_have_the_bits_of_others(classes, dtype):
    rng = np.random.default_rng(classes)
    rows = 2**22 // classes + 33
    logits = np.resize(rng.normal(size=(7919, classes)) * 9, (rows, classes)).astype(DTYPES[dtype])
    logits[::401, 3], logits[5::997, 2], target = -np.inf, np.nan, rng.integers(-1, classes, rows)
    options = {"ignore_index": -1, "weight": np.linspace(1, 2, classes)}
    for reduction in ("none", "partial"):
        want = nll_fast.cross_entropy(logits, target, reduction=reduction, **options)
        got = nll_fast.cross_entropy(np.asfortranarray(logits), target, reduction=reduction, **options)
        same = bits if reduction == "none" else lambda totals: repr(totals.to_dict())
        assert same(got) == same(want)


def test_every_instruction_set_with_fused_multiply_add_gives_the_same_bits():
    seen = {}
    for level in _core.simd_levels():
        done = on_level(level, "import json; from tests.test_bits import digests; print(json.dumps(digests()))")
        assert done.returncode == 0, done.stderr
        name, seen[level] = json.loads(done.stdout)
        assert name == level
    print("instruction sets that ran:", ", ".join(seen))
    fused = [level for level in seen if level != "baseline"]
    for level in fused:
        assert seen[level] == seen[fused[0]]
    if len(fused) < 2:
        pytest.skip(f"only {', '.join(seen)} ran: nothing to compare")
    # The baseline rounds products before it adds them: were it the same, the levels would not have been told apart.
    assert seen["baseline"] != seen[fused[0]]


def test_an_unknown_instruction_set_is_named():
    assert 'NLL_FAST_SIMD is "mmx"' in on_level("mmx", "import nll_fast; nll_fast.simd_level()").stderr
