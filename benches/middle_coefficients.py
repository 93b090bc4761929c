"""Prints the coefficients of `Float::MIDDLE`, and how far they are from the function; needs mpmath.

    python benches/middle_coefficients.py

The share of a class in the divergence of p and q from their mean is p·h(d), with d = log(q/p) and
h(d) = (d·e^d − (1 + e^d)·log((1 + e^d)/2))/2. The coefficients are those of h(d)/d² on −1 ≤ d ≤ 1, by interpolation at
Chebyshev nodes.
"""

from mpmath import chebyfit, mp, mpf, polyval

mp.dps = 60


def curve(d):
    d = mpf(d)
    if abs(d) < mpf("1e-12"):
        return mpf(1) / 8 + d / 16
    return (d * mp.exp(d) - (1 + mp.exp(d)) * mp.log1p(mp.expm1(d) / 2)) / 2 / d**2


if __name__ == "__main__":
    for name, degree in (("f32", 9), ("f64", 19)):
        coefficients = chebyfit(curve, [mpf("-1.0001"), mpf("1.0001")], degree + 1)
        worst = max(abs(polyval(coefficients, x) / curve(x) - 1) for x in mp.linspace(-1, 1, 401))
        print(f"{name}, relative error {mp.nstr(worst, 2)}:")
        print(", ".join(mp.nstr(c, 17) for c in reversed(coefficients)))
