"""Every part for Django in a real project, called by Django's own test client."""

from __future__ import annotations

import gc
import io
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from django import forms  # type: ignore[import-untyped]  # Django ships no types
from django.core.checks import run_checks  # type: ignore[import-untyped]  # Django ships no types
from django.core.exceptions import (  # type: ignore[import-untyped]  # Django ships no types
    ImproperlyConfigured,
    PermissionDenied,
    ValidationError,
)
from django.core.files.base import ContentFile  # type: ignore[import-untyped]  # Django ships no types
from django.core.files.storage import storages  # type: ignore[import-untyped]  # Django ships no types
from django.core.files.uploadedfile import SimpleUploadedFile  # type: ignore[import-untyped]  # Django ships no types
from django.core.files.uploadhandler import FileUploadHandler  # type: ignore[import-untyped]  # Django ships no types
from django.db import connection, models  # type: ignore[import-untyped]  # Django ships no types
from django.db.migrations.writer import MigrationWriter  # type: ignore[import-untyped]  # Django ships no types
from django.http import HttpResponse, UnreadablePostError  # type: ignore[import-untyped]  # Django ships no types
from django.test import Client  # type: ignore[import-untyped]  # Django ships no types
from django.test.utils import override_settings  # type: ignore[import-untyped]  # Django ships no types
from django.urls import path  # type: ignore[import-untyped]  # Django ships no types

from hashwacht import Checker, Outcome, Reason
from hashwacht_plugins.context import ClientInfo
from hashwacht_plugins.policy import OnMatch, OnUndetermined, Policy, RefusalResponse
from support.plugins.uploads import KNOWN, Gate, descriptors

LARGE = b"other bytes" * 500_000  # more than Django keeps in memory
HANDLERS = [
    "hashwacht_plugins.django.uploadhandler.HashwachtUploadHandler",
    "django.core.files.uploadhandler.MemoryFileUploadHandler",
    "django.core.files.uploadhandler.TemporaryFileUploadHandler",
]
FILES = "django.core.files.storage.FileSystemStorage"
PLAIN = {"default": {"BACKEND": FILES}}


def take(request: Any) -> HttpResponse:
    contents = [file.read() for file in request.FILES.getlist("picture")]
    results = [(finding.result.outcome, finding.result.reason) for finding in request.hashwacht]
    return HttpResponse(repr((list(map(len, contents)), results)))


def form(request: Any) -> HttpResponse:
    form = picture_form()(request.POST, request.FILES)
    return HttpResponse(
        "stored" if form.is_valid() else form.errors.as_json(), content_type="application/json"
    )


def store(request: Any) -> HttpResponse:
    file = request.FILES["picture"]
    return HttpResponse(storages["default"].save(file.name, file))


def picture_form() -> Any:
    from hashwacht_plugins.django.validators import HashwachtValidator

    class PictureForm(forms.Form):  # type: ignore[misc]  # Django ships no types
        picture = forms.FileField(validators=[HashwachtValidator()])

    return PictureForm


def deny(_: Any) -> HttpResponse:
    raise PermissionDenied


def urls(**more: Any) -> Any:
    """Make a URLconf."""
    module = ModuleType("urls")
    patterns = [path("", take), path("form", form), path("store", store), path("denied", deny)]
    module.__dict__.update(urlpatterns=patterns, **more)
    return module


@pytest.fixture(scope="module")
def client(checker: Checker, django_project: None) -> Iterator[Client]:
    assert django_project is None
    with override_settings(
        FILE_UPLOAD_HANDLERS=HANDLERS, HASHWACHT={"CHECKER": checker}, ROOT_URLCONF=urls()
    ):
        yield Client()


@pytest.fixture
def matched(client: Client) -> Iterator[list[Any]]:
    """Connect to the signal, next to a receiver that fails."""
    from hashwacht_plugins.django.signals import upload_matched

    requests: list[Any] = []

    def hear(sender: type, *, file: Any, request: Any, **_: Any) -> None:
        requests.append((sender.__name__, file.file_name, file.result.outcome, request is not None))

    def fail(**_: Any) -> None:
        raise ZeroDivisionError

    assert client is not None
    upload_matched.connect(fail)
    upload_matched.connect(hear)
    yield requests
    upload_matched.disconnect(hear)
    upload_matched.disconnect(fail)


def post(client: Client, *contents: bytes, to: str = "/") -> Any:
    files = [SimpleUploadedFile(f"{n}.jpg", content) for n, content in enumerate(contents)]
    return client.post(to, {"picture": files, "title": "text"})


