"""ClamAV's own client in all its modes."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from hashwacht.settings.gateway import ClamdSettings
from support.gateway.clamd import MAX_STREAM, RealClamd, ServedFront, served
from support.gateway.fake_checks import DAMAGED, LISTED, FakeChecks

NO_MATCH, MATCH, FAILURE = 0, 1, 2
FILES = {"listed": LISTED, "other": b"other", "damaged": DAMAGED}
MODES = {
    "path": (),
    "multiscan": ("--multiscan",),
    "allmatch": ("--allmatch",),
    "fdpass": ("--fdpass",),
    "stream": ("--stream",),
    "fdpass-session": ("--fdpass", "--multiscan"),
    "stream-session": ("--stream", "--multiscan"),
}


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with one file of each kind."""
    directory = tmp_path_factory.mktemp("files")
    for name, content in FILES.items():
        (directory / name).write_bytes(content)
    return directory


@pytest.fixture(scope="module")
def server(clamd: RealClamd, directory: Path) -> Iterator[ServedFront]:
    """Serve a scanner that knows the paths; the real one's fixture checks that it is installed."""
    assert clamd.path.exists()
    checks = FakeChecks(paths={bytes(directory / name): data for name, data in FILES.items()})
    with served(checks, directory) as server:
        yield server


def clamdscan(
    socket: Path, arguments: Sequence[str], standard_input: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Return how clamdscan ends that is configured for *socket*."""
    configuration = socket.with_suffix(".conf")
    configuration.write_text(f"LocalSocket {socket}\nStreamMaxLength 4000M\n")
    command = ["clamdscan", f"--config-file={configuration}", "--no-summary", *arguments]
    with (standard_input or Path("/dev/null")).open("rb") as file:
        return subprocess.run(
            command, stdin=file, capture_output=True, text=True, check=False, timeout=60
        )


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("name", "code"), [("listed", MATCH), ("other", NO_MATCH), ("damaged", FAILURE)]
)
def test_a_file_in_each_mode(
    server: ServedFront, directory: Path, mode: str, name: str, code: int
) -> None:
    result = clamdscan(server.path, [*MODES[mode], str(directory / name)])
    assert result.returncode == code, result
    if code == MATCH:
        assert re.search(r"Hashwacht\.Refused\.[0-9a-f]{8} FOUND", result.stdout)


@pytest.mark.parametrize("mode", MODES)
def test_a_directory_in_each_mode(server: ServedFront, directory: Path, mode: str) -> None:
    result = clamdscan(server.path, [*MODES[mode], str(directory)])
    assert re.search(r"listed: Hashwacht\.Refused\.[0-9a-f]{8} FOUND", result.stdout)
    assert result.returncode in {MATCH, FAILURE}  # it reports an error before a match


@pytest.mark.parametrize(("name", "code"), [("listed", MATCH), ("other", NO_MATCH)])
def test_standard_input(server: ServedFront, directory: Path, name: str, code: int) -> None:
    assert clamdscan(server.path, ["-"], directory / name).returncode == code


def test_its_commands(server: ServedFront) -> None:
    assert clamdscan(server.path, ["--ping", "1"]).returncode == 0
    assert clamdscan(server.path, ["--version"]).stdout.startswith("ClamAV 1.4.6/412/")
    assert clamdscan(server.path, ["--reload"]).returncode == 0


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("mode", MODES)
def test_nothing_passes_in_an_outage(directory: Path, mode: str, tmp_path: Path) -> None:
    absent = tmp_path / "absent.sock"
    assert clamdscan(absent, [*MODES[mode], str(directory / "listed")]).returncode == FAILURE
    assert clamdscan(absent, ["--ping", "1"]).returncode != 0


def test_both_scanners_in_one(clamd: RealClamd, directory: Path, tmp_path: Path) -> None:
    (tmp_path / "virus").write_bytes(b"a content that only the virus scanner knows")
    settings = ClamdSettings(max_stream=MAX_STREAM, upstream=str(clamd.path))
    with served(FakeChecks(), tmp_path, settings) as server:
        for mode in ("fdpass", "stream", "fdpass-session", "stream-session"):
            result = clamdscan(server.path, [*MODES[mode], str(tmp_path / "virus")])
            assert result.returncode == MATCH
            assert "listed.1.UNOFFICIAL FOUND" in result.stdout
            result = clamdscan(server.path, [*MODES[mode], str(directory / "other")])
            assert result.returncode == NO_MATCH
