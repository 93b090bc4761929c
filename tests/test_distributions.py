"""Entropy, divergence and soft targets: identities, and rows far apart or nearly certain."""

import nll_fast
import numpy as np
import pytest
from nll_fast import reference

INF = np.inf


@pytest.fixture
def logits():
    """Draws rows, from a generator of the test's own."""
    r = np.random.default_rng(4)
    return lambda rows, classes: r.standard_normal((rows, classes)) * 5


def test_divergence_is_never_negative_and_zero_for_equals(logits):
    p = logits(200, 50)
    assert np.all(nll_fast.kl_divergence(p, p, reduction="none") == 0)
    nearby = p + 0.2e-9 * logits(200, 50)
    near = nll_fast.kl_divergence(p, nearby, reduction="none")
    assert np.all(near >= 0) and np.all(near < 1e-16)
    shifted = nll_fast.kl_divergence(p, p + 3, reduction="none")
    assert np.all(shifted >= 0) and np.all(shifted < 1e-28)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_far_apart(dtype, logits):
    p, q = (logits(40, 300) * 12).astype(dtype), (logits(40, 300) * 12).astype(dtype)
    p[:, 17] = -INF
    p[3:9, 5] = q[6:12, 5] = -INF
    p[9:12, 5] = 90
    got = nll_fast.kl_divergence(p, q, reduction="none")
    want = reference.kl_divergence(p, q, reduction="none")
    assert (got[9:12] == INF).all() and np.isfinite(got[:9]).all()
    np.testing.assert_allclose(got, want, rtol=1e-12 if dtype == np.float64 else 3e-7)


@pytest.mark.parametrize("classes", [2, 3, 10, 16, 17, 128, 129, 515, 3000])
def test_divergences_of_float32_near_and_far(classes):
    """Directly or from terms, whichever way a row and its neighbours go: to the last bits, and the same alone."""
    r = np.random.default_rng(classes)
    p = (r.standard_normal((80, classes)) * 3).astype("float32")
    apart = np.float32(10.0) ** r.uniform(-6, 1, (80, 1)).astype("float32")
    q = p + apart * r.standard_normal((80, classes)).astype("float32")
    q[3], p[4, 0], q[5, 0], p[6, 1] = p[3], 20, 25, np.nan
    p[7, 0] = q[7, 0] = p[8, 0] = q[9, 0] = -INF
    p[10, 0], q[10, 0], p[11, 0], q[11, 0], p[12, 0], q[13, 0] = -690, -750, -750, -710, -800, -800
    p[14], q[14], p[15], q[15] = p[14] + 1e5, q[14] + 3e4, p[15] * 1e30, q[15] * 1e30
    p[16, -1], q[17, -1] = 300, INF
    q[18], q[19], p[20] = 3e9 + 256 * r.integers(-2, 1, classes), -1e12, 1e12
    p[21, 0], q[21, 0], p[22, :2], q[22, 0] = -1000, -INF, (-740, 5), -INF
    p[23:40, 0], q[23:40, 0] = (r.uniform(10, 60, 17) for _ in range(2))
    p[40:50, 1:], q[40:50, 1:] = -INF, -INF
    p[50:52], q[50:52] = -690, -690
    p[50:52, 0], q[50, 1], q[51, 0] = 0, 0, 0
    got = nll_fast.kl_divergence(p, q, reduction="none")
    want = nll_fast.kl_divergence(p.astype("float64"), q.astype("float64"), reduction="none")
    np.testing.assert_allclose(got, want, rtol=2 * np.finfo("float32").eps, atol=1.5e-45)
    assert got[3] == 0 and (got[[9, 21, 22]] == INF).all() and np.isnan(got[17]) and not got[40:50].any()
    wrt = {"grad": True, "wrt": ("p_logits", "q_logits"), "reduction": "none"}
    _, (by_p, by_q) = nll_fast.kl_divergence(p, q, **wrt)
    turned = nll_fast.kl_divergence(np.asfortranarray(p), np.asfortranarray(q), reduction="none")
    assert np.array_equal(turned, got, equal_nan=True)
    for row in range(80):
        alone = slice(row, row + 1)
        value, (p_slope, q_slope) = nll_fast.kl_divergence(p[alone], q[alone], **wrt)
        for one, all_rows in ((value, got), (p_slope, by_p), (q_slope, by_q)):
            assert np.array_equal(one, all_rows[alone], equal_nan=True)
        assert np.array_equal(nll_fast.kl_divergence(p[alone], q[alone], reduction="none"), value, equal_nan=True)


