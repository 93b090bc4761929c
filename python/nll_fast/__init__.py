"""Negative log-likelihoods on CPU at memory speed, exactly and reproducibly.

Every function takes NumPy arrays (or torch CPU tensors, ml_dtypes arrays, anything NumPy can view),
the class axis last unless told otherwise, and speaks in nats. What it returns is a float or a NumPy array,
for torch tensors too, and no part of autograd: gradients are ``cross_entropy_grad`` and ``grad=True``.

``out=``, where there is one, takes a float32 or float64 array of the result's shape, C-contiguous, that shares
no memory with an input. Class logits must be floats; inputs of elementwise losses may be integers or booleans,
and count as float64 where no other input is a float.
"""

from nll_fast import reference
from nll_fast.distributions import entr, entropy, kl_div, kl_divergence, rel_entr
from nll_fast.likelihoods import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    gaussian_nll_loss,
    log_sigmoid,
    mse_loss,
    poisson_nll_loss,
    softplus,
)
from nll_fast.losses import (
    categorical_nll,
    cross_entropy,
    cross_entropy_grad,
    log_softmax,
    logsumexp,
    nll_loss,
)
from nll_fast.partial import Partial
from nll_fast.preference import bradley_terry_loss, dpo_loss
from nll_fast.threads import get_num_threads, set_num_threads, simd_level
from nll_fast.tokens import bits_per_byte, bits_per_token, perplexity, sequence_log_probs, token_log_probs

__version__ = "0.1.0"

__all__ = [
    "Partial",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bits_per_byte",
    "bits_per_token",
    "bradley_terry_loss",
    "categorical_nll",
    "cross_entropy",
    "cross_entropy_grad",
    "dpo_loss",
    "entr",
    "entropy",
    "gaussian_nll_loss",
    "get_num_threads",
    "kl_div",
    "kl_divergence",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "perplexity",
    "poisson_nll_loss",
    "reference",
    "rel_entr",
    "sequence_log_probs",
    "set_num_threads",
    "simd_level",
    "softplus",
    "token_log_probs",
]
