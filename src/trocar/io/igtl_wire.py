"""OpenIGTLink messages as bytes: cut from a stream, checked before anything is believed, packed by pyigtl.

A peer may be anybody on the network: every length is bounded before memory is taken for it, and memory is taken only as
bytes come. What cannot be understood is refused in words (:class:`Refused`); where it is not even known where the next
message starts, the connection must end (:class:`Broken`).

Sizes and fields: the OpenIGTLink protocol, version 3 (header, extended header, meta data).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from trocar.errors import ToolError

HEADER = struct.Struct(">H12s20sIIQQ")
EXTENDED = struct.Struct(">HHII")
#: The longest message that is taken, bytes: 4096 x 4096 pixels of 16 bit, with room.
MOST_BODY = 48 * 2**20
#: The longest message of a kind that is never long, bytes.
MOST_SMALL_BODY = 2**20
SMALL = frozenset({"TRANSFORM", "TDATA", "STRING", "STATUS", "POINT"})
#: Header versions that exist: 1 (protocols 1 and 2) and 2 (protocol 3).
VERSIONS = (1, 2)
#: What a number is called in the meta data of our messages: running for each device name, from 1.
NUMBER_KEY = "TrocarNumber"
#: The longest device name, bytes.
NAME_BYTES = 20


class Refused(ValueError):
    """A message that cannot be used; the next one can be read."""


class Broken(ValueError):
    """Bytes that are no message: it is not known where the next one starts."""


@dataclass(frozen=True)
class Header:
    """The first 58 bytes of a message. ``time_s`` is the sender's, seconds since 1970; 0 where it gave none."""

    version: int
    kind: str
    device: str
    time_s: float
    body_bytes: int
    crc: int


@cache
def library() -> Any:
    """pyigtl's messages; raises :class:`ToolError` where it is not installed."""
    try:
        from pyigtl import messages
    except ImportError as absent:
        raise ToolError("pyigtl is not installed, and OpenIGTLink needs it: pip install 'trocar[live]'.") from absent
    return messages


@cache
def raw_message() -> Any:
    """A message class of pyigtl's whose content is plain bytes, for the kinds that pyigtl does not know."""

    class Raw(library().MessageBase):  # type: ignore[misc]
        content = b""

        def __init__(self, kind: str = "", content: bytes = b"") -> None:
            super().__init__()
            self._message_type, self.content, self._valid_message = kind, content, True

        def _pack_content(self) -> bytes:
            return self.content

        def _unpack_content(self, content: bytes) -> None:
            self.content = content

    return Raw


def parse_header(data: bytes | bytearray) -> Header:
    """The header in 58 bytes; raises :class:`Broken` where they are none."""
    version, kind, device, seconds, fraction, size, crc = HEADER.unpack(data)
    if version not in VERSIONS:
        raise Broken(f"header version {version}; 1 and 2 are known")
    most = MOST_SMALL_BODY if _text(kind) in SMALL else MOST_BODY
    if size > most:
        raise Broken(f"a message of {size} bytes; at most {most} are taken")
    return Header(version, _text(kind), _text(device), seconds + fraction / 2**32, size, crc)


def _text(data: bytes) -> str:
    """A name from the network, without what would upset a screen."""
    text = data.split(b"\0")[0].decode("ascii", errors="replace").strip()
    return "".join(c if c.isprintable() else "?" for c in text)


class Inbox:
    """Bytes as they come, and the messages in them."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._header: Header | None = None

    @property
    def within(self) -> bool:
        """Whether a message has begun and not ended."""
        return bool(self._data) or self._header is not None

    def feed(self, data: bytes) -> Iterator[tuple[Header, bytes]]:
        """Whole messages, each header with its body; raises :class:`Broken`."""
        self._data += data
        while True:
            if self._header is None:
                if len(self._data) < HEADER.size:
                    return
                self._header = parse_header(self._data[: HEADER.size])
                del self._data[: HEADER.size]
            header = self._header
            if len(self._data) < header.body_bytes:
                return
            body = bytes(memoryview(self._data)[: header.body_bytes])
            del self._data[: header.body_bytes]
            self._header = None
            yield header, body


def intact(header: Header, body: bytes) -> bool:
    """Whether a body is what the sender made its checksum of."""
    return bool(library().CRC64(body) == header.crc)


#: What pyigtl raises at content that is not what it says it is (it raises a str for an unknown character set).
UNUSABLE = (ValueError, TypeError, KeyError, IndexError, OverflowError, NotImplementedError, struct.error)


def unpacked(header: Header, body: bytes, message: Any) -> Any:
    """``message`` filled from a body; raises :class:`Refused` where that is not what it says it is."""
    if header.version == 2:
        _check_extended(body)
    fields = {
        "header_version": header.version,
        "message_type": header.kind,
        "device_name": header.device,
        "timestamp": header.time_s,
    }
    try:
        message.unpack(fields, body)
    except UNUSABLE as error:
        raise Refused(f"{header.kind} from {header.device} is malformed ({error})") from error
    return message


def _check_extended(body: bytes) -> None:
    """The lengths that the extended header gives, before anyone cuts along them."""
    if len(body) < EXTENDED.size:
        raise Refused(f"an extended header of {len(body)} bytes; it has {EXTENDED.size}")
    own, meta_head, meta, _ = EXTENDED.unpack_from(body)
    if own < EXTENDED.size or own + meta_head + meta > len(body) or (meta_head + meta and meta_head < 2):
        raise Refused(f"an extended header whose parts of {own}, {meta_head} and {meta} bytes exceed {len(body)}")
    if meta_head:
        (count,) = struct.unpack_from(">H", body, len(body) - meta_head - meta)
        if 2 + 8 * count > meta_head:
            raise Refused(f"{count} entries of meta data in {meta_head} bytes")


def number_in(message: Any) -> int | None:
    """The running number that a message of ours carries in its meta data."""
    text = message.metadata.get(NUMBER_KEY, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def device_name(name: str) -> str:
    """A name that fits into a header; raises ``ValueError`` for another."""
    if not name.isascii() or not name.isprintable() or not 0 < len(name) <= NAME_BYTES:
        raise ValueError(f"device name {name!r}: OpenIGTLink takes 1 to {NAME_BYTES} printable ASCII characters.")
    return name


def stamped(
    message: Any, device: str, time_s: float, number: int | None, metadata: dict[str, str] | None = None
) -> bytes:
    """The bytes of a message with its stamp and, where it has one, its number (header version 2)."""
    if not 0.0 <= time_s < 2**32:
        raise ValueError(f"time_s={time_s}: OpenIGTLink counts seconds from 0 to {2**32 - 1}.")
    message.device_name, message.timestamp = device_name(device), time_s
    message.header_version, message.message_id = 2, (number or 0) % 2**32
    message.metadata = {**({} if number is None else {NUMBER_KEY: str(number)}), **(metadata or {})}
    return bytes(message.pack())