@pytest.mark.parametrize("p_tail, q_tail", [(-13.716133, -13.701614), (-12.925763, -12.932707), (-13, -12.98)])
@pytest.mark.parametrize("classes", [100, 512, 1024, 4096])
def test_many_equal_small_terms_beside_the_largest_lose_no_digits(classes, p_tail, q_tail):
    """Each is rounded the same way when it is added to a sum of 1."""
    p, q = (np.full((1, classes), tail, "float32") for tail in (p_tail, q_tail))
    p[:, 0] = q[:, 0] = 0
    want = reference.kl_divergence(p.astype(np.longdouble), q.astype(np.longdouble))
    np.testing.assert_allclose(nll_fast.kl_divergence(p, q), float(want), rtol=1.5e-7)


def test_the_entropy_of_a_nearly_certain_row_is_known_to_the_least_float32():
    for gap in (40, 80, 86, 88, 90, 95, 100, 102):
        x = np.float32([[0, -gap, -gap - 1, -gap - 30]])
        want = nll_fast.reference.entropy(x)
        np.testing.assert_allclose(nll_fast.entropy(x), want, rtol=2.5e-7, atol=1.5e-45)
        assert nll_fast.entropy(x, reduction="sum") == nll_fast.entropy(x)[0]
        y = np.float32([[0, -gap - 2, -gap, -gap]])
        want = nll_fast.reference.kl_divergence(x, y)
        np.testing.assert_allclose(nll_fast.kl_divergence(x, y), want, rtol=1e-6, atol=1.5e-45)


MASK = np.random.default_rng(8).random((3, 12)) < 0.6
QUANTITIES = {
    "entropy": lambda p, q, **how: nll_fast.entropy(p, **how),
    "kl_divergence": lambda p, q, **how: nll_fast.kl_divergence(p, q, **how),
    "cross_entropy": lambda p, q, **how: nll_fast.cross_entropy(p, np.roll(q, how.get("shift", 0), 1), **how),
}


@pytest.fixture
def pair(logits):
    return logits(36, 50).reshape(3, 12, 50), logits(36, 50).reshape(3, 12, 50)


@pytest.mark.parametrize("shift", [0, 1, 12])
@pytest.mark.parametrize("mask", [None, MASK, MASK.astype(int).tolist(), np.zeros_like(MASK)])
@pytest.mark.parametrize("name", QUANTITIES)
def test_rows_that_shift_or_mask_leave_out_are_not_read_and_count_for_nothing(name, mask, shift, pair):
    call = QUANTITIES[name]
    flags = (np.ones((3, 12), bool) if mask is None else np.array(mask, bool))[:, shift:]
    every = call(*(x[:, : 12 - shift] for x in pair), reduction="none")
    for x in pair:
        x[:, 12 - shift :] = np.nan
        x[:, : 12 - shift][~flags] = np.nan
    got = call(*pair, shift=shift, mask=mask, reduction="none")
    assert got.dtype == every.dtype
    np.testing.assert_array_equal(got, np.where(flags, every, 0))
    out = np.full(got.shape, 7.0)
    partial = call(*pair, shift=shift, mask=mask, reduction="partial", out=out)
    np.testing.assert_array_equal(out, got)
    assert partial.count == flags.sum() and partial.sum == call(*pair, shift=shift, mask=mask, reduction="sum")
    mean = call(*pair, shift=shift, mask=mask, reduction="mean")
    assert mean == partial.mean if flags.any() else np.isnan(mean)


