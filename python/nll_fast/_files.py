"""Arrays in files: where .npy, .npz, .safetensors and llama.cpp's logits hold them, and their bytes in blocks."""

from __future__ import annotations

import io
import math
import os
import stat
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np

from nll_fast._arrays import as_bfloat16
from nll_fast._layout import Layout, excerpt
from nll_fast._llama import MAGIC, CodedLogits, Header, llama, targets
from nll_fast._npy import npy, npz, npz_names
from nll_fast._safetensors import safetensors, safetensors_names

ENDINGS = (".npy", ".npz", ".safetensors")
"""What the names of files end in; those of llama.cpp, which begin with a word of their own, may have any other."""


class Stored:
    """An array in a file, whose bytes are read when they are asked for, into memory that the caller has.

    Nothing is memory-mapped: where a map's file becomes shorter the process dies, while a read comes short and is a
    ValueError. The file is opened once, so another one that takes its name meanwhile is not read. What is written
    into it meanwhile may be read or not, as if it had been written later; what is appended to it is not read.

    Attributes
    ----------
    shape, dtype : what the file holds, which may be in foreign byte order
    fortran : whether the last axis varies slowest in the file
    bfloat16 : whether the numbers, as uint16, are the bits of bfloat16
    """

    def __init__(self, path: str | Path, file: io.FileIO, layout: Layout) -> None:
        self._path, self._file, self._start = path, file, layout.start
        self.shape, self.dtype, self.fortran, self.bfloat16 = layout[1:]
        self.nbytes = layout.nbytes
        self._turn = threading.Lock()
        weakref.finalize(self, file.close)

    @property
    def dtype_name(self) -> str:
        """The name of the dtype that the numbers have."""
        return "bfloat16" if self.bfloat16 else self.dtype.name

    def fill(self, out: memoryview, first: int) -> None:
        """Fill ``out`` with the bytes from number ``first`` on, counted from the array's own first byte.

        Threads may fill at the same time.
        """
        try:
            done = 0
            while done < len(out):
                count = self._read(out[done:] if done else out, self._start + first + done)
                if not count:
                    raise ValueError(f"it lost at least {len(out) - done} bytes while it was read")
                done += count
        except (OSError, ValueError) as error:
            raise _unreadable(self._path, error) from None

    def _read(self, out: memoryview, position: int) -> int:
        """How many bytes were read into the first of ``out``: all of them, fewer, or none at the file's end."""
        if hasattr(os, "preadv"):
            return os.preadv(self._file.fileno(), [out], position)
        with self._turn:  # elsewhere a file has one position, for all threads
            self._file.seek(position)
            return self._file.readinto(out) or 0

    def whole(self) -> np.ndarray:
        """The array in memory."""
        data = np.empty(self.nbytes, np.uint8)
        self.fill(data.data, 0)
        numbers = data.view(self.dtype)
        array = numbers.reshape(self.shape[::-1]).T if self.fortran else numbers.reshape(self.shape)
        return as_bfloat16(array) if self.bfloat16 else array


class StoredCodes(Stored):
    """The logits of a file of llama.cpp. Its numbers are words of 16 bits: those of whole rows, scales and all.

    Attributes
    ----------
    header : the sizes that the file begins with
    shape : of the logits, where the words of a row are ``width``
    """

    def __init__(self, path: str | Path, file: io.FileIO, header: Header) -> None:
        super().__init__(path, file, header.rows)
        self.header, self.width = header, self.shape[-1]
        self.shape = header.shape

    @property
    def dtype_name(self) -> str:
        return "16-bit codes"

    def coded(self, first: int, count: int) -> CodedLogits:
        """``count`` rows from number ``first`` on, counted through all chunks, in memory."""
        words = np.empty(count * self.width, self.dtype)
        self.fill(words.view(np.uint8).data, first * self.width * 2)
        return CodedLogits(words.astype("=u2", copy=False).reshape(count, self.width), self.header.n_vocab)

    def whole(self) -> np.ndarray:
        """All logits, decoded."""
        return np.asarray(self.coded(0, math.prod(self.shape[:-1]))).reshape(self.shape)

    def tokens(self) -> np.ndarray:
        """The tokens of each chunk, as int32."""
        tokens = np.empty((self.header.n_chunk, self.header.n_ctx), "<i4")
        self.fill(tokens.reshape(-1).view(np.uint8).data, -tokens.nbytes)
        return tokens.astype("=i4", copy=False)

    def targets(self) -> np.ndarray:
        """The token that each row predicts, as int64."""
        try:
            return targets(self.tokens(), self.header)
        except ValueError as error:
            raise error if str(error).startswith("cannot read") else _unreadable(self._path, error) from None


