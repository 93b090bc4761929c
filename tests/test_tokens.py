"""Language models: shift, masks, sums of texts, bits."""

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
    want = reference.cross_entropy(LOGITS, TOKENS, **where)
    np.testing.assert_allclose(nll_fast.cross_entropy(LOGITS, TOKENS, **where), want, rtol=1e-7)
    soft = np.random.default_rng(1).dirichlet(np.ones(50), (3, 12))
    want = reference.cross_entropy(LOGITS, soft, **where)
    np.testing.assert_allclose(nll_fast.cross_entropy(LOGITS, soft, **where), want, rtol=1e-7)
    for name in ("entropy", "kl_divergence"):
        rows = (LOGITS, np.flip(LOGITS))[: 1 + (name == "kl_divergence")]
        got, want = (getattr(library, name)(*rows, reduction="none", **where) for library in (nll_fast, reference))
        np.testing.assert_allclose(got, want, rtol=1e-6)
    for name, more in (("perplexity", ()), ("bits_per_token", ()), ("bits_per_byte", (77,))):
        got = getattr(nll_fast, name)(LOGITS, TOKENS, *more, **where)
        np.testing.assert_allclose(got, getattr(reference, name)(LOGITS, TOKENS, *more, **where), rtol=1e-7)


def test_shift_is_the_sliced_call_bit_for_bit():
    sliced = nll_fast.cross_entropy(LOGITS[:, :-1].copy(), TOKENS[:, 1:].copy())
    assert nll_fast.cross_entropy(LOGITS, TOKENS, shift=1) == sliced
    one = nll_fast.cross_entropy(LOGITS[0], TOKENS[0], shift=1, reduction="none")
    assert np.array_equal(one, nll_fast.cross_entropy(LOGITS, TOKENS, shift=1, reduction="none")[0])
    soft = np.random.default_rng(1).dirichlet(np.ones(50), (3, 12))
    shifted = nll_fast.cross_entropy(LOGITS, soft, shift=1)
    assert shifted == nll_fast.cross_entropy(LOGITS[:, :-1], soft[:, 1:])


def test_masked_rows_are_not_read():
    poisoned = LOGITS.copy()
    poisoned[~MASK] = np.nan
    assert nll_fast.cross_entropy(poisoned, TOKENS, mask=MASK) == nll_fast.cross_entropy(LOGITS, TOKENS, mask=MASK)
    assert np.isnan(nll_fast.cross_entropy(LOGITS, TOKENS, mask=np.zeros_like(MASK), ignore_index=None))
