"""``nll-fast info``: what is in files, and how it can be scored."""

from __future__ import annotations

import argparse
import math
import os
import shlex
import sys
from typing import Any

import numpy as np

from nll_fast import _files
from nll_fast._layout import excerpt
from nll_fast.cli.inputs import read_logits, split
from nll_fast.cli.shards import expand

_ARRAYS = 50
"""The arrays of a file that are described, at most: a model may have thousands."""

_PACKED = 1 << 26
"""The bytes of an array that are unpacked to show the first of them, at most."""

_INTEGERS = tuple(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))

_LETTERS = 40
"""How much is shown of what is no number."""

_LINE = 1000
"""The longest line: names in files may be of any length."""

_ROWS, _NUMBERS = 2, 6
"""How many numbers of how many rows are shown."""


def info(options: argparse.Namespace) -> dict[str, Any]:
    """Describe the files that ``options`` name."""
    files = [_describe(argument) for argument in expand(options.files)]
    arrays = [array for file in files for array in file["arrays"]]
    for array in arrays:
        _say_what_for(array, arrays)
    return {"files": files}


def _describe(argument: str) -> dict[str, Any]:
    path, asked = split(argument)
    names = _files.names(path) if asked is None else [asked]
    arrays = [_array(path, name) for name in names[:_ARRAYS]]
    if None in names:  # there is one array, and a file that cannot be read is an error
        stored = _files.load(path)
        form = "llama.cpp logits" if isinstance(stored, _files.StoredCodes) else ".npy"
    else:
        form = os.path.splitext(path)[1].lower()
    size = os.stat(path).st_size
    return {"file": path, "format": form, "bytes": size, "arrays": arrays, "arrays_left_out": len(names) - len(arrays)}


def _array(path: str, name: str | None) -> dict[str, Any]:
    """An array's header and first numbers; what is wrong with it, where others of its file may be right."""
    argument = path if name is None else f"{path}:{name}"
    try:
        stored = _files.load(path, name)
    except ValueError as error:
        if name is None:
            raise
        return {"argument": argument, "name": name, "why_not": str(error)}
    found = {
        "argument": argument,
        "name": name,
        "shape": list(stored.shape),
        "dtype": stored.dtype_name,
        "byte_order": _byte_order(stored.dtype),
        "order": "Fortran" if stored.fortran and len(stored.shape) > 1 else "C",
        "bytes": stored.nbytes,
        "first_rows": _first_rows(stored, path),
    }
    if isinstance(stored, _files.StoredCodes):
        found |= {
            "n_ctx": stored.header.n_ctx,
            "n_vocab": stored.header.n_vocab,
            "n_chunk": stored.header.n_chunk,
            "first_tokens": stored.tokens().reshape(-1)[:_NUMBERS].tolist(),
        }
    return found


def _byte_order(dtype: np.dtype) -> str | None:
    """None where there is a single byte."""
    signs = {"|": None, ">": "big-endian", "<": "little-endian", "=": f"{sys.byteorder}-endian"}
    return signs[dtype.byteorder]


def _first_rows(stored: _files.Stored, path: str) -> list[Any] | None:
    """The first numbers of the first rows, read one by one; None where all would have to be unpacked for them."""
    if math.prod(stored.shape) == 0:
        return []
    if path.lower().endswith(".npz") and stored.nbytes > _PACKED:
        return None
    if isinstance(stored, _files.StoredCodes):
        first = np.asarray(stored.coded(0, min(_ROWS, math.prod(stored.shape[:-1]))))[:, :_NUMBERS]
        return [[float(f"{x:.6g}") for x in row] for row in first.tolist()]
    shape = stored.shape
    row_shape, classes = (shape[:-1], shape[-1]) if len(shape) > 1 else ((), shape[0] if shape else 1)
    count = min(_ROWS, math.prod(row_shape))
    rows = []
    for row in range(count):
        index = np.unravel_index(row, row_shape) if row_shape else ()
        rows.append([_number(stored, (*index, k) if shape else ()) for k in range(min(classes, _NUMBERS))])
    return rows if row_shape else rows[0]


def _number(stored: _files.Stored, index: tuple[Any, ...]) -> Any:
    """One number of an array, as JSON can hold it."""
    item, size = np.empty(1, stored.dtype), stored.dtype.itemsize
    order = "F" if stored.fortran else "C"
    place = int(np.ravel_multi_index(index, stored.shape, order=order)) if index else 0  # type: ignore[call-overload]
    stored.fill(item.view(np.uint8).data, place * size)
    if stored.bfloat16:
        item = (item.astype(np.uint32) << 16).view(np.float32)
    if item.dtype.kind == "U":  # of which NumPy makes no text where a number is no character
        coding = "utf-32-be" if item.dtype.byteorder == ">" or sys.byteorder == "big" else "utf-32-le"
        return excerpt(item.tobytes().decode(coding, "replace").rstrip("\0"), _LETTERS)
    value = item[0].item()
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value if isinstance(value, (int, bool)) else excerpt(value, _LETTERS)


