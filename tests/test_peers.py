"""Other libraries as second oracles, and torch's tensors as inputs. A peer that is missing is named at the end."""

import importlib
import importlib.util

import nll_fast
import numpy as np
import pytest

from .cases import CASES, Reach


def of_torch(name):
    """torch's function of the same name, with the keywords of the row, which are torch's too."""

    def call(torch, arguments, how):
        a, k = [torch.as_tensor(x) for x in arguments], {**CASES[name].keywords, **how}
        if CASES[name].function == "poisson_nll_loss":
            a[1] = a[1].to(a[0].dtype)  # torch takes log y! of integers in float32
        if "var" in k:
            k["var"] = torch.full_like(a[0], k["var"])
        if CASES[name].function == "binary_cross_entropy_with_logits" and len(a) == 3:
            k["weight"] = a.pop()
        return getattr(torch.nn.functional, CASES[name].function)(*a, **k).numpy()

    return call


def binary_scipy(special, x, y):
    return -(y * special.log_expit(x) + (1 - y) * special.log_expit(-x))


def softplus_numexpr(numexpr, x):
    return numexpr.evaluate("where(x > 0, x, 0) + log1p(exp(-abs(x)))", {"x": x})


BCE = "binary_cross_entropy_with_logits"
TORCH = [
    BCE, f"{BCE}, weight", "binary_cross_entropy", "mse_loss", "gaussian_nll_loss, full", "poisson_nll_loss",
    "poisson_nll_loss, log_input=False", "poisson_nll_loss, log_input=False, full", "kl_div", "kl_div, log_target",
    "cross_entropy", "cross_entropy, weight", "cross_entropy, weight, label_smoothing=0.1",
    "cross_entropy, weight, label_smoothing=1.0", "cross_entropy, soft targets", "nll_loss, weight",
]  # fmt: skip
# A peer, the module to import, a row of the table, and the peer's function of its arguments. torch's takes reduction=.
PEERS = [
    *(("torch", "torch", name, of_torch(name)) for name in TORCH),
    ("scipy", "scipy.special", "logsumexp", lambda special, a, k: special.logsumexp(*a, axis=-1)),
    ("scipy", "scipy.special", "log_softmax", lambda special, a, k: special.log_softmax(*a, axis=-1)),
    ("scipy", "scipy.special", "log_sigmoid", lambda special, a, k: special.log_expit(*a)),
    ("scipy", "scipy.special", "entr", lambda special, a, k: special.entr(*a)),
    ("scipy", "scipy.special", "rel_entr", lambda special, a, k: special.rel_entr(*a)),
    ("scipy", "scipy.special", "entropy", lambda special, a, k: special.entr(special.softmax(*a, axis=-1)).sum(-1)),
    ("scipy", "scipy.special", BCE, lambda special, a, k: binary_scipy(special, *a)),
    ("numexpr", "numexpr", "softplus", lambda numexpr, a, k: softplus_numexpr(numexpr, *a)),
    ("jax", "jax.nn", "softplus", lambda nn, a, k: nn.softplus(*a)),
    ("jax", "jax.nn", "log_sigmoid", lambda nn, a, k: nn.log_sigmoid(*a)),
    ("jax", "jax.nn", "log_softmax", lambda nn, a, k: nn.log_softmax(*a)),
    ("jax", "jax.nn", "logsumexp", lambda nn, a, k: nn.logsumexp(*a, axis=-1)),
]  # fmt: skip


def peer(name):
    """The module; a peer that is installed but cannot be imported is an error."""
    if importlib.util.find_spec(name.partition(".")[0]) is None:
        pytest.skip(f"{name} is not installed")
    return importlib.import_module(name)


@pytest.mark.filterwarnings("ignore:reduction:UserWarning")  # torch's advice on kl_div's mean
@pytest.mark.parametrize(("library", "module", "name", "theirs"), PEERS, ids=lambda x: x if type(x) is str else "")
def test_values(library, module, name, theirs):
    case, module = CASES[name], peer(module)
    arguments = case.draw("float32" if library == "jax" else "float64", 200, 50, Reach(8, 4))
    for reduction in ("mean", "sum", "none") if library == "torch" else ("none",):
        how = {"reduction": reduction} if library == "torch" else {}
        want = theirs(module, tuple(arguments.values()), how)
        got = case.call(arguments, **({"reduction": reduction} if case.reduces else {}))
        rtol = 1e-5 if library == "jax" else 1e-12
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol / 10)


def test_log_loss_of_sklearn():
    metrics = peer("sklearn.metrics")
    p, y = CASES["binary_cross_entropy, clamp=None"].draw("float64", 200).values()
    got = nll_fast.binary_cross_entropy(p, y, clamp="eps")
    np.testing.assert_allclose(got, metrics.log_loss(y, p), rtol=1e-12)


