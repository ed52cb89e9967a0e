"""The example sites on real servers, with real workers, a real list and real clients."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from support.plugins.sites import (
    AIOHTTP,
    EXAMPLES,
    GUNICORN,
    HYPERCORN,
    UVICORN,
    WAITRESS,
    served,
)
from support.plugins.upload_forms import MULTIPART, field_part, file_part, form
from support.plugins.uploads import opened
from support.processes import child_processes, wait_for
from support.program import Program

SERVERS = {
    "uvicorn": [*UVICORN, "starlette_site:app"],
    "hypercorn": [*HYPERCORN, "starlette_site:app"],
    "waitress": [*WAITRESS, "flask_site:app"],
    "gunicorn, preloaded, two workers": [
        *GUNICORN,
        *("--workers", "2", "--threads", "2"),
        "flask_site:app",
    ],
    "aiohttp": [*AIOHTTP, "aiohttp_site:site"],
}

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, program: Program) -> Iterator[str]:
    """Start one server; yield the address of the site."""
    with served(SERVERS[request.param], program) as address:
        yield address


def test_matching_forms_and_bodies_are_refused_others_stored(
    site: str, known: Path, unknown: Path
) -> None:
    with httpx.Client(base_url=site, timeout=60) as client:
        for _ in range(2):  # on one connection if the server keeps it open
            stored = client.post("/", files={"picture": unknown.read_bytes()})
            assert (stored.status_code, stored.text) == (
                201,
                f"stored {unknown.stat().st_size} bytes\n",
            )
            refused = client.post("/", files={"picture": known.read_bytes()})
            assert (refused.status_code, refused.text) == (
                403,
                "This upload cannot be accepted.\n",
            )
        responses = {
            file: client.put("/raw", content=file.read_bytes(), headers={"content-type": kind})
            for file, kind in ((known, "image/png"), (unknown, "image/png"))
        }
        assert [response.status_code for response in responses.values()] == [403, 201]
        chunked = client.put("/raw", content=iter([known.read_bytes()] * 1))
        assert chunked.status_code == 403
        assert client.get("/").status_code == 200


def curl(*arguments: str | Path) -> str:
    """Send a request; return the HTTP version and the status of the response."""
    result = subprocess.run(
        ["curl", "-s", "-o", "/dev/null", "-w", "%{http_version} %{http_code}", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return result.stdout


@needs_curl
def test_curl_gets_the_same(site: str, known: Path, unknown: Path) -> None:
    for file, status in ((known, "403"), (unknown, "201")):
        assert curl("-F", f"picture=@{file}", site) == f"1.1 {status}"


def head(request: str, kind: str, *fields: str) -> bytes:
    """Build a request up to its body."""
    lines = (f"{request} HTTP/1.1", "Host: x", f"Content-Type: {kind}", *fields, "", "")
    return "\r\n".join(lines).encode()


def put(*fields: str) -> bytes:
    """Build the head of a request whose body is a picture."""
    return head("PUT /raw", "image/png", *fields)


def test_the_site_works_on_after_a_client_disconnects(
    site: str, known: Path, unknown: Path
) -> None:
    content = known.read_bytes()
    buffers = (
        httpx.get(site).headers.get("server") == "waitress"
    )  # it passes the request on when it is complete
    for _ in range(3):
        with connection(site) as client:
            client.sendall(put(f"Content-Length: {len(content)}") + content[: len(content) // 2])
            if not buffers:
                wait_for(lambda: bool(spooled()), 10)
        wait_for(
            lambda: not spooled(), 60
        )  # else the next client's file could be mistaken for this one's
    answer = httpx.post(site, files={"picture": unknown.read_bytes()}, timeout=60)
    assert answer.status_code == 201
    wait_for(lambda: not spooled(), 10)


def spooled() -> list[str]:
    """Return the unlinked temporary files that the servers of these tests have open."""
    paths = []
    for process in child_processes():
        with suppress(OSError):  # the process has just ended
            paths += opened(process.pid)
    prefixes = tuple(
        f"{tempfile.gettempdir()}/{begin}" for begin in ("#", "tmp")
    )  # O_TMPFILE or not
    return [path for path in paths if path.startswith(prefixes) and path.endswith("(deleted)")]


def connection(site: str) -> socket.socket:
    host, _, port = site.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), 60)


def statuses(client: socket.socket) -> list[bytes]:
    """Read to the end; return the statuses of all responses."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return re.findall(rb"HTTP/1\.1 (\d+)", received)


