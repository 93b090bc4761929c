"""Language models: shift, masks, sums of texts, bits."""

import tracemalloc

import nll_fast
import numpy as np
import pytest
from nll_fast import reference

rng = np.random.default_rng(9)
LOGITS = rng.standard_normal((3, 12, 50)).astype(np.float32) * 3
TOKENS = rng.integers(0, 50, (3, 12))
MASK = rng.random((3, 12)) < 0.7
TOKENS[1, 3] = -100


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("mask", [None, MASK], ids=["all", "masked"])
def test_against_the_oracle(shift, mask):
    where = {"shift": shift, "mask": mask}
    got = nll_fast.token_log_probs(LOGITS, TOKENS, **where)
    want = reference.token_log_probs(LOGITS, TOKENS, **where)
    assert got.shape == (3, 12 - shift) and got.dtype == np.float32
    np.testing.assert_allclose(got, want, rtol=3e-7)
    sums, counts = nll_fast.sequence_log_probs(LOGITS, TOKENS, **where)
    want, count = reference.sequence_log_probs(LOGITS, TOKENS, **where)
    np.testing.assert_allclose(sums, want, rtol=1e-7)
    assert np.array_equal(counts, count) and sums.dtype == np.float64
    for name, more in (("perplexity", ()), ("bits_per_token", ()), ("bits_per_byte", (77,))):
        got = getattr(nll_fast, name)(LOGITS, TOKENS, *more, **where)
        np.testing.assert_allclose(got, getattr(reference, name)(LOGITS, TOKENS, *more, **where), rtol=1e-7)


def test_shift_is_the_sliced_call_bit_for_bit():
    sliced = nll_fast.cross_entropy(LOGITS[:, :-1].copy(), TOKENS[:, 1:].copy())
    assert nll_fast.cross_entropy(LOGITS, TOKENS, shift=1) == sliced
    one = nll_fast.cross_entropy(LOGITS[0], TOKENS[0], shift=1, reduction="none")
    assert np.array_equal(one, nll_fast.cross_entropy(LOGITS, TOKENS, shift=1, reduction="none")[0])
    soft = rng.dirichlet(np.ones(50), (3, 12))
    shifted = nll_fast.cross_entropy(LOGITS, soft, shift=1)
    assert shifted == nll_fast.cross_entropy(LOGITS[:, :-1], soft[:, 1:])


def test_shift_copies_no_logits():
    logits = np.zeros((4, 256, 2000), np.float32)
    target = np.zeros((4, 256), np.int64)
    tracemalloc.start()
    nll_fast.cross_entropy(logits, target, shift=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < logits.nbytes / 50


def test_masked_rows_are_not_read():
    poisoned = LOGITS.copy()
    poisoned[~MASK] = np.nan
    assert nll_fast.cross_entropy(poisoned, TOKENS, mask=MASK) == nll_fast.cross_entropy(LOGITS, TOKENS, mask=MASK)
    # Without an ignore_index, -100 is no class; a mask still leaves out.
    with pytest.raises(IndexError, match="-100"):
        nll_fast.cross_entropy(LOGITS, TOKENS, mask=np.ones_like(MASK), ignore_index=None)
    assert np.isnan(nll_fast.cross_entropy(LOGITS, TOKENS, mask=np.zeros_like(MASK), ignore_index=None))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda f: f.cross_entropy(LOGITS, TOKENS, shift=13), ValueError, "12 positions"),
        (lambda f: f.cross_entropy(LOGITS, TOKENS, shift=-1), ValueError, "shift is -1"),
        (lambda f: f.cross_entropy(LOGITS, TOKENS, shift=1, axis=1), ValueError, "last class axis"),
        (lambda f: f.cross_entropy(LOGITS, TOKENS, mask=MASK.astype(int)), TypeError, "pass booleans"),
        (lambda f: f.cross_entropy(LOGITS, TOKENS, mask=MASK[:2]), ValueError, "mask has shape"),
        (lambda f: f.bits_per_byte(LOGITS, TOKENS, 0), ValueError, "n_bytes is 0"),
        (lambda f: f.sequence_log_probs(LOGITS[0, 0], 3), ValueError, "last axis of positions"),
    ],
)
def test_errors_are_sentences(call, error, words):
    with pytest.raises(error, match=words):
        call(nll_fast)
