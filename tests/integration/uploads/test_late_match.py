"""A match becomes a case with everything the request told, at once or when a service knows it."""

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
    """Send it as a browser does; give the answer, and what is known."""
    facts = ClientInfo(user=lambda _: "some-user")
    driver = WsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker, client_info=facts))
    found = driver.send([form(file_part(content, b"some-name.jpg"))], path="/some-path")
    return found.status, [
        str(each.result.outcome) for each in found.findings.files if found.findings
    ]


def uploads_of_case(program: UploadDaemon, content: bytes) -> list[dict[str, Any]]:
    """Wait for the case of a content, and give what it says of its uploads."""
    key, began = hashlib.sha256(content).hexdigest(), time.monotonic()
    with closing(program.state()) as state:
        program.wait_for(lambda: state.cases.load_by_key(key), "a case", PROMPT)
    log.info("a case %.2f s after its match could be found", time.monotonic() - began)
    shown = program.run("cases", "show", key, "--json")
    told: list[dict[str, Any]] = objects(shown.stdout)[0]["uploads"]
    return told


def test_a_late_match_of_a_service_opens_a_case(
    tmp_path: Path,
) -> None:
    program = UploadDaemon(tmp_path / "home")
    late, later, harmless = (encode(photo(seed)) for seed in (1, 3, 2))
    service = Interruptible(Hma({"bank": {pdq(late): 1, pdq(later): 2}}))
    with HttpServer(service) as server:
        program.ask("hma", server.url)
        with (
            program.running(PROGRAM, "daemon"),
            Checker.configured(program.configuration) as checker,
        ):
            for each in (late, harmless):
                assert upload(checker, each) == (200, ["undetermined"])
                assert program.upload_contexts(hashlib.sha256(each).hexdigest())
            service.silent = False
            (told,) = uploads_of_case(program, late)
            program.wait_for(
                lambda: not program.upload_contexts(hashlib.sha256(harmless).hexdigest()),
                "forgotten",
            )
            assert upload(checker, harmless) == (200, ["no-match"])
            service.silent = True
            assert upload(checker, later) == (200, ["undetermined"])
            service.silent = False
            assert len(uploads_of_case(program, later)) == 1
    assert (told["user"], told["path"], told["file_name"]) == (
        "some-user",
        "/some-path",
        "some-name.jpg",
    )
    assert (told["address"], told["port"]) == ("192.0.2.1", 4711)
    assert (told["declared_type"], told["submitter_uid"]) == ("image/jpeg", os.geteuid())
    assert server.record.requests
    for asked in server.record.requests:
        assert not [each for each in (b"some-", b"192.0.2.1", b"4711") if each in asked.raw]


def test_a_match_at_once_is_a_case_at_once(daemon: UploadDaemon, checker: Checker) -> None:
    driver = WsgiDriver(lambda app: HashwachtMiddleware(app, checker=checker))
    for content in (known(), encode(photo(KNOWN), "jpeg")):
        assert driver.send([form(file_part(content))]).status == 403
        (told,) = uploads_of_case(daemon, content)
        assert told["submitter_uid"] == os.geteuid()
