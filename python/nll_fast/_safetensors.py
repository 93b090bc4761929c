"""The tensors of .safetensors files, as their headers claim them, once these are checked.

The length of a header is in the first 8 bytes; the header, in JSON, follows, and then the bytes of the tensors.
"""

from __future__ import annotations

import json
import math
from typing import Any, BinaryIO, NamedTuple, TypeGuard

import numpy as np

from nll_fast._layout import AXES, Layout, check_shape, exactly, excerpt, pick, refuse_twice

_HEADER = 100_000_000
"""The format's limit to its header. Of a longer one Python would make many times as many bytes of objects."""

_STORAGE = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1",
}  # fmt: skip


class _Tensor(NamedTuple):
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def safetensors(file: BinaryIO, size: int, name: str | None, path: str) -> Layout:
    """One tensor of a file of ``size`` bytes. A fault in any tensor refuses the file, as in the reference reader."""
    start, tensors = _tensors(file, size)
    tensor = tensors[pick(list(tensors), name, path)]
    if tensor.dtype not in _STORAGE:
        raise ValueError(f"its dtype {excerpt(tensor.dtype)} is none of {', '.join(_STORAGE)}")
    dtype = np.dtype(_STORAGE[tensor.dtype])
    check_shape(tensor.shape, dtype)
    return Layout(start + tensor.begin, tensor.shape, dtype, bfloat16=tensor.dtype == "BF16")


def safetensors_names(file: BinaryIO, size: int) -> list[str]:
    """The names of the tensors of a file of ``size`` bytes."""
    return list(_tensors(file, size)[1])


def _tensors(file: BinaryIO, size: int) -> tuple[int, dict[str, _Tensor]]:
    """The byte from which offsets count, and what the header says of each tensor."""
    if size < 8:
        raise ValueError(
            f"it has {size} bytes, but a .safetensors file begins with 8 that give the length of its header"
        )
    length = int.from_bytes(exactly(file, 8), "little")
    if length > size - 8:
        raise ValueError(f"its header claims {length} bytes, but the file has {size}")
    if length > _HEADER:
        raise ValueError(f"its header claims {length} bytes; the format allows {_HEADER}")
    header = _json(exactly(file, length))
    _check_metadata(header.pop("__metadata__", None))
    tensors = {each: _tensor(excerpt(repr(each), 40), entry) for each, entry in header.items()}
    _check_offsets(tensors, size - 8 - length)
    return 8 + length, tensors


def _check_metadata(metadata: Any) -> None:
    if metadata is not None and not (isinstance(metadata, dict) and all(isinstance(x, str) for x in metadata.values())):
        raise ValueError("its __metadata__ must be an object of texts")


def _json(data: bytes) -> dict[str, Any]:
    """The object of a header, which names nothing twice."""
    try:
        # Of a number, 20 digits are enough to see that it is too large; Python takes long over a million of them.
        header = json.loads(data.decode(), object_pairs_hook=_object, parse_int=lambda digits: int(digits[:20]))
    except UnicodeDecodeError as error:
        raise ValueError(f"its header is not UTF-8 at byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is not JSON at character {error.pos}: {error.msg}") from None
    except RecursionError:
        raise ValueError("its header is nested far deeper than a list of tensors") from None
    if not isinstance(header, dict):
        raise ValueError("its header must be a JSON object with one entry for each tensor")
    return header


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    refuse_twice([key for key, _ in pairs], "its header has two entries of the name")
    return dict(pairs)


def _tensor(called: str, entry: Any) -> _Tensor:
    """What an entry says of a tensor, if that is consistent."""
    if not isinstance(entry, dict):
        raise ValueError(f"its header says nothing of the dtype, the shape and the offsets of {called}")
    dtype, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
    if not isinstance(dtype, str):
        raise ValueError(f"the dtype of {called} must be a text such as 'F32'")
    if not _are_lengths(shape) or not _are_lengths(offsets):
        what = "data_offsets" if _are_lengths(shape) else "shape"
        raise ValueError(f"the {what} of {called} must be a list of whole numbers from 0 to 2^63 - 1")
    if len(shape) > AXES:
        raise ValueError(f"the shape of {called} has {len(shape)} axes; NumPy has no more than {AXES}")
    if len(offsets) != 2 or offsets[0] > offsets[1]:
        raise ValueError(f"the data_offsets of {called} must be two, the first byte and the one after the last")
    begin, end = offsets
    if dtype in _STORAGE and end - begin != math.prod(shape) * np.dtype(_STORAGE[dtype]).itemsize:
        claims = f"shape {excerpt(tuple(shape))} of {dtype}"
        raise ValueError(f"{claims}, which {called} claims, does not match its {end - begin} bytes")
    return _Tensor(dtype, tuple(shape), begin, end)


def _are_lengths(x: Any) -> TypeGuard[list[int]]:
    """Whether ``x`` is a list of lengths. A boolean is an int to Python, and not to JSON."""
    return isinstance(x, list) and all(type(length) is int and 0 <= length < 2**63 for length in x)


def _check_offsets(tensors: dict[str, _Tensor], size: int) -> None:
    """Raise ValueError unless the tensors take all ``size`` bytes that follow the header, and none of them twice."""
    reached = 0
    for name, (_dtype, _shape, begin, end) in sorted(tensors.items(), key=lambda item: item[1][2:]):
        if begin != reached:
            what = "overlaps the tensor before it" if begin < reached else "leaves a gap before it"
            raise ValueError(
                f"{excerpt(repr(name), 40)} begins at byte {begin} instead of {reached}, so that it {what}"
            )
        reached = end
    if reached != size:
        raise ValueError(f"its tensors take {reached} bytes, but {size} follow the header")
