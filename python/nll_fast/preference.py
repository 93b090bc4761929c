"""Losses of pairs, one of which was preferred: Bradley-Terry, and DPO with its relatives."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from nll_fast._arrays import as_floats, as_number
from nll_fast._elementwise import derivatives, elementwise
from nll_fast.reduction import Loss

_Array = Any


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
) -> Loss:
    """−log σ(chosen − rejected − margin): the reward model's loss, in nats.

    The two-class cross entropy of the scores, the target being ``chosen``. ``chosen`` and ``rejected`` have
    one shape; ``margin`` and ``weight`` broadcast. The gradient is by ``chosen``; by ``rejected`` it is
    the negative. Source: Bradley & Terry 1952; TRL's ``RewardTrainer``.

    >>> round(bradley_terry_loss([2.0], [0.0]), 6)
    0.126928
    """
    return elementwise(
        "bradley_terry",
        {"chosen": chosen, "rejected": rejected},
        spread={"margin": margin},
        weight=weight,
        reduction=reduction,
        out=out,
        **derivatives(grad, hess),
    )


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
) -> Loss:
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
    beta, label_smoothing = as_number(beta, "beta"), as_number(label_smoothing, "label_smoothing")
    if not 0 < beta < math.inf:
        raise ValueError(f"beta is {beta}; it must be positive and finite")
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
    loss = elementwise(
        "preference",
        arguments,
        (float(PREFERENCES.index(loss_type)), beta, label_smoothing, as_number(reference_point, "reference_point")),
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
