"""Negative log-likelihoods on CPU at memory speed, exactly and reproducibly.

Inputs
------
NumPy arrays, lists and numbers, torch tensors on the CPU, and whatever else NumPy can view; bfloat16 arrays of
torch, ml_dtypes or :func:`as_bfloat16`. Class logits are floats, with the class axis last unless ``axis`` says
otherwise; they are never copied (but see ``axis`` of :func:`logsumexp`), so those in foreign byte order are
refused. Inputs of elementwise losses may also be integers up to 2^63 - 1 or booleans, which count as float64 where
no other input is a float. These inputs, targets, weights and masks may be in any byte order. A Dask array is
refused: compute it, or its blocks one by one.

Results
-------
Nats, as a float or a NumPy array, for torch tensors too; one row or one number gives a NumPy number. Nothing is part
of autograd: gradients are :func:`cross_entropy_grad` and ``grad=True``. Elementwise results keep the memory order of
their inputs.

``out``, where a function has it, may be given with any reduction and then holds each loss: a float32 or
float64 NumPy array of the losses' shape, C-contiguous, sharing no memory with an input.

Errors
------
TypeError for a dtype, ValueError for a shape or an option, IndexError for a target that is not a class, OSError for a
file that cannot be opened. The sentence names the argument, its value and, for one of many values, its index.

Every loss has a readable NumPy twin in :mod:`nll_fast.reference`.
"""

from nll_fast import reference
from nll_fast._arrays import as_bfloat16
from nll_fast._core import Partial
from nll_fast.comparison import Comparison, compare
from nll_fast.distributions import entr, entropy, kl_div, kl_divergence, rel_entr
from nll_fast.likelihoods import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    log_sigmoid,
    softplus,
)
from nll_fast.llamacpp import read_llama_logits
from nll_fast.losses import cross_entropy, cross_entropy_grad
from nll_fast.normalization import log_softmax, logsumexp
from nll_fast.preference import bradley_terry_loss, dpo_loss
from nll_fast.probabilities import categorical_nll, nll_loss
from nll_fast.regression import gaussian_nll_loss, laplace_nll_loss, mse_loss, poisson_nll_loss
from nll_fast.scores import TokenScores, score
from nll_fast.segments import TokenSegments
from nll_fast.threads import get_num_threads, set_num_threads, simd_level
from nll_fast.tokens import bits_per_byte, bits_per_token, perplexity, sequence_log_probs, token_log_probs

__version__ = "0.1.0"

__all__ = [
    "Comparison",
    "Partial",
    "TokenScores",
    "TokenSegments",
    "as_bfloat16",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "bits_per_byte",
    "bits_per_token",
    "bradley_terry_loss",
    "categorical_nll",
    "compare",
    "cross_entropy",
    "cross_entropy_grad",
    "dpo_loss",
    "entr",
    "entropy",
    "gaussian_nll_loss",
    "get_num_threads",
    "kl_div",
    "kl_divergence",
    "laplace_nll_loss",
    "log_sigmoid",
    "log_softmax",
    "logsumexp",
    "mse_loss",
    "nll_loss",
    "perplexity",
    "poisson_nll_loss",
    "read_llama_logits",
    "reference",
    "rel_entr",
    "score",
    "sequence_log_probs",
    "set_num_threads",
    "simd_level",
    "softplus",
    "token_log_probs",
]
