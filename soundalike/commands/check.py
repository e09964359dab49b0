"""`soundalike check`: judge files on this machine, with no service."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike import options
from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from pipeline.analyse import Equipment
    from pipeline.events import Upload
    from pipeline.evidence import Evidence

EXIT_FLAGGED = 1
EXIT_NOT_JUDGED = 2

LOCAL_UPLOADER = "local"
"""Account of files that are checked without `--uploader`: nobody's, so no account in the catalog means it."""


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Audio files of any format.")],
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one evidence record per file, as JSON Lines.")
    ] = False,
    generation: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Judge with the tracks of a past generation of the catalog, and with the terms and"
            " suppressions that stood when it began.  [default: the newest]",
            rich_help_panel=options.JUDGING,
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --generation: by the terms and suppressions of this instant, as"
            " 2026-03-31T12:00+00:00.",
            rich_help_panel=options.JUDGING,
        ),
    ] = None,
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
    """Say of each file whose recording it is and whether it is allowed, with the evidence.

    It needs a catalog of licensed recordings: `soundalike catalog add MUSIC/` makes one. Whether a machine
    made a file, `soundalike explain` says without.

    Exit code: 0 all clear or licensed, 1 something is flagged, 2 something could not be judged.

    Examples:

        soundalike check song.mp3

        soundalike check --json uploads/*.flac > evidence.jsonl

        soundalike check --ai-vocals --uploader studio-7 cover.wav

        soundalike check --generation 41 song.mp3
    """
    from pipeline.equipment import equipment_of  # noqa: PLC0415 -- `--help` stays quick
    from pipeline.events import AiDisclosure  # noqa: PLC0415
    from soundalike.publishing import id_of, upload_of  # noqa: PLC0415
    from soundalike.render import show_evidence  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import LOCAL_FILES, equipment_plan, past_of  # noqa: PLC0415

    if at is not None and generation is None:
        raise SettingsError("--at belongs to --generation: name the past generation that is to judge")
    settings = load_settings(
        data=data,
        catalog_url=catalog_url,
        embedder=embedder,
        max_false_positive_rate=max_false_positive_rate,
        min_matched_s=min_matched_s,
        min_ai_probability=min_ai_probability,
        flag_ai=flag_ai,
    )
    statement = {
        "uploader": uploader or LOCAL_UPLOADER,
        "licences": tuple(licence or ()),
        "distributor": distributor,
        "ai_tool": ai_tool,
        "territory": territory,
        "ai_disclosure": AiDisclosure(
            vocals=ai_vocals, instruments=ai_instruments, post_production=ai_post_production
        ),
    }
    uploads: list[Upload] = [upload_of(str(file), upload_id=id_of(file.name), **statement) for file in files]
    past = None if generation is None else past_of(settings, generation=generation, at=_instant(at))
    equipment = equipment_of(equipment_plan(settings, prefixes=(LOCAL_FILES,), past=past))
    verdicts = set()
    for upload in uploads:
        evidence = judge(upload, equipment, at=datetime.now(UTC) if past is None else past.at)
        verdicts.add(evidence.verdict.value)
        if as_json:
            typer.echo(evidence.model_dump_json())
        else:
            show_evidence(evidence)
    if "undecodable" in verdicts:
        raise typer.Exit(EXIT_NOT_JUDGED)
    raise typer.Exit(EXIT_FLAGGED if "flagged" in verdicts else 0)


def _instant(at: str | None) -> datetime | None:
    from soundalike.commands.catalog_terms import parse_instant  # noqa: PLC0415

    return None if at is None else parse_instant(at, option="--at")


def judge(upload: Upload, equipment: Equipment, *, at: datetime) -> Evidence:
    """One file; what can't be judged, for whatever reason, is `undecodable`."""
    from pipeline.analyse import analyse, conclude_undecodable  # noqa: PLC0415
    from pipeline.evidence import AudioFacts  # noqa: PLC0415
    from soundalike.errors import AudioError, DecoderUnavailable, FetchFailed  # noqa: PLC0415

    try:
        return analyse(upload, equipment=equipment, at=at).evidence
    except (FetchFailed, DecoderUnavailable) as error:
        # A stream tries again later; here the answer is now, and the other files are still to be judged.
        facts = AudioFacts(uri=upload.uri)
        return conclude_undecodable(upload, facts, AudioError(str(error)), equipment=equipment).evidence
