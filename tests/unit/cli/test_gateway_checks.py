"""What doctor reports of the gateway and of its clients."""

from __future__ import annotations

import pwd
from dataclasses import replace
from pathlib import Path

from hashwacht.cli.gateway_checks import MAIL_USERS, check_gateway
from hashwacht.core.gateway_report import FrontReport, GatewayReport
from hashwacht.daemon.status.health import Health, HealthFile
from hashwacht.ipc.sockets import listen
from hashwacht.settings import ClamdSettings, GatewaySettings, HttpSettings, Settings
from hashwacht.settings.gateway import UndeterminedReply


def settings(tmp_path: Path, clamd: ClamdSettings) -> Settings:
    gateway = GatewaySettings(enabled=True, clamd=clamd, http=HttpSettings(socket=None))
    daemon = replace(Settings().daemon, runtime_directory=tmp_path)
    return replace(Settings(), gateway=gateway, daemon=daemon)


def problems(tmp_path: Path, clamd: ClamdSettings) -> list[str]:
    return [found.detail for found in check_gateway(settings(tmp_path, clamd)) if not found.ok]


def test_a_disabled_gateway_is_not_checked() -> None:
    assert list(check_gateway(Settings())) == []


def test_an_open_socket_is_no_problem(tmp_path: Path) -> None:
    socket = tmp_path / "clamd.sock"
    with listen(socket):
        assert problems(tmp_path, ClamdSettings(socket=socket)) == []


def test_missing_socket_group_and_directory_are_problems(tmp_path: Path) -> None:
    missing = ClamdSettings(socket=tmp_path / "none.sock", paths=(str(tmp_path / "gone"),))
    (socket, directory) = problems(tmp_path, missing)
    assert "none.sock" in socket
    # pytest's directories are below /tmp, which the scanner's unit replaces.
    assert "PrivateTmp=" in directory or "is not a directory" in directory
    (group,) = problems(tmp_path, ClamdSettings(group="no-such-group"))
    assert group == "there is no group no-such-group"


def test_found_for_undetermined_files_is_a_problem(tmp_path: Path) -> None:
    clamd = ClamdSettings(socket=None, on_undetermined=UndeterminedReply.FOUND)
    (detail,) = problems(tmp_path, clamd)
    assert "delete" in detail


def test_programs_whose_files_cannot_match_are_named(tmp_path: Path) -> None:
    mail = next(entry.pw_uid for entry in pwd.getpwall() if entry.pw_name in {"mail", *MAIL_USERS})
    front = FrontReport("clamd", True, cut_streams=3, cutting_peers=("user 33",), users=(0, mail))
    report = GatewayReport(1.0, (front,))
    HealthFile(tmp_path).write(Health(1, "0", 0.0, gateway=report))
    cut, whole = problems(tmp_path, ClamdSettings(socket=None))
    assert cut.startswith("user 33: 3 contents")
    assert "a mail system sends whole messages" in whole


def test_the_health_file_keeps_the_report(tmp_path: Path) -> None:
    front = FrontReport("clamd", True, matches=2, cutting_peers=("192.0.2.1",), users=(33,))
    report = GatewayReport(1.0, (front,))
    HealthFile(tmp_path).write(Health(1, "0", 0.0, gateway=report))
    health = HealthFile(tmp_path).read()
    assert health is not None
    assert health.gateway == report
