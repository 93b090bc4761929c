"""A custom objective for counts in LightGBM: gradient and Hessian of the Poisson loss come from one call.

    pip install lightgbm && python examples/lightgbm_poisson.py
"""

import lightgbm
import nll_fast
import numpy as np

MAX_DELTA_STEP = 0.7


def objective(log_rates, data):
    _, gradient, hessian = nll_fast.poisson_nll_loss(
        log_rates, data.get_label(), weight=data.get_weight(), reduction="sum", hess="exact"
    )
    # LightGBM and XGBoost multiply the Hessian of Poisson by e^max_delta_step, by default e^0.7, so that steps are
    # half as long. XGBoost also lets no leaf be larger than max_delta_step: for its model, add that option.
    return gradient, np.exp(MAX_DELTA_STEP) * hessian


def train(objective_or_name, rounds=20):
    """Train for a number of rounds; return the logarithms of the rates and the counts."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2000, 6))
    counts = rng.poisson(np.exp(0.5 * x[:, 0] * x[:, 1]))
    weights = rng.uniform(0.5, 2.0, 2000)
    options = {
        "objective": objective_or_name,
        "boost_from_average": False,  # The built-in objective starts from log of the mean, one of our own from 0.
        "num_threads": 1,
        "verbose": -1,
    }
    booster = lightgbm.train(options, lightgbm.Dataset(x, counts, weight=weights), rounds)
    return booster.predict(x, raw_score=True), counts


if __name__ == "__main__":
    print(f"{'round':>5} {'ours':>10} {'built-in':>10}   (nats per row, with log y!)")
    for rounds in (1, 5, 20):
        losses = [nll_fast.poisson_nll_loss(*train(how, rounds), full="exact") for how in (objective, "poisson")]
        print(f"{rounds:5} {losses[0]:10.6f} {losses[1]:10.6f}")