def having(checker: Checker, **policy: Any) -> Any:
    return override_settings(HASHWACHT={"CHECKER": checker, "POLICY": Policy(**policy)})


def without_handler() -> Any:
    return override_settings(FILE_UPLOAD_HANDLERS=HANDLERS[1:])


# The upload handler.


def test_unknown_files_reach_the_view_with_their_verdicts(client: Client) -> None:
    answer = post(client, b"other", LARGE, b"")
    sizes, results = [5, len(LARGE)], [(Outcome.NO_MATCH, None)] * 3  # Django drops empty files
    assert answer.status_code == 200
    assert answer.content.decode() in (repr((sizes, results)), repr(([*sizes, 0], results)))


def test_a_match_is_denied_and_the_view_has_no_files(client: Client) -> None:
    assert post(client, b"other", KNOWN).status_code == 403


class StreamingHandler(FileUploadHandler):  # type: ignore[misc]  # Django ships no types
    """Stores a file while it arrives, as a handler that streams to a bucket does."""

    stored: ClassVar[list[bytearray]] = []

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.stored.append(bytearray())

    def receive_data_chunk(self, raw_data: bytes, start: int) -> bytes:
        assert start == len(self.stored[-1])
        self.stored[-1] += raw_data
        return raw_data

    def file_complete(self, file_size: int) -> None:
        assert file_size == len(self.stored[-1])


@pytest.mark.parametrize("streaming", [False, True])
def test_a_handler_that_stores_receives_nothing_of_a_match(
    client: Client, checker: Checker, streaming: bool
) -> None:
    StreamingHandler.stored.clear()
    handlers = [HANDLERS[0], f"{__name__}.StreamingHandler", *HANDLERS[1:]]
    with (
        override_settings(FILE_UPLOAD_HANDLERS=handlers),
        having(checker, streaming=streaming),
    ):
        assert post(client, LARGE, KNOWN).status_code == 403
        assert StreamingHandler.stored == [LARGE, KNOWN if streaming else b""]
        answer = post(client, LARGE, b"small")
        assert answer.content.decode().startswith(f"([{len(LARGE)}, 5]")


def test_a_match_is_denied_when_csrf_tokens_are_checked(client: Client, matched: list[Any]) -> None:
    strict = type(client)(enforce_csrf_checks=True)
    strict.cookies["csrftoken"] = (
        "a" * 32
    )  # Django then looks for the token in the form and reads it
    assert post(strict, KNOWN).status_code == 403
    assert [call[0] for call in matched] == ["HashwachtUploadHandler"]


def test_the_policy_of_the_settings_counts(client: Client, checker: Checker) -> None:
    with having(checker, on_match=OnMatch.HOLD):
        assert post(client, KNOWN).content.decode() == repr(([11], [(Outcome.MATCH, None)]))
    with having(checker, max_bytes=3):
        expected = ([11], [(Outcome.UNDETERMINED, Reason.OVER_LIMIT)])
        assert post(client, KNOWN).content.decode() == repr(expected)
    with having(checker, spool="/nowhere", on_undetermined=OnUndetermined.REJECT):
        assert post(client, b"other").status_code == 403


@pytest.mark.alone  # measures time
def test_all_waiting_in_one_request_has_one_limit(client: Client) -> None:
    gate = Gate()
    with Checker(lambda: gate, threads=1) as slow, having(slow, timeout=1):
        began = time.monotonic()
        answer = post(client, *[b"%d" % number for number in range(16)])
        assert time.monotonic() - began < 10
        gate.open.set()
    assert answer.content.decode().count("TIMED_OUT") == 16


def test_a_client_that_disconnects_leaves_no_file_open(client: Client) -> None:
    """The request may be kept: Django's handlers and their request refer to each other."""

    class Vanishing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self._vanish()

        def _vanish(self) -> bytes:
            raise ConnectionResetError

    head = b'--x\r\nContent-Disposition: form-data; name="picture"; filename="a"\r\n\r\n'
    environment = {
        "CONTENT_LENGTH": "900000",
        "CONTENT_TYPE": "multipart/form-data; boundary=x",
        "REQUEST_METHOD": "POST",
    }
    gc.collect()
    gc.disable()
    try:
        post(client, b"other")
        before = descriptors()
        for _ in range(3):
            with pytest.raises(UnreadablePostError):
                client.request(**{**environment, "wsgi.input": Vanishing(head + LARGE[:200_000])})
        assert descriptors() == before
    finally:
        gc.enable()


