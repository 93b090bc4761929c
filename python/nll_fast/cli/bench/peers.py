"""The same losses as their users write them in NumPy, SciPy, numexpr, torch and JAX.

Every answer is checked against NumPy's formulas in float64.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np

_Functions = dict[str, Callable[..., Any]]


def _reduced(losses: Any, reduction: str) -> Any:
    return losses if reduction == "none" else losses.mean()


def _bernoulli_numpy(x, y):
    return np.maximum(x, 0) - x * y + np.log1p(np.exp(-np.abs(x)))


def _log_softmax_numpy(x):
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def _categorical_numpy(x, target):
    if target.ndim == x.ndim:
        return -(target * _log_softmax_numpy(x)).sum(-1)
    m = x.max(-1, keepdims=True)
    return m[:, 0] + np.log(np.exp(x - m).sum(-1)) - x[np.arange(len(x)), target]


def _gradient_numpy(x, target):
    """Of the sum of the losses."""
    p = np.exp(_log_softmax_numpy(x))
    p[np.arange(len(x)), target] -= 1
    return p


def _divergence_numpy(p, q):
    p, q = _log_softmax_numpy(p), _log_softmax_numpy(q)
    return (np.exp(p) * (p - q)).sum(-1)


def _divergence_gradient_numpy(p, q):
    """The gradient of the sum by the logits of q. The peers compute it alone; nll_fast returns the value as well."""
    return np.exp(_log_softmax_numpy(q)) - np.exp(_log_softmax_numpy(p))


def _entropy_numpy(x):
    x = _log_softmax_numpy(x)
    return -(np.exp(x) * x).sum(-1)


def _score_numpy(x, target):
    log_p = _log_softmax_numpy(x)
    of_target = x[np.arange(len(x)), target]
    columns = log_p[np.arange(len(x)), target], -(np.exp(log_p) * log_p).sum(-1), x.argmax(-1)
    return np.stack([*columns, 1 + (x > of_target[:, None]).sum(-1)], -1)


def _compare_numpy(x, y):
    p, q = _log_softmax_numpy(x), _log_softmax_numpy(y)
    both = (np.exp(p) * (p - q)).sum(-1), (np.exp(q) * (q - p)).sum(-1)
    return np.stack([*both, x.argmax(-1) == y.argmax(-1)], -1)


def _advantage(chosen, rejected, ref_chosen, ref_rejected):
    """Of the chosen answer, by DPO, in every peer's arrays."""
    return 0.1 * ((chosen - rejected) - (ref_chosen - ref_rejected))


TABLES = {"score": ("log_prob", "entropy", "argmax", "rank"), "compare": ("kl_pq", "kl_qp", "same_top")}
"""Functions that return several arrays, and those of them that are computed by the peers and compared."""

NUMPY: _Functions = {
    "score": _score_numpy,
    "compare": _compare_numpy,
    "cross_entropy": _categorical_numpy,
    "cross_entropy_grad": _gradient_numpy,
    "categorical_nll": lambda p, target: -np.log(p[np.arange(len(p)), target]),
    "log_softmax": _log_softmax_numpy,
    "entropy": _entropy_numpy,
    "kl_divergence": _divergence_numpy,
    "kl_divergence, gradient by q_logits": _divergence_gradient_numpy,
    "binary_cross_entropy_with_logits": _bernoulli_numpy,
    "binary_cross_entropy": lambda p, y: -(y * np.log(p) + (1 - y) * np.log1p(-p)),
    "log_sigmoid": lambda x: -np.logaddexp(0, -x),
    "softplus": lambda x: np.logaddexp(0, x),
    "gaussian_nll_loss": lambda m, y, v: 0.5 * (np.log(v) + (y - m) ** 2 / v),
    "mse_loss": lambda m, y: (y - m) ** 2,
    "poisson_nll_loss": lambda x, y: np.exp(x) - y * x,
    "bradley_terry_loss": lambda chosen, rejected: np.logaddexp(0, rejected - chosen),
    "dpo_loss": lambda *log_p: np.logaddexp(0, -_advantage(*log_p)),
}


