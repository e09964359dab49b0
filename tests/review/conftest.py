"""A desk for tests: real database and application, a clock set by hand, audio made on the spot."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
import soundfile
import uvicorn
from argon2 import PasswordHasher
from fastapi.testclient import TestClient
from sqlalchemy import Connection, create_engine, make_url, text

from pipeline.decode import DecodeLimits
from pipeline.events import Claim, Upload, flag_event, upload_event
from pipeline.evidence import Evidence
from pipeline.fetch import FetchPolicy
from pipeline.log import TopicPlan
from pipeline.spool_log import SpoolLog
from review import accounts
from review.accounts import add_token, add_user
from review.app import create_app
from review.assets_build import VENDOR, assets_are_built, build_assets
from review.database import Database, parse_url, sqlite_url
from review.desk import Desk, OidcSettings
from review.intake import case_id_of, intake_step, read_flag, references_of, take_flag, take_upload
from review.media import prepare_next
from review.media_store import MediaStore
from review.outbox import publish_due
from review.policy import DeskPolicy
from review.ports import Quarantines, Reference
from review.rate_limit import RateLimit
from review.roles import Role
from review.sessions import Signer
from review.workers import Worker
from soundalike.commands.review_wiring import LogDecisionSink, LogEventSource, PipelineAudio

START = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PASSWORD = "correct horse battery"
RATE_HZ = 22_050
PEOPLE = (("ann", Role.REVIEWER), ("ben", Role.REVIEWER), ("lea", Role.LEAD), ("leo", Role.LEAD),
          ("aud", Role.AUDITOR), ("adm", Role.ADMIN))  # fmt: skip


@dataclass
class Clock:
    now: datetime = START

    def __call__(self) -> datetime:
        return self.now

    def forward(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@dataclass
class FixedReferences:
    tracks: dict[str, Reference] = field(default_factory=dict)

    def find(self, track_id: str) -> Reference | None:
        return self.tracks.get(track_id)


def evidence_document(upload_id: str, **changes: Any) -> dict[str, Any]:
    """A flagged upload: one match of 20 s, pitched and sped up, on track `song`."""
    document: dict[str, Any] = {
        "upload_id": upload_id,
        "verdict": "flagged",
        "rule": "unlicensed-match",
        "reason": "20 s of it are the recording Song, and nobody allowed that.",
        "audio": {"uri": f"file:///nowhere/{upload_id}.wav", "sha256": "ab" * 32, "codec": "pcm_s16le",
                  "container": "wav", "sample_rate_hz": RATE_HZ, "channels": 1, "duration_s": 30.0,
                  "loudness_lufs": -18.0},
        "matches": [match_document("song", "Song")],
        "ai": {"probability": 0.4, "low": 0.2, "high": 0.6, "known": True,
               "segments": [{"start_s": 2.0, "end_s": 9.0, "probability": 0.7}],
               "signs": [{"name": "comb", "value": 0.3, "probability": 0.6, "detail": "86.1 Hz"}],
               "provenance": [{"kind": "tag", "state": "absent", "detail": ""}]},
        "consent": [{"rightsholder": "Label", "use": "ai_derivative", "decision": "deny"}],
        "policy": {"version": "1", "hash": "f" * 16},
        "index": {"generation": 3, "tracks": 12},
        "models": [{"name": "embedder", "sha256": "c" * 64}],
    }  # fmt: skip
    document.update(changes)
    return document


def match_document(track_id: str, title: str, **changes: Any) -> dict[str, Any]:
    document = {
        "track_id": track_id, "title": title, "kind": "recording", "query_start_s": 5.0, "query_end_s": 25.0,
        "reference_start_s": 8.0, "reference_end_s": 33.0, "shift_semitones": 3.9, "tempo_ratio": 1.25,
        "coverage": 0.66, "score": 40.0, "false_positive_rate": 0.0005,
    }  # fmt: skip
    return {**document, **changes}


def flag_bytes(upload_id: str, *, at: datetime = START, **changes: Any) -> bytes:
    evidence = Evidence.model_validate(evidence_document(upload_id, **changes))
    return flag_event(evidence, time=at).to_bytes()


def upload_bytes(upload_id: str, *, uploader: str = "acct-1", title: str = "Mine", artist: str = "Me",
                 uri: str | None = None) -> bytes:  # fmt: skip
    upload = Upload(upload_id=upload_id, uri=uri or f"file:///nowhere/{upload_id}.wav", uploader=uploader,
                    claim=Claim(title=title, artist=artist))  # fmt: skip
    return upload_event(upload, time=START).to_bytes()


@dataclass
class Bench:
    """The desk and what a test does with it."""

    desk: Desk
    clock: Clock
    references: FixedReferences

    flag_bytes = staticmethod(flag_bytes)
    upload_bytes = staticmethod(upload_bytes)
    match_document = staticmethod(match_document)
    password = PASSWORD

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self.desk.database.write() as connection:
            yield connection

    def flag(self, upload_id: str, **changes: Any) -> str:
        """Take a flag in; returns its case."""
        flag = read_flag(flag_bytes(upload_id, **changes), now=self.clock())
        known = references_of(flag.evidence, self.references)
        with self.write() as connection:
            take_flag(connection, flag, known=known, now=self.clock(), policy=self.desk.policy)
        return case_id_of(flag.event_id)

    def upload(self, upload_id: str, **changes: Any) -> None:
        with self.write() as connection:
            take_upload(connection, upload_bytes(upload_id, **changes), policy=self.desk.policy)

    def browser(self, name: str | None = None) -> TestClient:
        """A client with cookies of its own, signed in as `name`, sending the CSRF token by itself."""
        client = TestClient(create_app(self.desk), base_url="http://desk.test", follow_redirects=False)
        if name is not None:
            answer = client.post("/api/v1/session", json={"user_id": name, "password": PASSWORD})
            assert answer.status_code == 200, answer.text
            client.headers["x-csrf-token"] = answer.json()["csrf"]
        return client

    def program(self) -> TestClient:
        """A client with a service token."""
        with self.write() as connection:
            token = add_token(connection, "uploads", now=self.clock(), actor="test")
        client = TestClient(create_app(self.desk), base_url="http://desk.test")
        client.headers["authorization"] = f"Bearer {token}"
        return client


def seed_people(database: Database, now: datetime) -> None:
    with database.write() as connection:
        for name, role in PEOPLE:
            add_user(connection, user_id=name, role=role, now=now, actor="test", password=PASSWORD)
        add_user(connection, user_id="rita", role=Role.RIGHTS_OPS, now=now, actor="test", password=PASSWORD,
                 rightsholder="Label")  # fmt: skip


@pytest.fixture(scope="session")
def people_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with accounts, made once. Hashing is cheap here: argon2 takes its time on purpose."""
    accounts._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    path = tmp_path_factory.mktemp("people") / "desk.sqlite"
    database = Database(sqlite_url(path))
    database.upgrade()
    seed_people(database, START)
    database.close()
    return path


