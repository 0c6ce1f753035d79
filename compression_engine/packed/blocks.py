"""One block of a file, at most 1 MiB, as coded bytes: the smallest of several ways, each of them really tried.

Rules:
- a block is one byte (how), four little-endian bytes (how many follow), and these; it is never longer than its bytes and five;
- what a decoder must know stands in the block; nothing is taken from an earlier one, so that memory is bounded and a fault stays
  where it is;
- a reader believes no number before it was checked: sizes, classes, lanes and frequencies are capped.
The layout is written down byte by byte in docs/storage.md.
"""

from __future__ import annotations

import lzma
import struct

import numpy as np
from numpy.typing import NDArray

from compression_engine.packed import rans, tables
from compression_engine.packed.placed import Candidate, Classes, Placing, candidates
from compression_engine.structure.protobuf import invalid, over_limit, truncated

BLOCK_BYTES = 1024 * 1024
STORED, GENERAL, BYTES, NIBBLES, PLANES = range(5)
WIDTHS = (2, 4, 8)
HEAD = struct.Struct("<BI")
_CODED = struct.Struct("<BBI")
_BYTES_PER_LANE = 1600
_LANES_MAX = 1 << 16
_TRIED = 2
_PROBE_BYTES = 64 * 1024
_DICTIONARY_BYTES = 1024 * 1024
_ALPHABETS = {BYTES: 256, NIBBLES: 16}
Symbols = NDArray[np.uint8]


def encode_block(data: bytes, placing: Placing) -> bytes:
    """The shortest form of a block; `placing` says what its bytes are and where they lie in their tensor."""
    found = [_framed(STORED, data)]
    values = np.frombuffer(data, np.uint8)
    if placing.width in WIDTHS and values.size % placing.width == 0:
        found.append(_planes(values, placing.width))
    elif placing.integers:
        halves, pairs = nibbles_of(values), placing.halved()
        ways = [(BYTES, values, one) for one in candidates(values, placing, 256, None)]
        ways += [(NIBBLES, halves, one) for one in candidates(halves, pairs, 16, None)]
        ways.sort(key=lambda way: way[2].cost_bytes)
        found += [_symbols(symbols, kind, one) for kind, symbols, one in ways[:_TRIED]]
    shortest = min(map(len, found))
    if (not placing.integers and placing.width == 1) or _repeats(data, shortest):
        found += [_framed(GENERAL, _general(data, bits)) for bits in (0, 2)]
    return min(found, key=len)


def decode_block(kind: int, body: memoryview, size_bytes: int) -> bytes:
    """The bytes of a block; raises FileRefused."""
    if kind == STORED:
        if len(body) != size_bytes:
            raise invalid("A stored block has another length than it should.")
        return bytes(body)
    if kind == GENERAL:
        return _read_general(body, size_bytes)
    if kind == BYTES:
        return _read_symbols(body, size_bytes, 256, None).tobytes()
    if kind == NIBBLES:
        halves = _read_symbols(body, 2 * size_bytes, 16, None)
        return (halves[0::2] | halves[1::2] << 4).tobytes()
    if kind == PLANES:
        return _read_planes(body, size_bytes)
    raise invalid(f"A block is coded in the unknown way {kind}.")


def nibbles_of(values: Symbols) -> Symbols:
    """Two numbers of four bits out of each byte, the low one first, as ONNX packs them."""
    found = np.empty(2 * values.size, np.uint8)
    found[0::2] = values & 15
    found[1::2] = values >> 4
    return found


def _framed(kind: int, body: bytes) -> bytes:
    return HEAD.pack(kind, len(body)) + body


def _symbols(symbols: Symbols, kind: int, way: Candidate) -> bytes:
    """A block of symbols, coded in one way."""
    depth, classes = way.depth, way.classes
    lanes = rans.Lanes(symbols.size, _lanes(way.cost_bytes, symbols.size))
    history = rans.histories(symbols, way.centre, depth, lanes) if depth else None
    contexts = way.contexts(history)
    counts = tables.counted(symbols, contexts, (classes.count << depth, _ALPHABETS[kind]))
    frequencies = tables.normalised(counts)
    head = _CODED.pack(depth | classes.kind << 4, way.centre, lanes.lanes) + classes.written()
    return _framed(kind, head + tables.written(frequencies) + rans.encode(symbols, contexts, frequencies, lanes))