class _Packed(Stored):
    """An array of an .npz, which is unpacked into memory when it is read."""

    def __init__(self, path: str | Path, file: io.FileIO, layout: Layout, unpack: Callable[[], io.BytesIO]) -> None:
        super().__init__(path, file, layout)
        self._unpack = unpack
        self._memory: io.BytesIO | None = None

    def _read(self, out: memoryview, position: int) -> int:
        with self._turn:
            self._memory = self._memory or self._unpack()
            self._memory.seek(position)
            return self._memory.readinto(out)


def load(path: str | Path, name: str | None = None) -> Stored:
    """The array in ``path``, or the one called ``name`` if the file holds several.

    Its header is checked, and nothing else is read. Raises ValueError, in one sentence, for a file that is truncated,
    pickled or of another kind, as reading it does for one that is changed later.
    """
    try:
        file = _open(path)
        try:
            return _find(path, file, name)
        except BaseException:
            file.close()
            raise
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error  # as read_llama_logits wants to know an OSError


def names(path: str | Path) -> list[str | None]:
    """The names by which :func:`load` knows the arrays of ``path``: None where there is one without a name."""
    ending = Path(path).suffix.lower()
    try:
        with _open(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size and ending == ".npz":
                return [*npz_names(file)]
            return [*safetensors_names(file, size)] if size and ending == ".safetensors" else [None]
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _open(path: str | Path) -> io.FileIO:
    mode = os.stat(path).st_mode  # as it is given: Path would read FILE for FILE/
    if not stat.S_ISREG(mode):
        raise ValueError("it is no regular file, of which any part can be read")
    return io.FileIO(path)


def _find(path: str | Path, file: io.FileIO, name: str | None) -> Stored:
    size, ending, short = os.fstat(file.fileno()).st_size, Path(path).suffix.lower(), Path(path).name
    if ending not in ENDINGS:
        return _find_codes(path, file, size, name)
    if not size:
        raise ValueError("the file is empty")
    if ending == ".npz":
        return _Packed(path, file, *npz(file, size, name, short))
    if ending == ".safetensors":
        return Stored(path, file, safetensors(file, size, name, short))
    if name is not None:
        raise ValueError(f"an .npy file holds one array without a name, so leave out :{name}")
    return Stored(path, file, npy(file, size))


def _find_codes(path: str | Path, file: io.FileIO, size: int, name: str | None) -> StoredCodes:
    """The logits of a file whose name says nothing, but whose first bytes may."""
    beginning = file.read(4)
    file.seek(0)
    if beginning != MAGIC[:4]:
        raise ValueError(
            "its ending is none of .npy, .npz and .safetensors, and it does not begin as llama.cpp's logits do"
        )
    if name is not None:
        raise ValueError(f"a file of llama.cpp holds logits without a name, so leave out :{name}")
    return StoredCodes(path, file, llama(file, size))


def _unreadable(path: str | Path, error: OSError | ValueError) -> ValueError:
    if isinstance(error, UnicodeEncodeError):
        why = "no file of this system can have such a name"
    else:
        why = (isinstance(error, OSError) and error.strerror) or excerpt(error, 250)
    return ValueError(f"cannot read {path}: {why}")
