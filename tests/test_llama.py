"""Logits files of llama.cpp: what is read, what is refused, and the rows as an array."""

import errno
import struct
import tracemalloc

import nll_fast
import numpy as np
import pytest
from nll_fast import _files
from nll_fast._llama import CodedLogits
from nll_fast._options import shown

from .conftest import shared, write_llama
from .test_headers import refused


def test_a_file_holds_what_was_written(llama):
    path, x, tokens = llama
    got = nll_fast.read_llama_logits(path)
    assert got.logits.shape == (3, 5, 33) and got.logits.dtype == np.float32 and got.logits.size == 495
    np.testing.assert_array_equal(np.asarray(got.logits), x)
    decoded = got.logits.scale[..., None] * got.logits.codes.astype(np.float32) + got.logits.minimum[..., None]
    np.testing.assert_array_equal(decoded, x)
    np.testing.assert_array_equal(got.tokens, tokens)
    np.testing.assert_array_equal(got.target, tokens[:, 7:])  # row j of n_ctx 12 predicts token 6 + j + 1
    assert (got.tokens.dtype, got.target.dtype) == (np.int32, np.int64)


@pytest.mark.parametrize("n_ctx", range(1, 9))
@pytest.mark.parametrize("classes", [1, 2, 5])
def test_every_length_of_a_chunk_and_odd_numbers_of_classes_are_read(tmp_path, n_ctx, classes):
    rng = np.random.default_rng(n_ctx)
    rows = max(0, n_ctx - 1 - n_ctx // 2)
    x = rng.standard_normal((2, rows, classes)).astype(np.float32)
    tokens = rng.integers(0, classes, (2, n_ctx))
    want = write_llama(tmp_path / "x", x, tokens)
    got = nll_fast.read_llama_logits(tmp_path / "x")
    assert got.logits.shape == (2, rows, classes)
    np.testing.assert_array_equal(np.asarray(got.logits), want)
    for row in range(rows):
        np.testing.assert_array_equal(got.target[:, row], tokens[:, n_ctx // 2 + row + 1])


def test_functions_of_rows_take_the_logits_as_they_are_stored(llama):
    path, x, _ = llama
    logits, _, target = nll_fast.read_llama_logits(path)
    assert nll_fast.cross_entropy(logits, target) == nll_fast.cross_entropy(x, target)
    np.testing.assert_array_equal(nll_fast.logsumexp(logits[1]), nll_fast.logsumexp(x[1]))


def test_slices_are_views_of_rows_and_classes_remain_together(llama):
    logits, x = nll_fast.read_llama_logits(llama[0]).logits, llama[1]
    for index in (1, slice(1, None), (0, 2), (slice(None), slice(1, 4)), (..., 3), (-1, ..., slice(2)), ...):
        part = logits[index]
        want = x[(*index, slice(None))] if isinstance(index, tuple) and ... in index else x[index]
        assert isinstance(part, CodedLogits) and part.shape == want.shape
        np.testing.assert_array_equal(np.asarray(part), want)
        assert np.shares_memory(part.codes, logits.codes)
    everything = slice(None)
    for index in ((..., everything), (..., 3, everything), (everything, 3, everything), (1, 2, everything)):
        np.testing.assert_array_equal(np.asarray(logits[index]), x[index])
    assert len(logits) == 3 and "(3, 5, 33)" in repr(logits) and logits.ndim == 3
    for index in ((0, 0, 0), (..., 0, 0, 0), (0, 0, slice(5)), (..., 0, 0, slice(5))):
        with pytest.raises(IndexError, match=r"chooses rows, by at most 2 axes"):
            logits[index]
    np.testing.assert_array_equal(np.asarray(logits.reshape((15, 33))), x.reshape((15, 33)))
    with pytest.raises(ValueError, match="keep their last axis"):
        logits.reshape((33, 15))
    assert np.asarray(logits, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copy=False"):
        np.array(logits, copy=False)


def test_only_the_chunks_that_are_asked_for_are_in_memory(tmp_path):
    x, tokens = np.zeros((16, 15, 1000), np.float32), np.zeros((16, 32), int)
    write_llama(tmp_path / "x.kld", x, tokens)
    nll_fast.read_llama_logits(tmp_path / "x.kld", stop=1)
    tracemalloc.start()
    try:
        got = nll_fast.read_llama_logits(tmp_path / "x.kld", start=3, stop=5)
        assert tracemalloc.get_traced_memory()[1] < 2.5 * 15 * 2008
    finally:
        tracemalloc.stop()
    assert got.logits.shape == (2, 15, 1000) and got.tokens.shape == (2, 32) and got.target.shape == (2, 15)
    for start, stop in ((-1, 2), (2, 1), (0, 17)):
        with pytest.raises(ValueError, match=f"start is {start} and stop {stop}: the file has chunks 0 to 15"):
            nll_fast.read_llama_logits(tmp_path / "x.kld", start=start, stop=stop)


def test_rows_that_are_not_finite_are_decoded_to_what_is_not_finite(tmp_path):
    write_llama(tmp_path / "x.kld", np.zeros((1, 2, 4)), np.zeros((1, 6), int))
    data = bytearray((tmp_path / "x.kld").read_bytes())
    struct.pack_into("<f", data, 20 + 24, np.nan)
    struct.pack_into("<f", data, 20 + 24 + 16 + 4, -np.inf)
    (tmp_path / "x.kld").write_bytes(data)
    logits = np.asarray(nll_fast.read_llama_logits(tmp_path / "x.kld").logits)
    assert np.isnan(logits[0, 0]).all() and np.isneginf(logits[0, 1]).all()


def header(n_ctx=4, n_vocab=2, n_chunk=1, magic=b"_logits_", data=bytes(16 + 12)):
    return magic + struct.pack("<3I", *(number % 2**32 for number in (n_ctx, n_vocab, n_chunk))) + data


BAD = {
    "a fork": (header(magic=b"_logp16_"), "it begins with _logp16_, the logits of a fork"),
    "another fork": (header(magic=b"_logp16n"), "it begins with _logp16n, the logits of a fork"),
    "almost": (header(magic=b"_logitsx"), "it begins with b'_logitsx'"),
    "cut in its magic": (b"_logi", "ends within its header, 3 bytes too early"),
    "cut in its sizes": (header()[:15], "ends within its header, 5 bytes too early"),
    "cut in its tokens": (header()[:30], "and 48 in all, but the file has 30 (llama.cpp may have been stopped"),
    "cut in its rows": (header()[:-1], "28 bytes a chunk and 48 in all, but the file has 47 (llama.cpp may"),
    "more than it claims": (header() + b"\0", "48 in all, but the file has 49"),
    "no context": (header(0), "0 tokens and 2 classes, which must be positive"),
    "no classes": (header(n_vocab=0), "which must be positive"),
    "fewer than no classes": (header(n_vocab=-4), "-4 classes, which must be positive"),
    "fewer than no chunks": (header(n_chunk=-1), "-1 chunks"),
    "unsigned context": (header(2**32 - 4), "4294967292 tokens"),
    "all of them": (header(2**31 - 1, 2**31 - 1, 2**31 - 1), "beyond what memory can address"),
    "sizes whose product is 0 in 64 bits": (header(2**17, 2**31 - 4, 2**31 - 1), "beyond what memory can address"),
    "as many bytes as 32 bits lose": (header(4, 2, 1 + 2**30), "in all, but the file has 48"),
    "a token too large": (header(data=struct.pack("<4i", 0, 0, 0, 2) + bytes(12)), "token 2 for row 0 of chunk 0"),
    "a token below zero": (header(data=struct.pack("<4i", 0, 0, 0, -1) + bytes(12)), "token -1 for row 0 of chunk 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_header_of_llama_that_cannot_be_is_refused(tmp_path, name):
    data, words = BAD[name]
    path = tmp_path / "x.kld"
    path.write_bytes(data)
    with pytest.raises(ValueError) as caught:
        nll_fast.read_llama_logits(path)
    said = str(caught.value)
    assert type(caught.value) is ValueError and words in said and len(said) < 400 and said.isprintable()
    if "token" in name and "cut" not in name:  # of which the command has the sentence, once it reads targets
        assert said.startswith(f"cannot read {path}: ")
    else:
        assert said == refused(path).replace(str(path), f"the path {shown(str(path))}")


def test_a_file_that_is_not_there_is_a_file_not_found_error(tmp_path):
    for name in (str(tmp_path / "nope"), tmp_path / "nope"):
        with pytest.raises(FileNotFoundError, match=r"cannot read the path '.*nope': No such file") as caught:
            nll_fast.read_llama_logits(name)
        assert caught.value.errno == errno.ENOENT and caught.value.__cause__ is None
    with pytest.raises(ValueError, match="no regular file"):
        nll_fast.read_llama_logits(tmp_path)


def test_a_file_of_another_kind_is_refused_by_what_it_is(tmp_path, llama):
    np.save(tmp_path / "x.npy", np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"it is no file of llama\.cpp"):
        nll_fast.read_llama_logits(tmp_path / "x.npy")
    (tmp_path / "x.npy").write_bytes(llama[0].read_bytes())
    assert "does not begin as an .npy file does" in refused(tmp_path / "x.npy")
    assert "leave out :x" in refused(llama[0], "x")
    (tmp_path / "empty.kld").write_bytes(b"")
    assert "does not begin as llama.cpp's logits do" in refused(tmp_path / "empty.kld")


def test_a_file_that_shrinks_while_it_is_read_is_said_in_a_sentence(tmp_path):
    write_llama(tmp_path / "x.kld", np.zeros((4, 15, 1000)), np.zeros((4, 32), int))
    stored = _files.load(tmp_path / "x.kld")
    with (tmp_path / "x.kld").open("r+b") as file:
        file.truncate(600)
    for read in (lambda: stored.coded(0, 60), stored.whole):
        with pytest.raises(ValueError, match="it lost at least"):
            read()
    assert stored.tokens().shape == (4, 32)
    with (tmp_path / "x.kld").open("r+b") as file:
        file.truncate(30)
    with pytest.raises(ValueError, match=r"^cannot read [^:]*: it lost at least \d+ bytes while it was read$"):
        stored.targets()


def test_what_llama_cpp_wrote_gives_the_perplexity_that_it_printed():
    folder = shared("llamacpp")
    printed = (folder / "expected_statistics.txt").read_text()
    for name, label in (("base", "Mean PPL(base)"), ("other", "Mean PPL(Q)")):
        logits, _, target = nll_fast.read_llama_logits(folder / f"{name}.kld")
        assert logits.shape == (4, 25, 49152)
        picked = np.take_along_axis(np.asarray(logits), target[..., None], -1)
        line = next(line for line in printed.splitlines() if line.startswith(label))
        want = float(line.split(":")[1].split("±")[0])
        np.testing.assert_allclose(np.exp(-picked.mean(dtype=float)), want, rtol=2e-6)
        # The cut at 16 nats adds to the sum of each row, for which the functions of logits divide.
        np.testing.assert_allclose(nll_fast.perplexity(logits, target), want, rtol=2e-3)
