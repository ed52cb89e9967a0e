"""``hashwacht lists update``: sources, checks, all or nothing, and the age of lists."""

from __future__ import annotations

import hashlib
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import trustme

from hashwacht.matching.hashlists.update_state import UpdateRecord, store_record
from hashwacht.settings.units import DAY
from support.list_sources import KNOWN, content, publish
from support.program import Program, objects
from support.services.courier import courier
from support.services.faults import server_tls
from support.services.http_server import HttpServer, Request, Response


def source(program: Program, *lines: str, name: str = "police") -> None:
    with program.configuration.open("a") as file:
        file.write("\n".join([f"[lists.{name}]", *lines, ""]))


def update(program: Program, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    result = program.run("lists", "update", "--json", *arguments)
    assert b"internal error" not in result.stderr, result.stderr.decode()
    return result.returncode, objects(result.stdout)


def installed(program: Program) -> dict[str, dict[str, Any]]:
    lines = objects(program.run("lists", "show", "--json").stdout)
    return {line["list"]: line for line in lines if line["type"] == "list"}


@pytest.fixture
def directory(program: Program) -> Path:
    directory = program.home / "incoming"
    publish(directory, content(KNOWN[0]))
    source(program, f'directory = "{directory}"', 'file = "police.txt"')
    return directory


def test_a_new_version_is_imported_and_looked_up(program: Program, directory: Path) -> None:
    file = program.home / "1"
    file.write_bytes(b"picture 1")
    assert update(program)[0] == 0
    program.scan(file)
    publish(directory, content(*KNOWN[:2]))
    code, lines = update(program)
    assert code == 0
    assert [line["type"] for line in lines][:1] == ["imported"]
    (match,) = [line for line in lines if line["type"] == "match"]
    assert match["matches"][0]["list"] == "police"
    assert installed(program)["police"]["entries"] == 2
    acts = [line["act"] for line in objects(program.run("audit", "show", "--json").stdout)]
    assert acts.count("list-imported") == 2


@pytest.mark.usefixtures("directory")
def test_one_bad_source_does_not_keep_the_others_back(program: Program) -> None:
    source(program, 'directory = "/nonexistent"', name="other")
    code, lines = update(program)
    assert code == 2
    assert [line["type"] for line in lines[:2]] == ["imported", "update-failed"]
    result = program.run("lists", "update", "polize")
    assert result.returncode == 2
    assert b"the list polize has no source" in result.stderr


class Site:
    """An HTTPS site with a list; *status* is that of every response."""

    def __init__(self, body: bytes) -> None:
        self.body, self.status = body, 200
        self.requests: list[Request] = []

    def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        if self.status != 200:
            return Response(self.status, headers=(("Location", "https://elsewhere.example/"),))
        if request.target.endswith(".sha256"):
            return Response(body=hashlib.sha256(self.body).hexdigest().encode())
        return Response(body=self.body)


def test_the_courier_fetches_over_https(program: Program) -> None:
    ca = trustme.CA()
    authority = program.home / "ca.pem"
    ca.cert_pem.write_to_path(str(authority))
    many = [hashlib.md5(f"x{number}".encode()).hexdigest() for number in range(40_000)]
    site = Site(content(*many))  # 1.5 MB: three parts
    with HttpServer(site, tls=server_tls(ca)) as server:
        source(
            program,
            f'url = "{server.url}/lists/police.txt"',
            f'ca_file = "{authority}"',
            'credentials = "police"',
        )
        program.set_credentials("us:er", "police")
        with courier(program):
            del program.environment["HASHWACHT_CREDENTIAL_POLICE"]  # the courier alone has it
            code, lines = update(program)
            assert code == 0, lines
            assert installed(program)["police"]["entries"] == 40_000
            targets = [request.target for request in site.requests]
            assert targets == ["/lists/police.txt", "/lists/police.txt.sha256"]
            assert all("authorization" in request.headers for request in site.requests)
            for status, problem in ((302, "status 302"), (404, "status 404"), (401, "status 401")):
                site.status = status
                code, lines = update(program)
                assert code == 2
                assert problem in lines[0]["error"]
        assert installed(program)["police"]["entries"] == 40_000
        code, lines = update(program)
        assert code == 2
        assert "out of reach" in lines[0]["error"]


def test_without_a_courier_the_command_fetches(program: Program) -> None:
    with HttpServer(Site(content(KNOWN[0]))) as server:
        source(program, f'url = "{server.url}/police.txt"')
        program.environment["RUNTIME_DIRECTORY"] = str(program.home / "run")
        assert update(program)[0] == 0
    assert installed(program)["police"]["entries"] == 1


@pytest.mark.usefixtures("directory")
def test_a_stale_list_is_reported_until_it_is_updated(program: Program) -> None:
    def stale() -> tuple[bool, str, bytes]:
        status = json.loads(program.run("status", "--json").stdout)
        problems = {problem["subject"]: problem["detail"] for problem in status["problems"]}
        doctor = program.run("doctor").stdout
        return status["lists"][0]["stale"], problems.get("list police", ""), doctor

    is_stale, problem, doctor = stale()
    assert is_stale
    assert problem == "stale: never imported"
    assert b"stale: never imported" in doctor
    update(program)
    assert stale()[:2] == (False, "")
    long_ago = time.time() - 8 * DAY
    record = UpdateRecord(time.time(), long_ago, long_ago, "the source is gone")
    store_record(program.home / "state/lists", "police", record)
    is_stale, problem, doctor = stale()
    assert is_stale
    assert problem == "stale: last brought up to date 8 d ago (the source is gone)"
    assert b"hashwacht lists update police" in doctor
    update(program)
    assert stale()[:2] == (False, "")


def test_a_killed_update_leaves_the_list_and_no_file(program: Program, directory: Path) -> None:
    update(program)
    publish(directory, content(*KNOWN))
    hook = program.home / "fetch"
    started = program.home / "started"
    hook.write_text(f'#!/bin/sh\ncp {directory}/* "$1"\ntouch {started}\nexec sleep 30\n')
    hook.chmod(0o755)
    text = program.configuration.read_text()
    program.configuration.write_text(
        text.replace(f'directory = "{directory}"', f'program = ["{hook}"]')
    )
    process = program.start("lists", "update")
    while not started.exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert installed(program)["police"]["entries"] == 1
    program.configuration.write_text(text)
    assert update(program)[0] == 0
    assert installed(program)["police"]["entries"] == 3
    lists = program.home / "state/lists"
    assert len([path for path in lists.iterdir() if path.is_dir()]) == 1
    files = [path for path in lists.rglob("*") if path.is_file()]
    assert all(stat.S_IMODE(path.stat().st_mode) & 0o077 == 0 for path in files)
