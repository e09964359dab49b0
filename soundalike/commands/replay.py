"""`soundalike replay`: judge again what was judged then, with the catalog as it stood, and compare."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit
from urllib.request import url2pathname

import typer

from soundalike import options
from soundalike.errors import EventError, SettingsError

if TYPE_CHECKING:
    from datetime import datetime

    from pipeline.evidence import Evidence

EXIT_DIFFERENT = 1


def replay(
    record: Annotated[
        Path,
        typer.Argument(
            metavar="RECORD",
            help="One evidence record, as `check --json` prints it, or a verdict or flag event; - reads it"
            " from standard input.",
        ),
    ],
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="The audio.  [default: the file that the record names]"),
    ] = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the new record instead.")] = False,
    data: options.Data = None,
    catalog_url: options.CatalogUrl = None,
    embedder: options.Embedder = None,
    max_false_positive_rate: options.MaxFalsePositiveRate = None,
    min_matched_s: options.MinMatchedS = None,
    min_ai_probability: options.MinAiProbability = None,
    flag_ai: options.FlagAi = None,
    uploader: options.CheckedFor = None,
    licence: options.Licences = None,
    distributor: options.Distributor = None,
    ai_tool: options.AiTool = None,
    territory: options.Territory = None,
    ai_vocals: options.AiVocals = None,
    ai_instruments: options.AiInstruments = None,
    ai_post_production: options.AiPostProduction = None,
) -> None:
    """Judge an upload again with the catalog of its evidence record, and say whether the answer is the same.

    The tracks are those of the record's generation; terms and suppressions those of the event's time, or
    without one of the instant that the generation began. The record does not hold what the uploader stated:
    give it again (--uploader, --licence, --ai-vocals …) where it mattered.

    Exit code: 0 the same verdict for the same reasons, 1 another, 2 it could not be judged again.

    Examples:

        soundalike replay evidence.json

        soundalike replay flag.json song.mp3 --uploader studio-7
    """
    from pipeline.equipment import equipment_of  # noqa: PLC0415 -- `--help` stays quick
    from pipeline.events import AiDisclosure  # noqa: PLC0415
    from soundalike.commands.catalog_ingest import hash_file  # noqa: PLC0415
    from soundalike.commands.check import LOCAL_UPLOADER, judge  # noqa: PLC0415
    from soundalike.publishing import upload_of  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import LOCAL_FILES, equipment_plan, past_of  # noqa: PLC0415

    then, time = _read(record)
    audio = file or _file_of(then)
    sha256 = hash_file(audio)
    if sha256 != then.audio.sha256:
        raise SettingsError(
            f"{audio} is not what was judged: its sha256 is {sha256[:12]}…, the record's"
            f" {(then.audio.sha256 or 'absent')[:12]}…; name the original as FILE"
        )
    settings = load_settings(
        data=data,
        catalog_url=catalog_url,
        embedder=embedder,
        max_false_positive_rate=max_false_positive_rate,
        min_matched_s=min_matched_s,
        min_ai_probability=min_ai_probability,
        flag_ai=flag_ai,
    )
    upload = upload_of(
        str(audio),
        upload_id=then.upload_id,
        uploader=uploader or LOCAL_UPLOADER,
        licences=tuple(licence or ()),
        distributor=distributor,
        ai_tool=ai_tool,
        territory=territory,
        ai_disclosure=AiDisclosure(
            vocals=ai_vocals, instruments=ai_instruments, post_production=ai_post_production
        ),
    )
    past = past_of(settings, generation=then.index.generation, at=time, clamp=True)
    equipment = equipment_of(equipment_plan(settings, prefixes=(LOCAL_FILES,), past=past))
    now = judge(upload, equipment, at=past.at)
    differing = differences(then, now)
    if as_json:
        typer.echo(now.model_dump_json())
    else:
        typer.echo(
            f"{then.upload_id}: {'another answer' if differing else 'the same'}: {now.verdict.value},"
            f" {now.rule} (generation {past.generation}, terms of {past.at:%Y-%m-%d %H:%M:%S} UTC)"
        )
        for line in differing:
            typer.echo(f"  {line}")
    raise typer.Exit(EXIT_DIFFERENT if differing else 0)


def differences(then: Evidence, now: Evidence) -> list[str]:
    """What a verdict rests on and is not the same, one line each. Measured numbers may differ a little from
    one processor to another, so of matches it is the tracks that count."""
    pairs = {
        "verdict": (then.verdict.value, now.verdict.value),
        "rule": (then.rule, now.rule),
        "matched": (_tracks(then), _tracks(now)),
        "set aside": (
            sorted({f"{one.track_id} ({one.suppression_kind})" for one in then.suppressed}),
            sorted({f"{one.track_id} ({one.suppression_kind})" for one in now.suppressed}),
        ),
        "consent": (_consent(then), _consent(now)),
        "counts as machine-made by": (list(then.ai.grounds), list(now.ai.grounds)),
        "policy": (_policy(then), _policy(now)),
        "models": (_models(then), _models(now)),
        "tracks that could be recognised": (then.index.tracks, now.index.tracks),
    }
    return [f"{name}: {_shown(a)} then, {_shown(b)} now" for name, (a, b) in pairs.items() if a != b]


def _tracks(evidence: Evidence) -> list[str]:
    return sorted({match.track_id for match in evidence.matches})


def _consent(evidence: Evidence) -> list[str]:
    return [
        f"{one.rightsholder} {one.decision} {one.use} of {one.track_id}"
        + ("" if one.term_id is None else f" by {one.term_id}@{one.version}")
        for one in evidence.consent
    ]


def _policy(evidence: Evidence) -> str:
    return f"version {evidence.policy.version} ({evidence.policy.hash[:12]}…)"


def _models(evidence: Evidence) -> list[str]:
    return sorted(f"{model.name} ({model.sha256[:12]}…)" for model in evidence.models)


def _shown(value: object) -> str:
    return (", ".join(value) or "none") if isinstance(value, list) else str(value)


def _read(record: Path) -> tuple[Evidence, datetime | None]:
    """The evidence, and the time of the event that it came in. Raises SettingsError: one line."""
    from pydantic import ValidationError  # noqa: PLC0415

    from pipeline.events import parse_event  # noqa: PLC0415
    from pipeline.evidence import Evidence  # noqa: PLC0415

    name = "standard input" if str(record) == "-" else str(record)
    try:
        content = sys.stdin.buffer.read() if str(record) == "-" else record.read_bytes()
    except OSError as error:
        raise SettingsError(f"{name}: {error.strerror}; name a file with one evidence record") from error
    lines = [line for line in content.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].lstrip().startswith(b"{") and not content.lstrip().startswith(b"{\n"):
        raise SettingsError(f"{name} holds {len(lines)} records; give one, e.g. `sed -n 3p` of it")
    try:
        if b'"specversion"' in content:
            event, payload = parse_event(content)
            if isinstance(payload, Evidence):
                return payload, event.time
            raise SettingsError(f"{name} is an event of type {event.type}; give a verdict or a flag")
        return Evidence.model_validate_json(content), None
    except (ValidationError, EventError) as error:
        raise SettingsError(
            f"{name} holds no evidence record; give a line of `soundalike check --json`, or a verdict or flag"
            " event"
        ) from error


def _file_of(then: Evidence) -> Path:
    parts = urlsplit(then.audio.uri)
    if parts.scheme != "file":
        raise SettingsError(
            f"the audio of {then.upload_id} lay at {then.audio.uri}; name a local copy of it as FILE"
        )
    return Path(url2pathname(parts.path))
