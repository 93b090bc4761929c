"""Every row of the table against nll_fast.reference, in every dtype, at sizes around those where loops change."""

import nll_fast
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from nll_fast import reference

from .cases import CASES, DTYPES, REACH, Reach

ELEMENTS = [name for name, case in CASES.items() if not case.rows]
ROWS = [name for name, case in CASES.items() if case.rows]
# The oracle computes each of many numbers of a row from all classes: seconds for long rows.
SLOW = [name for name in ROWS if "smoothing" in name or "soft" in name or "kl" in name]
SLOW += [name for name in ROWS if CASES[name].function in ("entropy", "cross_entropy_grad", "score", "compare")]
ORDINARY = [1, 2, 7, 8, 31, 32, 33, 64, 1000]
LONG = [2047, 2048, 2049, 5000]


def far(dtype):
    """Where the oracle has digits left: in float64 not as far out as the type reaches."""
    return REACH["float32" if dtype == "float64" else dtype]


def compare(name, dtype, n, classes=0, offset=0.0):
    case, reach = CASES[name], far(dtype)
    arguments = case.draw(dtype, n, classes, Reach(reach.x, reach.top, offset))
    got, want = case.call(arguments), np.asarray(case.call(arguments, reference))
    double = dtype == "float64"
    assert got.dtype == (np.float64 if double else np.float32) and got.shape == want.shape
    size = np.maximum(np.abs(want), case.floor)
    if case.largest:
        wide = [np.asarray(argument).astype(np.float64) for argument in arguments.values()]
        size = np.maximum(size, case.largest(*wide))
    ulp = np.spacing(size.astype(np.float32)).astype(np.float64)
    ulps = case.ulps + (nll_fast.simd_level() == "baseline")  # docs/accuracy.md: products round before they are added
    unit = np.where(np.isinf(want), 0, case.atol + (case.rtol * size if double else ulps * ulp))
    with np.errstate(invalid="ignore"):
        error = np.where(got == want, 0.0, np.abs(got - want))  # infinities are equal or wrong
    assert np.all(error <= unit), np.max(error / unit)
    if case.rows and case.reduces:
        for reduction in ("mean", "sum"):
            total = case.call(arguments, reduction=reduction)
            # Exponentials of float32 logits are float32, added in float64.
            rtol = case.rtol if double else 1e-7
            expected = case.call(arguments, reference, reduction=reduction)
            np.testing.assert_allclose(total, expected, rtol=rtol, atol=case.atol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_elements(name, dtype):
    compare(name, dtype, 5000)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ROWS)
def test_rows(name, dtype):
    slow = name in SLOW
    for classes in ORDINARY[:7] if slow else ORDINARY:
        for offset in (0.0, 1e4):
            compare(name, dtype, 20, classes, offset)
    for classes in [2050] if slow else LONG:  # longer than a block
        compare(name, dtype, 2 if slow else 10, classes)


def test_real_logits(real_logits):
    x, target = real_logits
    want = reference.cross_entropy(x, target, reduction="none")
    got = nll_fast.cross_entropy(x, target, reduction="none")
    assert np.max(np.abs(got - want) / np.spacing(want.astype(np.float32))) <= 2
    np.testing.assert_allclose(nll_fast.cross_entropy(x, target), want.mean(), rtol=1e-7)
    np.testing.assert_allclose(nll_fast.perplexity(x, target), np.exp(want.mean()), rtol=1e-6)


finite = st.floats(-1e4, 1e4, width=32) | st.just(-np.inf)


@settings(max_examples=200, deadline=None)
@given(npst.arrays(np.float32, st.integers(1, 150), elements=finite), st.data())
def test_any_row(x, data):
    target = data.draw(st.integers(0, len(x) - 1))
    want = reference.cross_entropy(x, target, reduction="none")
    got = nll_fast.cross_entropy(x, np.array(target), reduction="none")
    if np.isfinite(want):
        assert got >= 0
        assert abs(got - want) <= max(2 * np.spacing(np.float32(want)), 3e-45)
    else:
        np.testing.assert_array_equal(got, want.astype(np.float32))


def test_every_public_loss_has_a_row_or_is_made_of_one():
    from .test_floors import OTHER

    made_of_cross_entropy = {"sequence_log_probs", "perplexity", "bits_per_token", "bits_per_byte"}  # test_tokens.py
    assert set(nll_fast.__all__) - OTHER == {case.function for case in CASES.values()} | made_of_cross_entropy


def test_the_oracle_is_right_where_its_arguments_are_narrow_huge_or_left_out():
    """In half precision eps would be another number; log 2b is known where b is ∞; 0 weighs nothing, even of NaN."""
    half = np.float16([0.0]), np.float16([1.0]), np.float16([6e-8])
    np.testing.assert_allclose(reference.laplace_nll_loss(*half), np.log(2e-6) + 1e6)
    np.testing.assert_allclose(reference.laplace_nll_loss([0.0], [1.0], log_scale=[1e30]), 1e30)
    bad = np.array([[np.nan, 0.0], [0.0, 0.0]])
    assert np.isnan(reference.cross_entropy(bad, np.zeros((2, 2)), reduction="none")).tolist() == [True, False]
    for weights in ({"sample_weight": [0.0, 1.0]}, {"weight": [0.0, 1.0]}):
        gradient = reference.cross_entropy_grad(bad, [0, 1], **weights, reduction="sum")
        assert gradient.tolist() == [[0, 0], [0.5, -0.5]]
