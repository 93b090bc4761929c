"""The logits files of llama.cpp, as their headers claim them, once these are checked, and their rows as an array.

``llama-perplexity --save-all-logits FILE`` (or ``--kl-divergence-base FILE``) cuts a text into chunks of ``n_ctx``
tokens and writes, for the second half of each, one row a token. A row is a scale and the least log-probability, two
float32, and then a code of 16 bits for each class: log-probability = scale * code + least. Everything is little-endian:

    8 bytes   _logits_
    3 int32   n_ctx, n_vocab, n_chunk
    int32     [n_chunk, n_ctx], the tokens
    uint16    [n_chunk, n_ctx - 1 - n_ctx // 2, 4 + n_vocab, or one more if that is odd], the rows
"""

from __future__ import annotations

import struct
import sys
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from nll_fast._layout import Layout, check_shape, exactly, excerpt
from nll_fast._types import Array

MAGIC = b"_logits_"
_OF_OTHERS = (b"_logp16_", b"_logp16n")
"""What files of forks begin with, whose rows are others."""

_START = 20
_BEFORE = 4
"""The 16-bit words of a row in front of its codes: two float32."""


class CodedLogits:
    """Log-probabilities in 16 bits each, as llama.cpp stores them: log_prob = scale * code + minimum.

    They are logits too, as all functions of rows take them. llama.cpp stores at most 16 nats: what is less likely than
    e^-16 of the likeliest class counts as that, so the probabilities of a row add up to a little more than 1. What
    ``score`` and ``compare`` make of that is in ``_as_stored.py``.

    Slices by all axes but the last are views. ``numpy.asarray`` decodes into float32.

    Parameters
    ----------
    rows : numpy.ndarray of uint16
        Rows as they lie in the file, but in the byte order of this machine.
    classes : int
        How many codes of a row count; one more may follow them.

    Attributes
    ----------
    codes : numpy.ndarray of uint16
        A view of the shape of the logits, whose rows do not touch each other.
    scale, minimum : numpy.ndarray of float32
        One number for each row.
    """

    dtype = np.dtype(np.float32)

    def __init__(self, rows: np.ndarray, classes: int) -> None:
        self._rows = rows
        self.codes: np.ndarray = rows[..., _BEFORE : _BEFORE + classes]
        pair = rows[..., :_BEFORE]
        if sys.byteorder == "big":  # each word is in this machine's order, but the words are not
            pair = np.ascontiguousarray(pair.reshape(*pair.shape[:-1], 2, 2)[..., ::-1]).reshape(pair.shape)
        pair = pair.view(np.float32)
        self.scale: np.ndarray = pair[..., 0]
        self.minimum: np.ndarray = pair[..., 1]

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the logits, classes last."""
        return self.codes.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.codes.ndim

    @property
    def size(self) -> int:
        """The number of logits."""
        return self.codes.size

    @property
    def nbytes(self) -> int:
        """The bytes of the rows as they are stored."""
        return self._rows.nbytes

    def __len__(self) -> int:
        return len(self.codes)

    def of_classes(self, classes: int) -> CodedLogits:
        """The first classes of each row."""
        return CodedLogits(self._rows, classes)

    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes, scales and minima, as the kernels read them."""
        return self.codes, np.ascontiguousarray(self.scale), np.ascontiguousarray(self.minimum)

    def __repr__(self) -> str:
        return f"CodedLogits of shape {self.shape}"

    def __getitem__(self, rows: Any) -> CodedLogits:
        """Some of the rows; the classes of a row remain together. A last ``:`` may stand for them, as in NumPy."""
        chosen = rows if isinstance(rows, tuple) else (rows,)
        any_axes = any(each is Ellipsis for each in chosen)
        if (any_axes or len(chosen) == self.ndim) and _is_whole(chosen[-1]):
            chosen = chosen[:-1]
        if len(chosen) - any_axes >= self.ndim:
            raise IndexError(
                f"an index of coded logits of shape {self.shape} chooses rows, by at most {self.ndim - 1} axes: decode "
                "them with numpy.asarray to choose classes"
            )
        taken = self._rows[(*chosen, slice(None)) if any_axes else chosen]
        return CodedLogits(taken, self.shape[-1])

    def reshape(self, shape: tuple[int, ...]) -> CodedLogits:
        """The same rows with other axes; the last one must remain."""
        if not shape or shape[-1] != self.shape[-1]:
            raise ValueError(f"coded logits of shape {self.shape} keep their last axis, and {shape} has another")
        return CodedLogits(self._rows.reshape((*shape[:-1], self._rows.shape[-1])), self.shape[-1])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        """The logits as float32, rounded after the product and after the sum."""
        if copy is False:
            raise ValueError("coded logits are decoded into memory of their own: copy=False cannot be had")
        decoded = self.codes.astype(np.float32)
        with np.errstate(all="ignore"):  # a row of a model that failed may have any scale
            decoded *= self.scale[..., None]
            decoded += self.minimum[..., None]
        return decoded if dtype is None else decoded.astype(dtype, copy=False)


