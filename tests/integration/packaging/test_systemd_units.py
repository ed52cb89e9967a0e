"""systemd itself finds the units correct and their exposure low."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hashwacht.settings.gateway import GATEWAY_USER
from hashwacht.watch.fanotify_handover import MAX_STREAMS

CHECKOUT = Path(__file__).parents[3]
UNITS = CHECKOUT / "packaging" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))

analyze = shutil.which("systemd-analyze")
needs_systemd = pytest.mark.skipif(analyze is None, reason="systemd-analyze is not installed")


def read(unit: Path) -> dict[str, list[str]]:
    """Return the settings of a unit; one may occur several times."""
    settings: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        key, is_setting, value = line.partition("=")
        if is_setting and not line.startswith("#"):
            settings.setdefault(key, []).append(value)
    return settings


def words(unit: Path, key: str) -> set[str]:
    return {word for value in read(unit).get(key, []) for word in value.split()}


SCANNER, COURIER, WATCHER, GATEWAY = DAEMONS = tuple(
    UNITS / f"hashwacht-{name}.service" for name in ("scanner", "courier", "watcher", "gateway")
)
TASKS = [unit for unit in SERVICES if unit not in DAEMONS]


@pytest.fixture
def verifiable(tmp_path: Path) -> Path:
    """Copy the units with the path of a program that exists on this machine."""
    for unit in UNITS.glob("hashwacht*"):
        text = unit.read_text().replace("/opt/hashwacht/bin/hashwacht", sys.executable)
        (tmp_path / unit.name).write_text(text)
    return tmp_path


@needs_systemd
def test_systemd_finds_nothing_wrong_with_any_unit(verifiable: Path) -> None:
    units = sorted(str(path) for path in verifiable.iterdir())
    result = subprocess.run(
        [str(analyze), "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    lines = [line for line in result.stderr.splitlines() if "hashwacht" in line]
    assert lines == []
    assert result.returncode == 0, result.stderr


@needs_systemd
def test_systemd_does_find_what_is_wrong(verifiable: Path) -> None:
    unit = verifiable / "hashwacht-scanner.service"
    unit.write_text(unit.read_text().replace("ProtectSystem=strict", "ProtectSystem=strictly"))
    result = subprocess.run(
        [str(analyze), "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert "protect system" in result.stderr


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.stem)
def test_every_service_has_an_exposure_of_two_or_less(unit: Path) -> None:
    result = subprocess.run(
        [str(analyze), "security", "--offline=yes", "--threshold=20", str(unit)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": "cat"},
    )
    assert "Overall exposure level" in result.stdout, result.stderr
    assert result.returncode == 0, result.stdout.splitlines()[-1]


def test_every_service_has_a_watchdog_and_always_restarts() -> None:
    for unit in DAEMONS:
        keys = read(unit)
        assert keys["Type"] == ["notify"]
        assert keys["Restart"] == ["always"]
        assert keys["StartLimitIntervalSec"] == ["0"]
        assert keys["WatchdogSec"]
        assert keys["NoNewPrivileges"] == ["yes"]
        assert keys["UMask"] == ["0077"]


def test_every_task_is_started_by_its_own_timer_only() -> None:
    assert {unit.stem for unit in TASKS} == {timer.stem for timer in UNITS.glob("*.timer")}
    for unit in TASKS:
        keys = read(unit)
        assert keys["Type"] == ["oneshot"]
        assert "WantedBy" not in keys
        assert keys["NoNewPrivileges"] == ["yes"]
        assert keys["PrivateNetwork"] == ["yes"]
        assert read(unit.with_suffix(".timer"))["WantedBy"] == ["timers.target"]
    target = words(UNITS / "hashwacht.target", "Wants")
    assert not {unit.with_suffix(".timer").name for unit in TASKS} & target


def test_a_reload_looks_for_mistakes_first() -> None:
    program = "/opt/hashwacht/bin/hashwacht"
    check, signal = f"{program} config check", "/bin/kill -HUP $MAINPID"
    assert read(COURIER)["ExecReload"] == [check, signal]
    assert read(SCANNER)["ExecReload"] == [check, f"{program} units --check", signal]


def test_the_watcher_may_store_its_streams() -> None:
    (most,) = read(WATCHER)["FileDescriptorStoreMax"]
    assert int(most) == 2 * MAX_STREAMS


def test_a_restart_of_the_target_keeps_all_sockets_open() -> None:
    sockets = sorted(UNITS.glob("*.socket"))
    assert len(sockets) == 4
    for unit in sockets:
        keys = read(unit)
        assert keys["StopPropagatedFrom"] == ["hashwacht.target"]
        assert "PartOf" not in keys


def test_what_opens_customers_files_has_no_network() -> None:
    for unit in (SCANNER, WATCHER):
        assert read(unit)["PrivateNetwork"] == ["yes"]
        assert words(unit, "RestrictAddressFamilies") == {"AF_UNIX"}
        assert read(unit)["IPAddressDeny"] == ["any"]


def test_the_courier_has_no_privilege_and_no_file_system() -> None:
    keys = read(COURIER)
    assert keys["CapabilityBoundingSet"] == [""]
    assert keys["DynamicUser"] == keys["PrivateUsers"] == ["yes"]
    assert keys["RootDirectory"] == ["/var/lib/hashwacht-courier"]
    paths = {path.removeprefix("-") for path in words(COURIER, "BindReadOnlyPaths")}
    assert not [path for path in paths if path.startswith(("/srv", "/home", "/var", "/mnt"))]
    assert "ReadWritePaths" not in keys
    assert "BindPaths" not in keys


def test_the_gateway_has_no_privilege_and_no_network() -> None:
    keys = read(GATEWAY)
    assert keys["CapabilityBoundingSet"] == keys["AmbientCapabilities"] == [""]
    assert keys["User"] == [GATEWAY_USER]
    assert GATEWAY_USER in (UNITS.parent / "sysusers.conf").read_text()
    assert "PrivateUsers" not in keys  # would hide the users of its peers
    assert (keys["PrivateNetwork"], keys["IPAddressDeny"]) == (["yes"], ["any"])
    assert words(GATEWAY, "RestrictAddressFamilies") == {"AF_UNIX"}
    assert {"-/var/lib/hashwacht", "-/run/hashwacht"} <= words(GATEWAY, "InaccessiblePaths")


def test_passwords_are_given_to_the_courier_alone() -> None:
    for unit in SERVICES:
        keys = [key for key in read(unit) if "Credential" in key]
        assert keys == (["LoadCredential"] if unit == COURIER else [])
    for unit in (SCANNER, WATCHER, GATEWAY):
        assert "-/etc/hashwacht/credentials" in words(unit, "InaccessiblePaths")


def test_the_watcher_has_two_capabilities_and_writes_nothing() -> None:
    two = {"CAP_SYS_ADMIN", "CAP_DAC_READ_SEARCH"}
    assert words(WATCHER, "CapabilityBoundingSet") == words(WATCHER, "AmbientCapabilities") == two
    assert read(WATCHER)["ProtectSystem"] == ["strict"]
    assert not {"ReadWritePaths", "StateDirectory"} & read(WATCHER).keys()


def test_the_sockets_are_roots_alone() -> None:
    for name in ("courier", "watcher"):
        keys = read(UNITS / f"hashwacht-{name}.socket")
        assert keys["SocketMode"] == ["0600"]
        assert keys["DirectoryMode"] == ["0700"]
        assert keys["ListenStream"] == [f"/run/hashwacht/{name}.sock"]


def test_a_killed_worker_does_not_take_the_scanner_along() -> None:
    assert read(SCANNER)["OOMPolicy"] == ["continue"]
    assert read(SCANNER)["KillMode"] == ["mixed"]