def test_a_client_that_waits_to_be_asked_for_the_body_is_asked(
    site: str, known: Path, unknown: Path
) -> None:
    """It sends ``Expect: 100-continue`` (RFC 9110, 10.1.1)."""
    for file, status in ((known, b"403"), (unknown, b"201")):
        content = file.read_bytes()
        with connection(site) as client:
            expects = ("Expect: 100-continue", f"Content-Length: {len(content)}")
            client.sendall(put("Connection: close", *expects))
            assert client.recv(25).startswith(b"HTTP/1.1 100 ")
            client.sendall(content)
            assert statuses(client)[-1] == status


def test_trailers_behind_a_chunked_body_are_no_part_of_it(
    site: str, known: Path, unknown: Path
) -> None:
    """RFC 9112, 7.1.2."""
    for file, status in ((known, b"403"), (unknown, b"201")):
        content = file.read_bytes()
        with connection(site) as client:
            trailed = ("Transfer-Encoding: chunked", "Trailer: X-Checksum")
            body = b"%x\r\n%s\r\n0\r\nX-Checksum: 1\r\n\r\n" % (len(content), content)
            client.sendall(put("Connection: close", *trailed) + body)
            assert statuses(client) == [status]


def test_a_form_that_dribbles_in_is_judged_when_it_is_there(site: str, known: Path) -> None:
    content = known.read_bytes()
    body = form(field_part(b"x" * 100), file_part(content))
    with connection(site) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fields = ("Connection: close", f"Content-Length: {len(body)}")
        client.sendall(head("POST /", MULTIPART, *fields))
        for place in range(300):
            client.sendall(body[place : place + 1])
        client.sendall(body[300:])
        assert statuses(client) == [b"403"]


@needs_curl
def test_hypercorn_does_the_same_over_http_2(program: Program, known: Path, unknown: Path) -> None:
    with served(SERVERS["hypercorn"], program) as address:
        for file, status in ((known, "403"), (unknown, "201")):
            for more in (["-F", f"picture=@{file}", address], ["-T", file, f"{address}/raw"]):
                assert curl("--http2-prior-knowledge", "-H", "Expect:", *more) == f"2 {status}"


def test_pipelined_requests_are_answered_one_by_one(site: str, known: Path, unknown: Path) -> None:
    """Answers come in the order of the requests (RFC 9112, 9.3.2)."""
    requests = b"".join(
        put(f"Content-Length: {file.stat().st_size}", *last) + file.read_bytes()
        for file, *last in ((unknown,), (known, "Connection: close"))
    )
    with connection(site) as client:
        client.sendall(requests)
        assert statuses(client) == [b"201", b"403"]


@pytest.mark.parametrize(
    "server",
    [
        pytest.param([*UVICORN, "fastapi_site:app"], id="FastAPI, where the site decides itself"),
        pytest.param([*GUNICORN, "django_site:application"], id="Django"),
    ],
)
def test_sites_on_other_frameworks_refuse_and_store(
    server: list[str], program: Program, known: Path, unknown: Path
) -> None:
    with served(server, program) as address:
        answers = [
            httpx.post(address, files={"picture": path.read_bytes()}, timeout=60).status_code
            for path in (known, unknown)
        ]
    assert answers == [403, 201]


def test_the_django_site_reports_problems_in_its_check(program: Program) -> None:
    def check(**more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "django_site.py", "check"],
            cwd=EXAMPLES,
            env={**program.environment, **more},
            capture_output=True,
            text=True,
            check=False,
        )

    assert check().returncode == 0
    wrong = check(HASHWACHT_CONFIG="/nowhere/hashwacht.toml")
    assert wrong.returncode == 1
    assert "hashwacht.E002" in wrong.stderr
