"""The files in a form are checked beside the whole, and the worst answer counts."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable

import pytest

from hashwacht.core.types import Outcome, Reason
from hashwacht.core.upload_context import UploadContext
from hashwacht.gateway.checks import Answer, ContentChecks
from hashwacht.gateway.forms.part_checks import MAX_FILES
from hashwacht.gateway.unwrap import MAX_EXPANSION, UnwrappingChecks
from support.gateway.exact_checks import ExactChecks
from support.gateway.fake_checks import DAMAGED, LISTED, FakeStream
from support.gateway.squidclamav import squidclamav_mail
from support.plugins.upload_forms import MULTIPART, field_part, file_part, form

OTHER = b"GIF89a\0another picture"
CONTEXT = UploadContext("2026-12-01T00:00:00+00:00")

Check = Callable[[ContentChecks, bytes, UploadContext], Awaitable[Answer]]


async def over_stream(checks: ContentChecks, content: bytes, context: UploadContext) -> Answer:
    stream = checks.open_stream()
    try:
        for at in range(0, len(content), 1000):
            stream.write(content[at : at + 1000])
        return await stream.finish(context)
    finally:
        stream.close()


async def over_descriptor(checks: ContentChecks, content: bytes, context: UploadContext) -> Answer:
    fd = os.memfd_create("content")
    try:
        os.write(fd, content)
        return await checks.check_fd(fd, context)
    finally:
        os.close(fd)


@pytest.fixture(params=[over_stream, over_descriptor])
def check(request: pytest.FixtureRequest) -> Check:
    """Return a way to have a content checked."""
    way: Check = request.param
    return way


def checked(
    check: Check, content: bytes, declared_type: str = "", scanner: ExactChecks | None = None
) -> tuple[Answer, ExactChecks]:
    """Return the answer for *content*, and the scanner that was asked."""
    scanner = scanner or ExactChecks()
    context = UploadContext(CONTEXT.received_at, address="192.0.2.7", declared_type=declared_type)

    async def run() -> Answer:
        return await check(UnwrappingChecks(scanner, timeout=20), content, context)

    answer = asyncio.run(run())
    assert scanner.open_streams == 0
    return answer, scanner


FORM = form(field_part(b"a title"), file_part(OTHER), file_part(LISTED, b"a.png"))


@pytest.mark.parametrize(
    "content",
    [
        FORM,
        form(file_part(LISTED), field_part(b"x" * 3_000_000)),
        form(file_part(os.urandom(70_000)), file_part(LISTED)),
        squidclamav_mail(field_part(b""), file_part(OTHER), file_part(LISTED), field_part(b"x")),
        b"\x89PNG preamble\r\n" + FORM,
    ],
    ids=["form", "large field", "large file", "mail of squidclamav", "bytes before"],
)
def test_a_listed_file_in_a_form_matches(check: Check, content: bytes) -> None:
    answer, scanner = checked(check, content)
    assert answer.result.outcome is Outcome.MATCH
    assert answer.result.size == len(LISTED)
    assert len(scanner.contexts) >= 2  # the whole as well


def test_the_case_has_what_the_form_says_about_the_file(check: Check) -> None:
    _, scanner = checked(check, form(file_part(LISTED, b"a.png", b"photo")))
    whole, part = scanner.contexts
    assert (whole.field, whole.file_name) == ("", "")
    assert (part.field, part.file_name, part.declared_type) == ("photo", "a.png", "image/jpeg")
    assert part.address == whole.address == "192.0.2.7"


def test_a_form_without_listed_files_has_no_match(check: Check) -> None:
    answer, scanner = checked(check, form(field_part(b"a title"), file_part(OTHER)))
    assert answer.result.outcome is Outcome.NO_MATCH
    assert len(scanner.contexts) == 2


def test_a_match_counts_more_than_an_undetermined_file(check: Check) -> None:
    answer, _ = checked(check, form(file_part(DAMAGED), file_part(LISTED), file_part(DAMAGED)))
    assert answer.result.outcome is Outcome.MATCH


def test_an_undetermined_file_counts_more_than_no_match(check: Check) -> None:
    answer, _ = checked(check, form(file_part(OTHER), file_part(DAMAGED)))
    assert answer.result.outcome is Outcome.UNDETERMINED
    assert answer.result.reason is Reason.DAMAGED


@pytest.mark.parametrize("kind", [Outcome.MATCH, Outcome.UNDETERMINED])
def test_the_answer_for_the_whole_counts_as_well(check: Check, kind: Outcome) -> None:
    content = form(file_part(OTHER))
    known = frozenset({content})
    matches = kind is Outcome.MATCH
    scanner = ExactChecks(listed=known) if matches else ExactChecks(undetermined=known)
    assert checked(check, content, scanner=scanner)[0].result.outcome is kind


@pytest.mark.parametrize(
    "content",
    [form(file_part(OTHER))[:-20], form(file_part(OTHER)) + b"epilogue"],
    ids=["without end", "bytes behind"],
)
def test_a_form_that_may_hide_a_file_is_undetermined(check: Check, content: bytes) -> None:
    answer, _ = checked(check, content)
    assert answer.result.outcome is Outcome.UNDETERMINED
    assert len(answer.event) == 8


def test_a_listed_file_in_a_form_without_its_end_matches(check: Check) -> None:
    content = form(file_part(LISTED), field_part(b"a title")).removesuffix(b"--\r\n")
    assert checked(check, content)[0].result.outcome is Outcome.MATCH


def test_a_picture_is_checked_once(check: Check) -> None:
    answer, scanner = checked(check, LISTED)
    assert answer.result.outcome is Outcome.MATCH
    assert len(scanner.contexts) == 1
    assert checked(check, b"")[0].result.outcome is Outcome.NO_MATCH


def test_a_mail_is_not_unwrapped(check: Check) -> None:
    mail = b"From: a@example.com\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
    mail += b"--b\r\nContent-Disposition: attachment; filename=a.png\r\n\r\n"
    answer, scanner = checked(check, mail + LISTED + b"\r\n--b--\r\n")
    assert answer.result.outcome is Outcome.NO_MATCH
    assert len(scanner.contexts) == 1


def test_a_urlencoded_form_is_read_if_it_is_declared(check: Check) -> None:
    content = b"title=a&photo=%00picture+one"
    scanner = ExactChecks(listed=frozenset({b"\0picture one"}))
    declared = "application/x-www-form-urlencoded; charset=utf-8"
    assert checked(check, content, declared, scanner)[0].result.outcome is Outcome.MATCH
    assert checked(check, content, "", scanner)[0].result.outcome is Outcome.NO_MATCH


def test_a_declared_boundary_is_the_one_that_counts(check: Check) -> None:
    inner = form(file_part(LISTED))
    content = form(field_part(b"x"), boundary=b"other") + inner
    assert checked(check, content, MULTIPART)[0].result.outcome is Outcome.UNDETERMINED
    assert checked(check, inner, MULTIPART)[0].result.outcome is Outcome.MATCH
    assert checked(check, inner, "multipart/form-data")[0].result.outcome is Outcome.MATCH


def test_more_files_than_any_form_has_are_undetermined(check: Check) -> None:
    answer, scanner = checked(check, form(*[file_part(OTHER)] * (MAX_FILES + 1)))
    assert answer.result.reason is Reason.OVER_LIMIT
    assert len(scanner.contexts) == MAX_FILES + 1  # with the whole


def test_parts_of_many_times_the_bytes_are_undetermined(
    check: Check, caplog: pytest.LogCaptureFixture
) -> None:
    """Forms in the fields of forms multiply the bytes: each is read, decoded and as it is."""
    content = b"\xff" * 50_000
    for boundary in (b"edge4", b"edge3", b"edge2", b"edge1"):
        content = form(field_part(content), boundary=boundary)
    answer, scanner = checked(check, content, scanner=ExactChecks())
    assert answer.result.outcome is Outcome.UNDETERMINED
    assert scanner.total <= (MAX_EXPANSION + 1) * len(content)
    assert "many times its own bytes" in caplog.text


def test_a_form_is_undetermined_after_its_time(check: Check) -> None:
    class SlowParts(ExactChecks):
        async def check_fd(self, fd: int, context: UploadContext) -> Answer:
            if context.file_name:
                await asyncio.Event().wait()
            return await super().check_fd(fd, context)

    scanner = SlowParts()

    async def run() -> Answer:
        return await check(UnwrappingChecks(scanner, timeout=0.05), FORM, CONTEXT)

    answer = asyncio.run(run())
    assert answer.result.reason is Reason.TIMED_OUT
    assert scanner.open_streams == 0


def test_no_room_for_a_part_is_undetermined(check: Check) -> None:
    class Full(ExactChecks):
        def __post_init__(self) -> None:
            super().__post_init__()
            self.streams = 0

        def open_stream(self) -> FakeStream:
            self.streams += 1
            if self.streams > (check is over_stream):
                raise OSError(28, "No space left on device")
            return super().open_stream()

    answer, _ = checked(check, FORM, scanner=Full())
    assert answer.result.reason is Reason.OVERLOADED


def test_a_cancelled_check_releases_all_contents(check: Check) -> None:
    async def run() -> int:
        scanner = ExactChecks()
        scanner.released.clear()
        content = form(*[file_part(OTHER)] * 5)
        task = asyncio.ensure_future(check(UnwrappingChecks(scanner, timeout=20), content, CONTEXT))
        for _ in range(20):  # turns of the loop, in which all six checks begin
            await asyncio.sleep(0)
        assert len(scanner.contexts) == 6
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return scanner.open_streams

    assert asyncio.run(run()) == 0


def test_a_large_content_does_not_block_the_event_loop(check: Check) -> None:
    """Other connections are served while a large form is read."""

    async def run() -> int:
        turns = 0

        async def count_turns() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        other = asyncio.create_task(count_turns())
        content = form(file_part(bytes(12 << 20)), file_part(LISTED))
        answer = await check(UnwrappingChecks(ExactChecks(), timeout=60), content, CONTEXT)
        other.cancel()
        assert answer.result.outcome is Outcome.MATCH
        return turns

    assert asyncio.run(run()) > 24  # at least between blocks of a megabyte