def _say_what_for(array: dict[str, Any], others: list[dict[str, Any]]) -> None:
    """Add to what is known of an array what it can be used for, by which command, or why not."""
    if "why_not" in array:
        array |= {"use": None, "command": None}
        return
    shape, dtype, name = array["shape"], array["dtype"], array["argument"]
    array |= {"use": None, "command": None, "why_not": None}
    if dtype in _INTEGERS:
        kind = "the bits of bfloat16 (--dtype bfloat16), or class indices" if dtype == "uint16" else "class indices"
        array["use"] = f"{kind} of logits of shape {_tuple([*shape, 'CLASSES'])}"
        array["command"] = _command("LOGITS", name)
        return
    if dtype == "void16":
        array["use"] = "two bytes without a meaning: logits, if they are bfloat16"
        array["command"] = _command(name, _targets_of(array, others), "--dtype", "bfloat16")
        return
    try:
        logits = read_logits(name, None)
    except (TypeError, ValueError) as error:
        array["why_not"] = str(error)
        return
    array["use"] = f"logits of {logits.rows} rows and {logits.classes} classes"
    if logits.coded:
        array["use"] += ", with their targets"
        array["command"] = _command(name, None)
    else:
        array["command"] = _command(name, _targets_of(array, others))


def _targets_of(array: dict[str, Any], others: list[dict[str, Any]]) -> str:
    """The first array of class indices that has the shape of the rows, or a word in its place."""
    for other in others:
        if other.get("shape") == array["shape"][:-1] and other["dtype"] in _INTEGERS:
            return str(other["argument"])
    return "TARGETS"


def _command(logits: str, targets: str | None, *more: str) -> str:
    return shlex.join(["nll-fast", "score", logits, *([] if targets is None else ["--targets", targets]), *more])


def _tuple(lengths: list[Any]) -> str:
    return f"({', '.join(map(str, lengths))}{',' if len(lengths) == 1 else ''})"


def text(result: dict[str, Any]) -> str:
    """The description as lines of text."""
    return "\n\n".join("\n".join(_lines_of_file(file)) for file in result["files"])


def _lines_of_file(file: dict[str, Any]) -> list[str]:
    lines = [f"{excerpt(file['file'], _LINE)}: {file['format']}, {file['bytes']} bytes"]
    for array in file["arrays"]:
        lines += ["", f"  {excerpt(array['name'], _LINE)}"] if array["name"] is not None else []
        lines += [f"    {label:<12}{excerpt(words, _LINE)}" for label, words in _lines_of_array(array)]
    if file["arrays_left_out"]:
        lines += ["", f"  and {file['arrays_left_out']} more arrays; FILE:NAME describes one"]
    return lines


def _lines_of_array(array: dict[str, Any]) -> list[tuple[str, str]]:
    if "shape" not in array:
        return [("cannot be read", array["why_not"])]
    order = "" if array["byte_order"] is None else f", {array['byte_order']}"
    lines = [
        ("shape", f"{_tuple(array['shape'])}, {array['order']} order"),
        ("dtype", f"{array['dtype']}{order}, {array['bytes']} bytes"),
    ]
    if "n_ctx" in array:
        sizes = f"{array['n_chunk']} chunks of {array['n_ctx']} tokens, {array['n_vocab']} classes"
        lines += [("text", f"{sizes}"), ("tokens", f"{_numbers(array['first_tokens'])}, …")]
    lines.append(("first rows", _first(array)))
    if array["use"] is not None:
        lines += [("use", array["use"]), ("command", array["command"])]
    else:
        lines.append(("not scored", array["why_not"]))
    return lines


def _first(array: dict[str, Any]) -> str:
    rows = array["first_rows"]
    if rows is None:
        return "not shown: all would have to be unpacked"
    if not rows:
        return "none"
    rows = rows if isinstance(rows[0], list) else [rows]
    some = [_numbers(row) + (", …" if array["shape"] and len(row) < array["shape"][-1] else "") for row in rows]
    return " | ".join(some)


def _numbers(row: list[Any]) -> str:
    return ", ".join(f"{x:g}" if isinstance(x, float) else str(x) for x in row)
