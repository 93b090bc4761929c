"""Prints the coefficients of `rust/simd/src/pair_sums.rs`, and how far they are from the function; needs mpmath.

    python benches/exp_coefficients.py

The exponential e^r for |r| ≤ (ln 2)/8 is 1 + r·P(r), where P interpolates (e^r − 1)/r at Chebyshev nodes.
"""

from mpmath import chebyfit, exp, expm1, linspace, log, mp, mpf, polyval

mp.dps = 60


def slope(r):
    return expm1(r) / r if abs(r) > mpf("1e-40") else mpf(1)


if __name__ == "__main__":
    reach = log(2) / 8 * mpf("1.0001")
    coefficients = [float(c) for c in chebyfit(slope, [-reach, reach], 7)]
    worst = max(abs((1 + r * polyval(coefficients, r)) / exp(r) - 1) for r in linspace(-reach, reach, 4001))
    print(f"relative error {mp.nstr(worst, 2)} = 2^{mp.nstr(log(worst, 2), 3)}:")
    print(", ".join(repr(c) for c in [1.0, *reversed(coefficients)]))
    print("the powers of 2:", ", ".join(repr(float(mpf(2) ** (mpf(j) / 4))) for j in range(4)))
