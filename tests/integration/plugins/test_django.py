"""The upload handler in a real Django, asked by Django's own test client."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

import django  # type: ignore[import-untyped]  # Django ships no types
import pytest
from django.conf import settings  # type: ignore[import-untyped]  # Django ships no types
from django.core.files.uploadedfile import SimpleUploadedFile  # type: ignore[import-untyped]  # Django ships no types
from django.http import HttpResponse  # type: ignore[import-untyped]  # Django ships no types
from django.test import Client  # type: ignore[import-untyped]  # Django ships no types
from django.test.utils import override_settings  # type: ignore[import-untyped]  # Django ships no types
from django.urls import path  # type: ignore[import-untyped]  # Django ships no types

from hashwacht import Checker, Outcome, Reason
from hashwacht.fingerprint.in_process import InProcess
from hashwacht.fingerprint.plan import Plan
from hashwacht.match.panel import Panel, Seat
from hashwacht.pipeline import Pipeline
from hashwacht.testing.fakes import KnowingMatcher
from hashwacht.workplace import InThisProcess, Workplace
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy

KNOWN = b"known bytes"
LARGE = b"other bytes" * 500_000  # more than Django keeps in memory


def take(request: Any) -> HttpResponse:
    contents = [each.read() for each in request.FILES.getlist("picture")]
    found = [(each.checked.outcome, each.checked.reason) for each in request.hashwacht]
    return HttpResponse(repr((list(map(len, contents)), found)))


@pytest.fixture(scope="module")
def checker() -> Iterator[Checker]:
    matcher = KnowingMatcher({hashlib.sha256(KNOWN).hexdigest()})

    def opener() -> Workplace:
        return InThisProcess(Pipeline(InProcess(Plan(("sha256",))), Panel([Seat(matcher)])))

    with Checker(opener) as made:
        yield made


@pytest.fixture(scope="module")
def client(checker: Checker) -> Client:
    handlers = "django.core.files.uploadhandler"
    settings.configure(
        ALLOWED_HOSTS=["testserver"],
        DEFAULT_CHARSET="utf-8",
        ROOT_URLCONF=(path("", take),),
        HASHWACHT_CHECKER=checker,
        FILE_UPLOAD_HANDLERS=[
            "hashwacht_plugins.django.HashwachtUploadHandler",
            f"{handlers}.MemoryFileUploadHandler",
            f"{handlers}.TemporaryFileUploadHandler",
        ],
    )
    django.setup()
    return Client()


def post(client: Client, *contents: bytes) -> Any:
    files = [SimpleUploadedFile(f"{n}.jpg", each) for n, each in enumerate(contents)]
    return client.post("/", {"picture": files, "title": "text"})


def test_unknown_files_reach_the_view_with_their_verdicts(client: Client) -> None:
    answer = post(client, b"other", LARGE)
    expected = ([5, len(LARGE)], [(Outcome.NO_MATCH, None)] * 2)
    assert (answer.status_code, answer.content.decode()) == (200, repr(expected))


def test_a_match_is_denied_and_the_view_has_no_files(client: Client) -> None:
    assert post(client, b"other", KNOWN).status_code == 403


def test_the_policy_of_the_settings_counts(client: Client) -> None:
    with override_settings(HASHWACHT_POLICY=Policy(on_match=OnMatch.HOLD)):
        assert post(client, KNOWN).content.decode() == repr(([11], [(Outcome.MATCH, None)]))
    with override_settings(HASHWACHT_POLICY=Policy(max_bytes=3)):
        expected = ([11], [(Outcome.UNDETERMINED, Reason.OVER_LIMIT)])
        assert post(client, KNOWN).content.decode() == repr(expected)
    strict = Policy(spool="/nowhere", on_undetermined=OnUndetermined.REJECT)
    with override_settings(HASHWACHT_POLICY=strict):
        assert post(client, b"other").status_code == 403
