"""Losses of the better of two answers."""

import numpy as np

from nll_fast.reference.likelihoods import softplus
from nll_fast.reference.reductions import arrays, reduced_elements


def bradley_terry_loss(chosen, rejected, *, margin=0.0, weight=None, mask=None, reduction="mean"):
    """softplus(rejected − chosen + margin)."""
    chosen, rejected, margin = arrays(chosen, rejected, margin)
    return reduced_elements(softplus(rejected - chosen + margin), weight, mask, reduction)


def dpo_loss(
    policy_chosen_logps,
    policy_rejected_logps,
    ref_chosen_logps=0.0,
    ref_rejected_logps=0.0,
    *,
    beta=0.1,
    label_smoothing=0.0,
    loss_type="sigmoid",
    reference_point=0.0,
    weight=None,
    mask=None,
    reduction="mean",
):
    """The loss of the log-ratios a and b of two answers, by one of the formulas of ``nll_fast.dpo_loss``."""
    pc, pr, rc, rr = arrays(policy_chosen_logps, policy_rejected_logps, ref_chosen_logps, ref_rejected_logps)
    a, b, e, point = pc - rc, pr - rr, label_smoothing, reference_point
    h = beta * (a - b)
    nll, sigmoid = (lambda x: softplus(-x)), (lambda x: np.exp(-softplus(-x)))
    if loss_type == "sigmoid":
        loss = (1 - e) * nll(h) + e * nll(-h)
    elif loss_type == "robust":
        loss = ((1 - e) * nll(h) - e * nll(-h)) / (1 - 2 * e)
    elif loss_type == "hinge":
        loss = np.maximum(0, 1 - h)
    elif loss_type == "ipo":
        loss = (a - b - 1 / (2 * beta)) ** 2
    elif loss_type == "exo_pair":
        loss = sigmoid(h) * (-nll(h) - np.log(1 - e)) + sigmoid(-h) * (-nll(-h) - np.log(e))
    elif loss_type == "nca_pair":
        loss = nll(beta * a) + 0.5 * nll(-beta * a) + 0.5 * nll(-beta * b)
    elif loss_type == "bco_pair":
        loss = nll(beta * a - point) + nll(point - beta * b)
    elif loss_type == "kto_pair":
        loss = 1 - sigmoid(beta * a - point) + 1 - sigmoid(point - beta * b)
    elif loss_type == "sppo_hard":
        loss = (a - 0.5 / beta) ** 2 + (b + 0.5 / beta) ** 2
    elif loss_type == "apo_zero":
        loss = 1 - sigmoid(beta * a) + sigmoid(beta * b)
    elif loss_type == "apo_down":
        loss = sigmoid(beta * a) + 1 - sigmoid(h)
    return reduced_elements(loss, weight, mask, reduction)
