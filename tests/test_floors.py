"""The floor rules, by grep."""

import re

import nll_fast
import pytest
from nll_fast import reference

from .conftest import ROOT

SOURCES = [*ROOT.glob("rust/**/*.rs"), *ROOT.glob("python/**/*.py")]


def homes(pattern):
    return {str(p.relative_to(ROOT)) for p in SOURCES if re.search(pattern, p.read_text())}


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        (r"\bunsafe\s*(\{|fn|impl)", {"rust/simd/src/isa.rs", "rust/simd/src/memory.rs"}),
        (r"use rayon", {"rust/kernels/src/drive.rs"}),
        (r"target_feature\(", {"rust/simd/src/isa.rs"}),
        (r"(core|std)::arch::(x86|aarch)", {"rust/simd/src/isa.rs", "rust/simd/src/memory.rs"}),
        (r"^\s*(import|from) (torch|jax|scipy|ml_dtypes)", set()),
    ],
)
def test_one_home(pattern, allowed):
    assert homes(pattern) <= allowed


def test_python_knows_only_the_binding():
    assert all(home.startswith("rust/py/") for home in homes(r"use (pyo3|numpy)"))


def test_no_drawer_of_odds_and_ends():
    assert not [p for p in SOURCES if p.stem in ("utils", "helpers", "common", "misc")]


OTHER = {"Partial", "reference", "get_num_threads", "set_num_threads", "simd_level"}


def test_every_loss_has_an_oracle():
    assert all(hasattr(reference, name) for name in set(nll_fast.__all__) - OTHER)
    assert sorted(nll_fast.__all__) == nll_fast.__all__


def test_docstring_examples():
    import doctest

    from nll_fast import distributions, likelihoods, losses, partial, preference, threads, tokens

    for module in (distributions, likelihoods, losses, partial, preference, threads, tokens):
        result = doctest.testmod(module)
        assert result.attempted and not result.failed
