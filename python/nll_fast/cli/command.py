"""The options and commands of ``nll-fast``. Results go to stdout and everything else to stderr.

The exit code is 0 for a result, 2 for wrong input, and 1 if the command was interrupted, could not write, or was
refused memory or threads.
"""

from __future__ import annotations

import argparse
import codecs
import contextlib
import json
import math
import os
import sys
from typing import Any

from nll_fast import __version__

_SIGNS = {"±": "+/-", "µ": "u"}
"""What the tables write where a stream's encoding lacks a sign. Of names in files, their escapes are written."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command with ``arguments``, by default those of the process, and return its exit code."""
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(sys.stderr or nowhere):  # it may be closed
        _write_signs_that_streams_lack()
        return _main(arguments)


def _main(arguments: list[str] | None) -> int:
    options = _parser().parse_args(arguments)
    try:
        if sys.stdout is None:
            raise ValueError("there is no stdout to write a result to; redirect it to /dev/null if none is wanted")
        result, text = options.run(options)
        print(json.dumps(_without_nan(result)) if options.json else text, flush=True)
    except (ValueError, TypeError, IndexError) as error:
        print(f"nll-fast: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:  # the latter where the system gives no more threads
        print(f"nll-fast: {str(error) or 'not enough memory'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("nll-fast: interrupted", file=sys.stderr)
        return 1
    except OSError as error:
        # Python flushes stdout once more when it exits; without this, that would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # a reader such as head may stop early
            print(f"nll-fast: cannot write the result: {error.strerror}", file=sys.stderr)
        return 1
    return 0


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="nll-fast", description="Negative log-likelihoods of model outputs, from files."
    )
    parser.add_argument("--version", action="version", version=f"nll-fast {__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    score = commands.add_parser("score", help="score the logits of a language model")
    score.set_defaults(run=_score)
    score.add_argument("logits", help="FILE or FILE:NAME, .npy, .npz or .safetensors, class axis last")
    score.add_argument("--targets", required=True, help="FILE or FILE:NAME, one integer a row: its class")
    score.add_argument(
        "--shift", type=int, default=0, metavar="N", help="1 where the targets are the input tokens: score the next"
    )
    score.add_argument("--bytes", type=int, metavar="N", help="bytes of the text: adds bits per byte")
    score.add_argument("--ignore-index", type=int, default=-100, metavar="N", help="default: -100")
    score.add_argument("--dtype", choices=["bfloat16"], help="what 2-byte raw values (|V2, uint16) are")
    score.add_argument("--per-token", metavar="OUT.npy", help="write float64 log-probabilities")
    bench = commands.add_parser("bench", help="time every family beside the machine and peers, in two to nine minutes")
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
    for command in (score, bench):
        command.add_argument("--json", action="store_true", help="print one JSON object")
    return parser


# Each command's module is imported when the command runs, so that `score` starts within a tenth of a second.
def _score(options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from nll_fast.cli.score import score, table

    summary = score(options)
    return summary, table(summary)


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
