"""What the documents say is run."""

import doctest
import importlib.util
import inspect
from pathlib import Path

import nll_fast
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def test_one_recipe():
    result = doctest.testfile(str(ROOT / "docs" / "one-recipe.md"), module_relative=False)
    assert result.attempted > 10 and not result.failed


LOSSES = [name for name in nll_fast.__all__ if inspect.isfunction(getattr(nll_fast, name)) and "threads" not in name]


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "simd_level"])
def test_every_function_says_what_it_takes_returns_and_raises(name):
    for section in ("Parameters", "Returns", "Raises", "Examples"):
        assert f"\n    {section}\n    {'-' * len(section)}\n" in inspect.getsource(getattr(nll_fast, name)), section


def test_xgboost_objective_learns_what_the_built_in_one_learns():
    pytest.importorskip("xgboost", reason="xgboost is not installed")
    spec = importlib.util.spec_from_file_location("example", ROOT / "examples" / "xgboost_objective.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    ours, labels = example.train(example.objective)
    theirs, _ = example.train("binary:logistic")
    assert nll_fast.binary_cross_entropy_with_logits(ours, labels) < 0.4
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
