"""Arrays in files: .npy and .safetensors, memory-mapped, and .npz, which NumPy unpacks into memory."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import stat
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nll_fast._arrays import as_bfloat16

_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip

_HEADER = 100_000_000
"""The longest header of .safetensors. Of a longer one, which is JSON, Python would make many times as much."""


def load(path: str | Path, name: str | None = None) -> np.ndarray:
    """The array in ``path``, or the one called ``name`` if the file holds several.

    The array may be in foreign byte order, or not aligned: it is what the file holds. A BF16 tensor comes by
    :func:`as_bfloat16`, which every function takes for what it is. Raises ValueError, in one sentence, for a
    file that is truncated, pickled or of another kind.
    """
    try:
        size = os.stat(path).st_size  # as it is given: Path would read FILE for FILE/
        path = Path(path)
        ending = path.suffix.lower()
        if not path.is_file():
            raise ValueError("it is no regular file, which could be memory-mapped")
        if ending in (".npy", ".npz", ".safetensors") and not size:
            raise ValueError("the file is empty")
        if ending == ".safetensors":
            return _safetensors(path, name)
        if ending == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                array = arrays[_pick(path, arrays.files, name)]
        elif ending == ".npy":
            if name is not None:
                raise ValueError(f"an .npy file holds one array without a name, so leave out :{name}")
            array = _npy(path)
        else:
            raise ValueError("its ending is none of .npy, .npz and .safetensors")
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror or error}") from None
    except UnicodeEncodeError:
        raise ValueError(f"cannot read {path}: no file of this system can have such a name") from None
    except ValueError as error:
        raise ValueError(f"cannot read {path}: {error}") from None
    except Exception as error:
        raise ValueError(f"cannot read {path}: {type(error).__name__}: {error}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"cannot read {path}: what it holds is not an array")
    return array


def _pick(path: Path, names: list[str], name: str | None) -> str:
    if name is None and len(names) == 1:
        return names[0]
    if name not in names:
        wrong = "" if name is None else f"there is no {name!r} in it; "
        raise ValueError(f"{wrong}it holds {', '.join(names) or 'no arrays'}: name one of them, as {path}:NAME")
    return name


def _npy(path: Path) -> np.ndarray:
    """The array of a file, mapped; NumPy divides by the size of its items, and dies where that is zero."""
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        first = version == (1, 0)
        header = np.lib.format.read_array_header_1_0 if first else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
    if min(shape, default=0) < 0 or not dtype.itemsize:
        raise ValueError(f"its header claims an array of shape {shape} and dtype {dtype}")
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _safetensors(path: Path, name: str | None) -> np.ndarray:
    """A tensor of a file: 8 bytes hold the length of a header in JSON, and the tensors' bytes follow it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"its header claims {length} bytes, but the file has {size}")
        if length > _HEADER:
            raise ValueError(f"its header claims {length} bytes; the format allows {_HEADER}")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    entry = header[_pick(path, list(header), name)]
    begin, end = entry["data_offsets"]
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    if dtype not in _SAFETENSORS:
        raise ValueError(f"its dtype {dtype} is none of {', '.join(_SAFETENSORS)}")
    storage = np.dtype(_SAFETENSORS[dtype])
    if begin < 0 or end - begin != storage.itemsize * int(np.prod(shape)) or 8 + length + end > size:
        raise ValueError(f"shape {shape} of {dtype} does not match its {end - begin} bytes of {size}")
    raw = np.memmap(path, np.uint8, "r", 8 + length + begin, (end - begin,))
    array = raw.view(storage).reshape(shape)  # which the format does not ask to be aligned
    return as_bfloat16(array) if dtype == "BF16" else array


def check_output(path: str | Path) -> None:
    """Raise ValueError for a file that could not be written, before what it is for is computed."""
    try:
        folder = os.path.dirname(os.path.realpath(path))
        if not os.path.isdir(folder):
            raise ValueError(f"cannot write {path}: there is no folder {folder}")
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ValueError(f"cannot write {path}: it is there already and no regular file")
    except FileNotFoundError:
        pass  # a new file
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror}") from None
    except UnicodeEncodeError:
        raise ValueError(f"cannot write {path}: no file of this system can have such a name") from None
    if not os.access(folder, os.W_OK):
        raise ValueError(f"cannot write {path}: the folder {folder} takes no new files")


def save(path: str | Path, array: np.ndarray) -> None:
    """Write ``array`` to ``path``: at every moment what is there is whole, be it the old file or the new one.

    The new file has no name while it is written, where the system has such files (as most of Linux has), so that
    nothing is left behind even if the process is killed. Elsewhere, and for the moment in which it replaces another,
    it is a hidden ``.partial`` file, which only a process that is killed leaves behind. A file that is replaced hands
    on its permissions.

    Raises OSError, in one sentence, if the file cannot be written.
    """
    check_output(path)
    whole = os.path.realpath(path)
    folder = os.path.dirname(whole)
    partial = os.path.join(folder, f".{secrets.token_hex(8)}.partial")
    try:
        try:
            name = _write_before_it_has_a_name(whole, partial, array)
        except (AttributeError, OSError):  # there are no such files here, or the disk is full and says so again
            name = partial
            with open(partial, "x+b") as file:
                _write(file, partial, whole, array)
        if name != whole:
            os.replace(name, whole)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(partial)
    with contextlib.suppress(OSError):  # Windows opens no folders, and some file systems do not sync them
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_before_it_has_a_name(whole: str, partial: str, array: np.ndarray) -> str:
    """Write ``array`` to a file that is called ``whole`` once it is complete, or ``partial`` if there is one already.

    Returns the name: a file may be given one that is free, but only what has a name can replace another.
    """
    with os.fdopen(os.open(os.path.dirname(whole), os.O_TMPFILE | os.O_RDWR, 0o666), "w+b") as file:
        itself = f"/proc/self/fd/{file.fileno()}"
        _write(file, itself, whole, array)
        # Python follows the link that leads to the file only if it is given some descriptor of a folder, which the
        # system ignores beside an absolute path.
        call_it = functools.partial(os.link, itself, src_dir_fd=file.fileno())
        try:
            call_it(whole)
            return whole
        except FileExistsError:
            call_it(partial)
            return partial


def _write(file: BinaryIO, itself: str, whole: str, array: np.ndarray) -> None:
    """Write ``array`` to ``file``, which is at ``itself`` and is to replace ``whole``, and wait for the disk.

    ``file`` can be read as well, so NumPy writes it by Python, which says why it fails, and not by C's ``fwrite``.
    """
    if os.path.exists(whole):
        os.chmod(itself, stat.S_IMODE(os.stat(whole).st_mode))
    np.save(file, array)
    file.flush()
    os.fsync(file.fileno())
