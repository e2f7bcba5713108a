"""Whether a PNG has data for all of its rows. Pillow leaves rows without data black, and reports nothing."""

import struct
import zlib
from typing import BinaryIO

_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Of each pass of an interlaced image: the first column and row, and the steps between them."""

_PIECE = 1 << 20


def has_all_rows(file: BinaryIO) -> bool:
    """Whether its data, unpacked, have the length that its header promises. The file's position is as before.

    Raises:
        zlib.error, struct.error: The data or the header are damaged.
    """
    place = file.tell()
    try:
        file.seek(8)
        _, _, width, height, depth, colour, _, _, interlace = struct.unpack(">I4sIIBBBBB", file.read(21))
        bits = depth * _CHANNELS.get(colour, 0)
        wanted = _bytes_of(width, height, bits, is_interlaced=bool(interlace))
        file.seek(33)
        return _unpacked(file, wanted) >= wanted
    finally:
        file.seek(place)


def _bytes_of(width: int, height: int, bits: int, *, is_interlaced: bool) -> int:
    if not is_interlaced:
        return height * (1 + (width * bits + 7) // 8)
    total = 0
    for left, top, across, down in _ADAM7:
        columns, rows = -((left - width) // across), -((top - height) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + (columns * bits + 7) // 8)
    return total


def _unpacked(file: BinaryIO, enough: int) -> int:
    """How many bytes the data have when they are unpacked; not counted further when there are enough."""
    unpacker = zlib.decompressobj()
    total = 0
    while total < enough and len(head := file.read(8)) == 8:
        length, name = struct.unpack(">I4s", head)
        if name != b"IDAT":
            if name == b"IEND":
                break
            file.seek(length + 4, 1)
            continue
        packed = file.read(length)
        while packed and total < enough:
            total += len(unpacker.decompress(packed, _PIECE))
            packed = unpacker.unconsumed_tail
        file.seek(4, 1)
    return total + len(unpacker.flush(_PIECE)) if total < enough else total
