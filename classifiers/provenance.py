"""What a file says of its own origin: C2PA manifests and the tags of known generators.

Hard evidence when it is there, nothing at all when it is not: re-encoding strips every mark, so "absent" must
never lower a suspicion. A mark that is there but does not hold (a manifest whose hash does not fit the
audio, a label that is no JSON) is `broken`, and reported so: someone changed the file later, or forged it.

    >>> for claim in read_provenance(Path("song.mp3")):
    ...     print(claim.kind, claim.state, claim.detail)
    c2pa absent no manifest
    tag found Suno: "made with suno; created=2026-03-13T05:04:16Z; id=…" in TXXX:comment

Nothing is fetched: manifests that lie elsewhere are named, not followed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from soundalike.errors import AudioNotFound

State = Literal["found", "absent", "broken"]

MAX_SHOWN_CHARACTERS: Final = 120
MAX_TAG_CHARACTERS: Final = 20_000
"""Longer texts in tags (lyrics, session data) are looked at up to here."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One statement about origin.

    kind: "c2pa" or "tag". state: found, absent, broken. detail: one line for a person.
    says_machine_made: the mark names a generative model, for the whole or a part; a manifest can also say
    that a person recorded it. partly: a model had a part in it, no more.
    """

    kind: str
    state: State
    detail: str
    says_machine_made: bool = False
    partly: bool = False


def read_provenance(path: Path) -> list[Claim]:
    """All claims of a file: the manifest first, then the tags; at least one claim of each kind.

    Raises AudioNotFound when there is no such file. A file that is no audio has no claims but absent ones:
    whether it can be decoded is another question.
    """
    if not path.is_file():
        raise AudioNotFound(f"{path}: no such file to read marks of origin from")
    tags = list(_tag_claims(path)) or [Claim("tag", "absent", "no tag of a known generator")]
    return [_manifest_claim(path), *tags]


# C2PA

_COMPOSITE: Final = "compositeWithTrainedAlgorithmicMedia"
_GENERATED: Final = ("trainedAlgorithmicMedia", _COMPOSITE, "trainedAlgorithmicData")
"""IPTC digital source types that name a generative model; algorithmicMedia (no training) is not one."""
_OFFLINE: Final = {
    "verify": {
        "remote_manifest_fetch": False,
        "ocsp_fetch": False,
        "verify_after_reading": True,
        "verify_trust": True,
    }
}


def _manifest_claim(path: Path) -> Claim:
    try:
        import c2pa  # type: ignore[import-untyped]  # noqa: PLC0415 -- 40 MB, only where it is needed
    except ImportError:
        return Claim("c2pa", "absent", "not looked for: the package c2pa-python is not installed")
    context = c2pa.Context(c2pa.Settings.from_dict(_OFFLINE))
    try:
        with path.open("rb") as file, context:
            reader = c2pa.Reader.try_create(file, context=context)
            if reader is None:
                return Claim("c2pa", "absent", "no manifest")
            with reader:
                return _judge_manifest(json.loads(reader.json()), str(reader.get_validation_state() or ""))
    except c2pa.C2paError as error:
        return _unread_manifest(error, c2pa.C2paError)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return Claim("c2pa", "broken", _shown(f"the manifest is no JSON: {error}"))


def _unread_manifest(error: Exception, kinds: Any) -> Claim:
    """Why the library gave no manifest. `kinds`: its C2paError, which holds the others as attributes."""
    foreign = "type is unsupported" in str(error) or "not a recognized asset" in str(error)
    if foreign or isinstance(error, kinds.NotSupported):
        return Claim("c2pa", "absent", "a container that can't hold a manifest")
    if isinstance(error, kinds.RemoteManifest):
        return Claim("c2pa", "found", _shown(f"a manifest that lies elsewhere and was not fetched: {error}"))
    return Claim("c2pa", "broken", _shown(f"the manifest can't be read: {error}"))


def _judge_manifest(store: dict[str, Any], validation: str) -> Claim:
    manifest = store.get("manifests", {}).get(store.get("active_manifest", ""), {})
    sources = sorted(set(_source_types(manifest)))
    whole = {*sources, *_source_types(_ancestors(store, manifest))} & set(_GENERATED)
    machine = bool(whole)
    partly = whole == {_COMPOSITE}
    signature = manifest.get("signature_info") or {}
    maker = _maker(manifest)
    by = signature.get("common_name") or signature.get("issuer") or "an unnamed signer"
    what = f"{maker}, source type {', '.join(sources) or 'not stated'}"
    if validation == "Invalid":
        faults = sorted({str(fault.get("code")) for fault in store.get("validation_status") or ()})
        detail = f"manifest of {what}, signed by {by}, does not hold: {', '.join(faults) or 'invalid'}"
        return Claim("c2pa", "broken", _shown(detail), machine, partly)
    trust = "trusted" if validation == "Trusted" else "intact, the signer is on no trust list"
    earlier = ", edited from a file that a model made" if machine and not set(sources) & whole else ""
    return Claim("c2pa", "found", _shown(f"{what}{earlier}; signed by {by} ({trust})"), machine, partly)


def _ancestors(store: dict[str, Any], manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The manifests of what this file was edited from, and so on back. Parts that were mixed in are none."""
    manifests = store.get("manifests", {})
    found: list[dict[str, Any]] = []
    open_ends, seen = [manifest], set()
    while open_ends:
        for ingredient in open_ends.pop().get("ingredients") or ():
            label = ingredient.get("active_manifest")
            if ingredient.get("relationship") == "parentOf" and label in manifests and label not in seen:
                seen.add(label)  # a forged store may go in circles
                found.append(manifests[label])
                open_ends.append(manifests[label])
    return found


