"""Programs of others as clients of the HTTP API: schemathesis, and a tus server on Node.js."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from support.gateway.fake_checks import DAMAGED, LISTED
from support.gateway.http_gateway import LOOKUP_TOKEN, HttpGateway, http_gateway

NPM = Path(__file__).parent / "npm"
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,"
    "response_headers_conformance,response_schema_conformance,negative_data_rejection,"
    "missing_required_header,unsupported_method,use_after_free,ignored_auth"
)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[HttpGateway]:
    with http_gateway(tmp_path) as running:
        yield running


def test_generated_requests_are_answered_as_described(gateway: HttpGateway, tmp_path: Path) -> None:
    """Schemathesis sends valid and invalid requests to every resource, and compares the answers."""
    run = subprocess.run(
        [
            *(Path(sys.executable).with_name("schemathesis"), "run", "--no-color"),
            *("--max-examples", "25", "--seed", "1", "--checks", CHECKS),
            *("--header", f"Authorization: Bearer {LOOKUP_TOKEN}"),
            f"{gateway.url}/v1/openapi.json",
        ],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=280,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-8000:]


@pytest.fixture
def tus(gateway: HttpGateway, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Run a tus server that asks the gateway; return its URL and directory."""
    stored, program = tmp_path / "stored", tmp_path / "program"
    stored.mkdir()
    shutil.copytree(NPM, program)
    install = ["npm", "ci", "--no-audit", "--no-fund", "--omit=optional"]
    subprocess.run(install, cwd=program, check=True, capture_output=True, timeout=200)
    arguments: list[str | Path] = ["node", program / "tus_server.mjs", stored, gateway.socket]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield f"http://127.0.0.1:{port}/files", stored
        process.terminate()


def upload(url: str, content: bytes) -> httpx.Response:
    """Upload in two pieces, as a tus client does; return the last response."""
    name = base64.b64encode(b"holiday.jpg").decode()
    version = {"Tus-Resumable": "1.0.0"}
    created = {**version, "Upload-Length": str(len(content)), "Upload-Metadata": f"filename {name}"}
    with httpx.Client(timeout=30, verify=False) as client:
        location = client.post(url, headers=created).headers["Location"]
        half = len(content) // 2
        for offset, piece in ((0, content[:half]), (half, content[half:])):
            headers = {
                **version,
                "Upload-Offset": str(offset),
                "Content-Type": "application/offset+octet-stream",
            }
            response = client.patch(location, content=piece, headers=headers)
    return response


def test_tus_server_refuses_what_is_listed(gateway: HttpGateway, tus: tuple[str, Path]) -> None:
    url, stored = tus
    assert upload(url, LISTED).status_code == 403
    assert upload(url, DAMAGED).status_code == 503
    assert gateway.checks.contexts[0].file_name == "holiday.jpg"
    assert not [file for file in stored.iterdir() if file.suffix != ".json"]
    assert upload(url, b"a cat").status_code == 204
    (kept,) = (file for file in stored.iterdir() if file.suffix != ".json")
    assert kept.read_bytes() == b"a cat"
