"""One HTTP(S) GET that can't be led astray: the address that was checked is the one connected to.

fsspec's HTTP file system resolves names and follows redirects by itself, which leaves a gap between check
and use (DNS rebinding); so this is http.client with three rules. A name that resolves to anything but public
addresses is refused, unless the operator named the host. The socket goes to the very address that was
checked, with the certificate verified against the name. Redirects are followed a few times, each target
judged like the first. Proxies from the environment are ignored: they would connect on our behalf, unchecked.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Final, TypeVar, cast
from urllib.parse import urljoin

from pipeline.uri_rules import DEFAULT_PORTS, Location
from soundalike.errors import AudioNotFound, AudioTooLarge, FetchFailed, UriNotAllowed

_READ_BYTES: Final = 1 << 20
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_GONE: Final = frozenset({404, 410})

T = TypeVar("T")

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")

Resolver = Callable[[str, int], list[str]]
"""Host and port → numeric addresses; raises OSError."""


def resolve(host: str, port: int) -> list[str]:
    """Addresses of a host, best first, as the system's resolver has them."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def is_public(address: str) -> bool:
    """Whether an address is on the open internet; IPv4 inside IPv6 (mapped, NAT64) counts as what it is."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.sixtofour is not None or ip.teredo is not None:
            return False  # tunnels that no store is served through
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def download(
    location: Location,
    *,
    write: Callable[[bytes], None],
    allow: Callable[[str], Location],
    deadline: float,
    max_bytes: int,
    max_redirects: int,
    private_hosts: Collection[str] = (),
    resolver: Resolver = resolve,
) -> None:
    """Pass the body of `location` to `write`, piece by piece.

    allow: judges a redirect's target; returns it parsed, or raises UriNotAllowed.
    deadline: of `time.monotonic`, for everything from the first look-up to the last byte.
    max_bytes: a larger announced length is refused at once; counting what really comes is up to `write`.
    private_hosts: hosts that may have private or loopback addresses.

    Raises UriNotAllowed, AudioNotFound, AudioTooLarge, or FetchFailed for all that may go better later.
    """
    for _ in range(max_redirects + 1):
        addresses = _allowed_addresses(
            location, deadline=deadline, private_hosts=private_hosts, resolver=resolver
        )
        try:
            target = _get_once(location, addresses, write=write, deadline=deadline, max_bytes=max_bytes)
        except (OSError, http.client.HTTPException) as error:
            late = "the time limit" if time.monotonic() >= deadline else type(error).__name__
            raise FetchFailed(f"{location}: the transfer failed ({late}: {error})") from error
        if target is None:
            return
        location = allow(urljoin(f"{location}?{location.query}" if location.query else str(location), target))
    raise UriNotAllowed(f"{location}: more than {max_redirects} redirects")


def _allowed_addresses(
    location: Location, *, deadline: float, private_hosts: Collection[str], resolver: Resolver
) -> list[str]:
    try:
        addresses = within(deadline, lambda: resolver(location.host, location.port))
    except (OSError, UnicodeError) as error:  # UnicodeError: a label longer than DNS allows
        raise FetchFailed(f"{location}: its host can't be resolved ({error})") from error
    if location.host not in private_hosts:
        inside = [address for address in addresses if not is_public(address)]
        if inside:
            raise UriNotAllowed(
                f"{location}: its host resolves to {inside[0]}, which is not a public address;"
                " name the host among the private hosts if that is meant"
            )
    return addresses


def within(deadline: float, call: Callable[[], T]) -> T:
    """Run a call that knows no time limit in a thread of its own. Raises TimeoutError at the deadline.

    The thread is then left to end by itself: it holds nothing but its own arguments.
    """
    result: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            result.put((call(), None))
        except BaseException as error:  # noqa: BLE001 - handed to the caller, who raises it
            result.put((None, error))

    threading.Thread(target=run, daemon=True).start()
    try:
        value, error = result.get(timeout=max(0.0, deadline - time.monotonic()))
    except queue.Empty:
        raise TimeoutError("no answer within the time limit") from None
    if error is not None:
        raise error
    return cast("T", value)


def _get_once(
    location: Location,
    addresses: list[str],
    *,
    write: Callable[[bytes], None],
    deadline: float,
    max_bytes: int,
) -> str | None:
    """One request. Returns a redirect's target, or None once the whole body has been written."""
    with contextlib.ExitStack() as cleanup:
        plain = cleanup.enter_context(_connect(addresses, location.port, deadline))
        _cut_off_at(deadline, plain, cleanup)
        stream = plain
        if location.scheme == "https":
            stream = cleanup.enter_context(
                _tls().wrap_socket(plain, server_hostname=location.host.strip("[]"))
            )
        connection = http.client.HTTPConnection(location.host, location.port)
        connection.default_port = DEFAULT_PORTS[location.scheme]  # so that the Host header leaves it out
        connection.sock = stream
        cleanup.callback(connection.close)
        target = location.path + (f"?{location.query}" if location.query else "")
        headers = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "soundalike"}
        connection.request("GET", target, headers=headers)
        response = cleanup.enter_context(connection.getresponse())
        if response.status in _REDIRECTS:
            return response.headers.get("Location", "")
        _check_head(response, location, max_bytes)
        received = 0
        while piece := response.read1(_READ_BYTES):
            received += len(piece)
            write(piece)
        if response.length:  # what http.client still expects of the announced length
            raise http.client.IncompleteRead(b"", response.length)
        if time.monotonic() >= deadline:  # an unannounced length ends where the socket was cut off
            raise TimeoutError(f"{received} bytes had come")
    return None


def _connect(addresses: list[str], port: int, deadline: float) -> socket.socket:
    last: OSError = OSError("it has no address")
    for address in addresses:
        try:
            return socket.create_connection((address, port), timeout=max(0.01, deadline - time.monotonic()))
        except OSError as error:
            last = error
    raise last


def _cut_off_at(deadline: float, connected: socket.socket, cleanup: contextlib.ExitStack) -> None:
    """Shut the connection down at the deadline: socket time-outs alone let a byte a second go on for ever."""
    handle = connected.dup()  # a descriptor of its own, so that none that was closed and reused is hit

    def cut() -> None:
        with contextlib.suppress(OSError):
            handle.shutdown(socket.SHUT_RDWR)

    timer = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    timer.daemon = True
    cleanup.callback(handle.close)
    cleanup.callback(timer.cancel)
    timer.start()


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


def _check_head(response: http.client.HTTPResponse, location: Location, max_bytes: int) -> None:
    if response.status in _GONE:
        raise AudioNotFound(f"{location}: the server says {response.status} {response.reason}")
    if response.status != http.client.OK:
        raise FetchFailed(f"{location}: the server says {response.status} {response.reason}")
    encoding = response.headers.get("Content-Encoding", "identity").lower()
    if encoding != "identity":
        raise FetchFailed(f"{location}: the server sent {encoding} although it was asked for the plain file")
    if response.length is not None and response.length > max_bytes:
        raise AudioTooLarge(f"{location}: {response.length} bytes; the limit is {max_bytes}")