ON_BOTH = ("decisions", "leases", "queue", "keeping", "security")
"""Test modules that run on SQLite and on PostgreSQL: all that is about what is stored."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "bench_database" in metafunc.fixturenames:
        both = metafunc.module.__name__.endswith(ON_BOTH)
        kinds = ["sqlite", "postgresql"] if both else ["sqlite"]
        metafunc.parametrize("bench_database", kinds, indirect=True)


@pytest.fixture(scope="session")
def people_on_postgres(postgres_server: str, people_database: Path) -> str:
    """Name of a database with the accounts, to be copied; made once."""
    name = "soundalike_people"
    server = make_url(postgres_server).set(drivername="postgresql+psycopg")
    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    database = Database(server.set(database=name))
    database.upgrade()
    seed_people(database, START)
    database.close()
    return name


@pytest.fixture
def bench_database(
    request: pytest.FixtureRequest, tmp_path: Path, people_database: Path
) -> Iterator[Database]:
    """The desk's database with its accounts, on SQLite or PostgreSQL."""
    if request.param == "sqlite":
        path = tmp_path / "desk.sqlite"
        shutil.copyfile(people_database, path)
        url = sqlite_url(path)
    else:
        template = request.getfixturevalue("people_on_postgres")
        url = parse_url(request.getfixturevalue("make_postgres")(like=template))
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def bench(tmp_path: Path, bench_database: Database) -> Bench:
    clock = Clock()
    references = FixedReferences({"song": Reference("song", "Song", uri="file:///nowhere/song.wav",
                                                    rightsholders=("Label",))})  # fmt: skip
    desk = Desk(
        database=bench_database,
        store=MediaStore(tmp_path / "media"),
        references=references,
        signer=Signer(b"k" * 32),
        policy=DeskPolicy(second_opinion_share=0.0, second_opinion_harm=2.0, golden_share=0.0),
        public_url="http://desk.test",
        clock=clock,
        login_limit=RateLimit(attempts=1000, window_s=60.0),
        host_limit=RateLimit(attempts=1000, window_s=60.0),
        request_limit=RateLimit(attempts=100_000, window_s=60.0),
    )
    return Bench(desk, clock, references)


