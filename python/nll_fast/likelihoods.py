"""Losses of single observations: documentation, and one call each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast import _core
from nll_fast._arrays import as_array, as_element, as_floats, as_out
from nll_fast.partial import Partial
from nll_fast.reduction import check_reduction, reduced

_Array = Any
_Loss = float | np.ndarray | Partial
_PROBABILITY = (
    0.0, 1.0, False, "outside [0, 1]: pass validate=False to compute anyway, or use the form with logits"
)  # fmt: skip
_VARIANCE = (0.0, math.inf, True, "a variance cannot be negative")
_EPSILON = {"float32": 2.0**-23, "float16": 2.0**-10, "bfloat16": 2.0**-7}
"""Machine epsilon of the types below float64."""


def _same_shape(inputs: dict[str, tuple[Any, str]]) -> tuple[int, ...]:
    """The one shape of all arrays; numbers go with any."""
    shapes = {name: x.shape for name, (x, dtype) in inputs.items() if dtype != "scalar"}
    if len(set(shapes.values())) > 1:
        raise ValueError(
            f"{' and '.join(f'{name} of shape {shape}' for name, shape in shapes.items())} differ; "
            "nothing is broadcast here: reshape one of them, or use np.broadcast_to"
        )
    return next(iter(shapes.values()), ())


def _broadcast_shape(inputs: dict[str, tuple[Any, str]]) -> tuple[int, ...]:
    """The shape all arrays broadcast to by NumPy's rules."""
    shapes = {name: x.shape for name, (x, dtype) in inputs.items() if dtype != "scalar"}
    try:
        return np.broadcast_shapes(*shapes.values())
    except ValueError:
        listed = ", ".join(f"{name} {shape}" for name, shape in shapes.items())
        raise ValueError(f"the shapes do not broadcast together: {listed}") from None


def _elementwise(
    function: str,
    arguments: dict[str, Any],
    options: tuple[float, ...] = (),
    *,
    shape: Any = _same_shape,
    spread: dict[str, Any] | None = None,
    weight: Any = None,
    reduction: str = "none",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
    double: bool | None = None,
    limits: dict[str, tuple[float, float, bool, str]] | None = None,
) -> Any:
    """``function`` of ``arguments`` (one shape) and ``spread`` (broadcast to it), then reduced.

    ``limits`` holds, for some arguments, the lowest and highest value, whether NaN is allowed, and what to
    say of others. They are looked at beside the computation: when one raises, ``out`` is written already.
    """
    check_reduction(reduction, out)
    inputs = {name: as_element(x, name) for name, x in arguments.items()}
    shape = shape(inputs)
    for name, x in (spread or {}).items():
        inputs[name] = as_element(x, name)
    weights = {} if weight is None else {"weight": as_element(weight, "weight")}
    for group in (inputs, weights):
        for name, (x, dtype) in group.items():
            if dtype != "scalar" and x.shape != shape:
                try:
                    group[name] = np.broadcast_to(x, shape), dtype
                except ValueError:
                    raise ValueError(f"{name} has shape {x.shape}, which does not broadcast to {shape}") from None
    if double is None:
        floats = [dtype for _, dtype in inputs.values() if dtype in ("float64", "float32", "float16", "bfloat16")]
        double = "float64" in floats or not floats
    length = math.prod(shape)
    dtype = "float64" if double else "float32"
    arrays = tuple(x for x, kind in (*inputs.values(), *weights.values()) if kind != "scalar")
    value = as_out(out, shape, dtype, arrays) if reduction == "none" else None
    first = np.empty(shape, dtype) if grad else None
    second = np.empty(shape, dtype) if hess else None
    scale = 1 / length if reduction == "mean" and length else 1.0
    names = list(inputs)
    bounds = [(names.index(name), *bound[:3]) for name, bound in (limits or {}).items()]
    totals, outside = _core.elementwise(
        (function, list(options), double, hess == "upper"),
        list(inputs.values()),
        weights.get("weight"),
        (length, bounds),
        ([value, first, second], scale, reduction != "none"),
    )
    if outside is not None and limits:
        number, place, wrong = outside
        index = tuple(int(i) for i in np.unravel_index(place, shape)) if shape else ()
        raise ValueError(f"{names[number]} is {wrong} at index {index}; {limits[names[number]][3]}")
    result = value if reduction == "none" else reduced(totals, reduction)
    if not shape and reduction == "none":
        result = result[()]
    return (result, first, second) if hess else (result, first) if grad else result


