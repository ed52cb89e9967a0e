"""The example sites on real servers, with real workers, a real list and real clients."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from hashwacht.testing.program import Program
from hashwacht.testing.sites import EXAMPLES, served
from hashwacht.testing.upload_forms import MULTIPART, field_part, file_part, form

SERVERS = {
    "uvicorn": ["uvicorn", "--port", "{port}", "starlette_site:app"],
    "hypercorn": ["hypercorn", "--bind", "127.0.0.1:{port}", "starlette_site:app"],
    "waitress": ["waitress", "--listen", "127.0.0.1:{port}", "flask_site:app"],
    "gunicorn, preloaded, two workers": [
        *("gunicorn", "--bind", "127.0.0.1:{port}", "--preload", "--workers", "2"),
        *("--threads", "2"),
        "flask_site:app",
    ],
    "aiohttp": ["aiohttp.web", "-H", "127.0.0.1", "-P", "{port}", "aiohttp_site:site"],
}


@pytest.fixture(scope="module", params=SERVERS)
def site(request: pytest.FixtureRequest, program: Program) -> Iterator[str]:
    """Start one server; give the address of the site."""
    with served(SERVERS[request.param], program) as address:
        yield address


def test_forms_and_raw_bodies_are_refused_if_known_and_stored_if_not(
    site: str, known: Path, unknown: Path
) -> None:
    with httpx.Client(base_url=site, timeout=60) as client:
        for _ in range(2):  # on one connection, as far as the server keeps it
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
        put = {
            file: client.put("/raw", content=file.read_bytes(), headers={"content-type": kind})
            for file, kind in ((known, "image/png"), (unknown, "image/png"))
        }
        assert [each.status_code for each in put.values()] == [403, 201]
        chunked = client.put("/raw", content=iter([known.read_bytes()] * 1))
        assert chunked.status_code == 403
        assert client.get("/").status_code == 200


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_gets_the_same(site: str, known: Path, unknown: Path) -> None:
    for file, status in ((known, "403"), (unknown, "201")):
        done = subprocess.run(
            ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-F", f"picture=@{file}", site],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert done.stdout == status


def test_a_client_that_vanishes_half_way_leaves_the_site_at_work_and_no_file_open(
    site: str, known: Path, unknown: Path
) -> None:
    content = known.read_bytes()
    head = b"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: %d\r\n\r\n"
    buffers = httpx.get(site).headers.get("server") == "waitress"  # it begins when all is there
    for _ in range(3):
        with connection(site) as client:
            client.sendall(head % len(content) + content[: len(content) // 2])
            assert buffers or becomes(lambda: bool(spooled()))
    answer = httpx.post(site, files={"picture": unknown.read_bytes()}, timeout=60)
    assert answer.status_code == 201
    assert becomes(lambda: not spooled())


def becomes(true: Callable[[], bool]) -> bool:
    """Wait for what another process does by itself."""
    deadline = time.monotonic() + 10
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def spooled() -> list[str]:
    """Name the unlinked temporary files that the servers of these tests have open."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with suppress(OSError):  # it has just ended
            links = [each.readlink() for each in Path(f"/proc/{process.pid}/fd").iterdir()]
            found += [str(each) for each in links if str(each).endswith("(deleted)")]
    named = tuple(f"{tempfile.gettempdir()}/{begin}" for begin in ("#", "tmp"))  # O_TMPFILE or not
    return [each for each in found if each.startswith(named)]


def connection(site: str) -> socket.socket:
    host, _, port = site.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), 60)


def statuses(client: socket.socket) -> list[bytes]:
    """Read to the end; give the statuses of all answers."""
    received = b""
    while chunk := client.recv(65536):
        received += chunk
    return re.findall(rb"HTTP/1\.1 (\d+)", received)


def test_a_client_that_waits_to_be_asked_for_the_body_is_asked(
    site: str, known: Path, unknown: Path
) -> None:
    """RFC 9110, 10.1.1: Expect: 100-continue."""
    for file, status in ((known, b"403"), (unknown, b"201")):
        content = file.read_bytes()
        with connection(site) as client:
            client.sendall(
                b"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
                b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(content)
            )
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
            client.sendall(
                b"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nConnection: close\r\n"
                b"Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n"
                + b"%x\r\n%s\r\n0\r\nX-Checksum: 1\r\n\r\n"
                % (len(content), content)
            )
            assert statuses(client) == [status]


def test_a_form_that_dribbles_in_is_judged_when_it_is_there(site: str, known: Path) -> None:
    content = known.read_bytes()
    body = form(field_part(b"x" * 100), file_part(content))
    with connection(site) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: {MULTIPART}\r\nConnection: close\r\n"
        client.sendall(head.encode() + b"Content-Length: %d\r\n\r\n" % len(body))
        for place in range(300):
            client.sendall(body[place : place + 1])
        client.sendall(body[300:])
        assert statuses(client) == [b"403"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_hypercorn_does_the_same_over_http_2(program: Program, known: Path, unknown: Path) -> None:
    answers = []
    with served(SERVERS["hypercorn"], program) as address:
        for file in (known, unknown):
            for more in (["-F", f"picture=@{file}", address], ["-T", file, f"{address}/raw"]):
                done = subprocess.run(
                    [
                        *("curl", "-s", "--http2-prior-knowledge", "-H", "Expect:"),
                        *("-o", "/dev/null", "-w", "%{http_version} %{http_code}", *more),
                    ],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    check=True,
                )
                answers.append(done.stdout)
    assert answers == ["2 403", "2 403", "2 201", "2 201"]


def test_pipelined_requests_are_answered_one_by_one(site: str, known: Path, unknown: Path) -> None:
    """Answers come in the order of the requests (RFC 9112, 9.3.2)."""
    requests = b"".join(
        b"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: "
        + str(len(file.read_bytes())).encode()
        + b"\r\n"
        + last
        + b"\r\n"
        + file.read_bytes()
        for file, last in ((unknown, b""), (known, b"Connection: close\r\n"))
    )
    with connection(site) as client:
        client.sendall(requests)
        assert statuses(client) == [b"201", b"403"]


def test_the_site_on_fastapi_decides_itself(program: Program, known: Path, unknown: Path) -> None:
    with served(["uvicorn", "--port", "{port}", "fastapi_site:app"], program) as address:
        answers = [
            httpx.post(address, files={"picture": each.read_bytes()}, timeout=60).status_code
            for each in (known, unknown)
        ]
    assert answers == [403, 201]


def test_the_site_on_django_refuses_and_stores(
    program: Program, known: Path, unknown: Path
) -> None:
    gunicorn = ["gunicorn", "--bind", "127.0.0.1:{port}", "--preload", "django_site:application"]
    with served(gunicorn, program) as address:
        answers = [
            httpx.post(address, files={"picture": each.read_bytes()}, timeout=60).status_code
            for each in (known, unknown)
        ]
    assert answers == [403, 201]


def test_the_site_on_django_tells_at_its_check_what_is_wrong(program: Program) -> None:
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
