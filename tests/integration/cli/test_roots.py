"""``hashwacht roots`` as an operator and its timer use it, on a host with a panel."""

from __future__ import annotations

from pathlib import Path

import pytest

from support import panels
from support.program import Program, objects


@pytest.fixture
def top(tmp_path: Path) -> Path:
    top = tmp_path / "host"
    panels.cpanel(top, ["u0", "u1"])
    return top


def discover(program: Program, top: Path, *options: str) -> list[dict[str, object]]:
    result = program.run("roots", "discover", "--top", top, "--json", *options)
    assert result.returncode == 0, result.stderr.decode()
    return objects(result.stdout)


def drop_in(program: Program) -> Path:
    return program.home / "conf.d/50-panel.toml"


def roots(program: Program) -> dict[str, str]:
    lines = objects(program.run("roots", "list", "--json").stdout)
    return {line["name"]: line["path"] for line in lines}


def test_nothing_is_written_without_the_option(program: Program, top: Path) -> None:
    lines = discover(program, top, "--sites")
    assert [line["path"] for line in lines if line["type"] == "root"] == ["/home"]
    sites = {line["path"]: line for line in lines if line["type"] == "site"}
    assert sites["/home/u1/shop-u1.example"]["reseller"] == "resell"
    assert not drop_in(program).exists()
    assert not (program.home / "state/panel-sites.json").exists()


def test_the_same_accounts_write_nothing_again(program: Program, top: Path) -> None:
    program.run("scan", "/etc/hostname")  # creates the state directory
    (first,) = discover(program, top, "--write", "--reload")[-1:]
    assert (first["roots_changed"], first["sites_changed"]) == (True, True)
    files = drop_in(program), program.home / "state/panel-sites.json"
    before = [(file.read_bytes(), file.stat().st_ino) for file in files]
    (second,) = discover(program, top, "--write", "--reload")[-1:]
    assert (second["roots_changed"], second["sites_changed"]) == (False, False)
    assert [(file.read_bytes(), file.stat().st_ino) for file in files] == before
    assert drop_in(program).stat().st_mode & 0o777 == 0o644
    assert files[1].stat().st_mode & 0o777 == 0o600
    assert roots(program) == {"panel-home": "/home"}


def test_a_new_account_changes_the_map_but_no_root(program: Program, top: Path) -> None:
    program.run("scan", "/etc/hostname")
    discover(program, top, "--write")
    panels.cpanel(top, ["u0", "u1", "u2"])
    (result,) = discover(program, top, "--write", "--reload")[-1:]
    assert (result["roots_changed"], result["sites_changed"]) == (False, True)
    assert result["actions"] == []


def test_actions_come_from_the_configuration(program: Program, top: Path) -> None:
    program.run("scan", "/etc/hostname")
    with program.configuration.open("a") as file:
        file.write('[panel]\non_exact_match = "hold"\nexclude = ["*.log"]\n')
    discover(program, top, "--write")
    lines = objects(program.run("config", "show", "--json").stdout)
    values = {line["key"]: line for line in lines}
    assert values["roots.panel-home.on_exact_match"]["value"] == "hold"
    assert values["roots.panel-home.on_exact_match"]["origin"] == f"{drop_in(program)}:6"
    assert "*.log" in values["roots.panel-home.exclude"]["value"]


def test_a_file_of_somebody_else_is_never_overwritten(program: Program, top: Path) -> None:
    drop_in(program).parent.mkdir()
    drop_in(program).write_text("# mine\n")
    result = program.run("roots", "discover", "--top", top, "--write")
    assert result.returncode == 2
    assert b"was not written by this command" in result.stderr
    assert drop_in(program).read_text() == "# mine\n"


def test_an_invalid_result_restores_the_former_file(program: Program, top: Path) -> None:
    program.run("scan", "/etc/hostname")
    discover(program, top, "--write")
    before = drop_in(program).read_bytes()
    with program.configuration.open("a") as file:
        file.write('[panel]\non_exact_match = "quarantine"\n')
    result = program.run("roots", "discover", "--top", top, "--write")
    assert result.returncode == 2
    assert b"quarantine needs a key" in result.stderr
    assert drop_in(program).read_bytes() == before
    assert program.run("config", "check").returncode == 0


def test_a_panel_without_accounts_changes_nothing(program: Program, top: Path) -> None:
    program.run("scan", "/etc/hostname")
    discover(program, top, "--write")
    (top / "etc/userdatadomains").write_text("")
    result = program.run("roots", "discover", "--top", top, "--write")
    assert result.returncode == 2
    assert b"cPanel has no account that can be read; nothing was changed" in result.stderr
    assert roots(program) == {"panel-home": "/home"}


def test_a_root_that_is_configured_gets_no_second_name(program: Program, top: Path) -> None:
    program.run("scan", "/etc/hostname")
    with program.configuration.open("a") as file:
        file.write('[roots.homes]\npath = "/home"\n')
    lines = discover(program, top, "--write")
    assert [line["problem"] for line in lines if line["type"] == "left-out"] == [
        "/home: configured as a root already"
    ]
    assert roots(program) == {"homes": "/home"}
