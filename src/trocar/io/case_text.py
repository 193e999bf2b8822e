"""The text of a case's files: read whole, or refused in one plain sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trocar.errors import CaseFileError


def read_text(path: Path, what: str) -> str:
    """The text of ``path``; raises :class:`CaseFileError` where it cannot be read. ``what`` says what to give."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise CaseFileError(f"{path} cannot be read, it is no text: give {what}.") from None
    except OSError as error:
        raise CaseFileError(f"{path} cannot be read ({_reason(error)}): give {what}.") from None


def read_document(text: str, schema: str, what: str) -> dict[str, Any]:
    """The JSON object in ``text``; raises :class:`CaseFileError` unless it is one of this ``schema``."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise CaseFileError(f"this is not JSON (line {error.lineno}: {error.msg}): give {what}.") from None
    except RecursionError:
        raise CaseFileError(f"this is JSON nested too deeply: give {what}.") from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found is None:
        raise CaseFileError(f"this names no schema, where {schema!r} is needed: give {what}.")
    if found != schema:
        raise CaseFileError(f"schema {found!r} is not {schema!r}: read it with the version of trocar that wrote it.")
    return dict(document)


def damage(error: Exception) -> str:
    """What is wrong with a document, for people: Python's own words for it are of no use to them."""
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing or not known"
    return "an entry is missing or is not of the kind it must be"


def _reason(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return (error.strerror or "the system refuses").lower()