def _maker(manifest: dict[str, Any]) -> str:
    for info in manifest.get("claim_generator_info") or ():
        if isinstance(info, dict) and info.get("name"):
            return " ".join(str(part) for part in (info["name"], info.get("version")) if part)
    return str(manifest.get("claim_generator") or "an unnamed generator")


def _source_types(node: object) -> Iterator[str]:
    """The last part of every digitalSourceType anywhere in the manifest: actions, metadata, ingredients."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key.rsplit(":", 1)[-1].lower() == "digitalsourcetype" and isinstance(value, str):
                yield value.rstrip("/").rsplit("/", 1)[-1]
            else:
                yield from _source_types(value)
    elif isinstance(node, list):
        for item in node:
            yield from _source_types(item)


# Tags


@dataclass(frozen=True, slots=True)
class _Mark:
    """generator: its maker. key: pattern of the tag's name. text: pattern of its value."""

    generator: str
    key: re.Pattern[str]
    text: re.Pattern[str]


def _mark(generator: str, *, key: str = ".*", text: str) -> _Mark:
    return _Mark(generator, re.compile(key, re.IGNORECASE), re.compile(text, re.IGNORECASE | re.DOTALL))


_REMARK: Final = (
    r".*(comm(ent)?s?|\xa9cmt|desc(ription)?|software|tool|\xa9too|encod\w*|tsse|tenc|copyright|cprt|tcop|"
    r"source|origin\w*|creator|isft|icmt|icop|wm/tool\w*|xmp|txxx|priv|prov\w*|digital\w*)(:.*)?"
)
"""Where programs sign their work. A title or a line of the lyrics may say anything."""
_ARTIST: Final = r"(TPE[12]|(album[ _]?)?artist|author|\xa9ART|aART|WM/AlbumArtist|IART)"
_MARKS: Final = (
    _mark("Suno", text=r"\bmade with suno\b"),
    _mark("Suno", text=r"https?://(www\.|app\.|cdn\d\.)?suno\.(com|ai)/"),
    # "Suno" alone is an Urdu and Hindi word ("listen") and stands in titles and artists: it is no mark.
    _mark("Suno", key=_ARTIST, text=r"\s*suno ai\s*"),
    _mark("Udio", key=_ARTIST, text=r"\s*udio( v?\d+(\.\d+)*)?\s*"),
    _mark("Udio", text=r"https?://(www\.)?udio\.com/songs/"),
    _mark("MusicGen", text=r'"_type":\s*"musicgen"'),
    _mark(
        "", text=r"https?://cv\.iptc\.org/newscodes/digitalsourcetype/(composite)?(with)?trainedalgorithmic"
    ),
    _mark(
        "",
        key=_REMARK,
        text=r"\b(generated|created|made|composed) (with|by|using) "
        r"(ai\b|(an )?artificial intelligence|stable audio|musicgen|riffusion|minimax|mureka|lyria|ace-step|"
        r"elevenlabs|aiva|soundraw|mubert|beatoven|loudly|udio|yue)",
    ),
)
_LABEL_KEY: Final = re.compile(r"(.*[:/])?aigc$", re.IGNORECASE)
"""The label that Chinese law asks for since September 2025 (GB 45438): JSON, Label and ContentProducer."""


