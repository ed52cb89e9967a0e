"""Every documented entry of each integration refuses a listed file, by framework and server.

``make test-clients`` adds more servers, and a whole CMS.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from support.plugins.sites import GUNICORN, HYPERCORN, UVICORN, WAITRESS, served
from support.program import Program

GRANIAN = ("granian", "--port", "{port}", "--interface")

CLIENTS = "HASHWACHT_CLIENTS" in os.environ


def wsgi_servers() -> dict[str, tuple[str, ...]]:
    """Return the commands of servers, by their names."""
    site = "support.plugins.entries.wsgi_entries:app"
    servers = {"waitress": (*WAITRESS, site), "granian": (*GRANIAN, "wsgi", site)}
    return servers | ({"gunicorn": (*GUNICORN, site)} if CLIENTS else {})


def asgi_servers() -> dict[str, tuple[str, ...]]:
    """Return the commands of servers, by their names."""
    site = "support.plugins.entries.asgi_entries:app"
    servers = {"uvicorn": (*UVICORN, site)}
    others = {"granian": (*GRANIAN, "asgi", site), "hypercorn": (*HYPERCORN, site)}
    return servers | (others if CLIENTS else {})


@dataclass(frozen=True)
class Site:
    """A running server and the directory in which its applications store."""

    address: str
    stored: Path

    def holds(self, content: bytes) -> bool:
        """Return whether any application has stored *content*."""
        return any(path.read_bytes() == content for path in self._files())

    def clear(self) -> None:
        """Remove what is stored."""
        for path in self._files():
            path.unlink()

    def _files(self) -> list[Path]:
        return [path for path in self.stored.rglob("*") if path.is_file()]


@pytest.fixture(scope="module", params=wsgi_servers().values(), ids=[*wsgi_servers()])
def wsgi_server(request: pytest.FixtureRequest, program: Program) -> Iterator[Site]:
    with served(request.param, program) as address:
        yield Site(address, program.home / "stored")


@pytest.fixture(scope="module", params=asgi_servers().values(), ids=[*asgi_servers()])
def asgi_server(request: pytest.FixtureRequest, program: Program) -> Iterator[Site]:
    with served(request.param, program) as address:
        yield Site(address, program.home / "stored")


@pytest.fixture
def wsgi_site(wsgi_server: Site) -> Site:
    """Return the server, on which nothing is stored."""
    wsgi_server.clear()
    return wsgi_server


@pytest.fixture
def asgi_site(asgi_server: Site) -> Site:
    """Return the server, on which nothing is stored."""
    asgi_server.clear()
    return asgi_server


def post(site: Site, path: str, content: bytes, field: str = "picture") -> int:
    """Upload a form; return the status of the answer."""
    files = {field: ("a.png", content, "image/png")}
    return httpx.post(site.address + path, files=files, timeout=60).status_code


def put(site: Site, path: str, content: bytes, kind: str = "text/plain") -> int:
    """Upload a body; return the status of the answer."""
    headers = {"content-type": kind, "content-disposition": "attachment; filename=a.png"}
    return httpx.put(site.address + path, content=content, headers=headers, timeout=60).status_code


FORMS = [
    "/",
    "/bottle/",
    "/falcon/",
    "/cherrypy/",
    "/webob/",
    "/handler/",
    "/handler/rest",
    "/middleware/",
    "/middleware/rest",
]


@pytest.mark.parametrize("path", FORMS)
def test_a_wsgi_application_gets_no_listed_file(
    wsgi_site: Site, path: str, known: Path, unknown: Path
) -> None:
    assert post(wsgi_site, path, known.read_bytes()) == 403
    assert not wsgi_site.holds(known.read_bytes())
    assert post(wsgi_site, path, unknown.read_bytes()) == 200
    assert wsgi_site.holds(unknown.read_bytes())


def test_flask_admin_stores_no_listed_file(wsgi_site: Site, known: Path, unknown: Path) -> None:
    path = "/admin-site/admin/files/upload/"
    assert post(wsgi_site, path, known.read_bytes(), "upload") == 403
    assert not wsgi_site.holds(known.read_bytes())
    assert post(wsgi_site, path, unknown.read_bytes(), "upload") == 302
    assert (wsgi_site.stored / "a.png").read_bytes() == unknown.read_bytes()


@pytest.mark.parametrize("path", ["/dav/b.png", "/dav/./b.png", "/dav//b.png", "/dav/%62.png"])
def test_wsgidav_stores_no_listed_file(
    wsgi_site: Site, path: str, known: Path, unknown: Path
) -> None:
    assert put(wsgi_site, path, known.read_bytes()) == 403
    assert not wsgi_site.holds(known.read_bytes())
    if path == "/dav/b.png":
        assert put(wsgi_site, path, unknown.read_bytes()) in {201, 204}
        assert (wsgi_site.stored / "b.png").read_bytes() == unknown.read_bytes()


@pytest.mark.parametrize("mount", ["/handler", "/middleware"])
def test_rest_framework_gets_no_listed_body(
    wsgi_site: Site, mount: str, known: Path, unknown: Path
) -> None:
    path = mount + "/rest/c.png"
    assert put(wsgi_site, path, known.read_bytes(), "image/png") == 403
    assert not wsgi_site.holds(known.read_bytes())
    assert put(wsgi_site, path, unknown.read_bytes(), "image/png") == 200


def package(name: str, folder: Path) -> Path:
    """Write a source distribution that twine accepts."""
    path = folder / f"{name}-1.0.tar.gz"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n".encode()
    with tarfile.open(path, "w:gz") as archive:
        for member, content in (("PKG-INFO", metadata), ("setup.py", b"")):
            entry = tarfile.TarInfo(f"{name}-1.0/{member}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


@pytest.mark.parametrize(
    "wsgi_server", [wsgi_servers()["waitress"]], ids=["waitress"], indirect=True
)
def test_twine_cannot_upload_a_listed_file(
    program: Program, wsgi_site: Site, tmp_path: Path
) -> None:
    listed, other = package("listed", tmp_path), package("other", tmp_path)
    digest = hashlib.sha256(listed.read_bytes()).hexdigest()
    program.run("lists", "import", "packages", "-", given=f"sha256 {digest}\n".encode())
    for path, succeeds in ((listed, False), (other, True)):
        twine = [sys.executable, "-m", "twine", "upload", "--non-interactive", "-u", "a", "-p", "b"]
        result = subprocess.run(
            [*twine, "--repository-url", f"{wsgi_site.address}/pypi/", path],
            env=program.environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (result.returncode == 0) == succeeds, result.stdout
        assert ("403" in result.stdout + result.stderr) != succeeds
        assert (wsgi_site.stored / "packages" / path.name).exists() == succeeds


@pytest.mark.parametrize(
    "path",
    [
        "/starlette/",
        "/fastapi/",
        "/fastapi/bytes",
        "/quart/",
        "/litestar/",
        "/falcon/",
        "/sanic/",
        "/django/",
        "/django/rest",
    ],
)
def test_an_asgi_application_gets_no_listed_file(
    asgi_site: Site, path: str, known: Path, unknown: Path
) -> None:
    assert post(asgi_site, path, known.read_bytes()) == 403
    assert not asgi_site.holds(known.read_bytes())
    assert post(asgi_site, path, unknown.read_bytes()) in {200, 201}
    assert asgi_site.holds(unknown.read_bytes())


@pytest.mark.skipif(not CLIENTS, reason="Wagtail is installed by `make test-clients`")
def test_wagtail_stores_no_listed_image(program: Program, known: Path, unknown: Path) -> None:
    module = "support.plugins.entries.wagtail_entries"
    prepare = [sys.executable, "-c", f"import {module}"]  # its migrations take a while
    subprocess.run(prepare, env=program.environment, timeout=250, check=True)
    server = [*WAITRESS, f"{module}:app"]
    with served(server, program) as address, httpx.Client(base_url=address, timeout=60) as editor:
        site = Site(address, program.home / "stored")
        site.clear()
        for path, status in ((known, 403), (unknown, 302)):
            files = {"file": (path.name, path.read_bytes(), "image/png")}
            answer = editor.post("/images/add/", data={"title": "a", "collection": 1}, files=files)
            assert answer.status_code == status, answer.text
            assert site.holds(path.read_bytes()) == (status == 302)
