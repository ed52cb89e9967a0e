"""How a late match tells people who sent it, and when that is forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

from hashwacht.cli.uploads import WithUploads, forget_settled
from hashwacht.scan.progress import Result
from hashwacht.state.contents import Decision
from hashwacht.state.store import Store
from hashwacht.testing.fakes import RememberingObserver
from hashwacht.types import Fingerprint, Outcome, Verdict
from hashwacht.uploads import Circumstances, Uploads

KEY, OTHER = "ab" * 32, "cd" * 32
TOLD = Circumstances("2026-01-01T00:00:00+01:00", "192.0.2.1", 4711, "al\x1bice", "/n", "f", "a\nb")


def result(key: str, outcome: Outcome) -> Result:
    return Result((), Verdict(outcome), "image/png", 1, key)


def test_people_get_one_line_for_each_upload_and_nothing_a_terminal_would_obey(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uploads, inner = Uploads(tmp_path), RememberingObserver()
    uploads.add(KEY, TOLD)
    uploads.add(OTHER, TOLD)
    telling = WithUploads(inner, uploads, as_json=False)
    for each in (result(KEY, Outcome.MATCH), result(OTHER, Outcome.UNDETERMINED)):
        telling.result(each)
    assert len(inner.results) == 2
    assert capsys.readouterr().out == ""  # the display is not disturbed
    telling.tell()
    assert capsys.readouterr().out == (
        "uploaded      2026-01-01T00:00:00+01:00 from 192.0.2.1 port 4711, user al\\x1bice,"
        f" to '/n', as 'a\\nb'  (content {KEY})\n"
    )


def test_only_what_is_known_to_be_unknown_is_forgotten(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path / "uploads")
    keys = {f"{number:064x}": outcome for number, outcome in enumerate(Outcome)}
    with Store.open(tmp_path) as store:
        for key, outcome in keys.items():
            uploads.add(key, TOLD)
            of = Fingerprint(key, 1, "image/png", (), ())
            number = store.contents.add([of], 0.0)[key]
            store.contents.decide([Decision(number, Verdict(outcome), None, None)])
        uploads.add(KEY, TOLD)  # a content that the state does not know
        forget_settled(uploads, store)
    left = {key for key, outcome in keys.items() if outcome is not Outcome.NO_MATCH}
    assert set(uploads.keys()) == {KEY, *left}
