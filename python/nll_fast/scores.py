"""Everything about a token from one read of its logits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from nll_fast import _core
from nll_fast._arrays import as_targets, as_token_ids
from nll_fast._as_stored import scores_as_stored
from nll_fast._core import Partial
from nll_fast._llama import CodedLogits
from nll_fast._options import as_integer, as_positive, as_top_k, check_temperature
from nll_fast._rows import rows_or_codes, stored
from nll_fast._shift import named_targets, shift_and_mask
from nll_fast._statistics import describe_losses, quantiles, share, total_of
from nll_fast._types import Array
from nll_fast.segments import TokenSegments, segments_of


@dataclass(frozen=True, eq=False, repr=False)
class TokenScores:
    """What :func:`score` returns: an array for each quantity, of the shape of the targets.

    Rows that do not count hold NaN in floats, -1 in integers and False in booleans, and so do rows with a NaN among
    their logits; for ``target`` see below. Floats are float64 for float64 logits, else float32, and in
    nats.

    Attributes
    ----------
    target : ndarray of int64
        The targets as given, without those that ``shift`` leaves out. Those that ``mask`` leaves out are
        ``ignore_index``, or the least int64 where that is None.
    counted : ndarray of bool
        Which rows count: those whose target is not ``ignore_index`` and that ``mask`` does not leave out.
    log_prob : ndarray
        log p of the target, the bits of :func:`token_log_probs`, but for the logits of :func:`read_llama_logits`.
        Never above 0.
    logsumexp, entropy : ndarray
        log Σ e^x and -Σ p·log p, as exact as :func:`logsumexp` and :func:`entropy`.
    argmax : ndarray of int64
        The class with the largest logit, of equal ones the first.
    max_log_prob : ndarray
        log p of ``argmax``.
    is_greedy : ndarray of bool
        Whether the target is ``argmax``, and has a log-probability: where its logit is +∞ it has none.
    rank : ndarray of int64
        1 + the number of classes with a larger logit than the target's.
    ties : ndarray of int64
        The number of other classes with the target's logit; ``rank + ties`` is the last place that they share.
    top_k_ids, top_k_log_probs : ndarray of shape (..., k), or None
        The k classes with the largest logits, the largest first and of equal ones the first class first, and log p of
        each; None for ``top_k=0``.
    token_ids : ndarray of int64, or None
        The classes that were asked for.
    token_ids_log_probs : ndarray of shape (..., m), or None
        log p of each of them.
    temperature, softcap : float, float or None
        What the logits were divided by, and then capped at.

    Examples
    --------
    >>> import numpy as np
    >>> scores = score(np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]), [1, -100])
    >>> scores.rank, scores.log_prob.round(4)
    (array([ 2, -1]), array([-1.4076,     nan]))
    """

    target: Array
    counted: Array
    log_prob: Array
    logsumexp: Array
    entropy: Array
    argmax: Array
    max_log_prob: Array
    is_greedy: Array
    rank: Array
    ties: Array
    top_k_ids: Array | None
    top_k_log_probs: Array | None
    token_ids: Array | None
    token_ids_log_probs: Array | None
    temperature: float
    softcap: float | None

    def __repr__(self) -> str:
        return f"TokenScores of shape {self.target.shape}, of which {np.count_nonzero(self.counted)} tokens count"

    def summary(self) -> dict[str, float | int | None]:
        """The numbers that describe all tokens together.

        Returns
        -------
        dict
            * ``tokens`` and ``ignored``: how many count, and how many do not.
            * ``nonfinite``: how many log-probabilities are not finite, of which ``nan`` are NaN and ``infinite`` are
              not; ``first_nan`` and ``first_infinite``: the place of the first of each in the flattened targets, or
              None.
            * ``nll``: the mean of -log p, exact and rounded once; ``nll_error``: its standard error.
            * ``nll_median``, ``nll_p90``, ``nll_p99``: quantiles of -log p.
            * ``perplexity``, e^nll; ``perplexity_error``: its standard error to first order; ``bits_per_token``.
            * ``top1_accuracy``: the share of targets that are the arg max.
            * ``top_k_accuracy``: the share of targets whose ``rank`` is at most k; None for ``top_k=0``.
            * ``entropy``: the mean entropy.

            Numbers that are not finite are part of the means, which then are not finite either. Means and shares of no
            tokens are NaN.

        Notes
        -----
        ``nll-fast score --json`` prints these numbers under the same names.
        """
        losses = np.where(self.counted, 0.0 - self.log_prob, 0.0).ravel()
        k = 0 if self.top_k_ids is None else self.top_k_ids.shape[-1]
        rank = self.rank[self.counted]
        median, p90, p99 = quantiles(losses[self.counted.ravel()], (0.5, 0.9, 0.99))
        return {
            **describe_losses(total_of(self.log_prob, self.counted, self.is_greedy), losses),
            "nll_median": median,
            "nll_p90": p90,
            "nll_p99": p99,
            "top_k_accuracy": share((rank > 0) & (rank <= k)) if k else None,
            "entropy": Partial.of(self.entropy[self.counted]).mean,
        }

    def segments(self, ids: ArrayLike) -> TokenSegments:
        """The sums over groups of tokens: a text, a continuation, an answer to choose.

        Parameters
        ----------
        ids : array_like of int, of the shape of ``target``
            The group of each token; negative for none. Tokens that do not count belong to none.

        Returns
        -------
        TokenSegments
            One entry for each of the groups 0 to ``ids.max()``.

        Examples
        --------
        >>> import numpy as np
        >>> scores = score(np.zeros((3, 4)), [0, 1, 2])
        >>> scores.segments([0, 0, 1]).log_prob.round(4)
        array([-2.7726, -1.3863])
        """
        return segments_of(ids, self.log_prob, self.counted, self.is_greedy)

    def to_dict(self) -> dict[str, Array]:
        """The columns by name, flattened, for a table: ``pandas.DataFrame(scores.to_dict())``, ``polars.DataFrame``
        or ``pyarrow.table``.

        Returns
        -------
        dict of ndarray
            One entry a token in each. The k largest classes and the given ones have a column each:
            ``top_1_id``, ``top_1_log_prob``, ... and ``token_0_log_prob``, ....
        """
        columns = {name: getattr(self, name).ravel() for name in _COLUMNS}
        if self.top_k_ids is not None and self.top_k_log_probs is not None:
            for k in range(self.top_k_ids.shape[-1]):
                columns[f"top_{k + 1}_id"] = self.top_k_ids[..., k].ravel()
                columns[f"top_{k + 1}_log_prob"] = self.top_k_log_probs[..., k].ravel()
        if self.token_ids_log_probs is not None:
            for m in range(self.token_ids_log_probs.shape[-1]):
                columns[f"token_{m}_log_prob"] = self.token_ids_log_probs[..., m].ravel()
        return columns


_COLUMNS = (
    "target", "counted", "log_prob", "logsumexp", "entropy", "argmax", "max_log_prob", "is_greedy", "rank", "ties",
)  # fmt: skip


def score(
    logits: ArrayLike,
    target: ArrayLike,
    *,
    axis: int = -1,
    ignore_index: int | None = -100,
    shift: int = 0,
    mask: ArrayLike | None = None,
    top_k: int = 0,
    token_ids: ArrayLike | None = None,
    temperature: float = 1.0,
    softcap: float | None = None,
) -> TokenScores:
    """The log-probability and the rank of each row's target, the arg max, the entropy and more, from one read.

    Parameters
    ----------
    logits, target, axis, ignore_index, shift, mask
        As in :func:`cross_entropy`. Rows that do not count are not read. Logits of :func:`read_llama_logits` are
        decoded as they are read, and are log-probabilities as they are; see the notes.
    top_k : int
        How many of the classes with the largest logits to return for each row; no more than there are.
    token_ids : array_like of int, optional
        Classes whose log-probabilities to return beside the target's: the same for all rows if the shape is (m,), or
        m for each row if it is that of ``target`` with one more axis.
    temperature : float
        What the logits are divided by. It is rounded to the type of the computation: float64 for float64 logits, else
        float32. All results are of the changed logits.
    softcap : float, optional
        After the temperature, logits x become c·tanh(x/c), as in Gemma 2.

    Returns
    -------
    TokenScores
        An array for each quantity, of the shape of ``target``, its last axis ``shift`` shorter.

    Raises
    ------
    IndexError
        For a target or a token id that is not a class.
    TypeError, ValueError
        As by :func:`cross_entropy`; for a ``top_k``, ``temperature`` or ``softcap`` out of range.

    Notes
    -----
    Nothing is kept of a row but its results: memory is O(rows). What vLLM calls prompt log-probabilities are
    ``log_prob`` and ``rank``; its ``logprob_token_ids`` are ``token_ids``.

    Of the logits that :func:`read_llama_logits` reads, log-probabilities are those of the file, as llama.cpp and
    ``nll-fast score`` report them. It cuts them at 16 nats below the largest, so ``logsumexp`` is a little above 0;
    the entropy is of probabilities that are divided by their sum. With ``temperature`` or ``softcap`` there is a new
    distribution, and they are logits as any others.

    Examples
    --------
    >>> import numpy as np
    >>> scores = score(np.array([[2.0, 1.0, 0.0], [0.0, 3.0, 0.0]]), [1, 1], top_k=2)
    >>> scores.rank, scores.is_greedy, scores.top_k_ids
    (array([2, 1]), array([False,  True]), array([[0, 1],
           [1, 0]]))
    >>> scores.log_prob.round(4)
    array([-1.4076, -0.0949])
    >>> round(scores.summary()["perplexity"], 4)
    2.1197
    """
    shift = as_integer(shift, "shift")
    if ignore_index is not None:
        ignore_index = as_integer(ignore_index, "ignore_index")
    temperature = as_positive(temperature, "temperature")
    softcap = softcap if softcap is None else as_positive(softcap, "softcap")
    logits, target, ignore_index = shift_and_mask(logits, target, axis, shift, mask, ignore_index)
    rows, target = rows_or_codes(logits, "logits", axis), as_targets(target)
    classes, shape = rows.shape[-1], target.shape
    top_k = as_top_k(top_k, classes)
    given = as_token_ids(token_ids, shape, shift, classes)
    real = np.float64 if rows.dtype == np.float64 else np.float32
    check_temperature(temperature, real)
    numbers = [np.empty(s, real) for s in (shape, shape, shape, shape, (*shape, top_k), (*shape, given.shape[-1]))]
    classes_of = [np.empty(s, np.int64) for s in (shape, shape, shape, (*shape, top_k))]
    with named_targets(shift):
        _core.score(stored(rows), target, ignore_index, given, temperature, softcap, numbers, classes_of)
    log_prob, logsumexp, entropy, max_log_prob, top_log_probs, given_log_probs = numbers
    argmax, rank, ties, top_ids = classes_of
    counted = np.ones(shape, bool) if ignore_index is None else np.asarray(target != ignore_index)
    scores = TokenScores(
        target=target,
        counted=counted,
        log_prob=log_prob,
        logsumexp=logsumexp,
        entropy=entropy,
        argmax=argmax,
        max_log_prob=max_log_prob,
        is_greedy=counted & (argmax == target) & ~np.isnan(log_prob),
        rank=rank,
        ties=ties,
        top_k_ids=top_ids if top_k else None,
        top_k_log_probs=top_log_probs if top_k else None,
        token_ids=given if token_ids is not None else None,
        token_ids_log_probs=given_log_probs if token_ids is not None else None,
        temperature=temperature,
        softcap=softcap,
    )
    is_changed = temperature != 1 or softcap is not None
    return scores_as_stored(scores) if isinstance(rows, CodedLogits) and not is_changed else scores