def binary_cross_entropy_with_logits(
    logits: _Array,
    target: _Array,
    *,
    weight: _Array | None = None,
    pos_weight: _Array | float = 1.0,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> _Loss | tuple[Any, ...]:
    """pos_weight·y·softplus(−x) + (1 − y)·softplus(x): −log p of a yes/no label, in nats.

    ``logits`` and ``target`` have one shape (nothing is broadcast: a (n, 1) against (n,) is a mistake);
    ``target`` is of any dtype, 0, 1 or a probability, and not checked. ``weight`` multiplies the losses and
    ``pos_weight`` the positive term; both broadcast. The mean divides by the number of elements.

    ``grad=True`` returns ``(value, gradient)`` and ``hess="exact"`` ``(value, gradient, hessian)``, by the
    logits, of what ``reduction`` makes of the loss; ``hess="upper"`` gives the second
    derivative's upper bound over all logits, (pos_weight·y + 1 − y)/4, which never vanishes.

    Returns a float, or with ``reduction="none"`` float64 for float64 inputs, else float32, or a
    :class:`nll_fast.Partial`. A certain logit (±∞) costs 0 or ∞, never NaN; NaN stays NaN.
    Source: ``torch.nn.functional.binary_cross_entropy_with_logits``.

    >>> round(binary_cross_entropy_with_logits([0.0, 2.0], [0, 1]), 6)
    0.410038
    """
    return _elementwise(
        "bernoulli_logit",
        {"logits": logits, "target": target},
        spread={"pos_weight": pos_weight},
        weight=weight,
        reduction=reduction,
        out=out,
        **_derivatives(grad, hess),
    )


def _derivatives(grad: bool, hess: str | None) -> dict[str, Any]:
    if hess not in (None, "exact", "upper"):
        raise ValueError(f"hess is {hess!r}; use None, 'exact' or 'upper'")
    return {"grad": bool(grad) or hess is not None, "hess": hess}


def _constant(hess: str | None) -> str | None:
    """A second derivative that is the same for all first inputs is its own upper bound."""
    return "exact" if hess == "upper" else hess


def binary_cross_entropy(
    probs: _Array,
    target: _Array,
    *,
    weight: _Array | None = None,
    clamp: str | None = "torch",
    validate: bool = True,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> _Loss:
    """−y·log p − (1 − y)·log(1 − p), from probabilities. Prefer the form with logits: p near 1 has lost them.

    ``clamp="torch"`` lets no logarithm fall below −100, ``"eps"`` clips p to [ε, 1 − ε] as scikit-learn's
    ``log_loss`` does, ``None`` gives ∞ for a certain mistake. Shapes as for the form with logits.

    Raises ValueError, with value and index, for a probability or target outside [0, 1], unless
    ``validate=False``. Source: ``torch.nn.functional.binary_cross_entropy``.

    >>> round(binary_cross_entropy([0.9, 0.2], [1, 0]), 6)
    0.164252
    """
    if clamp not in ("torch", "eps", None):
        raise ValueError(f"clamp is {clamp!r}; use 'torch', 'eps' or None")
    floor = -100.0 if clamp == "torch" else -math.inf
    dtype = as_element(probs, "probs")[1]
    margin = _EPSILON.get(dtype, 2.0**-52) if clamp == "eps" else 0.0
    return _elementwise(
        "bernoulli",
        {"probs": probs, "target": target},
        (floor, margin),
        weight=weight,
        reduction=reduction,
        out=out,
        limits={"probs": _PROBABILITY, "target": _PROBABILITY} if validate else None,
    )


def log_sigmoid(x: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """log(1/(1 + e^−x)) of every element, subnormal results kept. −∞ → −∞, +∞ → 0, NaN → NaN.

    float64 for float64 input, else float32. Source: ``torch.nn.functional.logsigmoid``, SciPy's ``log_expit``.

    >>> import numpy as np
    >>> log_sigmoid(np.array([0.0, 40.0]))
    array([-6.93147181e-01, -4.24835426e-18])
    """
    return _elementwise("log_sigmoid", {"x": x}, out=out)


def softplus(x: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """log(1 + e^x) of every element. −∞ → 0, +∞ → +∞, NaN → NaN.

    float64 for float64 input, else float32. Source: ``torch.nn.functional.softplus``.

    >>> import numpy as np
    >>> softplus(np.array([0.0, 1000.0]))
    array([6.93147181e-01, 1.00000000e+03])
    """
    return _elementwise("softplus", {"x": x}, out=out)


def gaussian_nll_loss(
    mean: _Array,
    target: _Array,
    var: _Array | float | None = None,
    *,
    log_var: _Array | float | None = None,
    sigma: _Array | float | None = None,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> _Loss | tuple[Any, ...]:
    """½·(log var + (target − mean)²/var), plus ½·log 2π if ``full``, in nats.

    Give exactly one of ``var`` (variance, at least ``eps``), ``log_var`` and ``sigma`` (standard
    deviation). Everything broadcasts by NumPy's rules; torch lets a ``var`` of shape (n,) broadcast over
    the *first* axis of (n, d): write ``var[:, None]``. The gradient is by ``mean``, the Hessian 1/var.

    Negative variances raise ValueError. var = 0 counts as ``eps``; ∞ gives ∞, NaN gives NaN. The error is
    within 2 ulp of the larger of the two terms, which may cancel.
    Source: ``torch.nn.functional.gaussian_nll_loss``.

    >>> gaussian_nll_loss([0.0, 1.0], [1.0, 1.0], 1.0)
    0.25
    """
    given = [x is not None for x in (var, log_var, sigma)]
    if sum(given) != 1:
        raise TypeError(f"give exactly one of var, log_var and sigma, not {sum(given)}")
    if sigma is not None:
        sigma = as_floats(sigma, "sigma")
        if np.any(sigma < 0):
            raise ValueError("sigma has negative entries; a standard deviation cannot be negative")
        var = np.square(sigma) if sigma.ndim else float(sigma) ** 2
    third = {"log_var": log_var} if log_var is not None else {"var": var}
    constant = 0.5 * math.log(2 * math.pi) if full else 0.0
    return _elementwise(
        "gaussian",
        {"mean": mean, "target": target, **third},
        (eps, float(log_var is not None), constant),
        shape=_broadcast_shape,
        limits=None if log_var is not None else {"var": _VARIANCE},
        reduction=reduction,
        out=out,
        **_derivatives(grad, _constant(hess)),
    )


def mse_loss(
    mean: _Array,
    target: _Array,
    *,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> _Loss | tuple[Any, ...]:
    """(target − mean)²: twice the Gaussian loss with variance 1. One shape; nothing is broadcast.

    Source: ``torch.nn.functional.mse_loss``.

    >>> mse_loss([0.0, 1.0], [1.0, 3.0])
    2.5
    """
    return _elementwise(
        "squared_error",
        {"mean": mean, "target": target},
        reduction=reduction,
        out=out,
        **_derivatives(grad, _constant(hess)),
    )


def poisson_nll_loss(
    input: _Array,
    target: _Array,
    *,
    log_input: bool = True,
    full: bool = False,
    eps: float = 1e-8,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> _Loss | tuple[Any, ...]:
    """λ − target·log λ, with ``input`` = log λ, or = λ if ``log_input=False`` (then log(λ + ``eps``)).

    ``full`` adds Stirling's target·log target − target + ½·log(2π·target) where target > 1.
    ``hess="upper"`` is refused: e^x has no bound. A count of 0 costs λ. Everything broadcasts;
    the gradient is by ``input``.
    Source: ``torch.nn.functional.poisson_nll_loss``.

    >>> poisson_nll_loss([0.0], [3])
    1.0
    """
    if hess == "upper":
        raise ValueError("hess='upper': the second derivative of the Poisson loss has no upper bound; use 'exact'")
    return _elementwise(
        "poisson",
        {"input": input, "target": target},
        (float(log_input), float(full), eps),
        shape=_broadcast_shape,
        reduction=reduction,
        out=out,
        **_derivatives(grad, hess),
    )


def bradley_terry_loss(
    chosen: _Array,
    rejected: _Array,
    *,
    margin: _Array | float = 0.0,
    weight: _Array | None = None,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    grad: bool = False,
    hess: str | None = None,
) -> _Loss | tuple[Any, ...]:
    """−log σ(chosen − rejected − margin): the reward model's loss, in nats.

    The two-class cross entropy of the scores, the target being ``chosen``. ``chosen`` and ``rejected`` have
    one shape; ``margin`` and ``weight`` broadcast. The gradient is by ``chosen``; by ``rejected`` it is
    the negative. Source: Bradley & Terry 1952; TRL's ``RewardTrainer``.

    >>> round(bradley_terry_loss([2.0], [0.0]), 6)
    0.126928
    """
    return _elementwise(
        "bradley_terry",
        {"chosen": chosen, "rejected": rejected},
        spread={"margin": margin},
        weight=weight,
        reduction=reduction,
        out=out,
        **_derivatives(grad, hess),
    )


def entr(p: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """−p·log p of every element. 0 → 0, p < 0 → −∞. Source: ``scipy.special.entr``.

    >>> import numpy as np
    >>> entr(np.array([0.0, 0.5]))
    array([0.        , 0.34657359])
    """
    return _elementwise("entropy", {"p": p}, out=out)


def rel_entr(p: _Array, q: _Array, *, out: np.ndarray | None = None) -> np.ndarray:
    """p·log(p/q) of every element; p = 0 gives 0, p > 0 = q gives ∞. Broadcasts.

    Exact to the last digits where p is near q. Source: ``scipy.special.rel_entr``.

    >>> import numpy as np
    >>> rel_entr(np.array([0.0, 0.5]), np.array([0.5, 0.25])).round(6)
    array([0.      , 0.346574])
    """
    return _elementwise("relative_entropy", {"p": p, "q": q}, shape=_broadcast_shape, out=out)


def kl_div(
    input: _Array,
    target: _Array,
    *,
    log_target: bool = False,
    reduction: str = "mean",
    out: np.ndarray | None = None,
) -> _Loss:
    """target·(log target − input), ``input`` being log q and ``target`` p: torch's order of arguments.

    ``reduction="batchmean"`` divides the sum by the first axis, which is the divergence; ``"mean"``
    divides by all elements, as torch does. ``log_target`` says that target is log p. p = 0 gives 0, also
    where ``input`` is −∞.  Source: ``torch.nn.functional.kl_div``.

    >>> import numpy as np
    >>> round(kl_div(np.log([[0.5, 0.5]]), [[0.5, 0.5]], reduction="batchmean"), 12)
    0.0
    """
    batch = reduction == "batchmean"
    shape = np.broadcast_shapes(*(as_array(x, "input")[0].shape for x in (input, target)))
    if batch and not shape:
        raise ValueError("reduction='batchmean' needs a first axis to divide by, and there is none")
    value = _elementwise(
        "kl_div",
        {"input": input, "target": target},
        (float(log_target),),
        shape=_broadcast_shape,
        reduction="sum" if batch else reduction,
        out=out,
    )
    return value / max(shape[0], 1) if batch else value


PREFERENCES = (
    "sigmoid", "robust", "hinge", "ipo", "exo_pair", "nca_pair", "bco_pair", "kto_pair", "sppo_hard",
    "apo_zero", "apo_down",
)  # fmt: skip


def dpo_loss(
    policy_chosen_logps: _Array,
    policy_rejected_logps: _Array,
    ref_chosen_logps: _Array | float = 0.0,
    ref_rejected_logps: _Array | float = 0.0,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    loss_type: str = "sigmoid",
    reference_point: float = 0.0,
    reduction: str = "mean",
    out: np.ndarray | None = None,
    return_rewards: bool = False,
) -> _Loss | tuple[_Loss, dict[str, Any]]:
    """Direct preference optimization and its relatives, from the log-probabilities of whole answers.

    With a and b the log-ratios policy − reference of the chosen and the rejected answer, h = β·(a − b),
    and ε the ``label_smoothing``:

    ========== =================================================================================
    sigmoid    −(1 − ε)·log σ(h) − ε·log σ(−h)   (DPO; with ε, conservative DPO)
    robust     (−(1 − ε)·log σ(h) + ε·log σ(−h)) / (1 − 2ε),   ε < ½
    hinge      max(0, 1 − h)   (SLiC)
    ipo        (a − b − 1/(2β))²   (TRL divides the log-probabilities by the lengths first)
    exo_pair   σ(h)·(log σ(h) − log(1 − ε)) + σ(−h)·(log σ(−h) − log ε),   ε > 0
    nca_pair   −log σ(βa) − ½·log σ(−βa) − ½·log σ(−βb)
    bco_pair   −log σ(βa − δ) − log σ(δ − βb),   δ the ``reference_point``
    kto_pair   1 − σ(βa − δ) + 1 − σ(δ − βb)
    sppo_hard  (a − 1/(2β))² + (b + 1/(2β))²
    apo_zero   1 − σ(βa) + σ(βb)
    apo_down   σ(βa) + 1 − σ(h)
    ========== =================================================================================

    The reference may be left out (0). SimPO is ``bradley_terry_loss(β·chosen/length, …, margin=γ)``.
    Computed in float64 whatever comes in. ``return_rewards=True`` returns ``(loss, rewards)``, a dict of
    ``chosen`` = β·a, ``rejected`` = β·b, ``margins`` (all arrays) and ``accuracy``.
    Source: Rafailov et al. 2023; names and formulas as in TRL's ``DPOTrainer``.

    >>> round(dpo_loss([-10.0], [-12.0], [-11.0], [-11.0]), 6)
    0.598139
    """
    if loss_type not in PREFERENCES:
        raise ValueError(f"loss_type is {loss_type!r}; use one of {', '.join(PREFERENCES)}")
    if not beta > 0:
        raise ValueError(f"beta is {beta}; it must be positive")
    highest = 0.5 if loss_type == "robust" else 1.0
    if not 0 <= label_smoothing < highest or (loss_type == "exo_pair" and label_smoothing == 0):
        bound = "(0, 1)" if loss_type == "exo_pair" else f"[0, {highest})"
        raise ValueError(f"label_smoothing is {label_smoothing}; {loss_type} needs it in {bound}")
    arguments = {
        "policy_chosen_logps": policy_chosen_logps,
        "policy_rejected_logps": policy_rejected_logps,
        "ref_chosen_logps": ref_chosen_logps,
        "ref_rejected_logps": ref_rejected_logps,
    }
    loss = _elementwise(
        "preference",
        arguments,
        (float(PREFERENCES.index(loss_type)), beta, label_smoothing, reference_point),
        reduction=reduction,
        out=out,
        double=True,
    )
    if not return_rewards:
        return loss
    pc, pr, rc, rr = (as_floats(x, name).astype(np.float64) for name, x in arguments.items())
    chosen, rejected = beta * (pc - rc), beta * (pr - rr)
    margins = chosen - rejected
    accuracy = float(np.mean(margins > 0)) if margins.size else math.nan
    return loss, {"chosen": chosen, "rejected": rejected, "margins": margins, "accuracy": accuracy}
