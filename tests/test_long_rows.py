"""Rows of more than 2^18 classes, which are computed in pieces by all threads."""

import subprocess
import sys

import nll_fast
import numpy as np
import pytest

LONG = 2**18  # the most classes of a row that is computed by one thread
LENGTHS = LONG + 1, LONG + 70_000, 2**20 + 3
DTYPES = "float32", "float64"
ROWS = 3


def draw(length, dtype, rows=ROWS):
    """Logits, other logits, distributions as targets, and a class of each row, in different pieces of it."""
    rng = np.random.default_rng(length)
    x, y = (scale * rng.standard_normal((rows, length)) for scale in (3, 2))
    soft = rng.random((rows, length))
    soft /= soft.sum(-1, keepdims=True)
    return x.astype(dtype), y.astype(dtype), soft.astype(dtype), np.resize([7, 200_001, length - 1], rows)


class Oracle:
    """The formulas in long double, of logits x, the logits y of q, soft targets a and classes t."""

    def __init__(self, x, y, a, t):
        self.x, self.y, self.a = (array.astype(np.longdouble) for array in (x, y, a))
        self.t = t
        self.log_p, self.log_q = (z - self.lse(z)[:, None] for z in (self.x, self.y))
        self.p, self.q = np.exp(self.log_p), np.exp(self.log_q)

    @staticmethod
    def lse(x):
        most = x.max(-1, keepdims=True)
        return np.log(np.exp(x - most).sum(-1)) + most[:, 0]

    def one_hot(self):
        return np.arange(self.x.shape[-1]) == self.t[:, None]

    def divergence(self):
        return (self.p * (self.log_p - self.log_q)).sum(-1)

    def entropy(self):
        return -(self.p * self.log_p).sum(-1)


def class_weight(x):
    return 0.5 + np.arange(x.shape[-1]) % 3


# Name: the call, its oracle, and whether each number is within 2 ulp. Gradients are within 4 of their largest number.
FUNCTIONS = {
    "logsumexp": (lambda x, y, a, t: nll_fast.logsumexp(x), lambda o: o.lse(o.x), True),
    "logsumexp, b": (
        lambda x, y, a, t: nll_fast.logsumexp(x, b=a),
        lambda o: np.log((o.a * np.exp(o.x)).sum(-1)),
        True,
    ),
    "log_softmax": (lambda x, y, a, t: nll_fast.log_softmax(x), lambda o: o.log_p, True),
    "cross_entropy": (
        lambda x, y, a, t: nll_fast.cross_entropy(x, t, reduction="none"),
        lambda o: -np.take_along_axis(o.log_p, o.t[:, None], -1)[:, 0],
        True,
    ),
    "cross_entropy, smoothed and weighted": (
        lambda x, y, a, t: nll_fast.cross_entropy(x, t, weight=class_weight(x), label_smoothing=0.1, reduction="none"),
        lambda o: -((0.9 * o.one_hot() + 0.1 / o.x.shape[-1]) * class_weight(o.x) * o.log_p).sum(-1),
        True,
    ),
    "cross_entropy, distributions": (
        lambda x, y, a, t: nll_fast.cross_entropy(x, a, reduction="none"),
        lambda o: -(o.a * o.log_p).sum(-1),
        True,
    ),
    "categorical_nll, distributions": (
        lambda x, y, a, t: nll_fast.categorical_nll(a, a, reduction="none"),
        lambda o: -(o.a * np.log(o.a)).sum(-1),
        True,
    ),
    "entropy": (lambda x, y, a, t: nll_fast.entropy(x), Oracle.entropy, True),
    "kl_divergence": (lambda x, y, a, t: nll_fast.kl_divergence(x, y, reduction="none"), Oracle.divergence, True),
    "cross_entropy_grad": (
        lambda x, y, a, t: nll_fast.cross_entropy_grad(x, t, reduction="sum"),
        lambda o: o.p - o.one_hot(),
        False,
    ),
    "cross_entropy_grad, smoothed": (
        lambda x, y, a, t: nll_fast.cross_entropy_grad(x, t, label_smoothing=0.1, reduction="sum"),
        lambda o: o.p - 0.9 * o.one_hot() - 0.1 / o.x.shape[-1],
        False,
    ),
    "cross_entropy, hess": (
        lambda x, y, a, t: nll_fast.cross_entropy(x, t, grad=True, hess="exact", reduction="sum")[2],
        lambda o: o.p * (1 - o.p),
        False,
    ),
    "cross_entropy, gradient by distributions": (
        lambda x, y, a, t: nll_fast.cross_entropy(x, a, grad=True, reduction="sum")[1],
        lambda o: o.p * o.a.sum(-1, keepdims=True) - o.a,
        False,
    ),
    "entropy, gradient": (
        lambda x, y, a, t: nll_fast.entropy(x, reduction="sum", grad=True)[1],
        lambda o: -o.p * (o.log_p + o.entropy()[:, None]),
        False,
    ),
    "kl_divergence, gradient by p": (
        lambda x, y, a, t: nll_fast.kl_divergence(x, y, reduction="sum", grad=True, wrt="p_logits")[1],
        lambda o: o.p * (o.log_p - o.log_q - o.divergence()[:, None]),
        False,
    ),
    "kl_divergence, gradient by q": (
        lambda x, y, a, t: nll_fast.kl_divergence(x, y, reduction="sum", grad=True, wrt="q_logits")[1],
        lambda o: o.q - o.p,
        False,
    ),
}


