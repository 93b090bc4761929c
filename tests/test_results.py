"""What comes back: out= beside any reduction, what a Partial knows, memory order; and bfloat16 by its bits."""

import copy
import json
import math
import pickle
from fractions import Fraction

import nll_fast as f
import numpy as np
import pytest
from ml_dtypes import bfloat16

from .cases import CASES, DTYPES, Reach

UNIT = 2**1074
REDUCES = [name for name, case in CASES.items() if case.reduces]
ELEMENTS = [name for name, case in CASES.items() if not case.rows]
X = np.float32([[0.0, 1.0], [2.0, 0.5], [1.0, 1.0], [0.0, 0.0]])
T = np.array([0, 0, 1, -100])  # right is the second row alone: of equal logits, the first class counts as largest


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCES)
def test_out_holds_each_loss_whatever_the_reduction(name, dtype):
    case = CASES[name]
    arguments = case.draw(dtype, 60, 7)
    each = case.call(arguments)
    for reduction in ("mean", "sum", "partial"):
        out = np.full_like(each, 7)
        got = case.call(arguments, reduction=reduction, out=out)
        assert out.tobytes() == each.tobytes()
        assert got == case.call(arguments, reduction=reduction)


def test_a_partial_of_cross_entropy_counts_ignored_rows_and_right_guesses():
    partial = f.cross_entropy(X, T, reduction="partial")
    assert (partial.count, partial.ignored, partial.top1, partial.special) == (3, 1, 1, 0.0)
    assert partial.weights is None and type(partial.total) is int
    assert partial.sum == f.cross_entropy(X, T, reduction="sum") and partial.mean == f.cross_entropy(X, T)
    each = f.cross_entropy(X, T, reduction="none", out=np.empty(4)).tolist()
    assert partial.total == sum(int(Fraction(loss) * UNIT) for loss in each)


def test_other_partials_know_less():
    for loss in (f.nll_loss, f.categorical_nll):
        partial = loss(np.full((4, 2), 0.5), T, reduction="partial")
        assert (partial.count, partial.ignored, partial.top1) == (3, 1, None)
    partial = f.mse_loss([1.0, 2.0], [1.0, 4.0], reduction="partial")
    assert (partial.ignored, partial.top1, partial.weights) == (None, None, None)
    assert repr(partial) == "Partial(sum=4.0, mean=2.0, count=2)"


def test_weights_are_kept_where_there_are_any():
    partial = f.cross_entropy(X, T, weight=[0.5, 2.0], reduction="partial")
    assert partial.weights == 3 * UNIT and partial.mean == partial.sum / 3
    mixed = partial + f.cross_entropy(X, T, reduction="partial")
    assert mixed.weights == 6 * UNIT and mixed.count == 6


def test_sums_know_what_both_knew():
    a, b = f.cross_entropy(X, T, reduction="partial"), f.nll_loss(X, T, reduction="partial")
    assert (a + a).top1 == 2 and (a + a).ignored == 2
    assert (a + b).top1 is None and (b + a).top1 is None and (a + b).ignored == 2
    assert a + 0 == 0 + a == sum([a]) == a
    with pytest.raises(TypeError):
        a + 1.0


@pytest.mark.parametrize("name", REDUCES)
def test_a_partial_survives_every_way_of_keeping_it(name):
    case = CASES[name]
    partial = case.call(case.draw("float64", 60, 7), reduction="partial")
    kept = (
        pickle.loads(pickle.dumps(partial)),
        copy.copy(partial),
        copy.deepcopy(partial),
        f.Partial.from_dict(json.loads(json.dumps(partial.to_dict()))),
    )
    for other in kept:
        assert other == partial and hash(other) == hash(partial) and other.to_dict() == partial.to_dict()
    assert partial != partial + partial and partial != 1


def test_dictionaries_of_before_still_load():
    old = f.Partial.from_dict({"total": 3 * UNIT, "weights": 2 * UNIT, "count": 2, "special": 0.0})
    assert (old.sum, old.mean, old.count, old.ignored, old.top1) == (3.0, 1.5, 2, None, None)
    assert math.isinf(f.Partial.from_dict({"total": 0, "weights": UNIT, "count": 1, "special": math.inf}).sum)