def _numpy(threads: int) -> Callable[..., Any]:
    def prepare(function: str, arrays: list[np.ndarray], reduction: str) -> Callable[[], Any] | None:
        if any(a.dtype.itemsize == 2 for a in arrays):
            return None  # NumPy computes halves one by one, which takes minutes
        return lambda: _reduced(NUMPY[function](*arrays), reduction)

    return prepare


def _scipy(threads: int) -> Callable[..., Any]:
    special = importlib.import_module("scipy.special")

    def categorical(x, target):
        if target.ndim == x.ndim:
            return -(target * special.log_softmax(x, axis=-1)).sum(-1)
        return special.logsumexp(x, axis=-1) - x[np.arange(len(x)), target]

    def gradient(x, target):
        p = special.softmax(x, axis=-1)
        p[np.arange(len(x)), target] -= 1
        return p

    def score(x, target):
        log_p, row = special.log_softmax(x, axis=-1), np.arange(len(x))
        columns = log_p[row, target], special.entr(np.exp(log_p)).sum(-1), x.argmax(-1)
        return np.stack([*columns, 1 + (x > x[row, target][:, None]).sum(-1)], -1)

    def compare(x, y):
        p, q = special.softmax(x, axis=-1), special.softmax(y, axis=-1)
        both = special.rel_entr(p, q).sum(-1), special.rel_entr(q, p).sum(-1)
        return np.stack([*both, x.argmax(-1) == y.argmax(-1)], -1)

    functions: _Functions = {
        "score": score,
        "compare": compare,
        "cross_entropy": categorical,
        "cross_entropy_grad": gradient,
        "log_softmax": lambda x: special.log_softmax(x, axis=-1),
        "entropy": lambda x: special.entr(special.softmax(x, axis=-1)).sum(-1),
        "kl_divergence": lambda p, q: special.rel_entr(special.softmax(p, axis=-1), special.softmax(q, axis=-1)).sum(
            -1
        ),
        "kl_divergence, gradient by q_logits": lambda p, q: special.softmax(q, axis=-1) - special.softmax(p, axis=-1),
        "binary_cross_entropy_with_logits": lambda x, y: -(y * special.log_expit(x) + (1 - y) * special.log_expit(-x)),
        "binary_cross_entropy": lambda p, y: -(special.xlogy(y, p) + special.xlog1py(1 - y, -p)),
        "log_sigmoid": special.log_expit,
        "bradley_terry_loss": lambda chosen, rejected: -special.log_expit(chosen - rejected),
        "dpo_loss": lambda *log_p: -special.log_expit(_advantage(*log_p)),
    }

    def prepare(function: str, arrays: list[np.ndarray], reduction: str) -> Callable[[], Any] | None:
        if function not in functions or any(a.dtype.itemsize == 2 for a in arrays):
            return None
        return lambda: _reduced(functions[function](*arrays), reduction)

    return prepare


def _numexpr(threads: int) -> Callable[..., Any]:
    numexpr = importlib.import_module("numexpr")
    numexpr.set_num_threads(threads)
    softplus = "where({0} > 0, {0}, 0) + log1p(exp(-abs({0})))"
    expressions = {
        "binary_cross_entropy_with_logits": softplus.format("a") + " - a * b",
        "binary_cross_entropy": "-(b * log(a) + (1 - b) * log1p(-a))",
        "log_sigmoid": "-(" + softplus.format("(-a)") + ")",
        "gaussian_nll_loss": "0.5 * (log(c) + (b - a) ** 2 / c)",
        "mse_loss": "(b - a) ** 2",
        "poisson_nll_loss": "exp(a) - b * a",
        "bradley_terry_loss": softplus.format("(b - a)"),
        "dpo_loss": softplus.format("(0.1 * ((b - a) - (d - c)))"),
    }

    def prepare(function: str, arrays: list[np.ndarray], reduction: str) -> Callable[[], Any] | None:
        if function not in expressions or any(a.dtype.itemsize == 2 for a in arrays):
            return None
        names = dict(zip("abcd", arrays, strict=False))
        return lambda: _reduced(numexpr.evaluate(expressions[function], names), reduction)

    return prepare


