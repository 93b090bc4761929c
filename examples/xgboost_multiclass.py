"""A custom multiclass objective for XGBoost: gradient and Hessian of the softmax cross entropy come from one call.

    pip install xgboost && python examples/xgboost_multiclass.py
"""

import nll_fast
import numpy as np
import xgboost

CLASSES = 3


def objective(margins, data):
    """The derivatives by the margins, float32 of shape (rows, classes)."""
    weight = data.get_weight()  # Empty if there are none.
    gradient, hessian = nll_fast.cross_entropy_grad(
        margins,
        data.get_label().astype(np.int64),
        sample_weight=weight if weight.size else None,
        reduction="sum",
        hess="exact",
    )
    # The Hessian is p·(1 − p). The objective built into XGBoost 3.2 takes twice that, and at least 1e-16.
    return gradient, np.maximum(2 * hessian, 1e-16)


def train(objective_or_name, rounds=20):
    """Train for a number of rounds; return the margins and the labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 6))
    labels = np.argmax(x[:, :3] + 0.3 * x[:, 3:] ** 2 + 0.5 * rng.standard_normal((2000, 3)), axis=1)
    data = xgboost.DMatrix(x, label=labels, weight=rng.uniform(0.5, 2.0, 2000))
    # Without base_score the built-in objective starts from the classes' shares.
    options = {"num_class": CLASSES, "max_depth": 4, "nthread": 1, "base_score": 0.0}
    if isinstance(objective_or_name, str):
        booster = xgboost.train({"objective": objective_or_name, **options}, data, rounds)
    else:
        booster = xgboost.train(options, data, rounds, obj=objective_or_name)
    return booster.predict(data, output_margin=True), labels


if __name__ == "__main__":
    print(f"{'round':>5} {'ours':>10} {'built-in':>10}   (log-loss)")
    for rounds in (1, 5, 20):
        losses = [nll_fast.cross_entropy(*train(how, rounds)) for how in (objective, "multi:softprob")]
        print(f"{rounds:5} {losses[0]:10.6f} {losses[1]:10.6f}")
