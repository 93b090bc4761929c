"""A custom objective for XGBoost, a few lines long: value, gradient and Hessian come from one pass.

    pip install xgboost && python examples/xgboost_objective.py
"""

import nll_fast
import numpy as np
import xgboost


def objective(margins, data):
    weight = data.get_weight()  # Empty if there are none.
    _, gradient, hessian = nll_fast.binary_cross_entropy_with_logits(
        margins, data.get_label(), weight=weight if weight.size else None, reduction="sum", hess="exact"
    )
    return gradient, hessian


def train(objective_or_name, rounds=20):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 6))
    y = (x[:, 0] * x[:, 1] + 0.3 * rng.standard_normal(2000) > 0).astype(np.float32)
    data = xgboost.DMatrix(x, label=y, weight=rng.uniform(0.5, 2.0, 2000))
    builtin = objective_or_name if isinstance(objective_or_name, str) else None
    # To the built-in objective base_score is a probability, to one of our own a margin: log(p/(1 − p)) = 0.
    start = {"objective": builtin, "base_score": 0.5} if builtin else {"base_score": 0.0}
    options = {"max_depth": 4, "nthread": 1} | start
    booster = xgboost.train(options, data, rounds, obj=None if builtin else objective_or_name)
    return booster.predict(data, output_margin=True), y


if __name__ == "__main__":
    print(f"{'round':>5} {'ours':>10} {'built-in':>10}   (log-loss)")
    for rounds in (1, 5, 20):
        losses = [
            nll_fast.binary_cross_entropy_with_logits(*train(how, rounds)) for how in (objective, "binary:logistic")
        ]
        print(f"{rounds:5} {losses[0]:10.6f} {losses[1]:10.6f}")
