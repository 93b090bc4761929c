"""What users pass instead of an array of floats: it is read as what it means, or refused in a sentence."""

import nll_fast
import numpy as np
import pytest
from ml_dtypes import bfloat16
from nll_fast import as_bfloat16

from .cases import CASES, Reach

ELEMENTS = [name for name, case in CASES.items() if not case.rows]
THREE = as_bfloat16(np.array(3, bfloat16).view(np.uint16))  # without an axis


@pytest.mark.parametrize("name", ELEMENTS)
def test_one_number_of_bfloat16_is_not_its_bits(name):
    case = CASES[name]
    arguments = case.draw(bfloat16, 4, reach=Reach(8, 2))
    want = case.call({key: x[1] if x.dtype.kind in "iu" else float(x[1]) for key, x in arguments.items()})
    typed = {key: x[1] for key, x in arguments.items()}
    bits = {key: as_bfloat16(x.view(np.uint16))[1] if x.dtype == bfloat16 else x[1] for key, x in arguments.items()}
    assert case.call(typed) == case.call(bits) == want


def test_an_option_of_bfloat16_is_not_its_bits():
    assert nll_fast.gaussian_nll_loss([0.0], [3.0], 1.0, eps=THREE) == nll_fast.gaussian_nll_loss([0.0], [3.0], 3.0)
    with pytest.raises(TypeError, match="it must be an integer"):
        nll_fast.cross_entropy(np.zeros((4, 5)), [0, 1, 2, 3], shift=THREE)


@pytest.mark.parametrize("depth", [1, 2])
def test_lists_of_bfloat16_are_not_lists_of_bits(depth):
    want = np.full((1,) * (depth - 1) + (2,), np.logaddexp(0, 3), np.float32)
    for pair in ([THREE, THREE], [THREE, np.float32(3)]):
        for _ in range(depth - 1):
            pair = [pair]
        got = nll_fast.softplus(pair)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, rtol=1e-7)
    row = as_bfloat16(np.array([0, 3, 1], bfloat16).view(np.uint16))
    assert nll_fast.cross_entropy([row, row], [1, 0]) == nll_fast.cross_entropy(np.float32([[0, 3, 1]] * 2), [1, 0])


class Lone:
    """Like an array of JAX without an axis: an array by itself, but not as a part of a list of NumPy's."""

    def __init__(self, value):
        self.value = value

    def __array__(self, dtype=None, copy=None):
        if dtype is not None:
            raise TypeError("expected number")
        return np.asarray(self.value)

    def __float__(self):
        raise TypeError("expected number")


def test_a_list_may_hold_whatever_is_an_array():
    want = nll_fast.softplus(np.float32([3, 1]))
    np.testing.assert_array_equal(nll_fast.softplus([Lone(bfloat16(3)), Lone(bfloat16(1))]), want)


def test_two_bytes_without_a_meaning_can_be_given_theirs():
    x = np.array([0, 3, 1], bfloat16)
    assert nll_fast.logsumexp(as_bfloat16(x.view("V2"))) == nll_fast.logsumexp(x)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int16", "int32", "int64", "uint64"])
@pytest.mark.parametrize("name", ELEMENTS)
def test_elements_of_foreign_byte_order_or_without_alignment_give_the_bits_of_others(name, dtype):
    case = CASES[name]
    arguments = case.draw("float32", 40)
    arguments = {key: np.abs(x).astype(dtype) if key == "target" else x for key, x in arguments.items()}
    arguments = {key: np.asfortranarray(x.reshape(5, 8)) for key, x in arguments.items()}
    want = case.call(arguments)
    for strange in (foreign, misaligned):
        got = case.call({key: strange(x) for key, x in arguments.items()})
        assert got.dtype == want.dtype and got.tobytes() == want.tobytes() and got.strides == want.strides


def foreign(x):
    return x.astype(x.dtype.newbyteorder())


def misaligned(x):
    """The same values one byte further, in the same memory order."""
    got = np.ndarray(x.shape, x.dtype, np.empty(x.nbytes + 1, np.uint8), 1, x.strides)
    got[...] = x
    assert not got.flags.aligned
    return got


