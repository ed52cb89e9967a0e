"""``hashwacht config`` as an operator uses it."""

from __future__ import annotations

from pathlib import Path

from hashwacht.settings.show import example
from support.program import Program, objects


def test_what_is_shown_is_a_configuration_that_gives_the_same(program: Program) -> None:
    program.configuration.write_text(
        '[scan]\nmax_rate = "20 MiB/s"\n[matchers.one]\nkind = "eokm"\nsignal_types ='
        ' { sha1 = "s" }\n'
    )
    first = program.run("config", "show")
    assert first.returncode == 0
    again = program.home / "again.toml"
    again.write_bytes(first.stdout)
    second = program.run("config", "show", "--config", again)

    def values(output: bytes) -> list[bytes]:
        return [line.partition(b"  # ")[0] for line in output.splitlines()[1:]]

    assert values(second.stdout) == values(first.stdout)
    assert b'max_rate = "20 MiB/s"' in first.stdout


def test_every_value_says_where_it_came_from(program: Program) -> None:
    program.configuration.write_text("[scan]\n\njobs = 3\n")
    told = {each["key"]: each for each in objects(program.run("config", "show", "--json").stdout)}
    assert told["scan.jobs"]["origin"] == f"{program.configuration}:3"
    assert told["scan.jobs"]["source"] == "file"
    assert told["scan.low_priority"]["source"] == "default"
    assert told["state.directory"]["origin"] == "HASHWACHT_STATE_DIR"
    option = program.run("config", "show", "--json", "--state-dir", "elsewhere").stdout
    directory = next(each for each in objects(option) if each["key"] == "state.directory")
    assert directory["value"] == str(program.home / "elsewhere")
    assert directory["origin"] == "--state-dir"


def test_all_faults_are_reported_with_their_lines(program: Program) -> None:
    program.configuration.write_text("[scan]\njob = 3\nlow_priority = 1\n")
    done = program.run("config", "check")
    assert done.returncode == 2
    assert f"{program.configuration}:2: scan.job: unknown key (did you mean jobs?)" in (
        done.stderr.decode()
    )
    told = objects(program.run("config", "check", "--json").stdout)
    assert [(each["key"], each["line"]) for each in told] == [
        ("scan.job", 2),
        ("scan.low_priority", 3),
    ]


def test_a_rule_or_signal_type_that_cannot_be_is_a_fault_too(program: Program) -> None:
    program.configuration.write_text('[scan]\nexclude = ["a//b"]\n')
    assert program.run("config", "check").returncode == 2
    program.configuration.write_text('[fingerprint]\nalways_compute = ["pdq", "photodna"]\n')
    done = program.run("config", "check")
    assert done.returncode == 2
    assert b"unknown signal type 'photodna'" in done.stderr


def test_the_name_of_a_command_is_a_signal_type_like_any_other(program: Program) -> None:
    program.configuration.write_text(
        '[fingerprint]\nalways_compute = ["pdq", "mine"]\ncommands = { mine = ["/usr/bin/true"] }\n'
        '[matchers.hma]\nkind = "hma"\nbase_url = "https://hma.example"\n'
        'signal_types = { mine = "mine" }\n'
    )
    done = program.run("config", "check")
    assert (done.returncode, done.stderr) == (0, b"")


def test_a_right_configuration_has_no_fault(program: Program) -> None:
    done = program.run("config", "check", "--json")
    assert done.returncode == 0
    assert objects(done.stdout)[0]["faults"] == 0


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
        done = program.run(*words, HASHWACHT_CREDENTIAL_EOKM="nobody:h1dden")
        assert done.returncode == 0
        assert b"s3cret" not in done.stdout + done.stderr
        assert b"h1dden" not in done.stdout + done.stderr
