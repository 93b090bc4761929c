"""A few of the numbered calls of tests/fuzz, valid and hostile; python -m tests.fuzz.calls makes any number."""

import collections
import subprocess
import sys

import nll_fast
import numpy as np
import pytest
from nll_fast import reference

from .conftest import ROOT
from .fuzz import calls, exact, hostile

needs_long = pytest.mark.skipif(not exact.ENOUGH, reason="longdouble is no wider than float64 on this machine")
SEED = 0


@pytest.fixture(autouse=True)
def one_thread(threads):
    threads(1)


@needs_long
@pytest.mark.parametrize("function", calls.VALID)
def test_valid_calls_are_those_of_the_oracle(function):
    done = 0
    for number in range(1000):
        with np.errstate(all="ignore"):
            done += calls.valid(SEED, number, function) is not None
        if done == 25:
            return
    raise AssertionError(f"only {done} of 1000 numbers are of {function}")


def test_hostile_calls_raise_ordinary_errors():
    """In a process of their own, which gives itself little memory."""
    command = [sys.executable, "-m", "tests.fuzz.calls", "--hostile", "--seed", str(SEED), "--cases", "800"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_hostile_calls_reach_every_public_function():
    others = {"reference", "Partial", "simd_level", "get_num_threads"} | hostile.TABLES
    assert set(hostile.PUBLIC) | others == set(nll_fast.__all__)


def test_a_case_is_known_by_its_number():
    shown = [str(calls.call(SEED, number)[0]) for number in (7, 8, 7)]
    assert shown[0] == shown[2] != shown[1]


@needs_long
def test_a_wrong_result_is_found(monkeypatch):
    """The smallest error that is none of rounding: 8 ulp of each loss."""
    right, found = nll_fast.softplus, collections.Counter()

    def wrong(x, **more):
        y = np.asarray(right(x, **more))
        return y + 8 * np.spacing(y)

    monkeypatch.setattr(nll_fast, "softplus", wrong)
    for number in range(400):
        try:
            with np.errstate(all="ignore"):
                found[calls.valid(SEED, number, "softplus")] += 1
        except AssertionError:
            found["fault"] += 1
    assert found["fault"] > found["softplus"]


@needs_long
def test_a_sum_whose_terms_cancel_is_not_known_to_the_oracle():
    """It is −0.28, of terms of 1e38: its logarithm is NaN, of which rounding had made 48."""
    with np.errstate(all="ignore"):
        assert calls.valid(19, 12079) == "logsumexp"
    top = float(np.float32(3.3895313892515355e38))
    assert np.isnan(nll_fast.logsumexp([[0, -90, 0, 0]], b=np.float32([[-top, -top, top / 2, top / 2]])))


@needs_long
def test_the_wider_oracle_is_the_oracle():
    r = np.random.default_rng(SEED)
    x, target = r.standard_normal((9, 40)) * 10, r.integers(0, 40, 9)
    for name in ("cross_entropy", "token_log_probs"):
        want, got = (getattr(library, name)(x, target) for library in (reference, exact.LONG))
        np.testing.assert_allclose(np.asarray(got, np.float64), want, rtol=1e-13)
    for name in ("log_softmax", "logsumexp", "entropy"):
        want, got = (getattr(library, name)(x) for library in (reference, exact.LONG))
        assert got.dtype == np.longdouble
        np.testing.assert_allclose(got.astype(np.float64), want, rtol=1e-13)


@pytest.mark.parametrize("beta", [0.01, 1, 100])
def test_log_probabilities_whose_difference_is_infinite_are_not_judged(beta):
    largest = np.finfo(np.float64).max
    given = {"policy_chosen_logps": np.array([-1.0, largest / 2]), "policy_rejected_logps": np.array([-2.0, -largest])}
    beyond = exact.beyond("dpo_loss", given, {"beta": beta}, 0, np.float64)
    assert beyond.tolist() == [False, True]
