"""Wrong calls: an error names the argument and the user's own value. One line for each mistake."""

from pathlib import Path

import nll_fast
import numpy as np
import pytest
from ml_dtypes import bfloat16

NAN, INF = np.nan, np.inf
X = np.zeros((3, 4), np.float32)
T = [1, 2, 3]
LM, TOKENS = np.zeros((3, 12, 5), np.float32), np.zeros((3, 12), int)  # a language model's logits and targets
MASK = np.ones((3, 12), bool)
BITS = np.zeros((3, 4), np.uint16)
FOREIGN_BFLOAT16 = np.dtype(bfloat16).newbyteorder()
ITSELF: list = []
ITSELF.append(ITSELF)
PROBS = [[0, 0, 1.0], [0, 0, 1.5]]

# a call, its error, and words of its sentence
WRONG = [
    # what logits are
    (lambda f: f.cross_entropy(X + 1j, T), TypeError, "logits has dtype complex64"),
    (lambda f: f.cross_entropy([[1, 2]], [1]), TypeError, "logits has dtype int64"),
    (lambda f: f.cross_entropy(X[:, :0], T), ValueError, "no classes"),
    (lambda f: f.cross_entropy(X.astype(">f4"), T), TypeError, "byte order"),
    (lambda f: f.entropy(1.0), ValueError, "class axis"),
    (lambda f: f.entropy(X, axis=2), ValueError, "axis is 2"),
    (lambda f: f.cross_entropy(X, T, axis=1.0), TypeError, "axis is 1.0"),
    (lambda f: f.kl_divergence(X, X[:, :3]), ValueError, r"p_logits \(3, 4\), q_logits \(3, 3\)"),
    (lambda f: f.softplus("abc"), TypeError, r"x is 'abc', .*np.load\('abc'"),
    (lambda f: f.cross_entropy(Path("x.npy"), T), TypeError, r"logits is .*Path\('x.npy'\), .*np.load\('x.npy'"),
    (lambda f: f.cross_entropy(X, "t.npy"), TypeError, r"target is 't.npy', .*np.load\('t.npy'"),
    (lambda f: f.softplus([[1.0], [1.0, 2.0]]), ValueError, "x is a list of which NumPy makes no array"),
    (lambda f: f.softplus(ITSELF), ValueError, r"x is .*, which has more than 32 axes"),
    (lambda f: f.dpo_loss(X, X, beta=[[1], [1, 2]]), TypeError, "beta is .*; it must be one number"),
    (lambda f: f.cross_entropy(X, T, axis=np.ones(2)), TypeError, r"axis is an array of shape \(2,\)"),
    (lambda f: f.cross_entropy(LM, TOKENS, shift=1, axis=np.ones(2)), TypeError, "axis is an array"),
    (lambda f: f.mse_loss(X, X, grad=np.ones(2)), TypeError, "grad is an array .*; it must be True or False"),
    (lambda f: f.logsumexp(X, keepdims=np.ones(2)), TypeError, "keepdims is an array of"),
    (lambda f: f.poisson_nll_loss(X, X, log_input=np.ones(2)), TypeError, "log_input is an array of"),
    (lambda f: f.poisson_nll_loss(X, X, full=np.ones(2)), TypeError, "full is an array of"),
    (lambda f: f.binary_cross_entropy(X, X, validate=np.ones(2)), TypeError, "validate is an array of"),
    (lambda f: f.mse_loss(X, X, reduction=np.ones(900)), ValueError, r"reduction is an array of shape \(900,\)"),
    (lambda f: f.mse_loss(X, X, reduction="mean" * 200), ValueError, r"reduction is 'mean.*\.\.\..*; use"),
    (lambda f: f.Partial.of([1.0], ["1"]), TypeError, "weights has dtype <U1"),
    (lambda f: f.cross_entropy(X, T, shift=np.ones(2)), TypeError, r"shift is an array of shape \(2,\)"),
    (lambda f: f.entropy(X, shift=np.ones(2)), TypeError, r"shift is an array of shape \(2,\)"),
    (lambda f: f.categorical_nll([0, 1], [[0.2, 0.8]]), TypeError, "int64; .*predictions come first, then the targets"),
    (lambda f: f.cross_entropy(BITS, T), TypeError, "logits has dtype uint16; .*nll_fast.as_bfloat16"),
    (lambda f: f.cross_entropy(BITS.view("V2"), T), TypeError, "logits has dtype V2.*nll_fast.as_bfloat16"),
    (lambda f: f.softplus(BITS.view("V2")), TypeError, r"x has dtype V2.*x.view\(ml_dtypes.bfloat16\)"),
    (lambda f: f.softplus(BITS.view(bfloat16).astype(FOREIGN_BFLOAT16)), TypeError, "x is bfloat16 in foreign"),
    (lambda f: f.softplus(np.array([1, 2**64 - 1], "u8")), ValueError, r"x is 18446744073709551615 at index \(1,\)"),
    (lambda f: f.softplus([0.0, np.ma.masked]), TypeError, "x is a masked array"),
    (lambda f: f.softplus(np.zeros(2, complex)), TypeError, "x has dtype complex128"),
    (lambda f: f.softplus(np.zeros((1,) * 40)), ValueError, "x has 40 axes"),
    # what targets are
    (lambda f: f.cross_entropy(X, np.eye(4, dtype=int)[:3]), ValueError, "target.argmax"),
    (lambda f: f.cross_entropy(X, ["a", "b", "c"]), TypeError, "target has dtype <U1"),
    (lambda f: f.cross_entropy(X, [None] * 3), TypeError, "target has dtype object"),
    (lambda f: f.cross_entropy(X, np.float32([0, 2.5, 1])), TypeError, r"float32 .* is 2.5 at index \(1,\)"),
    (lambda f: f.cross_entropy(X, [0, NAN, 1]), TypeError, r"is nan at index \(1,\)"),
    (lambda f: f.cross_entropy(X, [0, 1e300, 1]), TypeError, r"is 1e\+300 at index \(1,\)"),
    (lambda f: f.cross_entropy(X, np.ma.masked_array(T, mask=[1, 0, 0])), TypeError, "target is a masked array"),
    (lambda f: f.cross_entropy(X, [0, 1]), ValueError, r"target has shape \(2,\)"),
    (lambda f: f.nll_loss(X, T, axis=0), ValueError, r"shape \(4,\)"),
    (lambda f: f.cross_entropy(X, [1, 2, 4]), IndexError, "target 4 at row 2"),
    (lambda f: f.cross_entropy(X, np.array([0, 1, 2**64 - 1], "u8")), IndexError, "18446744073709551615 at row 2"),
    (lambda f: f.cross_entropy_grad(X, X), TypeError, "class indices"),
    (lambda f: f.sequence_log_probs(LM[0, 0], 3), ValueError, "target is 3, a scalar"),
    (lambda f: f.categorical_nll(PROBS, [2, 2]), ValueError, "1.5 at row 1, class 2"),
    # numbers beside them
    (lambda f: f.cross_entropy(X, T, label_smoothing="a"), TypeError, "label_smoothing is 'a'"),
    (lambda f: f.cross_entropy(X, T, label_smoothing=NAN), ValueError, "label_smoothing is nan"),
    (lambda f: f.cross_entropy(X, X, label_smoothing=1.5), ValueError, "label_smoothing is 1.5"),
    (lambda f: f.cross_entropy_grad(X, T, label_smoothing=-1), ValueError, "label_smoothing is -1"),
    (lambda f: f.cross_entropy(X, T, weight=[1, NAN, 1, 1]), ValueError, "weight"),
    (lambda f: f.cross_entropy(X, T, weight=[1, 2]), ValueError, r"weight has shape \(2,\)"),
    (lambda f: f.cross_entropy(X, T, ignore_index=2**70), ValueError, "ignore_index is 1180591620717411303424"),
    (lambda f: f.cross_entropy(X, T, ignore_index=1.5), TypeError, "ignore_index is 1.5"),
    (lambda f: f.cross_entropy(X, X, ignore_index=1), ValueError, "ignore_index=1"),
    (lambda f: f.cross_entropy(X, T, empty_mean="zero"), TypeError, "empty_mean is 'zero'"),
    (lambda f: f.nll_loss(X, T, empty_mean="zero"), TypeError, "empty_mean is 'zero'"),
    (lambda f: f.categorical_nll(X, T, empty_mean=0.0, reduction="partial"), ValueError, "empty_mean.*'partial'"),
    (lambda f: f.cross_entropy(X, T, reduction="avg"), ValueError, "reduction is 'avg'"),
    (lambda f: f.mse_loss([0.0], [0.0], reduction="avg"), ValueError, "reduction is 'avg'"),
    (lambda f: f.cross_entropy_grad(X, T, reduction="none"), ValueError, "reduction is 'none'"),
    (lambda f: f.cross_entropy_grad(X, T, hess=True), ValueError, "hess is True"),
    (lambda f: f.kl_div(0.0, 0.5, reduction="batchmean"), ValueError, "first axis"),
    (lambda f: f.set_num_threads("2"), TypeError, "threads is '2'"),
    (lambda f: f.set_num_threads(5000), ValueError, "5000"),
    (lambda f: f.cross_entropy(X, T, reduction=X), ValueError, "reduction is "),
    (lambda f: f.Partial.of([1.0, 2.0], [1.0, 2.0, 3.0]), ValueError, r"weights has shape \(3,\)"),
    (lambda f: f.Partial.of([1.0, 2.0], [1.0, INF]), ValueError, "weights is inf; weights must be finite"),
    (lambda f: f.cross_entropy(X, T, sample_weight=[1, 1e-50, 1]), ValueError, "sample_weight holds 1e-50.*float32"),
    (lambda f: f.mse_loss(X, X, weight=np.full(4, 1e39)), ValueError, "weight holds 1e39.*float32"),
    # shift, mask, bytes
    (lambda f: f.sequence_log_probs(np.zeros((3, 2, 4)), [[0, 1, 2]]), ValueError, r"target has shape \(1, 3\)"),
    (lambda f: f.cross_entropy(X, T, shift=1.0), TypeError, "shift is 1.0"),
    (lambda f: f.cross_entropy(X, T[:2], shift=1), ValueError, r"target has shape \(2,\)"),
    (lambda f: f.cross_entropy(LM, TOKENS, shift=13), ValueError, "shift is 13"),
    (lambda f: f.cross_entropy(LM, TOKENS, shift=-1), ValueError, "shift is -1"),
    (lambda f: f.cross_entropy(LM, TOKENS, shift=1, axis=1), ValueError, "class axis, not axis 1"),
    (lambda f: f.cross_entropy(LM, TOKENS, mask=MASK * 1.0), TypeError, "mask has dtype float64"),
    (lambda f: f.cross_entropy(LM, TOKENS, mask=MASK - 100), ValueError, r"mask is -99 at index \(0, 0\)"),
    (lambda f: f.cross_entropy(LM, TOKENS, mask=np.eye(3, 12, 9, int) * 2), ValueError, r"mask is 2 at index \(0, 9\)"),
    (lambda f: f.cross_entropy(LM, TOKENS, mask=np.ma.array(MASK)), TypeError, "mask is a masked array"),
    (lambda f: f.cross_entropy(LM, TOKENS, shift=1, mask=np.ma.array(MASK)), TypeError, "mask is a masked array"),
    (lambda f: f.cross_entropy(LM, TOKENS, mask=MASK[:2]), ValueError, r"mask has shape \(2, 12\)"),
    (lambda f: f.cross_entropy(X, X, mask=[True] * 2), ValueError, r"mask has shape \(2,\), but .* needs \(3,\)"),
    (lambda f: f.cross_entropy(X, X[0], mask=[True] * 4), ValueError, r"target has shape \(4,\)"),
    (lambda f: f.cross_entropy(X, X[:2], mask=[True] * 3), ValueError, r"logits \(3, 4\), target \(2, 4\)"),
    (
        lambda f: f.cross_entropy(LM, TOKENS - 100, mask=MASK, ignore_index=None),
        IndexError,
        r"target -100 at index \(0, 0\)",
    ),
    (lambda f: f.entropy(LM, mask=MASK[:2]), ValueError, r"mask has shape \(2, 12\), but .* needs \(3, 12\)"),
    (lambda f: f.entropy(LM, shift=13), ValueError, r"shift is 13; .* \[0, 12\]"),
    (lambda f: f.entropy(LM, shift=1.0), TypeError, "shift is 1.0"),
    (lambda f: f.entropy(LM, shift=1, axis=1), ValueError, "class axis, not axis 1"),
    (lambda f: f.entropy(LM, mask=MASK, out=np.empty(3)), ValueError, r"out has shape \(3,\), but the result has"),
    (lambda f: f.kl_divergence(LM[:2], LM, mask=MASK[:2]), ValueError, r"p_logits \(2, 12, 5\), q_logits \(3, 12, 5\)"),
    (lambda f: f.bits_per_byte(X, T, b"text"), TypeError, "n_bytes"),
    (lambda f: f.bits_per_byte(X, T, 0), ValueError, "n_bytes is 0"),
    # losses of elements
    (lambda f: f.binary_cross_entropy_with_logits(np.zeros((2, 1)), [0, 1]), ValueError, r"logits of shape \(2, 1\)"),
    (lambda f: f.binary_cross_entropy_with_logits([1.0, 2], [0, 255]), ValueError, r"target is 255.0 at .*\(1,\).*255"),
    (lambda f: f.binary_cross_entropy_with_logits([0, 1], [-0.3, 2.5]), ValueError, "is -0.3.*predictions come first"),
    (lambda f: f.binary_cross_entropy([0, 1], [0.2, 0.9]), ValueError, "probs holds integers.*come first"),
    (lambda f: f.categorical_nll(np.eye(4)[:3], T, clamp="torch"), ValueError, "clamp is 'torch'"),
    (lambda f: f.binary_cross_entropy_with_logits([1.0], [1.0], weight="a"), TypeError, "weight is 'a'"),
    (lambda f: f.binary_cross_entropy_with_logits([1.0], [1.0], hess="all"), ValueError, "hess is 'all'"),
    (lambda f: f.binary_cross_entropy([0.5, 1.0001], [0, 1]), ValueError, r"probs is 1.0001 at index \(1,\)"),
    (lambda f: f.binary_cross_entropy([[0.5, NAN]], [[0, 1]]), ValueError, r"probs is nan at index \(0, 1\)"),
    (lambda f: f.binary_cross_entropy([0.5], [1.5]), ValueError, "target is 1.5"),
    (lambda f: f.binary_cross_entropy([0.5], [1], clamp="max"), ValueError, "clamp is 'max'"),
    (lambda f: f.gaussian_nll_loss([0.0], [0.0], [-1.0]), ValueError, "var is -1"),
    (
        lambda f: f.gaussian_nll_loss([1, 1], [2, 2], sigma=[1.0, -1.0]),
        ValueError,
        r"sigma is -1.0 at index \(1,\)",
    ),
    (lambda f: f.gaussian_nll_loss([0.0], [0.0], 1.0, sigma=1.0), TypeError, "exactly one"),
    (lambda f: f.gaussian_nll_loss([1.0], [2.0], 1.0, eps="a"), TypeError, "eps is 'a'"),
    (lambda f: f.gaussian_nll_loss(X, X, np.ones(5)), ValueError, r"var has shape \(5,\), .* \(3, 4\)"),
    (lambda f: f.mse_loss(X, X, grad=True, wrt="var"), ValueError, "wrt holds 'var'; name some of 'mean' and 'target'"),
    (lambda f: f.mse_loss(X, X, grad=True, wrt=("mean", "mean")), ValueError, "wrt holds 'mean'.*each once"),
    (lambda f: f.mse_loss(X, X, grad=True, wrt=1), TypeError, "wrt is 1"),
    (lambda f: f.mse_loss(X, X, wrt="mean"), ValueError, "wrt is 'mean'.*grad=True"),
    (lambda f: f.mse_loss(X, X, mask=[True] * 5), ValueError, r"mask has shape \(5,\)"),
    (lambda f: f.mse_loss(X, X, mask=X), TypeError, "mask has dtype float32"),
    (lambda f: f.cross_entropy(X, T, sample_weight=[1.0] * 4), ValueError, r"sample_weight has shape \(4,\)"),
    (lambda f: f.cross_entropy(X, T, sample_weight=[1.0, NAN, 1.0]), ValueError, "sample_weight .*NaN of row 1"),
    (lambda f: f.cross_entropy(X, X, hess="exact"), TypeError, "class indices"),
    (lambda f: f.kl_divergence(X, X[:, :2], axis=0), ValueError, r"p_logits \(3, 4\), q_logits \(3, 2\); nothing is"),
    (lambda f: f.kl_divergence(X, X[:2]), ValueError, r"p_logits \(3, 4\), q_logits \(2, 4\); nothing is broadcast"),
    (lambda f: f.kl_divergence(X, X, wrt="q_logits"), ValueError, "wrt is 'q_logits'.*grad=True"),
    (lambda f: f.mse_loss(X, X, hess="exact", wrt="target"), ValueError, "hess is by mean, which wrt='target'"),
    (lambda f: f.dpo_loss([1.0], [2.0], [1.0]), TypeError, "ref_rejected_logps is None"),
    (lambda f: f.binary_cross_entropy_with_logits(X[:, :3] * 0, X[:, :3] * 0, weight=[1.0, 2, 3]), ValueError, "write"),
    (lambda f: f.cross_entropy(np.zeros((2, 3, 4, 4)), np.zeros((2, 4, 4), int)), ValueError, "axis=1"),
    (lambda f: f.categorical_nll([0.2, 0.4], [0, 1]), ValueError, "use binary_cross_entropy"),
    (
        lambda f: f.cross_entropy(LM, TOKENS + 99 * (TOKENS[2, 7] == TOKENS), shift=1),
        IndexError,
        "without the first 1 of",
    ),
    (lambda f: f.cross_entropy(LM, TOKENS + 99, shift=1, grad=True), IndexError, "without the first 1 of"),
    (lambda f: f.sequence_log_probs(LM, TOKENS + 99, shift=1), IndexError, "without the first 1 of"),
    (lambda f: f.cross_entropy(X, T, ignore_index=f.as_bfloat16(np.array(1, np.uint16))), TypeError, "ignore_index is"),
    (lambda f: f.cross_entropy(X, T, label_smoothing=np.array("0.1")), TypeError, "label_smoothing is"),
    (lambda f: f.Partial(1, special=1.5), ValueError, "special is 1.5"),
    (lambda f: f.cross_entropy(LM, TOKENS * 0 + 9), IndexError, r"target 9 at index \(0, 0\)"),
    (lambda f: f.gaussian_nll_loss([0.0], [0.0]), TypeError, "exactly one of .*; none is given"),
    (lambda f: f.poisson_nll_loss(X, X, full="gamma"), ValueError, "full is 'gamma'"),
    (lambda f: f.poisson_nll_loss(X, X, log_input=False, log_offset=1.0), ValueError, "multiply the rate"),
    (lambda f: f.poisson_nll_loss(X, X, full="exact", grad=True, wrt="target"), ValueError, "wrt holds 'target'"),
    (lambda f: f.poisson_nll_loss([1.0], [2.0], eps=-1), ValueError, "eps is -1"),
    (lambda f: f.poisson_nll_loss([0.0], [1], hess="upper"), ValueError, "hess='upper'"),
    (lambda f: f.dpo_loss([1.0], [2.0], beta=[1.0]), TypeError, r"beta is \[1.0\]"),
    (lambda f: f.dpo_loss([1.0], [2.0], beta=-1), ValueError, "beta is -1"),
    (lambda f: f.dpo_loss([0.0], [0.0], loss_type="dpo"), ValueError, "loss_type is 'dpo'"),
    (lambda f: f.dpo_loss([0.0], [0.0], loss_type="exo_pair"), ValueError, "label_smoothing is 0"),
    # where results go
    (lambda f: f.softplus(X, out=np.empty((3, 4), int)), TypeError, "out"),
    (lambda f: f.softplus(X, out=np.empty((4, 3))), ValueError, r"out has shape \(4, 3\)"),
    (lambda f: f.softplus(X, out=np.empty((3, 8))[:, ::2]), ValueError, "out"),
    (lambda f: f.softplus(X, out=X), ValueError, "out, .*, shares memory"),
    (lambda f: f.cross_entropy(X, T, reduction="none", out=X.reshape(-1)[:3]), ValueError, "out, .*, shares memory"),
    (lambda f: f.log_softmax(X, axis=0, out=np.empty((4, 3))), ValueError, "out.* axis 0"),
    # partial totals
    (lambda f: f.Partial(1.0), TypeError, "total is 1.0"),
    (lambda f: f.Partial.from_dict({"total": 1}), ValueError, "are missing: weights, count, special"),
    (lambda f: f.Partial.from_dict({"totals": 1}), ValueError, "fields is {'totals': 1}.* no such fields: 'totals'"),
]