def test_a_mask_of_rows_beyond_one_block_leaves_their_bits_alone():
    x = np.random.default_rng(1).standard_normal((9, 50_000), dtype=np.float32)
    mask = np.arange(9) != 4
    assert nll_fast.entropy(x, mask=mask)[mask].tolist() == nll_fast.entropy(x)[mask].tolist()
    assert nll_fast.entropy(x, mask=mask, reduction="sum") == nll_fast.entropy(x[mask], reduction="sum")
    one = nll_fast.entropy(x.T, mask=mask, axis=0), nll_fast.entropy(x[0], mask=True), nll_fast.entropy(x[0], mask=0)
    assert one[0].tolist() == nll_fast.entropy(x, mask=mask).tolist() and one[1:] == (nll_fast.entropy(x[0]), 0)


RISES = {
    "a little": lambda place: place * 5,
    "beyond the first scale": lambda place: place * 400 - 200,
    "beyond the range of e^x": lambda place: place * 3000 - 1500,
    "past a center": lambda place: 16000 + place * 1000,
    "from center to center": lambda place: place * 1e6,
    "from impossible classes": lambda place: np.where(place < 0.4, -INF, place),
    "towards 0 from a center": lambda place: np.where(place < 0.8, -20_000, -4097 - place),
    "from a center to others": lambda place: np.where(place < 0.8, -16_400, -100 - place),
    "to equal ones": lambda place: np.minimum(np.floor(place * 4), 2),
    "to +inf": lambda place: np.where(place > 0.999, INF, place),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("rise", RISES)
def test_the_largest_logit_may_rise_from_block_to_block(rise, dtype, logits):
    """A row is read once: sums so far are brought to the largest logit when a later block has it."""
    classes = 7000
    x = (RISES[rise](np.arange(classes) / classes) + logits(5, classes)).astype(dtype)
    x[4] = x[4, ::-1]
    y = np.where(np.isneginf(x), -1, x + logits(5, classes)).astype(dtype)
    soft = np.exp(log_p_of(logits(5, classes)))
    soft = np.where(np.isneginf(x), 0, soft).astype(dtype)
    target = np.argmax(x, 1)
    rtol = {"float32": 3e-7, "float64": 1e-13}[dtype]
    least = {"float32": 1e-37, "float64": 1e-300}[dtype]
    with np.errstate(invalid="ignore"):
        log_p, log_q = log_p_of(x), log_p_of(y)
        p, times = np.exp(log_p), lambda a, b: np.where(a == 0, 0, a * b)
        want = {
            "entropy": (-times(p, log_p).sum(1), x),
            "log_softmax": (log_p, x),
            "kl_divergence": (times(p, log_p - log_q).sum(1), x, y),
            "cross_entropy": (-times(soft, log_p).sum(1), x, soft),
            "cross_entropy_grad": (p - (np.arange(classes) == target[:, None]), x, target),
        }
    for name, (value, *arguments) in want.items():
        reductions = {"kl_divergence": "none", "cross_entropy": "none", "cross_entropy_grad": "sum"}
        keywords = {"reduction": reductions[name]} if name in reductions else {}
        got = getattr(nll_fast, name)(*arguments, **keywords)
        # The last subtracts the target's 1 from a probability.
        atol = 1e-15 if name == "cross_entropy_grad" else least
        np.testing.assert_allclose(got, value, rtol, atol, err_msg=name)


def log_p_of(x):
    """Log softmax in 80-bit floating point, by the loss of the largest class."""
    x, largest = x.astype(np.longdouble), np.argmax(x, 1)[:, None]
    d = x - np.take_along_axis(x, largest, 1)
    others = np.exp(d)
    np.put_along_axis(others, largest, 0, 1)
    return d - np.log1p(others.sum(1, keepdims=True))


def test_a_target_that_is_impossible_in_the_first_blocks_is_an_infinite_loss(logits):
    x = logits(3, 5000).astype("float32")
    x[:2, :4000] = -INF
    soft = np.zeros_like(x)
    soft[:, [7, 4500]] = 0.5
    soft[1, [7, 4500]] = [0, 1]
    got = nll_fast.cross_entropy(x, soft, reduction="none")
    assert got[0] == INF and np.isfinite(got[1:]).all()


def test_logits_further_apart_than_any_number_count_for_nothing():
    """A later block's largest logit is 2e308 above the earlier one's."""
    x, y = np.full(3000, -1e308), np.zeros(3000)
    x[2500], y[2500] = 1e308, 1
    assert nll_fast.entropy(x) == nll_fast.cross_entropy(x, y) == 0
    assert nll_fast.kl_divergence(x, x) == 0


def test_a_later_block_far_above_the_first_keeps_the_digits_of_a_loss():
    """The rounding of ln 2 is corrected beside a center, not in its last digit."""
    x = np.full(3000, 1e5)
    x[2048:], x[-1] = 1e5 + 40.5, 1e5 + 60
    want = 3.2317474742383186e-06  # mpmath
    assert abs(nll_fast.cross_entropy(x, np.array(2999)) - want) <= np.spacing(want)


def test_terms_that_are_kept_survive_two_rises():
    """The first scale still fits after the second block; from the third on, its factor is below the least float32."""
    x = np.full(6000, 0, "float32")
    x[:3] = 325, 330, 301
    x[2048:2051] = 349, 343.5681, 340
    x[4096:4098] = 443.22565, 400
    grad = nll_fast.cross_entropy_grad(x, np.array(5999), reduction="sum")
    want = reference.log_softmax(x.astype(np.float64))
    np.testing.assert_allclose(grad[2048:4098], np.exp(want[2048:4098]), rtol=3e-7, atol=1.5e-45)
    assert grad[2049] > 0


def test_a_divergence_as_large_as_the_logits_is_no_rounding():
    """q is certain of a class that p all but rules out: the sums that are subtracted are as large as the result."""
    p, q = np.array([-25.0, -352.0, -107.0, -19.0, -3.0]), np.array([1.0, 35.0, 1e38, 31.0, 31.0])
    for dtype in (np.float64, np.float32):
        for far in (1e10, 1e20, 1e38):
            q[2] = far
            for copies in (1, 40):
                x, y = (np.tile(row, copies).astype(dtype) for row in (p, q))
                y[7:] = y[:1]
                x[7:] = -700
                np.testing.assert_allclose(nll_fast.kl_divergence(x, y), far, rtol=1e-6)
                np.testing.assert_allclose(nll_fast.compare(x, y).kl_pq, far, rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 130, 289, 2053])
