"""Where the bytes of a scan lie: a file, a folder, a zip; and their SHA-256."""

from __future__ import annotations

import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from trocar.errors import ImageError

#: What reading a damaged, locked or encrypted file or zip member raises (zipfile says RuntimeError for a password).
UNREADABLE = (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Member:
    """One file, wherever it lies. ``name`` is the bare file name: folders may name the patient."""

    name: str
    open: Callable[[], IO[bytes]]

    def read(self, size: int = -1) -> bytes:
        """All of it, or its first bytes; raises :class:`ImageError` where the file or its zip is damaged."""
        try:
            with self.open() as stream:
                return stream.read(size)
        except UNREADABLE as error:
            raise ImageError(f"{self.name} cannot be read ({error}): copy it again from its source.") from error


def digest(data: bytes) -> str:
    """SHA-256 of ``data``, hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def existing(path: str | os.PathLike[str]) -> Path:
    """``path`` as a :class:`Path`; raises :class:`ImageError` when nothing is there."""
    found = Path(path)
    if not found.exists():
        raise ImageError(f"there is no file or folder {found}: check the path.")
    return found


@contextmanager
def members(path: Path | Sequence[Path]) -> Iterator[list[Member]]:
    """Every file in a folder or a zip, sorted by place, or the files themselves.

    A zip is read in memory and never unpacked, so the names in it cannot lead anywhere.
    """
    if not isinstance(path, Path):
        yield [_on_disk(p) for p in path]
    elif path.is_dir():
        yield [_on_disk(p) for p in _walk(path)]
    elif zipfile.is_zipfile(path):
        with _opened(path) as archive:
            yield [_zipped(archive, name) for name in sorted(archive.namelist()) if not name.endswith("/")]
    else:
        yield [_on_disk(path)]


def _walk(folder: Path) -> list[Path]:
    return sorted(Path(root) / name for root, _, names in os.walk(folder) for name in names)


def _on_disk(path: Path) -> Member:
    return Member(path.name, lambda: path.open("rb"))


def _zipped(archive: zipfile.ZipFile, name: str) -> Member:
    return Member(PurePosixPath(name.replace("\\", "/")).name, lambda: archive.open(name))


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except UNREADABLE as error:
        raise ImageError(f"{path.name} is a damaged zip ({error}): copy it again from its source.") from error