@pytest.mark.parametrize(("call", "error", "words"), WRONG)
def test_a_wrong_argument_is_named(call, error, words):
    with pytest.raises(error, match=words):
        call(nll_fast)


@pytest.mark.parametrize("wrong", [-1e-45, 1.0000001, -INF, INF, NAN, -NAN])
def test_the_place_of_a_wrong_probability_is_named(wrong):
    with pytest.raises(ValueError, match=r"probs is .* at index \(1,\)"):
        nll_fast.binary_cross_entropy(np.float32([0.5, wrong]), [0, 1])


@pytest.mark.parametrize("value", [3, -1, -3, 2**40])
def test_the_first_target_out_of_range_is_named_and_nothing_is_written(value):
    x = np.zeros((40_000, 3), np.float32)
    target = np.zeros(40_000, np.int64)
    target[[30_001, 39_000]] = value
    out = np.full(40_000, 7, np.float32)
    with pytest.raises(IndexError, match=rf"target {value} at row 30001 "):
        nll_fast.cross_entropy(x, target, reduction="none", out=out)
    assert (out == 7).all()


def test_an_unsigned_target_beyond_int64_does_not_become_the_ignored_one():
    target = np.array([0, 2**64 - 100], np.uint64)
    for mask in (None, [True, True]):
        with pytest.raises(IndexError, match="18446744073709551516 at row 1"):
            nll_fast.cross_entropy(np.zeros((2, 4)), target, mask=mask)


