"""From a file or URI on a command line to an upload event."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.events import Upload
from soundalike.errors import SettingsError

_HAS_SCHEME = re.compile(r"^[a-z][a-z0-9+.-]+://", re.IGNORECASE)


def upload_of(where: str, *, upload_id: str | None = None, **statement: Any) -> Upload:
    """The upload at `where`, a path or a URI, with what the uploader says about it.

    Without an `upload_id`, a new one: the name of the file and eight random hex digits.
    Raises SettingsError: one line that names the field.
    """
    uri = where if _HAS_SCHEME.match(where) else Path(where).absolute().as_uri()
    if upload_id is None:
        stem = Path(uri.partition("?")[0]).stem or "upload"
        upload_id = f"{stem[:100]}-{secrets.token_hex(4)}"
    try:
        return Upload(upload_id=upload_id, uri=uri, **statement)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise SettingsError(
            f"{'.'.join(map(str, fault['loc']))} of the upload {where}: {fault['msg']}"
        ) from None
