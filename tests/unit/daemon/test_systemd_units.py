"""What the configuration asks of systemd: directories to write to, files to be shown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hashwacht.daemon.systemd_units import NAME, drop_ins
from hashwacht.settings import EokmSettings, RootSettings, Settings, load

SCANNER = f"hashwacht-scanner.service.d/{NAME}"
COURIER = f"hashwacht-courier.service.d/{NAME}"

USUAL = load({}, uid=0, file=Path("/dev/null")).settings


def watching(*paths: str) -> Settings:
    roots = tuple(RootSettings(f"r{number}", Path(path)) for number, path in enumerate(paths))
    return replace(USUAL, roots=roots)


def lines(settings: Settings, name: str = SCANNER) -> list[str]:
    text = drop_ins(settings).get(name, "")
    return [line for line in text.splitlines() if not line.startswith(("#", "[Service]"))]


def test_without_roots_there_is_nothing_to_say() -> None:
    assert drop_ins(USUAL) == {}


def test_the_directory_above_each_root_may_be_written_once() -> None:
    settings = watching("/srv/www/a", "/srv/www/b", "/data")
    assert lines(settings) == ['ReadWritePaths="-/data"', 'ReadWritePaths="-/srv/www"']


@pytest.mark.parametrize("root", ["/home", "/home/alice", "/root", "/run/user/1000"])
def test_homes_are_opened_where_they_are_what_is_watched(root: str) -> None:
    assert "ProtectHome=no" in lines(watching(root))


def test_a_root_inside_a_home_leaves_the_other_homes_shut() -> None:
    assert lines(watching("/home/alice/www")) == ['ReadWritePaths="-/home/alice"']


def test_a_root_in_tmp_is_the_tmp_that_others_write_to() -> None:
    assert "PrivateTmp=no" in lines(watching("/var/tmp/uploads/new"))
    assert "PrivateTmp=no" not in lines(watching("/srv/tmp/uploads"))


def test_state_quarantine_and_metrics_elsewhere_may_be_written() -> None:
    settings = replace(
        USUAL,
        state=replace(USUAL.state, directory=Path("/big/state")),
        quarantine=replace(USUAL.quarantine, directory=Path("/vault/q")),
        daemon=replace(USUAL.daemon, metrics_file=Path("/var/lib/node/hashwacht.prom")),
    )
    assert lines(settings) == [
        f'ReadWritePaths="-{path}"' for path in ("/big/state", "/var/lib/node", "/vault/q")
    ]


def test_the_courier_is_shown_the_files_that_are_named_for_it() -> None:
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


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/"), min_size=1))
def test_whatever_a_directory_is_called_it_is_one_word_in_one_line(name: str) -> None:
    (line, *_) = lines(watching(f"/{name}x/root"))
    found = re.fullmatch(r'ReadWritePaths="-/((?:[^"\\]|\\.)*)"', line)
    assert found is not None
    assert line.isprintable()
    assert unquoted(found[1]) == f"{name}x".encode()


def unquoted(text: str) -> bytes:
    """Read a word as systemd.syntax(7) says: escapes as in C, and %% for a percent sign."""
    pieces = re.findall(r'\\x[0-9a-f]{2}|\\["\\]|%%|[^\\%]', text)
    assert "".join(pieces) == text
    return b"".join(
        bytes.fromhex(piece[2:]) if piece.startswith("\\x") else piece[-1].encode()
        for piece in pieces
    )