@pytest.mark.parametrize("name", CASES)
def test_bits_of_bfloat16_are_read_as_bfloat16(name):
    case = CASES[name]
    arguments = case.draw(bfloat16, 60, 7, Reach(8, 2))
    tagged = {key: f.as_bfloat16(x.view(np.uint16)) if x.dtype == bfloat16 else x for key, x in arguments.items()}
    got, want = case.call(tagged), case.call(arguments)
    assert got.dtype == want.dtype and got.tobytes() == want.tobytes()


def test_only_sixteen_bits_are_those_of_bfloat16():
    with pytest.raises(TypeError, match="int64"):
        f.as_bfloat16(np.arange(3))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ELEMENTS)
def test_results_keep_the_memory_order_of_their_inputs(name, dtype):
    case = CASES[name]
    plain = {key: x.reshape(6, 10) for key, x in case.draw(dtype, 60).items()}
    fortran = {key: np.asfortranarray(x) for key, x in plain.items()}
    turned = {key: x.reshape(6, 2, 5).transpose(2, 0, 1) for key, x in plain.items()}
    order = np.add(*[next(iter(turned.values())).astype("f4")] * 2).strides  # that of NumPy's own functions
    got, want, again = case.call(fortran), case.call(plain), case.call(turned)
    assert got.flags.f_contiguous and want.flags.c_contiguous and got.tobytes() == want.tobytes()
    assert again.tobytes() == np.ascontiguousarray(want.reshape(6, 2, 5).transpose(2, 0, 1)).tobytes()
    assert [s // again.itemsize for s in again.strides] == [s // 4 for s in order]


SHAPES = [
    (2, 21, 64, 64),
    (3, 5, 40, 41),
    (1, 2, 100_000),
    (40, 128, 8, 5),
    (3, 4, 300, 7, 1),
    (9000, 3, 2),
    (50, 6, 1),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_results_for_each_class_lie_in_memory_as_the_logits_do(shape, dtype):
    """With the same bits as of rows one behind the other, whatever the tasks and their first rows."""
    x = np.random.default_rng(3).standard_normal(shape).astype(dtype)
    rows = np.ascontiguousarray(np.moveaxis(x, 1, -1))
    target = np.arange(rows[..., 0].size).reshape(rows.shape[:-1]) % shape[1]
    want = np.moveaxis(f.log_softmax(rows), -1, 1), np.moveaxis(f.cross_entropy_grad(rows, target), -1, 1)
    for threads in (1, 2, 3):
        f.set_num_threads(threads)
        try:
            got = f.log_softmax(x, axis=1), f.cross_entropy_grad(x, target, axis=1)
        finally:
            f.set_num_threads(0)
        for array, expected in zip(got, want, strict=True):
            assert array.flags.c_contiguous
            np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("rows", [1, 2, 31, 32, 100, 70_001])
def test_a_fortran_matrix_has_results_in_fortran_order(rows):
    x = np.random.default_rng(3).standard_normal((rows, 4))
    got = f.log_softmax(np.asfortranarray(x))
    assert got.flags.f_contiguous
    np.testing.assert_array_equal(got, f.log_softmax(x))


@pytest.mark.parametrize("part", [np.s_[:, None, :300], np.s_[None, :, :300], np.s_[:, None, :300, None]])
def test_axes_of_length_1_change_no_bit_of_elements_with_gaps(part):
    """Their strides say nothing of the memory order. Of `x[:, None]`, every element was read as a row of its own."""
    x, y = np.random.default_rng(9).random((2, 40, 700), np.float32)
    want = f.poisson_nll_loss(x[:, :300], y[:, :300], reduction="none")
    got = f.poisson_nll_loss(x[part], y[part], reduction="none")
    assert got.shape == x[part].shape and got.flags.c_contiguous
    np.testing.assert_array_equal(got.reshape(40, 300), want)
