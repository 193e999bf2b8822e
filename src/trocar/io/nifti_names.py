"""The names that a NIfTI header gives its labels: an XML extension, as TotalSegmentator and Connectome Workbench write.

The image readers skip header extensions, so these few bytes are read here. NIfTI-1 standard,
"extended header": after 348 bytes and a 4-byte flag come blocks of (size, code, content).
"""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from xml.etree import ElementTree

from trocar.anatomy.schemes import Kind, Meaning, by_name, is_known, looks_like_level

HEADER_BYTES = 348
#: No extension that names labels comes near this; a damaged size must not eat the memory.
LARGEST_EXTENSION_BYTES = 4_000_000


def header_names(path: Path) -> dict[int, Meaning]:
    """What each number means by the header's own label table; empty where there is none, or it is unreadable."""
    try:
        names = _label_table(_extensions(path))
    except (OSError, EOFError, struct.error, ElementTree.ParseError, ValueError):
        # a header table is a courtesy: without it the user names the scheme
        return {}
    found = {number: by_name(name) for number, name in names.items()}
    if any(found[n].kind is not Kind.VERTEBRA and looks_like_level(name) for n, name in names.items()):
        return {}
    # some programs fill the table with names of their own making for want of better
    return found if any(is_known(meaning) for meaning in found.values()) else {}


def _extensions(path: Path) -> list[bytes]:
    with gzip.open(path, "rb") if path.name.endswith(".gz") else path.open("rb") as stream:
        header = stream.read(HEADER_BYTES + 4)
        order = "<" if struct.unpack("<i", header[:4])[0] == HEADER_BYTES else ">"
        offset = int(struct.unpack(order + "f", header[108:112])[0])
        if header[HEADER_BYTES] == 0:
            return []
        blocks: list[bytes] = []
        place = HEADER_BYTES + 4
        while place + 8 <= offset:
            size = struct.unpack(order + "i", stream.read(8)[:4])[0]
            if not 8 <= size <= LARGEST_EXTENSION_BYTES:
                break
            blocks.append(stream.read(size - 8))
            place += size
        return blocks


def _label_table(blocks: list[bytes]) -> dict[int, str]:
    for block in blocks:
        text = block.rstrip(b"\0 \n")
        if b"<LabelTable" in text and b"<!ENTITY" not in text:
            labels = ElementTree.fromstring(text).iter("Label")
            return {int(x.attrib["Key"]): (x.text or "").strip() for x in labels if x.attrib["Key"] != "0"}
    return {}