EXTREME_TARGETS = [-(2**63), -(2**63) + 1, -101, -1, 4, 2**62, 2**63 - 1]


@pytest.mark.parametrize("bad", EXTREME_TARGETS)
@pytest.mark.parametrize("ignore_index", [None, -100, 2])
def test_a_target_that_is_no_class_is_refused_by_every_function(bad, ignore_index):
    probs = np.full((300, 4), 0.25)
    target = np.zeros(300, np.int64)
    target[[270, 280]] = bad
    for function in (nll_fast.nll_loss, nll_fast.categorical_nll, nll_fast.cross_entropy):
        for table in (probs, np.asfortranarray(probs, np.float32), probs.astype(np.float16)[::-1]):
            for reduction in ("none", "mean", "sum"):
                with pytest.raises(IndexError, match=f"target {bad} at row 270 "):
                    function(table, target, ignore_index=ignore_index, reduction=reduction)
    for function in (nll_fast.token_log_probs, nll_fast.perplexity, nll_fast.score):
        with pytest.raises(IndexError, match=f"target {bad} at row 270 "):
            function(probs, target, ignore_index=ignore_index)


@pytest.mark.parametrize("reduction", ["mean", "none"])
@pytest.mark.parametrize(("bad_target", "bad_probability"), [(30_001, 30_002), (30_002, 30_001), (300, 299)])
def test_the_first_row_without_a_loss_is_named_whatever_is_wrong_with_it(reduction, bad_target, bad_probability):
    probs, target = np.full((40_000, 3), 0.5, np.float32), np.zeros(40_000, np.int64)
    target[bad_target], probs[bad_probability, 0] = 3, 1.5
    error = IndexError if bad_target < bad_probability else ValueError
    with pytest.raises(error, match=f"row {min(bad_target, bad_probability)}"):
        nll_fast.categorical_nll(probs, target, reduction=reduction)
