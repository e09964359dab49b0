"""`soundalike demo`: real music, recognised and judged on this machine, by the graph of production."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from soundalike.errors import SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.evidence import Evidence
    from pipeline.log import Log
    from soundalike.demo_uploads import DemoCatalog, DemoUpload
    from soundalike.settings import Settings

EXIT_WRONG = 1
GROUP = "demo"
POLL_S = 0.2

Step = Callable[[int, int, str], None]
"""How many are done, of how many, and the name of what is in hand."""


def demo(
    into: Annotated[
        Path, typer.Option(metavar="DIR", help="Folder for all that the demo makes; may be kept or deleted.")
    ] = Path("demo-data"),
) -> None:
    """Recognise and judge sixteen uploads of real music here and now: no Kafka, no Java, no database server.

    Builds a catalog of twelve recordings, renders uploads that copy, bend and quote them, streams these
    through the same graph as in production, and shows what was expected beside what came out.

    Exit code: 0 every verdict is right, 1 one is wrong.
    """
    from rich.console import Console  # noqa: PLC0415 -- `--help` stays quick

    from pipeline import logs  # noqa: PLC0415
    from soundalike.demo_uploads import DEMO_AUDIO, demo_catalog, render_uploads  # noqa: PLC0415
    from soundalike.render import DemoRow, show_demo  # noqa: PLC0415
    from soundalike.settings import load_settings  # noqa: PLC0415
    from soundalike.wiring import open_log  # noqa: PLC0415

    into = into.resolve()
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"can't make the folder {into}: {error.strerror}; choose another with --into"
        ) from error
    # Its own folder and nothing else: a configured catalog or broker is not what a demo may write to.
    settings = load_settings(
        data=into / "catalog",
        source="local",
        spool=into / "spool",
        topic_prefix="",
        group=GROUP,
        allow_uri=((into / "uploads").as_uri() + "/",),
    ).model_copy(update={"catalog_url": None, "metrics_port": None})
    console = Console(highlight=False)
    began_s = time.monotonic()
    with (into / "log.jsonl").open("a", encoding="utf-8") as log_file:
        logs.configure(level=settings.log_level, stream=log_file)
        with _steps(console, "Licensed catalog") as step:
            _build_catalog(settings, audio=DEMO_AUDIO, catalog=demo_catalog(), step=step)
        with _steps(console, "Rendering uploads") as step:
            uploads = render_uploads(DEMO_AUDIO, into / "uploads", step)
        log = open_log(settings)
        _publish(uploads, log)
        with _steps(console, "Judging uploads") as step:
            evidence = _judge(settings, log, uploads, step=step)
    rows = [
        DemoRow(
            name=upload.file.name,
            expected_verdict=upload.expected_verdict.value,
            expected_track=upload.expected_track,
            evidence=evidence.get(upload.upload_id),
        )
        for upload in uploads
    ]
    console.print()
    show_demo(rows, console=console)
    folder = _keep(evidence.values(), into / "evidence")
    right = sum(row.is_right for row in rows)
    console.print(
        f"\n{right} of {len(rows)} verdicts are as expected, in {time.monotonic() - began_s:.0f} s."
        f"\nEvidence records: {_short(folder)}/\nEvent topics:     {_short(into / 'spool')}/*.jsonl",
        soft_wrap=True,
    )
    if right < len(rows):
        raise typer.Exit(EXIT_WRONG)


def _build_catalog(settings: Settings, *, audio: Path, catalog: DemoCatalog, step: Step) -> None:
    """Tracks, terms and accounts; what is there from an earlier run is left as it is."""
    from classifiers.fingerprint import ReferencePrint, load_fingerprinter  # noqa: PLC0415
    from index.catalog import Catalog  # noqa: PLC0415
    from pipeline.decode import decode  # noqa: PLC0415
    from soundalike.commands.catalog_ingest import Candidate, ingest  # noqa: PLC0415

    step(0, len(catalog.tracks), "loading the recogniser")
    ear = load_fingerprinter(settings.embedder)

    def hear(file: Path) -> ReferencePrint:
        return ear.reference(decode(file).audio)

    with Catalog.open(settings.data, create=True) as store:
        for number, track in enumerate(catalog.tracks):
            step(number, len(catalog.tracks), track.title)
            candidate = Candidate(
                track_id=track.track_id,
                file=audio / track.file,
                title=track.title,
                artists=(track.artist,),
                rights=track.rights,
            )
            ingest(candidate, catalog=store, hear=hear, model_sha256=ear.sha256)
        known = {term.term_id for term in store.terms()}
        store.record_terms(term for term in catalog.terms if term.term_id not in known)
        linked = {(account.account, account.rightsholder) for account in store.accounts()}
        for account, rightsholder in catalog.accounts:
            if (account, rightsholder) not in linked:
                store.link_account(account, rightsholder=rightsholder)
    step(len(catalog.tracks), len(catalog.tracks), "ready")


def _publish(uploads: Sequence[DemoUpload], log: Log) -> None:
    from pipeline.events import Upload, event_key, upload_event  # noqa: PLC0415
    from pipeline.topics import UPLOADS  # noqa: PLC0415

    writer = log.open_writer()
    for upload in uploads:
        event = upload_event(
            Upload(
                upload_id=upload.upload_id,
                uri=upload.file.as_uri(),
                uploader=upload.uploader,
                claim=upload.claim,
                ai_disclosure=upload.ai_disclosure,
                licences=upload.licences,
            )
        )
        writer.send(UPLOADS, event_key(event), event.to_bytes())
    writer.flush()
    writer.close()


def _judge(settings: Settings, log: Log, uploads: Sequence[DemoUpload], *, step: Step) -> dict[str, Evidence]:
    """Run the job until nothing is left, and collect the verdicts from their topic, as any consumer would."""
    from pipeline.events import parse_event  # noqa: PLC0415
    from pipeline.evidence import Evidence  # noqa: PLC0415
    from pipeline.topics import VERDICTS  # noqa: PLC0415
    from soundalike.commands.run import stream  # noqa: PLC0415
    from soundalike.following import follow  # noqa: PLC0415
    from soundalike.wiring import equipment_plan  # noqa: PLC0415

    names = {upload.upload_id for upload in uploads}
    found: dict[str, Evidence] = {}

    def collect() -> None:
        for record in follow(log, VERDICTS, once=True, group=GROUP):
            _, evidence = parse_event(record.value)
            if isinstance(evidence, Evidence) and evidence.upload_id in names:
                found[evidence.upload_id] = evidence
                step(len(found), len(names), f"{evidence.upload_id}: {evidence.verdict.value}")

    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_S):
            collect()

    step(0, len(names), "loading the catalog")
    collect()
    found.clear()  # verdicts of an earlier run that nobody has looked at
    watcher = threading.Thread(target=watch, name="demo-progress")
    watcher.start()
    try:
        stream(settings, log=log, plan=equipment_plan(settings), once=True)
    finally:
        ended.set()
        watcher.join()
    collect()
    step(len(found), len(names), "done")
    return found


def _keep(records: Iterable[Evidence], folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for evidence in records:
        (folder / f"{evidence.upload_id}.json").write_text(
            evidence.model_dump_json(indent=2) + "\n", encoding="utf-8"
        )
    return folder


@contextmanager
def _steps(console: Console, title: str) -> Iterator[Step]:
    """A progress bar that tells what is in hand, and stays behind with the seconds it took."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (
        TextColumn(f"{title:<18}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[name]}", style="dim"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(title, total=None, name="")

        def step(done: int, total: int, name: str) -> None:
            progress.update(task, completed=done, total=total, name=name[:48])

        yield step


def _short(path: Path) -> str:
    """Relative to the working folder where it lies below it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)
