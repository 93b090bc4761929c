"""The table of rust/simd/src/logistic.rs: log(1 + e^-a) for a >= 0 as a polynomial of degree 5 in each of 32 intervals.

    python benches/logistic_table.py      # prints the lines of `BITS`; needs mpmath; five seconds

Interval j holds the a whose 2a rounds to j. In it, log(1 + e^-a) = c0 + r (c1 + r (c2 + ...)) with r = a - b, by
Horner's rule in float32. b is a number near a given part of the interval at which log(1 + e^-b) is almost a float32
(Gal 1986), short enough for a - b to be exact. The coefficients are rounded one after the other, and those left are
fitted again: least squares of the relative error at Chebyshev points, with Lawson's weights, which tend to the
minimax fit. Of several b, that with the smallest error at 16,000 random points is taken.
"""

import mpmath
import numpy as np

mpmath.mp.prec = 120
INTERVALS, WIDTH, DEGREE = 32, 0.5, 5
KNOWN = {}


def exact(points):
    """log(1 + e^-a) of a tuple of numbers, rounded to float64 from 120 bits."""
    if points not in KNOWN:
        KNOWN[points] = np.array([float(mpmath.log1p(mpmath.exp(-mpmath.mpf(a)))) for a in points])
    return KNOWN[points]


def fit(low, high, b, fixed, points=80, rounds=10):
    """The coefficients that are not in ``fixed``, by their power."""
    x = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(points) + 0.5) / points)
    y, r, scale = exact(tuple(x)), x - b, max(b - low, high - b)
    free = [k for k in range(DEGREE + 1) if k not in fixed]
    target = (y - sum(float(c) * r**k for k, c in fixed.items())) / y
    matrix = np.stack([(r / scale) ** k for k in free], 1) / y[:, None]
    weight, best = np.ones(points), (np.inf, None)
    for _ in range(rounds):
        root = np.sqrt(weight)
        q, upper = np.linalg.qr(matrix * root[:, None])
        c = np.linalg.solve(upper, q.T @ (target * root))
        error = np.abs(matrix @ c - target)
        if error.max() < best[0]:
            best = (error.max(), c)
        weight = weight * (error + 1e-14)
        weight /= weight.mean()
    return {k: v / scale**k for k, v in zip(free, best[1], strict=True)}


def rounded(low, high, b):
    """All coefficients as float32."""
    fixed = {0: np.float32(exact((float(b),))[0])}
    for k in range(1, DEGREE + 1):
        fixed[k] = np.float32(fit(low, high, float(b), fixed)[k])
    return [fixed[k] for k in range(DEGREE + 1)]


def ulps(a, b, c):
    """The largest error, in ulps, of Horner's rule with fused multiply-adds, which float64 imitates."""
    r, p = (a - b).astype(np.float32).astype(np.float64), np.full_like(a, c[-1])
    for coefficient in c[-2::-1]:
        p = (p * r + np.float64(coefficient)).astype(np.float32)
    want = np.log1p(np.exp(-a.astype(np.float64)))
    return (np.abs(p - want) / np.spacing(want.astype(np.float32)).astype(np.float64)).max()


def near(target, reach, step):
    """Up to three multiples of ``step`` near ``target`` at which log(1 + e^-b) is almost a float32."""
    b = (round(target / step) + np.arange(-int(reach / step), int(reach / step) + 1)) * step
    v = np.log1p(np.exp(-b))
    error = np.abs(v.astype(np.float32) - v) / np.spacing(v.astype(np.float32)).astype(np.float64)
    b = b[error < 0.01]
    return b[np.argsort(np.abs(b - target))][:3].astype(np.float32)


def main():
    rng = np.random.default_rng(1)
    for j in range(INTERVALS):
        low, high = max(0, (j - 0.5) * WIDTH), (j + 0.5) * WIDTH
        a = rng.uniform(low, high, 16000).astype(np.float32)
        parts = [low + part * (high - low) for part in (0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8)]
        choices = [b for part in parts for b in near(part, 0.04 * WIDTH, 2.0 ** (-18 if j == 0 else -16))]
        choices += [np.float32(0)] if j == 0 else []
        _, _, b, c = min((ulps(a, b, c := rounded(low, high, b)), i, b, c) for i, b in enumerate(choices))
        words = (f"{int(x.view(np.uint32)):08x}" for x in (b, *c))
        print("    [" + ", ".join(f"0x{word[:4]}_{word[4:]}" for word in words) + ", 0],")


main()
