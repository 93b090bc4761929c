"""The objectives of ``examples/`` learn what LightGBM's and XGBoost's own objectives learn."""

import runpy
from pathlib import Path

import nll_fast
import numpy as np
import pytest

from .test_peers import peer

EXAMPLES = Path(__file__).parent.parent / "examples"
# A script, the library that it needs, and the name of the objective that is built into that library.
OBJECTIVES = [
    ("lightgbm_multiclass.py", "lightgbm", "multiclass"),
    ("lightgbm_poisson.py", "lightgbm", "poisson"),
    ("xgboost_multiclass.py", "xgboost", "multi:softprob"),
    ("xgboost_objective.py", "xgboost", "binary:logistic"),
]


@pytest.mark.parametrize(("script", "library", "builtin"), OBJECTIVES)
def test_objective_predicts_what_the_built_in_one_predicts(script, library, builtin):
    peer(library)
    example = runpy.run_path(str(EXAMPLES / script))
    (ours, labels), (theirs, _) = example["train"](example["objective"]), example["train"](builtin)
    assert ours.shape[0] == labels.shape[0] and np.ptp(theirs) > 1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


@pytest.mark.parametrize(("script", "library"), [row[:2] for row in OBJECTIVES])
def test_script_prints_the_same_losses_for_both(script, library, capsys):
    peer(library)
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert lines[0][:3] == ["round", "ours", "built-in"] and [line[0] for line in lines[1:]] == ["1", "5", "20"]
    losses = np.array(lines[1:], float)[:, 1:]
    np.testing.assert_allclose(losses[:, 0], losses[:, 1], rtol=0, atol=2e-6)
    assert (np.diff(losses[:, 0]) < 0).all()


def test_objectives_of_lightgbm_do_without_weights():
    """``get_weight`` is then None, which means the same to us."""
    lightgbm = peer("lightgbm")
    r = np.random.default_rng(0)
    x = r.standard_normal((500, 4))
    counts = r.poisson(np.exp(x[:, 0]))
    example = runpy.run_path(str(EXAMPLES / "lightgbm_poisson.py"))
    options = {"boost_from_average": False, "num_threads": 1, "verbose": -1}
    ours, theirs = (
        lightgbm.train({"objective": how, **options}, lightgbm.Dataset(x, counts), 10).predict(x, raw_score=True)
        for how in (example["objective"], "poisson")
    )
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-6)


def test_poisson_of_xgboost_has_the_factor_of_lightgbm_and_bounds_its_leaves():
    xgboost = peer("xgboost")
    r = np.random.default_rng(0)
    x = r.standard_normal((2000, 4))
    data = xgboost.DMatrix(x, label=r.poisson(np.exp(0.5 * x[:, 0])), weight=r.uniform(0.5, 2, 2000))

    def objective(margins, data):
        _, gradient, hessian = nll_fast.poisson_nll_loss(
            margins, data.get_label(), weight=data.get_weight(), reduction="sum", hess="exact"
        )
        return gradient, np.exp(0.7) * hessian

    options = {"max_depth": 4, "nthread": 1}
    ours = xgboost.train({**options, "base_score": 0.0, "max_delta_step": 0.7}, data, 20, obj=objective)
    theirs = xgboost.train({**options, "base_score": 1.0, "objective": "count:poisson"}, data, 20)
    margins = (booster.predict(data, output_margin=True) for booster in (ours, theirs))
    np.testing.assert_allclose(*margins, rtol=0, atol=2e-6)


@pytest.mark.parametrize("script", [row[0] for row in OBJECTIVES])
def test_example_is_short_and_listed(script):
    assert len((EXAMPLES / script).read_text().splitlines()) < 60
    assert f"`{script}`" in (EXAMPLES / "README.md").read_text()
