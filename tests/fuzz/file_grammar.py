"""Files that are almost .npy, .npz, .safetensors or llama.cpp's: of what these allow, and of what nobody expects."""

import json
import random
import struct
import zlib

NUMBERS = (0, 1, 2, 3, 5, 8, 24, 255, 2**16, 2**31 - 1, 2**31, 2**32, 2**61, 2**62, 2**63 - 1, 2**63, 2**64, 10**30)
DTYPES = (
    "<f4", "<f8", "<f2", ">f4", "<i8", ">i2", "|u1", "|b1", "<u2", "|V2", "f", "d", "float32", "int8", "=f4",
    "<U0", "|S0", "|V0", "<U3", "|S5", "|O", "T", "M8[ns]", "m8[7D]", "M8[" + "9" * 30 + "s]", "<c8", "<f3",
    "f16", "a5", "3f4", "f4,f4", "(2,3)f4", "(-1,)f4", "bfloat16", "", " ", "é", "\n", "f4\0", "<V999999999",
    "<U999999999", "x" * 300,
)  # fmt: skip
NAMES = ("x", "y", "a.npy", "", "\n", "é", "\ud800", "../x", "/", "x\0y", "logits", "__metadata__", "n" * 400, "x")


def number(draw: random.Random) -> int:
    """A length: mostly small, now and then one on which arithmetic breaks."""
    return draw.randrange(7) if draw.random() < 0.9 else draw.choice(NUMBERS) * draw.choice((1, 1, 1, -1))


def shape(draw: random.Random) -> list[int]:
    axes = draw.randrange(4) if draw.random() < 0.97 else draw.choice((31, 32, 33, 64, 65, 500))
    return [number(draw) if axes < 9 else 1 for _ in range(axes)]


def count(lengths: list[int]) -> int:
    """The number of elements, where it is one that can be written."""
    product = 1
    for length in lengths:
        product *= length
    return min(max(product, 0), 4000)


def npy(draw: random.Random) -> bytes:
    lengths, descr = shape(draw), draw.choice(DTYPES[:11]) if draw.random() < 0.8 else draw.choice(DTYPES)
    values = {
        "descr": repr(descr)
        if draw.random() < 0.97
        else draw.choice(("[]", "[('a', '<f4')]", "('<f4', (2,))", "b'<f4'")),
        "fortran_order": draw.choice(("True", "False")) if draw.random() < 0.97 else draw.choice(("0", "None", "'no'")),
        "shape": _tuple(draw, lengths),
    }
    entries = [f"{_quoted(draw, key)}: {value}" for key, value in values.items()]
    if draw.random() < 0.1:
        draw.shuffle(entries)
    if draw.random() < 0.05:
        change = draw.choice((entries.pop, lambda: entries.append(entries[0]), lambda: entries.append("'more': ()")))
        change()
    header = (
        "{" + ", ".join(entries) + draw.choice((", }", "}", ",}", "}}", ",,}", "")[: 6 if draw.random() < 0.1 else 2])
    )
    if draw.random() < 0.01:
        header = draw.choice(
            ("(" * 9000, "-" * 9000 + "1", "{" * 5000, "[" * 99, "0x" + "f" * 9000, "'" + "\\x" * 99, "#")
        )
    header += " " * draw.choice((0, 1, 7, 40, 40, 40, 11_000 if draw.random() < 0.02 else 3)) + "\n"
    version = draw.choice((1, 1, 1, 2, 3)) if draw.random() < 0.98 else draw.randrange(256)
    text = header.encode("utf-8", "surrogatepass")
    length = len(text) if draw.random() < 0.97 else draw.choice((0, 1, 9, 60_000, 10_001))
    size = draw.choice((1, 2, 4, 8, 8, 16)) * count(lengths) + draw.choice((0, 0, 0, 1, -1, 8))
    return (
        (b"\x93NUMPY" + bytes([version, draw.random() > 0.99]))
        + (length.to_bytes(2, "little") if version == 1 else length.to_bytes(4, "little"))
        + text
        + draw.randbytes(max(size, 0))
    )


