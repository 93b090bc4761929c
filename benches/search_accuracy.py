"""Search for the worst error of the functions of rows of few classes, in ulps of the result.

    python benches/search_accuracy.py                  # 10^6 rows of 1 to 130 classes each: hours
    python benches/search_accuracy.py 20000 1-16 64    # fewer rows, some numbers of classes

The rows are of eight kinds: spread from 0.01 to 100, offset by up to 1e10, confident and hopeless targets, impossible
classes, and pairs of nearly equal rows. The reference is NumPy in 80-bit floating point for float64 and in float64 for
float32. Losses are held to 2 ulp; gradients of logits, which are not losses, are shown with them. Two results may
be far smaller than what they are the sum of, and are measured in ulps of a number that is not: logsumexp of the
larger of the largest logit and its loss, a divergence of at least ``LEAST_DIVERGENCE``.
"""

import sys

import nll_fast
import numpy as np

LEAST_DIVERGENCE = {"float32": 1e-9, "float64": 1e-3}  # below, the reference's own rounding shows
ELEMENTS = 1 << 16  # of a batch: its temporaries stay in the caches


def draw(r, rows, classes, dtype):
    """Logits, other logits and targets."""
    kind = r.integers(0, 8, (rows, 1))
    row = np.arange(rows)
    x = r.standard_normal((rows, classes)) * np.choose(kind, [1, 10, 0.1, 30, 3, 1, 0.01, 100])
    target = r.integers(0, classes, rows)
    x[row, target] += np.where(kind == 5, r.uniform(-100, 100, (rows, 1)), 0)[:, 0]
    x[row, target] += np.where(kind == 6, r.uniform(0, 20, (rows, 1)), 0)[:, 0]
    x += np.where(kind == 3, r.choice([0, 30, 1e3, 1e5, 1e10], (rows, 1)), 0)
    near = 10.0 ** r.uniform(-8, 1, (rows, 1))
    y = x + near * r.standard_normal((rows, classes))
    x[(r.random((rows, classes)) < 0.02) & (np.arange(classes) != target[:, None])] = -np.inf
    return x.astype(dtype), y.astype(dtype), target


def softmax_parts(x):
    """x less the largest, e to that without the largest, and the sum of these."""
    largest = x.argmax(1)[:, None]
    d = x - np.take_along_axis(x, largest, 1)
    others = np.exp(d)
    np.put_along_axis(others, largest, 0, 1)
    return d, others, others.sum(1, keepdims=True)


def exact(x, y, target, dtype):
    """Function → its values, and the sizes whose ulps they are measured in, if not their own."""
    row = np.arange(len(x))
    d, others, rest = softmax_parts(x)
    loss = np.log1p(rest)
    at = x[row, target][:, None]
    away = x - at
    away[row, target] = -np.inf
    m = np.maximum(away.max(1, keepdims=True), 0)
    rest_of_target = np.exp(away - m).sum(1, keepdims=True)
    cross_entropy = np.where(m > 0, m + np.log(np.exp(-m) + rest_of_target), np.log1p(rest_of_target))[:, 0]
    log_p = d - loss
    with np.errstate(invalid="ignore"):
        entropy = loss[:, 0] - np.where(others > 0, others * d, 0).sum(1) / (1 + rest[:, 0])
    p = others / (1 + rest)
    p[row, x.argmax(1)] = 1 / (1 + rest[:, 0])
    grad = p.copy()
    grad[row, target] = 0
    grad[row, target] = -grad.sum(1)
    largest, kl = x.max(1), divergence(log_p, p, y)
    lse = largest + loss[:, 0]
    return {
        "cross_entropy": (cross_entropy, None),
        "logsumexp": (lse, np.maximum(np.abs(largest), loss[:, 0])),
        "entropy": (entropy, None),
        "log_softmax": (log_p, None),
        "cross_entropy_grad": (grad, None),
        "kl_divergence": (kl, np.maximum(kl, LEAST_DIVERGENCE[dtype.name])),
    }


def log_p_or_zero(y):
    d, _, rest = softmax_parts(y)
    return d - np.log1p(rest)


def divergence(log_p, p, y):
    """Σ q − p − p·(log q − log p), whose terms are positive; by a series where they are small."""
    with np.errstate(invalid="ignore"):
        d = np.where(p > 0, log_p_or_zero(y) - log_p, 0)
    series = np.zeros_like(d)
    for n in range(17, 1, -1):  # e^d − 1 − d = d²/2! + d³/3! + ...
        series = d / n * (1 if n == 17 else 1 + series)
    small = d * series
    with np.errstate(over="ignore"):
        bend = np.where(np.abs(d) < 0.3, small, np.expm1(d) - d)
    impossible = np.where(p > 0, 0, np.exp(log_p_or_zero(y)))
    return (p * bend + impossible).sum(1)


def calls(x, y, target, soft):
    return {
        "cross_entropy": nll_fast.cross_entropy(x, target, reduction="none"),
        "logsumexp": nll_fast.logsumexp(x),
        "entropy": nll_fast.entropy(x),
        "log_softmax": nll_fast.log_softmax(x),
        "cross_entropy_grad": nll_fast.cross_entropy_grad(x, target, reduction="sum"),
        "soft targets": nll_fast.cross_entropy(y, soft, reduction="none"),
        "kl_divergence": nll_fast.kl_divergence(x, y, reduction="none"),
    }


def search(classes, dtype, rows, seed):
    """Function → the worst error seen, and how many numbers were looked at."""
    r, worst = np.random.default_rng([seed, classes]), {}
    wide = np.float64 if dtype == np.float32 else np.longdouble
    tiny = np.finfo(dtype).tiny
    batch = max(1, min(rows, ELEMENTS // classes))
    for _ in range(-(-rows // batch)):
        x, y, target = draw(r, batch, classes, dtype)
        want = exact(x.astype(wide), y.astype(wide), target, dtype)
        p = np.exp(nll_fast.log_softmax(x))  # any targets will do; these are near a distribution
        want["soft targets"] = (np.where(p > 0, -p.astype(wide) * log_p_or_zero(y.astype(wide)), 0).sum(1), None)
        for name, got in calls(x, y, target, p).items():
            value, size = want[name]
            size = np.abs(value if size is None else size).astype(dtype)
            with np.errstate(invalid="ignore"):
                ulps = np.abs(got.astype(wide) - value) / np.spacing(np.maximum(size, tiny))
            ulps = np.where(got == value, 0, ulps)  # infinities
            worst[name] = max(worst.get(name, 0.0), float(np.nanmax(ulps)))
            assert np.array_equal(np.isnan(got), np.isnan(value)), (name, classes)
    return worst


def main(arguments):
    rows = int(arguments[0]) if arguments else 10**6
    ranges = [[int(n) for n in a.split("-")] for a in arguments[1:]] or [[1, 130]]
    nll_fast.set_num_threads(1)
    total = {}
    for classes in (n for low, *high in ranges for n in range(low, (high or [low])[0] + 1)):
        for dtype in (np.dtype("float32"), np.dtype("float64")):
            for name, ulps in search(classes, dtype, rows, seed=1).items():
                total[name, dtype.name] = max(total.get((name, dtype.name), (0.0, 0)), (ulps, classes))
        print(classes, {k: round(v[0], 3) for k, v in total.items()} if classes % 10 == 0 else "", flush=True)
    print("\n| function | dtype | worst | classes |\n|---|---|---|---|")
    for (name, dtype), (ulps, classes) in total.items():
        print(f"| `{name}` | {dtype} | {ulps:.3f} | {classes} |")


if __name__ == "__main__":
    main(sys.argv[1:])
