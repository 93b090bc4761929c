"""The oracle: every public loss in NumPy float64, written to be read. Checks nothing; slow on purpose.

All logits pass through float64, rows are looped over, and the target is taken against the rest, so the
losses of certain tokens keep their digits here too. What each function computes, with limits and sources, is
said where the function of the same name is documented in ``nll_fast`` itself, in the file of the same name.
"""

from nll_fast.reference.comparison import compare
from nll_fast.reference.distributions import entr, entropy, kl_div, kl_divergence, rel_entr
from nll_fast.reference.likelihoods import binary_cross_entropy, binary_cross_entropy_with_logits, log_sigmoid, softplus
from nll_fast.reference.losses import cross_entropy, cross_entropy_grad
from nll_fast.reference.normalization import log_softmax, logsumexp
from nll_fast.reference.preference import bradley_terry_loss, dpo_loss
from nll_fast.reference.probabilities import categorical_nll, nll_loss
from nll_fast.reference.regression import gaussian_nll_loss, laplace_nll_loss, mse_loss, poisson_nll_loss
from nll_fast.reference.scores import score
from nll_fast.reference.tokens import bits_per_byte, bits_per_token, perplexity, sequence_log_probs, token_log_probs

__all__ = [
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
    "rel_entr",
    "score",
    "sequence_log_probs",
    "softplus",
    "token_log_probs",
]
