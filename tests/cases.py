"""The one table of public functions: how inputs are drawn, the function in exact numbers, and how close results come.
test_oracle, test_accuracy, test_bits, test_partial, test_memory, test_gradient and test_peers run its rows.

A row draws from a generator seeded by its own name: another row changes none of its numbers.
"""

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import nll_fast
import numpy as np
from ml_dtypes import bfloat16
from mpmath import mp, mpf

mp.dps = 60
DTYPES = {"float64": np.float64, "float32": np.float32, "float16": np.float16, "bfloat16": bfloat16}


class Reach(NamedTuple):
    """How far inputs go: the largest |x|, a power of ten the type still holds, and what is added to rows."""

    x: float
    top: int
    offset: float = 0.0


REACH = {"float64": Reach(700, 300), "float32": Reach(100, 37), "float16": Reach(100, 4), "bfloat16": Reach(100, 37)}

# How arguments are drawn, each from (generator, shape, reach). Of rows, the last axis of the shape holds the classes.


def tails(r, shape, reach):
    """Half of them evenly up to the ends of the range, half around 0."""
    n = shape[0]
    return np.concatenate([np.linspace(-reach.x, reach.x, n // 2), r.standard_normal(n - n // 2) * 2])


def scores(r, shape, reach):
    return r.permutation(tails(r, shape, reach) / 2)


def labels(r, shape, reach):
    return r.choice([0.0, 1.0, 0.3, 0.7], shape, p=[0.4, 0.4, 0.1, 0.1])


def normal(r, shape, reach):
    return r.standard_normal(shape)


def hard(r, shape, reach):
    return r.integers(0, 2, shape)


def magnitudes(low, high):
    """Evenly over the powers of ten, between two numbers or 10^±top if the type ends before."""
    ends = [np.log10(low), np.log10(high)]
    return lambda r, shape, reach: 10 ** r.uniform(*np.clip(ends, -reach.top, reach.top), shape)


weights = magnitudes(0.01, 100)
variances = magnitudes(1e-300, 1e300)
deviations = magnitudes(1e-10, 1e300)


def rates(r, shape, reach):
    """Half of them anywhere, half a little above 1."""
    anywhere = magnitudes(1e-30, 1e6)(r, shape, reach)
    return np.where(np.arange(shape[0]) % 2, anywhere, 1 + 10 ** r.uniform(-7, -1, shape))


def uniform(low, high):
    """Evenly between two multiples of the reach."""
    return lambda r, shape, reach: r.uniform(low * reach.x, high * reach.x, shape)


def counts(mean):
    return lambda r, shape, reach: r.poisson(mean, shape)


def unit(r, shape, reach):
    """Probabilities next to 0, and next to 1."""
    near = magnitudes(1e-30, 1)(r, shape, reach), 1 - magnitudes(1e-6, 1)(r, shape, reach)
    return np.clip(np.where(r.random(shape) < 0.5, *near), 10.0 ** -min(30, reach.top), 1 - 1e-7)


def log_unit(r, shape, reach):
    return -magnitudes(0.01, 100)(r, shape, reach)


def rows(r, shape, reach):
    """Half of them spread widely, half close together."""
    scale = np.where(r.random((shape[0], 1)) < 0.5, reach.x / 4, 1.0)
    return np.clip(r.standard_normal(shape) * scale, -reach.x, reach.x) + reach.offset


def log_rows(r, shape, reach):
    return -np.abs(rows(r, shape, reach))


def simplex(r, shape, reach):
    return r.dirichlet(np.ones(shape[-1]), shape[:-1])


def classes(r, shape, reach):
    return r.integers(0, shape[-1], shape[:-1])


def classes_or_none(r, shape, reach):
    return np.where(r.random(shape[:-1]) < 0.2, -100, classes(r, shape, reach))


def some(r, shape, reach):
    return r.random(shape[:-1]) < 0.7


def row_weights(r, shape, reach):
    return np.where(r.random(shape[:-1]) < 0.2, 0, r.uniform(0.1, 3, shape[:-1]))


def class_weights(r, shape, reach):
    return np.linspace(0.5, 2, shape[-1])


# Formulas of mpmath numbers. Sizes of terms that cancel are formulas of NumPy arrays too.


def log(x):
    return mp.log(x) if isinstance(x, mpf) else np.log(x)


def exp(x):
    return mp.exp(x) if isinstance(x, mpf) else np.exp(x)


def log_factorial(y):
    return mp.loggamma(y + 1) if isinstance(y, mpf) else np.array([math.lgamma(y + 1) for y in y.tolist()])


def larger(*terms):
    return np.maximum.reduce([np.abs(term) for term in terms])


def softplus(x):
    return mp.log1p(mp.exp(x)) if x < 200 else x + mp.log1p(mp.exp(-x))


def nll(x, t):
    return mp.log1p(mp.fsum(mp.exp(a - x[t]) for i, a in enumerate(x) if i != t))


def losses(x):
    """The nll of every class, from that of the largest, which has its digits where p is nearly 1."""
    largest = max(range(len(x)), key=lambda t: x[t])
    loss = nll(x, largest)
    return [(x[largest] - a) + loss for a in x]


def softmax(x):
    return [mp.exp(-loss) for loss in losses(x)]


def shannon(x):
    return mp.fsum(mp.exp(-loss) * loss for loss in losses(x))


def both(x, y):
    """p, q and log(q/p) of every class of two rows; where p is nearly 1, with the digits of log p."""
    return [(mp.exp(-p), mp.exp(-q), p - q) for p, q in zip(losses(x), losses(y), strict=True)]


def kl(x, y):
    return mp.fsum(-p * d for p, _, d in both(x, y))


def middle(x, y):
    """The mean of the divergences from (p + q)/2, whose logarithm is log p + log(1 + (q/p − 1)/2)."""
    logs = [(p, q, d, mp.log1p(mp.expm1(d) / 2)) for p, q, d in both(x, y)]
    return mp.fsum(q * (d - log) - p * log for p, q, d, log in logs) / 2


def distance(x, y):
    return mp.fsum(abs(p * mp.expm1(d)) for p, _, d in both(x, y)) / 2


def bernoulli(x, y, w=1):
    return w * y * softplus(-x) + (1 - y) * softplus(x)


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def by_logits(x, y, w=1):
    """The terms of the derivative of the binary cross entropy by the logits, with the smaller of both sigmoids."""
    both = w * y + 1 - y
    return (both * sigmoid(x), -w * y) if x < 0 else (1 - y, -both * sigmoid(-x))


@dataclass(frozen=True)
class Case:
    name: str  # the function's, and behind a comma what is special
    draws: dict[str, Callable]  # arguments of the dtype under test: elements, or rows
    exact: Callable | None = None  # the function in exact numbers, for docs/accuracy.md
    range: str = ""  # what that page says of the inputs, with {x} and {top}
    others: dict[str, Callable] = field(default_factory=dict)  # arguments of types of their own
    keywords: dict[str, Any] = field(default_factory=dict)
    rows: bool = False  # the last axis is the class axis
    largest: Callable | None = None  # of the arguments: the term that errors are measured by, where terms cancel
    slopes: dict[str, tuple] = field(default_factory=dict)  # exact derivatives by the arguments, and largest terms
    floor: float = 0.0  # the oracle's digits are counted from this size on
    ulps: float = 2.0  # from the oracle below float64, in those of float32
    atol: float = 0.0  # the oracle's own error, whatever the result
    rtol: float = 3e-14  # from the oracle in float64, most of it the oracle's own rounding
    reduces: bool = True  # takes reduction=
    wide: bool = False  # the result has a class axis
    of: str = ""  # what is looked at, of a result that is a table

    @property
    def function(self):
        return self.name.partition(",")[0]

    def draw(self, dtype, n, n_classes=5, reach=None):
        """The arguments by name."""
        r, shape = np.random.default_rng(zlib.crc32(self.name.encode())), (n, n_classes) if self.rows else (n,)
        reach, dtype = reach or REACH[np.dtype(dtype).name], DTYPES[np.dtype(dtype).name]
        typed = {name: draw(r, shape, reach).astype(dtype) for name, draw in self.draws.items()}
        return typed | {name: draw(r, shape, reach) for name, draw in self.others.items()}

    def call(self, arguments, library=nll_fast, **more):
        """Each loss, unless told otherwise."""
        more = {"reduction": "none", **more} if self.reduces else more
        result = getattr(library, self.function)(**arguments, **self.keywords, **more)
        return getattr(result, self.of) if self.of else result


bce, gauss, poisson = "binary_cross_entropy_with_logits", "gaussian_nll_loss", "poisson_nll_loss"
pair = {"mean": normal, "target": normal}
wide_pair = dict.fromkeys(pair, lambda r, shape, reach: normal(r, shape, reach) * reach.x)
binary, probs = {"logits": tails, "target": labels}, {"probs": unit, "target": labels}
logits, smooth = {"logits": rows}, {"label_smoothing": 0.1}
masked = {"mask": some}
of_class, weighted = {"target": classes}, {"target": classes_or_none, "weight": class_weights}
weighted_rows = of_class | {"sample_weight": row_weights}
cancels = {"floor": 1, "ulps": 3}
deviation = {"rows": True, "rtol": 1e-12, "atol": 1e-14}  # the oracle adds terms as large as the logits
gather = {"rows": True, "rtol": 1e-14}
x = "|x| ≤ {x}"
TABLE = [
    Case("softplus", {"x": tails}, softplus, x, reduces=False),
    Case("log_sigmoid", {"x": tails}, lambda x: -softplus(-x), x, reduces=False),
    Case(bce, binary, bernoulli, f"{x}, y in [0, 1]", slopes={
        "logits": (lambda x, y: mp.fsum(by_logits(x, y)), lambda x, y: larger(*by_logits(x, y))),
        "target": (lambda x, y: -x, None)}),
    Case(f"{bce}, pos_weight", binary | {"pos_weight": weights}, bernoulli, f"{x}, weights 0.01 to 100", slopes={
        "logits": (lambda x, y, w: mp.fsum(by_logits(x, y, w)), lambda x, y, w: larger(*by_logits(x, y, w)))}),
    Case(f"{bce}, pos_weight=3", binary, keywords={"pos_weight": 3.0}),
    Case(f"{bce}, weight", binary | {"weight": unit}, ulps=3),
    Case(f"{bce}, integer target", {"logits": tails}, others={"target": hard}),
    Case("binary_cross_entropy", probs, lambda p, y: -(y * mp.log(p) + (1 - y) * mp.log1p(-p)),
         "p from 1e-30 to 1 - 1e-7", **cancels),
    Case("binary_cross_entropy, clamp='eps'", probs, keywords={"clamp": "eps"}, **cancels),
    Case("binary_cross_entropy, clamp=None", {"probs": unit}, others={"target": hard}, keywords={"clamp": None},
         **cancels),
    Case(gauss, pair | {"var": variances}, lambda m, y, v: mp.log(v) / 2 + (y - m) ** 2 / v / 2,
         "variances 1e-{top} to 1e{top}", keywords={"eps": 0},
         largest=lambda m, y, v: larger(log(v) / 2, (y - m) ** 2 / v / 2),
         slopes={"mean": (lambda m, y, v: (m - y) / v, None)}),
    Case(f"{gauss}, near", pair | {"var": deviations}, lambda m, y, v: mp.log(v) / 2 + (y - m) ** 2 / v / 2,
         "variances 1e-10 to 1e{top}", keywords={"eps": 0},
         largest=lambda m, y, v: larger(log(v) / 2, (y - m) ** 2 / v / 2),
         slopes={"var": (lambda m, y, v: (1 - (y - m) ** 2 / v) / v / 2,
                         lambda m, y, v: larger(1 / v / 2, (y - m) ** 2 / v**2 / 2))}),
    Case(f"{gauss}, log_var", pair | {"log_var": uniform(-0.8, 0.8)},
         lambda m, y, s: s / 2 + (y - m) ** 2 / mp.exp(s) / 2, "|log_var| ≤ 0.8·{x}",
         largest=lambda m, y, s: larger(s / 2, (y - m) ** 2 / exp(s) / 2),
         slopes={"mean": (lambda m, y, s: (m - y) / mp.exp(s), None),
                 "log_var": (lambda m, y, s: (1 - (y - m) ** 2 / mp.exp(s)) / 2,
                             lambda m, y, s: larger(mpf(0.5), (y - m) ** 2 / mp.exp(s) / 2))}),
    Case("laplace_nll_loss", pair | {"scale": variances}, lambda m, y, b: mp.log(2 * b) + abs(y - m) / b,
         "scales 1e-{top} to 1e{top}", keywords={"eps": 0}, largest=lambda m, y, b: larger(log(2 * b), (y - m) / b),
         slopes={"mean": (lambda m, y, b: mp.sign(m - y) / b, None)}),
    Case("laplace_nll_loss, log_scale", pair | {"log_scale": uniform(-0.8, 0.8)},
         lambda m, y, s: mp.log(2) + s + abs(y - m) / mp.exp(s), "|log_scale| ≤ 0.8·{x}",
         largest=lambda m, y, s: larger(log(2) + s, (y - m) / exp(s)),
         slopes={"log_scale": (lambda m, y, s: 1 - abs(y - m) / mp.exp(s),
                               lambda m, y, s: larger(mpf(1), (y - m) / mp.exp(s)))}),
    Case(f"{gauss}, sigma=3", pair, keywords={"sigma": 3.0}, **cancels),
    Case(f"{gauss}, sigma", pair | {"sigma": deviations}, lambda m, y, s: mp.log(s) + ((y - m) / s) ** 2 / 2,
         "deviations 1e-10 to 1e{top}", largest=lambda m, y, s: larger(log(s), ((y - m) / s) ** 2 / 2),
         slopes={"mean": (lambda m, y, s: (m - y) / s**2, None),
                 "sigma": (lambda m, y, s: (1 - ((y - m) / s) ** 2) / s,
                           lambda m, y, s: larger(1 / s, ((y - m) / s) ** 2 / s))}),
    Case(f"{gauss}, weight, mask", pair | {"var": weights, "weight": unit}, others={"mask": hard}, **cancels),
    Case(f"{gauss}, full", {"mean": tails, "target": normal}, keywords={"var": 2.0, "full": True}, **cancels),
    Case("mse_loss, weight, mask", pair | {"weight": unit}, others={"mask": hard}, ulps=3),
    Case("mse_loss", wide_pair, lambda m, y: (y - m) ** 2, "|x| about {x}",
         slopes={"mean": (lambda m, y: 2 * (m - y), None)}),
    Case(poisson, {"input": uniform(-0.8, 0.8), "target": counts(3)}, lambda x, y: mp.exp(x) - y * x,
         "|log λ| ≤ 0.8·{x}", largest=lambda x, y: larger(exp(x), y * x),
         slopes={"input": (lambda x, y: mp.exp(x) - y, lambda x, y: larger(mp.exp(x), y))}),
    Case(f"{poisson}, integer target", {"input": uniform(-0.1, 0.1)}, others={"target": counts(4)}, ulps=3,
         largest=lambda x, y: larger(exp(x), y * x)),
    Case(f"{poisson}, log_input=False", {"input": rates, "target": counts(300)},
         lambda x, y: x - y * mp.log(x + mpf(1e-8)), "λ from 1e-30 to 1e6, and near 1", keywords={"log_input": False},
         largest=lambda x, y: larger(x, y * log(x + 1e-8)),
         slopes={"input": (lambda x, y: (x + mpf(1e-8) - y) / (x + mpf(1e-8)), None)}),
    Case(f"{poisson}, log_input=False, full", {"input": rates}, others={"target": counts(4)}, **cancels,
         keywords={"log_input": False, "full": True}, largest=lambda x, y: larger(x, y * log(x + 1e-8))),
    Case(f"{poisson}, exact", {"input": uniform(-0.1, 0.1), "target": counts(30)},
         lambda x, y: mp.exp(x) - y * x + mp.loggamma(y + 1), "|log λ| ≤ 0.1·{x}", keywords={"full": "exact"},
         largest=lambda x, y: larger(exp(x), y * x, log_factorial(y)), rtol=1e-12),
    Case(f"{poisson}, log_offset, weight", {"input": uniform(-0.1, 0.1), "target": counts(3), "log_offset": normal},
         others={"weight": hard}, ulps=3, largest=lambda x, y, o, w: larger(exp(x + o), y * (x + o))),
    Case("bradley_terry_loss", {"chosen": scores, "rejected": scores}, lambda a, b: softplus(b - a),
         "|scores| ≤ {x}/2", slopes={"rejected": (lambda a, b: sigmoid(b - a), None)}),
    Case("bradley_terry_loss, margin", {"chosen": scores, "rejected": scores}, keywords={"margin": 0.5}),
    Case("dpo_loss", {f"{a}_{b}_logps": uniform(-1, 0) for a in ("policy", "ref") for b in ("chosen", "rejected")},
         lambda a, b, c, d: softplus(-mpf(0.1) * ((a - c) - (b - d))), "log-probabilities from -{x} to 0",
         slopes={"policy_chosen_logps": (
             lambda a, b, c, d: -mpf(0.1) * sigmoid(-mpf(0.1) * ((a - c) - (b - d))), None)}),
    *(Case(f"dpo_loss, {kind}", {f"policy_{a}_logps": uniform(-0.5, 0) for a in ("chosen", "rejected")}, rtol=1e-13,
           floor=1, keywords={"loss_type": kind, **smooth, "beta": 0.3, "reference_point": 0.2})
      for kind in ("sigmoid", "robust", "hinge", "ipo", "exo_pair", "nca_pair", "bco_pair", "kto_pair", "sppo_hard",
                   "apo_zero", "apo_down")),
    Case("entr", {"p": unit}, lambda p: -p * mp.log(p), "p from 1e-30 to 1 - 1e-7", reduces=False),
    Case("rel_entr", {"p": unit, "q": unit}, lambda p, q: p * mp.log(p / q), "p, q from 1e-30 to 1 - 1e-7",
         reduces=False, **cancels),
    Case("kl_div", {"input": log_unit, "target": unit}, lambda x, p: p * (mp.log(p) - x), "p from 1e-30 to 1",
         largest=lambda x, p: larger(p * log(p), p * x)),
    Case("kl_div, log_target", {"input": log_unit, "target": log_unit}, keywords={"log_target": True}, ulps=3,
         largest=lambda x, t: larger(exp(t) * t, exp(t) * x)),
    Case("cross_entropy", logits, nll, x, of_class, **gather),
    Case("cross_entropy, weight", logits, others=weighted, rows=True, rtol=1e-13),
    Case("cross_entropy, sample_weight", logits, others=weighted_rows, rows=True, rtol=1e-13),
    Case("cross_entropy, soft targets, sample_weight", logits | {"target": simplex},
         others={"sample_weight": row_weights}, **deviation),
    *(Case(f"cross_entropy, weight, label_smoothing={e}", logits, others=weighted, keywords={"label_smoothing": e},
           rows=True, rtol=1e-13) for e in (0.1, 1.0)),
    Case("cross_entropy, label_smoothing=0.1", logits, others={"target": classes_or_none}, keywords=smooth, rows=True,
         rtol=1e-13),
    Case("cross_entropy, soft targets", logits | {"target": simplex},
         lambda x, y: mp.fsum(b * nll(x, t) for t, b in enumerate(y)), x, **deviation),
    Case("cross_entropy, soft targets, weight", logits | {"target": simplex}, others={"weight": class_weights},
         keywords=smooth, **deviation),
    Case("cross_entropy, soft targets, mask", logits | {"target": simplex}, others=masked, **deviation),
    Case("cross_entropy_grad", logits, others=weighted, keywords={**smooth, "reduction": "sum"}, rows=True, floor=1,
         ulps=1.5, rtol=1e-14, reduces=False, wide=True),
    Case("cross_entropy_grad, sample_weight", logits, others=weighted_rows,
         keywords={"reduction": "sum"}, rows=True, floor=1, ulps=4.5, rtol=1e-14, reduces=False, wide=True),
    Case("token_log_probs", logits, lambda x, t: -nll(x, t), x, of_class, reduces=False, **gather),
    Case("nll_loss", {"log_probs": log_rows}, lambda x, t: -x[t], x, of_class, **gather),
    Case("categorical_nll, sample_weight", {"probs": simplex}, others=weighted_rows, **gather),
    Case("categorical_nll, clamp='eps'", {"probs": simplex}, others=of_class, keywords={"clamp": "eps"}, **gather),
    Case("nll_loss, weight", {"log_probs": log_rows}, others=weighted, **gather),
    Case("categorical_nll", {"probs": simplex}, lambda p, t: -mp.log(p[t]), "p in (0, 1)", of_class, **gather),
    Case("categorical_nll, soft targets", {"probs": simplex, "target": simplex},
         lambda p, y: mp.fsum(-b * mp.log(a) for a, b in zip(p, y, strict=True)), "p, y in (0, 1)", **gather),
    Case("categorical_nll, soft targets, weight", {"probs": simplex, "target": simplex},
         others={"weight": class_weights, "sample_weight": row_weights}, keywords={"clamp": "eps"}, **gather),
    Case("logsumexp, b", logits | {"b": magnitudes(1e-30, 1e30)},
         lambda x, b: max(x) + mp.log(mp.fsum(f * mp.exp(a - max(x)) for a, f in zip(x, b, strict=True))),
         x + ", b from 1e-30 to 1e30", rows=True, floor=1, rtol=1e-14,
         largest=lambda x, b: np.max(larger(np.array(x, float), np.log(np.array(b, float))), -1), reduces=False),
    Case("logsumexp", logits, lambda x: max(x) + mp.log(mp.fsum(mp.exp(a - max(x)) for a in x)), x, rows=True, floor=1,
         largest=lambda x: np.max(np.abs(x), -1), reduces=False),
    Case("log_softmax", logits, rows=True, rtol=64 * 2.0**-52, reduces=False, wide=True),
    Case("entropy", logits, shannon, x, **deviation),
    Case("entropy, mask", logits, others=masked, **deviation),
    Case("kl_divergence, mask", {"p_logits": rows, "q_logits": rows}, others=masked, **deviation),
    Case("kl_divergence", {"p_logits": rows, "q_logits": rows}, kl, x, **deviation),
    Case("score, log_prob", logits, lambda x, t: -nll(x, t), x, of_class, of="log_prob", reduces=False, **gather),
    Case("score, logsumexp", logits, others=of_class, of="logsumexp", rows=True, floor=1, reduces=False,
         largest=lambda x, t: np.max(np.abs(x), -1)),
    Case("score, entropy", logits, lambda x, t: shannon(x), x, of_class,
         of="entropy", reduces=False, **deviation),
    Case("score, max_log_prob", logits, lambda x, t: -nll(x, x.index(max(x))), x, of_class, of="max_log_prob",
         reduces=False, **gather),
    Case("score, temperature, softcap", logits, others=of_class, of="log_prob", reduces=False, rows=True, rtol=1e-13,
         keywords={"temperature": 0.7, "softcap": 30.0}, atol=1e-6),
    *(Case(f"compare, {of}", {"p_logits": rows, "q_logits": rows}, exact, x, of=of, reduces=False, **deviation)
      for of, exact in (("kl_pq", kl), ("kl_qp", lambda x, y: kl(y, x)), ("js", middle), ("total_variation", distance),
                        ("p_entropy", lambda x, y: shannon(x)))),
    Case("compare, p_log_prob", {"p_logits": rows, "q_logits": rows}, others=of_class, of="p_log_prob", reduces=False,
         **gather),
]  # fmt: skip
CASES = {case.name: case for case in TABLE}
EXACT = [name for name, case in CASES.items() if case.exact]
