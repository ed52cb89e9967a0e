"""Patterns of paths match in every form in which servers and applications read a path."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hashwacht_plugins import asgi, wsgi
from hashwacht_plugins.middleware_settings import PartialUploadFilter
from hashwacht_plugins.request_body import RawBody, RequestHead
from hashwacht_plugins.request_paths import MAX_FORMS, path_forms

FILES = RawBody(paths=["/files/*"], types=["*"])

TO_FILES = [
    "/files/a",
    "//files/a",
    "/./files/a",
    "/x/../files/a",
    "/files%2Fa",
    "/%66iles/a",
    "/%2566iles/a",
    "/files/./a",
    "/FILES/a",
    "/files\\a",
    "/files;x/a",
    "/;x/files/a",
    "/x/..;/files/a",
    "/x/%2e%2E/files/a",
    "/files/a%00b",
    "/files./a",
    "/fi\tles/a",
    "/\uff46iles/a",
    "\uff0ffiles\uff0fa",
    "/files/\xff",
    "http://x/files/a",
    "//x/files/a",
    "files/a",
    "/other%3f/../files/a",
]


def head(path: str, **more: str) -> RequestHead:
    return RequestHead("PUT", path, "", {"tus-resumable": "1.0.0"}, **more)


@pytest.mark.parametrize("path", TO_FILES)
def test_a_body_is_a_file_in_any_form_of_its_path(path: str) -> None:
    assert FILES.applies(head(path))
    assert FILES.applies(head("/", sent_path=path))


@pytest.mark.parametrize("path", ["/", "/files", "/other/a", "/filesystem/a", "/other/files.d/a"])
def test_a_body_elsewhere_is_no_file(path: str) -> None:
    assert not FILES.applies(head(path))


def test_a_pattern_counts_inside_a_mount_and_with_it() -> None:
    for pattern in ("/files/*", "/dav/files/*"):
        rule = RawBody(paths=[pattern], types=["*"])
        assert rule.applies(head("/dav/files/a", mount="/dav"))
        assert rule.applies(head("/files/a", mount="/dav"))


@pytest.mark.parametrize(
    "path",
    [
        "/parts/../upload",
        "/parts/%2e%2e/upload",
        "/parts/%252e%252e/upload",
        "/parts/..;x/upload",
        "/parts/..\\upload",
        "/upload#/parts/1",
        "/PARTS/1",
        "/x/../parts/1",
        "/%70arts/1",
        "/parts" + "/x%2525" * 300,
    ],
)
def test_a_part_passes_only_if_all_forms_match(path: str) -> None:
    parts = PartialUploadFilter(["/parts/*"], lambda _: None)
    assert not parts.passes(head(path))
    assert not parts.passes(head("/parts/1", sent_path=path))


@pytest.mark.parametrize(
    "path", ["/parts/1", "/parts/a/b.part", "/parts/a b (1).jpg", "/parts/\xfc"]
)
def test_a_part_on_an_ordinary_path_passes(path: str) -> None:
    parts = PartialUploadFilter(["/parts/*"], lambda _: None)
    assert parts.passes(head(path, sent_path=quote(path)))


def test_servers_provide_the_path_as_it_was_sent() -> None:
    scope = {
        "method": "put",
        "path": "/dav/files/a",
        "raw_path": b"/dav/files%2Fa",
        "root_path": "/dav",
        "headers": [],
    }
    over_asgi = asgi.parse_request(scope)
    environ = {
        "REQUEST_METHOD": "PUT",
        "SCRIPT_NAME": "/dav",
        "PATH_INFO": "/files/a",
        "RAW_URI": "/dav/files%2Fa?x=../..",
    }
    assert wsgi.parse_request(environ).sent_path == over_asgi.sent_path == "/dav/files%2Fa"
    assert wsgi.parse_request(environ).mount == over_asgi.mount == "/dav"


SPELLINGS = st.lists(
    st.sampled_from(
        ["/", "//", "/./", "/x/../", "/;p/", "\\", "%2f", "%252F", "/%2e/", "/x/%2e%2e/"]
    ),
    min_size=2,
    max_size=2,
)


@settings(max_examples=200, deadline=None)
@given(SPELLINGS, st.sampled_from(["files", "FILES", "%66iles", "fi%6ces", "files;a=b", "files."]))
def test_a_generated_spelling_of_a_path_is_recognized(slashes: list[str], name: str) -> None:
    before, after = slashes
    assert FILES.applies(head(before + name + after + "a"))


@given(st.text(st.sampled_from("/.%25eEfF;\\?# ab"), max_size=80))
def test_the_number_of_forms_is_bounded(path: str) -> None:
    forms = path_forms(path)
    assert forms is None or 0 < len(forms) <= MAX_FORMS + 12
