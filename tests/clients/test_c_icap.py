"""c-icap with our configuration in front of the clamd socket, and the clients of ICAP."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hashwacht.gateway.unwrap import UnwrappingChecks
from hashwacht.settings.gateway import ClamdSettings
from support.clients.documentation import documented
from support.clients.servers import free_port, running
from support.gateway.clamd import ServedFront, served
from support.gateway.exact_checks import ExactChecks
from support.gateway.icap import (
    c_icap,
    chunked,
    nextcloud_request,
    opencloud_requests,
    respmod_request,
    send,
)
from support.plugins.upload_forms import field_part, file_part, form

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR a listed picture"
LISTED = {
    "png": PNG,
    "webp": b"RIFF\x20\0\0\0WEBPVP8 a listed picture",
    "mp4": b"\0\0\0\x18ftypisom\0\0\0\0a listed video",
    "jpeg": b"\xff\xd8\xff\xe0\0\x10JFIF\0a listed picture",
    "text": b"a listed text",
    "large": bytes(6 << 20) + b"a listed file of 6 MB",
}
DAMAGED = b"\x89PNG\r\n\x1a\na damaged picture"
SERVICES = ("avscan", "srv_clamav", "hashwacht", "virus_scan")


@dataclass(frozen=True)
class IcapServer:
    """A running c-icap, the socket behind it, and the scanner behind that."""

    port: int
    front: ServedFront
    scanner: ExactChecks


def admit(front: ServedFront) -> None:
    """Let the group of c-icap connect, as gateway.clamd.group does."""
    front.path.chmod(0o660)
    if os.geteuid() == 0:
        shutil.chown(front.path, group="c-icap")


@contextmanager
def icap_server(place: Path) -> Iterator[IcapServer]:
    scanner = ExactChecks(frozenset(LISTED.values()), frozenset({DAMAGED}))
    checks = UnwrappingChecks(scanner, timeout=10)
    with served(checks, place, ClamdSettings(max_stream=1 << 30)) as front:
        admit(front)
        directory = place / "c-icap"
        directory.mkdir()
        with c_icap(directory, front.path) as port:
            yield IcapServer(port, front, scanner)


@pytest.fixture
def server(place: Path) -> Iterator[IcapServer]:
    with icap_server(place) as server:
        yield server


def test_nextcloud_and_proxies_refuse_listed_files_of_any_type(server: IcapServer) -> None:
    for name, content in LISTED.items():
        for service in SERVICES:
            requests = nextcloud_request(content, service), respmod_request(content, service)
            for request in requests:
                reply = send(server.port, request)
                assert reply.status == 200, (name, service)
                found = reply.headers["x-infection-found"]
                assert found.startswith("Type=0; Resolution=2; Threat=Hashwacht.Refused."), found
                assert reply.body.startswith(b"HTTP/1.0 403 Forbidden"), (name, service)


def test_other_files_pass(server: IcapServer) -> None:
    for content in (PNG + b".", bytes(6 << 20), b"a text"):
        for service in SERVICES[:3]:
            assert send(server.port, nextcloud_request(content, service)).status == 204


def test_the_page_names_the_event_and_no_virus(server: IcapServer) -> None:
    reply = send(server.port, nextcloud_request(PNG))
    event = reply.headers["x-infection-found"].partition("Threat=")[2].rstrip(";")
    assert event.encode() in reply.body
    assert b"virus" not in reply.body.lower()
    assert b"nextcloud" not in reply.body


def test_opencloud_refuses_a_listed_file(server: IcapServer) -> None:
    options, request = opencloud_requests(PNG)
    reply = send(server.port, options)
    assert reply.status == 200
    assert "REQMOD" in reply.headers["methods"]
    reply = send(server.port, request)
    assert "Threat=Hashwacht.Refused." in reply.headers["x-infection-found"]


def test_a_file_in_a_form_is_found(server: IcapServer) -> None:
    content = form(field_part(b"a title"), file_part(PNG, b"a.png"))
    assert send(server.port, nextcloud_request(content)).status == 200
    assert server.scanner.contexts[-1].file_name == "a.png"
    cut = form(field_part(b"a title"), file_part(PNG + b"."))[:-30]
    assert send(server.port, nextcloud_request(cut)).status == 500


def test_undetermined_and_outage_are_errors(server: IcapServer) -> None:
    for service in SERVICES:
        reply = send(server.port, nextcloud_request(DAMAGED, service))
        assert reply.status == 500
    server.front.close()
    assert send(server.port, nextcloud_request(PNG)).status == 500
    server.front.listen()
    admit(server.front)
    assert send(server.port, nextcloud_request(PNG)).status == 200


def test_c_icap_lets_everything_pass_if_it_starts_in_an_outage(place: Path) -> None:
    """Why its unit waits for the socket: this is c-icap's behaviour, not ours."""
    with c_icap(place, place / "missing.sock") as port:
        assert send(port, nextcloud_request(PNG)).status == 204


