"""Members of archives are contents of their own, read in a sandbox, within limits."""

from __future__ import annotations

import gzip
import io
import random
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.pictures import encode, photo
from hashwacht.core.ports import UploadTurn
from hashwacht.core.types import MEMBERS, ArchiveMode, Fingerprint, Reason
from hashwacht.hashing import ArchiveLimits
from hashwacht.hashing.unpacking import UnpackingFingerprinter
from support.archives import (
    MAKERS,
    encrypted_zip_archive,
    seven_zip_archive,
    tar_archive,
    zip_archive,
)
from support.fingerprints import fingerprint_bytes
from support.unpacking import missing_members, unpacking_pool

PICTURE = encode(photo(1, (200, 150)))
TEXT = b"some text, which is no picture\n" * 50
FILES = {"dir/photo.jpg": PICTURE, "notes.txt": TEXT}
SMALL = ArchiveLimits(max_members=50, max_member_size=1 << 20, min_total=4 << 20)


@pytest.fixture(scope="module")
def opening() -> Iterator[UnpackingFingerprinter]:
    with unpacking_pool() as (fingerprinter, _):
        yield fingerprinter


@pytest.fixture(scope="module")
def limited() -> Iterator[UnpackingFingerprinter]:
    with unpacking_pool(limits=SMALL) as (fingerprinter, _):
        yield fingerprinter


def contents(fingerprint: Fingerprint) -> set[str]:
    """Return the SHA-256 of all members."""
    return {member.fingerprint.key for member in fingerprint.members}


def digests(*files: bytes) -> set[str]:
    return {sha256(file).hexdigest() for file in files}


@cache
def archive_of(kind: str) -> bytes:
    return MAKERS[kind](FILES)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_members_of_every_kind_have_fingerprints_of_their_own(
    opening: UnpackingFingerprinter, kind: str
) -> None:
    archive = archive_of(kind)
    fingerprint = fingerprint_bytes(opening, archive)
    assert missing_members(fingerprint) == [], kind
    assert contents(fingerprint) >= digests(PICTURE, TEXT)
    (picture,) = (m for m in fingerprint.members if m.fingerprint.kind == "image/jpeg")
    assert picture.name.lower().endswith("photo.jpg")
    assert any(signal.type == "pdq" for signal in picture.fingerprint.signals)
    assert fingerprint.key == sha256(archive).hexdigest()


def test_one_compressed_file_is_an_archive_of_one(opening: UnpackingFingerprinter) -> None:
    fingerprint = fingerprint_bytes(opening, gzip.compress(PICTURE))
    assert contents(fingerprint) == digests(PICTURE)


def test_only_what_may_be_a_picture_is_hashed_by_default() -> None:
    with unpacking_pool(ArchiveMode.PICTURES) as (fingerprinter, _):
        inner = zip_archive({"b.jpg": PICTURE})
        archive = zip_archive({**FILES, "inner.zip": inner})
        fingerprint = fingerprint_bytes(fingerprinter, archive)
    assert contents(fingerprint) == digests(PICTURE, inner)
    assert [member.name for member in fingerprint.members] == [
        "dir/photo.jpg",
        "inner.zip",
        "inner.zip!/b.jpg",
    ]


def test_archives_in_archives_are_opened_to_a_depth(opening: UnpackingFingerprinter) -> None:
    archive = PICTURE
    for depth in range(1, 6):
        archive = zip_archive({f"{depth}": archive})
        fingerprint = fingerprint_bytes(opening, archive)
        is_deep = depth > ArchiveLimits().max_depth
        assert (digests(PICTURE) <= contents(fingerprint)) is not is_deep
        assert missing_members(fingerprint) == ([Reason.OVER_LIMIT] if is_deep else [])


def test_an_encrypted_archive_is_undetermined(opening: UnpackingFingerprinter) -> None:
    for archive in (
        encrypted_zip_archive(FILES, "ZipCrypto"),
        encrypted_zip_archive(FILES, "AES256"),
        seven_zip_archive(FILES, "-psecret"),
        seven_zip_archive(FILES, "-psecret", "-mhe=on"),  # the names too
    ):
        assert Reason.ENCRYPTED in missing_members(fingerprint_bytes(opening, archive))


def test_a_cut_archive_is_never_taken_for_a_whole_one(opening: UnpackingFingerprinter) -> None:
    """Each is cut at ten places; what was read before the cut counts."""
    whole = digests(PICTURE, TEXT)
    cuts = random.Random(1)  # reproducible
    for kind in MAKERS:
        archive = archive_of(kind)
        for length in sorted(cuts.randrange(600, len(archive)) for _ in range(10)):
            fingerprint = fingerprint_bytes(opening, archive[:length])
            complete = contents(fingerprint) >= whole
            opened = fingerprint.kind != "application/octet-stream"
            assert complete or missing_members(fingerprint) or not opened, (
                kind,
                length,
                len(archive),
            )


