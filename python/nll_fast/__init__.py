"""Negative log-likelihoods on CPU at memory speed, exactly and reproducibly.

Every function takes NumPy arrays (or torch CPU tensors, ml_dtypes arrays, anything NumPy can view),
the class axis last unless told otherwise, and speaks in nats.
"""

from nll_fast import reference
from nll_fast.losses import (
    categorical_nll,
    cross_entropy,
    log_softmax,
    logsumexp,
    nll_loss,
    perplexity,
    token_log_probs,
)
from nll_fast.threads import get_num_threads, set_num_threads, simd_level

__version__ = "0.1.0"

__all__ = [
    "categorical_nll",
    "cross_entropy",
    "get_num_threads",
    "log_softmax",
    "logsumexp",
    "nll_loss",
    "perplexity",
    "reference",
    "set_num_threads",
    "simd_level",
    "token_log_probs",
]
