"""The arrays of .npy and .npz files, as their headers claim them, once these are checked."""

from __future__ import annotations

import contextlib
import functools
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from typing import IO, BinaryIO

import numpy as np

from nll_fast._layout import Layout, check_shape, exactly, excerpt, pick, refuse_twice

# An .npy file is a version, the length of a header, and the header, which is the literal of a Python dictionary. Its
# grammar is matched here and nothing is evaluated: a header can exhaust Python's parser, or have it warn on stderr.

_HEADER = 10_000
"""The longest header, which is NumPy's limit too. One of numbers has about a hundred characters."""

_KEY = re.compile(r"""\s*u?(?:'(\w+)'|"(\w+)")\s*:\s*""", re.ASCII)
_VALUES = {
    "descr": re.compile(r"""u?(?:'([^'\\]*)'|"([^"\\]*)")"""),
    "fortran_order": re.compile(r"(True|False)"),
    # Python 2 wrote 3L.
    "shape": re.compile(r"\(((?:\s*-?\d{1,19}[Ll]?\s*,)*+(?:\s*-?\d{1,19}[Ll]?)?+)\s*\)", re.ASCII),
}
_END = re.compile(r"\s*(,)?\s*(\}\s*)?", re.ASCII)
_DTYPE = re.compile(r"[<>|=]?[?A-Zb-z]\d{0,9}(\[\w{1,20}\])?|float\d\d|u?int\d\d?", re.ASCII)


