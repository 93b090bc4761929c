"""Each recipe of ``docs/recipes.md`` gives what the document says.

A model that would come over the network, and libraries that are not installed, have small objects in their place with
the logits of ``examples/``. Where the libraries are installed the lines meet them too.
"""

import contextlib
import doctest
import importlib.util
import re
import shlex
import sys
from types import SimpleNamespace

import nll_fast
import numpy as np
import pytest
from nll_fast import cli

from .conftest import ROOT, write_llama
from .test_peers import peer

START, *RECIPES = re.split(r"^## ", (ROOT / "docs/recipes.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
RECIPES = {text.partition("\n")[0]: text for text in RECIPES}
TABLES = ["pandas", "polars", "pyarrow"]


def blocks(text):
    """Its examples of Python."""
    return re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def names_of(source, names):
    """Run its lines, and hold what they print to what the document says; the names that they leave."""
    test = doctest.DocTestParser().get_doctest(source, names, "docs/recipes.md", None, 0)
    assert test.examples
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=sys.stdout.write, clear_globs=False)
    assert not runner.failures
    return test.globs


@pytest.fixture
def start(monkeypatch, tmp_path, real_logits):
    """The names of the first lines, in a folder that looks like that of the repository."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    return names_of(START, {})


@pytest.fixture
def text_logits(start):
    """[1, 25, 49152]: a row for each token of the text; the last one predicts what comes after it."""
    return np.concatenate([start["logits"], np.zeros((1, 49152), np.float16)])[None]


@pytest.fixture
def transformers(start, text_logits, monkeypatch):
    """``transformers`` with the model and the tokenizer of the text, and torch if there is none."""
    as_tensor = np.asarray
    if importlib.util.find_spec("torch") is None:
        monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(inference_mode=contextlib.nullcontext))
    else:
        as_tensor = peer("torch").as_tensor

    def tokenizer(texts, return_tensors, padding):
        assert texts == ["".join(start["strings"])] and return_tensors == "pt" and padding
        tokens = np.array([start["ids"]])
        return {"input_ids": as_tensor(tokens), "attention_mask": as_tensor(np.ones_like(tokens))}

    def model(input_ids, attention_mask):
        return SimpleNamespace(logits=as_tensor(text_logits))

    loads = {"AutoModelForCausalLM": model, "AutoTokenizer": tokenizer}
    names = {name: SimpleNamespace(from_pretrained=lambda _, each=each: each) for name, each in loads.items()}
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(**names))


def test_transformers(start, transformers):
    (lines,) = blocks(RECIPES["Transformers or torch"])
    names = names_of(lines, start)
    np.testing.assert_array_equal(
        names["scores"].log_prob[0], nll_fast.token_log_probs(start["logits"], start["target"])
    )


def test_transformers_with_a_model_of_its_own(start, monkeypatch):
    """The lines give the loss that a model of the library computes with labels, padding left out of them."""
    torch, transformers = peer("torch"), peer("transformers")
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=100, **shape)).eval()
    tokens, mask = torch.randint(0, 100, (2, 9)), torch.ones(2, 9, dtype=torch.int64)
    mask[1, 6:] = 0
    batch = {"input_ids": tokens, "attention_mask": mask}
    for name, loaded in (("AutoModelForCausalLM", model), ("AutoTokenizer", lambda *_, **__: batch)):
        monkeypatch.setattr(getattr(transformers, name), "from_pretrained", lambda _, loaded=loaded: loaded)
    for example in doctest.DocTestParser().get_examples(blocks(RECIPES["Transformers or torch"])[0]):
        exec(example.source, start)
    labels = tokens.where(mask == 1, -100)
    loss = model(**batch, labels=labels).loss.item()
    assert start["scores"].summary()["nll"] == pytest.approx(loss, rel=1e-5)
    assert nll_fast.cross_entropy(start["output"].logits, labels, shift=1) == pytest.approx(loss, rel=1e-5)


def test_onnx_runtime(start, text_logits, monkeypatch):
    def session(path):
        assert path == "model.onnx"
        return SimpleNamespace(run=lambda outputs, inputs: [text_logits])

    monkeypatch.setitem(sys.modules, "onnxruntime", SimpleNamespace(InferenceSession=session))
    names_of(*blocks(RECIPES["ONNX Runtime"]), start)


def test_onnx_runtime_with_a_model_in_a_file(start, text_logits):
    peer("onnxruntime")
    onnx = peer("onnx")
    helper, numbers = onnx.helper, onnx.TensorProto
    inputs = [helper.make_tensor_value_info(n, numbers.INT64, [1, 25]) for n in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info("logits", numbers.FLOAT, [1, 25, 49152])]
    known = onnx.numpy_helper.from_array(text_logits.astype(np.float32), "known")
    graph = helper.make_graph([helper.make_node("Identity", ["known"], ["logits"])], "text", inputs, outputs, [known])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, "model.onnx")
    names_of(*blocks(RECIPES["ONNX Runtime"]), start)


@pytest.fixture
def llama(start, tmp_path):
    """base.kld and other.kld: one chunk each, whose second half is the text, and the logits rounded to 6 bits."""
    x = start["logits"].astype(np.float32)
    least, step = x.min(-1, keepdims=True), np.ptp(x, axis=-1, keepdims=True) / 63
    tokens = np.array([[0] * 25 + start["ids"]])
    for name, logits in (("base", x), ("other", least + step * np.round((x - least) / step))):
        write_llama(tmp_path / f"{name}.kld", nll_fast.log_softmax(logits.astype(np.float64))[None], tokens)


def test_llama(start, llama):
    names_of(*blocks(RECIPES["llama.cpp"]), start)


@pytest.mark.parametrize("number", range(2))
def test_commands_on_files_of_llama_print_what_the_document_shows(number, llama, capsys):
    """Up to a line of dots, where the document stops; but for the time."""
    found = re.findall(r"^```console\n\$ nll-fast (.+)\n([^`]*)^```$", RECIPES["llama.cpp"], re.MULTILINE)
    command, want = found[number]
    assert len(found) == 2 and cli.main(shlex.split(command)) == 0
    want, got = want.splitlines(), capsys.readouterr().out.splitlines()
    if want[-1] == "...":
        want = want[:-1]
        got = got[: len(want)]
    assert [x for x in got if not x.startswith("time")] == [x for x in want if not x.startswith("time")]


def test_prompt_log_probabilities_of_vllm(start):
    names = names_of(*blocks(RECIPES["Prompt log-probabilities under vLLM's names"]), start)
    found = names["prompt_logprobs"](start["scores"], names["decode"])
    x = start["logits"].astype(np.float64)
    log_p = x - np.log(np.exp(x).sum(-1, keepdims=True))
    assert found[0] is None and len(found) == 25
    for row, token, entries in zip(log_p, start["target"], found[1:], strict=True):
        likeliest = np.argsort(-row, kind="stable")[:2].tolist()
        assert set(entries) == {token, *likeliest}
        assert [entries[k]["rank"] for k in likeliest] == [1, 2]
        for k, entry in entries.items():
            assert entry["logprob"] == pytest.approx(row[k], abs=1e-5)
            assert k in likeliest or entry["rank"] == (row >= row[k]).sum()
        assert list(entries[token]) == ["logprob", "rank", "decoded_token"]


def test_log_likelihood_of_lm_evaluation_harness(start):
    names = names_of(*blocks(RECIPES["lm-evaluation-harness's loglikelihood"]), start)
    table = names["table"]
    log_p = table - np.log(np.exp(table).sum(-1, keepdims=True))
    rng = np.random.default_rng(1)
    requests = [tuple(rng.integers(0, 8, n).tolist() for n in rng.integers(1, 5, 2)) for _ in range(20)]
    requests.append(([1], [int(table[1].argmax())]))
    found = names["loglikelihood"](lambda tokens: table[tokens], requests)
    for (context, continuation), (total, greedy) in zip(requests, found, strict=True):
        before = [context[-1], *continuation[:-1]]
        assert total == pytest.approx(log_p[before, continuation].sum(), rel=1e-12)
        assert greedy == (log_p[before].argmax(-1) == continuation).all()
    assert {greedy for _, greedy in found} == {True, False}


def test_two_quantisations(start):
    source = blocks(RECIPES["Two quantisations of one model"])
    assert len(source) == 3
    names_of("\n".join(source), start)


def test_distillation(start):
    names = names_of(*blocks(RECIPES["A smaller model taught by a larger one"]), start)
    p, q = (np.exp(logits - np.logaddexp.reduce(logits, -1, keepdims=True)) for logits in
            (names["teacher"], names["x"] @ names["student"]))  # fmt: skip
    assert np.abs(names["x"].T @ (q - p)).max() / len(p) < 1e-2, "the student is not at its best"


@pytest.mark.parametrize("library", TABLES)
def test_a_table(library, start):
    found = blocks(RECIPES["A table"])
    peer(library)
    (lines,) = (block for block in found if f"import {library}\n" in block)
    assert len(found) == len(TABLES)
    names_of(lines, start)


def test_every_recipe_has_a_test():
    """Their titles as the tests above name them, so that a new recipe needs a test of its own."""
    source = (ROOT / "tests/test_recipes.py").read_text(encoding="utf-8")
    assert [title for title in RECIPES if f'RECIPES["{title}"]' not in source] == []
    assert len(RECIPES) == 8
