"""Defaults, file, environment and options, each value with its origin; every fault at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hashwacht.core.errors import ConfigurationError
from hashwacht.settings import (
    Configuration,
    EokmSettings,
    HashlistSettings,
    HmaSettings,
    InvalidConfiguration,
    OptionValue,
    load,
)
from hashwacht.settings.load import default_config_file, default_state_directory
from hashwacht.settings.origins import ValueSource
from hashwacht.settings.show import rows
from hashwacht.settings.units import RateLimit, RateUnit

USER = 1000


def written(folder: Path, text: str) -> Path:
    file = folder / "hashwacht.toml"
    file.write_text(text)
    return file


def loaded(folder: Path, text: str, **environ: str) -> Configuration:
    return load({"HOME": "/home/x", **environ}, uid=USER, file=written(folder, text))


def faults(folder: Path, text: str) -> list[str]:
    with pytest.raises(InvalidConfiguration) as caught:
        loaded(folder, text)
    assert caught.value.advice
    return [str(fault).replace(f"{folder}/", "") for fault in caught.value.faults]


def test_without_any_file_the_defaults_count() -> None:
    settings = load({"HOME": "/nowhere"}, uid=USER).settings
    assert settings.state.path == Path("/nowhere/.local/state/hashwacht")
    assert settings.matchers == (
        HashlistSettings("hashlist", Path("/nowhere/.local/state/hashwacht/lists")),
    )
    assert settings.credentials.directory == Path("/nowhere/.config/hashwacht/credentials")


def test_root_and_others_have_their_own_places() -> None:
    environ = {"HOME": "/home/x", "XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "relative"}
    assert default_config_file(environ, 0) == Path("/etc/hashwacht/hashwacht.toml")
    assert default_state_directory(environ, 0) == Path("/var/lib/hashwacht")
    assert default_config_file(environ, USER) == Path("/c/hashwacht/hashwacht.toml")
    assert default_state_directory(environ, USER) == Path("/home/x/.local/state/hashwacht")


def test_the_file_in_the_usual_place_is_read(tmp_path: Path) -> None:
    (tmp_path / "hashwacht").mkdir()
    written(tmp_path / "hashwacht", "scan.jobs = 3")
    configuration = load({"XDG_CONFIG_HOME": str(tmp_path), "HOME": "/x"}, uid=USER)
    assert configuration.settings.scan.jobs == 3
    assert configuration.file == tmp_path / "hashwacht/hashwacht.toml"


def test_option_environment_file_systemd_default_in_this_order(
    tmp_path: Path,
) -> None:
    key = ("state", "directory")
    text = '[state]\ndirectory = "/file"'
    option = (OptionValue("state.directory", "/option", "--state-dir"),)
    by_systemd = {"HOME": "/x", "STATE_DIRECTORY": "/systemd:/other"}
    by_all = {**by_systemd, "HASHWACHT_STATE_DIR": "/environment"}
    file = written(tmp_path, text)
    steps = [
        (load({"HOME": "/x"}, uid=USER), "/x/.local/state/hashwacht", "default"),
        (load(by_systemd, uid=USER), "/systemd", "STATE_DIRECTORY"),
        (load(by_systemd, uid=USER, file=file), "/file", f"{file}:2"),
        (load(by_all, uid=USER, file=file), "/environment", "HASHWACHT_STATE_DIR"),
        (load(by_all, uid=USER, file=file, options=option), "/option", "--state-dir"),
    ]
    for configuration, directory, origin in steps:
        assert configuration.settings.state.path == Path(directory)
        assert str(configuration.origin(key)) == origin


def test_the_variable_names_a_file_and_an_option_beats_it(tmp_path: Path) -> None:
    path = written(tmp_path, "scan.jobs = 1")
    file_path = tmp_path / "other.toml"
    file_path.write_text("scan.jobs = 2")
    environ = {"HOME": "/x", "HASHWACHT_CONFIG": str(path)}
    assert load(environ, uid=USER).settings.scan.jobs == 1
    assert load(environ, uid=USER, file=file_path).settings.scan.jobs == 2


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="No such file"):
        load({"HOME": "/x", "HASHWACHT_CONFIG": str(tmp_path / "none")}, uid=USER)


def test_units_are_parsed_at_the_edge(tmp_path: Path) -> None:
    text = """
    scan.max_rate = "20 MiB/s"
    fingerprint.limits = { max_picture_size = "1.5 MiB", timeout = 2.5 }
    fingerprint.commands = { photodna = ["/opt/hasher", "--hex"] }
    [matchers.one]
    kind = "eokm"
    recheck_after = "1d12h"
    """
    settings = loaded(tmp_path, text).settings
    assert settings.scan.max_rate == RateLimit(20 << 20, RateUnit.BYTES)
    assert settings.fingerprint.limits.max_picture_size == 3 << 19
    assert settings.fingerprint.limits.timeout == 2.5
    assert settings.fingerprint.commands == (("photodna", ("/opt/hasher", "--hex")),)
    (matcher,) = settings.matchers
    assert isinstance(matcher, EokmSettings)
    assert matcher.recheck_after == 129600


def test_every_kind_of_matcher_keeps_its_name_and_order(tmp_path: Path) -> None:
    text = '[matchers.b]\nkind = "hma"\n[matchers.a]\nkind = "hashlist"\n'
    matchers = loaded(tmp_path, text).settings.matchers
    assert [(type(matcher), matcher.name) for matcher in matchers] == [
        (HmaSettings, "b"),
        (HashlistSettings, "a"),
    ]


def test_all_faults_are_reported_with_line_and_closest_key(tmp_path: Path) -> None:
    text = """\
