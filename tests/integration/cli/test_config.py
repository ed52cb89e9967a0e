"""``hashwacht config`` as an operator uses it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from hashwacht.settings import load
from hashwacht.settings.show import example
from support.program import Program, objects


def test_what_is_shown_is_a_configuration_that_gives_the_same(program: Program) -> None:
    program.configuration.write_text(
        '[scan]\nmax_rate = "20 MiB/s"\n[matchers.one]\nkind = "eokm"\nsignal_types ='
        ' { sha1 = "s" }\n'
    )
    first = program.run("config", "show")
    assert first.returncode == 0
    path = program.home / "again.toml"
    path.write_bytes(first.stdout)
    second = program.run("config", "show", "--config", path)

    def values(output: bytes) -> list[bytes]:
        return [line.partition(b"  # ")[0] for line in output.splitlines()[1:]]

    assert values(second.stdout) == values(first.stdout)
    assert b'max_rate = "20 MiB/s"' in first.stdout


def test_every_value_says_where_it_came_from(program: Program) -> None:
    program.configuration.write_text("[scan]\n\njobs = 3\n")
    values = {line["key"]: line for line in objects(program.run("config", "show", "--json").stdout)}
    assert values["scan.jobs"]["origin"] == f"{program.configuration}:3"
    assert values["scan.jobs"]["source"] == "file"
    assert values["scan.low_priority"]["source"] == "default"
    assert values["state.directory"]["origin"] == "HASHWACHT_STATE_DIR"
    option = program.run("config", "show", "--json", "--state-dir", "elsewhere").stdout
    directory = next(line for line in objects(option) if line["key"] == "state.directory")
    assert directory["value"] == str(program.home / "elsewhere")
    assert directory["origin"] == "--state-dir"


def test_a_drop_in_is_named_and_checked(program: Program) -> None:
    directory = program.home / "conf.d"
    directory.mkdir()
    first, second = directory / "1.toml", directory / "2.toml"
    first.write_text("\n[scan]\njobs = 3\n")
    second.write_text("[scan]\nlow_priority = false\n")
    shown = program.run("config", "show").stdout.decode()
    assert shown.startswith(f"# {program.configuration}\n# {first}\n# {second}\n")
    assert f"# {first}:3\n" in shown
    (checked,) = objects(program.run("config", "check", "--json").stdout)
    assert checked["drop_ins"] == [str(first), str(second)]
    second.write_text("[scan]\njob = 3\n")
    result = program.run("config", "check")
    assert result.returncode == 2
    assert f"{second}:2: scan.job: unknown key" in result.stderr.decode()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_process_without_privileges_reads_the_drop_ins() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        main = Path(directory) / "hashwacht.toml"
        drop_in = main.with_name("conf.d") / "a.toml"
        drop_in.parent.mkdir()
        main.write_text("")
        drop_in.write_text("scan.jobs = 5\n")
        for path in (drop_in, main, drop_in.parent, main.parent):
            path.chmod(0o755)
        pid = os.fork()
        if pid == 0:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            configuration = load({"HOME": "/x"}, uid=65534, file=main)
            os._exit(configuration.settings.scan.jobs)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 5


def test_all_faults_are_reported_with_their_lines(program: Program) -> None:
    program.configuration.write_text("[scan]\njob = 3\nlow_priority = 1\n")
    result = program.run("config", "check")
    assert result.returncode == 2
    assert f"{program.configuration}:2: scan.job: unknown key (did you mean jobs?)" in (
        result.stderr.decode()
    )
    lines = objects(program.run("config", "check", "--json").stdout)
    assert [(line["key"], line["line"]) for line in lines] == [
        ("scan.job", 2),
        ("scan.low_priority", 3),
    ]


def test_a_rule_or_signal_type_that_cannot_be_is_a_fault_too(program: Program) -> None:
    program.configuration.write_text('[scan]\nexclude = ["a//b"]\n')
    assert program.run("config", "check").returncode == 2
    program.configuration.write_text('[fingerprint]\nalways_compute = ["pdq", "photodna"]\n')
    result = program.run("config", "check")
    assert result.returncode == 2
    assert b"unknown signal type 'photodna'" in result.stderr


def test_the_name_of_a_command_is_a_signal_type_like_any_other(program: Program) -> None:
    program.configuration.write_text(
        '[fingerprint]\nalways_compute = ["pdq", "mine"]\ncommands = { mine = ["/usr/bin/true"] }\n'
        '[matchers.hma]\nkind = "hma"\nbase_url = "https://hma.example"\n'
        'signal_types = { mine = "mine" }\n'
    )
    result = program.run("config", "check")
    assert (result.returncode, result.stderr) == (0, b"")


def test_a_right_configuration_has_no_fault(program: Program) -> None:
    result = program.run("config", "check", "--json")
    assert result.returncode == 0
    assert objects(result.stdout)[0]["faults"] == 0


def test_the_example_that_is_printed_is_right(program: Program, tmp_path: Path) -> None:
    printed = program.run("config", "example").stdout
    assert printed.decode() == example()
    (tmp_path / "printed.toml").write_bytes(printed)
    assert program.run("config", "check", "--config", tmp_path / "printed.toml").returncode == 0


def test_no_secret_is_ever_shown(program: Program) -> None:
    program.configuration.write_text(
        f'[credentials]\ndirectory = "{program.home}/c"\n[matchers.e]\nkind = "eokm"\n'
    )
    program.run("credentials", "set", "eokm", given=b"somebody:s3cret\n")
    for words in (["config", "show"], ["config", "show", "--json"], ["credentials", "check"]):
        result = program.run(*words, HASHWACHT_CREDENTIAL_EOKM="nobody:h1dden")
        assert result.returncode == 0
        assert b"s3cret" not in result.stdout + result.stderr
        assert b"h1dden" not in result.stdout + result.stderr