def test_the_callback_for_the_user_is_given_the_request(client: Client, checker: Checker) -> None:
    requests: list[Any] = []
    client_info = ClientInfo(user=requests.append)
    with override_settings(HASHWACHT={"CHECKER": checker, "CLIENT_INFO": client_info}):
        post(client, b"other")
    assert [query.path for query in requests] == ["/"]


# The answer.


def test_the_view_for_what_is_denied_answers_as_the_policy_says(
    client: Client, checker: Checker
) -> None:
    problem = RefusalResponse.problem(451, "Not accepted")
    with having(checker, refused=problem):
        assert post(client, KNOWN).status_code == 403  # Django's own page
        with override_settings(
            ROOT_URLCONF=urls(handler403="hashwacht_plugins.django.verdicts.permission_denied")
        ):
            refused, denied = post(client, KNOWN), client.get("/denied")
    assert (refused.status_code, refused.content) == (451, problem.body)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert (denied.status_code, b"403 Forbidden" in denied.content) == (403, True)


# The signal.


def test_a_match_sends_the_signal_under_any_policy(
    client: Client, checker: Checker, matched: list[Any]
) -> None:
    post(client, b"other")
    assert matched == []
    assert post(client, KNOWN).status_code == 403
    with having(checker, on_match=OnMatch.OBSERVE):
        assert post(client, b"other", KNOWN).status_code == 200
    assert matched == [
        ("HashwachtUploadHandler", "0.jpg", Outcome.MATCH, True),
        ("HashwachtUploadHandler", "1.jpg", Outcome.MATCH, True),
    ]


# The validator.


@pytest.mark.parametrize("content", [b"other", LARGE])
def test_a_form_accepts_unknown_files_and_rejects_matches(
    client: Client, matched: list[Any], content: bytes
) -> None:
    with without_handler():
        assert post(client, content, to="/form").content == b"stored"
        refused = post(client, KNOWN, to="/form").json()
    assert refused == {
        "picture": [{"message": "This upload cannot be accepted.", "code": "hashwacht"}]
    }
    assert [call[0] for call in matched] == ["HashwachtValidator"]


def test_a_checked_file_is_rewound(client: Client) -> None:
    assert client is not None
    form = picture_form()({}, {"picture": SimpleUploadedFile("a.jpg", b"other")})
    assert form.is_valid()
    assert form.cleaned_data["picture"].read() == b"other"


def test_a_model_validates_new_files_and_not_those_it_has_stored(client: Client) -> None:
    from hashwacht_plugins.django.validators import HashwachtValidator

    assert client is not None

    class Photo(models.Model):  # type: ignore[misc]  # noqa: DJ008  # Django ships no types; never shown
        file = models.FileField(storage=storages.create_storage({"BACKEND": FILES}), upload_to="x")
        other = models.FileField(validators=[HashwachtValidator()], upload_to="y")

        class Meta:
            app_label = "hashwacht"

    with connection.schema_editor() as editor:
        editor.create_model(Photo)
    with pytest.raises(ValidationError) as caught:
        Photo(other=ContentFile(KNOWN, "a.jpg")).clean_fields(exclude=["file"])
    assert [error.code for error in caught.value.error_dict["other"]] == ["hashwacht"]
    photo = Photo(other=ContentFile(b"other", "b.jpg"))
    photo.clean_fields(exclude=["file"])
    photo.save()
    Path(photo.other.path).write_bytes(KNOWN)
    Photo.objects.get(pk=photo.pk).clean_fields(exclude=["file"])


def test_migrations_can_write_validator_and_storage_down(client: Client) -> None:
    from hashwacht_plugins.django.storage import HashwachtStorage
    from hashwacht_plugins.django.validators import HashwachtValidator

    assert client is not None
    for part in (HashwachtValidator(code="x"), HashwachtStorage(FILES, {"location": "/srv"})):
        text, imports = MigrationWriter.serialize(part)
        assert text.startswith(f"hashwacht_plugins.django.{type(part).__module__.split('.')[-1]}.")
        assert len(imports) == 1
    assert HashwachtValidator(code="x") == HashwachtValidator(code="x") != HashwachtValidator()


# The storage.


def test_saved_files_are_checked_and_a_match_is_not_stored(
    client: Client, matched: list[Any]
) -> None:
    directory = Path(storages["default"].location)  # an attribute of the inner storage
    with without_handler():
        stored = post(client, LARGE, to="/store").content.decode()
        assert (directory / stored).read_bytes() == LARGE
        before = sorted(directory.iterdir())
        assert post(client, KNOWN, to="/store").status_code == 403
    assert sorted(directory.iterdir()) == before
    assert [call[0] for call in matched] == ["HashwachtStorage"]