def _quoted(draw: random.Random, key: str) -> str:
    return draw.choice(("'{}'", "'{}'", "'{}'", '"{}"', "u'{}'")).format(key)


def _tuple(draw: random.Random, lengths: list[int]) -> str:
    words = [str(length) + ("L" if draw.random() < 0.02 else "") for length in lengths]
    if words and draw.random() < 0.03:
        words[0] = draw.choice(("True", "2.0", "-1", "1_0", "0x2", "+3", "'3'", "()", "9" * 5000, "٣", "1e3", "", "03"))
    text = ", ".join(words) + ("," if len(words) == 1 and draw.random() < 0.97 else "")
    return f"({text})" if draw.random() < 0.98 else f"[{text}]"


def npz(draw: random.Random) -> bytes:
    """An archive, whose two directories may contradict each other and the data."""
    local, central = b"", b""
    for name in draw.choices(NAMES, k=draw.randrange(4) if draw.random() < 0.1 else 1):
        data = npy(draw) if draw.random() < 0.95 else draw.randbytes(50)
        name = name + ".npy" * (draw.random() < 0.9)
        method = draw.choice((0, 8)) if draw.random() < 0.97 else draw.choice((1, 9, 12, 14, 93, 99))
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        packed = data if method == 0 else packer.compress(data) + packer.flush()
        fields = [method, 0, 33, zlib.crc32(data), len(packed), len(data)]
        if draw.random() < 0.15:
            fields[draw.randrange(6)] = draw.choice((0, 1, 8, (len(data) + 1) % 2**16, 0xFFFF, 0x7FFF, 20_000))
        if draw.random() < 0.05:
            fields[draw.randrange(3, 6)] = draw.choice((2**31 - 1, 2**31, 2**32 - 1, 2**32 - 2))
        called, flags = name.encode("utf-8", "surrogatepass"), 0x800 if draw.random() < 0.98 else draw.randrange(2**16)
        offset = len(local) if draw.random() < 0.98 else draw.choice((0, 5, 2**32 - 1, 10**6))
        extra = (
            b"" if draw.random() < 0.95 else struct.pack("<HHQQQ", 1, 24, *(draw.choice(NUMBERS[:16]) for _ in "abc"))
        )
        local += (
            struct.pack("<4s5H3I2H", b"PK\x03\x04", 20, flags, *fields, len(called), len(extra))
            + called
            + extra
            + packed
        )
        central += struct.pack(
            "<4s6H3I5H2I", b"PK\x01\x02", 20, 20, flags, *fields, len(called), len(extra), 0, 0, 0, 0, offset
        ) + called + extra  # fmt: skip
    members = central.count(b"PK\x01\x02") if draw.random() < 0.98 else draw.randrange(2**16)
    begin, size = len(local), len(central)
    if draw.random() < 0.03:
        begin, size = draw.choice(((0, size), (begin, 0), (size, begin), (2**32 - 1, 2**32 - 1)))
    comment = draw.randbytes(draw.choice((1, 30))) if draw.random() < 0.03 else b""
    return (
        local
        + central
        + struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, members, members, size, begin, len(comment))
        + comment
    )


