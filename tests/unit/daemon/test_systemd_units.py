"""The drop-ins made from the configuration: writable directories, visible files, sockets."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.core.errors import ConfigurationError
from hashwacht.daemon.systemd_units import (
    NAME,
    apply_changes,
    drop_ins,
    installed_units,
    outdated_drop_ins,
    write_drop_ins,
)
from hashwacht.settings import (
    ClamdSettings,
    EokmSettings,
    GatewaySettings,
    ListSourceSettings,
    RootSettings,
    Settings,
    UploadMode,
    load,
)
from hashwacht.settings.sections import UploadSettings

SCANNER = f"hashwacht-scanner.service.d/{NAME}"
COURIER = f"hashwacht-courier.service.d/{NAME}"

USUAL = load({}, uid=0, file=Path("/dev/null")).settings


def watching(*paths: str) -> Settings:
    roots = tuple(RootSettings(f"r{number}", Path(path)) for number, path in enumerate(paths))
    return replace(USUAL, roots=roots)


def lines(settings: Settings, name: str = SCANNER) -> list[str]:
    text = drop_ins(settings).get(name, "")
    return [line for line in text.splitlines() if not line.startswith(("#", "[Service]"))]


def test_without_roots_there_are_no_drop_ins() -> None:
    assert drop_ins(USUAL) == {}


def test_the_parent_of_each_root_is_writable_once() -> None:
    settings = watching("/srv/www/a", "/srv/www/b", "/data")
    assert lines(settings) == ['ReadWritePaths="-/data"', 'ReadWritePaths="-/srv/www"']


@pytest.mark.parametrize("root", ["/home", "/home/alice", "/root", "/run/user/1000"])
def test_watched_homes_are_opened(root: str) -> None:
    assert "ProtectHome=no" in lines(watching(root))


def test_a_root_inside_a_home_opens_no_other_home() -> None:
    assert lines(watching("/home/alice/www")) == ['ReadWritePaths="-/home/alice"']


def test_a_root_in_tmp_disables_the_private_tmp() -> None:
    assert "PrivateTmp=no" in lines(watching("/var/tmp/uploads/new"))
    assert "PrivateTmp=no" not in lines(watching("/srv/tmp/uploads"))


def test_storage_vault_and_metrics_elsewhere_are_writable() -> None:
    settings = replace(
        USUAL,
        state=replace(USUAL.state, directory=Path("/big/state")),
        quarantine=replace(USUAL.quarantine, directory=Path("/vault/q")),
        daemon=replace(USUAL.daemon, metrics_file=Path("/var/lib/node/hashwacht.prom")),
    )
    assert lines(settings) == [
        f'ReadWritePaths="-{path}"' for path in ("/big/state", "/var/lib/node", "/vault/q")
    ]


def test_the_courier_sees_its_configured_files() -> None:
    eokm = EokmSettings("eokm", ca_file=Path("/ca/eokm.pem"), client_cert=Path("/etc/ssl/own.pem"))
    alerts = replace(
        USUAL.alerts, command=replace(USUAL.alerts.command, program=("/root/bin/tell", "--now"))
    )
    credentials = replace(USUAL.credentials, directory=Path("/secret/100%"))
    settings = replace(USUAL, matchers=(eokm,), alerts=alerts, credentials=credentials)
    assert lines(settings, COURIER) == [
        'BindReadOnlyPaths="-/ca/eokm.pem"',
        'BindReadOnlyPaths="-/root/bin/tell"',
        "LoadCredential=",
        "LoadCredential=hashwacht:/secret/100%%",
    ]


def test_a_configured_upload_socket_is_enabled_for_its_group() -> None:
    base = replace(Settings(), state=replace(Settings().state, directory=Path("/s")))
    base = replace(base, quarantine=replace(base.quarantine, directory=Path("/q")))
    assert not {name for name in drop_ins(base) if "uploads" in name or "target" in name}
    uploads = UploadSettings(UploadMode.DAEMON, Path("/run/a b/u.sock"), "www-data")
    texts = drop_ins(replace(base, uploads=uploads))
    socket = texts[f"hashwacht-uploads.socket.d/{NAME}"]
    assert "[Socket]\nListenStream=\nListenStream=/run/a b/u.sock\n" in socket
    assert "SocketGroup=www-data\nSocketMode=0660\n" in socket
    assert "[Unit]\nWants=hashwacht-uploads.socket\n" in texts[f"hashwacht.target.d/{NAME}"]


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1))
def test_any_directory_name_is_one_word_in_one_line(name: str) -> None:
    (line, *_) = lines(watching(f"/{name}x/root"))
    match = re.fullmatch(r'ReadWritePaths="-/((?:[^"\\]|\\.)*)"', line)
    assert match is not None
    assert line.isprintable()
    assert unquoted(match[1]) == f"{name}x".encode()


def unquoted(text: str) -> bytes:
    """Parse a word as systemd.syntax(7) describes: escapes as in C, and %% for a percent sign."""
    pieces = re.findall(r'\\x[0-9a-f]{2}|\\["\\]|%%|[^\\%]', text)
    assert "".join(pieces) == text
    return b"".join(
        bytes.fromhex(piece[2:]) if piece.startswith("\\x") else piece[-1].encode()
        for piece in pieces
    )


def test_drop_ins_that_do_not_fit_the_configuration_are_named(tmp_path: Path) -> None:
    settings, path = watching("/srv/web"), tmp_path / SCANNER
    assert outdated_drop_ins(USUAL, tmp_path) == []
    assert outdated_drop_ins(settings, tmp_path) == [path]
    path.parent.mkdir()
    path.write_text(drop_ins(settings)[SCANNER])
    assert outdated_drop_ins(settings, tmp_path) == []
    assert outdated_drop_ins(watching("/home/web"), tmp_path) == [path]
    assert outdated_drop_ins(USUAL, tmp_path) == [path]


@pytest.fixture
def systemctl(tmp_path: Path) -> Path:
    """Return a program that records its arguments, in place of systemctl."""
    program = tmp_path / "systemctl"
    program.write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/calls\n')
    program.chmod(0o755)
    return program


def test_changed_roots_reload_and_new_directories_restart(tmp_path: Path, systemctl: Path) -> None:
    units, settings = tmp_path / "units", watching("/srv/www/a")
    apply_changes(settings, units, tmp_path, str(systemctl))
    apply_changes(watching("/srv/www/a", "/srv/www/b"), units, tmp_path, str(systemctl))
    assert (tmp_path / "calls").read_text().splitlines() == [
        "daemon-reload",
        "try-restart hashwacht-scanner.service",
        "try-reload-or-restart hashwacht-scanner.service",
    ]
    assert outdated_drop_ins(settings, units) == []


def test_without_systemd_nothing_is_run(tmp_path: Path, systemctl: Path) -> None:
    assert apply_changes(USUAL, tmp_path, tmp_path / "none", str(systemctl)) == []
    assert not (tmp_path / "calls").exists()


def test_a_failed_reload_is_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"try-reload-or-restart .* exit code 1"):
        apply_changes(USUAL, tmp_path, tmp_path, "/bin/false")


def test_drop_ins_that_are_not_needed_are_removed(tmp_path: Path) -> None:
    written = [*write_drop_ins(watching("/srv/www/a"), tmp_path)]
    assert written == [str(tmp_path / SCANNER)]
    assert [*write_drop_ins(USUAL, tmp_path)] == [f"{tmp_path / SCANNER} removed"]


def test_only_a_program_gives_the_update_of_lists_a_network() -> None:
    name = f"hashwacht-lists.service.d/{NAME}"
    fetched = ListSourceSettings("police", url="https://lists.example/police")
    assert lines(replace(USUAL, lists=(fetched,)), name) == []
    program = ListSourceSettings("police", program=("/usr/bin/rsync",))
    opened = lines(replace(USUAL, lists=(program,)), name)
    assert {"PrivateNetwork=no", "IPAddressDeny="} <= set(opened)
    elsewhere = replace(USUAL.state, directory=Path("/home/big"))
    opened = lines(replace(USUAL, lists=(fetched,), state=elsewhere), name)
    assert 'ReadWritePaths="-/home/big"' in opened
    assert "ProtectHome=no" in opened
    assert lines(replace(USUAL, state=elsewhere), name) == []


def test_an_earlier_installation_hides_the_package(tmp_path: Path) -> None:
    local, package = tmp_path / "usr/local/lib/systemd/system", tmp_path / "usr/lib/systemd/system"
    directories = (tmp_path / "etc/systemd/system", local, package)
    assert installed_units(directories) == []
    for directory in (package, local):
        directory.mkdir(parents=True)
        (directory / "hashwacht-scanner.service").touch()
    assert [unit.parent for unit in installed_units(directories)] == [local, package]


def test_the_gateway_may_use_what_it_is_configured_for() -> None:
    clamd = ClamdSettings(group="www-data", socket=Path("/run/clam av/clamd.ctl"))
    gateway = GatewaySettings(enabled=True, clamd=clamd)
    texts = drop_ins(replace(watching("/srv/www"), gateway=gateway))
    unit = f"hashwacht-gateway.service.d/{NAME}"
    assert texts[unit].splitlines()[1:] == [
        "[Service]",
        "SupplementaryGroups=www-data",
        'ReadWritePaths="-/run/clam av"',
        'InaccessiblePaths="-/srv/www"',
    ]
    assert "SocketGroup=hashwacht-gateway\n" in texts[f"hashwacht-uploads.socket.d/{NAME}"]
    assert "Wants=hashwacht-gateway.service\n" in texts[f"hashwacht.target.d/{NAME}"]
    clamd = replace(clamd, tcp="172.17.0.1:3310", peers=("172.17.0.0/16",), upstream="[::2]:3310")
    network = drop_ins(replace(watching("/srv/www"), gateway=replace(gateway, clamd=clamd)))[unit]
    assert network.splitlines()[-3:] == [
        "PrivateNetwork=no",
        "RestrictAddressFamilies=AF_INET AF_INET6",
        "IPAddressAllow=localhost 172.17.0.0/16 ::2",
    ]
