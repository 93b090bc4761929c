"""The arguments of each command, which a few of them share."""

from __future__ import annotations

import argparse
import math


def add_score(command: argparse.ArgumentParser) -> None:
    """The arguments of ``nll-fast score``."""
    command.add_argument(
        "logits",
        nargs="+",
        help="FILE or FILE:NAME with the class axis last: .npy, .npz, .safetensors or logits of llama.cpp; or several "
        "of them, a folder, or a quoted pattern",
    )
    command.add_argument(
        "--targets",
        action="append",
        help="FILE or FILE:NAME with the class of each row: one file for all logits, or one for each, as a folder, a "
        "quoted pattern, or --targets given again; llama.cpp's files hold their own",
    )
    _add_rows(command)
    command.add_argument("--bytes", type=int, metavar="N", help="how many bytes the text has: adds bits per byte")
    _add_changes(command)
    command.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="also find the K largest classes of each row"
    )
    command.add_argument(
        "--token-ids", type=_integers, metavar="A,B", help="also find the log-probabilities of these classes"
    )
    command.add_argument(
        "--per-token",
        metavar="OUT",
        help="write OUT.npy, float64 log-probabilities, or OUT.npz, OUT.parquet or OUT.jsonl, all columns",
    )
    command.add_argument(
        "--strings",
        metavar="FILE.json",
        help="a list with the string of each token id, or an object of token_ids and token_text",
    )
    command.add_argument("--worst", type=int, default=0, metavar="N", help="print the N most surprising tokens")
    command.add_argument("--show", action="store_true", help="print the text, coloured by surprisal")
    command.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="auto, the default: on a terminal, unless NO_COLOR is set",
    )
    command.add_argument("--html", metavar="OUT.html", help="write a page for a browser")


def add_compare(command: argparse.ArgumentParser) -> None:
    """The arguments of ``nll-fast compare``."""
    command.add_argument(
        "base",
        metavar="BASE",
        help="logits of the model to compare with, FILE or FILE:NAME as for `score`; p in JSON and in tables",
    )
    command.add_argument(
        "other", metavar="OTHER", help="logits of the other model for the same rows; q in JSON and in tables"
    )
    command.add_argument(
        "--targets", help="FILE or FILE:NAME with the class of each row; llama.cpp's files hold their own"
    )
    _add_rows(command)
    _add_changes(command)
    command.add_argument(
        "--classes", type=int, metavar="N", help="only the first N classes, where a vocabulary is padded"
    )
    command.add_argument(
        "--top-k",
        type=int,
        metavar="K",
        help="how many of the likeliest classes to compare (default: 5, or all of fewer)",
    )
    command.add_argument(
        "--per-token",
        metavar="OUT",
        help="write OUT.npy, float64 divergences, or OUT.npz, OUT.parquet or OUT.jsonl, all columns",
    )
    command.add_argument(
        "--strings",
        metavar="FILE.json",
        help="for --html: a list with the string of each token id, or an object of token_ids and token_text",
    )
    command.add_argument("--html", metavar="OUT.html", help="write a page for a browser")


def _add_rows(command: argparse.ArgumentParser) -> None:
    """What says which target belongs to which row."""
    command.add_argument(
        "--shift",
        type=int,
        default=0,
        metavar="N",
        help="1 where the targets are the input tokens, so that each row is scored with the next (default: 0)",
    )
    command.add_argument(
        "--ignore-index", type=int, default=-100, metavar="N", help="the target of rows to leave out (default: -100)"
    )
    command.add_argument("--dtype", choices=["bfloat16"], help="what raw 2-byte values (|V2 or uint16) are")


def _add_changes(command: argparse.ArgumentParser) -> None:
    """What is done to logits before everything else."""
    command.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="divide the logits by T before everything (default: 1)",
    )
    command.add_argument("--softcap", type=float, metavar="C", help="then cap them: x becomes C*tanh(x/C)")


def check_changes(options: argparse.Namespace) -> None:
    """Raise for a temperature or a softcap that no logits have."""
    for option, number in (("--temperature", options.temperature), ("--softcap", options.softcap)):
        if number is not None and not 0 < number < math.inf:
            raise ValueError(f"{option} {number} must be positive and finite")


def _integers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of integers such as 1,2,3") from None
