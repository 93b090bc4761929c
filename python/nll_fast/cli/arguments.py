"""The arguments of each command, which a few of them share."""

from __future__ import annotations

import argparse


def add_score(command: argparse.ArgumentParser) -> None:
    """The arguments of ``nll-fast score``."""
    command.add_argument(
        "logits",
        nargs="+",
        help="FILE or FILE:NAME, .npy, .npz, .safetensors or logits of llama.cpp, class axis last; or several of "
        "them, a folder, or a quoted pattern: shards in natural order",
    )
    command.add_argument(
        "--targets",
        action="append",
        help="FILE or FILE:NAME, one integer a row: its class; one for all logits, or, by the same rules or given "
        "again, one for each; llama.cpp's files have theirs inside",
    )
    _add_rows(command)
    command.add_argument("--bytes", type=int, metavar="N", help="bytes of the text: adds bits per byte")
    command.add_argument(
        "--temperature", type=float, default=1.0, metavar="T", help="divide the logits by T first (default: 1)"
    )
    command.add_argument("--softcap", type=float, metavar="C", help="then make them C*tanh(x/C)")
    command.add_argument(
        "--top-k", type=int, default=0, metavar="K", help="also find the K largest classes of each row"
    )
    command.add_argument(
        "--token-ids", type=_integers, metavar="A,B", help="and the log-probabilities of these classes"
    )
    command.add_argument(
        "--per-token",
        metavar="OUT",
        help="write OUT.npy, float64 log-probabilities, or OUT.npz, OUT.parquet or OUT.jsonl, all columns",
    )
    command.add_argument(
        "--strings", metavar="FILE.json", help="a list of the string of each token id, or token_ids and token_text"
    )
    command.add_argument("--worst", type=int, default=0, metavar="N", help="print the N most surprising tokens")
    command.add_argument("--show", action="store_true", help="print the text, coloured by surprisal")
    command.add_argument(
        "--color", choices=["auto", "always", "never"], default="auto", help="auto: on a terminal, without NO_COLOR"
    )
    command.add_argument("--html", metavar="OUT.html", help="write a page to look at")


def add_compare(command: argparse.ArgumentParser) -> None:
    """The arguments of ``nll-fast compare``."""
    command.add_argument("base", help="FILE or FILE:NAME, logits of the model to compare with, as of `score`")
    command.add_argument("other", help="the same of the other model, of the same rows")
    command.add_argument("--targets", help="FILE or FILE:NAME, one integer a row; llama.cpp's files have theirs inside")
    _add_rows(command)
    command.add_argument(
        "--classes", type=int, metavar="N", help="only the first N classes, where a vocabulary is padded"
    )
    command.add_argument("--top-k", type=int, default=5, metavar="K", help="how many of the first classes to compare")
    command.add_argument(
        "--per-token",
        metavar="OUT",
        help="write OUT.npy, float64 divergences, or OUT.npz, OUT.parquet or OUT.jsonl, all columns",
    )
    command.add_argument(
        "--strings", metavar="FILE.json", help="for the page: the string of each token id, or token_ids and token_text"
    )
    command.add_argument("--html", metavar="OUT.html", help="write a page to look at")


def _add_rows(command: argparse.ArgumentParser) -> None:
    """What says which target belongs to which row."""
    command.add_argument(
        "--shift", type=int, default=0, metavar="N", help="1 where the targets are the input tokens: score the next"
    )
    command.add_argument("--ignore-index", type=int, default=-100, metavar="N", help="default: -100")
    command.add_argument("--dtype", choices=["bfloat16"], help="what 2-byte raw values (|V2, uint16) are")


def _integers(text: str) -> list[int]:
    try:
        return [int(each) for each in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of integers such as 1,2,3") from None
