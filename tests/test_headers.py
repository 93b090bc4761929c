"""What headers of .npy, .npz and .safetensors may claim, and the sentence for each claim that cannot be."""

import json
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest
from nll_fast import _files


def refused(path, name=None):
    """The sentence with which a file is refused, by its header or when it is read."""
    with pytest.raises(ValueError) as caught:
        _files.load(path, name).whole()
    said = str(caught.value)
    assert type(caught.value) is ValueError and said.startswith(f"cannot read {path}: ")
    assert len(said) - len(str(path)) < 300 and said.isprintable()
    return said


def npy(header, data=b"", version=1, length=None):
    header = header.encode() if isinstance(header, str) else header
    size = struct.pack("<H" if version == 1 else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def claim(descr="'<f4'", order="False", shape="(2, 3)"):
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n"


FOLLOWED = bytes(24)
BAD_NPY = {
    "not a .npy": (b"PK\x03\x04" * 9, "does not begin"),
    "cut in its magic": (b"\x93NUM", "ends within its header"),
    "version 4": (npy(claim(), FOLLOWED, version=4), "version 4.0"),
    "cut header": (npy(claim(), length=60000), "its header claims 60000 bytes, but the file has"),
    "cut data": (npy(claim(), bytes(23)), "takes 24 bytes, but 23 follow it"),
    "long header": (npy(claim() + " " * 60000, FOLLOWED), "NumPy reads no more than 10000"),
    "negative": (npy(claim(shape="(-1,)"), FOLLOWED), "shape (-1,) and dtype float32, with a negative length"),
    "twice negative": (npy(claim(shape="(-2, -3)"), FOLLOWED), "a negative length"),
    "no size": (npy(claim("'<U0'"), FOLLOWED), "whose items have no bytes"),
    "wide items": (npy(claim("'<U999999999'"), FOLLOWED), ("no bytes", "none of NumPy's numbers", "24 follow it")),
    "overflow": (npy(claim(shape=f"({2**32}, {2**32})"), FOLLOWED), "beyond what memory can address"),
    "overflow to 0": (npy(claim(shape=f"({2**62}, 4, 0)"), b""), "beyond what memory can address"),
    "digits": (npy(claim(shape=f"({'9' * 5000},)"), FOLLOWED), "a tuple of lengths"),
    "axes": (npy(claim(shape=f"({'1, ' * 65})"), FOLLOWED), "65 axes"),
    "number": (npy(claim(shape="(6)"), FOLLOWED), "a tuple is (6,)"),
    "boolean": (npy(claim(shape="(True, 6)"), FOLLOWED), "a tuple of lengths"),
    "list": (npy(claim(shape="[2, 3]"), FOLLOWED), "a tuple of lengths"),
    "records": (npy(claim("[('x', '<f4')]"), FOLLOWED), "the name of one dtype"),
    "subarray": (npy(claim("'3f4'"), FOLLOWED), "none of NumPy's numbers"),
    "objects": (npy(claim("'|O'"), FOLLOWED), "pickled"),
    "strings": (npy(claim("'T'"), FOLLOWED), ("pickled", "none of NumPy's numbers")),  # by the version of NumPy
    "long dtype": (npy(claim(f"'{'f' * 9000}'"), FOLLOWED), "none of NumPy's numbers"),
    "order": (npy(claim(order="1"), FOLLOWED), "True or False"),
    "code": (npy(claim(shape="(print(1),)"), FOLLOWED), "a tuple of lengths"),
    "nested": (npy("(" * 9999, FOLLOWED), "not a dictionary"),
    "signs": (npy("-" * 9999 + "1", FOLLOWED), "not a dictionary"),
    "twice": (npy(claim().replace("'descr'", "'shape'"), FOLLOWED), "its header claims"),
    "two shapes": (npy(claim().replace("}", "'shape': (6,)}"), FOLLOWED), "names it twice"),
    "extra": (npy(claim().replace("}", "'more': 1}"), FOLLOWED), "may not have it"),
    "missing": (npy("{'descr': '<f4', 'shape': (2, 3)}", FOLLOWED), "not a dictionary"),
    "more text": (npy(claim() + "x", FOLLOWED), "not a dictionary"),
    "NUL": (npy("\0" * 90, FOLLOWED), "not a dictionary"),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_a_header_of_npy_that_cannot_be_is_refused(tmp_path, name):
    data, words = BAD_NPY[name]
    path = tmp_path / "x.npy"
    path.write_bytes(data)
    said = refused(path)
    assert any(each in said for each in ((words,) if isinstance(words, str) else words)), said


@pytest.mark.parametrize("version", [1, 2, 3])
@pytest.mark.parametrize(
    "header",
    [
        claim(),
        claim(shape="(2L, 3L)"),  # Python 2
        claim().replace("'", '"'),
        "{'shape':(2,3),'fortran_order':False,'descr':'<f4'}",
        "{u'shape': ( 2 , 3 , ), u'descr': u'float32', 'fortran_order': False}" + " " * 900 + "\n",
    ],
)
def test_every_way_to_write_a_header_of_npy_is_read(tmp_path, header, version):
    path, x = tmp_path / "x.npy", np.arange(6, dtype=np.float32).reshape(2, 3)
    path.write_bytes(npy(header, x.tobytes() + b"what follows is not of the array", version))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(_files.load(path).whole(), x)


@pytest.mark.parametrize(
    "dtype", ["?", "b", "B", "<i2", ">u4", "<i8", "e", ">f4", "d", "F", ">c16", "S3", "<U2", "V2", "M8[ns]"]
)
@pytest.mark.parametrize("shape", [(), (0,), (7,), (3, 4), (2, 3, 4), (2, 0, 4), (1, 5, 1)])
def test_what_numpy_saves_is_what_is_read(tmp_path, dtype, shape):
    x = np.frombuffer(np.random.default_rng(0).bytes(400), np.uint8)
    x = x[: int(np.prod(shape)) * np.dtype(dtype).itemsize].copy()
    x = (x % 2 if dtype == "?" else x % 100 if dtype == "<U2" else x).view(dtype).reshape(shape)
    if dtype == "<U2":
        x = np.full(shape, "é!")
    for array in (x, np.asfortranarray(x)):
        np.save(tmp_path / "x.npy", array)
        np.savez(tmp_path / "x.npz", array)
        np.savez_compressed(tmp_path / "y.npz", a=array, b=array)
        for path, name in (("x.npy", None), ("x.npz", None), ("y.npz", "b")):
            stored = _files.load(tmp_path / path, name)
            got = stored.whole()
            assert (got.dtype, got.shape, stored.dtype_name) == (array.dtype, array.shape, array.dtype.name)
            assert got.tobytes() == array.tobytes()


def archive(path, members, method=zipfile.ZIP_DEFLATED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as file:
        warnings.simplefilter("ignore")  # of a name that is there already
        for name, data in members:
            file.writestr(name, data)


def test_a_member_of_npz_takes_the_memory_that_its_header_claims(tmp_path):
    path, bomb = tmp_path / "x.npz", bytes(1 << 24)
    archive(path, [("bomb.npy", npy(claim(), bomb)), ("short.npy", npy(claim(shape=f"({1 << 23},)"), bomb))])
    tracemalloc.start()
    try:
        assert _files.load(path, "bomb").whole().nbytes == 24  # what follows the array is not unpacked
        said = refused(path, "short")
        assert tracemalloc.get_traced_memory()[1] < 1 << 22
    finally:
        tracemalloc.stop()
    assert f"takes {1 << 25} bytes, but {1 << 24} follow it" in said


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_an_archive_is_unpacked_into_the_memory_of_its_array_and_no_more(tmp_path, save):
    x = np.arange(1 << 20)
    save(tmp_path / "x.npz", x)
    tracemalloc.start()
    try:
        stored, part = _files.load(tmp_path / "x.npz"), bytearray(80)
        assert tracemalloc.get_traced_memory()[1] < x.nbytes / 8  # nothing is unpacked before it is read
        stored.fill(memoryview(part), 800)
        assert tracemalloc.get_traced_memory()[1] < 1.5 * x.nbytes
    finally:
        tracemalloc.stop()
    assert np.frombuffer(part, int).tolist() == [*range(100, 110)]
    np.testing.assert_array_equal(stored.whole(), x)


def test_an_archive_that_cannot_be_is_refused(tmp_path):
    path, good = tmp_path / "x.npz", npy(claim(), bytes(range(24)))
    archive(path, [("a.npy", good), ("a.npy", good)])
    assert "two arrays of the name 'a'" in refused(path)
    archive(path, [("a.npy", good), ("a", good)])
    assert "two arrays of the name 'a'" in refused(path, "a")
    archive(path, [("a\nb.npy", good), ("c" * 5000, good), *((f"{k}.npy", good) for k in range(500))])
    assert (
        "it holds a\\nb, ccc" in refused(path)
        and " more: name one of them, as x.npz:NAME" in refused(path)
        and "there is no 'é\\n'" in refused(path, "é\n")
    )
    archive(path, [(f"{k}.npy", good) for k in range(500)])
    for name in (None, "n" * 5000):
        assert refused(path, name).endswith(" more: name one of them, as x.npz:NAME")
    archive(path, [("a.npy", good)], zipfile.ZIP_BZIP2)
    assert "packed by method 12" in refused(path)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        archive(path, [("a.npy", good)], method)
        data = path.read_bytes()
        directory = data.rindex(b"PK\x01\x02")
        for field, size, value, words in (
            (8, "<H", 1, "is encrypted"),
            (24, "<I", 2**31, f"claims to be {2**31} bytes"),
            (20, "<I", 2**31, "packed bytes in"),
            (16, "<I", 5, "CRC"),
        ):
            changed = bytearray(data)
            struct.pack_into(size, changed, directory + field, value)
            path.write_bytes(changed)
            assert words in refused(path)
    path.write_bytes(data[:-30])
    assert "it is a damaged archive, or none" in refused(path)


def write_tensors(path, header, data):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def tensor(dtype="F32", shape=(2, 3), offsets=(0, 24), **more):
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets, **more}


def twice(first, second):
    return f'{{"x": {json.dumps(first)}, "x": {json.dumps(second)}}}'.encode()


BAD_TENSORS = {
    "twice": (twice(tensor(), tensor(offsets=(24, 48))), 48, "two entries of the name 'x'"),
    "field twice": (b'{"x":{"dtype":"F32","shape":[6],"shape":[6],"data_offsets":[0,24]}}', 24, "name 'shape'"),
    "overlap": ({"x": tensor(), "y": tensor(offsets=(20, 44))}, 44, "'y' begins at byte 20 instead of 24"),
    "same bytes": ({"x": tensor(), "y": tensor()}, 24, "overlaps"),
    "gap": ({"x": tensor(), "y": tensor(offsets=(25, 49))}, 49, "leaves a gap"),
    "gap at first": ({"x": tensor(offsets=(1, 25))}, 25, "leaves a gap"),
    "more at the end": ({"x": tensor()}, 25, "take 24 bytes, but 25 follow"),
    "cut": ({"x": tensor()}, 23, "take 24 bytes, but 23 follow"),
    "booleans": ({"x": tensor(shape=(True, 6))}, 24, "the shape of 'x' must be a list of whole numbers"),
    "offsets boolean": ({"x": tensor(offsets=(False, 24))}, 24, "the data_offsets of 'x'"),
    "fraction": ({"x": tensor(shape=(2.0, 3))}, 24, "whole numbers"),
    "negative": ({"x": tensor(shape=(-2, -3))}, 24, "whole numbers"),
    "huge": ({"x": tensor(shape=(2**63, 0), offsets=(0, 0))}, 0, "whole numbers"),
    "digits": (b'{"x":{"dtype":"F32","shape":[' + b"9" * 50000 + b'],"data_offsets":[0,24]}}', 24, "whole numbers"),
    "beyond memory": ({"x": tensor(shape=(2**62, 2, 0), offsets=(0, 0))}, 0, "beyond what memory can address"),
    "axes": ({"x": tensor(shape=(1,) * 99)}, 24, "99 axes"),
    "no list": ({"x": tensor(shape=6)}, 24, "must be a list"),
    "three": ({"x": tensor(offsets=(0, 24, 48))}, 24, "must be two"),
    "backwards": ({"x": tensor(offsets=(24, 0))}, 24, "must be two"),
    "size": ({"x": tensor(shape=(5,))}, 24, "does not match its 24 bytes"),
    "other's size": ({"x": tensor(), "y": tensor(shape=(5,), offsets=(24, 48))}, 48, "which 'y' claims"),
    "dtype": ({"x": tensor("F8_E4M3", (24,))}, 24, "none of F64"),
    "dtype no text": ({"x": tensor(["F32"])}, 24, "the dtype of 'x' must be a text"),
    "no field": ({"x": {}}, 24, "the dtype of 'x' must be a text"),
    "no object": ({"x": [1, 2]}, 24, "says nothing"),
    "metadata": ({"__metadata__": {"a": 1}, "x": tensor()}, 24, "__metadata__"),
    "metadata list": ({"__metadata__": [], "x": tensor()}, 24, "__metadata__"),
    "list": ([tensor()], 24, "must be a JSON object"),
    "no JSON": (b"{", 0, "not JSON at character 1"),
    "bytes": (b'{"\xff": 1}', 0, "not UTF-8 at byte 2"),
    "UTF-16": ('{"x": 1}'.encode("utf-16-le"), 0, "not JSON"),
    "nested": (b"[" * 100_000, 0, "nested far deeper"),
    "nested objects": (b'{"x":' * 100_000, 0, "nested far deeper"),
    "names": ({"\n" * 5000: tensor(), "y": tensor(offsets=(24, 48))}, 48, "name one of them"),
    "no tensors": ({}, 0, "it holds no arrays"),
}


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_header_of_safetensors_that_cannot_be_is_refused(tmp_path, name):
    header, size, words = BAD_TENSORS[name]
    path = tmp_path / "x.safetensors"
    write_tensors(path, header, bytes(size))
    assert words in refused(path)


def test_a_header_of_safetensors_may_have_what_others_write(tmp_path):
    path = tmp_path / "x.safetensors"
    header = {
        "__metadata__": {"format": "pt"},
        "x": tensor("I64", (2, 1), (4, 20), more=[1]),
        "none": tensor("F32", (0, 5), (4, 4)),
        "new": tensor("F4", (8,), (0, 4)),  # a dtype of less than a byte, which nothing here reads
    }
    write_tensors(path, json.dumps(header).encode() + b"   ", struct.pack("<4sqq", b"????", 7, -1))
    np.testing.assert_array_equal(_files.load(path, "x").whole(), [[7], [-1]])
    assert _files.load(path, "none").whole().shape == (0, 5)
