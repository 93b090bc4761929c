"""The options and commands of ``nll-fast``. Results go to stdout and everything else to stderr.

The exit code is 0 for a result, 2 for wrong input, 1 if the command could not write or was refused memory or threads,
and 70 for a fault of its own. Ctrl-C ends it by SIGINT, which shells show as 130. Every error and every warning is a
sentence; the environment variable ``NLL_FAST_TRACEBACK`` adds where an error happened.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import json
import math
import os
import shlex
import sys
import traceback
import warnings
from typing import Any, TextIO

from nll_fast import __version__
from nll_fast.cli import arguments

_SIGNS = {"±": "+/-", "µ": "u", "Δ": "D", "‖": "||", "→": "->", "…": "..."}
"""What the tables write where a stream's encoding lacks a sign. Of names in files, their escapes are written."""


def main(given: list[str] | None = None) -> int:
    """Run the command with the arguments ``given``, by default those of the process, and return its exit code."""
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stderr(sys.stderr or nowhere),  # it may be closed
        warnings.catch_warnings(),
    ):
        warnings.showwarning = lambda message, *_, **__: _say(str(message))
        _write_signs_that_streams_lack()
        try:
            return _main(given)
        finally:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                _let_go_if_it_cannot_be_written(stream)


def _main(given: list[str] | None) -> int:
    try:
        _run(given)
    except SystemExit as stop:  # of argparse, which has printed help, or why it refuses
        return int(stop.code or 0)
    except (ValueError, TypeError, IndexError) as error:
        return _fail(2, str(error))
    except (MemoryError, RuntimeError) as error:
        return _fail(1, str(error) or "not enough memory")
    except BrokenPipeError:  # a reader such as head may stop early
        return 1
    except OSError as error:  # of an output file, in a sentence, or else of stdout
        return _fail(1, f"cannot write the result: {error.strerror}" if error.strerror else str(error))
    except KeyboardInterrupt:
        return _fail(130, "interrupted")
    except BaseException as error:  # a panic of Rust is no Exception
        what = " ".join(f"{type(error).__name__}: {error}".split())
        asked = "please report it, with the command and what NLL_FAST_TRACEBACK=1 adds"
        return _fail(70, f"{what}: this is a fault of nll-fast {__version__}; {asked}")
    return 0


def _run(given: list[str] | None) -> None:
    """Run the command and print its result; the errors are those of whatever it calls."""
    try:
        options = _parser().parse_args(given)
        options.command_line = shlex.join(["nll-fast", *(sys.argv[1:] if given is None else given)])
        if sys.stdout is None:
            raise ValueError("there is no stdout to write a result to; redirect it to /dev/null if none is wanted")
        result, text = options.run(options)
        print(json.dumps(_without_nan(result)) if options.json else text)
    finally:
        if sys.stdout is not None:
            sys.stdout.flush()


def _fail(code: int, sentence: str) -> int:
    if code != 130 and os.environ.get("NLL_FAST_TRACEBACK"):
        _say(traceback.format_exc())
    _say(sentence)
    return code


def _say(sentence: str) -> None:
    with contextlib.suppress(OSError):  # the exit code, or the result, remains
        print(f"nll-fast: {sentence}", file=sys.stderr, flush=True)


def _let_go_if_it_cannot_be_written(stream: TextIO) -> None:
    """Point a stream that is full or has no reader at nothing: Python, when it exits, would fail to flush it again."""
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _write_signs_that_streams_lack() -> None:
    """Have stdout and stderr take every text: a result must not be lost for a sign that its reader cannot show."""
    codecs.register_error("nll_fast.plain", _plain)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None, or an object in a stream's place, has no encoding to change
            stream.reconfigure(errors="nll_fast.plain")


def _plain(error: UnicodeError) -> tuple[str, int]:
    """ASCII in place of what an encoding lacks: a codec's error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = [_SIGNS.get(sign) or sign.encode("ascii", "backslashreplace").decode("ascii") for sign in lacking]
    return "".join(plain), error.end


class _Command(argparse.ArgumentParser):
    """The parser of one command, which says itself what it does not know: argparse would show the usage of all."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """What the arguments say; there are none that are not known."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            import difflib  # which only a mistake needs

            options = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown[0].partition("=")[0], options, 1)
            self.error(f"unrecognized arguments: {' '.join(unknown)}" + (f"; is it {near[0]}?" if near else ""))
        return found, unknown


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nll-fast",
        description="Negative log-likelihoods of model outputs, from files.",
        epilog="The exit code is 0 for a result, 2 for wrong input, 1 for what could not be written or had no memory, "
        "130 for Ctrl-C, and 70 for a fault of nll-fast itself.",
    )
    parser.add_argument("--version", action="version", version=f"nll-fast {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, parser_class=_Command)
    score = commands.add_parser("score", allow_abbrev=False, help="score the logits of a language model")
    score.set_defaults(run=_score)
    arguments.add_score(score)
    compare = commands.add_parser("compare", allow_abbrev=False, help="compare two models by the logits of both")
    compare.set_defaults(run=_compare)
    arguments.add_compare(compare)
    info = commands.add_parser("info", allow_abbrev=False, help="say what is in files, and which command scores it")
    info.set_defaults(run=_info)
    info.add_argument("files", nargs="+", help="FILE or FILE:NAME, a folder, or a quoted pattern")
    bench = commands.add_parser(
        "bench", allow_abbrev=False, help="time every kind of loss beside the machine and peers, in two to nine minutes"
    )
    bench.set_defaults(run=_bench)
    bench.add_argument("words", nargs="*", help="only workloads with one of these words in their name")
    bench.add_argument("--quick", action="store_true", help="an eighth of the size, two rounds instead of five")
    bench.add_argument(
        "--apart", action="store_true", help="each workload in a process of its own: torch, compiled, may slow the next"
    )
    bench.add_argument(
        "--sizes",
        metavar="MB",
        type=int,
        help="measure each workload at several sizes, from 10 rows to MB megabytes of inputs",
    )
    bench.add_argument("--peers", metavar="A,B", help="only these, or none (numpy,scipy,numexpr,torch,compiled,jax)")
    bench.add_argument("--workloads", metavar="FILE.toml", help="another list of workloads")
    bench.add_argument(
        "--plot", metavar="OUT.svg", help="draw bandwidths, or with --sizes costs (.svg, .png or .pdf; matplotlib)"
    )
    for command in (score, compare, info, bench):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


# Each command's module is imported when the command runs, so that `score` starts within a tenth of a second.
def _score(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from nll_fast.cli.score import score
    from nll_fast.cli.summary import table

    summary, shown = score(options)
    return summary, f"{shown}\n\n{table(summary)}" if shown else table(summary)


def _compare(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from nll_fast.cli.compare import compare
    from nll_fast.cli.statistics import statistics

    summary = compare(options)
    return summary, statistics(summary)


def _info(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from nll_fast.cli.info import info, text

    result = info(options)
    return result, text(result)


def _bench(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from nll_fast.cli.bench import bench

    return bench(options), ""


def _without_nan(x: Any) -> Any:
    """``x`` with None, JSON's null, for every NaN and infinity, which JSON cannot express."""
    if isinstance(x, dict):
        return {key: _without_nan(value) for key, value in x.items()}
    if isinstance(x, list):
        return [_without_nan(value) for value in x]
    return None if isinstance(x, float) and not math.isfinite(x) else x