def test_c_icap_client_refuses_a_listed_file(server: IcapServer, place: Path) -> None:
    def run(content: bytes) -> str:
        (place / "upload").write_bytes(content)
        command = ["c-icap-client", "-i", "127.0.0.1", "-p", str(server.port), "-s", "avscan", "-v"]
        command += ["-f", str(place / "upload"), "-o", str(place / "output"), "-req", "http://a/"]
        (place / "output").unlink(missing_ok=True)
        return subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=60
        ).stderr

    assert "Hashwacht.Refused." in run(PNG)
    assert "204" in run(PNG + b".")


def test_python_icap_refuses_a_listed_file(server: IcapServer) -> None:
    icap = pytest.importorskip("icap")

    async def run(content: bytes) -> tuple[bool, str]:
        async with icap.AsyncIcapClient("127.0.0.1", server.port) as client:
            reply = await client.scan_bytes(content, service="avscan", filename="photo.png")
            return reply.is_no_modification, reply.headers.get("X-Infection-Found", "")

    passed, found = asyncio.run(run(PNG))
    assert not passed
    assert "Threat=Hashwacht.Refused." in found
    assert asyncio.run(run(PNG + b"."))[0]


class StoringHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stored: set[bytes]

    def do_PUT(self) -> None:
        self.stored.add(self.rfile.read(int(self.headers["Content-Length"])))
        self.reply(b"stored")

    do_POST = do_PUT  # noqa: N815

    def do_GET(self) -> None:
        self.reply(PNG)

    def reply(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/png")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


SQUID = """\
http_port 127.0.0.1:{port}
pid_filename {place}/squid.pid
cache_log {place}/cache.log
access_log none
cache deny all
coredump_dir {place}
http_access allow all
visible_hostname test
shutdown_lifetime 0 seconds
{icap}
"""


@pytest.fixture
def squid(server: IcapServer, place: Path) -> Iterator[int]:
    """Run Squid with the settings of the page; return its port."""
    program = shutil.which("squid")
    if program is None:
        pytest.skip("needs the Debian package squid")
    directory = place / "squid"
    directory.mkdir()
    if os.geteuid() == 0:
        shutil.chown(directory, "proxy", "proxy")
    port = free_port()
    icap = documented("c-icap", "squid", {"127.0.0.1:1344": f"127.0.0.1:{server.port}"})
    (directory / "squid.conf").write_text(SQUID.format(port=port, place=directory, icap=icap))
    log = directory / "output.log"
    with running([program, "-N", "-f", directory / "squid.conf"], port, log):
        yield port


@pytest.fixture
def site() -> Iterator[tuple[str, set[bytes]]]:
    """Run a site that stores what it receives; yield its address and what it has stored."""
    stored: set[bytes] = set()
    handler = type("Handler", (StoringHandler,), {"stored": stored})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/", stored
        server.shutdown()


def curl(proxy: int, *arguments: str) -> tuple[int, bytes]:
    """Return status and body that curl receives through a proxy."""
    command = ["curl", "-s", "-x", f"http://127.0.0.1:{proxy}", "--max-time", "30"]
    command += ["--proxy-header", "", "-w", "\n%{http_code}", *arguments]
    environment = {k: v for k, v in os.environ.items() if "proxy" not in k.lower()}
    # Squid ends the connection behind the page of c-icap, which curl reports in its exit code.
    process = subprocess.run(command, check=False, capture_output=True, timeout=60, env=environment)
    body, _, status = process.stdout.rpartition(b"\n")
    return int(status), body


def test_squid_refuses_listed_uploads_and_downloads(
    squid: int, site: tuple[str, set[bytes]], place: Path
) -> None:
    address, stored = site
    listed, other = place / "listed.png", place / "other.png"
    listed.write_bytes(PNG)
    other.write_bytes(PNG + b".")
    for arguments in (("-T", str(listed)), ("-F", f"photo=@{listed}")):
        status, body = curl(squid, *arguments, address)
        assert status == 403, arguments
        assert b"Hashwacht.Refused." in body
    assert not stored
    assert curl(squid, address)[0] == 403  # a download
    for arguments in (("-T", str(other)), ("-F", f"photo=@{other}")):
        assert curl(squid, *arguments, address) == (200, b"stored"), arguments
    assert PNG + b"." in stored


def test_squid_refuses_what_cannot_be_checked(
    squid: int, server: IcapServer, site: tuple[str, set[bytes]], place: Path
) -> None:
    upload = place / "upload.png"
    upload.write_bytes(DAMAGED)
    assert curl(squid, "-T", str(upload), site[0])[0] == 500
    server.front.close()
    assert curl(squid, "-T", str(upload), site[0])[0] == 500
    assert not site[1]


def test_a_request_in_pieces_is_read_whole(server: IcapServer) -> None:
    head, *_ = nextcloud_request(b"")
    pieces = [head[:50], head[50:], *chunked(PNG, 5)]
    assert send(server.port, pieces).status == 200
