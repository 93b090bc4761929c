"""The files that a command writes, checked before anything is computed."""

from __future__ import annotations

import os

from nll_fast import _writing
from nll_fast.cli.columns import check_parquet
from nll_fast.cli.inputs import split


def check_outputs(outputs: dict[str, tuple[str | None, tuple[str, ...]]], sources: list[str]) -> None:
    """Raise for an output that cannot be written, or that would replace an input or another output.

    ``outputs`` has the path of each option and the endings that it may have.
    """
    given = {option: (out, endings) for option, (out, endings) in outputs.items() if out is not None}
    for option, (out, endings) in given.items():
        if not out:
            raise ValueError(f"{option} needs the name of a file to write")
        if not out.lower().endswith(endings):
            ends = f"{', '.join(endings[:-1])} or {endings[-1]}" if len(endings) > 1 else endings[0]
            raise ValueError(f"{option} {out} must end in {ends}, which is what is written")
        for source in sources:
            path, _ = split(source)
            if _is_same(out, path):
                raise ValueError(f"{option} {out} would overwrite the input {path}")
        _writing.check_output(out)
        check_parquet(option, out)
    real = [os.path.realpath(out) for out, _ in given.values()]
    if len(set(real)) < len(real):
        raise ValueError(f"{' and '.join(given)} name the same file, {real[0]}; give each a name of its own")


def _is_same(first: str, second: str) -> bool:
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)


def write_page(path: str, page: str) -> None:
    """Write an HTML page as UTF-8."""
    _writing.write(path, lambda file: file.write(page.encode("utf-8", "replace")))
