"""Arrays in files: .npy and .safetensors, memory-mapped, and .npz, which NumPy unpacks into memory."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import numpy as np

from nll_fast._arrays import as_bfloat16

_SAFETENSORS = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip


def load(path: str | Path, name: str | None = None) -> np.ndarray:
    """The array in ``path``, or the one called ``name`` if the file holds several.

    The array may be in foreign byte order, or not aligned: it is what the file holds. A BF16 tensor comes by
    :func:`as_bfloat16`, which every function takes for what it is. Raises ValueError, in one sentence, for a
    file that is truncated, pickled or of another kind.
    """
    path = Path(path)
    try:
        size, ending = path.stat().st_size, path.suffix.lower()
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
            array = np.load(path, mmap_mode="r", allow_pickle=False)
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


def _safetensors(path: Path, name: str | None) -> np.ndarray:
    """A tensor of a file: 8 bytes hold the length of a header in JSON, and the tensors' bytes follow it."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(f"its header claims {length} bytes, but the file has {size}")
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


def save(path: str | Path, array: np.ndarray) -> None:
    """Write ``array`` to ``path``, whole or not at all."""
    path = Path(path).resolve()
    if path.exists() and not path.is_file():
        raise ValueError(f"cannot write {path}: it is there already and no regular file")
    partial = path.with_name(f".{path.name[:200]}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.save(file, array)
        partial.replace(path)
    except OSError as error:
        raise ValueError(f"cannot write {path}: {error.strerror or error}") from None
    except UnicodeEncodeError:
        raise ValueError(f"cannot write {path}: no file of this system can have such a name") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
