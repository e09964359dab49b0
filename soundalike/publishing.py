"""From a file or URI on a command line to an upload event."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.events import Upload
from soundalike.errors import CatalogError, SettingsError

_MOST_CHARACTERS = 200
"""Of an upload id."""

_HAS_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def upload_of(where: str, *, upload_id: str | None = None, **statement: Any) -> Upload:
    """The upload at `where`, a path or a URI, with what the uploader says about it.

    Without an `upload_id`, a new one: the name of the file and eight random hex digits.
    Raises SettingsError: one line that names the field.
    """
    remote = _HAS_SCHEME.match(where) is not None
    uri = where if remote else Path(where).resolve().as_uri()
    if upload_id is None:
        stem = Path(uri.partition("?")[0] if remote else where).stem or "upload"
        upload_id = f"{id_of(stem[:100])}-{secrets.token_hex(4)}"
    try:
        upload = Upload(upload_id=upload_id, uri=uri, **statement)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise SettingsError(
            f"{'.'.join(map(str, fault['loc']))} of the upload {where}: {fault['msg']}"
        ) from None
    if upload.territory is not None:
        _require_territory(upload.territory)
    return upload


def id_of(name: str) -> str:
    """A file's name as an upload id: what an id can't hold becomes �, and what is too long is cut off."""
    readable = os.fsencode(name).decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "�" for letter in readable)[:_MOST_CHARACTERS]


def _require_territory(code: str) -> None:
    """A person's slip (UK for GB) would silently be a territory that no term speaks of."""
    from index.terms import check_territory  # noqa: PLC0415 -- only who names one pays for it

    try:
        check_territory(code, what="--territory")
    except CatalogError as error:
        raise SettingsError(str(error)) from None
