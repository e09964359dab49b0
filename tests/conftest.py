"""Real servers for the tests: an Apache Kafka and a PostgreSQL, started once per session, gone at its end.

`SOUNDALIKE_TEST_BROKERS=host:port` uses a running broker instead, on which the tests make topics of their
own and leave them. Otherwise Java 17 or newer and Maven are needed; what is missing is said in one line, and
the tests that need it fail: a skipped test would look like a passed one.

`SOUNDALIKE_TEST_POSTGRES_URL` uses a running PostgreSQL that lets databases be made and dropped. Otherwise
Debian's binaries are started on a free loopback port, in a temporary folder.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.engine import URL

import soundalike  # noqa: F401 -- says how OpenMP waits, before torch and FAISS load it

if TYPE_CHECKING:
    from pipeline.kafka_log import KafkaLog

KAFKA_VERSION = "4.1.0"
MIN_JAVA = 17
POM = Path(__file__).parent / "kafka" / "pom.xml"

FETCH_TIMEOUT_S = 300
START_TIMEOUT_S = 120  # 4 s on an idle machine; 50 s were seen on two cores that had a load of 16
STOP_TIMEOUT_S = 20


THIRD_PARTY_WARNINGS: tuple[tuple[str, type[Warning]], ...] = (
    # kafka-python loads its protocol schemas with functions that Python 3.11 and 3.12 call deprecated (3.13
    # took that back).
    (r"(read|open)_text is deprecated", DeprecationWarning),
    # kafka-python leaves the socket of a refused connection to the garbage collector, which may find it in
    # any later test. A socket of ours never has this address: it is bound to 127.0.0.1 or not at all.
    (r"unclosed <socket.*laddr=.'0\.0\.0\.0'", ResourceWarning),
)
"""Warnings that nobody here can heed; all others stay errors."""


def pytest_configure(config: pytest.Config) -> None:
    for message, category in THIRD_PARTY_WARNINGS:
        config.addinivalue_line("filterwarnings", f"ignore:{message}:{category.__name__}")
        # Once more for the garbage collection after the last test, which obeys only what was set before.
        warnings.filterwarnings("ignore", message, category)


BEGUN_FIRST = ("soundalike/test_run_on_kafka", "soundalike/", "index/test_matcher")
"""The tests that take minutes: at the end of two processes' work, neither should wait long for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    def turn(item: pytest.Item) -> int:
        places = (turn for turn, name in enumerate(BEGUN_FIRST) if f"tests/{name}" in item.path.as_posix())
        return next(places, len(BEGUN_FIRST))

    items.sort(key=turn)


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a broker that the whole session shares. Topics don't make themselves on it."""
    given = os.environ.get("SOUNDALIKE_TEST_BROKERS")
    if given:
        yield given
        return
    broker = Broker(tmp_path_factory.mktemp("kafka"))
    try:
        broker.start()
        yield broker.address
    finally:
        broker.stop()


@pytest.fixture
def kafka_log(brokers: str) -> KafkaLog:
    from pipeline.kafka_log import KafkaLog  # noqa: PLC0415  # kafka-python warns while it is imported, see below

    return KafkaLog(brokers)


@pytest.fixture
def new_broker(tmp_path: Path) -> Iterator[Callable[[], Broker]]:
    """Starts brokers of the test's own, for tests that stop or break one."""
    started: list[Broker] = []

    def start() -> Broker:
        broker = Broker(tmp_path / f"kafka-{len(started)}")
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.stop()


@pytest.fixture
def unique() -> Callable[[str], str]:
    """Makes names that no other test, and no earlier run on the same broker, has used."""
    return lambda name: f"{name}-{uuid.uuid4().hex[:12]}"


