"""Which URIs may be fetched: parsed once, strictly, and compared with the operator's prefixes.

A prefix matches by scheme, host, port and whole path segments: `https://cdn.example/a` covers `/a` and
`/a/b`, but neither `/ab` nor `https://cdn.example.evil/a`. What two parsers could read differently
(credentials, backslashes, control characters, dot segments in any encoding) is refused, not repaired.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes, urlsplit

from soundalike.errors import SettingsError, UriNotAllowed

HTTP: Final = frozenset({"http", "https"})
OBJECT_STORES: Final = frozenset({"s3", "gs"})
SCHEMES: Final = HTTP | OBJECT_STORES | {"file"}

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f\\]")
_MAX_DECODINGS: Final = 4
"""`%25252e%25252e` is `..` to a chain of two proxies and a server; no honest path is encoded four times."""


@dataclass(frozen=True, slots=True)
class Location:
    """A URI taken apart.

    host: of http(s), the bucket of s3 and gs, empty for file. port: 0 where there is none.
    path: absolute; as sent for http(s), a slash and the object's key for s3 and gs, decoded for file.
    query: of http(s), a secret as a rule (signed URLs).
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str = ""

    def __str__(self) -> str:
        """Fit for logs and messages: no query, and no bytes of a file's name that are not UTF-8."""
        port = "" if self.port in {0, DEFAULT_PORTS.get(self.scheme)} else f":{self.port}"
        path = self.path.encode(errors="surrogateescape").decode(errors="replace")
        return f"{self.scheme}://{self.host}{port}{path}"


def redact(uri: str) -> str:
    """A URI without what may be secret (credentials, query, fragment) and without control characters."""
    visible = re.split(r"[?#]", uri, maxsplit=1)[0]
    scheme, mark, rest = visible.partition("://")
    if mark:
        authority, slash, path = rest.partition("/")
        visible = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    return _FORBIDDEN.sub("?", visible)[:500]


def parse_location(uri: str) -> Location:
    """Take a URI apart. Raises UriNotAllowed for a scheme that is not served or anything ambiguous."""
    shown = redact(uri)
    if _FORBIDDEN.search(uri):
        raise UriNotAllowed(f"{shown}: has a backslash or a control character")
    scheme = uri.partition(":")[0].lower()
    if scheme not in SCHEMES:
        raise UriNotAllowed(f"{shown}: the scheme is none of {', '.join(sorted(SCHEMES))}")
    location = _object_location(uri, scheme) if scheme in OBJECT_STORES else _url_location(uri, scheme)
    if any(segment in {".", ".."} for text in _readings(location.path) for segment in text.split("/")):
        raise UriNotAllowed(f"{shown}: its path has a dot segment")
    return location


def _object_location(uri: str, scheme: str) -> Location:
    """s3://bucket/key: the key is taken literally; `?`, `#` and `%` are letters of it."""
    bucket, slash, key = uri.partition(":")[2].removeprefix("//").partition("/")
    if not _HOST.fullmatch(bucket) or not slash:
        raise UriNotAllowed(f"{redact(uri)}: not of the form {scheme}://bucket/key")
    return Location(scheme=scheme, host=bucket, port=0, path="/" + key)


def _url_location(uri: str, scheme: str) -> Location:
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError as error:
        raise UriNotAllowed(f"{redact(uri)}: its host or port is malformed") from error
    if "@" in parts.netloc:
        raise UriNotAllowed(
            f"{redact(uri)}: carries credentials; use a signed URL or the store's own access control"
        )
    if scheme == "file":
        if parts.netloc.lower() not in {"", "localhost"} or parts.query or parts.fragment:
            raise UriNotAllowed(
                f"{redact(uri)}: a file URI is file:///path, with special letters percent-encoded"
            )
        path = unquote_to_bytes(parts.path)
        if not path.startswith(b"/") or b"\0" in path:
            raise UriNotAllowed(f"{redact(uri)}: its path is not absolute, or holds a NUL")
        return Location(scheme=scheme, host="", port=0, path=path.decode(errors="surrogateescape"))
    host = parts.netloc.lower().removesuffix(f":{port}").removesuffix(":").rstrip(".")
    if not _HOST.fullmatch(host):
        raise UriNotAllowed(f"{redact(uri)}: its host is malformed (write international names in punycode)")
    if not uri.isascii() or " " in uri:
        raise UriNotAllowed(f"{redact(uri)}: spaces and letters outside ASCII have to be percent-encoded")
    return Location(
        scheme=scheme,
        host=host,
        port=port or DEFAULT_PORTS[scheme],
        path=parts.path or "/",
        query=parts.query,
    )


def _readings(path: str) -> list[str]:
    """The path as it stands and as each of a chain of decoders would read it."""
    readings = [path]
    for _ in range(_MAX_DECODINGS):
        read = readings[-1].encode(errors="surrogateescape")  # a file's name may be no UTF-8
        decoded = unquote_to_bytes(read).decode(errors="surrogateescape").replace("\\", "/")
        if decoded == readings[-1]:
            break
        readings.append(decoded)
    return readings


def parse_prefix(prefix: str) -> Location:
    """An allowed prefix. Raises SettingsError when it is not one, so that a slip never widens access."""
    try:
        location = parse_location(prefix if prefix.partition("://")[2].count("/") else prefix + "/")
    except UriNotAllowed as error:
        raise SettingsError(f"allowed prefix {error}") from error
    if location.query or "#" in prefix:
        raise SettingsError(f"allowed prefix {redact(prefix)}: leave out the query and the fragment")
    return location


def is_under(location: Location, prefix: Location) -> bool:
    """Whether the prefix covers the location, by scheme, host, port and whole path segments."""
    if (location.scheme, location.host, location.port) != (prefix.scheme, prefix.host, prefix.port):
        return False
    base = prefix.path.rstrip("/")
    return location.path == base or location.path.startswith(base + "/")
