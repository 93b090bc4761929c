"""Two models over one text: how far apart their predictions are, where, and how sure the first one was there.

    python examples/compare_models.py [REPORT.html]

Here are the logits of one model only, SmolLM2-135M. Those of the second are the first's, rounded to 6 bits.
"""

import json
import sys
import tempfile
from pathlib import Path

import nll_fast
import numpy as np
from nll_fast.report import compare_report

HERE = Path(__file__).parent


def load():
    """The logits of 24 positions, the token that follows each, and the string of each of these."""
    text = json.loads((HERE / "smollm2_tokens.json").read_text(encoding="utf-8"))
    return np.load(HERE / "smollm2_logits.npy"), np.load(HERE / "smollm2_targets.npy"), text["token_text"][1:]


def rounded(logits, bits):
    """Each row in 2^bits equally distant values from its least to its largest logit."""
    x = logits.astype(np.float32)
    least, step = x.min(-1, keepdims=True), np.ptp(x, axis=-1, keepdims=True) / (2**bits - 1)
    return least + step * np.round((x - least) / step)


def worst(both, count=5):
    """The positions where the two predictions differ most, the worst first."""
    return np.argsort(-both.kl_pq)[:count]


def main(path):
    logits, target, strings = load()
    both = nll_fast.compare(logits, rounded(logits, bits=6), target)
    summary = both.summary()
    for name in ("tokens", "js", "total_variation", "p_entropy", "same_top", "top_k_overlap"):
        print(f"{name:18} {summary[name]}")
    for name in ("Mean PPL(base)", "Mean PPL(Q)"):
        print(f"{name:18} {summary[name][0]} ± {summary[name][1]}")
    for way in ("kl_pq", "kl_qp"):
        print("\n".join(f"{way} {name:12} {value}" for name, value in summary[way].items()))
    print("\nlargest p           rows  mean KL(P‖Q)")
    for row in summary["buckets"]:
        print(f"{row['low']:.2f} to {row['high']:.2f} {row['count']:11} {row['kl_pq']:13.6f}")
    print(f"\n{'token':14} {'KL(P‖Q)':>8} {'log p':>8} {'log q':>8}   likeliest ids")
    for i in worst(both):
        numbers = (both.kl_pq[i], both.p_log_prob[i], both.q_log_prob[i])
        print(f"{strings[i]:14} {' '.join(f'{x:8.4f}' for x in numbers)}   {both.p_argmax[i]}, {both.q_argmax[i]}")
    page = compare_report(both, target_strings=strings, about={"p": "SmolLM2-135M", "q": "its logits in 6 bits"})
    Path(path).write_text(page, encoding="utf-8")
    print(f"\nreport             {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "report.html")
