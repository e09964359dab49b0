"""`soundalike publish`: put upload events on the log."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from soundalike import options
from soundalike.errors import SettingsError


def publish(
    where: Annotated[
        list[str], typer.Argument(metavar="FILE|URI...", help="Audio files, or URIs that the job can reach.")
    ],
    *,
    brokers: options.Brokers = None,
    source: options.Source = None,
    spool: options.Spool = None,
    topic_prefix: options.TopicPrefix = None,
    upload_id: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="Of a single upload.  [default: the file's name and a random part]",
            rich_help_panel=options.UPLOAD,
        ),
    ] = None,
    uploader: options.Uploader = None,
    artist: Annotated[
        str | None, typer.Option(help="Claimed artist.", rich_help_panel=options.UPLOAD)
    ] = None,
    title: Annotated[str | None, typer.Option(help="Claimed title.", rich_help_panel=options.UPLOAD)] = None,
    isrc: Annotated[str | None, typer.Option(help="Claimed ISRC.", rich_help_panel=options.UPLOAD)] = None,
    licence: options.Licences = None,
    distributor: options.Distributor = None,
    ai_tool: options.AiTool = None,
    territory: options.Territory = None,
    ai_vocals: options.AiVocals = None,
    ai_instruments: options.AiInstruments = None,
    ai_post_production: options.AiPostProduction = None,
) -> None:
    """Send an upload event for each file, as the upload service does.

    A file is sent as its file:// URI, so the job has to see the same disk and to allow that place.

    Examples:

        soundalike publish --spool ./spool song.mp3

        soundalike publish --brokers localhost:9092 --uploader studio-7 --ai-vocals s3://uploads/cover.wav
    """
    from index.tracks import clean_isrc  # noqa: PLC0415 -- quick --help
    from pipeline.events import AiDisclosure, Claim, event_key, upload_event  # noqa: PLC0415
    from pipeline.topics import UPLOADS  # noqa: PLC0415
    from soundalike.publishing import upload_of  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import open_log  # noqa: PLC0415

    if upload_id is not None and len(where) > 1:
        raise SettingsError("--upload-id names one upload; publish the files one by one")
    missing = [name for name in where if "://" not in name and not Path(name).is_file()]
    if missing:
        what = "is a folder" if Path(missing[0]).is_dir() else "no such file"
        raise SettingsError(f"{missing[0]}: {what}; name a file, or a URI such as s3://bucket/song.wav")
    claim = Claim(artist=artist, title=title, isrc=None if isrc is None else clean_isrc(isrc))
    settings = load_settings(brokers=brokers, source=source, spool=spool, topic_prefix=topic_prefix)
    uploads = [
        upload_of(
            name,
            upload_id=upload_id,
            uploader=uploader or getpass.getuser(),
            claim=claim,
            ai_disclosure=AiDisclosure(
                vocals=ai_vocals, instruments=ai_instruments, post_production=ai_post_production
            ),
            licences=tuple(licence or ()),
            distributor=distributor,
            ai_tool=ai_tool,
            territory=territory,
        )
        for name in where
    ]
    writer = open_log(settings).open_writer()
    try:
        for upload in uploads:
            event = upload_event(upload)
            writer.send(settings.topic_prefix + UPLOADS, event_key(event), event.to_bytes())
        writer.flush()
    finally:
        writer.close()
    for upload in uploads:
        typer.echo(upload.upload_id)