jobs = 3
[scann]
[scan]
job = 2
max_rate = "fast"
exclude = [
  "a",
  3,
]
[fingerprint.limits]
max_frames = 0
[matchers.eokm]
kind = "eokm"
tineout = "3s"
bank = "x"
[matchers.UPPER]
kind = "hashlist"
[matchers.b]
kind = "foo"
[matchers.c]
base_url = "https://x"
"""
    output = "".join(f"{fault}\n" for fault in faults(tmp_path, text))
    assert output == (Path(__file__).parent / "faults.txt").read_text()


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("scan = 3", "expected a table, got 3"),
        ('gateway.clamd.tcp = "localhost:3310"', "expected an address and port"),
        ('gateway.clamd.tcp = "127.0.0.1:99999"', "not an address and port"),
        ('gateway.clamd.tcp = "172.17.0.1:3310"', "every other machine could connect"),
        ('gateway.clamd.peers = ["172.17.0.1/8"]', "has host bits set"),
        ('gateway.clamd.on_undetermined = "clean"', 'one of "error", "ok", "found"'),
        ('gateway.clamd.mode = "660"', "a mode such as 0660"),
        ('gateway.http.tcp = "127.0.0.1:80"', "create one with `hashwacht gateway token"),
        ('gateway.http.tokens.a = "secret"', "the SHA-256 of a token"),
        ('gateway.http.lookup = ["a"]', "there is no token a"),
        ('gateway.http.dialects = ["soap"]', 'one of "clamav-rest"'),
        (
            'gateway = { enabled = true, clamd = { socket = "" }, http = { socket = "" } }',
            "the gateway has no socket",
        ),
        ("matchers = []", "expected a table, got an array"),
        ("scan.jobs = true", "expected a whole number, got true or false"),
        ("scan.jobs = 1.0", "expected a whole number, got 1.0"),
        ("scan.low_priority = 1", "expected true or false, got 1"),
        ('scan.exclude = "a"', "expected an array of strings, got 'a'"),
        ('state.directory = "relative"', "expected an absolute path, got 'relative'"),
        ('fingerprint.limits.timeout = "0s"', "expected 1s to 1h, got '0s'"),
        ("fingerprint.limits.timeout = nan", "expected 1s to 1h, got nan"),
        ('fingerprint.commands.x = ["hasher"]', "expected the absolute path of a program"),
        ("fingerprint.commands.x = []", "expected at least 1 element"),
        (
            'matchers.e = { kind = "eokm", path = "/v1" }',
            "expected a path that contains {format} once",
        ),
        ('matchers.e = { kind = "eokm", signal_types = {} }', "expected at least 1 entry"),
        ('matchers.e = { kind = "hma", base_url = "host" }', "expected a URL such as"),
        ('matchers.e = { kind = "hma", base_url = "https://u:p@h" }', "must not contain a user"),
        ('matchers.e = { kind = "hma", base_url = "https://h:99999" }', "not a valid URL"),
        ('matchers.e = { kind = "eokm", base_url = "http://h.example" }', "unencrypted"),
        ('matchers.e = { kind = "hma", client_key = "/k" }', "client_key without client_cert"),
        ('credentials.password = "x"', "unknown key"),
        ('matchers.e = { kind = "eokm", path = "/{format}/{x}" }', "contains {format} once"),
        ('matchers.e = { kind = "hma", known_signal = "pdq:xy" }', "a signal such as pdq:"),
        ('matchers.e = { kind = "hma", known_signal = "md5:00" }', "md5 is not in signal_types"),
    ],
)
def test_a_wrong_value_is_reported_with_what_was_expected(
    tmp_path: Path, line: str, complaint: str
) -> None:
    (only,) = faults(tmp_path, f"\n{line}\n")
    assert only.startswith("hashwacht.toml:2: ")
    assert complaint in only


def test_a_service_on_this_machine_may_be_asked_in_the_clear(tmp_path: Path) -> None:
    text = 'matchers.e = { kind = "eokm", base_url = "http://127.0.0.1:8080/x/" }'
    (matcher,) = loaded(tmp_path, text).settings.matchers
    assert isinstance(matcher, EokmSettings)
    assert matcher.base_url == "http://127.0.0.1:8080/x"


def test_invalid_toml_is_reported_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hashwacht\.toml:2: invalid TOML") as caught:
        loaded(tmp_path, "\njobs = fast\n")
    assert caught.value.advice


def test_a_truncated_file_is_reported_with_its_last_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"hashwacht\.toml:2: invalid TOML"):
        loaded(tmp_path, '\nexclude = "')


def test_a_file_that_is_not_utf8_is_reported_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(b'\nx = "\xff"')
    with pytest.raises(ConfigurationError, match=r"x\.toml:2: not UTF-8"):
        load({"HOME": "/x"}, uid=USER, file=file)


def test_a_fault_of_an_option_names_the_option() -> None:
    with pytest.raises(InvalidConfiguration, match=r"--jobs: scan\.jobs: expected 0 to 1024"):
        load({"HOME": "/x"}, uid=USER, options=(OptionValue("scan.jobs", -1, "--jobs"),))


def test_a_hostile_key_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    (only,) = faults(tmp_path, '"\\u001b]0;x" = 1')
    assert only.isprintable()


def test_every_row_has_its_origin_and_is_json(tmp_path: Path) -> None:
    text = '[scan]\nmax_rate = "5 files/s"\n[matchers.e]\nkind = "eokm"\nuse_test_list = true\n'
    by_key = {(*row.table, row.key): row for row in rows(loaded(tmp_path, text))}
    assert by_key["scan", "max_rate"].value == "5 files/s"
    assert by_key["scan", "max_rate"].origin.line == 2
    assert by_key["scan", "jobs"].origin.source is ValueSource.DEFAULT
    assert by_key["matchers", "e", "kind"].origin.line == 4
    assert by_key["matchers", "e", "use_test_list"].origin.line == 5
    json.dumps([row.value for row in by_key.values()])
