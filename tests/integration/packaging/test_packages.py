"""The file tree of a package, without the bundled wheels; `make test-packages` tests it whole."""

from __future__ import annotations

import gzip
import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from hashwacht.cli.app import COMMANDS

PACKAGING = Path(__file__).parents[3] / "packaging"


@pytest.fixture(scope="module")
def build() -> dict[str, Any]:
    return runpy.run_path(str(PACKAGING / "packages/build.py"))


@pytest.fixture(scope="module")
def root(build: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the tree of the package for EL 9."""
    root = tmp_path_factory.mktemp("root")
    (target,) = (target for target in build["TARGETS"] if target.name == "el9")
    build["_lay_out_system"](root, target, epoch=0)
    return root


def test_every_unit_is_there_and_runs_the_packaged_program(root: Path) -> None:
    units = root / "usr/lib/systemd/system"
    assert {unit.name for unit in units.iterdir()} == {
        unit.name for unit in (PACKAGING / "systemd").glob("hashwacht*")
    }
    texts = [unit.read_text() for unit in units.iterdir()]
    commands = {line for text in texts for line in re.findall(r"Exec\w+=.*hashwacht.*", text)}
    assert commands
    assert all("=/usr/bin/hashwacht " in line for line in commands)
    assert not any("/opt/" in text for text in texts)


def test_manual_completion_configuration_and_change_log_are_there(root: Path) -> None:
    pages = {path.name for path in (root / "usr/share/man/man1").iterdir()}
    assert {f"hashwacht-{name}.1.gz" for name in COMMANDS} <= pages
    for path in (
        "usr/share/bash-completion/completions/hashwacht",
        "usr/share/zsh/site-functions/_hashwacht",
        "usr/share/fish/vendor_completions.d/hashwacht.fish",
    ):
        assert "hashwacht" in (root / path).read_text()
    assert (root / "etc/hashwacht/hashwacht.toml").stat().st_size
    changes = gzip.decompress((root / "usr/share/doc/hashwacht/changelog.gz").read_bytes())
    assert changes.startswith(b"# Changelog")


def test_the_empty_directory_of_drop_ins_is_there(build: dict[str, Any], root: Path) -> None:
    contents = {entry["dst"]: entry for entry in build["_contents"](root)}
    assert contents["/etc/hashwacht/conf.d"]["type"] == "dir"
    assert contents["/etc/hashwacht/conf.d"]["file_info"] == {"mode": 0o755}


def test_the_pages_for_panels_are_there(root: Path) -> None:
    pages = root / "usr/lib/hashwacht/panels"
    assert (pages / "install").stat().st_mode & 0o777 == 0o755
    assert (pages / "whm/hashwacht.conf").stat().st_mode & 0o777 == 0o644
    assert (pages / "directadmin/admin/index.html").stat().st_mode & 0o777 == 0o755


def test_hooks_run_with_the_python_of_the_target(build: dict[str, Any], tmp_path: Path) -> None:
    (target,) = (target for target in build["TARGETS"] if target.name == "el8")
    program = (
        tmp_path / "usr/lib/hashwacht/lib/python3.11/site-packages/hashwacht_hooks/hashwacht-hook"
    )
    program.parent.mkdir(parents=True)
    program.write_text("#!/usr/bin/python3 -IS\nimport sys\n")
    build["_lay_out_hooks"](tmp_path, program, target)
    link = tmp_path / "usr/lib/hashwacht/hooks/modsecurity"
    assert link.resolve() == program.resolve()
    assert link.read_text() == "#!/usr/bin/python3.11 -IS\nimport sys\n"
    assert link.stat().st_mode & 0o777 == 0o755
    assert "add_filter" in link.with_name("hashwacht-wordpress.php").read_text()


def test_the_pages_and_configurations_of_clients_are_there(root: Path) -> None:
    assert (root / "usr/share/doc/hashwacht/clients/samba.md").is_file()
    assert "LocalSocket" in (root / "usr/share/hashwacht/clients/clamdscan.conf").read_text()


def test_the_payload_has_neither_scipy_nor_build_tools() -> None:
    locked = (PACKAGING / "locks/payload.txt").read_text()
    names = set(re.findall(r"^([a-z0-9-]+)==", locked, re.MULTILINE))
    assert {"imagehash", "numpy", "pillow", "httpx", "click", "keyring", "watchdog"} <= names
    assert not names & {"scipy", "pywavelets", "hatchling", "editables", "cryptography"}


def test_the_payload_has_the_versions_that_are_tested() -> None:
    def versions(lock: str) -> set[str]:
        text = (PACKAGING / "locks" / lock).read_text()
        return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", text, re.MULTILINE))

    assert versions("payload.txt") <= versions("dev.txt")
