"""Files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np


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
    """Write ``array`` to the .npy file ``path``, as :func:`write` does."""
    write(path, lambda file: np.save(file, array))


def write(path: str | Path, content: Callable[[BinaryIO], object]) -> None:
    """Have ``content`` write to ``path``: at every moment what is there is whole, be it the old file or the new one.

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
            name = _write_before_it_has_a_name(whole, partial, content)
        except (AttributeError, OSError):  # there are no such files here, or the disk is full and says so again
            name = partial
            with open(partial, "x+b") as file:
                _write(file, partial, whole, content)
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


def _write_before_it_has_a_name(whole: str, partial: str, content: Callable[[BinaryIO], object]) -> str:
    """Have ``content`` write to a file that is called ``whole`` once it is complete, or ``partial`` if one is there.

    Returns the name: a file may be given one that is free, but only what has a name can replace another.
    """
    with os.fdopen(os.open(os.path.dirname(whole), os.O_TMPFILE | os.O_RDWR, 0o666), "w+b") as file:
        itself = f"/proc/self/fd/{file.fileno()}"
        _write(file, itself, whole, content)
        # Python follows the link that leads to the file only if it is given some descriptor of a folder, which the
        # system ignores beside an absolute path.
        call_it = functools.partial(os.link, itself, src_dir_fd=file.fileno())
        try:
            call_it(whole)
            return whole
        except FileExistsError:
            call_it(partial)
            return partial


def _write(file: BinaryIO, itself: str, whole: str, content: Callable[[BinaryIO], object]) -> None:
    """Have ``content`` write to ``file``, which is at ``itself`` and is to replace ``whole``, and wait for the disk.

    ``file`` can be read as well, so NumPy writes it by Python, which says why it fails, and not by C's ``fwrite``.
    """
    if os.path.exists(whole):
        os.chmod(itself, stat.S_IMODE(os.stat(whole).st_mode))
    content(file)
    file.flush()
    os.fsync(file.fileno())
