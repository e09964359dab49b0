"""Fetching for real: local files, a loopback HTTP server, TLS, an object store's seam."""

import hashlib
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from fsspec.implementations.memory import MemoryFileSystem
from fsspec.registry import _registry, known_implementations

from pipeline import http_get
from pipeline.fetch import FetchPolicy, fetch
from soundalike.errors import (
    AudioError,
    AudioNotFound,
    AudioTooLarge,
    FetchFailed,
    SettingsError,
    UriNotAllowed,
)

CONTENT = os.urandom(3_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


# ---------------------------------------------------------------- files


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "deep").mkdir(parents=True)
    (folder / "a song é.wav").write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "uploads-evil").mkdir()
    (tmp_path / "uploads-evil" / "x").write_bytes(b"x")
    return folder


def policy_for(folder: Path, **more: Any) -> FetchPolicy:
    scratch = folder.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return FetchPolicy(prefixes=(folder.as_uri() + "/",), temp_dir=scratch, **more)


def test_a_file_is_copied_and_hashed_and_the_copy_removed(uploads: Path) -> None:
    policy = policy_for(uploads)
    with fetch((uploads / "a song é.wav").as_uri(), policy=policy) as fetched:
        assert fetched.path.read_bytes() == CONTENT
        assert (fetched.sha256, fetched.size_bytes) == (SHA256, len(CONTENT))
        assert fetched.uri.endswith("/a%20song%20%C3%A9.wav")
    assert list((uploads.parent / "scratch").iterdir()) == []


def test_a_file_whose_name_is_not_utf8_is_fetched_and_named_readably(uploads: Path) -> None:
    named = uploads / os.fsdecode(b"caf\xe9.wav")
    named.write_bytes(CONTENT)
    policy = FetchPolicy(prefixes=(uploads.as_uri(),))

    with fetch(named.as_uri(), policy=policy) as fetched:
        assert fetched.path.read_bytes() == CONTENT
        assert fetched.uri.endswith("/caf%E9.wav")

    named.unlink()
    with pytest.raises(AudioNotFound, match=r"caf\ufffd\.wav: no such file"):
        fetch(named.as_uri(), policy=policy)


def test_links_inside_the_prefix_are_followed_and_links_out_of_it_are_not(uploads: Path) -> None:
    (uploads / "inside").symlink_to(uploads / "a song é.wav")
    (uploads / "outside").symlink_to(uploads.parent / "secret")
    (uploads / "deep" / "up").symlink_to(uploads.parent)
    (uploads / "circle").symlink_to(uploads / "circle")
    policy = policy_for(uploads)
    with fetch((uploads / "inside").as_uri(), policy=policy) as fetched:
        assert fetched.sha256 == SHA256
    for path in ("outside", "deep/up/secret"):
        with pytest.raises(UriNotAllowed, match="symbolic link"):
            fetch((uploads / path).as_uri(), policy=policy)
    with pytest.raises(AudioNotFound):
        fetch((uploads / "circle").as_uri(), policy=policy)