class Broker:
    """One KRaft node, broker and controller in one, on free loopback ports, with its data in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port, self._controller_port = _free_ports(2)
        self.address = f"127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, or start again with the same data on the same port; returns when clients are served."""
        jars = _kafka_jars()
        self.folder.mkdir(parents=True, exist_ok=True)
        properties = self.folder / "server.properties"
        if not properties.exists():
            properties.write_text(self._properties())
            cluster_id = "c291bmRhbGlrZS10ZXN0cw"  # any 16 bytes in base64
            self._java(
                jars, "-Xmx128m", "kafka.tools.StorageTool", "format", "--standalone", "-t", cluster_id
            )
        with (self.folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_java_command(jars, "-Xmx384m", "kafka.Kafka"), str(properties)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        deadline_s = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline_s and self._process.poll() is None:
            with socket.socket() as probe:
                probe.settimeout(1.0)
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        tail = (self.folder / "broker.log").read_text(errors="replace")[-2000:]
        pytest.fail(
            f"Kafka did not listen on {self.address} within {START_TIMEOUT_S} s:\n{tail}", pytrace=False
        )

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _java(self, jars: Path, heap: str, main: str, *arguments: str) -> None:
        done = subprocess.run(
            [*_java_command(jars, heap, main), *arguments, "-c", str(self.folder / "server.properties")],
            capture_output=True,
            text=True,
            timeout=START_TIMEOUT_S,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"{main} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}", pytrace=False)

    def _properties(self) -> str:
        lines = {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.bootstrap.servers": f"127.0.0.1:{self._controller_port}",
            "log.dirs": str(self.folder / "data"),
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "offsets.topic.num.partitions": "5",
            "group.initial.rebalance.delay.ms": "0",
            # A topic that a typing error names has to be an error, as it is on a well-kept cluster.
            "auto.create.topics.enable": "false",
        }
        return "".join(f"{name}={value}\n" for name, value in lines.items())


def _java_command(jars: Path, heap: str, main: str) -> list[str]:
    return ["java", heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*", main]


def _kafka_jars() -> Path:
    """The folder of Kafka's jars, fetched with Maven into the cache the first time."""
    _require_java()
    cache = Path(os.environ.get("SOUNDALIKE_CACHE") or Path.home() / ".cache" / "soundalike")
    jars = cache / f"kafka-{KAFKA_VERSION}"
    if jars.is_dir():
        return jars
    if shutil.which("mvn") is None:
        pytest.fail(
            "Maven (mvn) is missing: it fetches Kafka. Or set SOUNDALIKE_TEST_BROKERS.", pytrace=False
        )
    cache.mkdir(parents=True, exist_ok=True)
    partial = cache / f"kafka-{KAFKA_VERSION}.{uuid.uuid4().hex}"
    fetched = subprocess.run(
        ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={partial}"],
        capture_output=True,
        text=True,
        timeout=FETCH_TIMEOUT_S,
        check=False,
    )
    if fetched.returncode != 0:
        shutil.rmtree(partial, ignore_errors=True)
        pytest.fail(f"Maven could not fetch Kafka: {fetched.stdout[-1000:]}", pytrace=False)
    try:
        partial.rename(jars)  # all of it or nothing: another session may be fetching at the same time
    except OSError:
        shutil.rmtree(partial)
    return jars


def _require_java() -> None:
    hint = f"Java {MIN_JAVA} or newer is needed to run Kafka. Or set SOUNDALIKE_TEST_BROKERS=host:port."
    if shutil.which("java") is None:
        pytest.fail(f"java is missing: {hint}", pytrace=False)
    # Prints e.g. `openjdk 17.0.15 2025-04-15`; Java 8 does not know the option.
    version = subprocess.run(["java", "--version"], capture_output=True, text=True, timeout=30, check=False)
    words = version.stdout.split()
    major = words[1].split(".")[0] if len(words) > 1 else ""
    if not major.isdecimal() or int(major) < MIN_JAVA:
        pytest.fail(f"java is too old: {hint}", pytrace=False)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


# PostgreSQL

POSTGRES_START_S = 60.0


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """URL of a server on which databases may be made."""
    if given := os.environ.get("SOUNDALIKE_TEST_POSTGRES_URL"):
        yield given
        return
    binaries = postgres_binaries()
    if binaries is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("no PostgreSQL: install Debian's package postgresql, or set SOUNDALIKE_TEST_POSTGRES_URL")
    # Not pytest's own temporary folder: PostgreSQL refuses to run as root, and others may not look into that.
    folder = Path(tempfile.mkdtemp(prefix="soundalike-postgres-"))
    try:
        yield from _own_server(binaries, folder)
    finally:
        shutil.rmtree(folder)


def _own_server(binaries: Path, folder: Path) -> Iterator[str]:
    user = None
    if os.geteuid() == 0:
        names = {entry.pw_name for entry in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(folder, user=user)
    data = folder / "data"
    options: dict[str, Any] = {
        "user": user,
        "cwd": folder,
        "env": {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
    }
    subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"],
        check=True, capture_output=True, timeout=120, **options,
    )  # fmt: skip
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", folder]
    with (folder / "log").open("wb") as log:
        # fsync off: these databases need not survive a power cut.
        server = subprocess.Popen([*command, "-c", "fsync=off"], stdout=log, stderr=log, **options)
    url = f"postgresql://tester@127.0.0.1:{port}/postgres"
    try:
        _wait_for(url, server, log=folder / "log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _wait_for(url: str, server: subprocess.Popen[bytes], *, log: Path) -> None:
    deadline = time.monotonic() + POSTGRES_START_S
    while True:
        if server.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"the tests' PostgreSQL did not start:\n{log.read_text()}")
        try:
            _administer(url, "SELECT 1")
        except Exception:  # noqa: BLE001 -- not up yet; the deadline above ends this
            time.sleep(0.1)
        else:
            return


def _administer(url: str, statement: str) -> None:
    engine = create_engine(_with_driver(url), isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.execute(text(statement))
    finally:
        engine.dispose()


def _with_driver(url: str) -> URL:
    parsed = make_url(url)
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


@pytest.fixture
def make_postgres(postgres_server: str) -> Iterator[Callable[..., str]]:
    """Makes databases of the test's own, empty or as copies of another; they go at its end."""
    made: list[str] = []

    def make(*, like: str | None = None) -> str:
        name = f"test_{uuid.uuid4().hex}"
        _administer(postgres_server, f"CREATE DATABASE {name}" + (f" TEMPLATE {like}" if like else ""))
        made.append(name)
        return make_url(postgres_server).set(database=name).render_as_string(hide_password=False)

    yield make
    for name in made:
        _administer(postgres_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_postgres(make_postgres: Callable[..., str]) -> str:
    """URL of an empty database."""
    return make_postgres()