def _lanes(cost_bytes: int, symbols: int) -> int:
    return max(1, min(cost_bytes // _BYTES_PER_LANE, symbols, _LANES_MAX))


def _read_symbols(body: memoryview, symbols: int, alphabet: int, before: Symbols | None) -> Symbols:
    if len(body) < _CODED.size:
        raise truncated("A coded block is cut off.")
    mode, centre, lane_count = _CODED.unpack_from(body)
    depth = mode & 15
    if depth > 2 or not 1 <= lane_count <= min(symbols, _LANES_MAX):
        raise invalid("A coded block has a head that no encoder writes.")
    classes, at = Classes.read(mode >> 4, body, _CODED.size, symbols, before)
    frequencies, taken = tables.read(body[at:], classes.count << depth, alphabet)
    model = rans.Model(frequencies, classes.places, centre, depth)
    return rans.decode(body[at + taken :], model, rans.Lanes(symbols, lane_count))


def _planes(values: Symbols, width: int) -> bytes:
    """Numbers of several bytes as one block for each byte, the highest first, which holds sign and exponent."""
    parts = [bytes([width])]
    before: Symbols | None = None
    for index in range(width - 1, -1, -1):
        plane = np.ascontiguousarray(values[index::width])
        ways = candidates(plane, Placing(), 256, before)[:_TRIED]
        forms = [_framed(STORED, plane.tobytes()), *(_symbols(plane, BYTES, one) for one in ways)]
        parts.append(min(forms, key=len))
        before = plane if before is None else before | plane
    return _framed(PLANES, b"".join(parts))


def _read_planes(body: memoryview, size_bytes: int) -> bytes:
    width = body[0] if len(body) else 0
    if width not in WIDTHS or size_bytes % width:
        raise invalid("A block is split into planes that do not fit it.")
    found = np.zeros(size_bytes, np.uint8)
    place, before = 1, None
    for index in range(width - 1, -1, -1):
        if len(body) < place + HEAD.size:
            raise truncated("A plane is cut off.")
        kind, length = HEAD.unpack_from(body, place)
        part = body[place + HEAD.size : place + HEAD.size + length]
        place += HEAD.size + length
        if len(part) != length or kind not in (STORED, BYTES):
            raise invalid("A plane is not coded as planes are.")
        if kind == STORED:
            plane = np.frombuffer(decode_block(STORED, part, size_bytes // width), np.uint8)
        else:
            plane = _read_symbols(part, size_bytes // width, 256, before)
        found[index::width] = plane
        before = plane if before is None else before | plane
    if place != len(body):
        raise invalid("A block has bytes behind its planes.")
    return found.tobytes()


def _filters(position_bits: int) -> list[dict[str, int]]:
    return [
        {
            "id": lzma.FILTER_LZMA2,
            "dict_size": _DICTIONARY_BYTES,
            "lc": 3,
            "lp": 0,
            "pb": position_bits,
            "mode": lzma.MODE_NORMAL,
            "nice_len": 273,
            "mf": lzma.MF_BT4,
            "depth": 512,
        }
    ]


def _general(data: bytes, position_bits: int) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_RAW, filters=_filters(position_bits))


def _repeats(data: bytes, shortest: int) -> bool:
    """Whether a piece from the middle says that the general coder may win."""
    start = max(0, (len(data) - _PROBE_BYTES) // 2)
    piece = data[start : start + _PROBE_BYTES]
    return len(_general(piece, 0)) * len(data) < shortest * len(piece)


def _read_general(body: memoryview, size_bytes: int) -> bytes:
    decoder = lzma.LZMADecompressor(format=lzma.FORMAT_RAW, filters=_filters(0))
    try:
        found = decoder.decompress(bytes(body), max_length=size_bytes + 1)
    except lzma.LZMAError as error:
        raise invalid(f"A block of the general coder cannot be read: {error}.") from error
    if len(found) > size_bytes:
        raise over_limit("A block holds more than it says.")
    if len(found) != size_bytes or not decoder.eof or decoder.unused_data:
        raise invalid("A block of the general coder does not end where its bytes end.")
    return found
