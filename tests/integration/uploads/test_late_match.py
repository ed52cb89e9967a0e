"""A match becomes a case with the whole upload context, at once or when it is listed later."""

from __future__ import annotations

import hashlib
import logging
import os
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from demo.pictures import encode, photo
from demo.sample_storage import KNOWN
from hashwacht import Checker
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.wsgi import HashwachtMiddleware
from support.daemon.upload_daemon import UploadDaemon, known
from support.plugins.upload_drivers import WsgiDriver
from support.plugins.upload_forms import file_part, form
from support.plugins.uploads import pdq
from support.program import PROGRAM, objects
from support.services.http_server import HttpServer
from support.services.services import Hma, Interruptible

PROMPT = 20.0
"""Seconds: a third of those between two rounds that would find it, too.  Of two cases in a row only
one can be due to such a round."""

log = logging.getLogger(__name__)


def upload(checker: Checker, content: bytes) -> tuple[int, list[str]]:
    """Send a file as a browser does; return the response and the upload context."""
    facts = ClientInfo(user=lambda _: "some-user")
    driver = WsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker, client_info=facts))
    outcome = driver.send([form(file_part(content, b"some-name.jpg"))], path="/some-path")
    return outcome.status, [
        str(file.result.outcome) for file in outcome.findings.files if outcome.findings
    ]


def uploads_of_case(program: UploadDaemon, content: bytes) -> list[dict[str, Any]]:
    """Wait for the case of a content; return its uploads."""
    key, began = hashlib.sha256(content).hexdigest(), time.monotonic()
    with closing(program.state()) as state:
        program.wait_for(lambda: state.cases.load_by_key(key), "a case", PROMPT)
    log.info("a case %.2f s after its match could be found", time.monotonic() - began)
    result = program.run("cases", "show", key, "--json")
    uploads: list[dict[str, Any]] = objects(result.stdout)[0]["uploads"]
    return uploads


def test_a_late_match_of_a_service_opens_a_case(
    tmp_path: Path,
) -> None:
    program = UploadDaemon(tmp_path / "home")
    late, later_content, harmless = (encode(photo(seed)) for seed in (1, 3, 2))
    service = Interruptible(Hma({"bank": {pdq(late): 1, pdq(later_content): 2}}))
    with HttpServer(service) as server:
        program.add_matcher("hma", server.url)
        with (
            program.running(PROGRAM, "daemon"),
            Checker.configured(program.configuration) as checker,
        ):
            for content in (late, harmless):
                assert upload(checker, content) == (200, ["undetermined"])
                assert program.upload_contexts(hashlib.sha256(content).hexdigest())
            service.silent = False
            (late_upload,) = uploads_of_case(program, late)
            program.wait_for(
                lambda: not program.upload_contexts(hashlib.sha256(harmless).hexdigest()),
                "forgotten",
            )
            assert upload(checker, harmless) == (200, ["no-match"])
            service.silent = True
            assert upload(checker, later_content) == (200, ["undetermined"])
            service.silent = False
            assert len(uploads_of_case(program, later_content)) == 1
    assert (late_upload["user"], late_upload["path"], late_upload["file_name"]) == (
        "some-user",
        "/some-path",
        "some-name.jpg",
    )
    assert (late_upload["address"], late_upload["port"]) == ("192.0.2.1", 4711)
    assert (late_upload["declared_type"], late_upload["submitter_uid"]) == (
        "image/jpeg",
        os.geteuid(),
    )
    assert server.record.requests
    for request in server.record.requests:
        assert not [word for word in (b"some-", b"192.0.2.1", b"4711") if word in request.raw]


def test_a_match_at_once_is_a_case_at_once(daemon: UploadDaemon, checker: Checker) -> None:
    driver = WsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker))
    for content in (known(), encode(photo(KNOWN), "jpeg")):
        assert driver.send([form(file_part(content))]).status == 403
        (upload,) = uploads_of_case(daemon, content)
        assert upload["submitter_uid"] == os.geteuid()
