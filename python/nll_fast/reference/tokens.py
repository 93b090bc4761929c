"""What a text costs a language model."""

import math

import numpy as np

from nll_fast.reference.losses import cross_entropy
from nll_fast.reference.reductions import aligned


def token_log_probs(logits, target, *, axis=-1, ignore_index=-100, shift=0, mask=None):
    """log softmax(x)[t] of each row; 0 for ignored ones."""
    logits, target = aligned(logits, target, shift, mask, ignore_index)
    return 0.0 - cross_entropy(logits, target, axis=axis, ignore_index=ignore_index, reduction="none")


def sequence_log_probs(logits, target, *, ignore_index=-100, shift=0, mask=None):
    """The sum of the log-probabilities of each text, and how many of its tokens count."""
    logits, target = aligned(logits, target, shift, mask, ignore_index)
    return token_log_probs(logits, target, ignore_index=ignore_index).sum(-1), np.sum(target != ignore_index, -1)


def _mean_nll(logits, target, *, axis=-1, ignore_index=-100, shift=0, mask=None):
    logits, target = aligned(logits, target, shift, mask, ignore_index)
    return cross_entropy(logits, target, axis=axis, ignore_index=ignore_index)


@np.errstate(over="ignore")
def perplexity(logits, target, **where):
    """exp of the mean loss of the tokens that count."""
    return float(np.exp(_mean_nll(logits, target, **where)))


def bits_per_token(logits, target, **where):
    """The mean loss of the tokens that count, over log 2."""
    return _mean_nll(logits, target, **where) / math.log(2)


def bits_per_byte(logits, target, n_bytes, **where):
    """The summed loss of the tokens that count, over log 2 and the number of bytes."""
    return -float(np.sum(token_log_probs(logits, target, **where))) / np.log(2) / n_bytes