def test_a_link_that_appears_after_the_check_is_not_followed(
    uploads: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The race: the path is a folder while it is resolved, and a link when it is opened."""
    inner = uploads / "deep" / "secret"
    inner.write_bytes(b"harmless")
    resolve_path = Path.resolve

    def resolve_then_swap(self: Path, strict: bool = False) -> Path:
        real = resolve_path(self, strict)
        if self == inner:
            (uploads / "deep").rename(uploads / "gone")
            (uploads / "deep").symlink_to(uploads.parent)
        return real

    monkeypatch.setattr(Path, "resolve", resolve_then_swap)
    with pytest.raises(FetchFailed):
        fetch(inner.as_uri(), policy=policy_for(uploads))


def test_what_is_no_regular_file_is_not_found(uploads: Path) -> None:
    os.mkfifo(uploads / "pipe")
    for name in ("missing.wav", "deep", "pipe", "a song é.wav/more"):
        with pytest.raises(AudioNotFound):
            fetch((uploads / name).as_uri(), policy=policy_for(uploads, timeout_s=5))


def test_a_sibling_folder_with_the_same_beginning_is_not_under_the_prefix(uploads: Path) -> None:
    with pytest.raises(UriNotAllowed):
        fetch((uploads.parent / "uploads-evil" / "x").as_uri(), policy=policy_for(uploads))


def test_a_file_of_exactly_the_limit_passes_and_one_more_byte_does_not(uploads: Path) -> None:
    uri = (uploads / "a song é.wav").as_uri()
    with fetch(uri, policy=policy_for(uploads, max_bytes=len(CONTENT))) as fetched:
        assert fetched.size_bytes == len(CONTENT)
    with pytest.raises(AudioTooLarge):
        fetch(uri, policy=policy_for(uploads, max_bytes=len(CONTENT) - 1))
    assert list((uploads.parent / "scratch").iterdir()) == []


# ---------------------------------------------------------------- HTTP

Answer = Callable[[BaseHTTPRequestHandler], None]


class Server:
    """A loopback server whose paths are answered by functions, and which remembers what was asked."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.routes: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.stopping = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                try:
                    outer.routes.get(self.path.partition("?")[0], lambda h: h.send_error(404))(self)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def log_message(self, *_: Any) -> None:
                pass

        class Listener(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass  # clients that hang up are what is tested

        self.listener = Listener(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.listener.socket = tls.wrap_socket(self.listener.socket, server_side=True)
        self.port = self.listener.server_address[1]
        self.url = f"{'https' if tls else 'http'}://store.test:{self.port}"
        self.thread = threading.Thread(target=self.listener.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        self.listener.shutdown()
        self.listener.server_close()
        self.thread.join(5)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def loopback(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


def http_policy(server: Server, **more: Any) -> FetchPolicy:
    return FetchPolicy(
        **{
            "prefixes": (f"{server.url}/ok/",),
            "private_hosts": frozenset({"store.test"}),
            "timeout_s": 10,
            **more,
        }
    )


def send(body: bytes, *, status: int = 200, announce: int | None = None, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if announce is None or announce >= 0:
            handler.send_header("Content-Length", str(len(body) if announce is None else announce))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def redirect(target: str) -> Answer:
    return send(b"", status=302, Location=target)


def test_an_object_is_downloaded_with_its_query_and_hashed(server: Server) -> None:
    server.routes["/ok/a.mp3"] = send(CONTENT)
    with fetch(f"{server.url}/ok/a.mp3?sig=s3cret", policy=http_policy(server), resolver=loopback) as fetched:
        assert (fetched.sha256, fetched.size_bytes) == (SHA256, len(CONTENT))
        assert fetched.uri == f"{server.url}/ok/a.mp3"
    assert server.asked == ["/ok/a.mp3?sig=s3cret"]


def test_a_private_address_is_refused_before_anything_is_sent(server: Server) -> None:
    server.routes["/ok/a.mp3"] = send(CONTENT)
    policy = http_policy(server, private_hosts=frozenset())
    with pytest.raises(UriNotAllowed, match=r"127\.0\.0\.1"):
        fetch(f"{server.url}/ok/a.mp3", policy=policy, resolver=loopback)
    mixed = ["8.8.8.8", "169.254.169.254"]
    with pytest.raises(UriNotAllowed, match=r"169\.254"):
        fetch(f"{server.url}/ok/a.mp3", policy=policy, resolver=lambda *_: mixed)
    assert server.asked == []


def test_the_name_is_looked_up_once_so_that_a_second_answer_can_not_differ(server: Server) -> None:
    server.routes["/ok/a.mp3"] = send(CONTENT)
    lookups: list[str] = []

    def rebinding(host: str, port: int) -> list[str]:
        lookups.append(host)
        return ["127.0.0.1"] if len(lookups) == 1 else ["169.254.169.254"]

    fetch(f"{server.url}/ok/a.mp3", policy=http_policy(server), resolver=rebinding).close()
    assert lookups == ["store.test"]


def test_redirects_inside_the_prefixes_are_followed(server: Server) -> None:
    server.routes |= {"/ok/1": redirect("/ok/2"), "/ok/2": redirect("3?x=1"), "/ok/3": send(CONTENT)}
    with fetch(f"{server.url}/ok/1", policy=http_policy(server), resolver=loopback) as fetched:
        assert fetched.sha256 == SHA256
    assert server.asked == ["/ok/1", "/ok/2", "/ok/3?x=1"]


@pytest.mark.parametrize(
    "target",
    [
        "/private/2",
        "/ok/../private/2",
        "/ok/%2e%2e/private/2",
        "http://evil.test/ok/2",
        "//evil.test/ok/2",
        "https://store.test/ok/2",
        "file:///etc/passwd",
        "ftp://store.test/ok/2",
        "http://169.254.169.254/latest/meta-data/",
        "s3://bucket/x",
        "",
    ],
)
def test_redirects_out_of_the_prefixes_are_refused(server: Server, target: str) -> None:
    server.routes["/ok/1"] = redirect(target)
    server.routes["/private/2"] = send(b"secret")
    with pytest.raises(UriNotAllowed):
        fetch(f"{server.url}/ok/1", policy=http_policy(server), resolver=loopback)
    assert set(server.asked) == {"/ok/1"}


def test_redirects_in_a_circle_end(server: Server) -> None:
    server.routes["/ok/1"] = redirect("/ok/1")
    with pytest.raises(UriNotAllowed, match="redirects"):
        fetch(f"{server.url}/ok/1", policy=http_policy(server, max_redirects=3), resolver=loopback)
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (send(b"", status=404), AudioNotFound),
        (send(b"", status=410), AudioNotFound),
        (send(b"", status=403), FetchFailed),
        (send(b"", status=429), FetchFailed),
        (send(b"", status=503), FetchFailed),
        (send(CONTENT, Content_Encoding="gzip"), FetchFailed),
        (send(CONTENT, announce=len(CONTENT) + 1), FetchFailed),
    ],
)
def test_what_a_server_may_answer(
    server: Server, answer: Answer, error: type[Exception], tmp_path: Path
) -> None:
    server.routes["/ok/1"] = answer
    with pytest.raises(error):
        fetch(f"{server.url}/ok/1", policy=http_policy(server, temp_dir=tmp_path), resolver=loopback)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_counts_what_comes_not_what_is_announced(server: Server) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not server.stopping.is_set():
            handler.wfile.write(bytes(65_536))

    server.routes |= {"/ok/endless": endless, "/ok/honest": send(CONTENT)}
    policy = http_policy(server, max_bytes=1_000_000)
    for name in ("endless", "honest"):
        with pytest.raises(AudioTooLarge):
            fetch(f"{server.url}/ok/{name}", policy=policy, resolver=loopback)


def drip(server: Server, handler: BaseHTTPRequestHandler, line: bytes) -> None:
    while not server.stopping.wait(0.05):
        handler.wfile.write(line)


def test_the_time_limit_holds_against_a_server_that_drips(server: Server) -> None:
    def body(handler: BaseHTTPRequestHandler) -> None:
        send(b"", announce=10**6)(handler)
        drip(server, handler, b"x")

    def unannounced_body(handler: BaseHTTPRequestHandler) -> None:
        send(b"", announce=-1)(handler)
        drip(server, handler, b"x")

    def head(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        drip(server, handler, b"x")

    def silent(_handler: BaseHTTPRequestHandler) -> None:
        server.stopping.wait(10)

    server.routes |= {"/ok/1": body, "/ok/2": unannounced_body, "/ok/3": head, "/ok/4": silent}
    for path in server.routes:
        started = time.monotonic()
        with pytest.raises(FetchFailed):
            fetch(server.url + path, policy=http_policy(server, timeout_s=0.6), resolver=loopback)
        assert 0.5 < time.monotonic() - started < 3.0, path


def test_the_time_limit_holds_against_a_name_server_that_hangs(server: Server) -> None:
    hang = threading.Event()

    def hanging(_host: str, _port: int) -> list[str]:
        hang.wait(20)
        return []

    started = time.monotonic()
    with pytest.raises(FetchFailed, match="resolved"):
        fetch(f"{server.url}/ok/1", policy=http_policy(server, timeout_s=0.3), resolver=hanging)
    assert time.monotonic() - started < 3.0
    hang.set()


def test_nobody_there_is_a_transient_failure() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    policy = FetchPolicy(
        prefixes=(f"http://store.test:{port}/",), private_hosts=frozenset({"store.test"}), timeout_s=5
    )
    with pytest.raises(FetchFailed, match="refused"):
        fetch(f"http://store.test:{port}/a", policy=policy, resolver=loopback)
    with pytest.raises(FetchFailed, match="resolved"):
        fetch(f"http://store.test:{port}/a", policy=policy, resolver=unresolvable)


def unresolvable(_host: str, _port: int) -> list[str]:
    raise socket.gaierror(-2, "Name or service not known")


# ---------------------------------------------------------------- TLS


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for `store.test` that signs itself: (certificate, key)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "store.test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("store.test")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    (tmp_path / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (tmp_path / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return tmp_path / "cert.pem", tmp_path / "key.pem"


def test_https_is_verified_against_the_name(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    cert, key = certificate
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(cert, key)
    server = Server(serving)
    server.routes["/ok/a"] = send(CONTENT)
    other = f"https://other.test:{server.port}/ok/"
    policy = http_policy(
        server, prefixes=(f"{server.url}/ok/", other), private_hosts=frozenset({"store.test", "other.test"})
    )
    try:
        with pytest.raises(FetchFailed, match="CERTIFICATE_VERIFY_FAILED"):  # nobody vouches for it
            fetch(f"{server.url}/ok/a", policy=policy, resolver=loopback)
        monkeypatch.setattr(http_get, "_tls", lambda: ssl.create_default_context(cafile=str(cert)))
        with fetch(f"{server.url}/ok/a", policy=policy, resolver=loopback) as fetched:
            assert fetched.sha256 == SHA256
        with pytest.raises(FetchFailed, match="CERTIFICATE_VERIFY_FAILED"):  # right certificate, wrong name
            fetch(other + "a", policy=policy, resolver=loopback)
    finally:
        server.stop()


# ---------------------------------------------------------------- object stores


class FakeStore(MemoryFileSystem):
    """Stands where s3fs would, behind the same fsspec name."""

    protocol = "s3"
    store: ClassVar[dict[str, Any]] = {}
    hang = threading.Event()

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if path.endswith("slow.wav") and mode == "rb":
            self.hang.wait(20)
        if path.endswith("broken.wav"):
            raise RuntimeError("the store's own kind of error")
        return super()._open(path, mode, **options)


@pytest.fixture
def object_store() -> Iterator[FakeStore]:
    fsspec.register_implementation("s3", FakeStore, clobber=True)
    store = FakeStore()
    store.pipe_file("/bucket/in/what? is #this 100%.wav", CONTENT)
    store.pipe_file("/bucket/in/slow.wav", CONTENT)
    yield store
    FakeStore.hang.set()
    _registry.pop("s3")


def test_an_object_store_is_read_through_fsspec(object_store: FakeStore, tmp_path: Path) -> None:
    policy = FetchPolicy(prefixes=("s3://bucket/in/",), temp_dir=tmp_path, timeout_s=5)
    with fetch("s3://bucket/in/what? is #this 100%.wav", policy=policy) as fetched:
        assert (fetched.sha256, fetched.size_bytes) == (SHA256, len(CONTENT))
    errors: dict[str, tuple[FetchPolicy, type[Exception]]] = {
        "s3://bucket/in/missing.wav": (policy, AudioNotFound),
        "s3://bucket/in/broken.wav": (policy, FetchFailed),
        "s3://bucket/in/slow.wav": (
            FetchPolicy(prefixes=policy.prefixes, temp_dir=tmp_path, timeout_s=0.3),
            FetchFailed,
        ),
        "s3://bucket/in/what? is #this 100%.wav": (
            FetchPolicy(prefixes=policy.prefixes, temp_dir=tmp_path, max_bytes=10),
            AudioTooLarge,
        ),
    }
    for uri, (chosen, error) in errors.items():
        with pytest.raises(error):
            fetch(uri, policy=chosen)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_store_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(known_implementations, "gs", {"class": "no_such_library.Store", "err": "not there"})
    with pytest.raises(SettingsError, match=r"soundalike\[gcs\]"):
        fetch("gs://bucket/a", policy=FetchPolicy(prefixes=("gs://bucket/",)))


def test_only_verdicts_about_the_upload_are_audio_errors() -> None:
    """A store that is down must not make an upload undecodable."""
    assert not issubclass(FetchFailed, AudioError)
