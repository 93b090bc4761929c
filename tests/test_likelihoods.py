"""The losses of single observations: the oracle, edge cases, derivatives, bits, totals."""

import json
import pickle

import nll_fast
import numpy as np
import pytest
from ml_dtypes import bfloat16
from nll_fast import reference

INF, NAN = np.inf, np.nan
rng = np.random.default_rng(11)
N = 5000
WIDE = rng.standard_normal(N) * 30
LABEL = rng.integers(0, 2, N)
SOFT = rng.random(N)
POSITIVE = 10 ** rng.uniform(-4, 4, N)
COUNTS = rng.poisson(4, N)

# (function, arguments that take the dtype under test, other arguments, keywords)
CASES = [
    ("binary_cross_entropy_with_logits", (WIDE,), (LABEL,), {}),
    ("binary_cross_entropy_with_logits", (WIDE, SOFT), (), {"pos_weight": 3.0}),
    ("binary_cross_entropy_with_logits", (WIDE, SOFT), (), {"weight": SOFT}),
    ("binary_cross_entropy", (SOFT,), (LABEL,), {}),
    ("binary_cross_entropy", (SOFT, SOFT[::-1]), (), {"clamp": "eps"}),
    ("log_sigmoid", (WIDE,), (), {}),
    ("softplus", (WIDE,), (), {}),
    ("gaussian_nll_loss", (WIDE, SOFT, POSITIVE), (), {}),
    ("gaussian_nll_loss", (WIDE, SOFT), (2.0,), {"full": True}),
    ("gaussian_nll_loss", (WIDE, SOFT), (), {"log_var": 0.5}),
    ("gaussian_nll_loss", (WIDE, SOFT), (), {"sigma": 3.0}),
    ("mse_loss", (WIDE, SOFT), (), {}),
    ("poisson_nll_loss", (WIDE / 10,), (COUNTS,), {}),
    ("poisson_nll_loss", (POSITIVE,), (COUNTS,), {"log_input": False, "full": True}),
    ("bradley_terry_loss", (WIDE, SOFT), (), {"margin": 0.5}),
    ("entr", (SOFT,), (), {}),
    ("rel_entr", (SOFT, SOFT[::-1]), (), {}),
    ("kl_div", (np.log(SOFT), SOFT[::-1]), (), {}),
    ("kl_div", (np.log(SOFT), np.log(SOFT[::-1])), (), {"log_target": True}),
]
IDS = [f"{name}-{i}" for i, (name, *_) in enumerate(CASES)]
ELEMENTWISE = {"log_sigmoid", "softplus", "entr", "rel_entr"}


def call(module, case, dtype, **more):
    name, typed, others, keywords = case
    typed = [x.astype(dtype) for x in typed]
    more = {} if name in ELEMENTWISE else more
    return getattr(module, name)(*typed, *others, **keywords, **more), typed


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, bfloat16], ids=lambda d: np.dtype(d).name)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_against_the_oracle(case, dtype):
    got, typed = call(nll_fast, case, dtype, reduction="none")
    want, _ = call(reference, case, dtype, reduction="none")
    double = dtype == np.float64
    assert got.dtype == (np.float64 if double else np.float32)
    # Where two terms cancel, as log v and d²/v may, the error is relative to the larger one.
    cancels = case[0] in ("gaussian_nll_loss", "poisson_nll_loss", "kl_div", "rel_entr", "binary_cross_entropy")
    size = np.maximum(np.abs(want), 1.0 if cancels else 0.0)
    if case[0] == "poisson_nll_loss":
        x = typed[0].astype(np.float64)
        rate, log_rate = (x, np.log(x)) if "log_input" in case[3] else (np.exp(x), x)
        size = np.maximum.reduce([size, rate, np.abs(COUNTS * log_rate)])
    if double:
        # The oracle's own error counts here: it rounds what it exponentiates.
        assert np.all(np.abs(got - want) <= 3e-14 * size)
    else:
        ulp = np.spacing(size.astype(np.float32)).astype(np.float64)
        worst = np.max(np.abs(got - want) / ulp)
        # A weight adds its own rounding to float32 and that of the product.
        assert worst <= (3 if cancels or "weight" in case[3] else 2), worst


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_same_bits_for_any_threads_strides_and_alone(case):
    name, typed, others, keywords = case
    if (others and isinstance(others[0], np.ndarray)) or "weight" in keywords:
        others = ()
        typed = (*typed, SOFT) if len(typed) == 1 and name not in ELEMENTWISE else typed
        keywords = {k: v for k, v in keywords.items() if k != "weight"}
    tiled = [np.tile(x.astype(np.float32), 40) for x in typed]
    f = getattr(nll_fast, name)
    none = {} if name in ELEMENTWISE else {"reduction": "none"}
    results, means = [], []
    for threads in (1, 2, 5):
        nll_fast.set_num_threads(threads)
        results.append(f(*tiled, *others, **keywords, **none))
        if none:
            means.append(f(*tiled, *others, **keywords))
    nll_fast.set_num_threads(0)
    strided = [np.repeat(x, 2)[::2] for x in tiled]
    results.append(f(*strided, *others, **keywords, **none))
    transposed = [np.ascontiguousarray(x.reshape(400, -1).T).T for x in tiled]
    results.append(f(*transposed, *others, **keywords, **none).reshape(-1))
    assert all(np.array_equal(results[0], other) for other in results)
    assert len(set(means)) <= 1
    one = f(*(x[17:18] for x in tiled), *others, **keywords, **none)
    assert one[0] == results[0][17]


