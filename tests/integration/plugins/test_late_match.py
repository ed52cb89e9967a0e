"""An upload without an answer in time matches weeks later: the whole path, with a service."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from demo.pictures import encode, photo
from hashwacht.storage.store import Store
from support.plugins.uploads import pdq
from support.program import Program, objects
from support.services.http_server import HttpServer
from support.services.services import Hma, Interruptible

UPLOAD = """
import sys
from support.plugins.upload_drivers import WsgiDriver
from support.plugins.upload_forms import file_part, form
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.wsgi import HashwachtMiddleware

client_info = ClientInfo(user=lambda environ: "some-user")
driver = WsgiDriver(lambda app: HashwachtMiddleware(app, client_info=client_info))
part = file_part(sys.stdin.buffer.read(), b"some-name\\xe2\\x80\\xae.jpg", b"some-field")
found = driver.send([form(part)], path="/some-path")
print(found.status, *(each.result.outcome for each in found.findings.files if found.findings))
"""
FACTS = (b"some-", b"192.0.2.1", b"4711", b"image/jpeg")


def upload(program: Program, content: bytes) -> str:
    result = subprocess.run(
        [sys.executable, "-c", UPLOAD],
        input=content,
        env=program.environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stderr.decode()
    return result.stdout.decode()


def recorded_uploads(program: Program) -> list[str]:
    with closing(Store.open(program.home / "state")) as store:
        return list(store.uploads.keys())


def test_a_late_match_has_its_origin_which_no_service_gets(tmp_path: Path) -> None:
    program = Program(tmp_path)
    listed, harmless = encode(photo(1)), encode(photo(2))
    service = Interruptible(Hma({"bank": {pdq(listed): 1}}))
    with HttpServer(service) as server:
        program.add_matcher("hma", server.url)
        assert upload(program, listed) == "200 undetermined\n"
        assert upload(program, harmless) == "200 undetermined\n"
        assert len(recorded_uploads(program)) == 2
        service.silent = False
        code, lines = program.recheck()
        assert upload(program, harmless) == "200 no-match\n"
    assert code == 1
    (match,) = [line for line in lines if line["type"] == "match"]
    (late_upload,) = [line for line in lines if line["type"] == "upload"]
    assert late_upload["sha256"] == match["sha256"]
    assert (late_upload["user"], late_upload["path"], late_upload["field"]) == (
        "some-user",
        "/some-path",
        "some-field",
    )
    assert (late_upload["file_name"], late_upload["address"], late_upload["port"]) == (
        "some-name\u202e.jpg",
        "192.0.2.1",
        4711,
    )
    assert recorded_uploads(program) == [match["sha256"]]
    result = program.run("cases", "show", match["sha256"], "--json")
    (recorded,) = objects(result.stdout)[0]["uploads"]
    assert (recorded["user"], recorded["path"]) == ("some-user", "/some-path")
    assert server.record.requests
    for request in server.record.requests:
        assert not [content for content in FACTS if content in request.raw]
