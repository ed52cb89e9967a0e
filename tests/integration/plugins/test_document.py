"""The snippets of docs/middleware.md, verbatim."""

from __future__ import annotations

import asyncio
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from hashwacht import Checker, ConfigurationError
from hashwacht_plugins.asgi import HashwachtMiddleware
from hashwacht_plugins.policy import OnMatch, Policy
from support.plugins.sites import EXAMPLES
from support.plugins.upload_drivers import AsgiDriver
from support.plugins.upload_forms import file_part, form
from support.plugins.uploads import KNOWN
from support.program import Program

DOCUMENT = Path(__file__).parents[3] / "docs" / "middleware.md"


def snippets(section: str) -> list[str]:
    """Return the Python snippets of a section in order."""
    text = DOCUMENT.read_text()
    (body,) = re.findall(
        rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL
    )
    return re.findall(r"^```python\n(.*?)^```", body, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def configured(program: Program) -> Iterator[None]:
    """Provide the configuration for ``Checker.configured()``."""
    with program.in_environment():
        yield


@pytest.fixture
def drivers() -> Iterator[list[AsgiDriver]]:
    opened: list[AsgiDriver] = []
    yield opened
    for driver in opened:
        driver.close()


def run(section: str, **names: Any) -> dict[str, Any]:
    """Run all snippets of a section with these *names*; return all names."""
    space = {"HashwachtMiddleware": HashwachtMiddleware, **names}
    for number, snippet in enumerate(snippets(section)):
        exec(compile(snippet, f"{section} #{number}", "exec"), space)  # our own
    return space


def knowing_middleware(checker: Checker) -> Any:
    """Return the middleware as the snippets call it, with a checker that lists one content."""

    def made(app: Any, **settings: Any) -> HashwachtMiddleware:
        return HashwachtMiddleware(app, **{"checker": checker, **settings})

    return made


def test_each_example_starts_with_the_documented_command() -> None:
    examples = sorted(EXAMPLES.glob("*.py"))
    assert examples
    for file in examples:
        (command,) = re.findall(r"Start it: ``(.*?)``", file.read_text())
        assert f"`{command}`" in DOCUMENT.read_text(), file


LINES = {
    "app = HashwachtMiddleware(app)": "from hashwacht_plugins.asgi import HashwachtMiddleware",
    "app.add_middleware(HashwachtMiddleware, checker=Checker.configured())": (
        "from hashwacht import Checker; from hashwacht_plugins.asgi import HashwachtMiddleware"
    ),
    "Hashwacht(app)": "from hashwacht_plugins.flask import Hashwacht",
    "application = HashwachtMiddleware(application)": (
        "from hashwacht_plugins.wsgi import HashwachtMiddleware"
    ),
}


@pytest.mark.parametrize("line", LINES)
def test_a_configuration_error_is_raised_by_the_line_itself(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert f"`{line}`" in DOCUMENT.read_text()
    app = Flask("site") if line == "Hashwacht(app)" else FastAPI()
    names = {"app": app, "application": app}
    exec(f"{LINES[line]}\n{line}", dict(names))  # our own
    monkeypatch.setenv("HASHWACHT_CONFIG", "/nowhere")
    names["app"] = Flask("site") if line == "Hashwacht(app)" else FastAPI()
    with pytest.raises(ConfigurationError, match="nowhere"):
        exec(f"{LINES[line]}\n{line}", names)  # our own


def test_every_section_with_python_is_run_here() -> None:
    sections = re.findall(r"^## (.*)$", DOCUMENT.read_text(), re.MULTILINE)
    assert {section for section in sections if snippets(section)} == {
        "What is checked",
        "The policy",
        "What is kept for a case",
        "Uploads in parts: tus, S3 multipart, Content-Range, WebDAV chunking",
        "FastAPI and Starlette: an endpoint that decides itself",
        "Django",
        "aiohttp: a reader",
    }


def test_bodies_of_any_type_are_files_where_that_is_said(
    checker: Checker, drivers: list[AsgiDriver]
) -> None:
    def wrap(app: Any) -> Any:
        names = {"app": app, "HashwachtMiddleware": knowing_middleware(checker)}
        return run("What is checked", **names)["app"]

    drivers.append(AsgiDriver(wrap))
    responses = {
        (path, declared): drivers[0].send([KNOWN], declared, method="PUT", path=path).status
        for path in ("/files/a", "/else")
        for declared in ("text/plain", "image/jpeg")
    }
    assert responses == {
        ("/files/a", "text/plain"): 403,
        ("/files/a", "image/jpeg"): 403,
        ("/else", "text/plain"): 200,
        ("/else", "image/jpeg"): 403,
    }


def test_the_policy_answers_as_it_says(checker: Checker, drivers: list[AsgiDriver]) -> None:
    def wrap(app: Any) -> Any:
        names = {"app": app, "HashwachtMiddleware": knowing_middleware(checker)}
        return run("The policy", **names)["app"]

    drivers.append(AsgiDriver(wrap))
    refused = drivers[0].send([form(file_part(KNOWN))])
    assert refused.status == 403
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_held_upload_is_stored_but_not_shown(checker: Checker) -> None:
    stored: list[tuple[bytes, bool]] = []

    async def store(picture: Any, *, shown: bool) -> None:
        stored.append((await picture.read(), shown))

    space = run("The policy", app=None, store=store)

    async def site(scope: Any, receive: Any, send: Any) -> None:
        await space["pictures"](Request(scope, receive))
        await PlainTextResponse("stored")(scope, receive, send)

    async def post(content: bytes) -> int:
        middleware = HashwachtMiddleware(
            site, checker=checker, policy=Policy(on_match=OnMatch.HOLD)
        )
        transport = httpx.ASGITransport(app=middleware)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            answer = await client.post("/", files={"picture": ("a.jpg", content)})
        return answer.status_code

    assert [asyncio.run(post(content)) for content in (KNOWN, b"other")] == [200, 200]
    assert stored == [(KNOWN, False), (b"other", True)]


def test_the_facts_know_a_proxy_and_a_user() -> None:
    client_info = run("What is kept for a case", app=None)["client_info"]
    assert client_info.trusted_proxies == ("10.0.0.0/8",)
    assert client_info.user({"user": types.SimpleNamespace(id=7)}) == 7
    assert client_info.user({}) is None


def test_a_file_is_checked_where_it_is_put_together(checker: Checker, tmp_path: Path) -> None:
    deleted: list[tuple[str, str]] = []

    class Storage:
        """The part of boto3's client that is used."""

        def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803  # its names
            content = KNOWN if Key == "known" else b"other"
            chunks = [content[:3], content[3:]]
            assert Bucket
            return {"Body": types.SimpleNamespace(iter_chunks=lambda: iter(chunks))}

        def delete_object(self, *, Bucket: str, Key: str) -> None:  # noqa: N803  # its names
            deleted.append((Bucket, Key))

    section = "Uploads in parts: tus, S3 multipart, Content-Range, WebDAV chunking"
    space = run(section, app=None, s3=Storage())
    space["checker"] = checker
    for name, content in (("known", KNOWN), ("unknown", b"other")):
        (tmp_path / name).write_bytes(content)
        space["finished"](tmp_path / name)
        space["completed"]("bucket", name)
    assert [path.name for path in tmp_path.iterdir()] == ["unknown"]
    assert deleted == [("bucket", "known")]


def test_the_endpoint_that_decides_itself_can_be_made() -> None:
    app = FastAPI()
    run("FastAPI and Starlette: an endpoint that decides itself", app=app)
    assert "/pictures" in app.openapi()["paths"]


def test_the_parts_for_django_can_be_made() -> None:
    from django import forms  # type: ignore[import-untyped]  # Django ships no types

    from hashwacht_plugins.django.signals import upload_matched

    space = run("Django", forms=forms)
    assert upload_matched.disconnect(space["tell"])
    module, _, name = space["handler403"].rpartition(".")
    assert callable(getattr(__import__(module, fromlist=[name]), name))
    for dotted in (space["FILE_UPLOAD_HANDLERS"][0], space["STORAGES"]["default"]["BACKEND"]):
        module, _, name = dotted.rpartition(".")
        assert getattr(__import__(module, fromlist=[name]), name).__module__ == module


def test_the_reader_for_aiohttp_can_be_made() -> None:
    assert asyncio.iscoroutinefunction(run("aiohttp: a reader")["upload"])
