"""cPanel's hooks: their description, and the files that an event names."""

from __future__ import annotations

import json
from pathlib import Path

from hashwacht.core.types import Reason
from support.hooks.fake_scanner import FakeScanner, undetermined
from support.hooks.hook_program import run_hook

TEXT = b"0 BAILOUT This upload cannot be accepted"


def event_of(**arguments: object) -> bytes:
    """Return the JSON of an event, as cPanel writes it to standard input."""
    context = {"category": "Cpanel", "event": "UAPI::Fileman::upload_files", "stage": "pre"}
    data = {"user": "frank", "args": arguments, "output": []}
    return json.dumps({"context": context, "data": data, "hook": {"blocking": 1}}).encode()


def test_the_description_names_blocking_hooks_of_uploads() -> None:
    hooks = json.loads(run_hook("cpanel", "--describe").stdout)
    assert {hook["event"] for hook in hooks} == {
        "UAPI::Fileman::upload_files",
        "Api2::Fileman::uploadfiles",
    }
    for hook in hooks:
        assert (hook["category"], hook["stage"], hook["blocking"]) == ("Cpanel", "pre", 1)
        assert hook["exectype"] == "script"
        assert hook["hook"].startswith("/usr/local/cpanel/3rdparty/bin/")


def test_one_listed_file_refuses_the_upload(
    scanner: FakeScanner, listed: Path, harmless: Path
) -> None:
    event = event_of(dir="/home/frank", **{"file-a.png": str(harmless), "file-b.png": str(listed)})
    result = run_hook("cpanel", "--socket", scanner.path, given=event)
    assert result.stdout.startswith(TEXT)
    assert [upload.context.file_name for upload in scanner.uploads] == ["a.png", "b.png"]
    assert {upload.context.user for upload in scanner.uploads} == {"frank"}


def test_harmless_files_pass(scanner: FakeScanner, harmless: Path) -> None:
    event = event_of(**{"file-a.png": str(harmless), "file-a.png-key": "file-a.png"})
    assert run_hook("cpanel", "--socket", scanner.path, given=event).stdout == b"1 OK\n"


def test_an_undetermined_file_is_refused_unless_configured(
    scanner: FakeScanner, harmless: Path
) -> None:
    scanner.judge = undetermined(Reason.UNANSWERED)
    event = event_of(**{"file-a.png": str(harmless)})
    assert run_hook("cpanel", "--socket", scanner.path, given=event).stdout.startswith(TEXT)
    options = ("--socket", scanner.path, "--on-undetermined", "pass")
    assert run_hook("cpanel", *options, given=event).stdout == b"1 OK\n"


def test_an_event_that_names_no_file_is_no_pass(scanner: FakeScanner) -> None:
    for event in (event_of(dir="/home/frank"), b"not JSON", b""):
        assert run_hook("cpanel", "--socket", scanner.path, given=event).stdout.startswith(TEXT)