def _torch(threads: int, compiled: bool = False) -> Callable[..., Any]:
    torch = importlib.import_module("torch")
    torch.set_num_threads(threads)
    f = torch.nn.functional

    def tensor(a: np.ndarray) -> Any:
        if a.dtype.name == "bfloat16":
            return torch.from_numpy(a.view(np.int16)).view(torch.bfloat16)
        return torch.from_numpy(a)

    def entropy(x):
        x = f.log_softmax(x, -1)
        return -(x.exp() * x).sum(-1)

    def divergence(p, q):
        p, q = f.log_softmax(p, -1), f.log_softmax(q, -1)
        return f.kl_div(q, p, log_target=True, reduction="none").sum(-1)

    def gradient(x, target):
        if compiled:
            return f.softmax(x, -1) - f.one_hot(target, x.shape[-1])
        p = f.softmax(x, -1)
        p[torch.arange(len(x)), target] -= 1
        return p

    def reduced(function):
        return lambda *x, reduction: _reduced(function(*x), reduction)

    def score(x, target):
        log_p, of_target = f.log_softmax(x, -1), x.gather(-1, target[:, None])
        columns = log_p.gather(-1, target[:, None])[:, 0], -(log_p.exp() * log_p).sum(-1), x.argmax(-1)
        return torch.stack([*columns, 1 + (x > of_target).sum(-1)], -1)

    def compare(x, y):
        p, q = f.log_softmax(x, -1), f.log_softmax(y, -1)
        both = [f.kl_div(b, a, log_target=True, reduction="none").sum(-1) for a, b in ((p, q), (q, p))]
        return torch.stack([*both, x.argmax(-1) == y.argmax(-1)], -1)

    functions: _Functions = {
        "score": reduced(score),
        "compare": reduced(compare),
        "cross_entropy": f.cross_entropy,
        "cross_entropy_grad": reduced(gradient),
        "categorical_nll": lambda p, target, reduction: f.nll_loss(p.log(), target, reduction=reduction),
        "log_softmax": reduced(lambda x: f.log_softmax(x, -1)),
        "entropy": reduced(entropy),
        "kl_divergence": reduced(divergence),
        "kl_divergence, gradient by q_logits": reduced(lambda p, q: f.softmax(q, -1) - f.softmax(p, -1)),
        "binary_cross_entropy_with_logits": f.binary_cross_entropy_with_logits,
        "binary_cross_entropy": f.binary_cross_entropy,
        "log_sigmoid": reduced(f.logsigmoid),
        "softplus": reduced(f.softplus),
        "gaussian_nll_loss": f.gaussian_nll_loss,
        "mse_loss": f.mse_loss,
        "poisson_nll_loss": f.poisson_nll_loss,
        "bradley_terry_loss": lambda c, r, reduction: _reduced(-f.logsigmoid(c - r), reduction),
        "dpo_loss": lambda *x, reduction: _reduced(-f.logsigmoid(_advantage(*x)), reduction),
    }

    def prepare(function: str, arrays: list[np.ndarray], reduction: str) -> Callable[[], Any]:
        tensors, call = [tensor(a) for a in arrays], functions[function]
        if compiled:
            torch.compiler.reset()
            call = torch.compile(call, dynamic=False)

        def run():
            with torch.no_grad():
                result = call(*tensors, reduction=reduction)
                return (result.float() if result.dtype == torch.bfloat16 else result).numpy()

        return run

    return prepare


