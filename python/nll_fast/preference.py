"""Losses of pairs, one of which was preferred: Bradley-Terry, and DPO with its relatives."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_floats, as_mask
from nll_fast._elements import elements
from nll_fast._options import as_flag, as_number
from nll_fast._types import Array, Hessian, Loss, Reduction, mean_by_default


@mean_by_default
def bradley_terry_loss(
    chosen: ArrayLike,
    rejected: ArrayLike,
    *,
    margin: ArrayLike = 0.0,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    hess: Hessian | None = None,
) -> Loss:
    """−log σ(chosen − rejected − margin): the loss of a reward model, in nats.

    It is the cross entropy of the two scores as logits, with ``chosen`` as the target (Bradley and Terry 1952;
    ``RewardTrainer`` of TRL). Results and errors are those of :func:`binary_cross_entropy_with_logits`.

    Parameters
    ----------
    chosen, rejected : array_like
        The scores of the preferred and of the other answer, of one shape, or one of them is a single number.
    margin : array_like
        How much better the preferred answer is to score; broadcasts to the shape of the losses.
    weight, mask, reduction, out, grad, wrt, hess
        As in :func:`binary_cross_entropy_with_logits`; ``wrt`` names "chosen", "rejected" or "margin".

    Returns
    -------
    float, ndarray, Partial or tuple
        As of :func:`binary_cross_entropy_with_logits`.

    Raises
    ------
    TypeError, ValueError
        As by :func:`binary_cross_entropy_with_logits`.

    Examples
    --------
    >>> round(bradley_terry_loss([2.0], [0.0]), 6)
    0.126928
    """
    if weight is mask is out is wrt is hess is None and grad is False:
        try:
            return _core.bradley_terry_loss(chosen, rejected, margin, reduction)
        except TypeError:
            pass  # An argument is converted, or refused in words, below.
    return elements(
        _core.bradley_terry_loss,
        {"chosen": chosen, "rejected": rejected, "margin": margin},
        weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt, hess=hess,
    )  # fmt: skip


@mean_by_default
def dpo_loss(
    policy_chosen_logps: ArrayLike,
    policy_rejected_logps: ArrayLike,
    ref_chosen_logps: ArrayLike | None = None,
    ref_rejected_logps: ArrayLike | None = None,
    *,
    beta: float = 0.1,
    label_smoothing: float = 0.0,
    loss_type: str = "sigmoid",
    reference_point: float = 0.0,
    weight: ArrayLike | None = None,
    mask: ArrayLike | None = None,
    reduction: Reduction = "mean",
    out: Array | None = None,
    grad: bool = False,
    wrt: str | Sequence[str] | None = None,
    return_rewards: bool = False,
) -> Loss:
    """Direct preference optimization and its relatives, from the log-probabilities of whole answers.

    With a and b the log-ratios policy − reference of the chosen and the rejected answer, h = β·(a − b),
    ε the ``label_smoothing`` and δ the ``reference_point``:

    ========== =================================================================================
    sigmoid    −(1 − ε)·log σ(h) − ε·log σ(−h)   (DPO; with ε, conservative DPO)
    robust     (−(1 − ε)·log σ(h) + ε·log σ(−h)) / (1 − 2ε),   ε < ½
    hinge      max(0, 1 − h)   (SLiC)
    ipo        (a − b − 1/(2β))²   (TRL divides the log-probabilities by the lengths first)
    exo_pair   σ(h)·(log σ(h) − log(1 − ε)) + σ(−h)·(log σ(−h) − log ε),   ε > 0
    nca_pair   −log σ(βa) − ½·log σ(−βa) − ½·log σ(−βb)
    bco_pair   −log σ(βa − δ) − log σ(δ − βb)
    kto_pair   1 − σ(βa − δ) + 1 − σ(δ − βb)
    sppo_hard  (a − 1/(2β))² + (b + 1/(2β))²
    apo_zero   1 − σ(βa) + σ(βb)
    apo_down   σ(βa) + 1 − σ(h)
    ========== =================================================================================

    Parameters
    ----------
    policy_chosen_logps, policy_rejected_logps : array_like
        The log-probabilities, in nats, that the trained model gives to the two answers of each pair, as from
        :func:`sequence_log_probs`. All four arrays have one shape or are single numbers, which are rounded to the type
        of the arrays.
    ref_chosen_logps, ref_rejected_logps : array_like
        Those of the reference model, both or neither: without one they count as 0.
    beta : float
        β, positive and finite.
    label_smoothing : float
        ε, the probability that the two answers were swapped: in [0, 1), or as the table says.
    loss_type : str
        A name in the first column of the table.
    reference_point : float
        δ, used by "bco_pair" and "kto_pair".
    weight, mask, reduction, out, grad, wrt
        As in :func:`binary_cross_entropy_with_logits`; ``wrt`` names the four log-probabilities, as they are called
        here.
    return_rewards : bool
        Also return a dict of the rewards ``chosen`` = β·a and ``rejected`` = β·b, of their difference ``margins``
        (three float64 arrays), and of ``accuracy``, the share of positive margins
        among the pairs that count.

    Returns
    -------
    float, ndarray or Partial
        As in :func:`binary_cross_entropy_with_logits`.
    tuple
        (loss, gradient) with ``grad=True``, (loss, rewards) with ``return_rewards=True``, (loss, gradient, rewards)
        with both.

    Notes
    -----
    The differences are computed in more digits than the log-probabilities have: where these cancel, float32 keeps its
    accuracy.

    SimPO is :func:`bradley_terry_loss` of β·chosen/length and β·rejected/length with ``margin`` = γ.

    References
    ----------
    R. Rafailov et al., "Direct Preference Optimization", 2023; names and formulas of ``DPOTrainer`` of TRL.

    Raises
    ------
    TypeError, ValueError
        If the dtype or the shape of an argument does not fit, or an option is unknown or out of its range.

    Examples
    --------
    >>> round(dpo_loss([-10.0], [-12.0], [-11.0], [-11.0]), 6)
    0.598139
    """
    if (ref_chosen_logps is None) != (ref_rejected_logps is None):
        missing = "ref_chosen_logps" if ref_chosen_logps is None else "ref_rejected_logps"
        raise TypeError(
            f"{missing} is None, but of the reference model the log-probabilities of both answers are needed, "
            "ref_chosen_logps and ref_rejected_logps, or neither"
        )
    ref_chosen_logps = 0.0 if ref_chosen_logps is None else ref_chosen_logps
    ref_rejected_logps = 0.0 if ref_rejected_logps is None else ref_rejected_logps
    arrays = {
        "policy_chosen_logps": policy_chosen_logps,
        "policy_rejected_logps": policy_rejected_logps,
        "ref_chosen_logps": ref_chosen_logps,
        "ref_rejected_logps": ref_rejected_logps,
    }
    beta, label_smoothing = as_number(beta, "beta"), as_number(label_smoothing, "label_smoothing")
    point, return_rewards = as_number(reference_point, "reference_point"), as_flag(return_rewards, "return_rewards")
    loss, options = None, (beta, label_smoothing, loss_type, point)
    if weight is mask is out is wrt is None and grad is False:
        try:
            loss = _core.dpo_loss(
                policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps, *options, reduction
            )
        except TypeError:
            loss = None  # An argument is converted, or refused in words, below.
    if loss is None:
        loss = elements(
            _core.dpo_loss, arrays, *options,
            weight=weight, mask=mask, reduction=reduction, out=out, grad=grad, wrt=wrt,
        )  # fmt: skip
    if not return_rewards:
        return loss
    pc, pr, rc, rr = (as_floats(x, name).astype(np.float64) for name, x in arrays.items())
    chosen, rejected = beta * (pc - rc), beta * (pr - rr)
    margins = chosen - rejected
    won = margins > 0 if mask is None else (margins > 0)[np.broadcast_to(as_mask(mask), margins.shape)]
    accuracy = float(np.mean(won)) if won.size else math.nan
    rewards = {"chosen": chosen, "rejected": rejected, "margins": margins, "accuracy": accuracy}
    return (*loss, rewards) if grad else (loss, rewards)