def _tag_claims(path: Path) -> Iterator[Claim]:
    seen: set[str] = set()
    for key, text in _tags(path):
        claim = _label_claim(key, text) if _LABEL_KEY.match(key) else _mark_claim(key, text)
        if claim is not None and claim.detail.split(" in ")[0] not in seen:
            seen.add(claim.detail.split(" in ")[0])
            yield claim


def _mark_claim(key: str, text: str) -> Claim | None:
    for mark in _MARKS:
        whole = mark.key.pattern == _ARTIST  # an artist's name is all of the tag, a remark has words around
        hit = mark.text.fullmatch(text) if whole else mark.text.search(text)
        if hit and mark.key.fullmatch(key):
            found = (
                text if len(text) < MAX_SHOWN_CHARACTERS else text[max(hit.start() - 20, 0) : hit.end() + 60]
            )
            return Claim("tag", "found", f'{mark.generator or "A tool"}: "{_shown(found)}" in {key}', True)
    return None


def _label_claim(key: str, text: str) -> Claim:
    try:
        label = json.loads(text)
    except ValueError:
        return Claim("tag", "broken", f'an AIGC label that is no JSON: "{_shown(text)}" in {key}', True)
    if isinstance(label, dict) and isinstance(label.get("aigc"), dict):
        label = label["aigc"]
    if not isinstance(label, dict) or not {"Label", "ContentProducer"} & set(label):
        return Claim("tag", "broken", f'an AIGC label without its fields: "{_shown(text)}" in {key}', True)
    producer = _shown(str(label.get("ContentProducer") or "not named"))
    degree = {"1": "certain", "2": "possible", "3": "suspected"}.get(str(label.get("Label")), "not graded")
    return Claim("tag", "found", f"AIGC label, {degree}, producer {producer} in {key}", True)


def _tags(path: Path) -> Iterator[tuple[str, str]]:
    """Name and text of every tag in any container that mutagen reads; binary ones are left out."""
    import mutagen  # noqa: PLC0415 -- loads every container's reader

    try:
        file = mutagen.File(path)
    except (mutagen.MutagenError, ValueError, KeyError, IndexError, OverflowError, RecursionError):
        return  # what can't be parsed holds no mark that a reader could show; decoding will say what is wrong
    if file is None or file.tags is None:
        return
    items = file.tags.items() if hasattr(file.tags, "items") else list(file.tags)
    for key, value in items:
        for text in _texts(value):
            yield str(key), text[:MAX_TAG_CHARACTERS]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        # MP4 free-form atoms hold UTF-8 bytes; pictures and other blobs do not decode.
        if len(value) <= MAX_TAG_CHARACTERS and b"\0" not in value:
            yield value.decode("utf-8", errors="replace")
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
    elif hasattr(value, "url"):  # ID3 W… frames
        yield str(value.url)
    elif hasattr(value, "text"):  # ID3 T…, COMM, USLT frames
        yield from _texts(value.text)
    elif hasattr(value, "value"):  # ASF and APEv2 attributes
        yield from _texts(value.value)
    elif hasattr(value, "data"):  # ID3 PRIV and others
        yield from _texts(value.data)


def _shown(text: str) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_SHOWN_CHARACTERS else line[: MAX_SHOWN_CHARACTERS - 1] + "…"
