"""Partial totals: however losses are split into calls, they add up to the bits of the whole."""

import json
import pickle
from fractions import Fraction

import nll_fast
import numpy as np
import pytest

from .cases import CASES, DTYPES


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.reduces])
def test_partials_add_up_to_the_whole(name, dtype):
    case = CASES[name]
    arguments = case.draw(dtype, 500, 7)
    for parts in (2, 3, 7):
        cuts = {key: np.array_split(x, parts) if len(x) == 500 else [x] * parts for key, x in arguments.items()}
        pieces = [{key: cuts[key][i] for key in arguments} for i in range(parts)]
        merged = sum(reversed([case.call(piece, reduction="partial") for piece in pieces]))
        assert merged == case.call(arguments, reduction="partial")
        assert merged.sum == case.call(arguments, reduction="sum")
        assert merged.mean == case.call(arguments, reduction="mean")
        assert pickle.loads(pickle.dumps(merged)) == merged
        assert nll_fast.Partial.from_dict(json.loads(json.dumps(merged.to_dict()))) == merged


def test_totals_are_exact_whatever_their_terms():
    wide = np.random.default_rng(1).standard_normal(5000) * 30
    for x in (wide, wide.astype(np.float32), wide * 1e-3, np.concatenate([wide, [1e-300, 1e200]])):
        exact = sum(map(Fraction, nll_fast.binary_cross_entropy_with_logits(x, 0.0, reduction="none").tolist()))
        partial = nll_fast.binary_cross_entropy_with_logits(x, 0.0, reduction="partial")
        assert Fraction(partial.total, 2**1074) == exact and partial.sum == float(exact) and partial.count == len(x)


def test_a_partial_shows_what_one_asks_of_it():
    assert repr(nll_fast.mse_loss([1.0, 2.0], [1.0, 4.0], reduction="partial")) == "Partial(sum=4.0, mean=2.0, count=2)"