def npy(file: IO[bytes], size: int) -> Layout:
    """The array of an .npy file of ``size`` bytes, whose first byte is the next that ``file`` reads."""
    magic = exactly(file, 8)
    if magic[:6] != b"\x93NUMPY":
        raise ValueError("it does not begin as an .npy file does")
    if magic[6:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise ValueError(f"its format is version {magic[6]}.{magic[7]}; this reads 1.0, 2.0 and 3.0")
    width = 2 if magic[6] == 1 else 4
    length = int.from_bytes(exactly(file, width), "little")
    start = 8 + width + length
    if start > size:
        raise ValueError(f"its header claims {length} bytes, but the file has {size}")
    if length > _HEADER:
        raise ValueError(f"its header claims {length} bytes; NumPy reads no more than {_HEADER}")
    entries = _dictionary(exactly(file, length).decode("latin-1"))
    layout = Layout(start, _shape(entries["shape"]), _dtype(entries["descr"]), entries["fortran_order"] == "True")
    check_shape(layout.shape, layout.dtype)
    if layout.nbytes > size - start:
        raise ValueError(
            f"its header claims an array of shape {excerpt(layout.shape)} and dtype {layout.dtype}, which takes "
            f"{layout.nbytes} bytes, but {size - start} follow it"
        )
    return layout


def _dictionary(text: str) -> dict[str, str]:
    """The values of a header's three keys, as they are written there."""
    entries: dict[str, str] = {}
    opening = re.match(r"\s*\{", text)
    position = opening.end() if opening else len(text)
    while key := _KEY.match(text, position):
        name = key[1] or key[2]
        if name not in _VALUES or name in entries:
            why = "names it twice" if name in entries else "may not have it"
            raise ValueError(f"its header has the key {excerpt(repr(name))}, but {why}")
        value = _VALUES[name].match(text, key.end())
        if not value:
            wrong = excerpt(repr(text[key.end() :].strip()), 24)
            wants = {"descr": "the name of one dtype of numbers", "shape": "a tuple of lengths"}
            raise ValueError(f"its header claims {wrong} as {name}, which must be {wants.get(name, 'True or False')}")
        entries[name] = next((group for group in value.groups() if group is not None), "")
        comma = _END.match(text, value.end())
        if comma and comma[2] and comma.end() == len(text) and len(entries) == len(_VALUES):
            return entries
        if not comma or not comma[1]:
            break
        position = comma.end(1)
    raise ValueError("its header is not a dictionary of descr, fortran_order and shape")


def _shape(text: str) -> tuple[int, ...]:
    lengths = tuple(int(length.strip().rstrip("Ll")) for length in text.split(",") if length.strip())
    if len(lengths) == 1 and "," not in text:
        raise ValueError(f"its header claims the shape ({lengths[0]}), which is a number; a tuple is ({lengths[0]},)")
    return lengths


def _dtype(text: str) -> np.dtype:
    try:
        dtype = np.dtype(text) if _DTYPE.fullmatch(text) else None
    except (TypeError, ValueError, OverflowError):
        dtype = None
    if dtype is None or dtype.names or dtype.subdtype:
        raise ValueError(f"its header claims the dtype {excerpt(repr(text), 40)}, which is none of NumPy's numbers")
    if dtype.hasobject:
        raise ValueError(
            "it holds pickled Python objects, and unpickling them could run any code: save an array of numbers"
        )
    return dtype


# An .npz file is a zip archive of .npy files.

_PIECE = 1 << 18
"""The bytes that are unpacked at a time."""

_DEFLATED = 1040
"""No byte of a deflated member stands for more bytes than this: two bits can repeat 258 bytes."""


def npz(file: BinaryIO, size: int, name: str | None, path: str) -> tuple[Layout, Callable[[], io.BytesIO]]:
    """One array of an archive of ``size`` bytes: where it will lie when it is unpacked, and a call that unpacks it.

    It takes the memory that the array's own header claims. That is in keeping with the size that the archive declares
    for the member, and that with the number of its packed bytes.
    """
    with _plain_words():
        archive = zipfile.ZipFile(file)
        names = _names(archive)
        member = archive.infolist()[names.index(pick(names, name, path))]
        _check_member(member, size)
        with archive.open(member) as packed:
            layout = npy(packed, member.file_size)
    return layout._replace(start=0), functools.partial(_unpack, archive, member, layout)


def npz_names(file: BinaryIO) -> list[str]:
    """The names of the arrays of an archive."""
    with _plain_words(), zipfile.ZipFile(file) as archive:
        return _names(archive)


def _names(archive: zipfile.ZipFile) -> list[str]:
    names = [member.filename.removesuffix(".npy") for member in archive.infolist()]
    refuse_twice(names, "it holds two arrays of the name")
    return names


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, layout: Layout) -> io.BytesIO:
    called, declared = _called(member), member.file_size
    try:
        memory = io.BytesIO(bytes(layout.nbytes))
    except (MemoryError, OverflowError):
        raise ValueError(f"{called} unpacks to {declared} bytes, for which memory has no room") from None
    with _plain_words(), archive.open(member) as packed, memory.getbuffer() as view:
        packed.read(layout.start)
        for start in range(0, layout.nbytes, _PIECE):
            piece = packed.read(min(_PIECE, layout.nbytes - start))
            if start + len(piece) < min(start + _PIECE, layout.nbytes):
                raise ValueError(f"{called} unpacks to fewer than the {declared} bytes that it declares")
            view[start : start + len(piece)] = piece
        packed.read(1)  # at the member's end its checksum is compared
    return memory


@contextlib.contextmanager
def _plain_words() -> Iterator[None]:
    """Have what zipfile and zlib raise, of which there is much, be a ValueError in a sentence."""
    try:
        yield
    except UnicodeDecodeError:
        raise ValueError("a name in it is not the UTF-8 that it is said to be") from None
    except (ValueError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"it is a damaged archive, or none ({excerpt(error, 100) or type(error).__name__})") from None


def _called(member: zipfile.ZipInfo) -> str:
    return excerpt(repr(member.filename), 40)


def _check_member(member: zipfile.ZipInfo, size: int) -> None:
    """Raise ValueError for a member that declares what cannot be."""
    called, declared, packed = _called(member), member.file_size, member.compress_size
    if member.flag_bits & 1:
        raise ValueError(f"{called} is encrypted")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"{called} is packed by method {member.compress_type}; only stored and deflated members are read"
        )
    stored = member.compress_type == zipfile.ZIP_STORED
    if packed > size or (packed != declared if stored else declared > packed * _DEFLATED):
        raise ValueError(
            f"{called} claims to be {declared} bytes, which its {packed} packed bytes in a file of {size} cannot give"
        )
