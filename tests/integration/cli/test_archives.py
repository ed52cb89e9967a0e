"""Archives as an administrator meets them: scan, check, recheck, cases, doctor."""

from __future__ import annotations

import gzip
from hashlib import sha1
from pathlib import Path

import pytest

from demo.pictures import encode, photo
from support.archives import encrypted_zip_archive, tar_archive, zip_archive
from support.program import Program, objects

KNOWN, OTHER = encode(photo(1, (200, 150))), encode(photo(2, (200, 150)))


@pytest.fixture
def files(program: Program) -> Path:
    """Write archives with and without a picture, and import a list with that picture."""
    directory = program.home / "files"
    directory.mkdir()
    known = zip_archive({"album/\x1bknown.jpg": KNOWN, "notes.txt": b"text"})
    (directory / "album.zip").write_bytes(known)
    (directory / "backup.tar.gz").write_bytes(gzip.compress(tar_archive({"k.jpg": KNOWN})))
    (directory / "letter.docx").write_bytes(zip_archive({"word/media/image1.jpg": KNOWN}))
    (directory / "nested.zip").write_bytes(zip_archive({"inner.zip": known}))
    (directory / "other.zip").write_bytes(zip_archive({"other.jpg": OTHER}))
    return directory


MATCHING = ["album.zip", "backup.tar.gz", "letter.docx", "nested.zip"]


def import_list(program: Program, *pictures: bytes) -> None:
    text = "".join(f"{sha1(picture).hexdigest()}\n" for picture in pictures)
    (program.home / "list.txt").write_text(text)
    result = program.run("lists", "import", "police", "list.txt", "--type", "sha1")
    assert result.returncode == 0, result.stderr


def test_a_known_picture_in_an_archive_is_found(program: Program, files: Path) -> None:
    import_list(program, KNOWN)
    exit_code, lines = program.scan(files)
    matches = [line for line in lines if line["type"] == "match"]
    assert exit_code == 1
    assert sorted(Path(line["path"]).name for line in matches) == MATCHING
    nested = next(line for line in matches if line["path"].endswith("nested.zip"))
    (match,) = nested["matches"]
    assert match["member"] == "inner.zip!/album/\\x1bknown.jpg"
    text = program.run("check", files / "album.zip").stdout.decode()
    assert "in album/\\x1bknown.jpg" in text.replace("\\\\", "\\")


def test_a_later_list_finds_it_without_reading(program: Program, files: Path) -> None:
    import_list(program, OTHER + b"another")
    assert program.scan(files)[0] == 0
    for path in files.iterdir():
        path.unlink()
    import_list(program, KNOWN)
    exit_code, lines = program.recheck()
    paths = sorted(Path(line["path"]).name for line in lines if line["type"] == "match")
    assert (exit_code, paths) == (1, MATCHING)


def test_an_archive_keeps_its_verdict_when_it_is_a_member_of_another(
    program: Program, files: Path
) -> None:
    import_list(program, KNOWN)
    first, second = files / "first", files / "second"
    first.mkdir()
    second.mkdir()
    known = (files / "album.zip").read_bytes()
    secret = encrypted_zip_archive({"a.jpg": OTHER}, "AES256")
    (first / "known.zip").write_bytes(known)
    (first / "secret.zip").write_bytes(secret)

    def outcomes(directory: Path) -> dict[str, str]:
        lines = program.scan(directory)[1]
        return {Path(line["path"]).name: line["type"] for line in lines if "path" in line}

    expected = {"known.zip": "match", "secret.zip": "undetermined"}
    assert outcomes(first) == expected
    (second / "a.zip").write_bytes(zip_archive({"known.zip": known}))
    (second / "b.zip").write_bytes(zip_archive({"secret.zip": secret}))
    assert outcomes(second) == {"a.zip": "match", "b.zip": "undetermined"}
    assert outcomes(first) == expected
    assert outcomes(second) == {"a.zip": "match", "b.zip": "undetermined"}


def test_what_cannot_be_opened_is_undetermined(program: Program, files: Path) -> None:
    import_list(program, KNOWN)
    for path in files.iterdir():
        path.unlink()
    (files / "secret.zip").write_bytes(encrypted_zip_archive({"a.jpg": KNOWN}, "AES256"))
    (files / "cut.tar.gz").write_bytes(gzip.compress(tar_archive({"a.jpg": OTHER}))[:-5000])
    exit_code, lines = program.scan(files)
    verdicts = {
        Path(line["path"]).name: line["reason"] for line in lines if line["type"] == "undetermined"
    }
    assert exit_code == 3
    assert verdicts == {"secret.zip": "encrypted", "cut.tar.gz": "damaged"}


def test_archives_are_opened_after_the_setting_was_changed(program: Program, files: Path) -> None:
    import_list(program, KNOWN)
    configuration = program.configuration.read_text()
    program.configuration.write_text(f'{configuration}[fingerprint]\narchives = "off"\n')
    assert program.scan(files)[0] == 0
    assert "not opened" in program.run("doctor").stdout.decode()
    program.configuration.write_text(configuration)
    assert program.scan(files)[0] == 1
    assert "libarchive" in program.run("doctor").stdout.decode()


def test_the_signals_of_members_are_printed(program: Program, files: Path) -> None:
    (fingerprint,) = objects(program.run("hash", files / "nested.zip", "--json").stdout)
    members = fingerprint["members"]
    assert [member["name"] for member in members][-1] == "inner.zip!/album/\\x1bknown.jpg"
    assert sha1(KNOWN).hexdigest() in {signal["value"] for signal in members[-1]["signals"]}
    text = program.run("hash", files / "nested.zip").stdout.decode()
    assert f"sha1:{sha1(KNOWN).hexdigest()}" in text