def safetensors(draw: random.Random) -> bytes:
    """Tensors beside each other, of which some claim what cannot be."""
    entries, reached = [], 0
    for name in draw.choices(NAMES[:-2] if draw.random() < 0.1 else NAMES[:2], k=draw.choice((1, 1, 1, 2, 3))):
        dtype, lengths = draw.choice(("F32", "F64", "BF16", "F16", "I64", "U8", "I8", "F4", "BOOL", "X")), shape(draw)
        item = {"F32": 4, "F64": 8, "BF16": 2, "F16": 2, "I64": 8}.get(dtype, 1)
        size = item * count(lengths)
        begin = max(0, reached + draw.choice((0,) * 12 + (1, -1, -size)))
        reached = end = begin + size
        entry = {"dtype": dtype, "shape": lengths, "data_offsets": [begin, end]}
        if draw.random() < 0.1:
            entry[draw.choice((*entry, "more"))] = _odd(draw)
        if draw.random() < 0.05:
            entry["data_offsets"] = [number(draw), number(draw)]
        entries.append((name, json.dumps(entry)))
    if draw.random() < 0.1:
        entries.append(("__metadata__", json.dumps(_odd(draw) if draw.random() < 0.5 else {"format": "pt"})))
    text = "{" + ", ".join(f"{json.dumps(name)}: {entry}" for name, entry in entries) + "}"
    if draw.random() < 0.02:
        depth = draw.choice((50, 900, 5000, 60_000))
        text = draw.choice(("[", '{"x":', '[{"x":[', "{")) * depth + "]" * draw.choice((0, depth))
    header = text.encode("utf-8", "surrogatepass") + b" " * draw.randrange(9)
    length = (
        len(header) if draw.random() < 0.97 else draw.choice((0, 1, len(header) + 1, 2**63, 2**64 - 1, 10**8 + 1, 7))
    )
    data = draw.randbytes(max(reached + draw.choice((0,) * 20 + (1, -1, 8)), 0))
    return length.to_bytes(8, "little") + header + data


def llama(draw: random.Random) -> bytes:
    """Logits of llama.cpp, whose sizes may be those of other tokens and rows than follow."""
    n_ctx, n_vocab, n_chunk = draw.randrange(1, 9), draw.randrange(1, 12), draw.randrange(4)
    rows = n_chunk * max(0, n_ctx - 1 - n_ctx // 2)
    tokens = [draw.randrange(n_vocab) for _ in range(n_chunk * n_ctx)]
    sizes = [n_ctx, n_vocab, n_chunk]
    if draw.random() < 0.2:
        sizes[draw.randrange(3)] = number(draw) % 2**32
    if tokens and draw.random() < 0.1:
        tokens[draw.randrange(len(tokens))] = draw.choice((n_vocab, 2**31 - 1, -1, -(2**31)))
    magic = b"_logits_" if draw.random() < 0.97 else draw.choice((b"_logp16_", b"_logp16n", b"_logits\0", b"_log", b""))
    size = rows * 2 * (4 + n_vocab + n_vocab % 2) + draw.choice((0,) * 20 + (1, -1, 2, 64))
    return magic + struct.pack("<3I", *sizes) + struct.pack(f"<{len(tokens)}i", *tokens) + draw.randbytes(max(size, 0))


def _odd(draw: random.Random) -> object:
    """What JSON can say where something else is expected."""
    odd = (
        None, True, False, 1, -1, 2.5, 1e400, float("nan"), "", "F32", "é" * 300, [], {}, [True, 6], [1, "2"], [[1]],
        {"a": "b"}, {"a": 1}, [2**62, 4], [-2, -3], [2.0], [2**70], [1] * 200, [0, 2**63], [10**400],
    )  # fmt: skip
    return draw.choice(odd)


def mutated(draw: random.Random, data: bytes) -> bytes:
    """``data`` with a few bytes changed, lost, repeated or moved."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        if not changed:
            break
        at, size = draw.randrange(len(changed)), draw.choice((1, 1, 2, 4, 8, 40))
        if draw.random() < 0.7:
            at %= 160  # where headers are
        piece, kind = changed[at : at + size], draw.randrange(6)
        if kind == 0:
            changed[at : at + 1] = draw.randbytes(1)
        elif kind == 1:
            changed[at : at + size] = draw.choice((b"\xff", b"\0", b"9", b"(", b'"', b"'", b"-", b"\n")) * len(piece)
        elif kind == 2:
            del changed[at : at + size]
        elif kind == 3:
            changed[at:at] = piece * draw.choice((1, 1, 200))
        elif kind == 4:
            other = draw.randrange(len(changed))
            changed[other:other] = piece
        else:
            del changed[at + draw.randrange(len(changed)) :]
    return bytes(changed)
