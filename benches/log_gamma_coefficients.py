"""The coefficients of rust/simd/src/log_gamma.rs: log y! for y >= 0 in two pieces, which meet at y = 2.

    python benches/log_gamma_coefficients.py          # prints the constants; needs mpmath; a second
    python benches/log_gamma_coefficients.py values   # prints rust/simd/tests/log_factorial.txt, for the tests

Below 2, log y! = y (y - 1) (a + b y + P(y) / Q(y)): two zeros, a line close to what is left, and a rational
function. From 2 on, with z = y + 1/2, log y! = z (log z - 1) + log(2 pi) / 2 + R(1 / z^2) / z. The line,
P / Q and R are interpolated at Chebyshev nodes, which comes close to the minimax fit. The errors printed are
those of the approximations alone, relative to log y!.
"""

import sys
import textwrap

import mpmath
import numpy as np
from mpmath import mpf

mpmath.mp.prec = 300
MEETING = mpf(2)
TYPES = {"f32": (np.float32, 4, 4), "f64": (np.float64, 8, 13)}  # the degree of P and of Q, the terms of R


def factored(y):
    """log y! / (y (y - 1))"""
    for zero, limit in ((0, mpmath.euler), (1, mpmath.psi(0, 2))):
        if abs(y - zero) < mpf(2) ** -120:  # the middle node is 1 but for its rounding
            return limit
    return mpmath.loggamma(y + 1) / (y * (y - 1))


def off_the_line(y, line):
    """What P / Q approximates, rounding errors of the line's coefficients included."""
    return factored(y) - line[0] - line[1] * y


def correction(t):
    """z times what the asymptotic formula leaves of log y!, at t = 1 / z^2: what R approximates."""
    z = 1 / mpmath.sqrt(t)
    return z * (mpmath.loggamma(z + mpf(1) / 2) - z * (mpmath.log(z) - 1) - mpmath.log(2 * mpmath.pi) / 2)


def interpolated(f, high, above, below):
    """P of degree ``above`` and Q of degree ``below``, with Q(0) = 1, for which P / Q is f at nodes of [0, high]."""
    count = above + below + 1
    x = [high / 2 * (1 + mpmath.cos(mpmath.pi * (2 * i + 1) / (2 * count))) for i in range(count)]
    rows = [[x**k for k in range(above + 1)] + [-f(x) * x**k for k in range(1, below + 1)] for x in x]
    c = list(mpmath.lu_solve(mpmath.matrix(rows), mpmath.matrix([f(x) for x in x])))
    return c[: above + 1], [mpf(1), *c[above + 1 :]]


def shown(name, coefficients, number):
    """Prints a constant: each coefficient with the digits that its type needs, in lines of at most 100 columns."""
    line = f"    const {name}: "
    line += f"[Self; {len(coefficients)}] = [" if len(coefficients) == 2 else "&'static [Self] = &["
    text = ", ".join(str(number(float(c))) for c in coefficients)
    if len(line) + len(text) <= 98:
        return print(f"{line}{text}];")
    print(line)
    print(textwrap.indent(textwrap.fill(text + ",", 92), " " * 8))
    print("    ];")


def value(coefficients, x):
    """c0 + c1 x + c2 x^2 + ..."""
    return mpmath.polyval(coefficients[::-1], x)


def worst(error, low, high):
    """The largest magnitude at 1000 points between the ends."""
    return mpmath.nstr(max(abs(error(low + (high - low) * i / 1001)) for i in range(1, 1001)), 2)


def rational(line, degree):
    """P and Q, and the relative error of the result."""
    p, q = interpolated(lambda y: off_the_line(y, line), MEETING, degree, degree)
    return p, q, worst(lambda y: (value(p, y) / value(q, y) - off_the_line(y, line)) / factored(y), mpf(0), MEETING)


def asymptotic(terms):
    """R, and the relative error of the result."""
    half, high = mpf(1) / 2, 1 / (MEETING + mpf(1) / 2) ** 2
    r, _ = interpolated(correction, high, terms - 1, 0)

    def error(t):
        return (value(r, t) - correction(t)) * mpmath.sqrt(t) / mpmath.loggamma(1 / mpmath.sqrt(t) + half)

    return r, worst(error, mpf(0), high)


def points():
    """Numbers y from 0 to the last whose log y! is finite; many are float32 numbers, so that both types are tested."""
    small = np.concatenate([[0.0, 1.0], 2.0 ** -np.arange(1, 1074, 25), 2.0 ** -np.arange(2, 24, 2)])
    near = [1 + sign * 2.0**-k for k in (*range(2, 24), 30, 40, 52) for sign in (-1, 1)]
    joint = [2 + sign * 2.0**-k for k in (*range(2, 23, 2), 50) for sign in (-1, 1)]
    # The logarithm takes the next power of two where z = y + 1/2 passes sqrt(2) times one, and is least accurate
    # near that point.
    powers = [np.sqrt(2) * 2.0**k - 0.5 + shift for k in range(1, 12) for shift in (-(2.0**-12), 2.0**-12)]
    dense = np.linspace(0, 3, 100)
    # These need all digits of float64. From 2 to 2.4 the leading terms cancel most.
    long = np.concatenate([np.linspace(0, 4, 80), np.linspace(2, 2.4, 60), 10.0 ** np.linspace(0.5, 300, 60)])
    whole = np.concatenate([np.arange(2, 171), np.arange(0.5, 20)])
    large = np.concatenate([10.0 ** np.arange(2.5, 36, 1.7), 2.0 ** np.arange(50, 1000, 60), [2.0**53 - 1]])
    short = np.concatenate([small, near, joint, powers, dense, large])
    with np.errstate(over="ignore", under="ignore"):
        rounded = short.astype(np.float32).astype(np.float64)
    exact = (rounded == 0) | np.isinf(rounded) | (np.abs(short - 1) < 2e-7) | (np.abs(short - 2) < 2e-7)
    edges = [2.5599833278516383e305, 2.5599833278516387e305]  # the last finite log y! and the first infinite one
    # A search found the largest errors here, of this formula and of simpler ones.
    found = [2.2881830989226857, 1.9893348032711047, 2.301623565312265, *map(float, np.float32([2.2991636, 2.240638]))]
    return sorted({float(y) for y in (*np.where(exact, short, rounded), *long, *whole, *edges, *found)})


def values():
    """Prints y, log y! rounded to float64, and the rounding error."""
    for y in points():
        with mpmath.workprec(1400):  # 1 + y is exact
            value = mpmath.loggamma(1 + mpf(y))
        high = float(value)
        print(y, high, f"{float(value - mpf(high)) if np.isfinite(high) else 0.0:.3g}")


def constants():
    constant = mpmath.log(2 * mpmath.pi) / 2
    for name, (number, degree, terms) in TYPES.items():
        line = [number(float(c)) for c in interpolated(factored, MEETING, 1, 0)[0]]
        p, q, error_below = rational([mpf(float(c)) for c in line], degree)
        r, error_above = asymptotic(terms)
        print(f"impl LogFactorial for {name} {{\n    const MEETING: Self = {float(MEETING)};")
        shown("LINE", line, number)
        print(f"    // Relative error of the result: {error_below}.")
        shown("NUMERATOR", p, number)
        shown("DENOMINATOR", q, number)
        print(f"    // Relative error of the result: {error_above}.")
        shown("CORRECTION", r, number)
        high = number(float(constant))
        shown("HALF_LOG_TWO_PI", [high, constant - mpf(float(high))], number)
        print("}")


if sys.argv[1:] == ["values"]:
    values()
else:
    constants()
