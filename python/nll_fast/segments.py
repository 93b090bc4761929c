"""Sums over groups of tokens."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from nll_fast._arrays import as_array
from nll_fast._bfloat16 import is_bfloat16
from nll_fast._core import Partial
from nll_fast._options import shown
from nll_fast._types import Array


@dataclass(frozen=True, eq=False)
class TokenSegments:
    """Sums over groups of tokens, as :meth:`TokenScores.segments` returns them.

    Attributes
    ----------
    log_prob : ndarray of float64
        The exact sum of the log-probabilities of each group, rounded once.
    count : ndarray of int64
        How many tokens it has.
    is_greedy : ndarray of bool
        Whether every token is the arg max of its row; False for a group without tokens. With ``log_prob`` it is what
        ``loglikelihood`` of lm-evaluation-harness returns.

    Examples
    --------
    >>> import numpy as np
    >>> from nll_fast import score
    >>> segments = score(np.eye(3), [0, 1, 0]).segments([0, 0, 1])
    >>> segments.log_prob.round(4), segments.count, segments.is_greedy
    (array([-1.1029, -1.5514]), array([2, 1]), array([ True, False]))
    """

    log_prob: Array
    count: Array
    is_greedy: Array


def segments_of(ids: Any, log_prob: Array, counted: Array, is_greedy: Array) -> TokenSegments:
    """The sums over the groups ``ids`` of tokens that count."""
    ids = as_array(ids, "ids")
    if ids.shape != counted.shape:
        raise ValueError(f"ids has shape {ids.shape}, but target has {counted.shape}: give each token a group")
    ids = _as_groups(ids)
    kept = counted & (ids >= 0)
    groups, count = ids[kept], int(ids.max(initial=-1)) + 1
    if count > max(2 * ids.size, 1 << 20):
        raise ValueError(f"ids go up to {count - 1} for {ids.size} tokens; number the groups from 0 on")
    order = np.argsort(groups, kind="stable")
    ends = np.searchsorted(groups[order], np.arange(count + 1))
    sorted_log_prob = log_prob[kept][order]
    parts = [Partial.of(sorted_log_prob[a:b]).sum for a, b in pairwise(ends)]
    sizes = np.bincount(groups, minlength=count)
    greedy = np.bincount(groups, is_greedy[kept], minlength=count) == sizes
    return TokenSegments(np.array(parts, np.float64), sizes, greedy & (sizes > 0))


def _as_groups(ids: Array) -> Array:
    """The group of each token as int64."""
    if ids.size == 0:
        return ids.astype(np.int64)
    if ids.dtype.kind not in "iu" or is_bfloat16(ids):
        raise TypeError(f"ids is {shown(ids)}; pass integers")
    if int(ids.max()) > np.iinfo(np.int64).max:
        raise ValueError(f"ids go up to {ids.max()} for {ids.size} tokens; number the groups from 0 on")
    return ids.astype(np.int64)
