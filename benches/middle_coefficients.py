"""Prints the coefficients of `Float::MIDDLE`, and how far they are from the function; needs mpmath.

    python benches/middle_coefficients.py

With d = log(q/p), the share of a class in the divergence of p and q from their mean is (p + q)·h(d),

    h(d) = ((d/2)·tanh(d/2) − log cosh(d/2)) / 2

an even function of d. The coefficients are those of h(d)/d² by powers of d² for −1 ≤ d ≤ 1, by interpolation at
Chebyshev nodes.
"""

from mpmath import chebyfit, mp, mpf, polyval

mp.dps = 60


def curve(square):
    d = mp.sqrt(abs(square))
    if d < mpf("1e-12"):
        return mpf(1) / 16
    return (d / 2 * mp.tanh(d / 2) - mp.log(mp.cosh(d / 2))) / 2 / d**2


if __name__ == "__main__":
    for name, degree in (("f32", 5), ("f64", 10)):
        coefficients = chebyfit(curve, [mpf(0), mpf("1.0001")], degree + 1)
        worst = max(abs(polyval(coefficients, x) / curve(x) - 1) for x in mp.linspace(0, 1, 401))
        print(f"{name}, relative error {mp.nstr(worst, 2)}:")
        print(", ".join(repr(float(c)) for c in reversed(coefficients)))
