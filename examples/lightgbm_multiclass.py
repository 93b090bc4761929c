"""A custom multiclass objective for LightGBM: gradient and Hessian of the softmax cross entropy come from one call.

    pip install lightgbm && python examples/lightgbm_multiclass.py
"""

import lightgbm
import nll_fast
import numpy as np

CLASSES = 3


def objective(scores, data):
    """The derivatives by the scores: float64 of shape (rows, classes) in Fortran order, read where they lie."""
    gradient, hessian = nll_fast.cross_entropy_grad(
        scores, data.get_label().astype(np.int64), sample_weight=data.get_weight(), reduction="sum", hess="exact"
    )
    # The Hessian is p·(1 − p). LightGBM's own objective multiplies it by K/(K − 1); two classes then take the steps of
    # a binary loss.
    hessian *= CLASSES / (CLASSES - 1)
    return gradient, hessian


def train(objective_or_name, rounds=20):
    """Train for a number of rounds; return the scores and the labels."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 6))
    labels = np.argmax(x[:, :3] + 0.3 * x[:, 3:] ** 2 + 0.5 * rng.standard_normal((2000, 3)), axis=1)
    weights = rng.uniform(0.5, 2.0, 2000)
    options = {
        "objective": objective_or_name,
        "num_class": CLASSES,
        "boost_from_average": False,  # The built-in objective starts from the classes' shares, one of our own from 0.
        "num_threads": 1,
        "verbose": -1,
    }
    booster = lightgbm.train(options, lightgbm.Dataset(x, labels, weight=weights), rounds)
    return booster.predict(x, raw_score=True), labels


if __name__ == "__main__":
    print(f"{'round':>5} {'ours':>10} {'built-in':>10}   (log-loss)")
    for rounds in (1, 5, 20):
        losses = [nll_fast.cross_entropy(*train(how, rounds)) for how in (objective, "multiclass")]
        print(f"{rounds:5} {losses[0]:10.6f} {losses[1]:10.6f}")
