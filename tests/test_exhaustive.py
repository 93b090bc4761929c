"""tests/exhaustive.py with every 1021st float32 and all halves, and what docs/accuracy.md says of all float32."""

import math
import re

import nll_fast
import numpy as np
import pytest
from nll_fast import _core

from .conftest import ROOT
from .exhaustive import FUNCTIONS, Function, compare, log_factorial, measure, processes, softplus

STEPS = {"float32": 1021, "float16": 1, "bfloat16": 1}
LEVELS = _core.simd_levels()
every_level = pytest.mark.parametrize("level", LEVELS)
every_function = pytest.mark.parametrize("name", FUNCTIONS)


def page():
    """Function → worst error, its input, the two without fused multiply-add, worst error of halves."""
    rows = re.findall(r"^\| \d+ \| `(.+)` \| (.+) \|$", (ROOT / "docs/accuracy.md").read_text(), re.MULTILINE)
    return {name: [float(cell) for cell in cells.split("|")] for name, cells in rows}


def worst(name, level):
    error, at, baseline_error, baseline_at, _ = page()[name]
    return (baseline_error, baseline_at) if level == "baseline" else (error, at)


def compare_one(name, x):
    return compare(FUNCTIONS[name], np.array([x], np.float32))


@pytest.fixture(scope="module")
def found():
    """Level and function → what was found for each dtype, and at the input that the page calls the worst."""
    everything = {}
    for level in LEVELS:
        with processes(level, 1) as pool:
            for name in FUNCTIONS:
                of_types = {dtype: measure(pool, level, name, dtype, step) for dtype, step in STEPS.items()}
                at_worst = pool.submit(compare_one, name, worst(name, level)[1]).result()
                everything[level, name] = of_types | {"worst": at_worst}
    return everything


def test_the_page_has_a_row_for_each_and_no_other():
    assert page().keys() == FUNCTIONS.keys()


@every_level
@every_function
def test_every_input_keeps_the_promise(name, level, found):
    assert all(part.is_promised for part in found[level, name].values()), found[level, name]


@every_level
@every_function
def test_the_page_names_the_worst_error_and_where_it_is(name, level, found):
    error, measured = worst(name, level)[0], found[level, name]
    assert measured["worst"].ulps == pytest.approx(error, abs=0.005)
    assert measured["float32"].ulps <= error + 0.005
    assert max(measured["float16"].ulps, measured["bfloat16"].ulps) <= page()[name][4] + 0.005


@every_function
def test_levels_with_fused_multiply_add_give_the_same_bits(name, found):
    for dtype in STEPS:
        assert len({found[level, name][dtype].bits for level in LEVELS if level != "baseline"}) <= 1


@pytest.mark.parametrize(
    ("call", "ulps", "differing"),
    [
        (nll_fast.softplus, 1, 0),
        (lambda x: nll_fast.softplus(x) * np.float32(1 + 3e-7), 8, 0),
        (lambda x: np.where(x == 2, np.nan, nll_fast.softplus(x)).astype(np.float32), 1, 1),
        (lambda x: np.nan_to_num(nll_fast.softplus(x), nan=0, posinf=np.inf), 1, 1),
        (lambda x: np.minimum(nll_fast.softplus(x), np.finfo("f4").max), 1, 1),
        (lambda x: np.where(x == -100, -1e-44, nll_fast.softplus(x)).astype(np.float32), np.inf, 1),
    ],
)
def test_a_wrong_result_is_found(call, ulps, differing):
    x = np.array([-100, -1, 0, 2, 30, np.inf, -np.inf, np.nan], np.float32)
    found = compare(Function(call, softplus), x)
    assert found.ulps <= ulps and found.differing == differing
    assert found.is_promised == (ulps == 1 and not differing)


def test_log_factorial_is_that_of_the_standard_library():
    y = np.concatenate([np.linspace(0, 40, 1001), 10.0 ** np.arange(2, 39)])
    want = [math.lgamma(v + 1) for v in y.tolist()]
    assert np.allclose(log_factorial(y), want, rtol=1e-13, atol=1e-13)
