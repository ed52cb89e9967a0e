"""Contents that arrive gradually, with real workers: nothing is stored needlessly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from demo.sample_storage import KNOWN
from hashwacht import Checker, CheckResult, Outcome, UploadStream
from support.plugins.uploads import opened
from support.program import Program

TEXT = b"no picture\n" * 100_000


@pytest.fixture(scope="module")
def checker(program: Program) -> Iterator[Checker]:
    """Check in this process, with the machine's list."""
    with program.in_environment(), Checker.configured() as checker:
        yield checker


def spooled(directory: Path) -> int:
    """Return the number of open, unlinked files that were created in *directory*."""
    return sum(path.startswith(str(directory)) for path in opened())


def send(incoming: UploadStream, content: bytes, step: int) -> CheckResult:
    with incoming:
        for begin in range(0, len(content), step):
            incoming.write(content[begin : begin + step])
        return incoming.finish().result(60)


def test_first_and_later_contents_get_the_same_verdict(
    checker: Checker,
) -> None:
    listed, unknown = encode(photo(KNOWN), "png"), encode(photo(7), "png")
    expected = {listed: Outcome.MATCH, unknown: Outcome.NO_MATCH, TEXT: Outcome.NO_MATCH}
    for content, outcome in expected.items():
        results = {
            send(checker.open_upload(), content, step) for step in (len(content), 70_000, 10_000)
        }
        assert len(results) == 1, results
        (result,) = results
        assert (result.outcome, result.size) == (outcome, len(content))


def test_only_what_may_be_a_picture_is_spooled(checker: Checker, tmp_path: Path) -> None:
    checker.scan_stream([TEXT])  # warms the workers up
    picture = encode(photo(7), "bmp")
    with checker.open_upload(tmp_path) as text, checker.open_upload(tmp_path) as image:
        text.write(TEXT)
        assert spooled(tmp_path) == 0
        image.write(picture[:60_000])
        assert spooled(tmp_path) == 0  # too early for a file
        image.write(picture[60_000:])
        assert spooled(tmp_path) == 1
    assert spooled(tmp_path) == 0


def test_writing_a_picture_fails_without_disk_space(checker: Checker) -> None:
    checker.scan_stream([TEXT])
    with checker.open_upload("/nowhere") as text:
        text.write(TEXT)
        assert text.finish().result(60).outcome is Outcome.NO_MATCH
    with checker.open_upload("/nowhere") as image, pytest.raises(OSError, match="nowhere"):
        image.write(encode(photo(7), "bmp"))
