"""Prints the coefficients of `comparison.rs` and `share.rs` in `rust/kernels/src/math`, and how far they are from the
functions; needs mpmath.

    python benches/middle_coefficients.py

With d = log(q/p), the share of a class in the divergence of p and q from their mean is (p + q)·h(d),

    h(d) = ((d/2)·tanh(d/2) − log cosh(d/2)) / 2

an even function of d. The coefficients of comparison.rs are those of h(d)/d² by powers of d² for −1 ≤ d ≤ 1, the others
those of the functions that share.rs names, all by interpolation at Chebyshev nodes.
"""

import numpy as np
from mpmath import chebyfit, expm1, linspace, log, log1p, mp, mpf, polyval

mp.dps = 60


def curve(square):
    d = mp.sqrt(abs(square))
    if d < mpf("1e-12"):
        return mpf(1) / 16
    return (d / 2 * mp.tanh(d / 2) - mp.log(mp.cosh(d / 2))) / 2 / d**2


def middle(square):
    return (curve(square) - mpf(1) / 16) / square if abs(square) > mpf("1e-16") else -mpf(1) / 128


def tail(d):
    head = mpf(1) / 2 + d / 6 + d**2 / 24
    return ((expm1(d) - d) / d**2 - head) / d**3 if abs(d) > mpf("1e-9") else mpf(1) / 120


def lost(t):
    return -log1p(-t) / t if abs(t) > mpf("1e-12") else mpf(1)


if __name__ == "__main__":
    for name, function, least, most, degree, dtype in (
        ("h(d)/d² for |d| ≤ 1", curve, 0, 1, 10, np.float64),
        ("tail(d) for |d| ≤ 2", tail, -2, 2, 7, np.float32),
        ("middle(d²) for |d| ≤ 2", middle, 0, 4, 6, np.float32),
        ("lost(t) for t ≤ 1/(1 + e²)", lost, 0, 1 / (1 + mp.exp(2)), 4, np.float32),
    ):
        reach = [end * mpf("1.0001") for end in (least, most)]
        coefficients = chebyfit(function, reach, degree + 1)
        rounded = [dtype(float(c)) for c in coefficients]
        worst = max(abs(polyval(coefficients, x) / function(x) - 1) for x in linspace(least, most, 401))
        print(f"{name}: relative error {mp.nstr(worst, 2)} = 2^{mp.nstr(log(worst, 2), 3)}")
        print(", ".join(str(c) for c in reversed(rounded)))
