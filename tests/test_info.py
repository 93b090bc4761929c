"""nll-fast info: what is in files, and the command that scores them, which does."""

import json
import shlex
import struct
import tracemalloc

import numpy as np
import pytest
from nll_fast import cli

from .conftest import write_llama
from .test_files import write_safetensors


def info(*arguments):
    return cli.main(["info", *map(str, arguments)])


def described(capsys, *arguments):
    """The JSON of ``nll-fast info``; its text is printed without an error too."""
    assert info(*arguments, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert info(*arguments) == 0
    return result["files"], capsys.readouterr().out


@pytest.mark.parametrize("dtype", ["<f4", ">f8", "<f2"])
@pytest.mark.parametrize("order", "CF")
def test_an_array_is_described_and_the_command_scores_it(tmp_path, capsys, dtype, order):
    x = np.arange(2 * 3 * 8.0).reshape(2, 3, 8)
    np.save(tmp_path / "x.npy", np.asarray(x, dtype, order=order))
    np.save(tmp_path / "t.npy", np.zeros((2, 3), np.int32))
    (file, targets), text = described(capsys, tmp_path / "x.npy", tmp_path / "t.npy")
    (array,) = file["arrays"]
    assert (array["shape"], array["dtype"]) == ([2, 3, 8], np.dtype(dtype).name)
    assert array["byte_order"] == ("big-endian" if dtype[0] == ">" else "little-endian")
    assert array["order"] == ("C" if order == "C" else "Fortran") and array["bytes"] == 48 * np.dtype(dtype).itemsize
    assert array["first_rows"] == x.reshape(-1, 8)[:2, :6].tolist()
    assert file["bytes"] == (tmp_path / "x.npy").stat().st_size and file["format"] == ".npy"
    assert targets["arrays"][0]["use"] == "class indices of logits of shape (2, 3, CLASSES)"
    for word in ("(2, 3, 8)", "6 rows and 8 classes", "0, 1, 2, 3, 4, 5, … | 8, 9", array["command"]):
        assert word in text
    assert cli.main(shlex.split(array["command"])[1:]) == 0


def test_every_array_of_an_archive_and_of_tensors_is_described(tmp_path, capsys):
    x, t = np.ones((4, 3), np.float32), np.array([0, 1, 2, -100])
    np.savez(tmp_path / "all.npz", x=x, t=t, b=t > 0, none=x[:0], one=x[0, 0], text=np.array(["\x1b[2J"]))
    (file,), text = described(capsys, tmp_path / "all.npz")
    assert [array["name"] for array in file["arrays"]] == ["x", "t", "b", "none", "one", "text"]
    assert cli.main(shlex.split(file["arrays"][0]["command"])[1:]) == 0 and capsys.readouterr().out
    for array in file["arrays"][2:]:
        assert (array["command"] is None) == (array["name"] != "none")
    assert "booleans" in text or "holds bool" in text
    assert "\x1b" not in text and "\\x1b[2J" in text
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    header = {
        "x": {"dtype": "BF16", "shape": [4, 3], "data_offsets": [0, 24]},
        "new": {"dtype": "F4", "shape": [8], "data_offsets": [24, 28]},
    }
    write_safetensors(tmp_path / "x.safetensors", header, bits.tobytes() + bytes(4))
    (file,), text = described(capsys, tmp_path / "x.safetensors")
    assert (file["arrays"][0]["dtype"], file["arrays"][0]["first_rows"][0]) == ("bfloat16", [1, 1, 1])
    assert "F4" in file["arrays"][1]["why_not"] and "cannot be read" in text
    np.savez(tmp_path / "many.npz", **{f"a{k}": x for k in range(60)})
    (file,), text = described(capsys, tmp_path / "many.npz")
    assert (len(file["arrays"]), file["arrays_left_out"]) == (50, 10) and "and 10 more arrays" in text
    (file,), _ = described(capsys, f"{tmp_path / 'many.npz'}:a55")
    assert [array["name"] for array in file["arrays"]] == ["a55"]


def test_raw_bfloat16_is_named_with_its_option(tmp_path, capsys):
    np.save(tmp_path / "v.npy", np.zeros((2, 3), "V2"))
    np.save(tmp_path / "u.npy", np.zeros((2, 3), np.uint16))
    (raw, bits), _ = described(capsys, tmp_path / "v.npy", tmp_path / "u.npy")
    assert raw["arrays"][0]["command"].endswith("--dtype bfloat16")
    assert "the bits of bfloat16" in bits["arrays"][0]["use"]


def test_a_file_of_llama_is_described_without_its_rows_in_memory(tmp_path, capsys, llama):
    path, x, tokens = llama
    (file,), text = described(capsys, path)
    (array,) = file["arrays"]
    assert (file["format"], array["n_ctx"], array["n_vocab"], array["n_chunk"]) == ("llama.cpp logits", 12, 33, 3)
    assert array["first_tokens"] == tokens[0, :6].tolist()
    np.testing.assert_allclose(array["first_rows"], x[0, :2, :6], rtol=1e-5)
    assert "with their targets" in text and cli.main(shlex.split(array["command"])[1:]) == 0
    write_llama(tmp_path / "long.kld", np.zeros((2, 511, 1000)), np.zeros((2, 1024), int))
    capsys.readouterr()
    tracemalloc.start()
    try:
        assert info(tmp_path / "long.kld") == 0
        assert tracemalloc.get_traced_memory()[1] < 1 << 18
    finally:
        tracemalloc.stop()


def test_what_cannot_be_read_is_said_in_a_sentence(tmp_path, capsys):
    (tmp_path / "x.kld").write_bytes(b"_logp16_" + struct.pack("<3i", 4, 2, 1))
    (tmp_path / "x.npy").write_bytes(b"")
    (tmp_path / "x.npz").write_bytes(b"PK")
    (tmp_path / "notes.txt").write_text("hello")
    for name, words in (
        ("x.kld", "a fork of llama.cpp"),
        ("x.npy", "the file is empty"),
        ("x.npz", "damaged archive"),
        ("notes.txt", "its ending is none of"),
        ("absent.npy", "No such file"),
    ):
        assert info(tmp_path / name) == 2
        said = capsys.readouterr()
        assert words in said.err and said.err.count("\n") == 1 and not said.out