@pytest.mark.parametrize("strange", [foreign, misaligned])
def test_what_is_small_beside_logits_may_have_any_byte_order(strange):
    x, target, weight = np.float32([[0, 1], [2, 0]]), np.array([1, 0], ">i4"), np.float32([1, 2])
    mask, want = np.array([1, 0]), nll_fast.cross_entropy(x, target, weight=weight)
    assert nll_fast.cross_entropy(x, strange(target), weight=strange(weight)) == want
    assert nll_fast.cross_entropy(x, strange(target.astype("u8")), weight=weight) == want
    assert nll_fast.bradley_terry_loss(x, 0.0, margin=np.array(1.5, ">f4")) == nll_fast.bradley_terry_loss(x, 1.5)
    assert nll_fast.cross_entropy(x, target, mask=strange(mask)) == nll_fast.cross_entropy(x[:1], target[:1])


@pytest.mark.parametrize("dtype", ["?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"])
def test_integers_of_any_size_leave_float32_results_float32(dtype):
    y = np.array([0, 1, 1], dtype)
    got = nll_fast.mse_loss(np.float32([0.5, 0.5, 3]), y, reduction="none")
    assert got.dtype == np.float32 and got.tolist() == [0.25, 0.25, 4]
    assert nll_fast.softplus(y).dtype == np.float64


class Series:
    """Like a column of pandas or polars: it has a shape, its keys are labels, and NumPy can view it."""

    def __init__(self, values):
        self.values = np.asarray(values)
        self.shape = self.values.shape

    def __array__(self, dtype=None, copy=None):
        return self.values

    def __getitem__(self, key):
        raise KeyError("key of type tuple not found and not a MultiIndex")


@pytest.mark.parametrize("mask", [None, [True, False, True, True]])
def test_shift_takes_columns_of_data_frames(mask):
    x, target = np.random.default_rng(0).standard_normal((4, 7)), [0, 1, 2, 3]
    want = nll_fast.token_log_probs(x, target, shift=1, mask=mask)
    where = {"shift": 1, "mask": None if mask is None else Series(mask)}
    np.testing.assert_array_equal(nll_fast.token_log_probs(Series(x), Series(target), **where), want)
    np.testing.assert_array_equal(nll_fast.sequence_log_probs(x, Series(target), **where)[0], want.sum())


class Lazy:
    """Like an array of Dask: NumPy can view it, which loads all of it."""

    __module__ = "dask.array.core"
    shape = (2, 3)
    ndim = 2

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("all of it was loaded")


def test_an_array_of_dask_is_not_loaded_without_a_word():
    x = np.zeros((2, 3))
    for call in (
        lambda: nll_fast.cross_entropy(Lazy(), [0, 1]),
        lambda: nll_fast.cross_entropy(x, Lazy()),
        lambda: nll_fast.entropy(Lazy()),
        lambda: nll_fast.mse_loss(x, Lazy()),
        lambda: nll_fast.cross_entropy(x, [0, 1], mask=Lazy()),
        lambda: nll_fast.token_log_probs(Lazy(), [0, 1], shift=1),
    ):
        with pytest.raises(TypeError, match=r"is a Dask collection.*\.compute\(\).*reduction='partial'"):
            call()


ONES = np.random.default_rng(1).random((3, 12)) < 0.7
LM, TOKENS = np.random.default_rng(2).standard_normal((3, 12, 5)), np.random.default_rng(3).integers(0, 5, (3, 12))


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", ["int64", "uint8", "list", "int list", "big-endian"])
def test_a_mask_of_zeros_and_ones_is_one_of_booleans(kind, shift):
    kinds = {"list": ONES.tolist(), "int list": ONES.astype(int).tolist(), "big-endian": ONES.astype(">i4")}
    mask = kinds[kind] if kind in kinds else ONES.astype(kind)
    for function in (nll_fast.cross_entropy, nll_fast.perplexity):
        want = function(LM, TOKENS, mask=ONES, shift=shift)
        assert function(LM, TOKENS, mask=mask, shift=shift) == want
