"""What the middleware does with a verdict, and its limits, over ASGI and WSGI alike."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from hashwacht import Checker, CheckResult, ConfigurationError, Outcome, Reason, UploadContext
from hashwacht.storage.uploads import UploadRecords
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht_plugins import held_bytes, upload
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy, RefusalResponse, UploadAction
from hashwacht_plugins.request_body import RequestHead, body_reader_for
from support.plugins.upload_forms import MULTIPART, cut, field_part, file_part, form
from support.plugins.uploads import KNOWN, Gate, descriptors, opened

OTHER = b"other bytes"
KEY = hashlib.sha256(KNOWN).hexdigest()

Make = Callable[..., Any]


def test_a_match_is_refused_with_a_text_that_names_no_list(make: Make) -> None:
    found = make().send([form(file_part(KNOWN))])
    assert (found.status, found.complete) == (403, False)
    assert found.body == b"This upload cannot be accepted.\n"
    assert found.headers["content-length"] == str(len(found.body))
    assert b"knows" not in found.body


def test_the_refusal_can_be_configured(make: Make) -> None:
    refusal = RefusalResponse.problem(451, "Not accepted", instance="/case")
    assert refusal.headers == ()
    policy = Policy(
        refused=RefusalResponse(451, refusal.body, refusal.content_type, (("X-Why", "no"),))
    )
    found = make(policy=policy).send([form(file_part(KNOWN))])
    assert (found.status, found.headers["x-why"]) == (451, "no")
    assert found.headers["content-type"] == "application/problem+json"
    assert json.loads(found.body)["status"] == 451


def test_a_refusal_may_have_any_status(make: Make) -> None:
    assert (
        make(policy=Policy(refused=RefusalResponse(499, b""))).send([form(file_part(KNOWN))]).status
        == 499
    )


def test_on_hold_the_application_gets_content_and_findings(make: Make) -> None:
    sent = form(field_part(b"x"), file_part(KNOWN, b"n.jpg", b"f"), file_part(OTHER))
    found = make(policy=Policy(on_match=OnMatch.HOLD)).send([sent])
    assert (found.status, found.received) == (200, sent)
    assert found.findings.action is UploadAction.HOLD
    assert [(f.field, f.file_name, f.result.outcome) for f in found.findings.files] == [
        ("f", "n.jpg", Outcome.MATCH),
        ("file", "a.jpg", Outcome.NO_MATCH),
    ]


def test_on_observe_it_is_logged_and_kept_and_nothing_else(
    make: Make, caplog: pytest.LogCaptureFixture, uploads: UploadRecords
) -> None:
    found = make(policy=Policy(on_match=OnMatch.OBSERVE)).send([form(file_part(KNOWN, b"secret"))])
    assert (found.status, found.findings.action) == (200, UploadAction.ALLOW)
    assert "knows" in caplog.text
    assert "secret" not in caplog.text
    assert list(uploads.keys()) == [KEY]


@pytest.mark.parametrize(
    ("on_undetermined", "status", "action"),
    [
        (OnUndetermined.ALLOW, 200, UploadAction.ALLOW),
        (OnUndetermined.HOLD, 200, UploadAction.HOLD),
        (OnUndetermined.REJECT, 503, None),
    ],
)
def test_undetermined_uploads_follow_the_policy_and_are_kept(  # noqa: PLR0917  # a table
    make: Make,
    matcher: KnowingMatcher,
    uploads: UploadRecords,
    on_undetermined: OnUndetermined,
    status: int,
    action: UploadAction | None,
) -> None:
    matcher.silent = True
    found = make(policy=Policy(on_undetermined=on_undetermined)).send([form(file_part(OTHER))])
    assert found.status == status
    assert (found.findings.action if found.findings else None) is action
    assert list(uploads.keys()) == [hashlib.sha256(OTHER).hexdigest()]


def test_the_time_limit_ends_the_waiting_but_not_the_check(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    slow = Gate(KNOWN)
    with Checker(lambda: slow, threads=1) as checker:
        found = make(checker=checker, policy=Policy(timeout=0.05)).send([form(file_part(KNOWN))])
        assert not slow.done.is_set()
        assert (found.status, found.findings.files[0].result.reason) == (200, Reason.TIMED_OUT)
        slow.open.set()
        assert slow.done.wait(10)
    assert f"an upload matched after the timeout: {KEY}" in caplog.text


def test_a_workplace_that_breaks_is_undetermined(make: Make) -> None:
    class Broken(Gate):
        def check(self, *_: Any, **__: Any) -> CheckResult:
            raise ZeroDivisionError

    with Checker(Broken) as checker:
        found = make(checker=checker).send([form(file_part(KNOWN))])
    assert found.findings.files[0].result.reason is Reason.HASHER_FAILED


def test_memory_is_bounded_while_verdicts_are_pending() -> None:
    """Slow verdicts, many files and a long tail: reading stops at the window."""
    slow = Gate()
    sent = form(
        *[file_part(b"%d" % n * 5000) for n in range(100)], *[field_part(b"x" * 4000)] * 500
    )
    request = RequestHead("POST", "/", "", {"content-type": MULTIPART})
    parts = body_reader_for(request, (), 0)
    assert parts is not None
    passed, most = b"", 0
    with Checker(lambda: slow, threads=1) as checker:
        held = upload.UploadInspection(parts, Policy(), checker, lambda _: UploadContext("now"))
        for chunk in cut(sent, *range(0, len(sent), 60_000)):
            held.receive(chunk)
            most = max(most, held.held)
            if held.must_wait:
                slow.open.set()
                wait(held.pending, 10)
                held.settle(0.0)
                slow.open.clear()
            passed += held.passable()
            assert len(held.pending) <= upload.MAX_PENDING_FILES
        held.close()
        slow.open.set()
    assert sent.startswith(passed)
    assert held_bytes.TAIL <= len(sent) - len(passed) < held_bytes.TAIL + 60_000
    assert most <= held_bytes.WINDOW + 2 * 60_000


def test_thousands_of_parts_are_seen_up_to_the_limit(make: Make) -> None:
    parts = [field_part(b"v")] * 3000 + [file_part(b"%d" % n) for n in range(30)]
    found = make(policy=Policy(max_files=20)).send([form(*parts)])
    assert found.status == 200
    assert [f.result.outcome for f in found.findings.files].count(Outcome.NO_MATCH) == 20
    assert [f.result.reason for f in found.findings.files].count(Reason.OVER_LIMIT) == 1


def test_a_file_over_the_limit_is_undetermined_and_takes_no_room(make: Make) -> None:
    before = descriptors()
    found = make(policy=Policy(max_bytes=100)).send([form(file_part(b"x" * 101), file_part(OTHER))])
    assert [f.result.reason for f in found.findings.files] == [Reason.OVER_LIMIT, None]
    assert descriptors() <= before + 10  # descriptors of the storage


def test_no_room_for_the_spool_is_undetermined(make: Make, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    policy = Policy(spool=str(spool), on_undetermined=OnUndetermined.REJECT)
    with pytest.raises(ConfigurationError, match="spool"):
        make(policy=policy)
    spool.mkdir()
    driver = make(policy=policy)
    spool.rmdir()
    assert driver.send([form(file_part(KNOWN))]).status == 503


def test_nothing_is_left_in_the_spool_directory(make: Make, tmp_path: Path) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    driver = make(policy=Policy(spool=str(spool)))
    driver.send([form(file_part(KNOWN))])
    driver.send([form(file_part(OTHER))[:-60]])
    assert list(spool.iterdir()) == []
    assert not [each for each in opened() if each.startswith(str(spool))]