def _jax(threads: int) -> Callable[..., Any]:
    jax = importlib.import_module("jax")
    jnp, nn = importlib.import_module("jax.numpy"), importlib.import_module("jax.nn")

    def categorical(x, target):
        log_p = nn.log_softmax(x, axis=-1)
        if target.ndim == x.ndim:
            return -(target * log_p).sum(-1)
        return -jnp.take_along_axis(log_p, target[:, None], -1)[:, 0]

    def entropy(x):
        x = nn.log_softmax(x, axis=-1)
        return -(jnp.exp(x) * x).sum(-1)

    def divergence(p, q):
        p, q = nn.log_softmax(p, axis=-1), nn.log_softmax(q, axis=-1)
        return (jnp.exp(p) * (p - q)).sum(-1)

    def score(x, target):
        log_p, of_target = nn.log_softmax(x, axis=-1), jnp.take_along_axis(x, target[:, None], -1)
        columns = jnp.take_along_axis(log_p, target[:, None], -1)[:, 0], -(jnp.exp(log_p) * log_p).sum(-1), x.argmax(-1)
        return jnp.stack([*columns, 1 + (x > of_target).sum(-1)], -1)

    def compare(x, y):
        both = divergence(x, y), divergence(y, x)
        return jnp.stack([*both, x.argmax(-1) == y.argmax(-1)], -1)

    functions: _Functions = {
        "score": score,
        "compare": compare,
        "cross_entropy": categorical,
        "cross_entropy_grad": lambda x, target: nn.softmax(x, axis=-1) - nn.one_hot(target, x.shape[-1]),
        "categorical_nll": lambda p, target: -jnp.log(jnp.take_along_axis(p, target[:, None], -1)[:, 0]),
        "log_softmax": lambda x: nn.log_softmax(x, axis=-1),
        "entropy": entropy,
        "kl_divergence": divergence,
        "kl_divergence, gradient by q_logits": lambda p, q: nn.softmax(q, axis=-1) - nn.softmax(p, axis=-1),
        "binary_cross_entropy_with_logits": lambda x, y: nn.softplus(x) - x * y,
        "binary_cross_entropy": lambda p, y: -(y * jnp.log(p) + (1 - y) * jnp.log1p(-p)),
        "log_sigmoid": nn.log_sigmoid,
        "softplus": nn.softplus,
        "gaussian_nll_loss": lambda m, y, v: 0.5 * (jnp.log(v) + (y - m) ** 2 / v),
        "mse_loss": lambda m, y: (y - m) ** 2,
        "poisson_nll_loss": lambda x, y: jnp.exp(x) - y * x,
        "bradley_terry_loss": lambda chosen, rejected: nn.softplus(rejected - chosen),
        "dpo_loss": lambda *log_p: nn.softplus(-_advantage(*log_p)),
    }

    def prepare(function: str, arrays: list[np.ndarray], reduction: str) -> Callable[[], Any]:
        device = [jnp.asarray(a) for a in arrays]
        call = jax.jit(lambda *x: _reduced(functions[function](*x), reduction))
        return lambda: np.asarray(call(*device).block_until_ready(), np.float32)

    return prepare


PEERS: dict[str, tuple[str, Callable[[int], Callable[..., Any]]]] = {
    "NumPy": ("numpy", _numpy),
    "SciPy": ("scipy", _scipy),
    "numexpr": ("numexpr", _numexpr),
    "torch": ("torch", _torch),
    "compiled": ("torch", lambda threads: _torch(threads, compiled=True)),
    "JAX": ("jax", _jax),
}
"""The name of a column → its package, and a function of the number of threads. That function returns another,
which turns a loss, its arrays and its reduction into a call without arguments, or None if the peer lacks the
loss."""


def installed(names: list[str] | None, threads: int) -> dict[str, Callable[..., Any]]:
    """The installed peers, or those of them in ``names``, set to use ``threads`` threads."""
    found = {}
    for name, (package, load) in PEERS.items():
        if (names is None or name.lower() in names) and importlib.util.find_spec(package):
            found[name] = load(threads)
    return found