@pytest.fixture
def with_policy(bench: Bench) -> Callable[..., Bench]:
    """The same desk under other rules."""

    def change(**values: Any) -> Bench:
        bench.desk = replace(bench.desk, policy=replace(bench.desk.policy, **values))
        return bench

    return change


# Single sign-on

OIDC_CLIENT = ("desk", "a secret of the desk and the provider")


@contextmanager
def identity_provider(redirect_uri: str) -> Iterator[str]:
    """A real OpenID Connect provider in a process of its own; yields its issuer."""
    program = Path(__file__).with_name("oidc_provider.py")
    with subprocess.Popen(
        [sys.executable, str(program), *OIDC_CLIENT, redirect_uri],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None and process.stdout is not None
        issuer = process.stdout.readline().strip()
        assert issuer.startswith("http://localhost:"), "the provider did not start"
        deadline_s = time.monotonic() + 30
        while True:
            try:
                httpx2.get(f"{issuer}/keys", timeout=5)
                break
            except httpx2.TransportError:
                assert time.monotonic() < deadline_s, "the provider did not answer"
                time.sleep(0.05)
        try:
            yield issuer
        finally:
            process.stdin.close()  # it ends with us, however we end
            process.wait(20)


@pytest.fixture(scope="session")
def provider_for_desk_test() -> Iterator[OidcSettings]:
    """For desks that tests reach as http://desk.test."""
    with identity_provider("http://desk.test/oidc/callback") as issuer:
        yield OidcSettings(issuer=issuer, client_id=OIDC_CLIENT[0], client_secret=OIDC_CLIENT[1])


# A real server, for browsers


@dataclass
class Live:
    """A running desk over a spool."""

    url: str
    desk: Desk
    spool: SpoolLog
    folder: Path
    password: str = PASSWORD

    flag_bytes = staticmethod(flag_bytes)
    upload_bytes = staticmethod(upload_bytes)
    match_document = staticmethod(match_document)

    def publish(self, topic: str, *values: bytes) -> None:
        writer = self.spool.open_writer()
        for value in values:
            writer.send(topic, None, value)
        writer.flush()
        writer.close()

    def decisions(self) -> list[dict[str, Any]]:
        lines = self.spool.path("decisions").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def wait_for(self, what: Callable[[], Any], *, limit_s: float = 60.0) -> Any:
        """The first true answer of `what`; fails the test after `limit_s`."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            if answer := what():
                return answer
            time.sleep(0.1)
        pytest.fail(f"{what} did not come true within {limit_s} s")


@dataclass
class FolderReferences:
    folder: Path

    def find(self, track_id: str) -> Reference | None:
        file = self.folder / f"{track_id}.flac"
        if not file.exists():
            return None
        return Reference(track_id, "Song", uri=file.as_uri(), rightsholders=("Label",))


@pytest.fixture(scope="session")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """song.flac: 40 s of a real recording; quick.flac: its seconds 8 to 33, played 1.25 times as fast."""
    folder = tmp_path_factory.mktemp("music")
    source = Path(__file__).parents[2] / "soundalike" / "demo_audio" / "egypt.opus"
    samples, rate_hz = soundfile.read(source, dtype="float32", always_2d=True, frames=48_000 * 40)
    mono = samples.mean(axis=1)
    soundfile.write(folder / "song.flac", mono, rate_hz)
    part = mono[8 * rate_hz : 33 * rate_hz]
    positions = np.arange(0, part.size - 1, 1.25)
    quick = np.interp(positions, np.arange(part.size), part) * 0.5
    silence = np.zeros(5 * rate_hz)
    whole = np.concatenate([silence, quick, silence]).astype(np.float32)
    soundfile.write(folder / "quick.flac", whole, rate_hz)
    return folder


@contextmanager
def running(
    folder: Path,
    people: Path,
    music: Path,
    *,
    oidc: Callable[[str], OidcSettings] | None = None,
    quarantines: Quarantines | None = None,
    **policy: Any,
) -> Iterator[Live]:
    """Serve a desk on a free loopback port, with all workers, until the end of the `with`.

    oidc: makes the settings of single sign-on from the desk's address.
    """
    shutil.copyfile(people, folder / "desk.sqlite")
    database = Database(sqlite_url(folder / "desk.sqlite"))
    spool = SpoolLog(folder / "spool")
    spool.create_topics([TopicPlan(name) for name in ("uploads", "flags", "decisions")])
    rules = {"second_opinion_share": 0.0, "second_opinion_harm": 2.0, "golden_share": 0.0, "undo_s": 2.0}
    chosen = DeskPolicy(**{**rules, **policy})
    store = MediaStore(folder / "media")
    references = FolderReferences(music)
    audio = PipelineAudio(FetchPolicy(prefixes=(music.as_uri() + "/", folder.as_uri() + "/")), DecodeLimits())
    sources = [LogEventSource(spool, name, "desk") for name in ("uploads", "flags")]
    sink = LogDecisionSink(spool, "decisions")

    def now() -> datetime:
        return datetime.now(UTC)

    def take_in() -> bool:
        return intake_step(database, uploads_source=sources[0], flags_source=sources[1],
                           references=references, policy=chosen, clock=now, max_wait_s=0.05)  # fmt: skip

    steps = {
        "intake": take_in,
        "audio": lambda: prepare_next(database, store, audio, now=now()),
        "publisher": lambda: publish_due(database, sink, now=now()) > 0,
    }
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        desk = Desk(
            database=database, store=store, references=references, signer=Signer(b"k" * 32), policy=chosen,
            quarantines=quarantines,
            public_url=url, workers=tuple(Worker(name, step, database, now) for name, step in steps.items()),
            login_limit=RateLimit(attempts=1000, window_s=60.0),
        host_limit=RateLimit(attempts=1000, window_s=60.0),
        request_limit=RateLimit(attempts=100_000, window_s=60.0), oidc=None if oidc is None else oidc(url),
        )  # fmt: skip
        server = uvicorn.Server(uvicorn.Config(create_app(desk), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        try:
            deadline_s = time.monotonic() + 30
            while not server.started:
                assert time.monotonic() < deadline_s, "the server did not start"
                time.sleep(0.02)
            yield Live(url, desk, spool, folder)
        finally:
            server.should_exit = True
            thread.join(15)
            for source in sources:
                source.close()
            sink.close()
            database.close()


@pytest.fixture
def live(tmp_path: Path, people_database: Path, music: Path, assets: None) -> Iterator[Live]:
    with running(tmp_path, people_database, music) as server:
        yield server


@pytest.fixture
def live_with_oidc(tmp_path: Path, people_database: Path, music: Path, assets: None) -> Iterator[Live]:
    """A desk whose people sign in at an identity provider."""
    with ExitStack() as stack:

        def provider_at(url: str) -> OidcSettings:
            issuer = stack.enter_context(identity_provider(f"{url}/oidc/callback"))
            return OidcSettings(issuer=issuer, client_id=OIDC_CLIENT[0], client_secret=OIDC_CLIENT[1])

        with running(tmp_path, people_database, music, oidc=provider_at) as server:
            yield server


@pytest.fixture
def live_with(tmp_path: Path, people_database: Path, music: Path, assets: None) -> Callable[..., Any]:
    """`with live_with(lease_s=3) as live:` for other rules; `quarantines=…` for a catalog that has some."""

    def start(**policy: Any) -> Any:
        return running(tmp_path, people_database, music, **policy)

    return start


@pytest.fixture(scope="session")
def assets() -> None:
    """The browser parts from npm, axe-core among them. In CI their absence is a failure."""
    axe = VENDOR.parents[1] / "assets" / "node_modules" / "axe-core" / "axe.min.js"
    if assets_are_built() and axe.exists():
        return
    if shutil.which("npm") is None:
        message = "Node and npm are missing: install nodejs and npm to test the desk's pages"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    build_assets(with_tests=True)
