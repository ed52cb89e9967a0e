"""Names chosen by anyone are shown on one harmless line and keep every byte."""

import json
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.paths import escape_path, from_json, to_json, unescape_path

names = st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "replace")))


@given(names)
def test_what_is_shown_can_be_read_back_to_the_byte(path: bytes) -> None:
    assert unescape_path(escape_path(path)) == path


@given(names)
def test_nothing_shown_can_act_on_a_terminal(path: bytes) -> None:
    assert escape_path(path).isprintable()


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        (b"/srv/Bild 1.jpg", "/srv/Bild 1.jpg"),
        ("/srv/Käse/日本.png".encode(), "/srv/Käse/日本.png"),
        (b"a\nscanned: 0 matches", "a\\x0ascanned: 0 matches"),
        (b"\x1b[2Ja", "\\x1b[2Ja"),
        (b"back\\slash", "back\\\\slash"),
        (b"\\x0a", "\\\\x0a"),
        (b"caf\xe9", "caf\\xe9"),
        ("gpj.\u202eevil".encode(), "gpj.\\xe2\\x80\\xaeevil"),
        ("a\u2028b\u0085c\u200bd\u00a0e".encode(), None),
    ],
)
def test_letters_stay_and_what_deceives_is_written_as_bytes(path: bytes, shown: str | None) -> None:
    assert escape_path(path).isprintable()
    if shown is not None:
        assert escape_path(path) == shown


@pytest.mark.parametrize("path", [b"a\nb", b"\xff\\x", "gpj.\u202eevil".encode(), b"\x01\x7f"])
def test_the_shell_reads_what_is_shown_as_the_same_name(path: bytes) -> None:
    result = subprocess.run(
        ["bash", "-c", f"printf %s $'{escape_path(path)}'"], capture_output=True, check=True
    )
    assert result.stdout == path


@given(names)
def test_a_path_survives_json(path: bytes) -> None:
    assert from_json(json.loads(json.dumps(to_json(path)))) == path


@given(names)
def test_json_has_base64_only_for_paths_that_are_not_utf8(path: bytes) -> None:
    fields = to_json(path)
    try:
        assert fields == {"path": path.decode()}
    except UnicodeDecodeError:
        assert fields["path"] == escape_path(path)
        assert set(fields) == {"path", "path_b64"}


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, KeyError),
        ({"path": 3}, TypeError),
        ({"path_b64": 3}, TypeError),
        ({"path_b64": "?"}, ValueError),
        ({"path": "\udcff"}, ValueError),
    ],
)
def test_what_is_no_path_is_refused(fields: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        from_json(fields)
