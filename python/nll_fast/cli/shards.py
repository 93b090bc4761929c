"""The files that arguments name: one, several, a folder or a pattern of shards, and the targets of each."""

from __future__ import annotations

import argparse
import glob
import os
import re
from typing import NamedTuple

import numpy as np

from nll_fast import _files
from nll_fast._llama import MAGIC
from nll_fast.cli.inputs import Logits, load, read_logits, read_targets, split


class Shard(NamedTuple):
    """The logits of a file, the class of each of their rows, and what these are called."""

    argument: str
    logits: Logits
    target: np.ndarray
    targets: str


def expand(arguments: list[str]) -> list[str]:
    """The files that the arguments name.

    Those of a folder or of a pattern come in natural order, shard-2 before shard-10; and so do all, whoever wrote them
    out, if their names differ in numbers alone. Others come as they were given.
    """
    found = [each for argument in arguments for each in _one(argument)]
    return _in_order(found) if len({re.sub(r"[0-9]+", "", each) for each in found}) == 1 else found


def _one(argument: str) -> list[str]:
    path, name = split(argument)
    if name is None and not os.path.exists(path) and ":" in path:
        head, _, after = path.rpartition(":")
        if glob.has_magic(head):
            path, name = head, after
    if name is None and os.path.isdir(path):
        return _of_folder(path)
    suffix = "" if name is None else f":{name}"
    if glob.has_magic(path) and not os.path.exists(path):
        matches = _in_order([each for each in glob.glob(path) if not os.path.isdir(each)])
        return [each + suffix for each in matches] or [argument]
    return [argument]


def _of_folder(path: str) -> list[str]:
    """The files of a folder that hold arrays, by their names or their first bytes."""
    try:
        inside = [os.path.join(path, name) for name in os.listdir(path) if not name.startswith(".")]
        found = [each for each in inside if os.path.isfile(each) and _holds_arrays(each)]
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None
    if not found:
        raise ValueError(
            f"cannot read {path}: it is no regular file, but a folder in which no file is .npy, .npz or .safetensors, "
            "or logits of llama.cpp"
        )
    return _in_order(found)


def _holds_arrays(path: str) -> bool:
    if path.lower().endswith(_files.ENDINGS):
        return True
    with open(path, "rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def _in_order(names: list[str]) -> list[str]:
    """Natural order, in which a number counts as one."""
    pieces = {name: re.split(r"([0-9]+)", name) for name in names}  # every second of them is a number
    keys = {name: [(int(x), x) if i % 2 else (0, x) for i, x in enumerate(each)] for name, each in pieces.items()}
    return sorted(names, key=lambda name: keys[name])


def read_shards(options: argparse.Namespace) -> tuple[list[Shard], bool]:
    """The logits and the targets that ``options`` name, of which all headers and all targets are checked, and whether
    several files are of one text, as those of several models are.
    """
    given = None if options.targets is None else expand(options.targets)
    files = _without_targets(expand(options.logits), given or [])
    _may_open(len(files))
    logits = [read_logits(file, options.dtype) for file in files]
    if given is None:
        targets = [_targets_inside(file, each, options.shift) for file, each in zip(files, logits, strict=True)]
        names, of_one_text = files, all(np.array_equal(targets[0], target) for target in targets)
    elif len({_place(name) for name in given}) == 1:
        targets, of_one_text = _one_for_all(given[0], files, logits, options)
        names = given[:1] * len(files)
    elif len(given) == len(files):
        targets = [
            read_targets(name, each.shape, each.classes, options.shift, options.ignore_index)
            for name, each in zip(given, logits, strict=True)
        ]
        names, of_one_text = given, False
    else:
        raise ValueError(
            f"--targets names {len(given)} files for {len(files)} of logits; give one for all of them, or one for each"
        )
    shards = [Shard(*each) for each in zip(files, logits, targets, names, strict=True)]
    return shards, of_one_text and len(shards) > 1


def _without_targets(files: list[str], targets: list[str]) -> list[str]:
    """The files of logits: a folder or a pattern may hold the targets as well."""
    places = {_place(each) for each in targets}
    return [each for each in files if _place(each) not in places] or files


def _place(argument: str) -> tuple[str, str | None]:
    """A file and a name in it, however the argument spells the path."""
    path, name = split(argument)
    try:
        return os.path.realpath(path), name
    except ValueError:  # no file has such a name
        return path, name


def _may_open(files: int) -> None:
    """Let this process open that many files, if the system allows it: all are opened before any is read."""
    try:
        import resource  # which Windows has not
    except ImportError:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = files + 100 if hard == resource.RLIM_INFINITY else min(files + 100, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _targets_inside(file: str, logits: Logits, shift: int) -> np.ndarray:
    target = logits.targets()
    if target is None:
        raise ValueError(f"--targets is missing: {file} holds logits alone, and each of their rows needs a class")
    if shift:
        raise ValueError(f"--shift {shift} is for targets that are given: those in {file} are aligned with its rows")
    return target


def _one_for_all(
    name: str, files: list[str], logits: list[Logits], options: argparse.Namespace
) -> tuple[list[np.ndarray], bool]:
    """The targets of one file, and whether they are the same for all logits: if these have the shape of the file. Else
    the file has the targets of all, one after another.
    """
    shapes, classes, given = {each.shape for each in logits}, {each.classes for each in logits}, load(name).shape
    if len(logits) == 1 or shapes == {given}:
        same = [read_targets(name, each.shape, each.classes, options.shift, options.ignore_index) for each in logits]
        return same, True
    if len(classes) > 1 or () in shapes or len({shape[1:] for shape in shapes}) > 1:
        first, other = _two_that_differ(files, logits)
        raise ValueError(f"{first} and {other}: no targets can be of both, so give --targets for each file")
    shape = (sum(each.shape[0] for each in logits), *logits[0].shape[1:])
    if len(shapes) == 1 and given != shape:
        raise ValueError(
            f"target has shape {given}, but the logits need one class a row: {shape} if the files are shards, or "
            f"{logits[0].shape} if they are of one text by several models"
        )
    target = read_targets(name, shape, logits[0].classes, options.shift, options.ignore_index)
    ends = np.cumsum([each.shape[0] for each in logits])
    return np.split(target, ends[:-1]), False


def _two_that_differ(files: list[str], logits: list[Logits]) -> tuple[str, str]:
    """Two files whose rows cannot be those of one array, with their shapes."""
    kinds = [(each.classes, each.shape[1:]) for each in logits]
    other = next((k for k, kind in enumerate(kinds) if kind != kinds[0]), 1)
    first, second = (f"{files[k]} has shape {(*logits[k].shape, logits[k].classes)}" for k in (0, other))
    return first, second