@pytest.mark.parametrize(
    ("x", "y", "want"),
    [
        (INF, 1, 0.0), (-INF, 0, 0.0), (INF, 0, INF), (-INF, 1, INF), (1000, 0, 1000.0), (-1000, 0, 0.0),
        (40, 1, 4.248354255291589e-18), (-37, 0, 8.533047625744066e-17), (NAN, 1, NAN), (0, 0.3, np.log(2)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_binary_edges(x, y, want, dtype):
    got = nll_fast.binary_cross_entropy_with_logits(np.array([x], dtype), np.array([y], dtype), reduction="none")
    np.testing.assert_allclose(got, [want], rtol=4e-7 if dtype == np.float32 else 1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_binary_limits_stand_among_others(dtype):
    """The formula is NaN at x = ±∞, and on the x86 baseline at the largest x: blocks with such are looked at again."""
    most = np.finfo(dtype).max
    special = np.array([INF, -INF, NAN, most, -most, most / 3, 0.0, -0.0], dtype)
    x = np.concatenate([WIDE.astype(dtype), np.repeat(special, 5)])
    y = np.concatenate([SOFT.astype(dtype), np.tile(np.array([0, 1, 0.25, NAN, 1 - 2**-20], dtype), len(special))])
    order = np.random.default_rng(1).permutation(len(x))
    x, y = x[order], y[order]
    losses = nll_fast.binary_cross_entropy_with_logits(x, y, reduction="none")
    want = reference.binary_cross_entropy_with_logits(x.astype("f8"), y.astype("f8"), reduction="none")
    np.testing.assert_allclose(losses, want.astype(dtype), rtol=4 * np.finfo(dtype).eps)
    alone = [nll_fast.binary_cross_entropy_with_logits(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
    assert np.array_equal(losses.astype("f8"), alone, equal_nan=True)


def test_other_edges():
    f = nll_fast
    # The example in torch's documentation of BCEWithLogitsLoss.
    of_torch = f.binary_cross_entropy_with_logits(np.full((10, 64), 1.5), np.ones((10, 64)), pos_weight=np.ones(64))
    assert round(of_torch, 4) == 0.2014
    assert f.log_sigmoid(np.float32([90]))[0] == np.float32(-8.194013e-40)
    np.testing.assert_array_equal(f.log_sigmoid([-INF, INF]), [-INF, 0])
    np.testing.assert_array_equal(f.entr([0.0, -1.0, 1.0]), [0, -INF, 0])
    np.testing.assert_array_equal(f.rel_entr([0.0, 0.5, 0.0, -1.0], [0.5, 0.0, 0.0, 1.0]), [0, INF, 0, INF])
    assert f.kl_div([-INF], [0.0]) == 0 and f.kl_div([-INF], [0.5]) == INF
    assert f.rel_entr([0.3], [0.3])[0] == 0
    assert round(f.gaussian_nll_loss([1.0], [1.0], 0.0), 4) == -6.9078
    assert f.gaussian_nll_loss([1.0], [2.0], INF) == INF and np.isnan(f.gaussian_nll_loss([1.0], [1.0], NAN))
    assert f.gaussian_nll_loss([0.0], [1e200], 1e300) == pytest.approx(5e99)
    assert f.poisson_nll_loss([0.0], [0], log_input=False) == 0 and np.isnan(f.poisson_nll_loss([INF], [2]))
    assert np.isnan(f.mse_loss(np.empty(0), np.empty(0))) and f.mse_loss([], [], reduction="sum") == 0
    for clamp, want in (("torch", 100), ("eps", 36.04365338911715), (None, INF)):
        assert f.binary_cross_entropy([0.0], [1], clamp=clamp) == pytest.approx(want)


def test_shared_formulas_share_their_bits():
    a, b = np.float64([2.0, -3.5, 40.0]), np.float64([0.5, 1.25, -0.75])
    bt = nll_fast.bradley_terry_loss(a, b, reduction="none")
    bce = nll_fast.binary_cross_entropy_with_logits(a - b, [1, 1, 1], reduction="none")
    assert np.array_equal(bt, bce) and np.array_equal(bt, nll_fast.softplus(b - a))
    assert np.array_equal(bt, nll_fast.dpo_loss(a, b, beta=1.0, reduction="none"))
    two_classes = nll_fast.cross_entropy(np.stack([a, b], -1), [0, 0, 0], reduction="none")
    np.testing.assert_allclose(bt, two_classes, rtol=5e-16)
    half = nll_fast.gaussian_nll_loss(a, b, 1.0, reduction="none")
    assert np.array_equal(half, 0.5 * nll_fast.mse_loss(a, b, reduction="none"))


def test_bradley_terry_keeps_its_digits_where_the_scores_are_far_apart():
    chosen, rejected = np.float32([33.3]), np.float32([-66.6])
    want = reference.bradley_terry_loss(chosen, rejected, reduction="none")
    np.testing.assert_allclose(
        nll_fast.bradley_terry_loss(chosen, rejected, reduction="none"), want, rtol=2e-7, atol=1.5e-45
    )


@pytest.mark.parametrize(
    "loss_type",
    [
        "sigmoid", "robust", "hinge", "ipo", "exo_pair", "nca_pair", "bco_pair", "kto_pair", "sppo_hard",
        "apo_zero", "apo_down",
    ],
)  # fmt: skip
def test_dpo(loss_type):
    logps = -50 * rng.random((4, 300))
    options = {"loss_type": loss_type, "label_smoothing": 0.1, "beta": 0.3, "reference_point": 0.2}
    got = nll_fast.dpo_loss(*logps, reduction="none", **options)
    want = reference.dpo_loss(*logps, reduction="none", **options)
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-13)
    loss, rewards = nll_fast.dpo_loss(*logps, return_rewards=True, **options)
    assert loss == pytest.approx(want.mean())
    np.testing.assert_array_equal(rewards["margins"], rewards["chosen"] - rewards["rejected"])
    assert rewards["accuracy"] == np.mean(rewards["margins"] > 0)


DIFFERENTIABLE = [case for case in CASES if case[0] in (
    "binary_cross_entropy_with_logits", "gaussian_nll_loss", "mse_loss", "poisson_nll_loss", "bradley_terry_loss",
)]  # fmt: skip


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case[0])
def test_derivatives_are_the_slopes_of_the_oracle(case):
    name, typed, others, keywords = case
    first, rest = np.clip(typed[0], -8, 8), typed[1:]
    value, gradient, hessian = getattr(nll_fast, name)(
        first, *rest, *others, **keywords, reduction="none", hess="exact"
    )
    step = 1e-4 * (np.abs(first) if "log_input" in keywords else np.maximum(1, np.abs(first)))
    oracle = [
        getattr(reference, name)(first + s, *rest, *others, **keywords, reduction="none") for s in (-step, 0, step)
    ]
    slope, bend = (oracle[2] - oracle[0]) / (2 * step), (oracle[2] - 2 * oracle[1] + oracle[0]) / step**2
    np.testing.assert_allclose(gradient, slope, rtol=1e-5, atol=1e-5 * np.abs(slope).max())
    np.testing.assert_allclose(hessian, bend, rtol=1e-3, atol=1e-5 * np.abs(bend).max())
    mean, mean_gradient = getattr(nll_fast, name)(first, *rest, *others, **keywords, grad=True)
    np.testing.assert_allclose(mean_gradient, gradient / N, rtol=1e-14)
    assert mean == pytest.approx(value.mean(), rel=1e-12)
    if name in ("binary_cross_entropy_with_logits", "bradley_terry_loss"):
        upper = getattr(nll_fast, name)(first, *rest, *others, **keywords, reduction="none", hess="upper")[2]
        assert np.all(upper >= hessian * (1 - 1e-15))


def test_totals_are_exact_and_partials_merge_to_the_bits_of_the_whole():
    from fractions import Fraction

    for x in (WIDE, WIDE.astype(np.float32), WIDE * 1e-3, np.concatenate([WIDE, [1e-300, 1e200]])):
        losses = nll_fast.softplus(x)
        y = np.zeros(len(x), x.dtype)
        losses = nll_fast.binary_cross_entropy_with_logits(x, y, reduction="none")
        exact = sum(map(Fraction, losses.tolist()))
        assert nll_fast.binary_cross_entropy_with_logits(x, y, reduction="sum") == float(exact)
        for parts in (2, 3, 7):
            pieces = np.array_split(x, parts)
            partials = [nll_fast.binary_cross_entropy_with_logits(p, 0.0, reduction="partial") for p in pieces]
            merged = sum(reversed(partials))
            assert merged.sum == float(exact) and merged.count == len(x)
            assert merged.mean == nll_fast.binary_cross_entropy_with_logits(x, y)
            assert pickle.loads(pickle.dumps(merged)) == merged
            assert nll_fast.Partial.from_dict(json.loads(json.dumps(merged.to_dict()))) == merged
    logits, target = rng.standard_normal((30, 7)), rng.integers(0, 7, 30)
    weight = rng.random(7)
    parts = [
        nll_fast.cross_entropy(logits[i : i + 7], target[i : i + 7], weight=weight, reduction="partial")
        for i in range(0, 30, 7)
    ]
    assert sum(parts).mean == nll_fast.cross_entropy(logits, target, weight=weight)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda f: f.binary_cross_entropy_with_logits(np.zeros((2, 1)), [0, 1]), ValueError, "nothing is broadcast"),
        (lambda f: f.binary_cross_entropy([0.5, 1.0001], [0, 1]), ValueError, r"probs is 1.0001 at index \(1,\)"),
        (lambda f: f.binary_cross_entropy([[0.5, NAN]], [[0, 1]]), ValueError, r"nan at index \(0, 1\)"),
        (lambda f: f.binary_cross_entropy([0.5], [1.5]), ValueError, "target is 1.5"),
        (lambda f: f.gaussian_nll_loss([0.0], [0.0], [-1.0]), ValueError, "var is -1"),
        (lambda f: f.gaussian_nll_loss([0.0], [0.0], 1.0, sigma=1.0), TypeError, "exactly one"),
        (lambda f: f.gaussian_nll_loss(np.zeros((2, 3)), np.zeros((2, 3)), np.ones(2)), ValueError, "broadcast"),
        (lambda f: f.dpo_loss([0.0], [0.0], loss_type="dpo"), ValueError, "one of sigmoid"),
        (lambda f: f.dpo_loss([0.0], [0.0], loss_type="exo_pair"), ValueError, r"needs it in \(0, 1\)"),
        (lambda f: f.poisson_nll_loss([0.0], [1], hess="upper"), ValueError, "no upper bound"),
        (lambda f: f.mse_loss([0.0], [0.0], reduction="avg"), ValueError, "reduction is 'avg'"),
        (lambda f: f.softplus(np.zeros(2, complex)), TypeError, "complex128"),
        (lambda f: f.softplus(np.zeros((1,) * 40)), ValueError, "at most 32"),
        (lambda f: f.kl_div(0.0, 0.5, reduction="batchmean"), ValueError, "first axis"),
        (lambda f: f.set_num_threads(5000), ValueError, "1024"),
    ],
)  # fmt: skip
def test_errors_are_sentences(call, error, message):
    with pytest.raises(error, match=message):
        call(nll_fast)


def test_small_types_are_read_by_value():
    assert nll_fast.gaussian_nll_loss([0.0], [1.0], sigma=np.array([20], "u1")) == pytest.approx(
        nll_fast.gaussian_nll_loss([0.0], [1.0], sigma=20.0)
    )
    x, y = rng.standard_normal((4, 5)), np.arange(4)
    for dtype in (">i8", ">i4", "u1", "i2"):
        assert nll_fast.cross_entropy(x, y.astype(dtype)) == nll_fast.cross_entropy(x, y)
    unaligned = np.zeros(33, np.uint8)[1:].view("i8")
    unaligned[:] = y
    assert nll_fast.cross_entropy(x, unaligned) == nll_fast.cross_entropy(x, y)
    weight = np.array([1, 2, 0.5, 1, 1])
    want = nll_fast.cross_entropy(x, y, weight=weight)
    for other in (weight.astype(bfloat16), weight.astype(">f4"), weight.tolist()):
        assert nll_fast.cross_entropy(x, y, weight=other) == want
    with pytest.raises(TypeError, match="masked"):
        nll_fast.cross_entropy(x, np.ma.masked_array(y, mask=[1, 0, 0, 0]))
    batch = nll_fast.kl_div(np.log([0.5, 0.5]), np.full((8, 2), 0.25), reduction="batchmean")
    assert batch == nll_fast.kl_div(np.log(np.full((8, 2), 0.5)), np.full((8, 2), 0.25), reduction="batchmean")


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16])
def test_hard_labels_take_a_shorter_way_to_the_same_bits(dtype):
    """A chunk whose labels are all 0 or 1 takes one logarithm each: beside one soft label it takes two."""
    p = np.concatenate([[0, 1, 1e-7, 0.5, 1 - 2**-10], SOFT]).astype(dtype)
    y = np.concatenate([[0, 1, 1, 0, 0], LABEL]).astype(dtype)
    y[0], y[1] = 1, 0  # the clamp
    for clamp in ("torch", "eps", None):
        hard = nll_fast.binary_cross_entropy(p, y, clamp=clamp, reduction="none")
        soft = y.copy()
        soft[64::128] = 0.5
        mixed = nll_fast.binary_cross_entropy(p, soft, clamp=clamp, reduction="none")
        np.testing.assert_array_equal(hard[soft == y], mixed[soft == y])
        assert (hard[soft != y] != mixed[soft != y]).any()


