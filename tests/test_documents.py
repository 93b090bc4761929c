"""What the documents say is run."""

import doctest
import inspect
from pathlib import Path

import nll_fast
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