@pytest.mark.parametrize("mode", ["wb", "xb", "ab", "w+b", "w"])
def test_files_opened_for_writing_are_checked(
    client: Client, matched: list[Any], mode: str
) -> None:
    assert client is not None
    storage = storages["default"]
    storage.delete("opened.jpg")
    text = "b" not in mode
    with pytest.raises(PermissionDenied), storage.open("opened.jpg", mode) as file:
        file.write(KNOWN.decode() if text else KNOWN)
    assert not storage.exists("opened.jpg")
    assert [sender for sender, *_ in matched] == ["HashwachtStorage"]
    with storage.open("opened.jpg", mode) as file:
        file.write("other" if text else b"other")
    with storage.open("opened.jpg") as file:
        assert file.read() == b"other"


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_the_whole_content_of_a_changed_file_is_checked(client: Client, mode: str) -> None:
    assert client is not None
    storage = storages["default"]
    storage.delete("changed.jpg")
    storage.save("changed.jpg", ContentFile(KNOWN[:5]))
    file = storage.open("changed.jpg", mode)
    file.seek(5)
    file.write(KNOWN[5:])
    with pytest.raises(PermissionDenied):
        file.close()
    with storage.open("changed.jpg") as file:
        assert file.read() == KNOWN[:5]
    with storage.open("changed.jpg", mode) as file:
        file.seek(5)
        file.write(b"x")
    with storage.open("changed.jpg") as file:
        assert file.read() == KNOWN[:5] + b"x"
    with pytest.raises(FileExistsError):
        storage.open("changed.jpg", "xb")
    storage.delete("changed.jpg")
    with pytest.raises(FileNotFoundError):
        storage.open("changed.jpg", "r+b")


def test_the_storage_does_everything_else_as_the_one_inside(client: Client) -> None:
    assert client is not None
    storage = storages["default"]
    name = storage.save("a b/c.txt", io.BytesIO(b"text"))
    assert (name, storage.exists(name), storage.size(name)) == ("a b/c.txt", True, 4)
    assert storage.save(name, ContentFile(b"text")) != name  # Django chooses a free name
    assert storage.url(name) == "/media/a%20b/c.txt"
    assert Path(storage.path(name)).read_bytes() == b"text"
    with storage.open(name) as file:
        assert file.read() == b"text"
    assert name.rpartition("/")[2] in storage.listdir("a b")[1]
    assert storage.get_modified_time(name) >= storage.get_created_time(name)
    storage.delete(name)
    assert not storage.exists(name)


# The checks.


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, []),
        ({"HASHWACHT": {"POLICIES": 1, "POLICY": "reject"}}, ["E001", "E001"]),
        ({"HASHWACHT": "reject"}, ["E001"]),
        ({"HASHWACHT": {"CONFIG": "/nowhere/hashwacht.toml"}}, ["E002"]),
        ({"FILE_UPLOAD_HANDLERS": HANDLERS[::-1]}, ["E004"]),
        ({"FILE_UPLOAD_HANDLERS": HANDLERS[:1]}, ["E005"]),
        ({"FILE_UPLOAD_HANDLERS": HANDLERS[1:]}, []),
        ({"FILE_UPLOAD_HANDLERS": HANDLERS[1:], "STORAGES": PLAIN}, ["W001"]),
    ],
)
def test_checks_report_the_problem_with_advice(
    client: Client, changed: dict[str, Any], found: list[str]
) -> None:
    assert client is not None
    with override_settings(**changed):
        messages = run_checks(tags=["hashwacht"])
    assert [problem.id for problem in messages] == [f"hashwacht.{number}" for number in found]
    assert all(problem.hint for problem in messages)


def test_checks_report_a_bad_spool_directory_and_two_checkers(
    client: Client, checker: Checker
) -> None:
    assert client is not None
    with having(checker, spool="/nowhere"):
        assert [run_check.id for run_check in run_checks(tags=["hashwacht"])] == ["hashwacht.E003"]
    with override_settings(HASHWACHT={"CHECKER": checker, "CONFIG": "/etc/x"}):
        assert [run_check.id for run_check in run_checks(tags=["hashwacht"])] == ["hashwacht.E001"]


def test_wrong_settings_let_no_upload_through(client: Client) -> None:
    wrong = {"HASHWACHT": {"CONFIG": "/nowhere/hashwacht.toml"}}
    with override_settings(**wrong), pytest.raises(ImproperlyConfigured, match="nowhere"):
        post(client, b"other")