def test_limits_know_the_zero_with_a_sign_and_every_nan():
    minus_zero, minus_nan = np.float32([-0.0, 0.5]), np.copysign(np.float32([NAN, 1.0]), [-1, 1])
    assert nll_fast.binary_cross_entropy(minus_zero, [0, 1], reduction="none").tolist() == [0, np.float32(np.log(2))]
    assert np.isnan(nll_fast.gaussian_nll_loss([0.0, 0.0], [0.0, 0.0], minus_nan, reduction="none")).tolist() == [
        True,
        False,
    ]
    for wrong in (-1e-45, 1.0000001, -INF, INF, NAN, -NAN):
        with pytest.raises(ValueError, match=r"at index \(1,\)"):
            nll_fast.binary_cross_entropy(np.float32([0.5, wrong]), [0, 1])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_variances_of_every_size_with_and_without_a_floor(dtype):
    """eps = 0 lets subnormal variances and 0 through; a usual eps takes a logarithm that knows neither."""
    tiny = np.finfo(dtype).smallest_subnormal
    v = np.array([0, tiny, 100 * tiny, np.finfo(dtype).tiny, 1e-30, 1.0, np.finfo(dtype).max, INF, NAN], dtype)
    for eps in (0.0, 1e-6, 1e-300):
        got = nll_fast.gaussian_nll_loss(np.zeros_like(v), np.zeros_like(v), v, eps=eps, reduction="none")
        floor = dtype(eps)
        with np.errstate(divide="ignore"):
            want = 0.5 * np.log(np.where(v < floor, floor, v).astype(np.float64))
        want[(v == 0) & (floor == 0)] = NAN  # 0/0
        np.testing.assert_allclose(got, want, rtol=3e-7 if dtype == np.float32 else 1e-15)
