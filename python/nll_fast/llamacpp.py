"""The logits that llama.cpp writes, with the tokens that they predict."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from nll_fast._llama import CodedLogits
from nll_fast._options import as_integer, shown
from nll_fast._types import Array

if TYPE_CHECKING:
    from nll_fast import _files


class LlamaLogits(NamedTuple):
    """Some chunks of a file of llama.cpp."""

    logits: CodedLogits
    """Of the shape (chunks, rows, classes); ``numpy.asarray`` decodes them."""

    tokens: Array
    """int32 of the shape (chunks, n_ctx): the text as it is. Where a model wants its beginning-of-text token, llama.cpp
    computes the logits of a chunk with that in the place of the chunk's first token.
    """

    target: Array
    """int64 of the shape (chunks, rows): row j predicts the token n_ctx // 2 + j + 1 of its chunk."""


def read_llama_logits(path: str | os.PathLike[str], *, start: int = 0, stop: int | None = None) -> LlamaLogits:
    """The logits that ``llama-perplexity --save-all-logits`` (or ``--kl-divergence-base``) wrote to a file.

    They remain as they are stored, 2 bytes for each class, and are read by the functions of rows as any logits are.
    llama.cpp stores log-probabilities, cut at 16 nats below the largest and rounded to 65536 steps: above the cut each
    is known to about 1e-4.

    Parameters
    ----------
    path : path_like
        A file that begins with ``_logits_``.
    start, stop : int, optional
        Only the chunks from number ``start`` on, before number ``stop``: memory holds no others.

    Returns
    -------
    LlamaLogits
        A tuple of ``logits``, ``tokens`` and ``target``.

    Raises
    ------
    OSError
        If the file cannot be opened: FileNotFoundError if there is none.
    ValueError
        If the file is cut, or has another format, such as the ``_logp16_`` of forks.

    Notes
    -----
    Because of the cut, the stored probabilities of a row add up to a little more than 1. :func:`score` and
    :func:`compare` report log-probabilities as they are stored, as llama.cpp and the commands do. The other functions
    of this library take them as logits and so divide by that sum: each loss is larger, usually by some thousandths of
    a nat.

    Examples
    --------
    A file of one chunk of 4 tokens, of which the last is predicted, among 2 classes of equal probability:

    >>> import struct, tempfile, numpy as np, nll_fast
    >>> row = struct.pack("<2f2H", 0, -np.log(2), 0, 0)
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     _ = file.write(b"_logits_" + struct.pack("<3i4i", 4, 2, 1, 0, 1, 0, 1) + row)
    ...     file.flush()
    ...     logits, tokens, target = nll_fast.read_llama_logits(file.name)
    >>> logits
    CodedLogits of shape (1, 1, 2)
    >>> target
    array([[1]])
    >>> round(nll_fast.perplexity(logits, target), 6)
    2.0
    """
    stored = _load(path)
    chunks = stored.header.n_chunk
    first, end = as_integer(start, "start"), chunks if stop is None else as_integer(stop, "stop")
    if not 0 <= first <= end <= chunks:
        raise ValueError(f"start is {shown(start)} and stop {shown(stop)}: the file has chunks 0 to {chunks - 1}")
    _, rows, classes = stored.shape
    logits = stored.coded(first * rows, (end - first) * rows)
    return LlamaLogits(
        logits.reshape((end - first, rows, classes)), stored.tokens()[first:end], stored.targets()[first:end]
    )


def _load(path: str | os.PathLike[str]) -> _files.StoredCodes:
    # Imported by the first file that is read: with zipfile and json it takes as long as the rest of nll_fast.
    from nll_fast import _files

    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path is {shown(path)}; pass the name of a file, as a text or a pathlib.Path")
    name = os.fspath(path)
    try:
        stored = _files.load(name)
    except ValueError as error:
        if isinstance(error.__cause__, OSError):  # FileNotFoundError and others, as by open()
            why = error.__cause__.strerror or str(error.__cause__)
            raise OSError(error.__cause__.errno, _unreadable(name, why)) from None
        raise ValueError(_unreadable(name, str(error).removeprefix(f"cannot read {name}: "))) from None
    if not isinstance(stored, _files.StoredCodes):
        raise ValueError(_unreadable(name, "it is no file of llama.cpp; numpy.load or safetensors read it"))
    return stored


def _unreadable(name: str, why: str) -> str:
    return f"cannot read the path {shown(name)}: {why}"
