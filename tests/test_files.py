"""The files that nll-fast score reads and writes: formats, layouts, names, and what is refused."""

import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile

import nll_fast
import numpy as np
import pytest

from .conftest import run, score


def write_safetensors(path, header, data):
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_safetensors_and_npz(example, capsys):
    x, t, folder = example
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    entry = {"dtype": "BF16", "shape": [50, 300], "data_offsets": [0, bits.nbytes]}
    write_safetensors(folder / "x.safetensors", {"logits": entry}, bits.tobytes())
    np.savez(folder / "t.npz", a=t, b=t)
    assert score(folder / "x.safetensors", "--targets", f"{folder / 't.npz'}:b", "--json") == 0
    exact = (bits.astype(np.uint32) << 16).view(np.float32)
    assert json.loads(capsys.readouterr().out)["nll"] == nll_fast.cross_entropy(exact, t)


def test_bad_files(example, capsys):
    folder = example[2]
    (folder / "cut.npy").write_bytes((folder / "x.npy").read_bytes()[:1000])
    (folder / "cut.safetensors").write_bytes(b"\xff" * 20)
    np.save(folder / "pickle.npy", np.array([{}]), allow_pickle=True)
    np.save(folder / "ints.npy", np.zeros((50, 3), int))
    np.save(folder / "far.npy", np.full(50, 300))
    np.save(folder / "half.npy", np.full(50, 0.5))
    (folder / "notes.txt").write_text("hello")
    good = folder / "x.npy", folder / "t.npy"
    cases = [
        (folder / "cut.npy", good[1], "cut.npy"),
        (folder / "cut.safetensors", good[1], "header claims"),
        (folder / "pickle.npy", good[1], "pickle"),
        (folder / "ints.npy", good[1], "int64"),
        (folder / "absent.npy", good[1], "absent.npy"),
        (folder / "notes.txt", good[1], "ending"),
        (good[0], folder / "far.npy", "target 300 at row 0"),
        (good[0], good[0], "target has shape (50, 300)"),
        (good[0], folder / "half.npy", "is 0.5 at index (0,); class indices are whole numbers"),
    ]
    for logits, targets, words in cases:
        out = folder / "out.npy"
        assert score(logits, "--targets", targets, "--per-token", out) == 2
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.err.count("\n") == 1
        assert not captured.out
        assert not out.exists()


@pytest.mark.parametrize("dtype", ["f8", "f4", ">f4", "u2", ">i4"])
def test_targets_may_have_every_type_that_the_library_takes(example, capsys, dtype):
    x, t, folder = example
    np.save(folder / "t.npy", np.maximum(t, 0).astype(dtype))
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--json") == 0
    want = nll_fast.cross_entropy(x, np.maximum(t, 0).astype(dtype))
    assert json.loads(capsys.readouterr().out)["nll"] == want == nll_fast.cross_entropy(x, np.maximum(t, 0))


def test_files_without_an_array(example, capsys):
    _, _, folder = example
    for name, member in (("x.npz", "a.npy"), ("y.npz", "a.txt"), ("z.npy", "a.npy")):
        with zipfile.ZipFile(folder / name, "w") as archive:
            archive.writestr(member, "hello")
        for logits, targets in ((name, "t.npy"), ("x.npy", name)):
            assert score(folder / logits, "--targets", folder / targets) == 2
            assert capsys.readouterr().err.startswith(f"nll-fast: cannot read {folder / name}")


def test_a_folder_or_a_pipe_is_refused_and_not_waited_for(example, capsys):
    _, _, folder = example
    (folder / "folder.npy").mkdir()
    names = ["folder.npy"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "pipe.npy")
        names.append("pipe.npy")
    for name in names:
        assert score(folder / "x.npy", "--targets", folder / name) == 2
        assert "it is no regular file" in capsys.readouterr().err


