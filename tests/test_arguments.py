"""Wrong arguments: one sentence that names the argument, the user's own value and what to pass instead."""

import nll_fast
import numpy as np
import pytest

X = np.zeros((3, 4), np.float32)
T = [1, 2, 3]

# a call, its error, and words of its sentence
WRONG = [
    (lambda f: f.cross_entropy(X, np.eye(4, dtype=int)[:3]), ValueError, "of one-hot rows, target.argmax"),
    (lambda f: f.cross_entropy(X, ["a", "b", "c"]), TypeError, "target has dtype <U1"),
    (lambda f: f.cross_entropy(X, [None] * 3), TypeError, "target has dtype object"),
    (lambda f: f.cross_entropy(X + 1j, T), TypeError, "logits has dtype complex64"),
    (lambda f: f.cross_entropy([[1, 2]], [1]), TypeError, r"logits has dtype int64.*np.asarray\(logits"),
    (lambda f: f.cross_entropy(X, T, label_smoothing="a"), TypeError, "label_smoothing is 'a'"),
    (lambda f: f.cross_entropy(X, T, label_smoothing=np.nan), ValueError, "label_smoothing is nan"),
    (lambda f: f.cross_entropy(X, X, label_smoothing=1.5), ValueError, "label_smoothing is 1.5"),
    (lambda f: f.cross_entropy_grad(X, T, label_smoothing=-1), ValueError, "label_smoothing is -1"),
    (lambda f: f.cross_entropy_grad(X, X), TypeError, "class indices only"),
    (lambda f: f.cross_entropy(X, T, ignore_index=2**70), ValueError, "ignore_index is 1180591620717411303424"),
    (lambda f: f.cross_entropy(X, T, ignore_index=1.5), TypeError, "ignore_index is 1.5"),
    (lambda f: f.cross_entropy(X, T, shift=1.0), TypeError, "shift is 1.0"),
    (lambda f: f.cross_entropy(X, T[:2], shift=1), ValueError, r"target has shape \(2,\)"),
    (lambda f: f.cross_entropy(X, X, mask=[True] * 3), TypeError, "mask needs integer targets, not float32"),
    (lambda f: f.cross_entropy(X, T, mask=[1, 0, 1]), TypeError, "mask has dtype int64"),
    (lambda f: f.cross_entropy(X, T, mask=[True]), ValueError, r"mask has shape \(1,\)"),
    (lambda f: f.nll_loss(X, T, axis=0), ValueError, r"one class index each, shape \(4,\)"),
    (lambda f: f.bits_per_byte(X, T, b"text"), TypeError, "len"),
    (lambda f: f.bits_per_byte(X, T, 0), ValueError, "n_bytes is 0"),
    (lambda f: f.dpo_loss([1.0], [2.0], beta=[1.0]), TypeError, r"beta is an array of shape \(1,\)"),
    (lambda f: f.dpo_loss([1.0], [2.0], beta=-1), ValueError, "beta is -1"),
    (lambda f: f.gaussian_nll_loss([1.0], [2.0], 1.0, eps="a"), TypeError, "eps is 'a'"),
    (lambda f: f.gaussian_nll_loss([1.0], [2.0], sigma=[1.0, -1.0]), ValueError, r"-1.0 at index \(1,\)"),
    (lambda f: f.poisson_nll_loss([1.0], [2.0], eps=-1), ValueError, "eps is -1"),
    (lambda f: f.softplus("abc"), TypeError, "x has dtype <U3"),
    (lambda f: f.binary_cross_entropy_with_logits([1.0], [1.0], weight="a"), TypeError, "weight has dtype"),
    (lambda f: f.set_num_threads("2"), TypeError, "threads is '2'"),
    (lambda f: f.Partial(1.0), TypeError, "total is 1.0"),
    (lambda f: f.Partial.from_dict({"total": 1}), ValueError, "not total"),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG)
def test_a_wrong_argument_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call(nll_fast)


def test_a_partial_shows_what_one_asks_of_it():
    assert repr(nll_fast.mse_loss([1.0, 2.0], [1.0, 4.0], reduction="partial")) == "Partial(sum=4.0, mean=2.0, count=2)"
