"""Files written whole or not at all: into a temporary folder first, then each renamed into its place."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from trocar.errors import OutputError


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A name to write to; it becomes ``path`` when everything went well, else it vanishes.

    Raises :class:`OutputError` where nothing can be written.
    """
    path = Path(path)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it.")
    with _refused(path, "file"), _holding(path.parent, path.name) as holding:
        yield holding / path.name
        os.replace(holding / path.name, path)


def write_files(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Write several files, each by its name within ``folder``; a failure leaves what was there before.

    Raises :class:`OutputError` where something cannot be written.
    """
    folder = Path(folder)
    with _refused(folder, "folder"), _holding(folder.parent, folder.name) as holding:
        for name, data in files.items():
            path = holding / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        for name in files:  # every folder first: what cannot be made is found before anything is replaced
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        for name in files:
            os.replace(holding / name, folder / name)


@contextmanager
def _holding(beside: Path, name: str) -> Iterator[Path]:
    """A temporary folder on the disk where the result goes, so that a rename is enough."""
    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=beside, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def _refused(target: Path, what: str) -> Iterator[None]:
    """What the disk refuses, in words."""
    try:
        yield
    except OSError as error:
        why = error.strerror or error
        text = f"{target} cannot be written to ({why}): nothing more was written. Name another {what}."
        raise OutputError(text) from None
