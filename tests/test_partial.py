"""Partial totals: however losses are split into calls, they add up to the bits of the whole."""

import contextlib
import json
import pickle
import sqlite3
from fractions import Fraction

import nll_fast
import numpy as np
import pytest
from mpmath import mp, mpf

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


def exact_error(losses, weights):
    """The standard error of the weighted mean, in 60 digits."""
    losses, weights = ([mpf(float(x)) for x in values] for values in (losses, weights))
    n, total = len(losses), mp.fsum(weights)
    mean = mp.fsum(w * x for w, x in zip(weights, losses, strict=True)) / total
    spread = mp.fsum((w * (x - mean)) ** 2 for w, x in zip(weights, losses, strict=True))
    return mp.sqrt(spread * n / (n - 1)) / abs(total)


@pytest.mark.parametrize("size", [1e-120, 1.0, 1e100])
@pytest.mark.parametrize("spread", [1.0, 1e-9])
def test_the_standard_error_is_that_of_the_exact_losses(spread, size):
    """1000 nearly equal losses had the error 0 where float64 adds their squares."""
    losses = (1.7 + spread * np.random.default_rng(5).standard_normal(1000)) * size
    part = nll_fast.Partial.of(losses)
    assert abs(part.standard_error / exact_error(losses, np.ones(1000)) - 1) < 1e-15
    pieces = [nll_fast.Partial.of(piece) for piece in np.split(losses, [1, 70, 71])]
    assert sum(pieces) == part and sum(pieces[::-1]).standard_error == part.standard_error
    assert nll_fast.Partial.from_dict(json.loads(json.dumps(part.to_dict()))).standard_error == part.standard_error


def test_the_standard_error_of_weighted_losses_is_that_of_a_ratio():
    r = np.random.default_rng(6)
    losses, weights = r.random(500), r.integers(0, 5, 500) / 4
    part = nll_fast.Partial.of(losses, weights)
    assert part.mean == pytest.approx(np.average(losses, weights=weights), rel=1e-15)
    assert abs(part.standard_error / exact_error(losses, weights) - 1) < 1e-12
    ones = nll_fast.Partial.of(losses[:200], np.ones(200)) + nll_fast.Partial.of(losses[200:], weights[200:])
    halves = nll_fast.Partial.of(losses[:200]) + nll_fast.Partial.of(losses[200:], weights[200:])
    assert ones == halves and ones.standard_error == halves.standard_error


def test_what_has_no_standard_error_says_so_before_and_after_it_is_stored():
    for losses in ([], [1.0], [1.0, np.inf]):
        part = nll_fast.Partial.of(losses)
        assert np.isnan(part.standard_error) and np.isnan(pickle.loads(pickle.dumps(part)).standard_error)
    beyond = nll_fast.Partial.of([1e200, 2e200])
    for part in (beyond, pickle.loads(pickle.dumps(beyond)), nll_fast.cross_entropy([[0.0]], [0], reduction="partial")):
        if part.count > 1:
            with pytest.raises(ValueError, match="no sum of squares"):
                _ = part.standard_error
    old = {"total": 3 << 1074, "weights": None, "count": 2, "special": 0.0, "ignored": 0, "top1": None}
    assert nll_fast.Partial.from_dict(old).mean == 1.5


def test_a_dict_of_totals_fits_into_sqlite_and_comes_back():
    part = nll_fast.Partial.of([0.1, 0.2, 1e-300], [1.0, 2.0, 3.0])
    fields = part.to_dict()
    assert all(isinstance(value, (str, int, float, type(None))) for value in fields.values())
    assert all(abs(value) < 2**63 for value in fields.values() if isinstance(value, int))
    with contextlib.closing(sqlite3.connect(":memory:")) as table:
        table.execute(f"create table partial ({', '.join(fields)})")
        table.execute(f"insert into partial values ({', '.join('?' * len(fields))})", list(fields.values()))
        (row,) = table.execute("select * from partial").fetchall()
    assert nll_fast.Partial.from_dict(dict(zip(fields, row, strict=True))) == part


@pytest.mark.parametrize("library", ["polars", "pandas", "pyarrow", "msgpack", "orjson"])
def test_a_dict_of_totals_comes_back_from_tables_and_messages(library, tmp_path):
    module = pytest.importorskip(library, reason=f"{library}: not installed")
    losses = np.array([0.1, 0.2, 1e-300])
    parts = [nll_fast.Partial(), nll_fast.Partial.of(losses), nll_fast.Partial.of(losses, [1.0, 2.0, 3.0])]
    fields = [part.to_dict() for part in parts]
    if library == "polars":
        back = module.DataFrame(fields).to_dicts()
    elif library == "pandas":  # None becomes NaN there, and the integers beside it floats
        back = module.DataFrame(fields).to_dict("records")
    elif library == "pyarrow":
        from pyarrow import parquet

        parquet.write_table(module.Table.from_pylist(fields), tmp_path / "partials.parquet")
        back = parquet.read_table(tmp_path / "partials.parquet").to_pylist()
    elif library == "msgpack":
        back = module.unpackb(module.packb(fields))
    else:
        back = module.loads(module.dumps(fields))
    assert [nll_fast.Partial.from_dict(field) for field in back] == parts


def test_the_perplexity_of_a_partial_is_that_of_its_tokens():
    x, target = np.random.default_rng(7).standard_normal((50, 9)), np.arange(50) % 9
    part = nll_fast.cross_entropy(x, target, reduction="partial")
    assert part.perplexity == nll_fast.perplexity(x, target)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"count": 3, "top1": 4}, "top1 is 4, but count is 3"),
        ({"count": 3, "squares": -1}, "squares is -1"),
        ({"count": 3, "squares": "-0x1"}, "squares is -1"),
        ({"count": 3, "weights": 1, "squares": 1, "products": 1, "weight_squares": -1}, "weight_squares is -1"),
    ],
)
def test_totals_that_no_losses_have_are_refused(fields, words):
    with pytest.raises(ValueError, match=words):
        nll_fast.Partial.from_dict({"total": 1, "weights": None, "special": 0.0, **fields})