def test_a_target_on_an_impossible_class_costs_infinitely_much_and_none_on_it_nothing(classes, dtype):
    x = np.random.default_rng(classes).standard_normal((3, classes)).astype(dtype)
    y = np.full((3, classes), 1 / classes, dtype)
    for at in {0, classes // 2, classes - 1}:
        masked, without = x.copy(), y.copy()
        masked[1, at], without[:, at] = -np.inf, 0
        losses = nll_fast.cross_entropy(masked, y, reduction="none")
        assert losses[1] == np.inf and np.isfinite(losses[[0, 2]]).all()
        others = np.arange(classes) != at
        rest = nll_fast.cross_entropy(masked[:, others], without[:, others], reduction="none")
        tolerance = 1e-6 if dtype == np.float32 else 1e-14
        got = nll_fast.cross_entropy(masked, without, reduction="none")
        np.testing.assert_allclose(got[1], rest[1], rtol=tolerance)
        entropies = [nll_fast.entropy(rows, reduction="none")[1] for rows in (masked, masked[:, others])]
        np.testing.assert_allclose(*entropies, rtol=tolerance)
        scores = nll_fast.score(masked, np.full(3, (at + 1) % classes))
        np.testing.assert_allclose(scores.entropy[1], entropies[1], rtol=tolerance)
