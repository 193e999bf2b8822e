"""A folder in which a long computation keeps what it has finished, so that it can be stopped and resumed."""

from __future__ import annotations

import io
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trocar.io.whole import written_whole

#: What a key may consist of: it becomes the name of a file on every system.
_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,150}")
#: What numpy and zip raise over a file that is cut short, overwritten, or none of theirs.
_DAMAGE = (OSError, EOFError, ValueError, KeyError, NotImplementedError, zipfile.BadZipFile, zlib.error)


class RunFolder(MutableMapping[str, Mapping[str, NDArray[Any]]]):
    """Arrays by name under a key, one ``.npz`` file for each key.

    A file is written whole or not at all. One that is damaged counts as absent, and is replaced by the next writing
    under its key. The folder is made when something is first kept. Raises :class:`trocar.errors.OutputError` where
    nothing can be written, ``ValueError`` for a key that cannot be the name of a file, and ``TypeError`` for arrays of
    objects.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._used: set[str] = set()

    def __getitem__(self, key: str) -> Mapping[str, NDArray[Any]]:
        path = self._path(key)
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as found:
                arrays = {name: found[name] for name in found.files}
        except _DAMAGE:
            raise KeyError(key) from None
        self._used.add(key)
        return arrays

    def __setitem__(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        path = self._path(key)
        objects = [name for name, array in arrays.items() if np.asarray(array).dtype.hasobject]
        if objects:
            raise TypeError(f"{', '.join(objects)} under {key!r}: an array of objects cannot be kept.")
        text = io.BytesIO()
        named = {name: np.asarray(array) for name, array in arrays.items()}
        np.savez_compressed(text, **named)  # type: ignore[arg-type]
        with written_whole(path) as holding:
            holding.write_bytes(text.getvalue())
        self._used.add(key)

    def __delitem__(self, key: str) -> None:
        try:
            self._path(key).unlink()
        except FileNotFoundError:
            raise KeyError(key) from None

    def __iter__(self) -> Iterator[str]:
        """The keys of all files that can be read, in the order of their names."""
        return (key for key in self._names() if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def clear(self) -> None:
        """Remove what was read or kept through this object, and the folder where nothing else lies in it."""
        for key in self._used:
            self._path(key).unlink(missing_ok=True)
        self._used.clear()
        if self.folder.is_dir() and not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _names(self) -> list[str]:
        return sorted(p.stem for p in self.folder.glob("*.npz") if _KEY.fullmatch(p.stem))

    def _path(self, key: str) -> Path:
        if not _KEY.fullmatch(key):
            raise ValueError(f"{key!r} cannot name a run: letters, digits, dots, dashes and underscores only.")
        return self.folder / f"{key}.npz"
