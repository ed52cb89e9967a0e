"""The example sites on real servers, with real workers, a real list and real clients."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hashwacht.testing.program import Program
from hashwacht.testing.sites import EXAMPLES, served

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


def test_a_client_that_vanishes_half_way_leaves_the_site_at_work(
    site: str, known: Path, unknown: Path
) -> None:
    host, _, port = site.removeprefix("http://").partition(":")
    content = known.read_bytes()
    head = (
        f"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
        f"Content-Length: {len(content)}\r\n\r\n"
    )
    for _ in range(3):
        with socket.create_connection((host, int(port)), 10) as client:
            client.sendall(head.encode() + content[: len(content) // 2])
    answer = httpx.post(site, files={"picture": unknown.read_bytes()}, timeout=60)
    assert answer.status_code == 201


def test_pipelined_requests_are_answered_one_by_one(site: str, known: Path, unknown: Path) -> None:
    """Answers come in the order of the requests (RFC 9112, 9.3.2)."""
    host, _, port = site.removeprefix("http://").partition(":")
    requests = b"".join(
        b"PUT /raw HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: "
        + str(len(file.read_bytes())).encode()
        + b"\r\n"
        + last
        + b"\r\n"
        + file.read_bytes()
        for file, last in ((unknown, b""), (known, b"Connection: close\r\n"))
    )
    received = b""
    with socket.create_connection((host, int(port)), 60) as client:
        client.sendall(requests)
        while chunk := client.recv(65536):
            received += chunk
    statuses = re.findall(rb"HTTP/1\.1 (\d+)", received)
    assert statuses == [b"201", b"403"], received


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
