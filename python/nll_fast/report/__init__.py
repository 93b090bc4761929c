"""One self-contained HTML page of a :class:`TokenScores` or of a :class:`Comparison`.

The page asks nothing of the network, and the same input gives the same bytes. Python computes every number of it;
the script in ``page/`` draws them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nll_fast.comparison import Comparison
from nll_fast.report.compared import compared
from nll_fast.report.document import document
from nll_fast.report.scored import scored
from nll_fast.report.tokens import Strings
from nll_fast.scores import TokenScores

__all__ = ["compare_report", "score_report"]


def score_report(
    scores: TokenScores,
    *,
    strings: Sequence[str] | Mapping[int, str] | None = None,
    target_strings: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """The page of a :class:`TokenScores`: its text coloured by surprisal, the worst tokens, and how it is calibrated.

    Parameters
    ----------
    scores : TokenScores
        What :func:`score` returned. With ``top_k`` the page has alternatives, the first 5 of them.
    strings : sequence or mapping of str, optional
        The string of each token id. Ids without one are shown as ids.
    target_strings : sequence of str, optional
        The string at each position of ``scores.target``, in its order, in place of those of ``strings``.
    about : mapping, optional
        What else the head shows: ``title``, ``logits``, ``targets``, ``strings``, ``dtype``, ``command``, ``bytes``
        (of the text, for bits per byte), and any others under their own names.

    Returns
    -------
    str
        The page, to be written as UTF-8. At most 500 kB for up to 10,000 tokens and 50 bytes a token above; of more
        than 50,000 tokens it holds the worst ones and what all come to.

    Raises
    ------
    TypeError, ValueError
        If ``target_strings`` does not have one string for each target; if ``about["bytes"]`` is no integer from 1.

    Examples
    --------
    >>> import numpy as np
    >>> from nll_fast import score
    >>> page = score_report(score(np.zeros((2, 3)), [0, 2], top_k=3), strings=["a", "b", "c"])
    >>> page.startswith("<!doctype html>"), len(page) < 100_000
    (True, True)
    """
    table = Strings(strings, target_strings, scores.target)
    return document(
        lambda alternatives, clip: scored(scores, table, about or {}, alternatives, clip), scores.target.size
    )


def compare_report(
    comparison: Comparison,
    *,
    strings: Sequence[str] | Mapping[int, str] | None = None,
    target_strings: Sequence[str] | None = None,
    about: Mapping[str, Any] | None = None,
) -> str:
    """The page of a :class:`Comparison`: its text coloured by KL(P‖Q), and the tokens that changed most.

    Parameters
    ----------
    comparison : Comparison
        What :func:`compare` returned.
    strings, target_strings
        As in :func:`score_report`.
    about : mapping, optional
        As in :func:`score_report`, with ``p`` and ``q``, the names of the two models.

    Returns
    -------
    str
        The page, with the limits of :func:`score_report`.

    Raises
    ------
    TypeError, ValueError
        As by :func:`score_report`.

    Examples
    --------
    >>> import numpy as np
    >>> from nll_fast import compare
    >>> page = compare_report(compare(np.zeros((2, 3)), np.eye(2, 3)), about={"p": "float16", "q": "4 bits"})
    >>> page.count("4 bits against float16")
    1
    """
    table = Strings(strings, target_strings, comparison.kl_pq)
    return document(lambda alternatives, clip: compared(comparison, table, about or {}, clip), comparison.kl_pq.size)
