"""The names that a NIfTI header gives its labels: XML in an extension, as TotalSegmentator and Workbench write it."""

from __future__ import annotations

import gzip
import warnings
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from nibabel.nifti1 import Nifti1Header
from nibabel.nifti2 import Nifti2Header
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from trocar.anatomy.schemes import Kind, Meaning, by_name, is_known, looks_like_level
from trocar.io.source import UNREADABLE

#: What reading a header, its extensions or the XML in them raises where they are damaged.
_DAMAGE = (*UNREADABLE, HeaderDataError, WrapStructError, ElementTree.ParseError, ValueError)


def header_names(path: Path) -> dict[int, Meaning]:
    """What each number means by the header's own label table; empty where there is none, or it is unreadable."""
    try:
        names = _label_table(_extensions(path))
    except _DAMAGE:
        # a header table is a courtesy: without it the user names the scheme
        return {}
    found = {number: by_name(name) for number, name in names.items()}
    if any(found[n].kind is not Kind.VERTEBRA and looks_like_level(name) for n, name in names.items()):
        return {}
    # some programs fill the table with names of their own making for want of better
    return found if any(is_known(meaning) for meaning in found.values()) else {}


def _extensions(path: Path) -> list[bytes]:
    with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as stream:
        kind = Nifti2Header if Nifti2Header.may_contain_header(stream.read(Nifti2Header.sizeof_hdr)) else Nifti1Header
        stream.seek(0)
        # an odd size of an extension is warned of, and a damaged one may overflow: neither concerns the user
        with warnings.catch_warnings(action="ignore"), np.errstate(all="ignore"):
            return [one.content for one in kind.from_fileobj(stream, check=False).extensions]


def _label_table(blocks: list[bytes]) -> dict[int, str]:
    for block in blocks:
        text = block.rstrip(b"\0 \n")
        if b"<LabelTable" in text and b"<!ENTITY" not in text:
            labels = ElementTree.fromstring(text).iter("Label")
            named = {int(x.get("Key", "0")): (x.text or "").strip() for x in labels}
            return {number: name for number, name in named.items() if number}
    return {}
