"""A packet capture of a scan: only hashes leave, and every captured byte is accounted for.

The program and a service share an isolated network in which every packet is captured.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote_from_bytes

import psutil
import pytest

from demo.pictures import encode, photo
from hashwacht import __version__
from hashwacht.secrets import Credential
from support.processes import wait_for
from support.program import Program, objects
from support.services.capture import Capture, Packet, private_network
from support.services.http_server import HttpServer, Respond
from support.services.services import Arachnid, Eokm, Hma

ACCOUNT = Credential("hoster", "quite:secret")
BASIC = "Basic " + base64.b64encode(b"hoster:quite:secret").decode()
WINDOW = 12
"""Bytes in a row that make a fragment: shorter ones are found by chance.

Contents are cut at multiples of it, so whatever is twice as long and leaks holds one of them.
"""

Hashes = Mapping[str, frozenset[str]]
"""By signal type, what the contents of the storage hash to."""


@dataclass(frozen=True)
class Storage:
    """What must not leave: *root* with all its names, sizes and contents."""

    root: Path
    contents: Mapping[bytes, bytes]

    def words(self) -> Iterator[bytes]:
        """Return every name, path and size that could leak."""
        yield bytes(self.root)
        for name, content in self.contents.items():
            yield from name.split(b"/")
            yield name
            yield str(len(content)).encode()


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    """Make six contents with names that cannot occur by chance and sizes of six or more digits."""
    contents = {
        b"Customer Quimby/Wedding-Photographs/bride_and_groom.png": encode(
            photo(1, (340, 260)), "png"
        ),
        b"Customer Quimby/sc\xe8ne \xff\x1b[31m.bmp": encode(photo(2, (200, 180)), "bmp"),
        b"Customer Zollinger/passport-scan.tiff": encode(photo(3, (200, 180)), "tiff"),
        b"Customer Zollinger/diary.txt": b"Dear diary, nobody must ever read this. " * 2600,
        b"Customer Zollinger/keys.pem": b"-----BEGIN PRIVATE KEY-----" + bytes(range(256)) * 400,
        b"wp-content/uploads/invoice-2026-0815.pdf": b"%PDF-1.7 for Mrs Zollinger " * 4000,
    }
    root = tmp_path / "Storage-of-Many-Customers"
    for name, content in contents.items():
        assert len(content) > 99_999
        path = root / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Storage(root, contents)


@pytest.fixture
def hashes(program: Program, storage: Storage) -> Hashes:
    """Compute the hashes in advance, the MD5 with hashlib."""
    lines = objects(program.run("hash", "--json", *_files(storage.root)).stdout)
    pdq = [
        signal["value"] for line in lines for signal in line["signals"] if signal["type"] == "pdq"
    ]
    assert len(pdq) == 3
    md5 = [hashlib.md5(content).hexdigest() for content in storage.contents.values()]
    return {"pdq": frozenset(pdq), "md5": frozenset(md5)}


def _files(root: Path) -> list[Path]:
    return [path for path in sorted(root.rglob("*")) if path.is_file()]


@pytest.fixture
def network() -> Iterator[None]:
    try:
        with private_network():
            yield
    except (PermissionError, FileNotFoundError) as error:
        pytest.skip(f"cannot make a network to capture in: {error}")


def wire(port: int, first: str, *more: str, body: str = "") -> bytes:
    agent = f"user-agent: hashwacht/{__version__}"
    lines = [f"{first} HTTP/1.1", f"host: 127.0.0.1:{port}", agent, *more]
    return "\r\n".join([*lines, "", body]).encode()


def eokm_request(port: int, hashes_looked_up: list[str]) -> bytes:
    [md5] = hashes_looked_up
    more = ("content-type: application/x-www-form-urlencoded", "content-length: 32")
    return wire(port, "POST /v1/check/md5", f"authorization: {BASIC}", *more, body=md5)


def hma_request(port: int, hashes_looked_up: list[str]) -> bytes:
    [value] = hashes_looked_up
    kind = "md5" if len(value) == 32 else "pdq"
    return wire(port, f"GET /m/lookup?signal={value}&signal_type={kind}")


def arachnid_request(port: int, hashes_looked_up: list[str]) -> bytes:
    body = json.dumps(
        {"hashes": [base64.b64encode(bytes.fromhex(h)).decode() for h in hashes_looked_up]}
    )
    more = ("accept: */*", "content-type: application/json", f"content-length: {len(body)}")
    return wire(port, "POST /v1/pdq/", f"authorization: {BASIC}", *more, body=body)


@dataclass(frozen=True)
class Protocol:
    """A service, its configuration, and the expected request for certain hashes."""

    respond: Callable[[], Respond]
    configuration: str
    expected: Callable[[int, list[str]], bytes]
    types: tuple[str, ...]


PROTOCOLS = {
    "eokm": Protocol(lambda: Eokm(frozenset(), ACCOUNT), "", eokm_request, ("md5",)),
    "hma": Protocol(
        lambda: Hma({"BANK": {}}),
        'signal_types = { pdq = "pdq", md5 = "md5" }\n',
        hma_request,
        ("md5", "pdq"),
    ),
    "arachnid": Protocol(lambda: Arachnid({}, ACCOUNT), "", arachnid_request, ("pdq",)),
}

_HASH = re.compile(rb"(?<![0-9a-f])(?:[0-9a-f]{64}|[0-9a-f]{32})(?![0-9a-f])")
_BASE64_HASH = re.compile(rb'"([A-Za-z0-9+/]{43}=)"')


def hashes_in(request: bytes) -> list[str]:
    """Return the hashes in a request: in hexadecimal, or Base64 as JSON strings."""
    plain = [value.decode() for value in _HASH.findall(request)]
    return plain + [base64.b64decode(value).hex() for value in _BASE64_HASH.findall(request)]


def requests_in(stream: bytes) -> Iterator[bytes]:
    """Split the data of one connection into requests; return anything else unchanged."""
    while stream:
        head, _, _ = stream.partition(b"\r\n\r\n")
        length = re.search(rb"\r\ncontent-length: (\d+)$", head)
        end = len(head) + 4 + (int(length[1]) if length else 0)
        yield stream[:end]
        stream = stream[end:]


def disguises(secret: bytes) -> Iterator[bytes]:
    """Return a value as it is, and in every form in which it might be encoded."""
    yield secret
    yield secret.hex().encode()
    yield secret.hex().upper().encode()
    yield quote_from_bytes(secret).encode()
    yield quote_from_bytes(secret, safe="").encode()
    yield json.dumps(secret.decode("utf-8", "surrogateescape"))[1:-1].encode()
    for alignment in range(3):
        padded = base64.b64encode(bytes(alignment) + secret)
        inner = padded[4 * (alignment > 0) :].rstrip(b"=")[:-1]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def leaks(packets: list[Packet], storage: Storage) -> set[bytes]:
    """Return what a packet, headers included, contains of the storage."""
    wired = b"\0".join(packet.raw for packet in packets)
    words = {
        word
        for word in storage.words()
        if any(len(shape) > 4 and shape in wired for shape in disguises(word))
    }
    windows = {wired[start : start + WINDOW] for start in range(len(wired))}
    fragments = {
        shape[start : start + WINDOW]
        for content in storage.contents.values()
        for shape in disguises(content)
        for start in range(0, len(shape) - WINDOW + 1, WINDOW)
        if shape[start : start + WINDOW] in windows
    }
    return words | fragments


@pytest.mark.usefixtures("network")
@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_scan_sends_hashes_and_nothing_else_and_nowhere_else(
    program: Program, storage: Storage, hashes: Hashes, name: str
) -> None:
    protocol = PROTOCOLS[name]
    with Capture() as capture, HttpServer(protocol.respond()) as server:
        with program.configuration.open("a") as file:
            file.write(f'[matchers.{name}]\nkind = "{name}"\nbase_url = "{server.url}"\n')
            file.write(protocol.configuration)
        program.environment[f"HASHWACHT_CREDENTIAL_{name.upper()}"] = ACCOUNT.to_line()
        scan = program.run("scan", "--normal-priority", storage.root)
        check = program.run("check", *_files(storage.root))
    # Arachnid accepts no digests: a file that is not a picture is undetermined.
    assert {scan.returncode, check.returncode} == {3 if name == "arachnid" else 0}, scan.stderr
    assert capture.packets
    assert {packet.to for packet in capture.packets} == {"127.0.0.1"}
    assert all(server.port in packet.ports for packet in capture.packets)
    requested: set[str] = set()
    for stream in capture.streams_to(server.port):
        for request in requests_in(stream):
            values = hashes_in(request)
            assert request == protocol.expected(server.port, values)
            requested |= set(values)
    assert requested == set().union(*(hashes[type_] for type_ in protocol.types))
    assert not leaks(capture.packets, storage)


@pytest.mark.usefixtures("network")
def test_the_scanner_sends_nothing_and_the_courier_only_hashes(
    program: Program, storage: Storage, hashes: Hashes
) -> None:
    """All files arrive while it watches; the scanner has no network to send to."""
    watched = storage.root.parent / "Watched-Storage-of-Customers"
    watched.mkdir()
    program.environment["RUNTIME_DIRECTORY"] = str(program.home / "run")
    with Capture() as capture, HttpServer(PROTOCOLS["eokm"].respond()) as server:
        with program.configuration.open("a") as file:
            file.write(f'[roots.web]\npath = "{watched}"\n')
            file.write(f'[matchers.eokm]\nkind = "eokm"\nbase_url = "{server.url}"\n')
        program.set_credentials(ACCOUNT.to_line(), "eokm")
        daemon = program.start("daemon")
        try:
            scanner = _part(daemon.pid, "scanner")
            wait_for(lambda: b'"watching"' in program.run("status", "--json").stdout, 30)
            for path in storage.root.iterdir():
                path.rename(watched / path.name)
            wait_for(lambda: len(server.record.requests) >= len(hashes["md5"]), 60)
            counters = Path(f"/proc/{scanner}/net/dev").read_text().splitlines()[2:]
        finally:
            daemon.terminate()
            daemon.communicate(timeout=60)
    assert counters, "the scanner has a separate network with only a loopback interface"
    for line in counters:
        name, _, figures = line.partition(":")
        assert (name.strip(), {*figures.split()}) == ("lo", {"0"})
    assert {packet.to for packet in capture.packets} == {"127.0.0.1"}
    assert all(server.port in packet.ports for packet in capture.packets)
    requested: set[str] = set()
    for stream in capture.streams_to(server.port):
        for request in requests_in(stream):
            values = hashes_in(request)
            assert request == eokm_request(server.port, values)
            requested |= set(values)
    assert requested == hashes["md5"]
    assert not leaks(capture.packets, replace(storage, root=watched))


def _part(daemon: int, name: str) -> int:
    """Wait for a process of the daemon and return it."""

    def hashes_looked_up() -> list[int]:
        children = psutil.Process(daemon).children()
        return [process.pid for process in children if name in process.cmdline()]

    wait_for(lambda: bool(hashes_looked_up()), 20)
    return hashes_looked_up()[0]


@pytest.mark.usefixtures("network")
def test_the_capture_would_see_a_leak(storage: Storage) -> None:
    """Otherwise the test above could not fail."""
    few = replace(storage, contents={name: b[:999] for name, b in storage.contents.items()})
    name = next(name for name in few.contents if b"\xff" in name)
    secrets = (b"passport-scan.tiff", name, few.contents[name][500:600])
    with Capture() as capture, socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            for secret in secrets:
                for shape in disguises(secret):
                    client.sendall(b"X-Comment: " + shape + b"\r\n")
    [stream] = capture.streams_to(port)
    for secret in secrets:
        for shape in disguises(secret):
            assert shape in stream
            assert leaks([Packet(shape, "")], few), shape
    assert leaks(capture.packets, few)


@pytest.mark.usefixtures("network")
def test_the_capture_would_see_a_packet_to_somewhere_else() -> None:
    with Capture() as capture, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"who is hashwacht.example?", ("192.0.2.53", 53))
    assert "192.0.2.53" in {packet.to for packet in capture.packets}