def test_nothing_the_size_of_the_logits_is_allocated_in_any_order_and_layout(tmp_path, capsys):
    rng, shares = np.random.default_rng(2), {}
    for shape in ((2048,), (4, 512), (2, 32, 32), (2, 1, 4, 256)):
        logits, target = rng.standard_normal((*shape, 4096), np.float32), rng.integers(0, 4096, shape)
        want = nll_fast.cross_entropy(logits, target)
        np.save(tmp_path / "t.npy", target)
        for order in "CF":
            for dtype in ("<f4", ">f4"):
                np.save(tmp_path / "x.npy", np.asarray(logits, dtype, order=order))
                tracemalloc.start()
                assert score(tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--json") == 0
                shares[shape, order, dtype] = tracemalloc.get_traced_memory()[1] / logits.nbytes
                tracemalloc.stop()
                assert json.loads(capsys.readouterr().out)["nll"] == want
    assert not {name: share for name, share in shares.items() if share > 0.1}


def test_fortran_order_keeps_the_order_of_the_rows(tmp_path, capsys):
    rng = np.random.default_rng(3)
    x, t = rng.standard_normal((3, 5, 7, 11)), rng.integers(0, 11, (3, 5, 7))
    x[1, 2, 3, 4] = np.nan
    each = -nll_fast.cross_entropy(x, t, reduction="none").ravel()
    for logits, target in ((x, t), (np.asfortranarray(x), t), (np.asfortranarray(x), np.asfortranarray(t))):
        np.save(tmp_path / "x.npy", logits)
        np.save(tmp_path / "t.npy", target)
        where = tmp_path / "x.npy", "--targets", tmp_path / "t.npy", "--json"
        assert score(*where, "--per-token", tmp_path / "out.npy") == 0
        np.testing.assert_array_equal(np.load(tmp_path / "out.npy"), each)
        assert json.loads(capsys.readouterr().out)["first_nan"] == np.ravel_multi_index((1, 2, 3), t.shape)
        np.save(tmp_path / "t.npy", np.where(np.arange(t.size).reshape(t.shape) == 71, 11, target))
        assert score(*where) == 2 and "target 11 at row 71 is out of bounds" in capsys.readouterr().err


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u2"])  # the last: the bits of bfloat16
@pytest.mark.parametrize("integer", ["i8", "i4", "i2", "u8", "u4", "u2", "u1"])
def test_foreign_byte_order_is_read(tmp_path, capsys, dtype, integer):
    rng = np.random.default_rng(4)
    x, t = rng.standard_normal((2, 6, 90)).astype(np.float32), rng.integers(0, 90, (2, 6))
    if dtype == "u2":
        x = (x.view(np.uint32) >> 16).astype(np.uint16)
    bfloat16 = ["--dtype", "bfloat16"] if dtype == "u2" else []
    want = nll_fast.cross_entropy(nll_fast.as_bfloat16(x) if bfloat16 else x.astype(dtype), t, shift=1)
    foreign = x.astype(f">{dtype}"), t.astype(f">{integer}")
    np.save(tmp_path / "x.npy", foreign[0])
    np.save(tmp_path / "f.npy", np.asfortranarray(foreign[0]))
    np.save(tmp_path / "t.npy", foreign[1])
    np.savez(tmp_path / "all.npz", x=foreign[0], t=foreign[1])
    for logits, targets in (("x.npy", "t.npy"), ("f.npy", "t.npy"), ("all.npz:x", "all.npz:t")):
        where = tmp_path / logits, "--targets", tmp_path / targets, "--shift", 1, "--json"
        assert score(*where, *bfloat16) == 0, capsys.readouterr().err
        assert json.loads(capsys.readouterr().out)["nll"] == want


def write_odd_npy(path, array):
    """NumPy pads the header so that the data are aligned. Other writers need not; here they start at an odd byte."""
    header = f"{{'descr': '{array.dtype.str}', 'fortran_order': False, 'shape': {array.shape}}}".encode()
    header += b" " * (len(header) % 2) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + array.tobytes())


