"""Contents that a careless reader of archives does not see: behind links, ends and other parts."""

from __future__ import annotations

import gzip
import io
import os
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from hashwacht.core.types import Fingerprint, Reason
from hashwacht.hashing.unpacking import UnpackingFingerprinter
from support.archives import rar5_archive, tar_archive
from support.fingerprints import fingerprint_bytes
from support.unpacking import missing_members, unpacking_pool

PICTURE = encode(photo(1, (200, 150)))


@pytest.fixture(scope="module")
def opening() -> Iterator[UnpackingFingerprinter]:
    with unpacking_pool() as (fingerprinter, _):
        yield fingerprinter


def pictures(fingerprint: Fingerprint) -> list[str]:
    """Return the names of the members that are pictures."""
    return [m.name for m in fingerprint.members if m.fingerprint.kind == "image/jpeg"]


@pytest.mark.parametrize("form", ["newc", "crc", "odc"])
def test_the_content_of_names_of_one_file_may_be_at_the_last(
    opening: UnpackingFingerprinter, tmp_path: Path, form: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(PICTURE)
    os.link(tmp_path / "a.jpg", tmp_path / "b.jpg")
    command = ["cpio", "--quiet", "-o", "-H", form]
    archive = subprocess.run(
        command, cwd=tmp_path, input=b"a.jpg\nb.jpg\n", stdout=subprocess.PIPE, check=True
    ).stdout
    fingerprint = fingerprint_bytes(opening, archive)
    assert "b.jpg" in pictures(fingerprint)
    assert missing_members(fingerprint) == []


def test_a_tar_archive_behind_another_is_read(opening: UnpackingFingerprinter) -> None:
    both = tar_archive({"a.txt": b"text"}) + tar_archive({"b.jpg": PICTURE})
    for archive in (both, gzip.compress(both), both + bytes(1 << 20)):
        fingerprint = fingerprint_bytes(opening, archive)
        assert pictures(fingerprint) == ["b.jpg"]
        assert missing_members(fingerprint) == []


def test_a_tar_archive_before_other_bytes_is_not_complete(opening: UnpackingFingerprinter) -> None:
    archive = tar_archive({"a.jpg": PICTURE}) + b"something else" * 1000
    fingerprint = fingerprint_bytes(opening, archive)
    assert (pictures(fingerprint), missing_members(fingerprint)) == (["a.jpg"], [Reason.DAMAGED])


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("a.jpg", stat.S_IFLNK | 0o777),
        ("a.jpg", stat.S_IFDIR | 0o755),
        ("a.jpg/", stat.S_IFDIR | 0o755),
        ("a.jpg/", stat.S_IFREG | 0o644),
    ],
)
@pytest.mark.parametrize("content", [PICTURE, b"GIF89a@\x01" + bytes(500)])
def test_what_is_no_file_by_its_mode_has_no_content(
    opening: UnpackingFingerprinter, name: str, mode: int, content: bytes
) -> None:
    """Some programs extract it as a file all the same."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        member = zipfile.ZipInfo(name)
        member.create_system, member.external_attr = 3, mode << 16
        archive.writestr(member, content)
        archive.writestr("b.jpg", PICTURE)
    fingerprint = fingerprint_bytes(opening, file.getvalue())
    assert (pictures(fingerprint), missing_members(fingerprint)) == (["b.jpg"], [Reason.DAMAGED])


@pytest.mark.parametrize("form", ["zip", "7zip", "pax", "gnutar", "newc", "iso9660"])
def test_links_directories_and_devices_without_content_are_nothing_missing(
    opening: UnpackingFingerprinter, tmp_path: Path, form: str
) -> None:
    tree = tmp_path / "tree"
    (tree / "empty").mkdir(parents=True)
    (tree / "a.jpg").write_bytes(PICTURE)
    (tree / "link").symlink_to("a.jpg")
    (tree / "other").symlink_to("/usr/share/\u00fcber/a b")
    os.link(tree / "a.jpg", tree / "b.jpg")
    os.mkfifo(tree / "fifo")
    command = ["bsdtar", "--format", form, "-cf", "out", "tree"]
    subprocess.run(command, cwd=tmp_path, stderr=subprocess.DEVNULL, check=False)  # zip: no FIFO
    fingerprint = fingerprint_bytes(opening, (tmp_path / "out").read_bytes())
    assert pictures(fingerprint)
    assert missing_members(fingerprint) == []


@pytest.mark.parametrize(
    ("main_header", "problems"),
    [
        (bytes([1, 0, 0]), []),
        (bytes([1, 0, 4]), []),  # solid
        (bytes([1, 0, 1]), [Reason.DAMAGED]),
        (bytes([1, 0, 3, 2]), [Reason.DAMAGED]),  # with its number
        (bytes([1, 1, 3, 1, 2, 1, 0]), [Reason.DAMAGED]),  # with an extra field
    ],
)
def test_one_of_several_files_of_an_archive_is_never_complete(
    opening: UnpackingFingerprinter, main_header: bytes, problems: list[Reason]
) -> None:
    fingerprint = fingerprint_bytes(opening, rar5_archive({"a.jpg": PICTURE}, main_header))
    assert (pictures(fingerprint), missing_members(fingerprint)) == (["a.jpg"], problems)
