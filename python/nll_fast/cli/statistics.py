"""The table of ``nll-fast compare``: llama.cpp's statistics as llama.cpp prints them, and what it has not.

The two models are BASE and OTHER, as in the usage of the command. In JSON, tables and Python they are p and q.
"""

from __future__ import annotations

from typing import Any

from nll_fast.cli.summary import changes
from nll_fast.cli.terminal import visible

_PERPLEXITIES = (
    "Mean PPL(Q)",
    "Mean PPL(base)",
    "Cor(ln(PPL(Q)), ln(PPL(base)))",
    "Mean ln(PPL(Q)/PPL(base))",
    "Mean PPL(Q)/PPL(base)",
    "Mean PPL(Q)-PPL(base)",
)
_TAIL = ("10.0%", "5.0%", "1.0%", "0.1%", "Minimum")
_KLD = ("Mean", "Maximum", "99.9%", "99.0%", "95.0%", "90.0%", "Median", *_TAIL)
_CHANGE = ("Mean", "Maximum", "99.9%", "99.0%", "95.0%", "90.0%", "75.0%", "Median", "25.0%", *_TAIL)


def statistics(s: dict[str, Any]) -> str:
    """The summary as lines of text."""
    blocks = ["\n".join(_lines([("base", visible(s["p"])), ("other", f"{visible(s['q'])}, llama.cpp's Q")]))]
    if "Mean PPL(Q)" in s:
        blocks.append(_titled("Perplexity statistics", [_perplexity(label, s[label]) for label in _PERPLEXITIES]))
    blocks.append(_titled("KL divergence statistics", [f"{_place(x):<7} KLD: {_nats(s[f'{x} KLD'])}" for x in _KLD]))
    changes = [f"Same top p: {_percent(s['Same top p'])}"]
    if "Mean Δp" in s:
        rows = [f"{_place(x):<7} Δp: {_percent(s[f'{x} Δp'])}" for x in _CHANGE]
        changes = [*rows, f"RMS Δp    : {_percent(s['RMS Δp'])}", *changes]
    blocks.append(_titled("Token probability statistics", changes))
    blocks.append(_titled("Both ways", _both_ways(s)))
    blocks.append(_titled("By confidence of the base model", _by_confidence(s["buckets"])))
    return "\n\n".join([*blocks, "\n".join(_last_lines(s))])


def _titled(title: str, lines: list[str]) -> str:
    return "\n".join([f"====== {title} ======", *lines])


def _place(name: str) -> str:
    """A percentile's name, which llama.cpp sets under the others by their decimal points."""
    return name.rjust(5) if name.endswith("%") else name


def _perplexity(label: str, x: Any) -> str:
    return f"{label:<30}: {_nats(x)}" if isinstance(x, list) else f"{label:<30}: {100 * x:6.2f}%"


def _nats(x: Any) -> str:
    return f"{x[0]:10.6f} ± {x[1]:10.6f}" if isinstance(x, list) else f"{x:10.6f}"


def _percent(x: Any) -> str:
    return f"{x[0]:6.3f} ± {x[1]:5.3f} %" if isinstance(x, list) else f"{x:6.3f}%"


def _both_ways(s: dict[str, Any]) -> list[str]:
    lines = [f"{'':<15}{'mean':>10}   {'error':>10}{'median':>12}{'p90':>12}{'p99':>12}{'maximum':>12}"]
    for label, key in (("KL(base‖other)", "kl_pq"), ("KL(other‖base)", "kl_qp")):
        x = s[key]
        rest = "".join(f"{x[name]:>12.6f}" for name in ("median", "p90", "p99", "max"))
        lines.append(f"{label:<15}{x['mean']:10.6f} ± {x['error']:10.6f}{rest}")
    lines += [
        f"{'Jensen-Shannon divergence':<36}{s['js']:.6f}",
        f"{'total variation':<36}{s['total_variation']:.6f}",
        f"{'entropy of the base model':<36}{s['p_entropy']:.6f} nats",
    ]
    if s["top_k"]:
        first = f"first {s['top_k']} classes"
        lines.append(f"{f'{first} in common':<36}{s['top_k_overlap']:.1%}")
        lines.append(f"{f'{first} the same, in order':<36}{s['top_k_in_order']:.1%}")
    return lines


def _by_confidence(buckets: list[dict[str, Any]]) -> list[str]:
    lines = [f"{'probability':<14}{'rows':>9}  {'mean KLD':>10}"]
    for each in buckets:
        between = f"{each['low']:.2f} to {each['high']:.2f}"
        lines.append(
            f"{between:<14}{each['count']:>9}  " + (f"{each['kl_pq']:>10.6f}" if each["count"] else f"{'-':>10}")
        )
    return lines


def _last_lines(s: dict[str, Any]) -> list[str]:
    rate = f", {s['gb_per_s']:.1f} GB/s" if s["gb_per_s"] * s["seconds"] > 0.1 else ""
    lines = [("rows", f"{s['tokens']} ({s['ignored']} ignored), {s['classes']} classes")]
    if s["nonfinite"]:
        lines.append(("not finite", f"{s['nonfinite']} rows, in none of the numbers above"))
    lines += changes(s)
    coded = [file for file, storage in zip((s["p"], s["q"]), s["storage"], strict=True) if "codes" in storage]
    if coded:
        which = "both files are" if len(coded) == 2 else f"{visible(coded[0])} is"
        lines.append(
            (
                "storage",
                f"{which} quantised to 16 bits by llama.cpp, and cut at 16 nats below the largest: log-probabilities "
                "are known to about 1e-4",
            )
        )
    lines.append(("time", f"{s['seconds']:.3f} s{rate}"))
    return _lines(lines)


def _lines(pairs: list[tuple[str, str]]) -> list[str]:
    return [f"{label:<16}{text}" for label, text in pairs]