def _is_whole(index: Any) -> bool:
    return isinstance(index, slice) and index == slice(None)


class Header(NamedTuple):
    """What the header says, all of which the file has."""

    n_ctx: int
    n_vocab: int
    n_chunk: int

    @property
    def scored(self) -> int:
        """The rows of a chunk: those that predict its second half, without the first token of that."""
        return max(0, self.n_ctx - 1 - self.n_ctx // 2)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the logits."""
        return self.n_chunk, self.scored, self.n_vocab

    @property
    def rows(self) -> Layout:
        """Where the rows lie, in 16-bit words."""
        start = _START + 4 * self.n_chunk * self.n_ctx
        return Layout(start, (self.n_chunk, self.scored, _BEFORE + self.n_vocab + self.n_vocab % 2), np.dtype("<u2"))

    @property
    def size(self) -> int:
        """The bytes of the whole file."""
        return self.rows.start + self.rows.nbytes


def llama(file: BinaryIO, size: int) -> Header:
    """The header of a file of ``size`` bytes, whose first byte is the next that ``file`` reads."""
    magic = exactly(file, len(MAGIC))
    if magic in _OF_OTHERS:
        raise ValueError(
            f"it begins with {magic.decode()}, the logits of a fork of llama.cpp in another coding; this reads "
            f"{MAGIC.decode()}"
        )
    if magic != MAGIC:
        raise ValueError(f"it begins with {excerpt(repr(magic))}, and llama.cpp's logits with {MAGIC.decode()}")
    header = Header(*struct.unpack("<Iii", exactly(file, _START - len(MAGIC))))  # llama.cpp reads the first unsigned
    claims = f"its header claims {header.n_chunk} chunks of {header.n_ctx} tokens and {header.n_vocab} classes"
    if header.n_ctx < 1 or header.n_vocab < 1 or header.n_chunk < 0:
        raise ValueError(f"{claims}, which must be positive")
    if header.n_ctx >= 2**31:
        raise ValueError(f"{claims}; the tokens of a chunk are fewer than 2^31")
    check_shape(header.rows.shape, header.rows.dtype)
    if header.size != size:
        each = 4 * header.n_ctx + header.rows.nbytes // max(1, header.n_chunk)
        cut = " (llama.cpp may have been stopped while it wrote)" if size < header.size else ""
        raise ValueError(f"{claims}, {each} bytes a chunk and {header.size} in all, but the file has {size}{cut}")
    return header


def targets(tokens: np.ndarray, header: Header) -> np.ndarray:
    """The token that each row predicts: row j the token ``n_ctx // 2 + j + 1`` of its chunk."""
    target = tokens[:, header.n_ctx - header.scored :].astype(np.int64)
    wrong = (target < 0) | (target >= header.n_vocab)
    if wrong.any():
        chunk, row = (int(index) for index in np.unravel_index(wrong.argmax(), wrong.shape))
        raise ValueError(
            f"it claims token {target[chunk, row]} for row {row} of chunk {chunk}, but has {header.n_vocab} classes"
        )
    return target
