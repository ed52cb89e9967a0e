"""Forms are recognized by their bytes, in whatever pieces these arrive."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hashwacht.gateway.forms.form_search import MAX_BOUNDARIES, MAX_FIELDS
from support.gateway.undeclared_forms import find_form, read_undeclared
from support.plugins.generated_bodies import GeneratedRequest, damaged_requests, requests
from support.plugins.upload_forms import BOUNDARY, field_part, file_part, form

PICTURE = b"GIF89a\0a picture\xff\r\n--\r\n"
FORM = form(field_part(b"a title"), file_part(PICTURE))

FORMS = {
    "a form of a browser": FORM,
    "a form behind line breaks": b"\r\n\r\n" + FORM,
    "a form behind other bytes": b"GIF89a\0other bytes\r\n" + FORM,
    "a form in upper case": FORM.replace(b"Content-Disposition", b"CONTENT-DISPOSITION"),
    "a form with other headers first": FORM.replace(b"Content-D", b"X-A: b\r\nContent-D"),
    "related parts": b"--edge\r\nContent-Type: image/gif\r\n\r\n" + PICTURE + b"\r\n--edge--\r\n",
    "a form without disposition types": FORM.replace(b"form-data;", b"attachment;"),
}

HIDDEN = {
    "a form without its end": FORM[:-20],
    "a form with bytes behind its end": FORM + b"x",
    "a delimiter in the middle of a line": b"x" + FORM,
    "an indented example of a form": b"An example:\n\n   --AaB03x\n"
    b'   Content-Disposition: form-data; name="a"\n\n   x\n   --AaB03x--\n',
    "a delimiter behind a header": b"X: y" + FORM,
    "a form behind an empty line": FORM.replace(BOUNDARY, BOUNDARY + b"\r\n", 1),
    "a form whose dispositions are folded": FORM.replace(b": form-data", b":\r\n form-data"),
    "lines that end with LF": FORM.replace(b"\r\n", b"\n"),
    "a form in the part of another one": form(file_part(FORM), boundary=b"other"),
    "a form behind another one": form(field_part(b"x"), boundary=b"other") + FORM,
    "a boundary of hyphens": FORM.replace(BOUNDARY, b"-"),
    "headers that are too many": FORM.replace(b"Content-D", b"X: y\r\n" * 40 + b"Content-D"),
    "headers that are too long": FORM.replace(b"Content-D", b"X: %b\r\nContent-D" % (b"y" * 20000)),
    "too many different delimiters": b"".join(
        form(field_part(b"x"), boundary=b"b%d" % number) for number in range(MAX_BOUNDARIES + 1)
    ),
}

FILES = {
    "nothing": b"",
    "a picture": PICTURE,
    "a mail with an attachment": b"From: a@example.com\r\nContent-Type: multipart/mixed\r\n\r\n"
    b"--b\r\nContent-Type: image/gif; name=a.gif\r\n"
    b"Content-Disposition: attachment; filename=a.gif\r\n\r\n" + PICTURE + b"\r\n--b--\r\n",
    "a header of a form in a text": b'\n```\nContent-Disposition: form-data; name="a"\n```\n',
    "headers at the beginning": b'Content-Disposition: form-data; name="a"\r\n\r\nx',
    "source with a form in a string": b'BODY = "--b\\r\\nContent-Disposition: form-data; name=a"',
    "a comment in Lua": b"--edge\nlocal x = 1\n--edge\n",
    "front matter": b"---\r\ntitle: A page\r\n---\r\ntext\r\n-----\r\n",
    "a dump of a database": b"-- MySQL dump 10.13\n--\nINSERT INTO a VALUES ('form-data');\n",
}


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_read(name: str) -> None:
    result = read_undeclared(FORMS[name])
    assert PICTURE in result.files
    assert result.is_certain


@pytest.mark.parametrize("name", HIDDEN)
def test_a_form_that_could_hide_a_file_is_not_certain(name: str) -> None:
    assert not read_undeclared(HIDDEN[name]).is_certain


def test_a_file_in_a_form_without_its_end_is_read() -> None:
    assert PICTURE in {content[: len(PICTURE)] for content in read_undeclared(FORM[:-20]).files}


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_no_form(name: str) -> None:
    assert not find_form(FILES[name])


@pytest.mark.parametrize("name", [*FORMS, *HIDDEN, *FILES])
def test_the_result_does_not_depend_on_the_chunks(name: str) -> None:
    content = {**FORMS, **HIDDEN, **FILES}[name]
    whole = find_form(content)
    for step in (7, 1000) if len(content) > 30000 else (1, 2, 7, 100, 1000):
        assert find_form(content, step) == whole, step


def test_more_fields_than_any_form_has_could_hide_a_file() -> None:
    assert not find_form(form(*[field_part(b"x")] * MAX_FIELDS)).problem
    assert find_form(form(*[field_part(b"x")] * (MAX_FIELDS + 1))).problem


@settings(max_examples=40, deadline=None, suppress_health_check=[*HealthCheck])
@given(st.one_of(requests(), damaged_requests()), st.integers(1, 50))
def test_a_damaged_form_reads_alike_in_all_chunks(request: GeneratedRequest, step: int) -> None:
    assert read_undeclared(request.body, step) == read_undeclared(request.body)


@pytest.mark.parametrize("size", [1, 100, 5000, 40000, 70000])
def test_a_form_is_found_at_any_distance(size: int) -> None:
    found = find_form(b"\xff" * size + b"\r\n" + FORM, 8192)
    assert found.boundaries == (BOUNDARY,)
    assert not found.problem