@pytest.fixture(scope="module", params=[(length, dtype) for length in LENGTHS for dtype in DTYPES], ids=str)
def case(request):
    arrays = draw(*request.param)
    return arrays, Oracle(*arrays)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_long_rows_have_the_values_of_the_formulas(name, case):
    arrays, oracle = case
    call, formula, each = FUNCTIONS[name]
    found, right = call(*arrays), formula(oracle)
    assert found.dtype == arrays[0].dtype
    sizes = np.abs(right) if each else np.abs(right).max(-1, keepdims=True)
    errors = np.abs(found - right) / np.spacing(sizes.astype(found.dtype))
    assert errors.max() <= (2 if each else 4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_bits_of_long_rows_do_not_depend_on_threads_layout_or_neighbours(name, threads):
    x, y, a, t = draw(LONG + 70_000, "float32")
    call = FUNCTIONS[name][0]
    threads(1)
    bits = call(x, y, a, t)
    for count in (2, 3):
        threads(count)
        np.testing.assert_array_equal(call(x, y, a, t), bits)
    np.testing.assert_array_equal(call(*(np.asfortranarray(z) for z in (x, y, a)), t), bits)
    strided = [np.repeat(z, 2, axis=-1)[:, ::2] for z in (x, y, a)]
    np.testing.assert_array_equal(call(*strided, t), bits)
    np.testing.assert_array_equal(call(x[1:2], y[1:2], a[1:2], t[1:2]), bits[1:2])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_long_rows_of_float16_are_those_of_the_same_numbers_in_float32(name):
    *arrays, t = draw(LONG + 1, "float16", rows=2)
    if "categorical" in name or ", b" in name:
        arrays[2] = np.maximum(arrays[2], np.float16(6e-8))
    call = FUNCTIONS[name][0]
    np.testing.assert_array_equal(call(*arrays, t), call(*(array.astype("float32") for array in arrays), t))


def stairs(steps, size):
    """A level for each class: as many steps as are named, one behind the other."""
    return np.repeat(steps, -(-size // len(steps)))[:size]


# What is added to the logits: where the largest stands, and how far apart pieces are, decides how they merge.
LEVELS = {
    "even": [0],
    "rising": [-90, -40, 0, 3, 4, 30, 60, 95],
    "falling": [95, 60, 30, 4, 3, 0, -40, -90],
    "far above 0": [30_000, 30_040, 29_990],
    "far apart": [-30_000, 30_000, 0, 30_010],
    "impossible first": [-np.inf, -np.inf, 0, 5],
    "impossible between": [0, -np.inf, 5, -np.inf],
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("levels", LEVELS)
@pytest.mark.parametrize("name", [name for name in FUNCTIONS if "smoothed" not in name and "categorical" not in name])
def test_an_impossible_class_more_makes_a_row_long_and_changes_nothing(name, levels, dtype):
    x, y, a, _ = draw(LONG, dtype)
    levels = stairs(LEVELS[levels], LONG).astype(dtype)
    x, y = x + levels, y + levels
    a *= np.isfinite(levels)
    t = np.add(x.argmax(-1), [0, 5, -5])
    more = [np.pad(z, ((0, 0), (0, 1)), constant_values=end) for z, end in ((x, -np.inf), (y, -np.inf), (a, 0))]
    short, long = (FUNCTIONS[name][0](*arrays, t) for arrays in ((x, y, a), more))
    if long.ndim == 2:
        assert np.all(long[:, -1] == (-np.inf if name == "log_softmax" else 0))
        long = long[:, :-1]
    tolerance = 4 * np.finfo(dtype).eps
    sizes = np.abs(np.where(np.isfinite(short), short, 0)).max() if long.ndim == 2 else 0
    np.testing.assert_allclose(long, short, rtol=tolerance, atol=tolerance * sizes)


def test_totals_weights_and_ignored_rows_of_long_rows():
    x, y, _, t = draw(LONG + 1, "float32", rows=20)
    t[3], t[5], t[9] = -100, x[5].argmax(), x[9].argmax()
    counts, weights = t != -100, np.arange(20) / 4
    losses = nll_fast.cross_entropy(x, t, reduction="none")
    assert losses[3] == 0 and np.all(losses[counts] > 0)
    assert nll_fast.cross_entropy(x, t) == pytest.approx(losses.sum(dtype="float64") / 19, rel=1e-12)
    partial = nll_fast.cross_entropy(x, t, sample_weight=weights, reduction="partial")
    assert partial.mean == pytest.approx((losses * weights).sum(dtype="float64") / weights[counts].sum(), rel=1e-6)
    assert (partial.count, partial.ignored) == (19, 1)
    gradient = nll_fast.cross_entropy_grad(x, t, sample_weight=weights, reduction="sum")
    assert not gradient[~counts].any() and not gradient[0].any()
    alone = nll_fast.cross_entropy_grad(x[4:5], t[4:5], reduction="sum")
    np.testing.assert_allclose(gradient[4:5], alone * weights[4], rtol=1e-6)
    np.testing.assert_array_equal(nll_fast.entropy(x, mask=counts)[counts], nll_fast.entropy(x)[counts])
    for call in (
        lambda **options: nll_fast.kl_divergence(x, y, mask=counts, **options),
        lambda **options: nll_fast.entropy(x, mask=counts, **options),
        lambda **options: nll_fast.cross_entropy(x, y, mask=counts, sample_weight=weights + 1, **options),
    ):
        alone = call(reduction="partial")
        beside, masked = call(reduction="partial", grad=True)
        assert beside.to_dict() == alone.to_dict() and (alone.count, alone.ignored) == (19, 1)
        assert np.array_equal(call(reduction="none", grad=True)[0], call(reduction="none"))
        assert not masked[3].any() and masked[4].any()


def test_edges_of_long_rows():
    inf, nan = np.inf, np.nan
    length = LONG + 70_000
    x = np.zeros((7, length), "float32")
    x[1], x[2, 300_000], x[3, 300_000], x[4, 300_000], x[4, 3], x[5] = -inf, inf, nan, inf, nan, -30
    x[5, 300_000] = 1e-6  # the logarithm of about 1: only the largest and the rest keep its digits
    x[6, ::2] = -inf
    found = nll_fast.logsumexp(x)
    rest = (length - 1) * np.exp(-30.0 - 1e-6)
    expected = [np.log(length), -inf, inf, nan, nan, np.float64(np.float32(1e-6)) + np.log1p(rest), np.log(length // 2)]
    np.testing.assert_allclose(found, expected, rtol=2e-7)
    losses = nll_fast.cross_entropy(x, [0, 0, 0, 0, 0, 300_000, 0], reduction="none")
    np.testing.assert_allclose(losses, [np.log(length), nan, nan, nan, nan, np.log1p(rest), inf], rtol=2e-7)
    entropies = nll_fast.entropy(x[[0, 1, 3, 6]])
    np.testing.assert_allclose(entropies, [np.log(length), nan, nan, np.log(length // 2)], rtol=2e-7)
    divergences = nll_fast.kl_divergence(x[[0, 0, 6, 5]], x[[0, 6, 0, 5]], reduction="none")
    np.testing.assert_allclose(divergences, [0, inf, np.log(2), 0], rtol=1e-6)


def test_the_first_of_the_largest_classes_of_a_long_row_counts_as_right():
    x = np.zeros((3, LONG + 70_000), "float32")
    x[2, 300_000] = x[2, 300_001] = 1
    for target, right in (([0, 0, 300_000], 3), ([0, 300_000, 300_001], 1)):
        assert nll_fast.cross_entropy(x, target, reduction="partial").top1 == right


def test_errors_of_long_rows():
    x = np.zeros((2, LONG + 1), "float32")
    with pytest.raises(IndexError, match="row 1"):
        nll_fast.cross_entropy(x, [0, LONG + 1])
    probs = np.full((2, LONG + 1), 1 / LONG)
    probs[1, 200_000] = 1.5
    with pytest.raises(ValueError, match=r"probs is 1\.5 at row 1, class 200000"):
        nll_fast.categorical_nll(probs, probs.clip(0, 1))
    out = np.full(2, 7.0)
    with pytest.raises(ValueError, match="row 1, class 200000"):
        nll_fast.categorical_nll(probs, probs.clip(0, 1), reduction="none", out=out)
    assert np.all(out == 7)


STOPPED = """
import resource, signal, time
import numpy as np
import nll_fast

class Stopped(Exception):
    pass

def stop(*_):
    raise Stopped

def classes(bits):
    return np.broadcast_to(np.float32(0), (1, 2**bits))

# A function, because of a `while True` that comes first in a `try`: if the signal arrives as the loop jumps back, the
# exception is raised outside of the `try` in CPython 3.11.
def run():
    {call}

nll_fast.set_num_threads({threads})
nll_fast.kl_divergence(np.zeros((1, 2**19), "float32"), np.zeros((1, 2**19), "float32"), grad=True)
signal.signal(signal.SIGALRM, stop)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
signal.setitimer(signal.ITIMER_REAL, {delay})
start = time.perf_counter()
try:
    run()
    print("finished")
except Stopped:
    print(time.perf_counter() - start - {delay}, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

ENDLESS = {
    "logsumexp": "nll_fast.logsumexp(classes(40))",
    "entropy": "nll_fast.entropy(classes(40))",
    "cross_entropy": "nll_fast.cross_entropy(classes(40), [2**39])",
    "cross_entropy, distributions": "nll_fast.cross_entropy(classes(40), classes(40))",
    "kl_divergence": "nll_fast.kl_divergence(classes(40), classes(40))",
}
LARGE = {
    "log_softmax": "while True: nll_fast.log_softmax(classes(24))",
    "cross_entropy_grad": "while True: nll_fast.cross_entropy_grad(classes(24), [2**23])",
    "kl_divergence, gradient": "while True: nll_fast.kl_divergence(classes(24), classes(24), grad=True)",
}


def stopped(call, threads, delay=0.4):
    """By how many seconds a timer was answered late, and how many KiB the process grew."""
    script = STOPPED.format(threads=threads, delay=delay, call=call)
    options = {"capture_output": True, "text": True}
    done = subprocess.run([sys.executable, "-c", script], timeout=60, check=False, **options)
    assert done.returncode == 0, done.stderr
    late, grown = map(float, done.stdout.split())
    return late, grown


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("name", ENDLESS)
def test_one_row_of_2_to_the_40_classes_is_stopped_and_takes_no_memory(name, threads):
    late, grown = stopped(ENDLESS[name], threads)
    assert late < 1  # 0.05 s where nothing else runs
    assert grown < 8 * 1024


@pytest.mark.skipif(sys.platform != "linux", reason="setitimer is not everywhere")
@pytest.mark.parametrize("name", LARGE)
def test_results_for_each_class_of_one_row_can_be_stopped(name):
    assert stopped(LARGE[name], 2)[0] < 1