@settings(max_examples=60)
@given(
    kind=st.sampled_from([*MAKERS]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
)
def test_a_changed_archive_harms_nothing(
    limited: UnpackingFingerprinter, kind: str, changes: Sequence[tuple[float, int]]
) -> None:
    archive = bytearray(archive_of(kind))
    for place, value in changes:
        archive[int(place * (len(archive) - 1))] = value
    fingerprint = fingerprint_bytes(limited, bytes(archive))
    assert fingerprint.key == sha256(archive).hexdigest()
    assert not {Reason.WORKER_DIED, Reason.TIMED_OUT} & {*missing_members(fingerprint)}


def zip_with_overlap(count: int) -> bytes:
    """Return a ZIP archive whose directory names one member *count* times."""
    plain = zip_archive({"a": bytes(100_000)})
    start = plain.index(b"PK\x01\x02")
    end = plain.index(b"PK\x05\x06")
    entry, tail = plain[start:end], bytearray(plain[end:])
    directory = entry * count
    tail[8:12] = count.to_bytes(2, "little") * 2
    tail[12:16] = len(directory).to_bytes(4, "little")
    return plain[:start] + directory + bytes(tail)


BOMBS = {
    "zeros": zip_archive({"zeros": bytes(64 << 20)}),
    "gzip of zeros": gzip.compress(bytes(64 << 20)),
    "many empty members": zip_archive({str(number): b"" for number in range(60_000)}),
    "many members": tar_archive({str(number): b"x" for number in range(200)}),
    "wide and nested": zip_archive(
        {str(n): zip_archive({str(m): bytes(1 << 18) for m in range(10)}) for n in range(10)}
    ),
    "zip of zips of zips": zip_archive(
        {"a": zip_archive({"b": zip_archive({"c": bytes(9 << 20)})})}
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_at_a_limit(limited: UnpackingFingerprinter, name: str) -> None:
    fingerprint = fingerprint_bytes(limited, BOMBS[name])
    assert Reason.OVER_LIMIT in missing_members(fingerprint)
    assert len(fingerprint.members) <= SMALL.max_members


def test_members_that_overlap_are_read_once_or_end_at_a_limit(
    limited: UnpackingFingerprinter,
) -> None:
    fingerprint = fingerprint_bytes(limited, zip_with_overlap(10_000))
    assert len(fingerprint.members) <= SMALL.max_members


def test_an_archive_does_not_change_the_offset_or_the_file(
    opening: UnpackingFingerprinter, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(zip_archive(FILES))
    with path.open("rb", buffering=0) as file:
        first = opening.fingerprint(file.fileno())
        file.seek(0)
        assert opening.fingerprint(file.fileno()) == first


def test_an_archive_whose_digests_decide_is_not_opened(opening: UnpackingFingerprinter) -> None:
    archive = zip_archive(FILES)
    with tempfile.TemporaryFile() as file:
        file.write(archive)
        file.seek(0)
        turn = UploadTurn("client", lambda _: True)
        fingerprint = opening.fingerprint(file.fileno(), upload=turn)
        file.seek(0)
        other = opening.fingerprint(file.fileno(), upload=UploadTurn("client"))
    assert fingerprint.members == ()
    assert not [entry for entry in fingerprint.recipe if entry.startswith(MEMBERS)]
    assert contents(other) == digests(PICTURE, TEXT)


def test_an_archive_that_arrives_in_pieces_is_kept_and_opened(
    opening: UnpackingFingerprinter,
) -> None:
    archive = zip_archive({**FILES, "noise": random.Random(2).randbytes(100_000)})
    stream = opening.open_stream()
    assert stream is not None
    with tempfile.TemporaryFile() as file:
        for start in range(0, len(archive), 5000):
            stream.update(archive[start : start + 5000])
            file.write(archive[start : start + 5000])
        file.flush()
        assert stream.finish()
        fingerprint = stream.fingerprint(file.fileno(), upload=UploadTurn("client"))
    assert contents(fingerprint) >= digests(PICTURE, TEXT)
    assert fingerprint.recipe == opening.recipe


def test_documents_are_archives(opening: UnpackingFingerprinter) -> None:
    """Office, OpenDocument, EPUB and comic books are ZIP archives."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as document:
        document.writestr("mimetype", "application/vnd.oasis.opendocument.text")
        document.writestr("Pictures/1000.jpg", PICTURE)
    fingerprint = fingerprint_bytes(opening, file.getvalue())
    assert digests(PICTURE) <= contents(fingerprint)
