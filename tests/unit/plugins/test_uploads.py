"""The context of an upload is stored on this machine, by content."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.errors import StorageError
from hashwacht.core.upload_context import UploadContext, UploadContextStore

KEY = "ab" * 32
TEXTS = st.text(st.characters(codec=None), max_size=30)  # includes lone surrogates and NUL


@given(st.builds(UploadContext, TEXTS, TEXTS, st.none() | st.integers(0, 65535), TEXTS, TEXTS))
def test_any_recorded_context_is_loaded_unchanged(
    tmp_path_factory: pytest.TempPathFactory, told: UploadContext
) -> None:
    uploads = UploadContextStore(tmp_path_factory.mktemp("state") / "uploads")
    uploads.record(KEY, told)
    uploads.record(KEY, told)
    assert uploads.load(KEY) == [told, told]


def test_only_its_owner_can_read_it(tmp_path: Path) -> None:
    UploadContextStore(tmp_path / "uploads").record(KEY, UploadContext("2026-01-01T00:00:00+00:00"))
    modes = {each.stat().st_mode & 0o777 for each in (tmp_path / "uploads").iterdir()}
    assert modes == {0o600}
    assert (tmp_path / "uploads").stat().st_mode & 0o777 == 0o700


def test_endless_texts_and_endless_repetitions_are_bounded(tmp_path: Path) -> None:
    uploads = UploadContextStore(tmp_path)
    for _ in range(1500):
        uploads.record(KEY, UploadContext("now", file_name="x" * 5000))
    assert (tmp_path / KEY).stat().st_size < (1 << 20) + 4096
    assert len(uploads.load(KEY)[0].file_name) == 1024


def test_threads_do_not_mingle_their_lines(tmp_path: Path) -> None:
    uploads = UploadContextStore(tmp_path)

    def write(user: str) -> None:
        for _ in range(50):
            uploads.record(KEY, UploadContext("now", user=user))

    threads = [threading.Thread(target=write, args=(name * 300,)) for name in "abcd"]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted({told.user[0] for told in uploads.load(KEY)}) == ["a", "b", "c", "d"]
    assert len(uploads.load(KEY)) == 200


def test_nothing_is_known_of_another_content_or_after_forgetting(tmp_path: Path) -> None:
    uploads = UploadContextStore(tmp_path / "uploads")
    assert (list(uploads.keys()), uploads.load(KEY)) == ([], [])
    uploads.record(KEY, UploadContext("now"))
    assert list(uploads.keys()) == [KEY]
    uploads.remove(KEY)
    assert (list(uploads.keys()), uploads.load(KEY)) == ([], [])


def test_a_key_cannot_name_another_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="64 hex"):
        UploadContextStore(tmp_path).record("../" + KEY[3:], UploadContext("now"))


def test_an_unwritable_directory_is_an_error_with_advice(tmp_path: Path) -> None:
    (tmp_path / "uploads").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        UploadContextStore(tmp_path / "uploads").record(KEY, UploadContext("now"))
    assert caught.value.advice
