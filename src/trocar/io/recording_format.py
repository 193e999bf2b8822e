"""A recording's bytes: whole up to the last record whenever the program dies.

A recording is a line that says what it is, and records, each of 20 bytes and its payload (little-endian)::

    2 bytes  the mark "TR"       1 byte   kind (see :class:`Kind`)           1 byte   0
    4 bytes  payload's length    8 bytes  at_s, our clock, float64
    4 bytes  CRC-32 of the 16 bytes before it and the payload

The first record holds the rules, as the length of a JSON text (4 bytes) and the text. The payload of a tick is empty.
Any other is the length (4 bytes) of a JSON text, that text, and the item's images one after another, packed by
:mod:`trocar.io.lossless`; the text gives their lengths.
"""

from __future__ import annotations

import json
import struct
import zlib
from enum import IntEnum
from typing import IO

from trocar.guidance.frames import Alarm, Stamped
from trocar.io.lossless import packed, unpacked
from trocar.io.recording_items import flat, item_of

#: The first line of every recording, with the version of its format.
FIRST_LINE = b"trocar recording 1\n"
HEAD = struct.Struct("<2sBxId")
CRC = struct.Struct("<I")
LENGTH = struct.Struct("<I")
MARK = b"TR"
#: The longest payload that is written or read, bytes.
MOST_PAYLOAD = 512 * 2**20


class Kind(IntEnum):
    """What a record holds: the rules, the passing of time, an item, an alarm of the door, an alarm that was told."""

    RULES = 1
    TICK = 2
    ITEM = 3
    DOOR = 4
    TOLD = 5


def payload_of(item: Stamped | Alarm) -> bytes:
    """The payload of an item's record."""
    meta, arrays = flat(item)
    data = [packed(array) for array in arrays]
    meta["arrays"] = [[list(a.shape), a.dtype.name, len(d)] for a, d in zip(arrays, data, strict=True)]
    text = json.dumps(meta).encode()
    return b"".join((LENGTH.pack(len(text)), text, *data))


def record(kind: Kind, at_s: float, payload: bytes) -> bytes:
    """The bytes of one record; raises ``ValueError`` where it would be larger than a reader accepts."""
    if len(payload) > MOST_PAYLOAD:
        raise ValueError(f"an item of {len(payload)} bytes is larger than a record may be ({MOST_PAYLOAD}).")
    head = HEAD.pack(MARK, kind, len(payload), at_s)
    return head + CRC.pack(zlib.crc32(payload, zlib.crc32(head))) + payload


def read_head(file: IO[bytes], size: int) -> tuple[int, int, float, int] | None:
    """Kind, length of payload, time and checksum of the next record; None where no whole one follows."""
    data = file.read(HEAD.size + CRC.size)
    if len(data) < HEAD.size + CRC.size:
        return None
    mark, kind, length, at_s = HEAD.unpack_from(data)
    if mark != MARK or length > MOST_PAYLOAD or file.tell() + length > size:
        return None
    return kind, length, at_s, CRC.unpack_from(data, HEAD.size)[0]


def read_next(file: IO[bytes], size: int) -> tuple[int, float, bytes | None] | None:
    """Kind, time and payload of the next record, the payload None where its checksum does not fit."""
    head = read_head(file, size)
    if head is None:
        return None
    kind, length, at_s, crc = head
    payload = file.read(length)
    written = HEAD.pack(MARK, kind, length, at_s)
    return kind, at_s, payload if zlib.crc32(payload, zlib.crc32(written)) == crc else None


def item_in(payload: bytes) -> Stamped | Alarm:
    """What a payload holds.

    Raises ``ValueError``, ``KeyError``, ``TypeError``, ``IndexError`` or ``struct.error`` where it is not whole.
    """
    (length,) = LENGTH.unpack_from(payload)
    meta = json.loads(payload[LENGTH.size : LENGTH.size + length])
    place, arrays = LENGTH.size + length, []
    for shape, dtype, size in meta["arrays"]:
        arrays.append(unpacked(payload[place : place + size], tuple(shape), dtype))
        place += size
    return item_of(meta, arrays)