def test_data_that_is_not_aligned_is_read(tmp_path, capsys):
    rng = np.random.default_rng(5)
    x, t = rng.standard_normal((40, 300), np.float32), rng.integers(0, 300, 40)
    np.save(tmp_path / "t.npy", t)
    bits = (x.view(np.uint32) >> 16).astype(np.uint16)
    entry = {"dtype": "F32", "shape": [40, 300], "data_offsets": [0, x.nbytes]}
    text = json.dumps({"x": entry}).encode()
    text += b" " * (-len(text) % 4 + 1)
    (tmp_path / "odd.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + x.tobytes())
    before = {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}
    after = {"dtype": "F32", "shape": [40, 300], "data_offsets": [2, 2 + x.nbytes]}
    header = {"before": before, "x": after}
    write_safetensors(tmp_path / "after.safetensors", header, b"??" + x.tobytes())
    before = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    after = {"dtype": "BF16", "shape": [40, 300], "data_offsets": [1, 1 + bits.nbytes]}
    write_safetensors(tmp_path / "bits.safetensors", {"before": before, "x": after}, b"?" + bits.tobytes())
    write_odd_npy(tmp_path / "odd.npy", x)
    write_odd_npy(tmp_path / "odd_t.npy", t)
    assert np.load(tmp_path / "odd.npy", mmap_mode="r").flags.aligned is False
    want = nll_fast.cross_entropy(x, t)
    rounded = nll_fast.cross_entropy(nll_fast.as_bfloat16(bits), t)
    for logits, targets, mean in (
        ("odd.safetensors", "t.npy", want),
        ("after.safetensors:x", "t.npy", want),
        ("bits.safetensors:x", "t.npy", rounded),
        ("odd.npy", "odd_t.npy", want),
    ):
        assert score(tmp_path / logits, "--targets", tmp_path / targets, "--json") == 0, capsys.readouterr().err
        assert json.loads(capsys.readouterr().out)["nll"] == mean


def test_endings_may_be_upper_case(example, capsys):
    x, t, folder = example
    (folder / "x.npy").rename(folder / "X.NPY")
    with (folder / "T.NPZ").open("wb") as file:
        np.savez(file, t=t)
    entry = {"dtype": "F32", "shape": [50, 300], "data_offsets": [0, x.nbytes]}
    write_safetensors(folder / "X.SafeTensors", {"x": entry}, x.tobytes())
    out = folder / "OUT.NPY"
    for logits in ("X.NPY", "X.SafeTensors"):
        assert score(folder / logits, "--targets", folder / "T.NPZ", "--json", "--per-token", out) == 0
        assert json.loads(capsys.readouterr().out)["nll"] == nll_fast.cross_entropy(x, t)
        assert len(np.load(out)) == 50


def test_names_with_colons(example, monkeypatch, capsys):
    x, t, folder = example
    monkeypatch.chdir(folder)
    os.mkdir("d")
    for absent in ("c:d.npy", "absent.npz:a", "d:x.npy", "C:\\logits.npy", "x.npy/y:z.npy"):
        assert score(absent, "--targets", "t.npy") == 2
        said = capsys.readouterr().err
        assert said.startswith(f"nll-fast: cannot read {absent}: No")  # such file or directory; or: Not a directory
    if os.name == "nt":
        pytest.skip("this system has no file names with colons")
    np.save("c:d.npy", x)
    np.savez("e:f.npz", **{"t": t, "a:b": x, "t:t": x})
    want = nll_fast.cross_entropy(x, t)
    for logits in ("c:d.npy", "e:f.npz:a:b", "./c:d.npy", str(folder / "e:f.npz:t:t")):
        assert score(logits, "--targets", "e:f.npz:t", "--json") == 0, capsys.readouterr().err
        assert json.loads(capsys.readouterr().out)["nll"] == want
    assert score("c:d.npy", "--targets", "t.npy", "--per-token", "c:d.npy") == 2
    assert "would overwrite the input c:d.npy" in capsys.readouterr().err


def test_what_holds_no_rows_is_said_in_a_sentence(example, capsys):
    _, _, folder = example
    for name in ("e.npy", "e.npz", "e.safetensors"):
        (folder / name).write_bytes(b"")
    (folder / "folder").mkdir()
    np.save(folder / "x0.npy", np.zeros((3, 0, 5)))
    np.save(folder / "t0.npy", np.zeros((3, 0), int))
    good = folder / "x.npy", folder / "t.npy"
    cases = [(folder / name, good[1], "the file is empty") for name in ("e.npy", "e.npz", "e.safetensors")]
    cases += [(good[0], logits, words) for logits, _, words in cases]
    cases += [
        (folder / "folder", good[1], "it is no regular file"),
        (f"{folder}/folder/", good[1], "a folder in which no file is .npy"),
        (f"{folder}/", good[1], "e.npy: the file is empty"),
        (f"{good[0]}/", good[1], "Not a directory" if os.name == "posix" else "cannot read"),
        ("", good[1], "No such file"),
        (folder / "x0.npy", folder / "t0.npy", "no tokens to score: there are no rows"),
    ]
    for logits, targets, words in cases:
        assert score(logits, "--targets", targets) == 2
        captured = capsys.readouterr()
        assert words in captured.err and captured.err.count("\n") == 1 and not captured.out


def test_headers_that_claim_too_much_are_refused(example):
    """In a process of its own: NumPy divides by the size of an item."""
    _, _, folder = example
    for number, (version, size) in enumerate(((b"\x01\x00", "<H"), (b"\x02\x00", "<I"), (b"\x03\x00", "<I"))):
        for dtype in ("'<U0'", "'|V0'", "[]"):
            header = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': (-1,)}}\n".encode()
            path = folder / f"d{number}.npy"
            path.write_bytes(b"\x93NUMPY" + version + struct.pack(size, len(header)) + header + bytes(48))
            shown = run("score", path, "--targets", folder / "t.npy")
            assert shown.returncode == 2 and f"cannot read {path}: its header claims" in shown.stderr
    with (folder / "h.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", 1 << 27))
        file.truncate(1 << 28)
    shown = run("score", folder / "h.safetensors", "--targets", folder / "t.npy")
    assert shown.returncode == 2 and "the format allows 100000000" in shown.stderr


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere, and permissions are others")
def test_an_output_that_cannot_be_written_is_said_before_scoring(example, monkeypatch, capsys):
    _, _, folder = example
    good = folder / "x.npy", "--targets", folder / "t.npy", "--per-token"
    os.symlink("loop.npy", folder / "loop.npy")
    (folder / "folder.npy").mkdir()
    monkeypatch.setattr(nll_fast, "cross_entropy", lambda *arguments, **options: pytest.fail("it was scored"))
    for name in ("loop.npy", "folder.npy", "absent/out.npy", "x" * 300 + ".npy", "x.npy/out.npy"):
        assert score(*good, folder / name) == 2
        captured = capsys.readouterr().err
        assert captured.startswith(f"nll-fast: cannot write {folder / name}: ") and captured.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="permissions are others elsewhere")
def test_an_output_replaces_a_file_with_its_permissions_and_may_have_a_long_name(example, capsys):
    _, _, folder = example
    out = folder / ("é" * 120 + ".npy")
    out.write_bytes(b"")
    out.chmod(0o600)
    assert score(folder / "x.npy", "--targets", folder / "t.npy", "--per-token", out) == 0
    assert len(np.load(out)) == 50 and out.stat().st_mode & 0o777 == 0o600
    assert not list(folder.glob(".*"))


def test_importing_the_package_does_not_import_what_reads_files():
    script = "import sys, numpy, nll_fast; print('nll_fast._files' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
