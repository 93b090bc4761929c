"""Every token of a text under SmolLM2-135M: the summary, the five worst tokens, and a page to look at.

    python examples/score_tokens.py [REPORT.html]
"""

import json
import sys
import tempfile
from pathlib import Path

import nll_fast
import numpy as np
from nll_fast.report import score_report

HERE = Path(__file__).parent


def load():
    """The logits of 24 positions, the token that follows each, and the string of each of these."""
    logits = np.load(HERE / "smollm2_logits.npy", mmap_mode="r")  # float16, read where it lies
    text = json.loads((HERE / "smollm2_tokens.json").read_text(encoding="utf-8"))
    return logits, np.load(HERE / "smollm2_targets.npy"), text["token_text"][1:]


def worst(scores, count=5):
    """The positions of the least likely tokens, the worst first."""
    return np.argsort(scores.log_prob)[:count]


def main(path):
    logits, target, strings = load()
    scores = nll_fast.score(logits, target, top_k=5)
    for name, value in scores.summary().items():
        print(f"{name:16} {value}")
    print(f"\n{'token':16} {'log-prob':>8} {'rank':>5}   likeliest id, its log-prob")
    for i in worst(scores):
        likeliest = f"{scores.argmax[i]:5}, {scores.max_log_prob[i]:7.4f}"
        print(f"{strings[i]:16} {scores.log_prob[i]:8.4f} {scores.rank[i]:5}   {likeliest}")
    page = score_report(scores, target_strings=strings, about={"title": "Pride and Prejudice under SmolLM2-135M"})
    Path(path).write_text(page, encoding="utf-8")
    print(f"\nreport           {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else Path(tempfile.mkdtemp()) / "report.html")
