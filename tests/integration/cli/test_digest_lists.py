"""Lists of digests only: no picture is decoded, and a file without a decoder gets its verdict."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from support.program import Program, objects


@pytest.fixture
def digests_only(program: Program) -> Program:
    """Import a list of MD5s, and configure no other signal types."""
    config = program.home / "hashwacht.toml"
    config.write_text("[fingerprint]\nalways_compute = []\n")
    program.environment["HASHWACHT_CONFIG"] = str(config)
    result = program.run("lists", "import", "digests", "-", given=f"md5 {'0' * 32}\n".encode())
    assert result.returncode == 0, result.stderr
    return program


@pytest.fixture
def root(program: Program) -> Path:
    root = program.home / "root"
    root.mkdir()
    Image.effect_noise((300, 200), 80).convert("RGB").save(root / "picture.png")
    (root / "truncated.png").write_bytes((root / "picture.png").read_bytes()[:60])
    (root / "undecodable.jp2").write_bytes(b"\0\0\0\x0cjP  \r\n\x87\n" + b"x" * 200)
    return root


def test_pictures_are_not_decoded_and_none_is_undetermined(
    digests_only: Program, root: Path
) -> None:
    result = digests_only.run("scan", "--profile", root)
    assert result.returncode == 0, result.stdout
    (picture,) = objects(digests_only.run("check", "--json", root / "undecodable.jp2").stdout)
    assert picture["outcome"] == "no-match"


def test_a_picture_list_installed_later_misses_nothing(digests_only: Program, root: Path) -> None:
    """A picture that was never decoded is undetermined until it is read again, never no match."""
    assert digests_only.run("scan", root).returncode == 0
    picture = root / "picture.png"
    lines = digests_only.run("hash", picture).stdout.decode().splitlines()
    pdq = next(line.split()[0].split(":")[1] for line in lines if line.startswith("pdq:"))
    assert (
        digests_only.run("lists", "import", "p", "-", given=f"pdq {pdq}\n".encode()).returncode == 0
    )
    recheck = digests_only.run("recheck", "--json")
    assert recheck.returncode == 3
    reasons = {
        entry["reason"] for entry in objects(recheck.stdout) if entry["type"] == "undetermined"
    }
    assert "not-computed" in reasons
    scan = digests_only.run("scan", "--json", root)
    assert scan.returncode == 1
    key = hashlib.sha256(picture.read_bytes()).hexdigest()
    assert [entry["sha256"] for entry in objects(scan.stdout) if entry["type"] == "match"] == [key]