def test_lightgbm_learns_from_our_derivatives_what_it_learns_from_its_own():
    lightgbm = peer("lightgbm")
    r = np.random.default_rng(0)
    x = r.standard_normal((500, 4))
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.float32)

    def ours(margins, data):
        return nll_fast.binary_cross_entropy_with_logits(margins, data.get_label(), reduction="sum", hess="exact")[1:]

    margins = []
    for objective in (ours, "binary"):
        options = {"objective": objective, "boost_from_average": False, "verbose": -1, "num_threads": 1}
        booster = lightgbm.train(options, lightgbm.Dataset(x, labels), 10)
        margins.append(booster.predict(x, raw_score=True))
    np.testing.assert_allclose(*margins, atol=1e-5)


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_tensors_of_torch_give_the_bits_of_arrays(name):
    torch = peer("torch")
    x = torch.tensor(np.random.default_rng(5).standard_normal((40, 50)) * 4).to(getattr(torch, name)).requires_grad_()
    target = torch.zeros(40, dtype=torch.int32)
    want = nll_fast.cross_entropy(x.detach().to(torch.float32).numpy(), target.numpy())
    assert nll_fast.cross_entropy(x, target) == want


ELEMENTS = [name for name, case in CASES.items() if not case.rows]


@pytest.mark.parametrize("name", ELEMENTS)
def test_one_bfloat16_tensor_without_an_axis_is_not_its_bits(name):
    torch = peer("torch")
    case = CASES[name]
    numbers = {key: float(x[1]) for key, x in case.draw("bfloat16", 4, reach=Reach(8, 2)).items()}
    mask = {"mask": bool(numbers.pop("mask"))} if "mask" in numbers else {}  # It stays a boolean.
    tensors = {key: torch.tensor(x, dtype=torch.bfloat16, requires_grad=True) for key, x in numbers.items()}
    exact = {key: x.detach().item() for key, x in tensors.items()}
    assert case.call(tensors | mask) == case.call(exact | mask)
    assert nll_fast.dpo_loss([0.0], [1.0], beta=next(iter(tensors.values())).abs() + 1) > 0  # without torch's warning
    assert nll_fast.softplus([*tensors.values()]).tolist() == nll_fast.softplus(np.float32([*exact.values()])).tolist()


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16"])
def test_tensors_of_a_class_from_elsewhere_and_lists_of_tensors_are_read_as_tensors(name):
    torch = peer("torch")
    image = type("Image", (torch.Tensor,), {"__module__": "monai.data"})
    dtype = getattr(torch, name)
    x = torch.tensor(np.random.default_rng(5).standard_normal((40, 50))).to(dtype)
    target = torch.arange(40)
    want = nll_fast.cross_entropy(x, target)
    for given in (x.as_subclass(image), x.clone().as_subclass(image).requires_grad_()):
        assert nll_fast.cross_entropy(given, target.as_subclass(image)) == want
        assert nll_fast.cross_entropy(list(given), list(target)) == want
        assert nll_fast.mse_loss(given, 0.0) == nll_fast.mse_loss(list(given), 0.0) == nll_fast.mse_loss(x, 0.0)
        soft = torch.eye(50, dtype=dtype)[:40]
        assert nll_fast.cross_entropy(list(given), soft) == pytest.approx(want, rel=1e-6)
    assert nll_fast.cross_entropy(x, target, mask=torch.ones(40, dtype=torch.int64)) == want


def test_lists_of_numbers_of_jax_are_read():
    jnp = peer("jax.numpy")
    want = nll_fast.softplus(np.float32([1, 3]))
    for dtype in (jnp.bfloat16, jnp.float32):
        assert nll_fast.softplus([jnp.asarray(1, dtype), jnp.asarray(3, dtype)]).tolist() == want.tolist()


def test_tensors_that_no_array_can_view_are_refused_in_a_sentence():
    torch = peer("torch")
    x = torch.zeros(2, 3)
    with pytest.raises(TypeError, match=r"logits is a tensor with the layout .*sparse.*logits.to_dense\(\)"):
        nll_fast.cross_entropy(x.to_sparse(), [0, 1])
    with pytest.raises(TypeError, match=r"logits is a tensor of torch.float8_e5m2.*logits.float\(\)"):
        nll_fast.cross_entropy(x.to(torch.float8_e5m2), [0, 1])
    with pytest.raises(ValueError, match="logits is on meta"):
        nll_fast.cross_entropy(x.to("meta"), [0, 1])


def test_gradients_are_those_of_autograd():
    torch = peer("torch")
    r = np.random.default_rng(7)
    x, y = torch.tensor(r.standard_normal(100), requires_grad=True), torch.tensor(r.random(100))
    loss = torch.nn.functional.binary_cross_entropy_with_logits(x, y, pos_weight=torch.tensor(2.5))
    loss.backward()
    value, gradient = nll_fast.binary_cross_entropy_with_logits(x, y, pos_weight=2.5, grad=True)
    assert value == pytest.approx(loss.item(), rel=1e-13)
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_grad_is_that_of_autograd(reduction):
    torch = peer("torch")
    x, target, weight = map(torch.tensor, CASES["cross_entropy_grad"].draw("float64", 40, 50, Reach(8, 4)).values())
    options = {"weight": weight, "label_smoothing": 0.1, "reduction": reduction}
    torch.nn.functional.cross_entropy(x.requires_grad_(), target, **options).backward()
    got = nll_fast.cross_entropy_grad(x, target, **options)
    np.testing.assert_allclose(got, x.grad.numpy(), rtol=1e-10, atol=1e-15)
